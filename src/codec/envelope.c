// SPDX-License-Identifier: MIT
/* Signed envelopes and peer records; see envelope.h. */
#include "codec/envelope.h"

#include "codec/multiaddr.h"
#include "codec/pb.h"
#include "codec/varint.h"

#define DOMAIN_GO   "libp2p-peer-record"
#define TYPE_GO     BYTES_LIT("\x03\x01")
#define DOMAIN_SPEC "libp2p-routing-state"
#define TYPE_SPEC   BYTES_LIT("/libp2p/routing-state-record")

static int put_prefixed(struct buf *b, struct bytes v)
{
    int err = varint_append(b, v.n);
    return err ? err : buf_append_bytes(b, v);
}

/* What is signed. */
static int signed_bytes(const char *domain, struct bytes type, struct bytes payload, struct buf *b)
{
    int err = put_prefixed(b, bytes_str(domain));
    if (!err)
        err = put_prefixed(b, type);
    if (!err)
        err = put_prefixed(b, payload);
    return err;
}

int envelope_seal(const struct key_pair *k, const char *domain, struct bytes type,
                  struct bytes payload, struct buf *out)
{
    uint8_t sig[KEY_SIG_SIZE], key[KEY_PUBLIC_MESSAGE];
    struct buf b;
    buf_init(&b, 0);
    int err = signed_bytes(domain, type, payload, &b);
    if (!err) {
        key_sign(k, buf_view(&b), sig);
        key_pair_public_message(k, key);
        struct pb_writer w = pb_write(out);
        pb_put_bytes(&w, 1, bytes_of(key, sizeof key));
        pb_put_bytes(&w, 2, type);
        pb_put_bytes(&w, 3, payload);
        pb_put_bytes(&w, 5, bytes_of(sig, sizeof sig));
        err = w.err;
    }
    buf_fini(&b);
    return err;
}

static int envelope_decode(struct bytes in, struct envelope *out)
{
    struct pb_reader r = pb_read(in);
    struct pb_field f;
    *out = (struct envelope){0};
    if (in.n > LIMIT_ENVELOPE)
        return E_TOO_BIG;
    while (pb_next(&r, &f)) {
        if (f.wire != PB_BYTES)
            continue;
        switch (f.number) {
        case 1:
            out->public_key = f.bytes;
            break;
        case 2:
            out->payload_type = f.bytes;
            break;
        case 3:
            out->payload = f.bytes;
            break;
        case 5:
            out->signature = f.bytes;
            break;
        }
    }
    return r.err;
}

static int envelope_verify(struct envelope *e, const char *domain)
{
    struct buf b;
    buf_init(&b, 0);
    int err = signed_bytes(domain, e->payload_type, e->payload, &b);
    if (!err)
        err = key_verify_message(e->public_key, buf_view(&b), e->signature, &e->signer);
    buf_fini(&b);
    return err;
}

int envelope_open(struct bytes in, const char *domain, struct envelope *out)
{
    int err = envelope_decode(in, out);
    return err ? err : envelope_verify(out, domain);
}

int peer_record_seal(const struct key_pair *k, uint64_t seq, const struct bytes *addrs,
                     size_t addr_count, struct buf *out)
{
    struct buf b;
    buf_init(&b, LIMIT_ENVELOPE);
    struct pb_writer w = pb_write(&b);
    pb_put_bytes(&w, 1, peer_id_bytes(&k->id));
    pb_put_u64(&w, 2, seq);
    for (size_t i = 0; i < addr_count; i++) {
        size_t mark = pb_begin(&w, 3);
        pb_put_bytes(&w, 1, addrs[i]);
        pb_end(&w, mark);
    }
    int err = w.err ? w.err : envelope_seal(k, DOMAIN_GO, TYPE_GO, buf_view(&b), out);
    buf_fini(&b);
    return err;
}

static int take_address(struct peer_record *r, struct bytes info)
{
    struct pb_reader in = pb_read(info);
    struct pb_field f;
    while (pb_next(&in, &f))
        if (f.number == 1 && f.wire == PB_BYTES && r->addr_count < LIMIT_PEER_RECORD_ADDRS &&
            multiaddr_check(f.bytes) == 0)
            r->addrs[r->addr_count++] = f.bytes;
    return in.err;
}

int peer_record_open(struct bytes in, struct peer_record *out)
{
    struct envelope e;
    struct pb_field f;
    *out = (struct peer_record){0};
    int err = envelope_decode(in, &e);
    if (err)
        return err;
    bool is_spec = bytes_eq(e.payload_type, TYPE_SPEC);
    if (!is_spec && !bytes_eq(e.payload_type, TYPE_GO))
        return E_UNSUPPORTED;
    err = envelope_verify(&e, is_spec ? DOMAIN_SPEC : DOMAIN_GO);
    if (err)
        return err;
    struct pb_reader r = pb_read(e.payload);
    while (!err && pb_next(&r, &f)) {
        if (f.number == 1 && f.wire == PB_BYTES)
            err = peer_id_decode(f.bytes, &out->peer);
        else if (f.number == 2 && f.wire == PB_VARINT)
            out->seq = f.u64;
        else if (f.number == 3 && f.wire == PB_BYTES)
            err = take_address(out, f.bytes);
    }
    if (err || r.err)
        return E_MALFORMED;
    return peer_id_eq(&out->peer, &e.signer) ? 0 : E_WRONG_PEER;
}
