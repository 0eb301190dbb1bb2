// SPDX-License-Identifier: MIT
/* The writer of deterministic CBOR; see cbor.h. It keeps the same books as the reader, so that a
 * caller's mistake (keys out of order, a count not kept) is an error here and not at the peer. */
#include "codec/cbor.h"

#include "codec/cbor_float.h"
#include "codec/utf8.h"

#include <math.h>

void cbor_writer_init(struct cbor_writer *w, struct buf *out)
{
    *w = (struct cbor_writer){.out = out};
}

static void put_head(struct cbor_writer *w, unsigned major, uint64_t v)
{
    uint8_t raw[9];
    unsigned more = v < 24                      ? 0
                    : v < 0x100                 ? 1
                    : v < 0x10000               ? 2
                    : v < UINT64_C(0x100000000) ? 4
                                                : 8;
    static const uint8_t infos[] = {0, 24, 25, 0, 26, 0, 0, 0, 27};
    raw[0] = (uint8_t)(major << 5 | (more ? infos[more] : v));
    for (unsigned i = 0; i < more; i++)
        raw[1 + i] = (uint8_t)(v >> (8 * (more - 1 - i)));
    if (!w->err)
        w->err = buf_append(w->out, raw, 1 + more);
}

/* A whole item was put from `at` on: counts it, and compares keys. */
static void count_item(struct cbor_writer *w, size_t at, bool may_be_key)
{
    if (w->err || w->depth == 0)
        return;
    struct cbor_level *l = &w->stack[w->depth - 1];
    struct bytes all = buf_view(w->out);
    if (l->is_map && l->left % 2 == 0) {
        struct bytes key = bytes_skip(all, at), last = bytes_of(all.p + l->key_at, l->key_n);
        if (!may_be_key || (l->key_n && bytes_cmp(last, key) >= 0))
            w->err = E_INVALID;
        l->key_at = at;
        l->key_n = key.n;
    }
    l->left--;
    while (w->depth && w->stack[w->depth - 1].left == 0)
        w->depth--;
}

static void put_number(struct cbor_writer *w, unsigned major, uint64_t v)
{
    size_t at = buf_len(w->out);
    put_head(w, major, v);
    count_item(w, at, true);
}

static void put_string(struct cbor_writer *w, unsigned major, struct bytes v)
{
    size_t at = buf_len(w->out);
    put_head(w, major, v.n);
    if (!w->err)
        w->err = buf_append_bytes(w->out, v);
    count_item(w, at, true);
}

void cbor_put_uint(struct cbor_writer *w, uint64_t v)
{
    put_number(w, 0, v);
}

void cbor_put_int(struct cbor_writer *w, int64_t v)
{
    if (v >= 0)
        put_number(w, 0, (uint64_t)v);
    else
        put_number(w, 1, (uint64_t)(-1 - v));
}

void cbor_put_bytes(struct cbor_writer *w, struct bytes v)
{
    put_string(w, 2, v);
}

void cbor_put_text(struct cbor_writer *w, struct bytes v)
{
    if (!w->err && !utf8_is_valid(v))
        w->err = E_INVALID;
    put_string(w, 3, v);
}

void cbor_put_str(struct cbor_writer *w, const char *v)
{
    cbor_put_text(w, bytes_str(v));
}

static void put_small(struct cbor_writer *w, uint8_t byte)
{
    size_t at = buf_len(w->out);
    if (!w->err)
        w->err = buf_append_byte(w->out, byte);
    count_item(w, at, false);
}

void cbor_put_bool(struct cbor_writer *w, bool v)
{
    put_small(w, v ? 0xf5 : 0xf4);
}

void cbor_put_null(struct cbor_writer *w)
{
    put_small(w, 0xf6);
}

void cbor_put_float(struct cbor_writer *w, double v)
{
    uint8_t raw[9];
    uint64_t u;
    uint16_t half;
    uint32_t single;
    float f = (float)v;
    size_t n;
    if (isnan(v) || ((double)f == v && cbor_float_to_half(f, &half))) {
        u = isnan(v) ? 0x7e00 : half;
        raw[0] = 0xf9;
        n = 2;
    } else if ((double)f == v) {
        memcpy(&single, &f, 4);
        u = single;
        raw[0] = 0xfa;
        n = 4;
    } else {
        memcpy(&u, &v, 8);
        raw[0] = 0xfb;
        n = 8;
    }
    for (size_t i = 0; i < n; i++)
        raw[1 + i] = (uint8_t)(u >> (8 * (n - 1 - i)));
    size_t at = buf_len(w->out);
    if (!w->err)
        w->err = buf_append(w->out, raw, 1 + n);
    count_item(w, at, false);
}

static void put_container(struct cbor_writer *w, bool is_map, uint64_t count)
{
    size_t at = buf_len(w->out);
    put_head(w, is_map ? 5 : 4, count);
    if (count > 0 && w->depth == LIMIT_CBOR_DEPTH && !w->err)
        w->err = E_LIMIT;
    if (w->err)
        return;
    /* the container counts as its parent's item now; its own items follow */
    if (count == 0) {
        count_item(w, at, false);
        return;
    }
    if (w->depth && w->stack[w->depth - 1].is_map && w->stack[w->depth - 1].left % 2 == 0)
        w->err = E_INVALID; /* as a key */
    if (w->depth)
        w->stack[w->depth - 1].left--;
    w->stack[w->depth++] =
        (struct cbor_level){.left = is_map ? 2 * count : count, .is_map = is_map};
}

void cbor_put_array(struct cbor_writer *w, uint64_t count)
{
    put_container(w, false, count);
}

void cbor_put_map(struct cbor_writer *w, uint64_t pairs)
{
    put_container(w, true, pairs);
}

void cbor_put_raw(struct cbor_writer *w, struct bytes value)
{
    size_t at = buf_len(w->out);
    if (!w->err)
        w->err = cbor_check(value) ? E_INVALID : buf_append_bytes(w->out, value);
    count_item(w, at, false);
}

int cbor_writer_finish(struct cbor_writer *w)
{
    if (!w->err && w->depth)
        w->err = E_INVALID;
    return w->err;
}
