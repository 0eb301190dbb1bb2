// SPDX-License-Identifier: MIT
/* A growable queue of bytes with a limit: append at the tail, consume at the head.
 *
 *      base        head            tail           base + cap
 *       |  consumed  |  readable     |   room        |
 *
 * An empty buffer holds no memory until something is appended; `buf_fini` or `buf_trim` on an empty
 * one gives it back, so that idle connections cost nothing. Growth doubles, up to `limit` readable
 * bytes; beyond it appending fails with E_LIMIT and changes nothing. */
#ifndef CONDUIT_BASE_BUF_H
#define CONDUIT_BASE_BUF_H

#include "base/bytes.h"

struct buf {
    uint8_t *base;
    size_t head, tail, cap;
    size_t limit; /* most readable bytes; 0 means no limit but memory */
};

void buf_init(struct buf *b, size_t limit);
void buf_fini(struct buf *b); /* frees; the buffer may be used again */
/* The same for secrets: wipes all its memory first. Growth leaves pieces behind, so reserve before appending. */
void buf_wipe(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
    return b->tail - b->head;
}

/* What can be read now; borrowed until the next change. */
static inline struct bytes buf_view(const struct buf *b)
{
    return (struct bytes){b->base ? b->base + b->head : (const uint8_t *)"", b->tail - b->head};
}

int buf_append(struct buf *b, const void *p, size_t n); /* 0, E_LIMIT, E_NO_MEMORY */
int buf_append_bytes(struct buf *b, struct bytes v);
int buf_append_str(struct buf *b, const char *s);
int buf_append_byte(struct buf *b, uint8_t c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Room for `n` more bytes at *at; then `buf_commit` as many as were written. */
int buf_reserve(struct buf *b, size_t n, uint8_t **at);
void buf_commit(struct buf *b, size_t n);

/* Drops `n` bytes at the head; n <= buf_len. */
void buf_consume(struct buf *b, size_t n);
void buf_clear(struct buf *b);
/* Gives the memory back when empty. */
void buf_trim(struct buf *b);
/* Takes the bytes as a NUL-terminated heap string; the buffer is empty afterwards. */
char *buf_take_str(struct buf *b);

#endif
