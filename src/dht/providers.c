// SPDX-License-Identifier: MIT
/* Provider records; see providers.h. */
#include "dht/providers.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>

#define RECORD_US (2 * 3600 * US_PER_S)
#define ADDRS_US  (30 * 60 * US_PER_S)

struct dht_provider_peer {
    int keys;
};

void dht_providers_init(struct dht_providers *p, uint64_t seed)
{
    *p = (struct dht_providers){0};
    map_init(&p->keys, seed);
    map_init(&p->peers, seed ^ 1);
    list_init(&p->by_expiry);
}

static void forget(struct dht_providers *p, struct dht_provider *r)
{
    struct dht_provider_key *k = r->key;
    list_remove(&r->in_key);
    list_remove(&r->by_expiry);
    if (--r->peer->keys == 0)
        free(map_take(&p->peers, peer_id_bytes(&r->id)));
    if (--k->count == 0) {
        map_take(&p->keys, bytes_of(k->key, k->key_len));
        free(k);
    }
    dht_addrs_fini(&r->addrs);
    free(r);
    p->records--;
}

void dht_providers_fini(struct dht_providers *p)
{
    while (!list_is_empty(&p->by_expiry))
        forget(p, LIST_ENTRY(p->by_expiry.next, struct dht_provider, by_expiry));
    map_fini(&p->keys);
    map_fini(&p->peers);
}

static struct dht_provider *find(struct dht_provider_key *k, const struct peer_id *id)
{
    if (k)
        LIST_FOREACH (&k->records, it) {
            struct dht_provider *r = LIST_ENTRY(it, struct dht_provider, in_key);
            if (peer_id_eq(&r->id, id))
                return r;
        }
    return NULL;
}

static void renew(struct dht_providers *p, struct dht_provider *r, const struct dht_peer *peer,
                  uint64_t now)
{
    r->given_us = now;
    dht_addrs_set(&r->addrs, peer->addrs, peer->addr_count);
    list_remove(&r->in_key);
    list_append(&r->key->records, &r->in_key);
    list_remove(&r->by_expiry);
    list_append(&p->by_expiry, &r->by_expiry);
}

static struct dht_provider_key *key_new(struct dht_providers *p, struct bytes key)
{
    struct dht_provider_key *k = MEM_NEW(struct dht_provider_key);
    list_init(&k->records);
    k->key_len = (uint8_t)key.n;
    memcpy(k->key, key.p, key.n);
    map_put(&p->keys, key, k);
    return k;
}

int dht_providers_add(struct dht_providers *p, struct bytes key, const struct dht_peer *peer,
                      uint64_t now)
{
    if (key.n < 1 || key.n > LIMIT_DHT_KEY)
        return E_INVALID;
    dht_providers_expire(p, now);
    struct bytes id = peer_id_bytes(&peer->id);
    struct dht_provider_key *k = map_get(&p->keys, key);
    struct dht_provider_peer *who = map_get(&p->peers, id);
    struct dht_provider *r = find(k, &peer->id);
    if (r) {
        renew(p, r, peer, now);
        return 0;
    }
    if ((k && k->count >= LIMIT_DHT_PROVIDERS) || (who && who->keys >= LIMIT_DHT_PEER_KEYS) ||
        (!k && map_count(&p->keys) >= LIMIT_DHT_KEYS))
        return E_LIMIT;
    if (!k)
        k = key_new(p, key);
    if (!who) {
        who = MEM_NEW(struct dht_provider_peer);
        map_put(&p->peers, id, who);
    }
    r = MEM_NEW(struct dht_provider);
    list_init(&r->in_key);
    list_init(&r->by_expiry);
    r->key = k;
    r->peer = who;
    r->id = peer->id;
    k->count++;
    who->keys++;
    p->records++;
    renew(p, r, peer, now);
    return 0;
}

bool dht_providers_remove(struct dht_providers *p, struct bytes key, const struct peer_id *id)
{
    struct dht_provider *r = find(map_get(&p->keys, key), id);
    if (!r)
        return false;
    forget(p, r);
    return true;
}

int dht_providers_get(struct dht_providers *p, struct bytes key, uint64_t now,
                      const struct dht_provider **out)
{
    int count = 0;
    dht_providers_expire(p, now);
    struct dht_provider_key *k = map_get(&p->keys, key);
    if (!k)
        return 0;
    for (struct list *it = k->records.prev; it != &k->records; it = it->prev)
        out[count++] = LIST_ENTRY(it, struct dht_provider, in_key);
    return count;
}

int dht_provider_addrs(const struct dht_provider *r, uint64_t now,
                       struct bytes out[static LIMIT_DHT_ADDRS])
{
    return now - r->given_us < ADDRS_US ? dht_addrs_get(&r->addrs, out) : 0;
}

uint64_t dht_providers_expire(struct dht_providers *p, uint64_t now)
{
    while (!list_is_empty(&p->by_expiry)) {
        struct dht_provider *r = LIST_ENTRY(p->by_expiry.next, struct dht_provider, by_expiry);
        if (now - r->given_us < RECORD_US)
            return r->given_us + RECORD_US;
        forget(p, r);
    }
    return SCHED_NEVER;
}
