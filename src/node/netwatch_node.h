// SPDX-License-Identifier: MIT
/* What a node does within seconds of waking, or of another address: peers are told, connections tested,
 * back-offs forgotten, bootstrap nodes dialled, the DHT filled and told again, reachability asked anew.
 * Then twice again, some seconds later: dead connections are closed by then, and the new network has
 * settled (routes come after the address); whoever was connected before and no longer is, is dialled. */
#ifndef CONDUIT_NODE_NETWATCH_NODE_H
#define CONDUIT_NODE_NETWATCH_NODE_H

#include "base/sched.h"
#include "node/netwatch.h"
#include "p2p/host.h"

struct node;
enum { NETWATCH_PEERS = 64, NETWATCH_ROUNDS = 2 };
struct netwatch_peer {
    struct peer_id id;
    struct p2p_connect connect;
    bool is_dialling;
};
struct netwatch_node {
    struct node *node;
    struct netwatch watch;
    struct timer timer, again;
    struct netwatch_peer *peers; /* connected when it happened; NULL: it never did */
    int peer_count, rounds_left;
    uint64_t moves; /* how often */
};
void netwatch_node_init(struct netwatch_node *w, struct node *n);
void netwatch_node_fini(struct netwatch_node *w);

#endif
