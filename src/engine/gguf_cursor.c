// SPDX-License-Identifier: MIT
/* The window over a GGUF: see gguf_cursor.h. */
#include "engine/gguf_cursor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void gguf_cursor_init(struct gguf_cursor *c, const struct gguf_source *src, char *why)
{
    c->src = src;
    c->at = c->window_at = 0;
    c->window_n = 0;
    c->err = 0;
    c->why = why;
}

int gguf_fail(struct gguf_cursor *c, int err, const char *fmt, ...)
{
    if (c->err)
        return c->err;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->why, GGUF_WHY, fmt, ap);
    va_end(ap);
    return c->err = err;
}

/* The window begins at c->at afterwards. */
static void refill(struct gguf_cursor *c)
{
    uint64_t left = gguf_left(c);
    size_t n = left < GGUF_WINDOW ? (size_t)left : GGUF_WINDOW;
    if (c->src->read(c->src->ctx, c->at, c->window, n) != 0) {
        gguf_fail(c, E_IO, "the file cannot be read at byte %" PRIu64, c->at);
        n = 0;
    }
    c->window_at = c->at;
    c->window_n = n;
}

static bool has(struct gguf_cursor *c, uint64_t n, const char *what)
{
    if (c->err)
        return false;
    if (n <= gguf_left(c))
        return true;
    gguf_fail(c, E_MALFORMED, "the file ends at byte %" PRIu64 ", within %s", c->src->size, what);
    return false;
}

void gguf_bytes(struct gguf_cursor *c, void *p, size_t n, const char *what)
{
    memset(p, 0, n);
    if (!has(c, n, what))
        return;
    for (uint8_t *to = p; n > 0;) {
        if (c->at < c->window_at || c->at >= c->window_at + c->window_n)
            refill(c);
        if (c->err)
            return;
        size_t off = (size_t)(c->at - c->window_at);
        size_t take = c->window_n - off < n ? c->window_n - off : n;
        memcpy(to, c->window + off, take);
        to += take;
        n -= take;
        c->at += take;
    }
}

void gguf_skip(struct gguf_cursor *c, uint64_t n, const char *what)
{
    if (has(c, n, what))
        c->at += n;
}

uint8_t gguf_u8(struct gguf_cursor *c, const char *what)
{
    uint8_t b;
    gguf_bytes(c, &b, 1, what);
    return b;
}

uint32_t gguf_u32(struct gguf_cursor *c, const char *what)
{
    uint8_t b[4];
    gguf_bytes(c, b, sizeof b, what);
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

uint64_t gguf_u64(struct gguf_cursor *c, const char *what)
{
    uint64_t low = gguf_u32(c, what);
    return low | (uint64_t)gguf_u32(c, what) << 32;
}

uint64_t gguf_str(struct gguf_cursor *c, char *out, size_t size, uint64_t max, const char *what)
{
    out[0] = 0;
    uint64_t n = gguf_u64(c, what);
    if (c->err)
        return 0;
    if (n > gguf_left(c)) {
        gguf_fail(c, E_MALFORMED,
                  "%s says it is %" PRIu64 " bytes long, but %" PRIu64 " are left in the file",
                  what, n, gguf_left(c));
        return 0;
    }
    if (n > max) {
        gguf_fail(c, E_LIMIT, "%s is %" PRIu64 " bytes long; at most %" PRIu64 " are allowed", what,
                  n, max);
        return 0;
    }
    size_t keep = n < size - 1 ? (size_t)n : size - 1;
    gguf_bytes(c, out, keep, what);
    out[keep] = 0;
    gguf_skip(c, n - keep, what);
    return n;
}

const char *gguf_shown(const char *s, char *out, size_t size)
{
    size_t i = 0;
    for (; s[i] && i + 1 < size; i++)
        out[i] = (uint8_t)s[i] < 32 || s[i] == 127 ? '?' : s[i];
    out[i] = 0;
    return out;
}
