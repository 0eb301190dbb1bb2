// SPDX-License-Identifier: MIT
/* Worlds for the loop's tests: a pair of connected streams on each kind of maker, and a way to run
 * until something has happened. One suite runs over the whole table. */
#ifndef CONDUIT_TEST_LOOP_WORLD_H
#define CONDUIT_TEST_LOOP_WORLD_H

#include "base/mem.h"
#include "base/rng.h"
#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
    struct loop *near, *far; /* the same one, but in virtual time */
    struct loop_virtual *virtual;
    struct stream *a, *b; /* a dialled, b was accepted */
    struct loop_listener *listener;
    struct loop_dial dial;
    struct loop_tls_context *client, *server;
    int dial_err;
    struct timer tick;
    bool (*until)(void *ctx);
    void *ctx;
    uint64_t give_up_us;
};

typedef bool (*world_until)(void *ctx);

static inline void world_tick(struct timer *t)
{
    struct world *w = CONTAINER_OF(t, struct world, tick);
    struct sched *s = loop_sched(w->near);
    if (w->until(w->ctx) || sched_now(s) >= w->give_up_us)
        loop_stop(w->near);
    else
        timer_after(s, t, 500);
}

/* Runs until `until` says so, at most `max_us`; what it said last. */
static inline bool world_run(struct world *w, world_until until, void *ctx, uint64_t max_us)
{
    if (w->virtual) {
        loop_virtual_run(w->virtual, loop_virtual_now(w->virtual) + max_us, until, ctx);
        return until(ctx);
    }
    w->until = until;
    w->ctx = ctx;
    w->give_up_us = sched_now(loop_sched(w->near)) + max_us;
    timer_init(&w->tick, world_tick);
    timer_after(loop_sched(w->near), &w->tick, 0);
    loop_run(w->near);
    timer_clear(loop_sched(w->near), &w->tick);
    return until(ctx);
}

static inline bool world_never(void *ctx)
{
    return false;
}

static inline void world_accepted(void *ctx, struct stream *s)
{
    struct world *w = ctx;
    assert_null(w->b);
    w->b = s;
}

static inline void world_dialled(struct loop_dial *d, int err, struct stream *s)
{
    struct world *w = CONTAINER_OF(d, struct world, dial);
    w->dial_err = err;
    w->a = s;
}

static inline bool world_is_connected(void *ctx)
{
    struct world *w = ctx;
    return (w->a && w->b) || w->dial_err;
}

static inline void world_connect(struct world *w, const struct net_addr *at)
{
    struct loop_listen_options o = {.at = *at, .mode = 0600, .accepted = world_accepted, .ctx = w};
    assert_int_equal(loop_listen(w->far, &o, &w->listener), 0);
    w->dial.done = world_dialled;
    loop_dial(w->near, &w->dial, loop_listener_addr(w->listener), NULL, 5 * US_PER_S);
    assert_null(w->a);
    assert_true(world_run(w, world_is_connected, w, 5 * US_PER_S));
    assert_int_equal(w->dial_err, 0);
}

static inline void world_path(char path[static 104])
{
    snprintf(path, 104, "/tmp/conduit-loop-%d.sock", (int)getpid());
}

static inline void world_tcp(struct world *w)
{
    struct net_addr at;
    w->near = w->far = loop_uv_new();
    net_addr_parse_ip("127.0.0.1", 0, &at);
    world_connect(w, &at);
}

static inline void world_unix(struct world *w)
{
    struct net_addr at = {.kind = NET_UNIX};
    world_path(at.path);
    w->near = w->far = loop_uv_new();
    world_connect(w, &at);
}

static inline void world_end(struct world *w)
{
    if (w->listener)
        loop_listener_close(w->listener);
    if (w->virtual)
        loop_virtual_free(w->virtual);
    else
        loop_free(w->near);
    loop_tls_context_free(w->client);
    loop_tls_context_free(w->server);
    free(w);
}

#endif
