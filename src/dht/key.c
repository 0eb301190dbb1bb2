// SPDX-License-Identifier: MIT
/* The key space; see key.h. */
#include "dht/key.h"

#include "codec/multihash.h"
#include "dht/dht.h"

struct dht_key dht_key_of(struct bytes id)
{
    struct dht_key k;
    sha256(id, k.b);
    return k;
}

struct dht_key dht_key_distance(const struct dht_key *a, const struct dht_key *b)
{
    struct dht_key d;
    for (size_t i = 0; i < sizeof d.b; i += 8) {
        uint64_t x, y;
        memcpy(&x, a->b + i, 8);
        memcpy(&y, b->b + i, 8);
        x ^= y;
        memcpy(d.b + i, &x, 8);
    }
    return d;
}

int dht_key_common_bits(const struct dht_key *a, const struct dht_key *b)
{
    for (int i = 0; i < 32; i++) {
        uint8_t x = a->b[i] ^ b->b[i];
        if (x)
            return 8 * i + __builtin_clz(x) - 24;
    }
    return 256;
}

void dht_key_text(struct bytes text, uint8_t out[static DHT_KEY_TEXT])
{
    multihash_sha256(text, out);
}
