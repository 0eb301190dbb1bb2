// SPDX-License-Identifier: MIT
/* The libuv maker's own struct and what its files share. Private to this room.
 *
 * One turn of the loop, and where our scheduler runs in it:
 *
 *   prepare: tasks; arm the alarm for sched_deadline    (nothing may wait while we sleep)
 *   poll:    each callback first calls uvm_woke, which reads the clock once per turn
 *   check:   due timers, tasks
 *   closing: libuv's close callbacks free memory; they never call users
 *
 * Every handle's `data` points at a constant `struct uvm_kind`, by which loop_free finds out how to
 * discard what its users left open. */
#ifndef CONDUIT_LOOP_UV_MAKER_H
#define CONDUIT_LOOP_UV_MAKER_H

#include "loop/maker.h"

#include <uv.h>

struct uvm_names; /* uv_resolve.c */

struct uvm {
    struct loop base;
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t alarm;    /* libuv's only timer; active while something waits for a time */
    uint64_t alarm_ms;   /* what it is set to, on libuv's clock */
    bool is_awake;       /* the clock was read since the last sleep */
    uint64_t wall_at_us; /* when the wall clock was last looked at … */
    uint64_t wall_ms;    /* … and what it said */
    struct uvm_names *names;
    struct list requests; /* struct uvm_request: what loop_free forgets */
    bool is_dying;        /* loop_free has begun: nobody is called any more */
};

/* First in the heap struct behind each pending request that is no libuv handle. */
struct uvm_request {
    struct list link;
};

struct uvm_kind {
    void (*discard)(uv_handle_t *h); /* closes the handle and frees its owner; calls nobody */
};

/* First thing in every callback from libuv: it is a new moment. */
void uvm_woke(struct uvm *m);
static inline struct uvm *uvm_of(struct loop *l)
{
    return CONTAINER_OF(l, struct uvm, base);
}

extern const struct loop_ops uvm_ops;

void uvm_dial(struct loop *l, struct loop_dial *d, const struct net_addr *to,
              const struct net_addr *from, uint64_t timeout_us);
void uvm_dial_cancel(struct loop *l, struct loop_dial *d);
int uvm_listen(struct loop *l, const struct loop_listen_options *opts, struct loop_listener **out);
void uvm_listener_pause(struct loop_listener *ln, bool pause);
void uvm_listener_close(struct loop_listener *ln);
int uvm_resolve_servers(struct loop *l, const char *servers);
void uvm_resolve(struct loop *l, struct loop_resolve *r, const char *name, enum loop_dns what,
                 uint64_t timeout_us);
void uvm_resolve_cancel(struct loop *l, struct loop_resolve *r);
void uvm_names_free(struct uvm *m); /* before the handles go */
void uvm_work(struct loop *l, struct loop_work *w);
void uvm_work_cancel(struct loop *l, struct loop_work *w);
int uvm_spawn(struct loop *l, const struct loop_spawn_options *opts, struct loop_child **out);
int uvm_child_pid(const struct loop_child *c);
void uvm_child_kill(struct loop_child *c, int signal);
void uvm_child_close(struct loop_child *c);
int uvm_signal(struct loop *l, int signum, void (*caught)(void *ctx, int signum), void *ctx,
               struct loop_signal **out);
void uvm_signal_close(struct loop_signal *s);
int uvm_udp_open(struct loop *l, const struct loop_udp_options *opts, struct loop_udp **out);
int uvm_udp_send(struct loop_udp *u, const struct net_addr *to, struct bytes datagram);
void uvm_udp_close(struct loop_udp *u);
size_t uvm_interfaces(struct loop *l, struct net_addr *out, size_t max);
size_t uvm_interface_list(struct loop *l, struct loop_interface *out, size_t max);

#endif
