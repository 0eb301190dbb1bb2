// SPDX-License-Identifier: MIT
/* Kademlia's message; see message.h. */
#include "dht/message.h"

#include "codec/pb.h"

enum { F_RECORD = 3, F_RECORD_KEY = 1, F_RECORD_VALUE = 2 };
enum { F_TYPE = 1, F_KEY = 2, F_PEER_ID = 1, F_PEER_ADDR = 2, F_PEER_CONNECTION = 3 };
enum { CONNECTION_CAN = 2 };

int dht_message_decode(struct bytes in, struct dht_message *m)
{
    struct pb_reader r = pb_read(in);
    struct pb_field f;
    *m = (struct dht_message){.whole = in};
    if (in.n > LIMIT_DHT_MESSAGE)
        return E_TOO_BIG;
    while (pb_next(&r, &f)) {
        if (f.number == F_TYPE && f.wire == PB_VARINT)
            m->type = f.u64;
        else if (f.number == F_KEY && f.wire == PB_BYTES)
            m->key = f.bytes;
        else if (f.number == F_RECORD && f.wire == PB_BYTES)
            m->record = f.bytes;
    }
    return r.err;
}

int dht_message_value(const struct dht_message *m, struct bytes *value)
{
    struct pb_reader r = pb_read(m->record);
    struct pb_field f;
    struct bytes key = {0};
    *value = (struct bytes){0};
    if (!m->record.p)
        return E_NOT_FOUND;
    while (pb_next(&r, &f)) {
        if (f.number == F_RECORD_KEY && f.wire == PB_BYTES)
            key = f.bytes;
        else if (f.number == F_RECORD_VALUE && f.wire == PB_BYTES)
            *value = f.bytes;
    }
    return r.err || !bytes_eq(key, m->key) ? E_MALFORMED : 0;
}

int dht_message_put_value(struct buf *out, struct bytes key, struct bytes value)
{
    struct pb_writer w = pb_write(out);
    size_t mark = pb_begin(&w, F_RECORD);
    pb_put_bytes(&w, F_RECORD_KEY, key);
    pb_put_bytes(&w, F_RECORD_VALUE, value);
    pb_end(&w, mark);
    return w.err;
}

/* False when it is not a peer we can speak of. */
static bool read_peer(struct bytes in, struct dht_message_peer *out)
{
    struct pb_reader r = pb_read(in);
    struct pb_field f;
    bool has_id = false;
    out->peer = (struct dht_peer){.addrs = out->addrs};
    while (pb_next(&r, &f)) {
        if (f.wire != PB_BYTES)
            continue;
        if (f.number == F_PEER_ID)
            has_id = peer_id_decode(f.bytes, &out->peer.id) == 0;
        else if (f.number == F_PEER_ADDR && f.bytes.n && f.bytes.n <= LIMIT_DHT_ADDR &&
                 out->peer.addr_count < LIMIT_DHT_ADDRS)
            out->addrs[out->peer.addr_count++] = f.bytes;
    }
    return has_id && !r.err;
}

bool dht_message_next(enum dht_field field, struct bytes *rest, struct dht_message_peer *out)
{
    struct pb_reader r = pb_read(*rest);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == (uint32_t)field && f.wire == PB_BYTES && read_peer(f.bytes, out)) {
            *rest = r.rest;
            return true;
        }
    }
    *rest = bytes_skip(*rest, rest->n);
    return false;
}

int dht_message_begin(struct buf *out, enum dht_type type, struct bytes key)
{
    struct pb_writer w = pb_write(out);
    pb_put_u64(&w, F_TYPE, type);
    if (key.n)
        pb_put_bytes(&w, F_KEY, key);
    return w.err;
}

int dht_message_add(struct buf *out, enum dht_field field, const struct dht_peer *peer,
                    size_t limit)
{
    struct pb_writer w = pb_write(out);
    size_t before = buf_len(out), mark = pb_begin(&w, field);
    pb_put_bytes(&w, F_PEER_ID, peer_id_bytes(&peer->id));
    for (int i = 0; i < peer->addr_count && i < LIMIT_DHT_ADDRS; i++)
        pb_put_bytes(&w, F_PEER_ADDR, peer->addrs[i]);
    pb_put_u64(&w, F_PEER_CONNECTION, CONNECTION_CAN);
    pb_end(&w, mark);
    if (!w.err && buf_len(out) > limit)
        w.err = E_TOO_BIG;
    if (w.err)
        out->tail = out->head + before;
    return w.err;
}
