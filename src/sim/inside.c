// SPDX-License-Identifier: MIT
/* See inside.h. */
#include "sim/inside.h"

#include "node/node_impl.h"

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

const char *sim_inside_books(const struct node *n)
{
    return p2p_host_check(n->host);
}

size_t sim_inside_conns(const struct node *n)
{
    return p2p_host_counts(n->host).conns;
}
