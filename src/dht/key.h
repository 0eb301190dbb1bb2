// SPDX-License-Identifier: MIT
/* Points of the key space: SHA-256 of a peer id's or a record key's bytes; distance is XOR. */
#ifndef CONDUIT_DHT_KEY_H
#define CONDUIT_DHT_KEY_H

#include "base/bytes.h"

#include <endian.h>

struct dht_key {
    uint8_t b[32];
};

struct dht_key dht_key_of(struct bytes id);
struct dht_key dht_key_distance(const struct dht_key *a, const struct dht_key *b);
/* Leading bits in common: 0..256; 256 when equal. The index of a bucket. */
int dht_key_common_bits(const struct dht_key *a, const struct dht_key *b);

/* Its first eight bytes as a number: orders as the keys do, but for keys that begin alike. */
static inline uint64_t dht_key_head(const struct dht_key *k)
{
    uint64_t v;
    memcpy(&v, k->b, sizeof v);
    return be64toh(v);
}

static inline int dht_key_cmp(const struct dht_key *a, const struct dht_key *b)
{
    return memcmp(a->b, b->b, sizeof a->b);
}

#endif
