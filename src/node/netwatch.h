// SPDX-License-Identifier: MIT
/* Is this machine still where it was, and was it awake? A pure watch, asked every two seconds.
 *
 *   netwatch_step(addresses, now, suspended) -> what has changed since the last look
 *     an address came or went                                    -> NETWATCH_MOVED
 *     the look is over five seconds late, or the machine was
 *     suspended for over five seconds                            -> NETWATCH_WOKE
 *
 * A machine that slept shows it in one of two ways: its monotonic clock ran on (the look comes late)
 * or stood still (loop_suspended_us has grown). The wall clock is not asked: it is set by people and by servers of
 * time. Loopback addresses do not count, nor IPv6 link-local ones: they say nothing of the network. */
#ifndef CONDUIT_NODE_NETWATCH_H
#define CONDUIT_NODE_NETWATCH_H

#include "base/net.h"

enum { NETWATCH_ADDRS = 64 };
enum netwatch_news { NETWATCH_SAME = 0, NETWATCH_MOVED = 1, NETWATCH_WOKE = 2 }; /* a set */

/* An address without its port; the simulator has thousands of these. */
struct netwatch_ip {
    uint8_t kind, ip[16];
};

struct netwatch {
    struct netwatch_ip addrs[NETWATCH_ADDRS]; /* sorted */
    size_t count;
    bool is_started;
    uint64_t due_us, suspended_us;
};

#define NETWATCH_EVERY_US UINT64_C(2000000)

/* The set of news; the first look has none. */
unsigned netwatch_step(struct netwatch *w, const struct net_addr *addrs, size_t count,
                       uint64_t now_us, uint64_t suspended_us);
/* When to look again. */
uint64_t netwatch_deadline(const struct netwatch *w);
/* Any address through which a network may be reached. */
bool netwatch_is_connected(const struct netwatch *w);

#endif
