// SPDX-License-Identifier: MIT
/* What this node measured of each peer, and what the peer says of its load. Measured values replace told
 * ones as soon as there are any; a told value is only where the estimate starts.
 *
 * Failures open a circuit breaker: after MEASURE_TRIP in a row a peer is left alone for a while that
 * doubles, then one request may try again, and the others wait for what comes of it:
 *
 *   CLOSED --MEASURE_TRIP failures--> OPEN --pause over--> HALF-OPEN --one request--> PROBING
 *      ^                                ^------------- it failed ------------------------|
 *      |                                        HALF-OPEN <-------- it was cancelled ----|
 *      \--------------------- it was answered, or any request that was under way -------/ */
#ifndef CONDUIT_ROUTE_MEASURE_H
#define CONDUIT_ROUTE_MEASURE_H

#include "base/map.h"

#include <stdbool.h>

struct measure {
    /* measured here */
    double first_event_us; /* moving average of time to the first event; 0: never */
    double rtt_us;         /* of the connection; 0: not known */
    double success;        /* 0..1, decays towards 1 when nothing happens */
    double tokens_per_s;   /* of one stream; 0: not known */
    uint32_t in_flight;    /* of our own */
    uint32_t failures_in_a_row;
    uint64_t open_until_us; /* the breaker; 0: closed */
    bool is_probing;        /* the one request of a half-open breaker is under way */
    uint64_t requests, failures;
    /* told by the peer */
    uint32_t slots, busy, queued;
    uint32_t told_uptime_s; /* of the node */
    double told_tokens_per_s;
    uint64_t load_at_us; /* when the load was told; 0: never */
    uint32_t loads;      /* how often */
};

enum { MEASURE_TRIP = 3 };

struct measures {
    struct map by_peer; /* key (peer id bytes, plus model for load) -> struct measure */
    size_t limit;
    uint64_t
        freed; /* how many had to make room: until it changes, every struct measure stays where it is */
};

void measures_init(struct measures *m, uint64_t seed);
void measures_fini(struct measures *m);
/* Never NULL for measures_of; the oldest makes room at the limit. `key` is any bytes. */
struct measure *measures_of(struct measures *m, struct bytes key);
const struct measure *measures_peek(const struct measures *m, struct bytes key); /* NULL: nothing */

/* True when this request is the probe of a half-open breaker: its end must be told with
 * `measure_probed`, beside the outcome. */
bool measure_started(struct measure *m);
/* The probe is over, however; before its outcome is told. */
void measure_probed(struct measure *m);
/* A first event came: whatever happens later, the peer answers. */
void measure_answered(struct measure *m);
/* first_event_us 0: none came. */
void measure_succeeded(struct measure *m, uint64_t first_event_us, double tokens_per_s);
void measure_failed(struct measure *m, uint64_t now_us);
void measure_cancelled(struct measure *m); /* says nothing about the peer */
void measure_told(struct measure *m, uint32_t slots, uint32_t busy, uint32_t queued,
                  double tokens_per_s, uint64_t now_us);
/* Not to be asked now: the breaker is open, or its probe is under way. */
bool measure_is_open(const struct measure *m, uint64_t now_us);

#endif
