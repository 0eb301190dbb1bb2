// SPDX-License-Identifier: MIT
/* Joining the network: each bootstrap address is connected to, kept, and connected to again when it was lost or
 * could not be reached, with a pause that doubles up to a minute. The first one that answers fills the
 * DHT's table. An address without /p2p is pinned to whoever answers first. */
#ifndef CONDUIT_NODE_JOIN_H
#define CONDUIT_NODE_JOIN_H

#include "codec/json.h"
#include "dht/dht.h"
#include "node/config.h"
#include "p2p/host.h"

struct join {
    struct p2p_host *host;
    struct dht *dht;
    struct sched *sched;
    struct list entries;
    struct p2p_watch watch;
    uint64_t asked_us;  /* the last time that a table was asked for; 0: never */
    bool has_tried_all; /* each address was tried once */
    /* That peer is what an address names: known from the address, or by having answered. */
    void (*named)(void *ctx, const struct peer_id *peer);
    void *ctx;
};

/* 0, or E_INVALID with a sentence about the address that is wrong. */
int join_init(struct join *j, struct p2p_host *host, struct dht *dht, struct sched *sched,
              const struct strlist *addrs, void (*named)(void *ctx, const struct peer_id *peer),
              void *ctx, char why[static CONFIG_WHY]);
void join_fini(struct join *j);
/* [{"address", "state": "connecting", "connected" or "failed", "why"}]: each address as it was given. */
void join_json(const struct join *j, struct json_writer *w);
/* Whoever is not connected is dialled now, whatever the pause. */
void join_now(struct join *j);
/* In the network (or there is none to join): searches are worth believing. */
bool join_is_in(const struct join *j);
/* The i-th address as it stands; false past the end. Borrowed until the next turn of the loop. */
struct join_view {
    const char *text;           /* as it was given */
    const struct peer_id *peer; /* who is there; none before the first answer */
    bool is_connected, was_tried;
};
bool join_at(const struct join *j, size_t i, struct join_view *out);
/* One of the bootstrap nodes, as named or as it answered. */
bool join_is_bootstrap(const struct join *j, const struct peer_id *peer);

#endif
