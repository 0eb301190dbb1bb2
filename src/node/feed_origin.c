// SPDX-License-Identifier: MIT
/* See feed_origin.h. */
#include "node/feed_origin.h"

struct feed_origin feed_origin_of(struct p2p_host *h, const struct peer_id *peer)
{
    struct p2p_peer_view v;
    struct feed_origin o = {.b = "relays", .n = 6};
    if (p2p_host_peer(h, peer, &v) && !v.is_relayed)
        o.n = net_addr_is_loopback(&v.remote) ? 0 : (uint8_t)net_addr_group(&v.remote, o.b);
    return o;
}

bool feed_origin_eq(const struct feed_origin *a, const struct feed_origin *b)
{
    return bytes_eq(bytes_of(a->b, a->n), bytes_of(b->b, b->n));
}
