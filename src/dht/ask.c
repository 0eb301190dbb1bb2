// SPDX-License-Identifier: MIT
/* One request to one peer. The timeout follows what answers have been taking, since a dead peer
 * costs a lookup exactly this long: three times the smoothed time, within one to five seconds. Half
 * way there the asker is told that the peer is slow, and goes on without it. */
#include "dht/core.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>

enum { RTT_FIRST_US = 250 * 1000, HARD_MIN_US = 1000 * 1000, HARD_MAX_US = 5000 * 1000 };
enum { SOFT_MIN_US = 150 * 1000 };

static uint64_t clamp(uint64_t v, uint64_t lo, uint64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

uint64_t dht_ask_hard_us(const struct dht *d)
{
    return clamp(3 * (d->rtt_us ? d->rtt_us : RTT_FIRST_US), HARD_MIN_US, HARD_MAX_US);
}

uint64_t dht_ask_soft_us(const struct dht *d)
{
    uint64_t rtt = d->rtt_us ? d->rtt_us : RTT_FIRST_US;
    return clamp(3 * rtt / 2, SOFT_MIN_US, dht_ask_hard_us(d) / 2);
}

static void ask_free(struct dht_ask *a)
{
    timer_clear(a->d->cfg.sched, &a->timer);
    list_remove(&a->link);
    dht_addrs_fini(&a->addrs);
    buf_fini(&a->request);
    free(a);
}

static void end(struct dht_ask *a, int err, struct bytes reply)
{
    struct dht *d = a->d;
    uint64_t took = sched_now(d->cfg.sched) - a->sent_us;
    timer_clear(d->cfg.sched, &a->timer);
    list_remove(&a->link);
    if (err)
        d->rpcs_failed++;
    else if (a->rpc.wants_reply)
        d->rtt_us = d->rtt_us ? (7 * d->rtt_us + took) / 8 : took;
    a->done(a, err, reply);
    ask_free(a);
}

static void on_rpc_done(struct dht_rpc *rpc, int err, struct bytes reply)
{
    end(CONTAINER_OF(rpc, struct dht_ask, rpc), err, reply);
}

static void on_timer(struct timer *t)
{
    struct dht_ask *a = CONTAINER_OF(t, struct dht_ask, timer);
    struct dht *d = a->d;
    if (!a->is_slow) {
        a->is_slow = true;
        timer_set(d->cfg.sched, t, a->sent_us + dht_ask_hard_us(d));
        if (a->slow)
            a->slow(a); /* may cancel this ask: nothing follows */
        return;
    }
    d->cfg.port.cancel(d->cfg.port.ctx, &a->rpc);
    end(a, E_TIMEOUT, BYTES_LIT(""));
}

struct dht_ask *dht_ask_send(struct dht *d, const struct dht_peer *peer, struct bytes request,
                             bool wants_reply,
                             void (*done)(struct dht_ask *a, int err, struct bytes reply),
                             void (*slow)(struct dht_ask *a), void *ctx)
{
    struct dht_ask *a = MEM_NEW(struct dht_ask);
    a->d = d;
    a->done = done;
    a->slow = slow;
    a->ctx = ctx;
    a->sent_us = sched_now(d->cfg.sched);
    dht_addrs_set(&a->addrs, peer->addrs, peer->addr_count);
    buf_init(&a->request, 0);
    buf_append_bytes(&a->request, request);
    a->rpc.peer.id = peer->id;
    a->rpc.peer.addrs = a->addr_v;
    a->rpc.peer.addr_count = dht_addrs_get(&a->addrs, a->addr_v);
    a->rpc.request = buf_view(&a->request);
    a->rpc.wants_reply = wants_reply;
    a->rpc.done = on_rpc_done;
    timer_init(&a->timer, on_timer);
    timer_after(d->cfg.sched, &a->timer, dht_ask_soft_us(d));
    list_append(&d->asks, &a->link);
    d->rpcs_sent++;
    d->cfg.port.send(d->cfg.port.ctx, &a->rpc);
    return a;
}

void dht_ask_cancel(struct dht_ask *a)
{
    a->d->cfg.port.cancel(a->d->cfg.port.ctx, &a->rpc);
    ask_free(a);
}
