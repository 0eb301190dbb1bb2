// SPDX-License-Identifier: MIT
/* Who has a model that the catalogue does not know: asks the DHT for providers, connects to them, and waits for
 * their offers. Ends when an offer of that model is known, when everybody found has been tried, or at the
 * deadline: who is named may not exist, so that no number of them is enough until one has it. What was not found is not searched for again for a few seconds.
 *
 * Providers are also looked for unasked, as long as no Conduit node is connected at all: among libp2p nodes of other
 * kinds, which keep our records, nobody else would tell of them. */
#ifndef CONDUIT_NODE_DISCOVER_H
#define CONDUIT_NODE_DISCOVER_H

#include "dht/dht.h"
#include "node/feeds.h"

struct discover {
    struct p2p_host *host;
    struct dht *dht;
    struct sched *sched;
    uint64_t started_us;
    struct feeds *feeds;
    struct catalogue *offers;
    struct list searches;
    struct timer browse;           /* the next look for providers unasked */
    uint64_t browse_us;            /* and how long after it the one after */
    struct map missing;            /* model -> until when it is known to be missing */
    bool (*has_joined)(void *ctx); /* the node is in the network, or has none to join */
    bool (*is_loading)(void *ctx, struct bytes model);   /* somebody may have it in a moment */
    void (*told)(void *ctx, const struct peer_id *peer); /* the DHT names it as a provider */
    void *ctx;
};

struct discover_search;
/* `is_complete`: nobody (else) has it. */
typedef void (*discover_done)(void *ctx, bool is_complete);

void discover_init(struct discover *d, struct p2p_host *host, struct dht *dht, struct sched *sched,
                   struct feeds *feeds, struct catalogue *offers, uint64_t seed);
void discover_fini(struct discover *d); /* no search may be under way but those it then drops */
/* Never calls `done` from inside. "" and the like: any chat model. */
struct discover_search *discover_start(struct discover *d, struct bytes model, uint64_t timeout_us,
                                       discover_done done, void *ctx);
void discover_cancel(struct discover_search *s);
/* The catalogue changed by itself (an own model is ready): searches look again. */
void discover_poke(struct discover *d);

#endif
