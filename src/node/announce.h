// SPDX-License-Identifier: MIT
/* This node's own offers: made from the engine's models, signed, told to those who watch, and announced in the
 * DHT, as long as the owner shares them and the schedule is open. The owner's own requests see all of them
 * in the catalogue, shared or not.
 *
 *   model ready -> offer in the catalogue (own) -- shared and open? --> signed, fed, provided in the DHT
 *   model gone, schedule closed, paused -> withdrawn the same way */
#ifndef CONDUIT_NODE_ANNOUNCE_H
#define CONDUIT_NODE_ANNOUNCE_H

#include "dht/dht.h"
#include "engine/engine.h"
#include "gateway/gateway.h"
#include "guard/guard.h"
#include "node/config.h"
#include "node/ways.h"
#include "offer/catalogue.h"
#include "route/measure.h"

struct announce {
    struct sched *sched;
    struct dht *dht;
    struct engine *engine;
    struct gateway *gateway; /* NULL until it is made */
    struct guard *guard;
    struct ways *ways;
    struct catalogue *offers;
    const struct measures *measures; /* tokens/s that our own models gave */
    uint64_t started_us;             /* of the node */
    const struct key_pair *key;
    const struct config *config;
    struct list own; /* struct own_offer */
    struct timer tick;
    struct timer hours; /* with a schedule: each second, is it still open? */
    struct task changed, load;
    uint64_t last_seq, told_load_us;
    bool is_stopping, is_over;
    unsigned (*minute_of_day)(void *ctx);
    void *ctx;
};

void announce_init(struct announce *a);
void announce_fini(struct announce *a);
/* The engine's models changed, or whether sharing is open: offers follow at the end of this turn. */
void announce_changed(struct announce *a);
/* Somebody's queue changed: watchers are told, a few times a second at most. */
void announce_load_changed(struct announce *a);
/* No more offers: everything is withdrawn (a graceful stop begins with it). */
void announce_withdraw_all(struct announce *a);
/* Everything that a new watcher must know, as SSE events. */
int announce_snapshot(const struct announce *a, const struct principal *who, struct buf *out);
/* {"offers":[…]}: own shared ones. Both: those that `who` may use. */
int announce_json(const struct announce *a, const struct principal *who, struct buf *out);
bool announce_is_shared(const struct announce *a, const struct engine_model *m);

#endif
