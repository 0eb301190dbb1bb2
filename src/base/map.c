// SPDX-License-Identifier: MIT
/* Chained hash map; see map.h. */
#include "base/map.h"

#include "base/mem.h"

#include <stdlib.h>

void map_init(struct map *m, uint64_t seed)
{
    *m = (struct map){.seed = seed};
    list_init(&m->order);
}

void map_fini(struct map *m)
{
    LIST_FOREACH_SAFE (&m->order, it)
        free(LIST_ENTRY(it, struct map_entry, in_order));
    free(m->slots);
    map_init(m, m->seed);
}

/* A keyed multiply-and-fold hash: enough to make collisions unguessable without the seed. */
static uint64_t hash_bytes(uint64_t seed, struct bytes key)
{
    uint64_t h = seed ^ 0x9e3779b97f4a7c15u ^ key.n;
    for (size_t i = 0; i < key.n; i += 8) {
        uint64_t w = 0;
        memcpy(&w, key.p + i, key.n - i < 8 ? key.n - i : 8);
        __uint128_t m = (__uint128_t)(h ^ w) * (0xa0761d6478bd642fu ^ seed);
        h = (uint64_t)m ^ (uint64_t)(m >> 64);
    }
    return h ^ h >> 32;
}

static struct map_entry **find(const struct map *m, struct bytes key, uint64_t hash)
{
    struct map_entry **at = &m->slots[hash & (m->slot_count - 1)];
    while (*at && !((*at)->hash == hash && bytes_eq(map_key(*at), key)))
        at = &(*at)->chain;
    return at;
}

void *map_get(const struct map *m, struct bytes key)
{
    if (!m->slot_count)
        return NULL;
    struct map_entry *e = *find(m, key, hash_bytes(m->seed, key));
    return e ? e->value : NULL;
}

static void grow(struct map *m)
{
    size_t n = m->slot_count ? 2 * m->slot_count : 16;
    struct map_entry **slots = mem_array(n, sizeof *slots);
    LIST_FOREACH (&m->order, it) {
        struct map_entry *e = LIST_ENTRY(it, struct map_entry, in_order);
        e->chain = slots[e->hash & (n - 1)];
        slots[e->hash & (n - 1)] = e;
    }
    free(m->slots);
    m->slots = slots;
    m->slot_count = n;
}

void *map_put(struct map *m, struct bytes key, void *value)
{
    if (m->count >= m->slot_count)
        grow(m);
    uint64_t hash = hash_bytes(m->seed, key);
    struct map_entry **at = find(m, key, hash), *e = *at;
    if (e) {
        void *old = e->value;
        e->value = value;
        return old;
    }
    e = mem_new(sizeof *e + key.n);
    e->hash = hash;
    e->value = value;
    e->key_len = key.n;
    if (key.n)
        memcpy(e->key, key.p, key.n);
    *at = e;
    list_append(&m->order, &e->in_order);
    m->count++;
    return NULL;
}

void *map_take(struct map *m, struct bytes key)
{
    if (!m->slot_count)
        return NULL;
    struct map_entry **at = find(m, key, hash_bytes(m->seed, key)), *e = *at;
    if (!e)
        return NULL;
    void *value = e->value;
    *at = e->chain;
    list_remove(&e->in_order);
    free(e);
    m->count--;
    return value;
}

struct map_entry *map_first(const struct map *m)
{
    return list_is_empty(&m->order) ? NULL : LIST_ENTRY(m->order.next, struct map_entry, in_order);
}

struct map_entry *map_next(const struct map *m, const struct map_entry *e)
{
    return e->in_order.next == &m->order ? NULL
                                         : LIST_ENTRY(e->in_order.next, struct map_entry, in_order);
}
