// SPDX-License-Identifier: MIT
/* Good peers kept over restarts, so that a node finds its network again when its bootstrap address is dead:
 *
 *   DIR/peers (0600, replaced by rename): one line a peer, the last seen first
 *       12D3KooW… 1790000000000 /ip4/192.0.2.1/tcp/8000 /ip6/…
 *
 *   start: read -> the DHT remembers them -> after two seconds without anybody it asks them, ten at a time
 *   a minute after the start, every half hour when others are in the routing table than were, at a stop -> written
 *
 * At most LIMIT_KEPT_PEERS, and nobody who was not seen for thirty days. A node that was alone keeps the ones it
 * had. Lines that cannot be read are passed over: the file is a hint, no more. */
#ifndef CONDUIT_NODE_KEPT_H
#define CONDUIT_NODE_KEPT_H

#include "dht/dht.h"

struct kept {
    struct sched *sched;
    struct dht *dht;
    const char *dir;   /* borrowed */
    struct list peers; /* struct kept_peer, the last seen first */
    size_t count;
    struct timer ask, save;
    uint64_t mark; /* of who was in the table when it was written */
    /* Each that was read, before the DHT has it. */
    void (*found)(void *ctx, const struct peer_id *peer);
    /* Who is read is trusted: a stranger that happens to be in the table is not written. */
    bool (*may_keep)(void *ctx, const struct peer_id *peer);
    void *ctx;
};

void kept_init(struct kept *k, struct sched *sched, struct dht *dht, const char *dir,
               void (*found)(void *ctx, const struct peer_id *peer),
               bool (*may_keep)(void *ctx, const struct peer_id *peer), void *ctx);
void kept_save(struct kept *k);
void kept_fini(struct kept *k); /* saves nothing */

#endif
