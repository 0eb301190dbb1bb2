// SPDX-License-Identifier: MIT
/* Asks a peer which version it is and what time it has: GET /conduit/v1/hello over its connection. Embedded;
 * completes once, never inside hello_start; after hello_cancel it does not complete. */
#ifndef CONDUIT_NODE_HELLO_H
#define CONDUIT_NODE_HELLO_H

#include "http/client.h"
#include "p2p/host.h"

struct hello {
    struct peer_id peer;
    void (*done)(struct hello *h);
    void *ctx;
    /* the result */
    int err;          /* E_UNSUPPORTED: it answered something else; E_TIMEOUT, E_UNAVAILABLE, … */
    char version[48]; /* printable */
    int64_t skew_ms;  /* its clock less ours; ± half of rtt_us */
    uint64_t rtt_us;
    /* private */
    struct p2p_host *host;
    struct sched *sched;
    struct http_client *client;
    struct p2p_open open;
    struct timer deadline; /* of all of it: a peer may say a byte at a time */
    bool is_opening;
    struct http_call *call;
    struct buf body;
    uint64_t asked_us, asked_wall_ms;
    bool is_good;
};

/* Only over a connection that is there; takes 6 s at most, whatever the peer does. */
void hello_start(struct hello *h, struct p2p_host *host, struct sched *sched,
                 struct http_client *client);
void hello_cancel(struct hello *h); /* harmless when it is over */

#endif
