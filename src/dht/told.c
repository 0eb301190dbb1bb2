// SPDX-License-Identifier: MIT
/* See told.h. */
#include "dht/told.h"

#include <assert.h>

void dht_told_init(struct dht_told *t, uint64_t seed)
{
    *t = (struct dht_told){0};
    map_init(&t->seen, seed);
    map_init(&t->waiting, seed ^ 1);
}

void dht_told_fini(struct dht_told *t)
{
    map_fini(&t->seen);
    map_fini(&t->waiting);
}

bool dht_told_take(struct dht_told *t, int source, const struct dht_peer *peer)
{
    struct bytes id = peer_id_bytes(&peer->id);
    bool has_addr = peer->addr_count > 0;
    if (map_get(&t->seen, id) || (!has_addr && map_get(&t->waiting, id)) ||
        t->by_source[source] >= DHT_SHARE)
        return false;
    t->by_source[source]++;
    if (has_addr)
        map_take(&t->waiting, id);
    map_put(has_addr ? &t->seen : &t->waiting, id, &t->by_source[source]);
    return has_addr;
}

bool dht_told_take_waiting(struct dht_told *t, struct peer_id *id, int *source)
{
    const struct map_entry *e = map_first(&t->waiting);
    if (!e)
        return false;
    int err = peer_id_decode(map_key(e), id);
    assert(!err); /* it is one that dht_told_take was given */
    const int *place = map_take(&t->waiting, peer_id_bytes(id));
    *source = (int)(place - t->by_source);
    return true;
}
