// SPDX-License-Identifier: MIT
/* See autonat_message.h. */
#include "p2p/autonat_message.h"

#include "codec/pb.h"

/* --- v1 (proto2: what is set is put, zero too) --- */

static void put_dial(struct pb_writer *w, const struct autonat_v1 *m)
{
    size_t dial = pb_begin(w, 2), peer = pb_begin(w, 1);
    if (m->peer.n)
        pb_put_bytes(w, 1, m->peer);
    for (size_t i = 0; i < m->addr_count; i++)
        pb_put_bytes(w, 2, m->addrs[i]);
    pb_end(w, peer);
    pb_end(w, dial);
}

static void put_response(struct pb_writer *w, const struct autonat_v1 *m)
{
    size_t mark = pb_begin(w, 3);
    pb_put_u64(w, 1, m->status);
    if (m->text.n)
        pb_put_bytes(w, 2, m->text);
    if (m->addr.n)
        pb_put_bytes(w, 3, m->addr);
    pb_end(w, mark);
}

int autonat_v1_encode(const struct autonat_v1 *m, struct buf *out)
{
    struct pb_writer w = pb_write(out);
    size_t frame = pb_frame_begin(&w);
    pb_put_u64(&w, 1, m->kind);
    if (m->kind == AUTONAT_DIAL)
        put_dial(&w, m);
    else
        put_response(&w, m);
    pb_frame_end(&w, frame);
    return w.err;
}

static void take_addr(struct bytes addrs[static LIMIT_AUTONAT_ADDRS], size_t *n, struct bytes addr)
{
    if (*n < LIMIT_AUTONAT_ADDRS)
        addrs[(*n)++] = addr;
}

static int take_peer(struct bytes message, struct autonat_v1 *out)
{
    struct pb_reader r = pb_read(message);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.wire == PB_BYTES && f.number == 1)
            out->peer = f.bytes;
        else if (f.wire == PB_BYTES && f.number == 2)
            take_addr(out->addrs, &out->addr_count, f.bytes);
    return r.err;
}

static int take_dial(struct bytes message, struct autonat_v1 *out)
{
    struct pb_reader r = pb_read(message);
    struct pb_field f;
    int err = 0;
    while (!err && pb_next(&r, &f))
        if (f.wire == PB_BYTES && f.number == 1)
            err = take_peer(f.bytes, out);
    return err ? err : r.err;
}

static int take_response(struct bytes message, struct autonat_v1 *out)
{
    struct pb_reader r = pb_read(message);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.wire == PB_VARINT && f.number == 1)
            out->status = f.u64 > UINT32_MAX ? UINT32_MAX : (uint32_t)f.u64;
        else if (f.wire == PB_BYTES && f.number == 2)
            out->text = f.bytes;
        else if (f.wire == PB_BYTES && f.number == 3)
            out->addr = f.bytes;
    return r.err;
}

int autonat_v1_decode(struct bytes message, struct autonat_v1 *out)
{
    struct pb_reader r = pb_read(message);
    struct pb_field f;
    uint64_t kind = 0;
    bool has_dial = false, has_response = false;
    int err = 0;
    *out = (struct autonat_v1){.status = AUTONAT_V1_INTERNAL};
    while (!err && pb_next(&r, &f)) {
        if (f.wire == PB_VARINT && f.number == 1) {
            kind = f.u64;
        } else if (f.wire == PB_BYTES && f.number == 2 && !has_dial) {
            has_dial = true;
            err = take_dial(f.bytes, out);
        } else if (f.wire == PB_BYTES && f.number == 3 && !has_response) {
            has_response = true;
            out->status = AUTONAT_V1_OK; /* zero may be absent */
            err = take_response(f.bytes, out);
        }
    }
    if (err || r.err)
        return err ? err : r.err;
    if (kind > AUTONAT_DIAL_RESPONSE || (kind == AUTONAT_DIAL ? !has_dial : !has_response))
        return E_MALFORMED;
    out->kind = (enum autonat_v1_kind)kind;
    return 0;
}

/* --- v2 (proto3) --- */

static void put_v2(struct pb_writer *w, const struct autonat_v2 *m)
{
    switch (m->kind) {
    case AUTONAT_DIAL_REQUEST:
        for (size_t i = 0; i < m->addr_count; i++)
            pb_put_bytes(w, 1, m->addrs[i]);
        pb_put_fixed64(w, 2, m->nonce);
        return;
    case AUTONAT_DIAL_ANSWER:
        pb_put_u64(w, 1, m->status);
        pb_put_u64(w, 2, m->addr_index);
        pb_put_u64(w, 3, m->dial);
        return;
    case AUTONAT_DATA_REQUEST:
        pb_put_u64(w, 1, m->addr_index);
        pb_put_u64(w, 2, m->data_bytes);
        return;
    case AUTONAT_DATA:
        pb_put_bytes(w, 1, m->data);
        return;
    }
}

int autonat_v2_encode(const struct autonat_v2 *m, struct buf *out)
{
    struct pb_writer w = pb_write(out);
    size_t frame = pb_frame_begin(&w), part = pb_begin(&w, m->kind);
    put_v2(&w, m);
    pb_end(&w, part);
    pb_frame_end(&w, frame);
    return w.err;
}

static uint32_t small(uint64_t v)
{
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static void take_v2_field(struct autonat_v2 *out, const struct pb_field *f)
{
    bool is_bytes = f->wire == PB_BYTES, is_int = f->wire == PB_VARINT;
    switch (out->kind) {
    case AUTONAT_DIAL_REQUEST:
        if (f->number == 1 && is_bytes)
            take_addr(out->addrs, &out->addr_count, f->bytes);
        else if (f->number == 2 && f->wire == PB_FIXED64)
            out->nonce = f->u64;
        return;
    case AUTONAT_DIAL_ANSWER:
        if (f->number == 1 && is_int)
            out->status = small(f->u64);
        else if (f->number == 2 && is_int)
            out->addr_index = small(f->u64);
        else if (f->number == 3 && is_int)
            out->dial = small(f->u64);
        return;
    case AUTONAT_DATA_REQUEST:
        if (f->number == 1 && is_int)
            out->addr_index = small(f->u64);
        else if (f->number == 2 && is_int)
            out->data_bytes = f->u64;
        return;
    case AUTONAT_DATA:
        if (f->number == 1 && is_bytes)
            out->data = f->bytes;
        return;
    }
}

static int take_v2(struct bytes part, struct autonat_v2 *out)
{
    struct pb_reader r = pb_read(part);
    struct pb_field f;
    while (pb_next(&r, &f))
        take_v2_field(out, &f);
    return r.err;
}

int autonat_v2_decode(struct bytes message, struct autonat_v2 *out)
{
    struct pb_reader r = pb_read(message);
    struct pb_field f;
    int err = 0;
    *out = (struct autonat_v2){0};
    while (!err && pb_next(&r, &f)) {
        if (f.wire != PB_BYTES || f.number < AUTONAT_DIAL_REQUEST || f.number > AUTONAT_DATA)
            continue;
        if (out->kind)
            return E_MALFORMED;
        out->kind = (enum autonat_v2_kind)f.number;
        err = take_v2(f.bytes, out);
    }
    if (err || r.err)
        return err ? err : r.err;
    return out->kind ? 0 : E_MALFORMED;
}

/* --- the dial-back --- */

int autonat_back_encode(uint64_t nonce, struct buf *out)
{
    struct pb_writer w = pb_write(out);
    size_t frame = pb_frame_begin(&w);
    pb_put_fixed64(&w, 1, nonce);
    pb_frame_end(&w, frame);
    return w.err;
}

int autonat_back_decode(struct bytes message, uint64_t *nonce)
{
    struct pb_reader r = pb_read(message);
    struct pb_field f;
    *nonce = 0;
    while (pb_next(&r, &f))
        if (f.number == 1 && f.wire == PB_FIXED64)
            *nonce = f.u64;
    return r.err;
}

int autonat_back_answer_encode(struct buf *out)
{
    struct pb_writer w = pb_write(out);
    size_t frame = pb_frame_begin(&w);
    pb_put_u64(&w, 1, 0);
    pb_frame_end(&w, frame);
    return w.err;
}

int autonat_back_answer_decode(struct bytes message, uint32_t *status)
{
    struct pb_reader r = pb_read(message);
    struct pb_field f;
    *status = 0;
    while (pb_next(&r, &f))
        if (f.number == 1 && f.wire == PB_VARINT)
            *status = small(f.u64);
    return r.err;
}
