// SPDX-License-Identifier: MIT
/* mDNS on the sockets of a loop: one per interface and IP version, looked at again every few seconds, so that
 * interfaces may come, go and change their addresses. */
#ifndef CONDUIT_P2P_MDNS_SHELL_H
#define CONDUIT_P2P_MDNS_SHELL_H

#include "p2p/mdns.h"

struct loop;
struct mdns_shell;
struct mdns_shell_cfg {
    struct peer_id self;
    const char *network; /* see mdns_init; borrowed for the call */
    /* All addresses by which we can be dialled, as p2p_host_addrs gives them. */
    size_t (*addrs)(void *ctx, const struct bytes **out);
    /* As in struct mdns_port. */
    void (*found)(void *ctx, const struct mdns_peer *peer, bool is_news);
    void (*lost)(void *ctx, const struct mdns_peer *peer);
    void (*links_changed)(void *ctx); /* may be NULL */
    void *ctx;
};
/* Always works: without an interface that carries multicast it waits for one. */
struct mdns_shell *mdns_open(struct loop *l, const struct mdns_shell_cfg *cfg);
/* Says goodbye. NULL: nothing. */
void mdns_close(struct mdns_shell *s);
struct mdns *mdns_of(struct mdns_shell *s);
/* Names of the interfaces it speaks on, as "eth0, wlan0"; "" for none. Returns out. */
const char *mdns_interfaces(const struct mdns_shell *s, char *out, size_t size);

#endif
