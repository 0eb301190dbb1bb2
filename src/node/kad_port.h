// SPDX-License-Identifier: MIT
/* Kademlia over the host: fills the DHT's port with libp2p streams, and serves those that peers open.
 * Messages are length-prefixed; several may follow each other on a stream that was opened to us. */
#ifndef CONDUIT_NODE_KAD_PORT_H
#define CONDUIT_NODE_KAD_PORT_H

#include "dht/dht.h"
#include "p2p/host.h"

#define KAD_PROTOCOL "/conduit/kad/1.0.0"

struct kad_port {
    struct p2p_host *host;
    struct sched *sched;
    struct dht *dht;
    bool is_server;
    struct list calls;  /* requests of ours */
    struct list served; /* streams of others */
    size_t served_count;
    struct p2p_watch watch;
    uint8_t told[32]; /* hash of the addresses that were announced last */
    /* Kept out of the table: found on the LAN only. NULL: nobody. */
    bool (*is_stranger)(void *ctx, const struct peer_id *peer);
    void *ctx;
};

/* Makes the DHT on this host, serves the protocol, and feeds the routing table from identify. */
int kad_port_init(struct kad_port *k, struct p2p_host *host, struct sched *sched, struct rng *rng);
void kad_port_fini(struct kad_port *k);
/* One request of somebody else than the DHT, by the port's rules (dht.h); `sent` and `done` must be set. */
void kad_port_send(struct kad_port *k, struct dht_rpc *rpc);
void kad_port_cancel(struct kad_port *k, struct dht_rpc *rpc);
/* More is known of a peer: it may be no stranger any more. */
void kad_port_review(struct kad_port *k, const struct peer_id *peer);

#endif
