// SPDX-License-Identifier: MIT
/* Reads a GGUF front to back through one window. The first mistake sticks: reads after it give
 * zeroes and move nothing, so that a caller may check once for several reads. */
#ifndef CONDUIT_ENGINE_GGUF_CURSOR_H
#define CONDUIT_ENGINE_GGUF_CURSOR_H

#include "engine/gguf.h"

enum { GGUF_WINDOW = 16384 };

struct gguf_cursor {
    const struct gguf_source *src;
    uint64_t at;
    uint64_t window_at;
    size_t window_n;
    int err;
    char *why; /* GGUF_WHY bytes */
    uint8_t window[GGUF_WINDOW];
};

void gguf_cursor_init(struct gguf_cursor *c, const struct gguf_source *src, char *why);
static inline uint64_t gguf_left(const struct gguf_cursor *c)
{
    return c->src->size - c->at;
}
/* Makes the mistake: keeps the first. Returns c->err. */
int gguf_fail(struct gguf_cursor *c, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void gguf_bytes(struct gguf_cursor *c, void *p, size_t n, const char *what);
void gguf_skip(struct gguf_cursor *c, uint64_t n, const char *what);
uint8_t gguf_u8(struct gguf_cursor *c, const char *what);
uint32_t gguf_u32(struct gguf_cursor *c, const char *what);
uint64_t gguf_u64(struct gguf_cursor *c, const char *what);
/* A string into out, cut at size-1 and NUL-terminated; its true length. Over `max`: E_LIMIT. */
uint64_t gguf_str(struct gguf_cursor *c, char *out, size_t size, uint64_t max, const char *what);
/* Text fit for a sentence: control bytes become '?'. Returns out. */
const char *gguf_shown(const char *s, char *out, size_t size);

#endif
