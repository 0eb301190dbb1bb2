// SPDX-License-Identifier: MIT
/* A hash map from bytes to pointers. Keys are copied, values borrowed. The hash is keyed by a seed
 * from `rng`, so that strangers cannot choose colliding keys; iteration is in order of insertion,
 * so that runs with one seed repeat exactly. The map has no limit of its own: whoever inserts
 * what strangers name checks `map_count` first. */
#ifndef CONDUIT_BASE_MAP_H
#define CONDUIT_BASE_MAP_H

#include "base/bytes.h"
#include "base/list.h"

struct map_entry {
    struct list in_order;
    struct map_entry *chain;
    uint64_t hash;
    void *value;
    size_t key_len;
    uint8_t key[];
};

struct map {
    struct map_entry **slots;
    size_t slot_count, count;
    struct list order; /* oldest first */
    uint64_t seed;
};

void map_init(struct map *m, uint64_t seed);
/* Frees entries, not values. */
void map_fini(struct map *m);
static inline size_t map_count(const struct map *m)
{
    return m->count;
}
/* NULL when absent. */
void *map_get(const struct map *m, struct bytes key);
/* Sets or replaces; returns the value that was there, or NULL. `value` is not NULL. */
void *map_put(struct map *m, struct bytes key, void *value);
/* Removes; returns the value that was there, or NULL. */
void *map_take(struct map *m, struct bytes key);
/* Oldest entry and the one after; NULL at the end. The current entry may be taken in between when
 * the next one was fetched before. */
struct map_entry *map_first(const struct map *m);
struct map_entry *map_next(const struct map *m, const struct map_entry *e);
static inline struct bytes map_key(const struct map_entry *e)
{
    return bytes_of(e->key, e->key_len);
}

#endif
