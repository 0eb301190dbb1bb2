// SPDX-License-Identifier: MIT
/* Signed values; see record.h. */
#include "dht/record.h"

#include "base/err.h"
#include "base/mem.h"
#include "codec/cbor.h"
#include "codec/envelope.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "/conduit/"
#define DOMAIN "conduit-dht-record"

static const struct bytes payload_type = BYTES_LIT("/conduit/dht-record");

/* Types that can be checked; nothing else is kept. */
static const char *const types[] = {"node"};

enum { F_KEY = 1, F_SEQ, F_EXPIRES, F_BODY, FIELDS = 4 };

static bool is_type(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (bytes_eq_str(name, types[i]))
            return true;
    return false;
}

int dht_record_key(const char *type, const struct peer_id *id, char out[static LIMIT_DHT_KEY + 1])
{
    char text[PEER_ID_TEXT];
    if (!is_type(bytes_str(type)))
        return E_UNSUPPORTED;
    int n =
        snprintf(out, LIMIT_DHT_KEY + 1, PREFIX "%s/%s", type, peer_id_text(id, text, sizeof text));
    return n > LIMIT_DHT_KEY ? E_TOO_BIG : n;
}

/* Whom the key is about. The text must be the one we would write: one peer has one key. */
static int parse_key(struct bytes key, struct peer_id *id)
{
    char text[PEER_ID_TEXT];
    struct bytes rest = key;
    if (!bytes_eq_str(bytes_first(rest, sizeof PREFIX - 1), PREFIX))
        return E_UNSUPPORTED;
    rest = bytes_skip(rest, sizeof PREFIX - 1);
    const uint8_t *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
    if (!slash || !is_type(bytes_first(rest, (size_t)(slash - rest.p))))
        return E_UNSUPPORTED;
    rest = bytes_skip(rest, (size_t)(slash - rest.p) + 1);
    if (peer_id_parse(rest, id) != 0 || !bytes_eq_str(rest, peer_id_text(id, text, sizeof text)))
        return E_MALFORMED;
    return 0;
}

int dht_record_sign(const struct key_pair *key, const char *type, uint64_t seq, uint64_t expires_ms,
                    struct bytes body, struct buf *out)
{
    char text[LIMIT_DHT_KEY + 1];
    struct buf payload;
    struct cbor_writer w;
    size_t before = buf_len(out);
    int n = dht_record_key(type, &key->id, text);
    if (n < 0)
        return n;
    buf_init(&payload, 0);
    cbor_writer_init(&w, &payload);
    cbor_put_map(&w, FIELDS);
    cbor_put_uint(&w, F_KEY);
    cbor_put_str(&w, text);
    cbor_put_uint(&w, F_SEQ);
    cbor_put_uint(&w, seq);
    cbor_put_uint(&w, F_EXPIRES);
    cbor_put_uint(&w, expires_ms);
    cbor_put_uint(&w, F_BODY);
    cbor_put_bytes(&w, body);
    int err = cbor_writer_finish(&w);
    if (!err)
        err = envelope_seal(key, DOMAIN, payload_type, buf_view(&payload), out);
    buf_fini(&payload);
    if (!err && buf_len(out) - before > LIMIT_DHT_VALUE)
        err = E_TOO_BIG;
    return err;
}

/* Exactly the four fields, in order. */
static int read_payload(struct bytes payload, struct bytes key, struct dht_record *out)
{
    struct cbor_reader r;
    struct bytes about;
    size_t count;
    uint64_t f[FIELDS];
    if (cbor_check(payload) != 0)
        return E_MALFORMED;
    cbor_reader_init(&r, payload);
    if (cbor_get_map(&r, FIELDS, &count) || count != FIELDS || cbor_get_uint(&r, &f[0]) ||
        cbor_get_text(&r, LIMIT_DHT_KEY, &about) || cbor_get_uint(&r, &f[1]) ||
        cbor_get_uint(&r, &out->seq) || cbor_get_uint(&r, &f[2]) ||
        cbor_get_uint(&r, &out->expires_ms) || cbor_get_uint(&r, &f[3]) ||
        cbor_get_bytes(&r, LIMIT_DHT_VALUE, &out->body))
        return E_MALFORMED;
    for (uint64_t i = 0; i < FIELDS; i++)
        if (f[i] != i + 1)
            return E_MALFORMED;
    return bytes_eq(about, key) ? 0 : E_WRONG_PEER;
}

int dht_record_check(struct bytes key, struct bytes value, uint64_t now_ms, struct dht_record *out)
{
    struct envelope e;
    *out = (struct dht_record){0};
    int err = parse_key(key, &out->peer);
    if (err)
        return err;
    if (value.n > LIMIT_DHT_VALUE)
        return E_TOO_BIG;
    err = envelope_open(value, DOMAIN, &e);
    if (err)
        return err;
    if (!bytes_eq(e.payload_type, payload_type))
        return E_MALFORMED;
    if (!peer_id_eq(&e.signer, &out->peer))
        return E_WRONG_PEER;
    err = read_payload(e.payload, key, out);
    if (err)
        return err;
    if (out->expires_ms <= now_ms)
        return E_EXPIRED;
    return out->expires_ms - now_ms > LIMIT_DHT_VALUE_LIFETIME_MS ? E_LIMIT : 0;
}

int dht_record_cmp(const struct dht_record *a, struct bytes a_value, const struct dht_record *b,
                   struct bytes b_value)
{
    if (a->seq != b->seq)
        return a->seq > b->seq ? 1 : -1;
    if (a->expires_ms != b->expires_ms)
        return a->expires_ms > b->expires_ms ? 1 : -1;
    size_t n = a_value.n < b_value.n ? a_value.n : b_value.n;
    int c = n ? memcmp(a_value.p, b_value.p, n) : 0;
    return c ? c : (a_value.n > b_value.n) - (a_value.n < b_value.n);
}
