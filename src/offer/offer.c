// SPDX-License-Identifier: MIT
/* Writing and signing an offer, and its view for people; docs/PROTOCOL-OFFER.md has the format.
 * Reading one is in offer_read.c. */
#include "offer/offer.h"

#include "base/limits.h"
#include "base/mem.h"
#include "codec/cbor.h"
#include "codec/json.h"
#include "codec/multibase.h"
#include "offer/offer_wire.h"

#include <stdio.h>

/* How many of these are said; a map's count comes before its pairs. */
static uint64_t count_said(const bool *said, size_t n)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += said[i];
    return count;
}

static size_t alias_count(const struct offer *o)
{
    size_t n = 0;
    while (n < OFFER_ALIASES && o->alias[n][0])
        n++;
    return n;
}

static int put_openai(const struct offer *o, struct buf *out)
{
    struct cbor_writer w;
    size_t aliases = alias_count(o);
    bool said[] = {true, o->has_digest, o->quant[0], o->context, o->abilities, aliases};
    cbor_writer_init(&w, out);
    cbor_put_map(&w, count_said(said, ARRAY_LEN(said)));
    cbor_put_uint(&w, OPENAI_MODEL);
    cbor_put_str(&w, o->model);
    if (o->has_digest) {
        cbor_put_uint(&w, OPENAI_DIGEST);
        cbor_put_bytes(&w, bytes_of(o->digest, sizeof o->digest));
    }
    if (o->quant[0]) {
        cbor_put_uint(&w, OPENAI_QUANT);
        cbor_put_str(&w, o->quant);
    }
    if (o->context) {
        cbor_put_uint(&w, OPENAI_CONTEXT);
        cbor_put_uint(&w, o->context);
    }
    if (o->abilities) {
        cbor_put_uint(&w, OPENAI_ABILITIES);
        cbor_put_uint(&w, o->abilities);
    }
    if (aliases) {
        cbor_put_uint(&w, OPENAI_ALIASES);
        cbor_put_array(&w, aliases);
        for (size_t i = 0; i < aliases; i++)
            cbor_put_str(&w, o->alias[i]);
    }
    return cbor_writer_finish(&w);
}

/* A map of two numbers, each left out when zero. */
static void put_pair(struct cbor_writer *w, uint64_t key, uint64_t a, uint64_t b)
{
    if (!a && !b)
        return;
    cbor_put_uint(w, key);
    cbor_put_map(w, !!a + !!b);
    if (a) {
        cbor_put_uint(w, 1);
        cbor_put_uint(w, a);
    }
    if (b) {
        cbor_put_uint(w, 2);
        cbor_put_uint(w, b);
    }
}

static int put_offer(const struct offer *o, struct bytes payload, struct buf *out)
{
    struct cbor_writer w;
    bool has_hours = o->hours_start != o->hours_end;
    bool said[] = {true,
                   true,
                   true,
                   true,
                   true,
                   payload.n > 0,
                   o->max_concurrent || o->requests_per_minute,
                   o->price_in_micro || o->price_out_micro,
                   has_hours,
                   o->region[0]};
    cbor_writer_init(&w, out);
    cbor_put_map(&w, count_said(said, ARRAY_LEN(said)));
    cbor_put_uint(&w, OFFER_KEY_PEER);
    cbor_put_bytes(&w, peer_id_bytes(&o->peer));
    cbor_put_uint(&w, OFFER_KEY_ID);
    cbor_put_str(&w, o->id);
    cbor_put_uint(&w, OFFER_KEY_SEQ);
    cbor_put_uint(&w, o->seq);
    cbor_put_uint(&w, OFFER_KEY_EXPIRES);
    cbor_put_uint(&w, o->expires_ms);
    cbor_put_uint(&w, OFFER_KEY_PROTOCOL);
    cbor_put_str(&w, o->protocol);
    if (payload.n > 0) {
        cbor_put_uint(&w, OFFER_KEY_PAYLOAD);
        cbor_put_bytes(&w, payload);
    }
    put_pair(&w, OFFER_KEY_LIMITS, o->requests_per_minute, o->max_concurrent);
    put_pair(&w, OFFER_KEY_PRICE, o->price_in_micro, o->price_out_micro);
    if (has_hours) {
        cbor_put_uint(&w, OFFER_KEY_HOURS);
        cbor_put_array(&w, 2);
        cbor_put_uint(&w, o->hours_start);
        cbor_put_uint(&w, o->hours_end);
    }
    if (o->region[0]) {
        cbor_put_uint(&w, OFFER_KEY_REGION);
        cbor_put_str(&w, o->region);
    }
    return cbor_writer_finish(&w);
}

int offer_signed_bytes(struct bytes offer, struct buf *out)
{
    int err = buf_append(out, OFFER_PREFIX, sizeof OFFER_PREFIX); /* its NUL is part of it */
    return err ? err : buf_append_bytes(out, offer);
}

static int put_signed(struct bytes offer, const struct key_pair *key, struct buf *out)
{
    uint8_t sig[KEY_SIG_SIZE];
    struct buf message;
    struct cbor_writer w;
    buf_init(&message, 0);
    int err = offer_signed_bytes(offer, &message);
    if (!err) {
        key_sign(key, buf_view(&message), sig);
        cbor_writer_init(&w, out);
        cbor_put_array(&w, 3);
        cbor_put_bytes(&w, offer);
        cbor_put_bytes(&w, bytes_of("", 0)); /* our peer id holds the key */
        cbor_put_bytes(&w, bytes_of(sig, sizeof sig));
        err = cbor_writer_finish(&w);
    }
    buf_fini(&message);
    return err;
}

int offer_sign(const struct offer *o, const struct key_pair *key, struct buf *out)
{
    bool is_openai = strcmp(o->protocol, OFFER_OPENAI) == 0;
    if (!peer_id_eq(&o->peer, &key->id) || !o->id[0] || !o->protocol[0] ||
        (is_openai && !o->model[0]))
        return E_INVALID;
    struct buf payload, offer, all;
    buf_init(&payload, LIMIT_OFFER_PAYLOAD);
    buf_init(&offer, LIMIT_OFFER);
    buf_init(&all, LIMIT_OFFER);
    int err = is_openai ? put_openai(o, &payload) : 0;
    if (!err)
        err = put_offer(o, buf_view(&payload), &offer);
    if (!err)
        err = put_signed(buf_view(&offer), key, &all);
    if (!err)
        err = buf_append_bytes(out, buf_view(&all)); /* whole or not at all */
    buf_fini(&payload);
    buf_fini(&offer);
    buf_fini(&all);
    return err;
}

static void json_abilities(struct json_writer *w, uint32_t abilities)
{
    static const char *const names[] = {"chat",   "completion", "embeddings",
                                        "tools",  "vision",     "json_schema",
                                        "rerank", "audio",      "reasoning"};
    json_key(w, "abilities");
    json_open_array(w);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (abilities >> i & 1)
            json_put_str(w, names[i]);
    json_close_array(w);
}

static void json_openai(struct json_writer *w, const struct offer *o)
{
    char hex[65];
    json_member_str(w, "model", o->model);
    if (o->alias[0][0]) {
        json_key(w, "aliases");
        json_open_array(w);
        for (size_t i = 0; i < alias_count(o); i++)
            json_put_str(w, o->alias[i]);
        json_close_array(w);
    }
    if (o->has_digest)
        json_member_str(w, "digest", hex_format(bytes_of(o->digest, 32), hex));
    if (o->quant[0])
        json_member_str(w, "quant", o->quant);
    if (o->context)
        json_member_u64(w, "context", o->context);
    json_abilities(w, o->abilities);
}

static void json_hours(struct json_writer *w, const struct offer *o)
{
    char text[32];
    snprintf(text, sizeof text, "%02u:%02u-%02u:%02u", o->hours_start / 60u, o->hours_start % 60u,
             o->hours_end / 60u, o->hours_end % 60u);
    json_member_str(w, "hours_utc", text);
}

int offer_json(const struct offer *o, struct buf *out)
{
    struct json_writer w = json_write(out);
    char peer[PEER_ID_TEXT];
    json_open_object(&w);
    json_member_str(&w, "peer", peer_id_text(&o->peer, peer, sizeof peer));
    json_member_str(&w, "id", o->id);
    json_member_u64(&w, "seq", o->seq);
    json_member_str(&w, "protocol", o->protocol);
    if (strcmp(o->protocol, OFFER_OPENAI) == 0)
        json_openai(&w, o);
    if (o->max_concurrent)
        json_member_u64(&w, "max_concurrent", o->max_concurrent);
    if (o->requests_per_minute)
        json_member_u64(&w, "requests_per_minute", o->requests_per_minute);
    if (o->price_in_micro || o->price_out_micro) {
        json_member_u64(&w, "price_in_micro", o->price_in_micro);
        json_member_u64(&w, "price_out_micro", o->price_out_micro);
    }
    if (o->hours_start != o->hours_end)
        json_hours(&w, o);
    if (o->region[0])
        json_member_str(&w, "region", o->region);
    json_member_u64(&w, "expires_ms", o->expires_ms);
    json_close_object(&w);
    return w.err;
}
