// SPDX-License-Identifier: MIT
/* The offers of others: one event stream per connected Conduit node (GET /conduit/v1/offers), at most
 * LIMIT_CATALOGUE_PEERS, written into the catalogue and the measurements. Of those that have not said anything yet one IP
 * group has a quarter at most, and so have all over relays. A peer that leaves takes its offers with it at once; a stream
 * that ends while the peer stays is opened again after a pause.
 *
 * Over a circuit that its relay cuts after a while the connection is made again first, and the offers stay; a peer that
 * offers nothing is not followed there: its feed rests, with no stream, until it is searched for or there is a direct way.
 *
 *   identified -> OPENING -> READING --ended--> WAITING --> OPENING …      disconnected: gone */
#ifndef CONDUIT_NODE_FEEDS_H
#define CONDUIT_NODE_FEEDS_H

#include "guard/trust.h"
#include "http/client.h"
#include "offer/catalogue.h"
#include "p2p/host.h"
#include "route/measure.h"

#define HTTP_PROTOCOL "/http/1.1"

struct feeds {
    struct p2p_host *host;
    struct sched *sched;
    struct http_client *client;
    struct catalogue *offers;
    struct measures *measures;
    struct trust *trust;
    struct map by_peer;     /* peer id -> struct feed */
    uint32_t max;           /* of them; may be set after feeds_init */
    uint64_t full_until_us; /* no place before then for who just connects, unless a feed ends */
    struct p2p_watch watch;
    struct list waiters; /* struct feeds_waiter */
    /* Not yet: an invite is being shown to this peer first (feeds_refresh follows). NULL: never. */
    bool (*must_wait)(void *ctx, const struct peer_id *peer);
    void *ctx;
};

/* Somebody who waits for news: called after each snapshot and each change, when a feed fails, and when a peer turns
 * out to be no Conduit node. */
struct feeds_waiter {
    struct list link;
    void (*news)(struct feeds_waiter *w, const struct peer_id *peer);
    /* Is it one of those whose offers are waited for? */
    bool (*wants)(struct feeds_waiter *w, const struct peer_id *peer);
};

void feeds_init(struct feeds *f, struct p2p_host *host, struct sched *sched,
                struct http_client *client, struct catalogue *offers, struct measures *measures,
                struct trust *trust, uint64_t seed);
void feeds_fini(struct feeds *f);
void feeds_wait(struct feeds *f, struct feeds_waiter *w);
void feeds_unwait(struct feeds_waiter *w);
/* More is known of a peer: a feed that was asked for as a stranger's is asked for again. */
void feeds_review(struct feeds *f, const struct peer_id *peer);
/* A connected peer whose offers are searched for: the least recently used provider makes room for its feed. */
void feeds_want(struct feeds *f, const struct peer_id *peer);
/* What it offers us may have changed, since it knows us now: its feed is opened, or opened anew. */
void feeds_refresh(struct feeds *f, const struct peer_id *peer);
/* Its first snapshot has come, or never will: the feed has failed since, or it is no Conduit node. Not while it rests:
 * feeds_want asks again. */
bool feeds_is_known(const struct feeds *f, const struct peer_id *peer);
/* It is connected, and says of itself that it is something else than a Conduit node. */
bool feeds_is_other(const struct feeds *f, const struct peer_id *peer);
/* Its feed is open and its first snapshot has come: what it offers from now on is told at once. */
bool feeds_is_open(const struct feeds *f, const struct peer_id *peer);
/* That of all of them. */
bool feeds_are_known(const struct feeds *f);

#endif
