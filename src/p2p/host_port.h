// SPDX-License-Identifier: MIT
/* What the host needs of the outside world: connections, names, this machine's addresses. Filled in
 * over the loop by host_shell.c, by a test over pipes. The loop's rules hold: requests are embedded,
 * complete once, and never from inside the call. */
#ifndef CONDUIT_P2P_HOST_PORT_H
#define CONDUIT_P2P_HOST_PORT_H

#include "base/bytes.h"
#include "base/net.h"
#include "base/stream.h"

struct host_port_dial {
    void (*done)(struct host_port_dial *d, int err, struct stream *s); /* s is yours when 0 */
    bool is_from; /* set with the answer: the local end is the one that was asked for */
    void *maker;  /* the port's own */
};

enum host_port_name { HOST_NAME_ANY, HOST_NAME_IP4, HOST_NAME_IP6, HOST_NAME_TXT };
struct host_port_resolve {
    void (*done)(struct host_port_resolve *r, int err, const struct net_addr *addrs,
                 size_t addr_count, const struct bytes *texts, size_t text_count);
    void *maker;
};

struct host_port_listener {
    void (*accepted)(struct host_port_listener *l, struct stream *s); /* s is yours */
    struct net_addr at; /* set by listen: the port that was taken */
    void *maker;
};

struct host_port {
    /* `from` (or NULL): the local end, if it can be had; else any. */
    void (*dial)(void *ctx, struct host_port_dial *d, const struct net_addr *to,
                 const struct net_addr *from, uint64_t timeout_us);
    void (*dial_cancel)(void *ctx, struct host_port_dial *d);
    int (*listen)(void *ctx, struct host_port_listener *l, const struct net_addr *at);
    void (*unlisten)(void *ctx, struct host_port_listener *l);
    void (*resolve)(void *ctx, struct host_port_resolve *r, const char *name,
                    enum host_port_name what, uint64_t timeout_us);
    void (*resolve_cancel)(void *ctx, struct host_port_resolve *r);
    size_t (*interfaces)(void *ctx, struct net_addr *out, size_t max);
    void (*free)(void *ctx); /* with the host: requests still waiting are forgotten; may be NULL */
};

#endif
