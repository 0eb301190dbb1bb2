// SPDX-License-Identifier: MIT
/* See past.h. */
#include "dht/past.h"

#include "base/mem.h"

#include <stdlib.h>

void dht_past_init(struct dht_past *p)
{
    list_init(&p->peers);
    p->count = 0;
}

static void forget(struct dht_past *p, struct dht_past_peer *peer)
{
    list_remove(&peer->link);
    p->count--;
    dht_addrs_fini(&peer->addrs);
    free(peer);
}

void dht_past_fini(struct dht_past *p)
{
    while (!list_is_empty(&p->peers))
        forget(p, LIST_ENTRY(p->peers.next, struct dht_past_peer, link));
}

void dht_past_drop(struct dht_past *p, const struct peer_id *id)
{
    LIST_FOREACH_SAFE (&p->peers, it) {
        struct dht_past_peer *peer = LIST_ENTRY(it, struct dht_past_peer, link);
        if (peer_id_eq(&peer->id, id))
            forget(p, peer);
    }
}

void dht_past_keep(struct dht_past *p, const struct peer_id *id, const struct dht_addrs *addrs)
{
    struct bytes v[LIMIT_DHT_ADDRS];
    dht_past_drop(p, id);
    if (p->count == LIMIT_DHT_PAST)
        forget(p, LIST_ENTRY(p->peers.prev, struct dht_past_peer, link));
    struct dht_past_peer *peer = MEM_NEW(struct dht_past_peer);
    peer->id = *id;
    dht_addrs_set(&peer->addrs, v, dht_addrs_get(addrs, v));
    list_prepend(&p->peers, &peer->link);
    p->count++;
}
