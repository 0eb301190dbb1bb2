// SPDX-License-Identifier: MIT
/* Unsigned varints and a cursor over bytes that arrive in pieces.
 *
 * The convention of every decoder in this room: > 0 how many bytes were used, 0 more are needed (and
 * nothing was taken), < 0 an error from err.h. A cursor moves only when something was used, so that
 * the caller keeps what is there, waits for more, and asks again from the same place.
 *
 * The hard thing: a varint has one encoding. Multiformats allows 9 bytes (63 bits) and no
 * zero as last byte; protobuf has its own, looser reader (pb.h). */
#ifndef CONDUIT_CODEC_VARINT_H
#define CONDUIT_CODEC_VARINT_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

#include <sys/types.h>

enum { VARINT_MAX = 9 };

/* > 0 used, 0 need more, E_MALFORMED: not minimal or over 9 bytes. */
int varint_decode(struct bytes in, uint64_t *out);
/* How many bytes were written; v < 2^63. */
size_t varint_encode(uint64_t v, uint8_t out[static VARINT_MAX]);
size_t varint_size(uint64_t v);
int varint_append(struct buf *b, uint64_t v);

struct cursor {
    struct bytes in;
    size_t at;
};

static inline struct cursor cursor_of(struct bytes in)
{
    return (struct cursor){in, 0};
}
static inline size_t cursor_left(const struct cursor *c)
{
    return c->in.n - c->at;
}
static inline struct bytes cursor_rest(const struct cursor *c)
{
    return bytes_of(c->in.p + c->at, c->in.n - c->at);
}

/* Each: > 0 used, 0 need more, < 0 error. Views point into the cursor's bytes. */
ssize_t cursor_u8(struct cursor *c, uint8_t *out);
ssize_t cursor_u16be(struct cursor *c, uint16_t *out);
ssize_t cursor_u32be(struct cursor *c, uint32_t *out);
ssize_t cursor_u64be(struct cursor *c, uint64_t *out);
ssize_t cursor_varint(struct cursor *c, uint64_t *out);
/* `n` bytes; n > 0. */
ssize_t cursor_take(struct cursor *c, size_t n, struct bytes *out);
/* A varint length and that many bytes. Over `max`: E_TOO_BIG, as soon as the length is known. */
ssize_t cursor_prefixed(struct cursor *c, size_t max, struct bytes *out);

#endif
