// SPDX-License-Identifier: MIT
/* A network of real DHT nodes (src/dht, nothing replaced) in virtual time. Only the port is not real: a
 * request is one message, not a stream over Noise and Yamux.
 *
 *   no connection yet   1 round trip TCP, 2 of handshakes, then 1 for the request and its answer
 *   connected           1 round trip
 *   silent peer         takes the connection and the request, and says nothing
 *   gone peer           nobody is at the address: refused after one round trip
 *
 * The round trip of two nodes is theirs for ever: lognormal, median 60 ms, sigma 0.6, drawn from a hash
 * of the pair. Nodes have public IPv4 addresses spread over the whole space, so that the limits of nets
 * are at work. Only askers keep their connections (until net_forget_connections); everybody else dials anew for
 * each request, which costs memory nothing and makes the network slower than a real one. */
#ifndef CONDUIT_TEST_SIM_KAD_NET_H
#define CONDUIT_TEST_SIM_KAD_NET_H

#include "dht/core.h"

struct net;

struct sim_node {
    struct net *net;
    struct dht *d;
    struct peer_id id;
    uint8_t addr[8];
    struct bytes addr_v;
    int number;
    bool is_silent;
    bool is_sybil; /* answers, but only with its own kind, and keeps no records */
    bool keeps_connections;
    struct map connected;   /* numbers of nodes it is connected to */
    uint64_t sent, dialled; /* requests, and those that needed a dial */
};

struct net {
    struct sched s;
    struct rng rng;
    uint64_t seed;
    struct sim_node **nodes;
    int count, capacity;
    struct map by_id;
    struct list flights;
    uint64_t messages;
    int sybil_first, sybil_count; /* nodes[] of them */
};

struct net *net_new(uint64_t seed, int capacity);
void net_free(struct net *net);
/* NULL id: random. A client is in nobody's table. */
struct sim_node *net_add(struct net *net, const struct peer_id *id, bool is_server);
/* What identify says to both when `a` has dialled `b`. */
void net_meet(struct sim_node *a, struct sim_node *b);
void net_forget_connections(struct sim_node *n);
void net_run(struct net *net, uint64_t us);
uint64_t net_rtt_us(const struct net *net, int a, int b);
struct dht_peer net_peer(struct sim_node *n);

#endif
