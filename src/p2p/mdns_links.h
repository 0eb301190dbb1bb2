// SPDX-License-Identifier: MIT
/* On which interfaces multicast DNS is worth speaking. Pure. */
#ifndef CONDUIT_P2P_MDNS_LINKS_H
#define CONDUIT_P2P_MDNS_LINKS_H

#include "base/limits.h"
#include "base/net.h"

/* One row per address, as the system lists them. */
struct mdns_interface {
    char name[16];
    uint32_t index;
    struct net_addr addr;
    bool is_usable; /* up, carries multicast, neither loopback nor a tunnel */
};

/* A place to speak: an interface and an IP version. */
struct mdns_pick {
    char name[16];
    uint32_t index, key;
    enum net_kind kind;
    struct net_addr addrs[LIMIT_MDNS_ADDRS]; /* of both versions */
    size_t addr_count;
};

/* Usable interfaces with an address that others could dial: docker's bridge while no container runs, the ends of
 * containers' cables (link-local only) and VPNs are left out. Returns how many, at most `max`. */
size_t mdns_pick_links(const struct mdns_interface *v, size_t n, struct mdns_pick *out, size_t max);
bool mdns_pick_same_addrs(const struct mdns_pick *a, const struct mdns_pick *b);
/* Is it one of the interface's own addresses? */
bool mdns_pick_has(const struct mdns_pick *p, const struct net_addr *ip);

#endif
