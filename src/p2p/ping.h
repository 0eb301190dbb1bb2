// SPDX-License-Identifier: MIT
/* /ipfs/ping/1.0.0 from our side: 32 random bytes that have to come back. For people and tests; the
 * connection itself is kept alive by yamux's own pings. */
#ifndef CONDUIT_P2P_PING_H
#define CONDUIT_P2P_PING_H

#include "p2p/host.h"

enum { PING_SIZE = 32 };
#define P2P_PING "/ipfs/ping/1.0.0"

struct p2p_ping {
    struct p2p_open open; /* the caller sets peer, addrs, addr_count, timeout_us (all of it) */
    /* Once: 0 and the round trip, or why not. E_PROTO: something else came back. */
    void (*done)(struct p2p_ping *p, int err, uint64_t rtt_us);
    struct p2p_host *host; /* private from here */
    struct stream *s;
    struct timer timer;
    uint64_t sent_us;
    uint8_t sent[PING_SIZE], got[PING_SIZE];
    size_t got_n;
};
void p2p_host_ping(struct p2p_host *h, struct p2p_ping *p);

#endif
