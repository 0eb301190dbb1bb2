// SPDX-License-Identifier: MIT
/* The parts of a node, for its own files. */
#ifndef CONDUIT_NODE_IMPL_H
#define CONDUIT_NODE_IMPL_H

#include "gateway/gateway.h"
#include "http/client_shell.h"
#include "loop/loop.h"
#include "node/access.h"
#include "node/announce.h"
#include "node/confirm.h"
#include "node/datadir.h"
#include "node/discover.h"
#include "node/feeds.h"
#include "node/guest.h"
#include "node/invites.h"
#include "node/join.h"
#include "node/kad_port.h"
#include "node/kept.h"
#include "node/lan.h"
#include "node/netwatch_node.h"
#include "node/network_key.h"
#include "node/node.h"
#include "node/node_record.h"
#include "node/relay_policy.h"
#include "node/ways.h"
#include "p2p/autonat_host.h"

struct node {
    struct loop *loop;
    struct sched *sched;
    struct rng *rng;
    const struct config *cfg;
    char *const *env;
    const char *version;
    uint64_t started_us;
    struct datadir dir;
    struct key_pair key;
    struct pnet_key network; /* when has_network */
    char peer[PEER_ID_TEXT], api[160], agent[64];
    /* state */
    struct invites invites;
    struct access access;
    struct guest guest;
    struct strlist bootstrap; /* those of the configuration, and of invites */
    struct catalogue offers;
    struct measures measures;
    struct guard guard;
    struct trust trust;
    /* http */
    struct http_client *client;
    struct http_net *net;
    struct http_pool *pool;
    struct http_server *local_server, *control_server, *peer_server;
    struct loop_listener *local, *control;
    /* network */
    struct p2p_host *host;
    struct kad_port kad;
    struct feeds feeds;
    struct discover discover;
    struct join join;
    struct kept kept;
    struct lan lan;
    struct confirm confirm;
    struct relay_policy relay;
    struct autonat_host *autonat;
    struct netwatch_node netwatch;
    bool has_netwatch;
    /* serving */
    struct engine *engine;
    struct ways ways;
    struct announce announce;
    struct gateway *gateway;
    struct list doctors; /* running diagnoses */
    unsigned doctor_count;
    struct list dht_gets; /* keys being looked up */
    unsigned dht_get_count;
    struct timer record; /* of the node itself, in the DHT */
    uint64_t record_seq;
    bool has_network, has_invites, has_access, has_kad, has_feeds, has_discover, has_join, has_kept,
        has_announce, has_guard, has_ways, has_relay;
    /* stopping */
    struct timer drain;
    uint64_t drain_until_us;
    bool is_stopping, is_closing;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
};

/* pages.c: the documents that the gateway serves. */
int node_render(void *node, enum gateway_page page, const struct principal *who, struct buf *out);
/* routes.c: what the node serves beside the gateway, to the owner and to peers. */
extern const struct gateway_route node_local_routes[], node_peer_routes[];
extern const size_t node_local_route_count, node_peer_route_count;
/* doctor.c: running diagnoses are answered that the node stops. */
void doctor_end_all(struct node *n);
/* limits.c: every limit of the node with what is used of it. */
enum { NODE_LIMITS = 160 }; /* rows: 51 and two per protocol that has streams */
size_t node_limits(struct node *n, struct resource_row out[static NODE_LIMITS]);
int node_limits_json(struct node *n, struct buf *out);
/* metrics.c: Prometheus' text, after the gateway's own. */
int node_metrics(struct node *n, struct buf *out);
/* membership.c: networks, hosts and guests of this node; reads what is given and kept. */
int node_membership(struct node *n, char *why);
void node_trust_guests(struct node *n);
/* A guest's invite has begun or ceased to hold. */
void node_trust_guest(struct node *n, const struct peer_id *peer);
/* identity.c: reads or makes identity.key. */
int identity_load(const char *dir, struct rng *rng, struct key_pair *out, char *why);
/* listen.c: the local HTTP address and the control socket. */
int node_listen(struct node *n, char *why);
void node_unlisten(struct node *n);

/* trusting.c: what is known of a peer becomes what is done. */
bool node_has_mdns(const struct node *n);
bool node_admits(void *node, const struct principal *who, bool says_lan);
void node_takes(void *node, const struct stream *s);
void node_trust_init(struct node *n);
void node_on_learnt(void *node, const struct peer_id *peer);
/* One of those kept from before: of the network we were in. */
void node_on_kept(void *node, const struct peer_id *peer);
bool node_may_keep(void *node, const struct peer_id *peer);
void node_on_named(void *node, const struct peer_id *peer);
void node_confirm_init(struct node *n);
void node_on_told(void *node, const struct peer_id *peer);

#endif
