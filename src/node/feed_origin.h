// SPDX-License-Identifier: MIT
/* Where a peer comes from, as what it may hold of our feeds is counted: its IP group; over relays, which is one for all,
 * since a circuit has no address of its own. Loopback is no origin: there everybody is one address. */
#ifndef CONDUIT_NODE_FEED_ORIGIN_H
#define CONDUIT_NODE_FEED_ORIGIN_H

#include "p2p/host.h"

struct feed_origin {
    uint8_t b[8];
    uint8_t n; /* 0: none, not counted */
};

/* Of a peer that is connected; who is not counts as relayed. */
struct feed_origin feed_origin_of(struct p2p_host *h, const struct peer_id *peer);
bool feed_origin_eq(const struct feed_origin *a, const struct feed_origin *b);

#endif
