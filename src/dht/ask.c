// SPDX-License-Identifier: MIT
/* One request to one peer. Its timeouts follow what answers have been taking, since a dead peer costs a lookup
 * exactly this long. Half way there the asker is told that the peer is slow, and goes on without it.
 *
 *   send ---- dialling, several round trips ----> sent ---- one round trip ----> done
 *        soft, hard: by all requests so far           soft, hard: by this peer's own answers,
 *                                                     else by everybody's, else by how long its dial took
 *
 * A peer that takes the connection and then says nothing is so given up after two or three of its own round
 * trips. */
#include "dht/core.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>

enum { WHOLE_GUESS_US = 250 * 1000, ANSWER_GUESS_US = 100 * 1000 };
enum { DIAL_MIN_US = 5000 }; /* quicker than this: there was a connection */

static void ask_free(struct dht_ask *a)
{
    timer_clear(a->d->cfg.sched, &a->timer);
    a->d->ask_count -= !list_is_empty(&a->link);
    list_remove(&a->link);
    dht_addrs_fini(&a->addrs);
    buf_fini(&a->request);
    free(a);
}

/* What is known of this peer's answers, if anything. */
static struct dht_pace *pace_of(struct dht_ask *a)
{
    struct dht_contact *c = dht_table_find(&a->d->table, &a->rpc.peer.id);
    return c ? &c->pace : NULL;
}

static void learn(struct dht_ask *a, uint64_t now)
{
    struct dht *d = a->d;
    struct dht_pace *own = pace_of(a);
    dht_pace_add(&d->whole, now - a->asked_us);
    if (!a->sent_us)
        return;
    dht_pace_add(&d->answer, now - a->sent_us);
    if (own)
        dht_pace_add(own, now - a->sent_us);
}

static void end(struct dht_ask *a, int err, struct bytes reply)
{
    struct dht *d = a->d;
    timer_clear(d->cfg.sched, &a->timer);
    list_remove(&a->link);
    d->ask_count--;
    if (err)
        d->rpcs_failed++;
    else if (a->rpc.wants_reply)
        learn(a, sched_now(d->cfg.sched));
    a->done(a, err, reply);
    ask_free(a);
}

static void on_rpc_done(struct dht_rpc *rpc, int err, struct bytes reply)
{
    end(CONTAINER_OF(rpc, struct dht_ask, rpc), err, reply);
}

/* Connected: what is left is one round trip, and how long one takes is known better now. */
static void on_rpc_sent(struct dht_rpc *rpc)
{
    struct dht_ask *a = CONTAINER_OF(rpc, struct dht_ask, rpc);
    struct dht *d = a->d;
    struct dht_pace *own = pace_of(a), dial = {0};
    const struct dht_pace *by = &d->answer;
    a->sent_us = sched_now(d->cfg.sched);
    if (a->sent_us - a->asked_us >= DIAL_MIN_US)
        dht_pace_add(&dial, (a->sent_us - a->asked_us) / 2); /* three round trips, at least two */
    if (own && own->mean_us)
        by = own;
    else if (dial.mean_us)
        by = &dial;
    a->hard_us = a->sent_us + dht_pace_hard_us(by, ANSWER_GUESS_US);
    timer_set(d->cfg.sched, &a->timer,
              a->is_slow ? a->hard_us : a->sent_us + dht_pace_soft_us(by, ANSWER_GUESS_US));
}

static void on_timer(struct timer *t)
{
    struct dht_ask *a = CONTAINER_OF(t, struct dht_ask, timer);
    struct dht *d = a->d;
    if (!a->is_slow) {
        a->is_slow = true;
        timer_set(d->cfg.sched, t, a->hard_us);
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
    a->asked_us = sched_now(d->cfg.sched);
    a->hard_us = a->asked_us + dht_pace_hard_us(&d->whole, WHOLE_GUESS_US);
    dht_addrs_set(&a->addrs, peer->addrs, peer->addr_count);
    buf_init(&a->request, 0);
    buf_append_bytes(&a->request, request);
    a->rpc.peer.id = peer->id;
    a->rpc.peer.addrs = a->addr_v;
    a->rpc.peer.addr_count = dht_addrs_get(&a->addrs, a->addr_v);
    a->rpc.request = buf_view(&a->request);
    a->rpc.wants_reply = wants_reply;
    a->rpc.sent = on_rpc_sent;
    a->rpc.done = on_rpc_done;
    timer_init(&a->timer, on_timer);
    timer_after(d->cfg.sched, &a->timer, dht_pace_soft_us(&d->whole, WHOLE_GUESS_US));
    list_append(&d->asks, &a->link);
    d->ask_count++;
    d->rpcs_sent++;
    d->cfg.port.send(d->cfg.port.ctx, &a->rpc);
    return a;
}

void dht_ask_cancel(struct dht_ask *a)
{
    a->d->cfg.port.cancel(a->d->cfg.port.ctx, &a->rpc);
    ask_free(a);
}
