// SPDX-License-Identifier: MIT
/* See inside.h. */
#include "sim/inside.h"

#include "dht/core.h"
#include "node/node_impl.h"

#include <assert.h>
#include <string.h>

bool sim_inside_knows(const struct node *n, const char *model)
{
    const struct catalogue_offer *o = NULL;
    while ((o = catalogue_next(&n->offers, o)))
        if (catalogue_is_named(&o->offer, bytes_str(model)))
            return true;
    return false;
}

const struct peer_id *sim_inside_id(const struct node *n)
{
    return &n->key.id;
}

bool sim_inside_has(const struct node *n, const struct peer_id *peer)
{
    return p2p_host_is_connected(n->host, peer) || map_get(&n->offers.peers, peer_id_bytes(peer));
}

bool sim_inside_watches(const struct node *n, const struct peer_id *peer)
{
    return feeds_is_open(&n->feeds, peer);
}

bool sim_inside_follows(const struct node *n, const struct peer_id *peer)
{
    return map_get(&n->feeds.by_peer, peer_id_bytes(peer));
}

bool sim_inside_has_offer(const struct node *n, const struct peer_id *peer, const char *model)
{
    const struct catalogue_peer *p = map_get(&n->offers.peers, peer_id_bytes(peer));
    for (const struct list *it = p ? p->offers.next : NULL; it && it != &p->offers; it = it->next)
        if (strcmp(LIST_ENTRY(it, struct catalogue_offer, link)->offer.model, model) == 0)
            return true;
    return false;
}

void sim_inside_add_backend(const struct node *n, const char *spec)
{
    char why[ENGINE_WHY];
    int err = engine_add_backend(n->engine, spec, NULL, NULL, why);
    assert(!err);
}

uint64_t sim_inside_rtt(const struct node *n, const struct peer_id *peer)
{
    struct p2p_peer_view v;
    return p2p_host_peer(n->host, peer, &v) ? v.rtt_us : 0;
}

bool sim_inside_is_relayed(const struct node *n, const struct peer_id *peer)
{
    struct p2p_peer_view v;
    return p2p_host_peer(n->host, peer, &v) && v.is_relayed;
}

const char *sim_inside_books(const struct node *n)
{
    return p2p_host_check(n->host);
}

void sim_inside_feed(const struct node *n, struct buf *out)
{
    struct principal who = {.kind = PRINCIPAL_PEER};
    (void)announce_snapshot(&n->announce, &who, out);
}

void sim_inside_offers(const struct node *n,
                       void (*each)(void *ctx, const struct peer_id *peer, const char *model),
                       void *ctx)
{
    const struct catalogue_offer *o = NULL;
    while ((o = catalogue_next(&n->offers, o)))
        if (!o->peer->is_own)
            each(ctx, &o->peer->id, o->offer.model);
}

void sim_inside_records(const struct node *n,
                        void (*each)(void *ctx, const struct peer_id *peer, struct bytes key),
                        void *ctx)
{
    const struct list *all = &n->kad.dht->providers.by_expiry;
    LIST_FOREACH ((struct list *)(uintptr_t)all, it) {
        const struct dht_provider *r = LIST_ENTRY(it, struct dht_provider, by_expiry);
        each(ctx, &r->id, bytes_of(r->key->key, r->key->key_len));
    }
}

size_t sim_inside_conns(const struct node *n)
{
    return p2p_host_counts(n->host).conns;
}
