// SPDX-License-Identifier: MIT
/* Which offer answers a request: a pure function of the request, the offers, the measurements and the time,
 * that can also say why.
 *
 * Each candidate's cost is the time until its first event, as expected:
 *     latency (measured, else told by the connection, else a cautious guess)
 *   × 1 + requests waiting before ours per slot (ours in flight, or as the peer told, whichever is more)
 *   ÷ success
 *   × 1.5 where the peer is reached only over a relay's circuit that will be cut
 * The lowest cost wins; costs within 10 % are equal, and among equals one is drawn, so that many consumers do
 * not all run to one provider. An own offer has no hop: its latency is what the engine needs. */
#ifndef CONDUIT_ROUTE_CHOOSE_H
#define CONDUIT_ROUTE_CHOOSE_H

#include "base/rng.h"
#include "offer/catalogue.h"
#include "route/measure.h"

struct route_request {
    struct bytes model; /* as asked; "", "auto", "llamanet": any chat model */
    uint32_t needs;     /* abilities that the offer must have */
    bool own_only;      /* a peer's request: never passed on, nor to what is not shared */
    bool others_only;
    /* Of the offers that would do, those that the asker may use; NULL: all. */
    bool (*may_use)(const void *ctx, const struct offer *o);
    const void *ctx;
    uint32_t prompt_tokens; /* estimate; 0: not known. Offers with less context are left out */
};

enum { ROUTE_TRIED = 8 }; /* twice what failover tries */
/* Offers that were tried for this request: mostly one, so that they lie apart. All zero is none. */
struct route_tried {
    struct {
        struct peer_id peer;
        char offer[OFFER_ID];
    } * v;
    size_t n;
};
void route_tried_add(struct route_tried *t, const struct offer *o); /* at most ROUTE_TRIED */
/* The last one may be tried again after all. */
void route_tried_drop_last(struct route_tried *t);
void route_tried_fini(struct route_tried *t);

struct route_choice {
    const struct catalogue_offer *offer; /* NULL: none; borrowed from the catalogue */
    double cost_us;
    /* why */
    unsigned candidates; /* offers that would do */
    unsigned named;      /* offers of that model at all */
    unsigned tried;      /* … left out because they failed for this request */
    unsigned broken;     /* … because their breaker is open */
    unsigned unfit;      /* … because an ability or the context is missing */
    unsigned barred;     /* … because their peers are only listed; not counted in `named` */
    const struct catalogue_peer *barred_peer; /* one of those; borrowed from the catalogue */
    unsigned denied;                          /* … because the asker may not use them */
    double latency_us, success;
    uint32_t waiting;
    bool was_drawn;  /* one of several equals */
    bool is_limited; /* reached over a circuit that will be cut */
};

void route_choose(const struct route_request *req, const struct catalogue *offers,
                  const struct measures *measures, const struct route_tried *tried, uint64_t now_us,
                  struct rng *rng, struct route_choice *out);

/* "peer; best 1 of 3; expected 12 ms; 0 waiting; success 1.00; over a limited relay": fit for a header field. Returns out. */
const char *route_explain(const struct route_choice *c, unsigned attempt, char out[static 160]);

/* The key of an offer's measurements: the peer and the model. */
struct route_key {
    uint8_t b[42 + OFFER_NAME];
    size_t n;
};
struct bytes route_key_of(const struct offer *o, struct route_key *k);

#endif
