// SPDX-License-Identifier: MIT
/* Deterministic CBOR (RFC 8949, 4.2.1): one value, one encoding, so that it can be signed.
 *
 * Definite lengths, shortest integers and floats, map keys sorted by their encoded bytes and each
 * once, no tags, no `undefined`, valid UTF-8. The writer cannot produce anything else (it checks the
 * order); the reader refuses anything else. Map keys are integers or strings.
 *
 * The reader walks items in order and keeps a stack of open containers, so that it works on bytes
 * that arrive in pieces: it is given the same bytes again with more behind them. */
#ifndef CONDUIT_CODEC_CBOR_H
#define CONDUIT_CODEC_CBOR_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

#include <sys/types.h>

enum cbor_kind {
    CBOR_UINT,
    CBOR_NEGATIVE, /* the value is -1 - u64 */
    CBOR_BYTES,
    CBOR_TEXT,
    CBOR_ARRAY, /* u64: how many items follow */
    CBOR_MAP,   /* u64: how many pairs follow */
    CBOR_BOOL,  /* u64: 0 or 1 */
    CBOR_NULL,
    CBOR_FLOAT,
};

struct cbor_item {
    enum cbor_kind kind;
    bool is_key; /* the next item is its value */
    uint64_t u64;
    double f64;
    struct bytes bytes; /* a view */
};

struct cbor_level {
    uint64_t left; /* items still to come, keys and values counted */
    bool is_map;
    size_t key_at, key_n; /* the last key, for the order */
};

struct cbor_reader {
    struct bytes in;
    size_t at;
    int depth;
    bool is_done; /* one whole value was read */
    struct cbor_level stack[LIMIT_CBOR_DEPTH];
};

void cbor_reader_init(struct cbor_reader *r, struct bytes in);
/* The same bytes and more; they may have moved. */
static inline void cbor_reader_feed(struct cbor_reader *r, struct bytes in)
{
    r->in = in;
}
/* The next item: > 0 used, 0 need more (or is_done: nothing is left of this value), E_MALFORMED,
 * E_LIMIT (depth), E_TOO_BIG (counts that cannot be true of `max` bytes are refused by size). */
ssize_t cbor_next(struct cbor_reader *r, struct cbor_item *out);
/* Skips what belongs to the item just read (its contents, when it is a container). */
ssize_t cbor_skip(struct cbor_reader *r, const struct cbor_item *item);
/* Exactly one whole, deterministic value: 0, E_EOF (cut), E_MALFORMED, E_LIMIT. */
int cbor_check(struct bytes in);

/* Typed steps for decoders that know what must come: 0, E_EOF, E_MALFORMED (another kind). */
int cbor_get_uint(struct cbor_reader *r, uint64_t *out);
int cbor_get_text(struct cbor_reader *r, size_t max, struct bytes *out);
int cbor_get_bytes(struct cbor_reader *r, size_t max, struct bytes *out);
int cbor_get_array(struct cbor_reader *r, size_t max, size_t *count);
int cbor_get_map(struct cbor_reader *r, size_t max, size_t *count);
int cbor_get_bool(struct cbor_reader *r, bool *out);

/* The first error sticks: E_INVALID is keys out of order, a bug of the caller's. */
struct cbor_writer {
    struct buf *out;
    int err;
    int depth;
    struct cbor_level stack[LIMIT_CBOR_DEPTH];
};
void cbor_writer_init(struct cbor_writer *w, struct buf *out);
void cbor_put_uint(struct cbor_writer *w, uint64_t v);
void cbor_put_int(struct cbor_writer *w, int64_t v);
void cbor_put_bytes(struct cbor_writer *w, struct bytes v);
void cbor_put_text(struct cbor_writer *w, struct bytes v);
void cbor_put_str(struct cbor_writer *w, const char *v);
void cbor_put_bool(struct cbor_writer *w, bool v);
void cbor_put_null(struct cbor_writer *w);
void cbor_put_float(struct cbor_writer *w, double v);
void cbor_put_array(struct cbor_writer *w, uint64_t count);
void cbor_put_map(struct cbor_writer *w, uint64_t pairs);
/* A value that is encoded already. */
void cbor_put_raw(struct cbor_writer *w, struct bytes value);
/* 0 when everything promised was put, E_INVALID when not. */
int cbor_writer_finish(struct cbor_writer *w);

#endif
