// SPDX-License-Identifier: MIT
/* Varints and cursors; see varint.h. */
#include "codec/varint.h"

int varint_decode(struct bytes in, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < in.n && i < VARINT_MAX; i++) {
        v |= (uint64_t)(in.p[i] & 0x7f) << (7 * i);
        if (in.p[i] & 0x80)
            continue;
        if (in.p[i] == 0 && i > 0)
            return E_MALFORMED; /* not minimal */
        *out = v;
        return (int)i + 1;
    }
    return in.n >= VARINT_MAX ? E_MALFORMED : 0;
}

size_t varint_encode(uint64_t v, uint8_t out[static VARINT_MAX])
{
    size_t n = 0;
    while (v >= 0x80 && n < VARINT_MAX - 1) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)(v & 0x7f);
    return n;
}

size_t varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

int varint_append(struct buf *b, uint64_t v)
{
    uint8_t raw[VARINT_MAX];
    if (v >> 63)
        return E_INVALID;
    return buf_append(b, raw, varint_encode(v, raw));
}

static ssize_t cursor_be(struct cursor *c, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    if (cursor_left(c) < n)
        return 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | c->in.p[c->at + i];
    c->at += n;
    *out = v;
    return (ssize_t)n;
}

ssize_t cursor_u8(struct cursor *c, uint8_t *out)
{
    uint64_t v;
    ssize_t used = cursor_be(c, 1, &v);
    if (used > 0)
        *out = (uint8_t)v;
    return used;
}

ssize_t cursor_u16be(struct cursor *c, uint16_t *out)
{
    uint64_t v;
    ssize_t used = cursor_be(c, 2, &v);
    if (used > 0)
        *out = (uint16_t)v;
    return used;
}

ssize_t cursor_u32be(struct cursor *c, uint32_t *out)
{
    uint64_t v;
    ssize_t used = cursor_be(c, 4, &v);
    if (used > 0)
        *out = (uint32_t)v;
    return used;
}

ssize_t cursor_u64be(struct cursor *c, uint64_t *out)
{
    return cursor_be(c, 8, out);
}

ssize_t cursor_varint(struct cursor *c, uint64_t *out)
{
    int used = varint_decode(cursor_rest(c), out);
    if (used > 0)
        c->at += (size_t)used;
    return used;
}

ssize_t cursor_take(struct cursor *c, size_t n, struct bytes *out)
{
    if (cursor_left(c) < n)
        return 0;
    *out = bytes_of(c->in.p + c->at, n);
    c->at += n;
    return (ssize_t)n;
}

ssize_t cursor_prefixed(struct cursor *c, size_t max, struct bytes *out)
{
    uint64_t n;
    int used = varint_decode(cursor_rest(c), &n);
    if (used <= 0)
        return used;
    if (n > max)
        return E_TOO_BIG;
    if (cursor_left(c) - (size_t)used < n)
        return 0;
    *out = bytes_of(c->in.p + c->at + used, (size_t)n);
    c->at += (size_t)used + (size_t)n;
    return used + (ssize_t)n;
}
