// SPDX-License-Identifier: MIT
/* What this node measured of others: latency, success, speed; and what they say of their load.
 *
 * Kept per (peer, offer id); the offer id "" is the peer itself (its connection). What a provider says
 * (slots, busy, queued, tokens/s) is a starting value and goes stale in LIMIT_LOAD_STALE_US; what was
 * measured wins. Failures decay, and too many in a row open the breaker: no request goes there until
 * its time is over, then one at a time tries.
 *
 *   CLOSED --3 failures in a row--> OPEN --after 1, 2, 4 … 60 s--> HALF --success--> CLOSED
 *                                    ^-------------- failure --------+
 */
#ifndef CONDUIT_ROUTE_MEASURE_H
#define CONDUIT_ROUTE_MEASURE_H

#include "base/bytes.h"
#include "codec/peer_id.h"

enum breaker { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF };

/* As said by the provider, over its own connection. */
struct route_load {
    uint32_t slots, busy, queued;
    double tokens_per_s; /* of one request; 0: not said */
};

struct measure {
    uint64_t latency_us;      /* EWMA of round trips; 0: not measured */
    uint64_t first_event_us;  /* EWMA of request to first event; 0: not measured */
    double tokens_per_s;      /* EWMA of one stream; 0: not measured */
    double successes, failures; /* decayed: a half every ten minutes */
    uint64_t decayed_us;
    uint32_t in_flight;       /* ours */
    struct route_load load;
    uint64_t load_us;         /* when it was said; 0: never */
    enum breaker breaker;
    uint32_t failures_in_row, opened_count;
    uint64_t open_until_us;
    uint64_t used_us;
};

struct measures;
struct measures *measures_new(uint64_t map_seed);
void measures_free(struct measures *ms);

/* What is known; NULL when nothing. `offer_id` empty: of the peer. */
const struct measure *measures_get(const struct measures *ms, const struct peer_id *peer,
                                   struct bytes offer_id);
void measures_forget(struct measures *ms, const struct peer_id *peer);
size_t measures_count(const struct measures *ms);

void measure_pinged(struct measures *ms, const struct peer_id *peer, uint64_t rtt_us,
                    uint64_t now_us);
void measure_load_said(struct measures *ms, const struct peer_id *peer, struct bytes offer_id,
                       const struct route_load *load, uint64_t now_us);
/* A request of ours was sent; exactly one measure_ended follows. */
void measure_began(struct measures *ms, const struct peer_id *peer, struct bytes offer_id,
                   uint64_t now_us);

enum measure_result {
    MEASURE_OK,
    MEASURE_FAILED,  /* the provider's fault */
    MEASURE_BUSY,    /* 429/503: it is full, and counts as load, not as failure */
    MEASURE_NEUTRAL, /* cancelled, or the request's own fault */
};
struct measure_outcome {
    enum measure_result result;
    uint64_t first_event_us; /* 0: none came */
    uint64_t total_us;
    uint64_t tokens;         /* 0: unknown */
};
void measure_ended(struct measures *ms, const struct peer_id *peer, struct bytes offer_id,
                   const struct measure_outcome *o, uint64_t now_us);

/* May a request go there now? HALF admits one at a time. */
bool measure_admits(const struct measure *m, uint64_t now_us);
/* 0..1, from the decayed counts, careful with few. NULL: 0.9. */
double measure_success(const struct measure *m, uint64_t now_us);
enum breaker measure_breaker(const struct measure *m, uint64_t now_us);

#endif
