// SPDX-License-Identifier: MIT
/* The gateway's ports, filled in: a way to an own offer is a slot of the engine, a way to another's is a libp2p
 * stream; a lookup is a search in the network. */
#ifndef CONDUIT_NODE_WAYS_H
#define CONDUIT_NODE_WAYS_H

#include "engine/engine.h"
#include "gateway/ports.h"
#include "guard/queue.h"
#include "guard/trust.h"
#include "node/discover.h"

struct ways {
    struct sched *sched;
    struct rng *rng;
    struct engine *engine;
    struct p2p_host *host;
    struct discover *discover;
    const struct trust *trust;
    struct map queues;      /* model -> struct model_queue */
    uint32_t default_slots; /* for others, where the engine names none */
    /* Somebody entered or left a queue. */
    void (*load_changed)(void *ctx);
    void *ctx;
};

void ways_init(struct ways *w, uint64_t seed);
void ways_fini(struct ways *w);               /* everything opened must be closed */
const struct gateway_ports *ways_ports(void); /* ctx: the struct ways */
/* Requests of a model that run and wait. */
void ways_load(const struct ways *w, const char *model, uint32_t *busy, uint32_t *queued);

#endif
