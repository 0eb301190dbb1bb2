// SPDX-License-Identifier: MIT
/* A signed value under a namespace of ours (docs/PROTOCOL-DHT.md):
 *
 *   key    "/conduit/" TYPE "/" PEER-ID       the peer id as base58 text, exactly as we would write it
 *   value  libp2p envelope { public key, "/conduit/dht-record", payload, signature }
 *   payload deterministic CBOR { 1: key, 2: seq, 3: expires (Unix ms), 4: body }
 *
 * It is good when it is about who signed it, for that key, and not over. Of two good ones the greater seq is
 * better, then the later expiry, then the greater bytes: everybody selects the same. */
#ifndef CONDUIT_DHT_RECORD_H
#define CONDUIT_DHT_RECORD_H

#include "base/limits.h"
#include "codec/key.h"

struct dht_record {
    struct peer_id peer;
    uint64_t seq, expires_ms;
    struct bytes body; /* a view into the value */
};

/* "/conduit/node/12D3KooW…" into `out` (LIMIT_DHT_KEY and a NUL). Its length, or E_UNSUPPORTED. */
int dht_record_key(const char *type, const struct peer_id *id, char out[static LIMIT_DHT_KEY + 1]);
/* Appends the value. E_UNSUPPORTED: a type without a validator; E_TOO_BIG: over LIMIT_DHT_VALUE. */
int dht_record_sign(const struct key_pair *key, const char *type, uint64_t seq, uint64_t expires_ms,
                    struct bytes body, struct buf *out);
/* 0, or E_UNSUPPORTED (no such namespace), E_TOO_BIG, E_MALFORMED, E_AUTH, E_WRONG_PEER (signed by another, or
 * for another key), E_EXPIRED, E_LIMIT (expires too far ahead). */
int dht_record_check(struct bytes key, struct bytes value, uint64_t now_ms, struct dht_record *out);
/* > 0: `a` is better. */
int dht_record_cmp(const struct dht_record *a, struct bytes a_value, const struct dht_record *b,
                   struct bytes b_value);

#endif
