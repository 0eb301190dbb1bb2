// SPDX-License-Identifier: MIT
/* See relay_message.h. Hop and stop differ in the numbers of their fields and types only. */
#include "p2p/relay_message.h"

#include "codec/envelope.h"
#include "codec/pb.h"
#include "codec/varint.h"

#define VOUCHER_DOMAIN "libp2p-relay-rsvp"
#define VOUCHER_TYPE   BYTES_LIT("\x03\x02")

enum { F_TYPE = 1, F_PEER = 2, TYPES = 3, NONE = -1 };

struct dialect {
    int types[TYPES]; /* of enum relay_type, on the wire */
    int reservation, limit, status;
};
static const struct dialect hop = {{0, 1, 2}, 3, 4, 5};
static const struct dialect stop = {{NONE, 0, 1}, NONE, 3, 4};

const char *relay_status_text(uint32_t status)
{
    switch (status) {
    case RELAY_OK:
        return "the relay agreed";
    case RELAY_REFUSED:
        return "the relay refused";
    case RELAY_RESOURCE_LIMIT:
        return "the relay is full, or a limit of it is reached";
    case RELAY_DENIED:
        return "the relay does not serve us";
    case RELAY_CONNECTION_FAILED:
        return "the relay could not reach the peer";
    case RELAY_NO_RESERVATION:
        return "the peer has no reservation at the relay";
    case RELAY_MALFORMED:
    case RELAY_UNEXPECTED:
        return "the relay did not understand us";
    default:
        return "the relay said something unknown";
    }
}

/* --- writing --- */

static void put_peer(struct pb_writer *w, const struct peer_id *id)
{
    size_t mark = pb_begin(w, F_PEER);
    pb_put_bytes(w, 1, peer_id_bytes(id));
    pb_end(w, mark);
}

static void put_reservation(struct pb_writer *w, int number, const struct relay_message *m)
{
    size_t mark = pb_begin(w, (uint32_t)number);
    pb_put_u64(w, 1, m->expires_s);
    for (size_t i = 0; i < m->addr_count; i++)
        pb_put_bytes(w, 2, m->addrs[i]);
    if (m->voucher.n)
        pb_put_bytes(w, 3, m->voucher);
    pb_end(w, mark);
}

static void put_limit(struct pb_writer *w, int number, const struct relay_limit *l)
{
    size_t mark = pb_begin(w, (uint32_t)number);
    if (l->duration_s)
        pb_put_u64(w, 1, l->duration_s);
    if (l->bytes)
        pb_put_u64(w, 2, l->bytes);
    pb_end(w, mark);
}

static int encode(const struct relay_message *m, const struct dialect *d, struct buf *out)
{
    if (d->types[m->type] == NONE)
        return E_INVALID;
    struct buf message;
    buf_init(&message, 0);
    struct pb_writer w = pb_write(&message);
    pb_put_u64(&w, F_TYPE, (uint64_t)d->types[m->type]);
    if (m->has_peer)
        put_peer(&w, &m->peer);
    if (m->has_reservation && d->reservation != NONE)
        put_reservation(&w, d->reservation, m);
    if (relay_limit_is_any(&m->limit))
        put_limit(&w, d->limit, &m->limit);
    if (m->status)
        pb_put_u64(&w, (uint32_t)d->status, m->status);
    int err = w.err;
    if (!err && buf_len(&message) > LIMIT_RELAY_MESSAGE)
        err = E_TOO_BIG;
    if (!err)
        err = varint_append(out, buf_len(&message));
    if (!err)
        err = buf_append_bytes(out, buf_view(&message));
    buf_fini(&message);
    return err;
}

int relay_hop_encode(const struct relay_message *m, struct buf *out)
{
    return encode(m, &hop, out);
}

int relay_stop_encode(const struct relay_message *m, struct buf *out)
{
    return encode(m, &stop, out);
}

/* --- reading --- */

/* Its addresses are not wanted: who is there is known by where the message came from. */
static int take_peer(struct bytes in, struct relay_message *out)
{
    struct pb_reader r = pb_read(in);
    struct pb_field f;
    out->has_peer = false;
    while (pb_next(&r, &f))
        if (f.number == 1 && f.wire == PB_BYTES) {
            if (peer_id_decode(f.bytes, &out->peer) != 0)
                return E_MALFORMED;
            out->has_peer = true;
        }
    return r.err ? r.err : out->has_peer ? 0 : E_MALFORMED;
}

static int take_reservation(struct bytes in, struct relay_message *out)
{
    struct pb_reader r = pb_read(in);
    struct pb_field f;
    out->has_reservation = true;
    out->addr_count = 0;
    while (pb_next(&r, &f)) {
        if (f.number == 1 && f.wire == PB_VARINT)
            out->expires_s = f.u64;
        else if (f.number == 2 && f.wire == PB_BYTES && out->addr_count < LIMIT_RELAY_ADDRS)
            out->addrs[out->addr_count++] = f.bytes;
        else if (f.number == 3 && f.wire == PB_BYTES)
            out->voucher = f.bytes;
    }
    return r.err;
}

static int take_limit(struct bytes in, struct relay_limit *out)
{
    struct pb_reader r = pb_read(in);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == 1 && f.wire == PB_VARINT)
            out->duration_s = f.u64 < UINT32_MAX ? (uint32_t)f.u64 : UINT32_MAX;
        else if (f.number == 2 && f.wire == PB_VARINT)
            out->bytes = f.u64;
    }
    return r.err;
}

static int take_type(uint64_t v, const struct dialect *d, struct relay_message *out)
{
    for (int i = 0; i < TYPES; i++)
        if (d->types[i] != NONE && (uint64_t)d->types[i] == v) {
            out->type = (enum relay_type)i;
            return 0;
        }
    return E_MALFORMED;
}

static int take_field(const struct pb_field *f, const struct dialect *d, struct relay_message *out)
{
    int n = (int)f->number;
    if (f->number > INT16_MAX)
        return 0;
    if (n == F_PEER && f->wire == PB_BYTES)
        return take_peer(f->bytes, out);
    if (n == d->reservation && f->wire == PB_BYTES)
        return take_reservation(f->bytes, out);
    if (n == d->limit && f->wire == PB_BYTES)
        return take_limit(f->bytes, &out->limit);
    if (n == d->status && f->wire == PB_VARINT)
        out->status = f->u64 < UINT32_MAX ? (uint32_t)f->u64 : UINT32_MAX;
    return 0;
}

static int decode(struct bytes in, const struct dialect *d, struct relay_message *out)
{
    struct pb_reader r = pb_read(in);
    struct pb_field f;
    bool has_type = false;
    *out = (struct relay_message){0};
    if (in.n > LIMIT_RELAY_MESSAGE)
        return E_TOO_BIG;
    while (pb_next(&r, &f)) {
        bool is_type = f.number == F_TYPE && f.wire == PB_VARINT;
        int err = is_type ? take_type(f.u64, d, out) : take_field(&f, d, out);
        if (err)
            return err;
        has_type |= is_type;
    }
    if (r.err || !has_type || (out->type == RELAY_CONNECT && !out->has_peer))
        return E_MALFORMED;
    return 0;
}

int relay_hop_decode(struct bytes in, struct relay_message *out)
{
    return decode(in, &hop, out);
}

int relay_stop_decode(struct bytes in, struct relay_message *out)
{
    return decode(in, &stop, out);
}

/* --- the voucher --- */

int relay_voucher_seal(const struct key_pair *relay, const struct peer_id *peer, uint64_t expires_s,
                       struct buf *out)
{
    struct buf payload;
    buf_init(&payload, 0);
    struct pb_writer w = pb_write(&payload);
    pb_put_bytes(&w, 1, peer_id_bytes(&relay->id));
    pb_put_bytes(&w, 2, peer_id_bytes(peer));
    pb_put_u64(&w, 3, expires_s);
    int err = w.err;
    if (!err)
        err = envelope_seal(relay, VOUCHER_DOMAIN, VOUCHER_TYPE, buf_view(&payload), out);
    buf_fini(&payload);
    return err;
}

int relay_voucher_open(struct bytes in, struct relay_voucher *out)
{
    struct envelope e;
    struct pb_field f;
    *out = (struct relay_voucher){0};
    int err = envelope_open(in, VOUCHER_DOMAIN, &e);
    if (err)
        return err;
    if (!bytes_eq(e.payload_type, VOUCHER_TYPE))
        return E_UNSUPPORTED;
    struct pb_reader r = pb_read(e.payload);
    while (!err && pb_next(&r, &f)) {
        if (f.number == 1 && f.wire == PB_BYTES)
            err = peer_id_decode(f.bytes, &out->relay);
        else if (f.number == 2 && f.wire == PB_BYTES)
            err = peer_id_decode(f.bytes, &out->peer);
        else if (f.number == 3 && f.wire == PB_VARINT)
            out->expires_s = f.u64;
    }
    if (err || r.err)
        return E_MALFORMED;
    return peer_id_eq(&out->relay, &e.signer) ? 0 : E_WRONG_PEER;
}
