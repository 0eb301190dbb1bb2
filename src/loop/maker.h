// SPDX-License-Identifier: MIT
/* What a maker of loops fills in. `loop.h` is one interface; behind each `struct loop` stands a
 * table of the functions that do it, on libuv or in virtual time. Private to this room.
 *
 * Makers put these heads first in their own structs and find them again by CONTAINER_OF. */
#ifndef CONDUIT_LOOP_MAKER_H
#define CONDUIT_LOOP_MAKER_H

#include "loop/loop.h"

struct loop_ops {
    void (*run)(struct loop *l);
    void (*stop)(struct loop *l);
    void (*free)(struct loop *l);
    void (*dial)(struct loop *l, struct loop_dial *d, const struct net_addr *to,
                 const struct net_addr *from, uint64_t timeout_us);
    void (*dial_cancel)(struct loop *l, struct loop_dial *d);
    int (*listen)(struct loop *l, const struct loop_listen_options *opts,
                  struct loop_listener **out);
    void (*listener_pause)(struct loop_listener *ln, bool pause);
    void (*listener_close)(struct loop_listener *ln);
    int (*resolve_servers)(struct loop *l, const char *servers);
    void (*resolve)(struct loop *l, struct loop_resolve *r, const char *name, enum loop_dns what,
                    uint64_t timeout_us);
    void (*resolve_cancel)(struct loop *l, struct loop_resolve *r);
    void (*work)(struct loop *l, struct loop_work *w);
    void (*work_cancel)(struct loop *l, struct loop_work *w);
    int (*spawn)(struct loop *l, const struct loop_spawn_options *opts, struct loop_child **out);
    int (*child_pid)(const struct loop_child *c);
    void (*child_kill)(struct loop_child *c, int signal);
    void (*child_close)(struct loop_child *c);
    int (*signal)(struct loop *l, int signum, void (*caught)(void *ctx, int signum), void *ctx,
                  struct loop_signal **out);
    void (*signal_close)(struct loop_signal *s);
    int (*udp_open)(struct loop *l, const struct loop_udp_options *opts, struct loop_udp **out);
    int (*udp_send)(struct loop_udp *u, const struct net_addr *to, struct bytes datagram);
    void (*udp_close)(struct loop_udp *u);
    size_t (*interfaces)(struct loop *l, struct net_addr *out, size_t max);
    size_t (*interface_list)(struct loop *l, struct loop_interface *out, size_t max);
    uint64_t (*suspended_us)(struct loop *l);
};

struct loop {
    struct sched sched; /* first: loop.h promises it */
    struct rng rng;
    const struct loop_ops *ops;
};

/* The heads of what a loop makes. */
struct loop_listener {
    struct loop *loop;
    struct loop_listen_options opts;
    struct net_addr addr; /* where it really listens */
};

struct loop_child {
    struct loop *loop;
};

struct loop_signal {
    struct loop *loop;
};

struct loop_udp {
    struct loop *loop;
    struct loop_udp_options opts;
    struct net_addr addr;
};

#endif
