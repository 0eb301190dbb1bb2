// SPDX-License-Identifier: MIT
/* When this node is a relay, when it uses some, and the holes it punches.
 *
 *   strangers may reach us, or nobody knows   -> serves others within limits (--no-relay: never)
 *   strangers cannot reach us                 -> two places at relays, and serves nobody; more of them, when many
 *                                                come over circuits: a relay has few
 *   only those whom we dialled have got in     -> both: places at relays, and serves others
 *   connected over a relay                    -> a direct connection is tried, once
 *
 * Relays are chosen among the peers that say they serve: one bootstrap node, then Conduit nodes.
 * --relay unlimited, or --relay-for PEER: circuits without a limit, for everybody or for those. */
#ifndef CONDUIT_NODE_RELAY_POLICY_H
#define CONDUIT_NODE_RELAY_POLICY_H

#include "codec/json.h"
#include "node/config.h"
#include "node/join.h"
#include "p2p/punch.h"
#include "p2p/relay_client.h"
#include "p2p/relay_serve.h"

enum {
    RELAY_FRIENDS = 64,
    RELAY_PLACES = 2,    /* at first; */
    RELAY_MANY = 8,      /* relays known: one place more, */
    RELAY_PER_PLACE = 6, /* and one for so many peers that use us over circuits, */
    RELAY_PLACES_MAX = 6 /* as far as our addresses go into a record of the DHT */
};

struct relay_policy {
    struct p2p_host *host;
    struct sched *sched;
    const struct key_pair *key;
    const struct config *cfg;
    const struct join *join; /* may be empty still */
    struct relay_serve *serve;
    struct relay_client *client;
    struct punch *punch;
    struct p2p_watch watch;
    struct task task;
    struct peer_id friends[RELAY_FRIENDS];
    size_t friend_count;
    bool is_unlimited;
    uint32_t places; /* wanted while strangers cannot reach us: never fewer again */
};

/* 0, or E_INVALID with a sentence about the option that is wrong. */
int relay_policy_init(struct relay_policy *p, struct p2p_host *host, struct sched *sched,
                      const struct key_pair *key, const struct config *cfg, const struct join *join,
                      char why[static CONFIG_WHY]);
void relay_policy_fini(struct relay_policy *p);
/* The member "relay" of the status, and "reach". */
void relay_policy_json(struct relay_policy *p, struct json_writer *w);

#endif
