// SPDX-License-Identifier: MIT
/* The text of an invite, written and read; see invite.h. */
#include "guard/invite.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "codec/cbor.h"
#include "codec/multibase.h"
#include "codec/utf8.h"
#include "offer/catalogue.h"

#include <stdlib.h>
#include <string.h>

static const char prefix[] = "conduit1:";
static const char domain[] = "conduit/invite/v1"; /* with its NUL */
enum { PREFIX = sizeof prefix - 1, SUM = 4, PUBLIC_KEY = 32 };

/* Members of the payload, in their order. */
enum field {
    F_ISSUER = 1, /* 32 bytes: the Ed25519 key, from which the peer id follows */
    F_ID,         /* 16 bytes */
    F_EXPIRES,    /* Unix seconds */
    F_ADDRS,      /* [ multiaddr without /p2p ] */
    F_NAME,       /* text; absent: none */
    F_NETWORK,    /* 32 bytes; absent: none */
    F_MODELS,     /* [ text ]; absent: all */
    F_REQUESTS,   /* per day; absent: no limit, as below */
    F_TOKENS,     /* per day */
    F_HOURS,      /* [ minute, minute ] of the issuer's day */
    F_CONCURRENT,
    F_END,
};

void invite_fini(struct invite *v)
{
    mem_wipe(v, sizeof *v);
}

char *invite_id_text(const uint8_t id[static INVITE_ID], char out[static INVITE_ID_TEXT])
{
    return hex_format(bytes_of(id, INVITE_ID), out);
}

bool invite_allows_model(const struct invite_terms *t, const struct offer *o)
{
    for (int i = 0; i < INVITE_MODELS && *t->models[i]; i++)
        if (catalogue_is_named(o, bytes_str(t->models[i])))
            return true;
    return !*t->models[0];
}

/* CRC-32 as in IEEE 802.3. It finds every error that lies within 32 bits: one character changed, or two
 * neighbours swapped, is never missed. */
static uint32_t sum_of(struct bytes b)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < b.n; i++) {
        crc ^= b.p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void put_sum(uint8_t out[static SUM], uint32_t v)
{
    for (int i = 0; i < SUM; i++)
        out[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* --- the payload --- */

static size_t model_count(const struct invite_terms *t)
{
    size_t n = 0;
    while (n < INVITE_MODELS && *t->models[n])
        n++;
    return n;
}

static struct bytes issuer_key(const struct peer_id *issuer)
{
    struct bytes message = peer_id_inline_key(issuer);
    struct key_public k;
    if (key_public_decode(message, &k) != 0 || k.kind != KEY_ED25519 || k.data.n != PUBLIC_KEY)
        return (struct bytes){0};
    return k.data;
}

static void put_u64(struct cbor_writer *w, enum field f, uint64_t v)
{
    if (!v)
        return;
    cbor_put_uint(w, f);
    cbor_put_uint(w, v);
}

static void put_terms(struct cbor_writer *w, const struct invite_terms *t)
{
    size_t models = model_count(t);
    if (models) {
        cbor_put_uint(w, F_MODELS);
        cbor_put_array(w, models);
        for (size_t i = 0; i < models; i++)
            cbor_put_str(w, t->models[i]);
    }
    put_u64(w, F_REQUESTS, t->requests_per_day);
    put_u64(w, F_TOKENS, t->tokens_per_day);
    if (t->hours.is_set) {
        cbor_put_uint(w, F_HOURS);
        cbor_put_array(w, 2);
        cbor_put_uint(w, t->hours.start);
        cbor_put_uint(w, t->hours.end);
    }
    put_u64(w, F_CONCURRENT, t->concurrent);
}

int invite_encode(const struct invite *v, struct buf *out)
{
    const struct invite_terms *t = &v->terms;
    struct bytes issuer = issuer_key(&v->issuer);
    struct cbor_writer w;
    if (!issuer.n || v->addr_count > INVITE_ADDRS)
        return E_INVALID;
    cbor_writer_init(&w, out);
    cbor_put_map(&w, 4u + !!*v->name + v->has_network + !!model_count(t) + !!t->requests_per_day +
                         !!t->tokens_per_day + t->hours.is_set + !!t->concurrent);
    cbor_put_uint(&w, F_ISSUER);
    cbor_put_bytes(&w, issuer);
    cbor_put_uint(&w, F_ID);
    cbor_put_bytes(&w, bytes_of(v->id, INVITE_ID));
    cbor_put_uint(&w, F_EXPIRES);
    cbor_put_uint(&w, v->expires_s);
    cbor_put_uint(&w, F_ADDRS);
    cbor_put_array(&w, v->addr_count);
    for (size_t i = 0; i < v->addr_count; i++)
        cbor_put_bytes(&w, multiaddr_bytes(&v->addrs[i]));
    if (*v->name) {
        cbor_put_uint(&w, F_NAME);
        cbor_put_str(&w, v->name);
    }
    if (v->has_network) {
        cbor_put_uint(&w, F_NETWORK);
        cbor_put_bytes(&w, bytes_of(v->network, INVITE_NETWORK));
    }
    put_terms(&w, t);
    return cbor_writer_finish(&w);
}

static int get_fixed(struct cbor_reader *r, uint8_t *out, size_t n)
{
    struct bytes b;
    int err = cbor_get_bytes(r, n, &b);
    if (!err && b.n != n)
        err = E_MALFORMED;
    if (!err)
        memcpy(out, b.p, n);
    return err;
}

static int get_issuer(struct cbor_reader *r, struct peer_id *out)
{
    uint8_t message[KEY_PUBLIC_MESSAGE] = {0x08, 0x01, 0x12, PUBLIC_KEY};
    int err = get_fixed(r, message + 4, PUBLIC_KEY);
    return err ? err : peer_id_from_key(bytes_of(message, sizeof message), out);
}

/* A text for people's eyes: no control characters, not empty (absent is the way to say nothing). */
static int get_text(struct cbor_reader *r, char *out, size_t size)
{
    struct bytes b;
    int err = cbor_get_text(r, size - 1, &b);
    if (!err && b.n == 0)
        err = E_MALFORMED;
    for (size_t i = 0; !err && i < b.n; i++)
        if (b.p[i] < ' ' || b.p[i] == 0x7f)
            err = E_MALFORMED;
    if (err)
        return err;
    memcpy(out, b.p, b.n);
    out[b.n] = 0;
    return 0;
}

static int get_addrs(struct cbor_reader *r, struct invite *v)
{
    struct bytes b;
    int err = cbor_get_array(r, INVITE_ADDRS, &v->addr_count);
    for (size_t i = 0; !err && i < v->addr_count; i++) {
        err = cbor_get_bytes(r, LIMIT_MULTIADDR, &b);
        err = err ? err : multiaddr_copy(b, &v->addrs[i]);
    }
    return err == E_UNSUPPORTED ? E_MALFORMED : err;
}

static int get_models(struct cbor_reader *r, struct invite_terms *t)
{
    size_t n = 0;
    int err = cbor_get_array(r, INVITE_MODELS, &n);
    if (!err && n == 0)
        err = E_MALFORMED;
    for (size_t i = 0; !err && i < n; i++)
        err = get_text(r, t->models[i], sizeof t->models[i]);
    return err;
}

static int get_hours(struct cbor_reader *r, struct schedule *s)
{
    size_t n = 0;
    uint64_t start = 0, end = 0;
    int err = cbor_get_array(r, 2, &n);
    if (!err && n != 2)
        err = E_MALFORMED;
    err = err ? err : cbor_get_uint(r, &start);
    err = err ? err : cbor_get_uint(r, &end);
    if (!err && (start >= 24 * 60 || end >= 24 * 60 || start == end))
        err = E_MALFORMED;
    *s = (struct schedule){true, (uint16_t)start, (uint16_t)end};
    return err;
}

/* A number that is there is not 0: one invite, one encoding. */
static int get_limit(struct cbor_reader *r, uint64_t max, uint64_t *out)
{
    int err = cbor_get_uint(r, out);
    return err ? err : *out == 0 || *out > max ? E_MALFORMED : 0;
}

static int get_field(struct cbor_reader *r, uint64_t field, struct invite *v)
{
    uint64_t n;
    int err;
    switch (field) {
    case F_ISSUER:
        return get_issuer(r, &v->issuer);
    case F_ID:
        return get_fixed(r, v->id, INVITE_ID);
    case F_EXPIRES:
        return get_limit(r, UINT64_MAX / 1000, &v->expires_s);
    case F_ADDRS:
        return get_addrs(r, v);
    case F_NAME:
        return get_text(r, v->name, sizeof v->name);
    case F_NETWORK:
        v->has_network = true;
        return get_fixed(r, v->network, INVITE_NETWORK);
    case F_MODELS:
        return get_models(r, &v->terms);
    case F_REQUESTS:
        return get_limit(r, UINT64_MAX, &v->terms.requests_per_day);
    case F_TOKENS:
        return get_limit(r, UINT64_MAX, &v->terms.tokens_per_day);
    case F_HOURS:
        return get_hours(r, &v->terms.hours);
    case F_CONCURRENT:
        err = get_limit(r, UINT32_MAX, &n);
        v->terms.concurrent = (uint32_t)n;
        return err;
    default:
        return field < F_END ? E_MALFORMED : E_UNSUPPORTED;
    }
}

int invite_decode(struct bytes payload, struct invite *out)
{
    struct cbor_reader r;
    size_t pairs = 0;
    unsigned seen = 0;
    *out = (struct invite){0};
    int err = payload.n > LIMIT_INVITE ? E_LIMIT : cbor_check(payload);
    if (err)
        return err == E_LIMIT ? err : E_MALFORMED;
    cbor_reader_init(&r, payload);
    err = cbor_get_map(&r, 64, &pairs);
    for (size_t i = 0; !err && i < pairs; i++) {
        uint64_t field = 0;
        err = cbor_get_uint(&r, &field);
        if (!err && field >= F_END)
            return E_UNSUPPORTED;
        err = err ? err : get_field(&r, field, out);
        seen |= 1u << (field < F_END ? field : 0);
    }
    unsigned needed = 1u << F_ISSUER | 1u << F_ID | 1u << F_EXPIRES | 1u << F_ADDRS;
    if (!err && (seen & needed) != needed)
        err = E_MALFORMED;
    return err == E_LIMIT || err == E_TOO_BIG ? E_LIMIT : err ? E_MALFORMED : 0;
}

/* --- the text --- */

/* What is signed. */
static int with_domain(struct bytes payload, struct buf *out)
{
    int err = buf_append(out, domain, sizeof domain);
    return err ? err : buf_append_bytes(out, payload);
}

int invite_text(const struct invite *v, const struct key_pair *key, struct buf *out)
{
    struct buf whole, message;
    struct invite again;
    uint8_t *room, sig[KEY_SIG_SIZE], sum[SUM];
    buf_init(&whole, 0);
    buf_init(&message, 0);
    int err = peer_id_eq(&v->issuer, &key->id) ? buf_reserve(&whole, LIMIT_INVITE + 128, &room)
                                               : E_INVALID;
    err = err ? err : buf_reserve(&message, LIMIT_INVITE + 128, &room);
    err = err ? err : invite_encode(v, &whole);
    if (!err && invite_decode(buf_view(&whole), &again) != 0)
        err = E_INVALID;
    err = err ? err : with_domain(buf_view(&whole), &message);
    if (!err) {
        key_sign(key, buf_view(&message), sig);
        err = buf_append(&whole, sig, sizeof sig);
    }
    if (!err) {
        put_sum(sum, sum_of(buf_view(&whole)));
        err = buf_append(&whole, sum, sizeof sum);
    }
    err = err ? err : buf_append_str(out, prefix);
    err = err ? err : base_encode(BASE_64URL, buf_view(&whole), out);
    invite_fini(&again);
    buf_wipe(&whole);
    buf_wipe(&message);
    return err;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool invite_is_text(struct bytes text)
{
    while (text.n && is_space(*text.p))
        text = bytes_skip(text, 1);
    return bytes_starts(text, bytes_str(prefix));
}

/* The text without what mail and terminals put into it. */
static int without_space(struct bytes text, struct buf *out)
{
    int err = 0;
    for (size_t i = 0; i < text.n && !err; i++)
        if (!is_space(text.p[i]))
            err = buf_append_byte(out, text.p[i]);
    return err;
}

static int read_whole(struct bytes whole, struct invite *out, const char **why)
{
    struct buf message;
    uint8_t key[KEY_PUBLIC_MESSAGE] = {0x08, 0x01, 0x12, PUBLIC_KEY};
    uint8_t sum[SUM];
    struct peer_id signer;
    if (whole.n < KEY_SIG_SIZE + SUM + 1 || whole.n > LIMIT_INVITE + KEY_SIG_SIZE + SUM)
        return E_MALFORMED;
    put_sum(sum, sum_of(bytes_first(whole, whole.n - SUM)));
    if (memcmp(sum, whole.p + whole.n - SUM, SUM) != 0)
        return E_MALFORMED;
    struct bytes payload = bytes_first(whole, whole.n - SUM - KEY_SIG_SIZE);
    int err = invite_decode(payload, out);
    *why = err == E_UNSUPPORTED ? "it was made by a newer Conduit than this one"
                                : "it is not an invite that Conduit makes";
    if (err)
        return err;
    *why = "its signature is not its issuer's: it was forged";
    memcpy(key + 4, issuer_key(&out->issuer).p, PUBLIC_KEY);
    buf_init(&message, 0);
    err = with_domain(payload, &message);
    err = err ? err
              : key_verify_message(bytes_of(key, sizeof key), buf_view(&message),
                                   bytes_of(payload.p + payload.n, KEY_SIG_SIZE), &signer);
    buf_wipe(&message);
    return err ? E_AUTH : 0;
}

int invite_read(struct bytes text, struct invite *out, const char **why)
{
    struct buf plain, whole;
    uint8_t *room;
    *out = (struct invite){0};
    *why = "an invite begins with conduit1:";
    if (!invite_is_text(text))
        return E_MALFORMED;
    *why = "it is too long for an invite";
    if (text.n > LIMIT_INVITE_TEXT)
        return E_LIMIT;
    *why = "a character of it is missing or was changed; copy the whole text anew";
    buf_init(&plain, 0);
    buf_init(&whole, 0);
    int err = buf_reserve(&plain, text.n, &room);
    err = err ? err : buf_reserve(&whole, text.n, &room);
    err = err ? err : without_space(text, &plain);
    err = err ? err : base_decode(BASE_64URL, bytes_skip(buf_view(&plain), PREFIX), &whole);
    err = err ? err : read_whole(buf_view(&whole), out, why);
    buf_wipe(&plain);
    buf_wipe(&whole);
    if (err)
        invite_fini(out);
    return err == E_AUTH || err == E_UNSUPPORTED || err == E_LIMIT ? err : err ? E_MALFORMED : 0;
}
