// SPDX-License-Identifier: MIT
/* Reading and verifying an offer. Nothing in it is believed before its signature: the peer id is
 * read, its key found (in the id, or beside it), the bytes verified, and only then the rest kept.
 *
 * Unknown keys are skipped, so that the format can grow; known ones must be what they should be. */
#include "offer/offer.h"

#include "base/limits.h"
#include "codec/cbor.h"
#include "offer/offer_wire.h"

/* Text for people and for headers: no control characters, since a stranger wrote it. */
static int get_word(struct cbor_reader *r, char *out, size_t size)
{
    struct bytes v;
    int err = cbor_get_text(r, size - 1, &v);
    if (err)
        return err;
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < 0x20 || v.p[i] == 0x7f)
            return E_MALFORMED;
    memcpy(out, v.p, v.n);
    out[v.n] = 0;
    return 0;
}

static int get_u32(struct cbor_reader *r, uint32_t *out)
{
    uint64_t v;
    int err = cbor_get_uint(r, &v);
    if (!err && v > UINT32_MAX)
        err = E_LIMIT;
    if (!err)
        *out = (uint32_t)v;
    return err;
}

/* A value under a key we do not know. */
static int skip_value(struct cbor_reader *r)
{
    struct cbor_item item;
    ssize_t used = cbor_next(r, &item);
    if (used > 0)
        used = cbor_skip(r, &item);
    return used < 0 ? (int)used : 0; /* cut ones are found by the next step */
}

static int get_digest(struct cbor_reader *r, struct offer *o)
{
    struct bytes v;
    int err = cbor_get_bytes(r, sizeof o->digest, &v);
    if (err || v.n != sizeof o->digest)
        return err ? err : E_MALFORMED;
    memcpy(o->digest, v.p, v.n);
    o->has_digest = true;
    return 0;
}

static int get_aliases(struct cbor_reader *r, struct offer *o)
{
    size_t n;
    int err = cbor_get_array(r, OFFER_ALIASES, &n);
    for (size_t i = 0; !err && i < n; i++) {
        err = get_word(r, o->alias[i], sizeof o->alias[i]);
        if (!err && !o->alias[i][0])
            err = E_MALFORMED; /* "" ends the list in memory */
    }
    return err;
}

static int openai_member(struct cbor_reader *r, uint64_t key, struct offer *o)
{
    switch (key) {
    case OPENAI_MODEL:
        return get_word(r, o->model, sizeof o->model);
    case OPENAI_DIGEST:
        return get_digest(r, o);
    case OPENAI_QUANT:
        return get_word(r, o->quant, sizeof o->quant);
    case OPENAI_CONTEXT:
        return get_u32(r, &o->context);
    case OPENAI_ABILITIES:
        return get_u32(r, &o->abilities);
    case OPENAI_ALIASES:
        return get_aliases(r, o);
    default:
        return skip_value(r);
    }
}

/* {1: a, 2: b}, both as 64 bits; others skipped. */
static int get_pair(struct cbor_reader *r, uint64_t *a, uint64_t *b)
{
    size_t n;
    uint64_t key;
    int err = cbor_get_map(r, 16, &n);
    for (size_t i = 0; !err && i < n; i++) {
        err = cbor_get_uint(r, &key);
        if (!err)
            err = key == 1 ? cbor_get_uint(r, a) : key == 2 ? cbor_get_uint(r, b) : skip_value(r);
    }
    return err;
}

static int get_limits(struct cbor_reader *r, struct offer *o)
{
    uint64_t rpm = 0, concurrent = 0;
    int err = get_pair(r, &rpm, &concurrent);
    if (!err && (rpm > UINT32_MAX || concurrent > UINT32_MAX))
        err = E_LIMIT;
    o->requests_per_minute = (uint32_t)rpm;
    o->max_concurrent = (uint32_t)concurrent;
    return err;
}

static int get_hours(struct cbor_reader *r, struct offer *o)
{
    size_t n;
    uint64_t from = 0, to = 0;
    int err = cbor_get_array(r, 2, &n);
    if (!err && n != 2)
        err = E_MALFORMED;
    if (!err)
        err = cbor_get_uint(r, &from);
    if (!err)
        err = cbor_get_uint(r, &to);
    if (!err && (from >= 1440 || to > 1440))
        err = E_LIMIT;
    o->hours_start = (uint16_t)from;
    o->hours_end = (uint16_t)to;
    return err;
}

static int get_peer(struct cbor_reader *r, struct offer *o)
{
    struct bytes v;
    int err = cbor_get_bytes(r, PEER_ID_MAX, &v);
    return err ? err : peer_id_decode(v, &o->peer);
}

static int offer_member(struct cbor_reader *r, uint64_t key, struct offer *o, struct bytes *payload)
{
    switch (key) {
    case OFFER_KEY_PEER:
        return get_peer(r, o);
    case OFFER_KEY_ID:
        return get_word(r, o->id, sizeof o->id);
    case OFFER_KEY_SEQ:
        return cbor_get_uint(r, &o->seq);
    case OFFER_KEY_EXPIRES:
        return cbor_get_uint(r, &o->expires_ms);
    case OFFER_KEY_PROTOCOL:
        return get_word(r, o->protocol, sizeof o->protocol);
    case OFFER_KEY_PAYLOAD:
        return cbor_get_bytes(r, LIMIT_OFFER_PAYLOAD, payload);
    case OFFER_KEY_LIMITS:
        return get_limits(r, o);
    case OFFER_KEY_PRICE:
        return get_pair(r, &o->price_in_micro, &o->price_out_micro);
    case OFFER_KEY_HOURS:
        return get_hours(r, o);
    case OFFER_KEY_REGION:
        return get_word(r, o->region, sizeof o->region);
    default:
        return skip_value(r);
    }
}

/* A whole map with number keys; `payload` NULL: the payload's own map. */
static int read_map(struct bytes in, struct offer *o, struct bytes *payload)
{
    struct cbor_reader r;
    size_t n;
    uint64_t key;
    int err = cbor_check(in);
    cbor_reader_init(&r, in);
    if (!err)
        err = cbor_get_map(&r, 64, &n);
    for (size_t i = 0; !err && i < n; i++) {
        err = cbor_get_uint(&r, &key);
        if (!err)
            err = payload ? offer_member(&r, key, o, payload) : openai_member(&r, key, o);
    }
    return err == E_EOF ? E_MALFORMED : err;
}

static int read_offer(struct bytes in, struct offer *o)
{
    struct bytes payload = bytes_of("", 0);
    int err = read_map(in, o, &payload);
    if (err)
        return err;
    if (peer_id_is_none(&o->peer) || !o->id[0] || !o->protocol[0] || !o->expires_ms)
        return E_MALFORMED;
    if (strcmp(o->protocol, OFFER_OPENAI) != 0)
        return 0; /* carried without being understood */
    err = read_map(payload, o, NULL);
    return err ? err : o->model[0] ? 0 : E_MALFORMED;
}

/* [offer, key, signature] */
static int split_signed(struct bytes in, struct bytes part[static 3])
{
    struct cbor_reader r;
    size_t n = 0;
    if (in.n > LIMIT_OFFER)
        return E_TOO_BIG;
    int err = cbor_check(in);
    cbor_reader_init(&r, in);
    if (!err)
        err = cbor_get_array(&r, 3, &n);
    if (!err && n != 3)
        err = E_MALFORMED;
    for (size_t i = 0; !err && i < 3; i++)
        err = cbor_get_bytes(&r, LIMIT_OFFER, &part[i]);
    return err == E_EOF ? E_MALFORMED : err;
}

static int verify(const struct bytes part[static 3], const struct peer_id *peer)
{
    struct bytes key = part[1].n ? part[1] : peer_id_inline_key(peer);
    struct peer_id signer;
    struct buf message;
    buf_init(&message, 0);
    int err = offer_signed_bytes(part[0], &message);
    if (!err)
        err = key_verify_message(key, buf_view(&message), part[2], &signer);
    if (!err && !peer_id_eq(&signer, peer))
        err = E_WRONG_PEER;
    buf_fini(&message);
    return err;
}

int offer_verify(struct bytes in, const struct peer_id *from, uint64_t now_ms, struct offer *out)
{
    struct bytes part[3];
    *out = (struct offer){0};
    int err = split_signed(in, part);
    if (!err)
        err = read_offer(part[0], out);
    if (!err && from && !peer_id_eq(from, &out->peer))
        err = E_WRONG_PEER;
    if (!err)
        err = verify(part, &out->peer);
    if (!err && out->expires_ms <= now_ms)
        err = E_EXPIRED;
    if (!err && out->expires_ms - now_ms > LIMIT_OFFER_LIFETIME_MS)
        err = E_LIMIT;
    if (err)
        *out = (struct offer){0};
    return err;
}
