// SPDX-License-Identifier: MIT
/* Who said that they provide what: the records other peers leave with us.
 *
 *   key -> records of peers, oldest first        peer -> how many keys
 *   one list of all records, soonest to run out first
 *
 * A record lives for two hours unless it is given again; its addresses for thirty minutes. A key
 * takes 64 providers, a peer may have 2048 keys, and there are 65536 keys: over a limit the newcomer
 * is refused, so that a flood cannot push out who keeps announcing. */
#ifndef CONDUIT_DHT_PROVIDERS_H
#define CONDUIT_DHT_PROVIDERS_H

#include "base/map.h"
#include "dht/addrs.h"

struct dht_provider {
    struct list in_key; /* oldest first */
    struct list by_expiry;
    struct dht_provider_key *key;
    struct dht_provider_peer *peer;
    struct peer_id id;
    struct dht_addrs addrs;
    uint64_t given_us;
};

struct dht_provider_key {
    struct list records;
    int count;
    uint8_t key_len;
    uint8_t key[LIMIT_DHT_KEY];
};

struct dht_providers {
    struct map keys;       /* key bytes -> dht_provider_key */
    struct map peers;      /* peer id -> dht_provider_peer */
    struct list by_expiry; /* all records; equal lifetimes, so oldest given first */
    size_t records;
};

void dht_providers_init(struct dht_providers *p, uint64_t seed);
void dht_providers_fini(struct dht_providers *p);
/* Adds or renews. E_INVALID (key's length), E_LIMIT. */
int dht_providers_add(struct dht_providers *p, struct bytes key, const struct dht_peer *peer,
                      uint64_t now);
/* Forgets one; false when it was not there. */
bool dht_providers_remove(struct dht_providers *p, struct bytes key, const struct peer_id *id);
/* The providers of a key, newest first; how many. out: at least LIMIT_DHT_PROVIDERS. */
int dht_providers_get(struct dht_providers *p, struct bytes key, uint64_t now,
                      const struct dht_provider **out);
/* The addresses of a record that are still good. */
int dht_provider_addrs(const struct dht_provider *r, uint64_t now,
                       struct bytes out[static LIMIT_DHT_ADDRS]);
/* Forgets what ran out. When the next does: SCHED_NEVER for none. */
uint64_t dht_providers_expire(struct dht_providers *p, uint64_t now);

#endif
