// SPDX-License-Identifier: MIT
/* See identify.h. */
#include "p2p/identify.h"

#include "codec/pb.h"
#include "codec/varint.h"

enum {
    F_PUBLIC_KEY = 1,
    F_ADDRS = 2,
    F_PROTOCOLS = 3,
    F_OBSERVED = 4,
    F_VERSION = 5,
    F_AGENT = 6,
    F_SIGNED_RECORD = 8
};

static void put_optional(struct pb_writer *w, uint32_t number, struct bytes v)
{
    if (v.n)
        pb_put_bytes(w, number, v);
}

/* The message with so many addresses, and the record or not. */
static int encode(const struct identify *id, size_t addr_count, bool has_record, struct buf *out)
{
    struct pb_writer w = pb_write(out);
    size_t mark = pb_frame_begin(&w);
    put_optional(&w, F_PUBLIC_KEY, id->public_key);
    for (size_t i = 0; i < addr_count; i++)
        pb_put_bytes(&w, F_ADDRS, id->addrs[i]);
    for (size_t i = 0; i < id->protocol_count; i++)
        pb_put_bytes(&w, F_PROTOCOLS, id->protocols[i]);
    put_optional(&w, F_OBSERVED, id->observed);
    put_optional(&w, F_VERSION, id->version);
    put_optional(&w, F_AGENT, id->agent);
    if (has_record)
        put_optional(&w, F_SIGNED_RECORD, id->signed_record);
    pb_frame_end(&w, mark);
    return w.err;
}

int identify_encode(const struct identify *id, struct buf *out)
{
    bool has_record = id->signed_record.n > 0;
    size_t addrs = id->addr_count;
    for (;;) {
        struct buf message;
        buf_init(&message, 0);
        int err = encode(id, addrs, has_record, &message);
        bool fits = buf_len(&message) <= LIMIT_IDENTIFY_OUT;
        if (!err && fits)
            err = buf_append_bytes(out, buf_view(&message));
        buf_fini(&message);
        if (err || fits)
            return err;
        if (has_record)
            has_record = false;
        else if (addrs)
            addrs--;
        else
            return E_TOO_BIG;
    }
}

static void take_field(struct identify *out, const struct pb_field *f)
{
    switch (f->number) {
    case F_PUBLIC_KEY:
        out->public_key = f->bytes;
        break;
    case F_OBSERVED:
        out->observed = f->bytes;
        break;
    case F_VERSION:
        out->version = f->bytes;
        break;
    case F_AGENT:
        out->agent = f->bytes;
        break;
    case F_SIGNED_RECORD:
        out->signed_record = f->bytes;
        break;
    case F_ADDRS:
        if (out->addr_count < LIMIT_PEER_ADDRS)
            out->addrs[out->addr_count++] = f->bytes;
        break;
    case F_PROTOCOLS:
        if (out->protocol_count < LIMIT_PEER_PROTOCOLS)
            out->protocols[out->protocol_count++] = f->bytes;
        break;
    default:
        break;
    }
}

static int decode_one(struct bytes message, struct identify *out)
{
    struct pb_reader r = pb_read(message);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.wire == PB_BYTES)
            take_field(out, &f);
    return r.err;
}

int identify_decode(struct bytes in, struct identify *out)
{
    struct cursor c = cursor_of(in);
    memset(out, 0, sizeof *out);
    if (in.n == 0)
        return E_EOF;
    for (int i = 0; cursor_left(&c) > 0; i++) {
        struct bytes message = {0};
        if (i == LIMIT_IDENTIFY_PARTS)
            return E_LIMIT;
        ssize_t n = cursor_prefixed(&c, LIMIT_IDENTIFY_IN, &message);
        int err = n < 0 ? (int)n : n == 0 ? E_MALFORMED : decode_one(message, out);
        if (err)
            return err;
    }
    return 0;
}
