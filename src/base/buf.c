// SPDX-License-Identifier: MIT
/* Growable byte queue; see buf.h. */
#include "base/buf.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t limit)
{
    *b = (struct buf){.limit = limit};
}

void buf_fini(struct buf *b)
{
    free(b->base);
    *b = (struct buf){.limit = b->limit};
}

void buf_wipe(struct buf *b)
{
    if (b->base)
        mem_wipe(b->base, b->cap);
    buf_fini(b);
}

/* Moves what is readable to the front when that alone makes the room, else grows. */
static int make_room(struct buf *b, size_t n)
{
    size_t len = buf_len(b), need;
    if (b->limit && n > b->limit - (len < b->limit ? len : b->limit))
        return E_LIMIT;
    if (n <= b->cap - b->tail)
        return 0;
    if (__builtin_add_overflow(len, n, &need))
        return E_NO_MEMORY;
    if (need <= b->cap && b->head >= b->cap / 2) {
        memmove(b->base, b->base + b->head, len);
    } else {
        size_t cap = b->cap ? b->cap : 64;
        while (cap < need)
            if (__builtin_mul_overflow(cap, 2, &cap))
                return E_NO_MEMORY;
        uint8_t *base = mem_try(cap);
        if (!base)
            return E_NO_MEMORY;
        if (len)
            memcpy(base, b->base + b->head, len);
        free(b->base);
        b->base = base;
        b->cap = cap;
    }
    b->head = 0;
    b->tail = len;
    return 0;
}

int buf_reserve(struct buf *b, size_t n, uint8_t **at)
{
    int err = make_room(b, n);
    if (err)
        return err;
    *at = b->base + b->tail;
    return 0;
}

void buf_commit(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->tail);
    b->tail += n;
}

int buf_append(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return 0;
    int err = make_room(b, n);
    if (err)
        return err;
    memcpy(b->base + b->tail, p, n);
    b->tail += n;
    return 0;
}

int buf_append_bytes(struct buf *b, struct bytes v)
{
    return buf_append(b, v.p, v.n);
}

int buf_append_str(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_append_byte(struct buf *b, uint8_t c)
{
    return buf_append(b, &c, 1);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    char small[256];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    int err = n < 0 ? E_INVALID : 0;
    if (!err && (size_t)n < sizeof small) {
        err = buf_append(b, small, (size_t)n);
    } else if (!err && !(err = make_room(b, (size_t)n + 1))) {
        vsnprintf((char *)b->base + b->tail, (size_t)n + 1, fmt, again);
        b->tail += (size_t)n;
    }
    va_end(again);
    return err;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= buf_len(b));
    b->head += n;
    if (b->head == b->tail)
        b->head = b->tail = 0;
}

void buf_clear(struct buf *b)
{
    b->head = b->tail = 0;
}

void buf_trim(struct buf *b)
{
    if (buf_len(b) == 0)
        buf_fini(b);
}

char *buf_take_str(struct buf *b)
{
    char *s = mem_strndup(b->base ? b->base + b->head : NULL, buf_len(b));
    buf_fini(b);
    return s;
}
