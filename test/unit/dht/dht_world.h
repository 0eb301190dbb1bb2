// SPDX-License-Identifier: MIT
/* DHT nodes in virtual time. A request takes a round trip or four (dialling), never less than the two
 * peers' distance; a silent peer takes it and says nothing, for ever. */
#ifndef CONDUIT_TEST_DHT_WORLD_H
#define CONDUIT_TEST_DHT_WORLD_H

#include "dht/core.h"

#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct world;

struct node {
    struct world *w;
    struct dht *d;
    struct peer_id id;
    uint8_t addr[8];
    struct bytes addr_v;
    bool is_silent;
    int number;
    /* What it answers instead of the truth; NULL: it is honest. */
    int (*lie)(struct node *n, const struct dht_message *m, struct buf *reply);
};

/* A request on its way there, or the answer on its way back. */
struct flight {
    struct list link;
    struct world *w;
    struct dht_rpc *rpc;
    struct node *from, *to;
    struct timer timer;
    struct buf reply;
    int err;
    bool is_back;
};

struct world {
    struct sched s;
    struct rng rng;
    struct node *nodes;
    int n;
    struct map by_id;
    struct list flights;
    uint64_t fixed_rtt_us; /* 0: as on the internet */
};

static inline void flight_free(struct flight *f)
{
    timer_clear(&f->w->s, &f->timer);
    list_remove(&f->link);
    buf_fini(&f->reply);
    free(f);
}

/* Round trips like those of the internet: lognormal, median 60 ms; dialling makes it four of them. */
static inline uint64_t way_us(struct world *w)
{
    if (w->fixed_rtt_us)
        return w->fixed_rtt_us / 2;
    double u = rng_unit(&w->rng), v = rng_unit(&w->rng);
    double gauss = sqrt(-2 * log(u + 1e-12)) * cos(2 * 3.14159265358979 * v);
    double rtt_ms = 60 * exp(0.6 * gauss);
    return (uint64_t)(rtt_ms * 1000 * 4 / 2);
}

static inline struct dht_peer peer_of(struct node *n)
{
    return (struct dht_peer){n->id, &n->addr_v, 1};
}

static inline void on_flight(struct timer *t)
{
    struct flight *f = CONTAINER_OF(t, struct flight, timer);
    if (f->is_back) {
        struct dht_rpc *rpc = f->rpc;
        struct buf reply = f->reply;
        int err = f->err;
        buf_init(&f->reply, 0);
        flight_free(f);
        dht_rpc_done(rpc, err, buf_view(&reply));
        buf_fini(&reply);
        return;
    }
    if (f->to->is_silent || f->from->is_silent)
        return; /* it hangs until it is cancelled */
    struct dht_peer from = peer_of(f->from);
    if (f->from->d->cfg.is_server)
        dht_peer_seen(f->to->d, &from); /* what identify would have said */
    struct dht_message m;
    if (f->to->lie && dht_message_decode(f->rpc->request, &m) == 0)
        f->err = f->to->lie(f->to, &m, &f->reply);
    else
        f->err = dht_serve(f->to->d, &f->from->id, NULL, f->rpc->request, &f->reply);
    if (!f->rpc->wants_reply)
        buf_clear(&f->reply);
    f->is_back = true;
    timer_after(&f->w->s, &f->timer, way_us(f->w));
}

static inline void port_send(void *ctx, struct dht_rpc *rpc)
{
    struct node *n = ctx;
    struct flight *f = MEM_NEW(struct flight);
    f->w = n->w;
    f->rpc = rpc;
    f->from = n;
    f->to = map_get(&n->w->by_id, peer_id_bytes(&rpc->peer.id));
    buf_init(&f->reply, 0);
    rpc->port = f;
    list_append(&n->w->flights, &f->link);
    timer_init(&f->timer, on_flight);
    if (!f->to) { /* nobody is there: refused at once */
        f->is_back = true;
        f->err = E_REFUSED;
    }
    timer_after(&n->w->s, &f->timer, way_us(n->w));
}

static inline void port_cancel(void *ctx, struct dht_rpc *rpc)
{
    flight_free(rpc->port);
}

static inline int own_addrs(void *ctx, const struct bytes **addrs)
{
    struct node *n = ctx;
    *addrs = &n->addr_v;
    return 1;
}

static inline void node_init(struct world *w, int i)
{
    struct node *n = &w->nodes[i];
    uint8_t id[34] = {0x12, 0x20, (uint8_t)(i >> 8), (uint8_t)i};
    const uint8_t addr[8] = {4, 10, (uint8_t)(i >> 8), (uint8_t)i, 1, 6, 0x0f, 0xa1};
    *n = (struct node){.w = w, .number = i};
    peer_id_decode(bytes_of(id, sizeof id), &n->id);
    memcpy(n->addr, addr, sizeof addr);
    n->addr_v = bytes_of(n->addr, sizeof n->addr);
    struct dht_cfg cfg = {.self = n->id,
                          .sched = &w->s,
                          .rng = &w->rng,
                          .is_server = true,
                          .own_addrs = own_addrs,
                          .port = {n, port_send, port_cancel, NULL}};
    n->d = dht_new(&cfg);
    map_put(&w->by_id, peer_id_bytes(&n->id), n);
}

static inline struct world *world_new(int n, uint64_t seed)
{
    struct world *w = MEM_NEW(struct world);
    sched_init(&w->s, 1, 0);
    rng_init_seeded(&w->rng, seed);
    map_init(&w->by_id, seed);
    list_init(&w->flights);
    w->n = n;
    w->nodes = mem_array((size_t)n, sizeof *w->nodes);
    for (int i = 0; i < n; i++)
        node_init(w, i);
    return w;
}

static inline void world_free(struct world *w)
{
    for (int i = 0; i < w->n; i++)
        dht_free(w->nodes[i].d);
    assert_true(list_is_empty(&w->flights)); /* everything under way was cancelled */
    assert_true(list_is_empty(&w->s.tasks));
    assert_int_equal(w->s.timers.n, 0);
    map_fini(&w->by_id);
    sched_fini(&w->s);
    free(w->nodes);
    free(w);
}

static inline void run_until(struct world *w, uint64_t at)
{
    for (;;) {
        sched_run_tasks(&w->s);
        uint64_t next = sched_deadline(&w->s);
        if (next > at)
            break;
        sched_set_now(&w->s, next, next / 1000);
        sched_run_timers(&w->s);
    }
    sched_set_now(&w->s, at, at / 1000);
}

static inline void run_for(struct world *w, uint64_t us)
{
    run_until(w, w->s.now_us + us);
}

static inline void meet(struct node *a, struct node *b)
{
    struct dht_peer pa = peer_of(a), pb = peer_of(b);
    dht_peer_seen(a->d, &pb);
    dht_peer_seen(b->d, &pa);
}

/* What a user is told. */
struct told {
    int peers, done, err;
    int addrs; /* of the last peer */
    struct peer_id last;
    uint64_t at_us;
    struct world *w;
    struct dht_query *cancel_me;
    struct dht *d;
};

static inline void on_peer(void *ctx, const struct dht_peer *p)
{
    struct told *t = ctx;
    assert_int_equal(t->done, 0);
    t->peers++;
    t->last = p->id;
    t->addrs = p->addr_count;
    if (t->cancel_me) {
        dht_cancel(t->d, t->cancel_me);
        t->cancel_me = NULL;
    }
}

static inline void on_done(void *ctx, int err)
{
    struct told *t = ctx;
    t->done++;
    t->err = err;
    if (t->w)
        t->at_us = t->w->s.now_us;
}

static inline int serve(struct node *n, struct node *from, enum dht_type type, struct bytes key,
                        struct buf *reply)
{
    struct buf request;
    buf_clear(reply);
    buf_init(&request, 0);
    dht_message_begin(&request, type, key);
    int err = dht_serve(n->d, &from->id, NULL, buf_view(&request), reply);
    buf_fini(&request);
    return err;
}

#endif
