// SPDX-License-Identifier: MIT
/* One dial per peer: names looked up, addresses raced, connections upgraded, many waiters.
 *
 *   p2p_host_connect --same peer dialled already--> joins its waiters
 *                    --else--> host_dial { race, resolve, attempts }
 *   attempt:  port->dial --stream--> conn_new --opened--> won: all waiters are answered
 *             or a circuit   \--err-----\--closed--> dial_failed, the race goes on
 *
 * An inbound connection of the same peer ends the dial as well. It cannot happen that both sides of
 * a simultaneous dial give up for the other's sake: who sees an inbound connection open knows that
 * the dialler's side was open before, and an open connection is never cancelled.
 *
 * A direct dial (no relays, also when connected over one) runs beside the ordinary one. */
#include "base/mem.h"
#include "base/trace.h"
#include "p2p/host_attempt.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_US (30 * US_PER_S)
#define LOOKUP_TIMEOUT_US  (5 * US_PER_S)
#define PUNCH_TIMEOUT_US   (5 * US_PER_S)

struct host_lookup {
    struct host_port_resolve port;
    struct host_dial *dial;
    struct list link;
    int query;
};

static void mark(struct host_dial *d)
{
    task_defer(d->host->sched, &d->task);
}

/* --- the end --- */

static void answer(struct p2p_connect *r, int err, const struct peer_id *peer, const char *why)
{
    list_remove(&r->link);
    timer_clear(r->host->sched, &r->timer);
    r->dial = NULL;
    r->done(r, err, peer, why);
}

static void answer_all(struct host_dial *d, int err, const struct peer_id *peer, const char *why)
{
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &d->waiters);
    while (!list_is_empty(&batch))
        answer(LIST_ENTRY(batch.next, struct p2p_connect, link), err, peer, why);
}

static void free_if_done(struct host_dial *d)
{
    if (!d->is_over || !list_is_empty(&d->attempts) || !list_is_empty(&d->lookups))
        return;
    timer_clear(d->host->sched, &d->timer);
    task_cancel(&d->task);
    list_remove(&d->link);
    d->host->dial_count--;
    free(d->resolve);
    free(d);
}

/* No further effort; what is under way is cancelled and reported. */
static void end(struct host_dial *d)
{
    struct p2p_host *h = d->host;
    d->is_over = true;
    dial_abort(&d->race);
    LIST_FOREACH_SAFE (&d->lookups, it)
        h->port->resolve_cancel(h->port_ctx, &LIST_ENTRY(it, struct host_lookup, link)->port);
    mark(d);
}

static void give_up(struct host_dial *d, int err)
{
    struct p2p_host *h = d->host;
    struct known_peer *r = d->has_peer ? peerstore_touch(&h->store, &d->peer) : NULL;
    struct host_peer *p = d->has_peer ? host_peer_get(h, &d->peer) : NULL;
    bool is_relayed = p && host_peer_conn(p); /* it is there, only not directly */
    if (r && err != E_NOT_FOUND && !is_relayed)
        peerstore_failed(&h->store, r, sched_now(h->sched));
    h->dials_failed++;
    const char *why = err == E_NOT_FOUND ? "no address of the peer is known"
                      : d->why[0]        ? d->why
                                         : err_text(err);
    end(d); /* first: who asks again from its answer begins a dial of its own */
    answer_all(d, err, d->has_peer ? &d->peer : NULL, why);
}

/* --- names --- */

/* One attempt per relay, however many of its addresses lead there. */
static void found_circuit(struct host_dial *d, const struct p2p_addr *a)
{
    struct p2p_host *h = d->host;
    struct bytes at = multiaddr_bytes(&a->relay_addr);
    if (d->is_direct || !d->has_peer || peer_id_eq(&a->relay, &h->id) ||
        peer_id_eq(&a->relay, &d->peer))
        return;
    if (at.n)
        p2p_host_learn(h, &a->relay, &at, 1, PEER_ADDR_TTL_HEARD);
    dial_add_relayed(&d->race, &a->relay);
}

static void found(void *ctx, const struct p2p_addr *a)
{
    struct host_dial *d = ctx;
    if (a->has_peer && d->has_peer && !peer_id_eq(&a->peer, &d->peer))
        return;
    if (a->kind == P2P_ADDR_CIRCUIT)
        found_circuit(d, a);
    else if (a->at.port != 0)
        dial_add(&d->race, &a->at);
}

static void looked_up(struct host_port_resolve *p, int err, const struct net_addr *addrs,
                      size_t addr_count, const struct bytes *texts, size_t text_count)
{
    struct host_lookup *l = CONTAINER_OF(p, struct host_lookup, port);
    struct host_dial *d = l->dial;
    resolve_answer(d->resolve, l->query, err, addrs, addr_count, texts, text_count);
    if (err && err != E_CANCELLED)
        snprintf(d->why, sizeof d->why, "%s: %s", d->resolve->queries[l->query].addr.name,
                 err_text(err));
    if (err && d->race.count == 0)
        d->race.err = err;
    list_remove(&l->link);
    free(l);
    mark(d);
}

static void start_lookups(struct host_dial *d)
{
    struct p2p_host *h = d->host;
    char name[264];
    enum host_port_name what;
    int query;
    while (d->resolve && (query = resolve_next(d->resolve, name, &what)) >= 0) {
        struct host_lookup *l = MEM_NEW(struct host_lookup);
        l->port.done = looked_up;
        l->dial = d;
        l->query = query;
        list_append(&d->lookups, &l->link);
        h->port->resolve(h->port_ctx, &l->port, name, what, LOOKUP_TIMEOUT_US);
    }
    dial_expect_more(&d->race, d->resolve && !resolve_is_done(d->resolve));
}

/* --- stepping --- */

static void step(struct host_dial *d)
{
    struct p2p_host *h = d->host;
    struct dial_effect e;
    if (!d->is_over)
        start_lookups(d);
    while (dial_next(&d->race, sched_now(h->sched), &e)) {
        if (e.kind == DIAL_START)
            host_attempt_start(d, &e.to);
        else if (e.kind == DIAL_CANCEL)
            host_attempt_cancel(d, &e.to);
        else
            give_up(d, e.err);
    }
    timer_set(h->sched, &d->timer, dial_deadline(&d->race));
    free_if_done(d);
}

static void step_task(struct task *t)
{
    step(CONTAINER_OF(t, struct host_dial, task));
}

static void step_timer(struct timer *t)
{
    step(CONTAINER_OF(t, struct host_dial, timer));
}

/* --- what connections tell --- */

static struct host_dial *find_dial(struct p2p_host *h, const struct peer_id *peer, bool is_direct,
                                   bool is_punch)
{
    LIST_FOREACH (&h->dials, it) {
        struct host_dial *d = LIST_ENTRY(it, struct host_dial, link);
        if (!d->is_over && d->has_peer && d->is_direct == is_direct &&
            (d->role != P2P_DIAL_ORDINARY) == is_punch && peer_id_eq(&d->peer, peer))
            return d;
    }
    return NULL;
}

static void won(struct host_dial *d, struct conn *c)
{
    end(d);
    answer_all(d, 0, &c->peer, "");
}

void host_dial_conn_opened(struct p2p_host *h, struct conn *c)
{
    struct host_attempt *a = c->attempt;
    if (a) {
        struct host_dial *d = a->dial;
        dial_won(&d->race, &a->to);
        host_attempt_free(a);
        if (!d->is_over)
            won(d, c);
    }
    struct host_dial *same = find_dial(h, &c->peer, false, false);
    if (same)
        won(same, c);
    for (int punch = 0; punch < 2 && !c->is_relayed; punch++)
        if ((same = find_dial(h, &c->peer, true, punch)))
            won(same, c);
}

const struct peer_id *host_dial_peer(const struct host_attempt *a)
{
    return a && a->dial->has_peer ? &a->dial->peer : NULL;
}

const struct peer_id *host_dial_punched(struct p2p_host *h, const struct net_addr *from)
{
    LIST_FOREACH (&h->dials, it) {
        struct host_dial *d = LIST_ENTRY(it, struct host_dial, link);
        for (int i = 0; d->role == P2P_DIAL_PUNCH_A && !d->is_over && i < d->race.count; i++)
            if (net_addr_eq(&d->race.attempts[i].to.at, from))
                return &d->peer;
    }
    return NULL;
}

bool host_dial_conn_closed(struct p2p_host *h, struct conn *c, int err, const char *why)
{
    struct host_attempt *a = c->attempt;
    char text[256], who[80];
    if (!a)
        return false;
    if (host_attempt_again(a, err))
        return true;
    if (err == E_WRONG_PEER) {
        peer_id_text(&c->peer, who, sizeof who);
        snprintf(text, sizeof text, "%s answered there", who);
        why = text;
    }
    host_attempt_failed(a, err, why);
    return true;
}

void host_dial_end_all(struct p2p_host *h, int err, bool tell)
{
    LIST_FOREACH_SAFE (&h->dials, it) {
        struct host_dial *d = LIST_ENTRY(it, struct host_dial, link);
        if (tell)
            answer_all(d, err, NULL, err_text(err));
        if (!d->is_over)
            end(d);
    }
}

/* --- the request --- */

static void request_timed_out(struct timer *t)
{
    struct p2p_connect *r = CONTAINER_OF(t, struct p2p_connect, timer);
    struct host_dial *d = r->dial;
    if (!d) { /* the answer was known at once */
        r->done(r, r->err, &r->who,
                r->err == E_UNAVAILABLE ? "it failed a moment ago"
                : r->err == E_DENIED    ? "it is not admitted here"
                : r->err                ? err_text(r->err)
                                        : "");
        return;
    }
    answer(r, E_TIMEOUT, d->has_peer ? &d->peer : NULL,
           d->why[0] ? d->why : "not connected in time");
    if (list_is_empty(&d->waiters) && !d->is_over)
        end(d);
}

/* Answers from the next turn of the loop. */
static void answer_soon(struct p2p_connect *r, int err)
{
    r->err = err;
    timer_after(r->host->sched, &r->timer, 0);
}

static void add_hint(struct host_dial *d, struct bytes multiaddr)
{
    struct p2p_addr a;
    if (p2p_addr_decode(multiaddr, &a) != 0)
        return;
    if (a.kind == P2P_ADDR_IP || a.kind == P2P_ADDR_CIRCUIT) {
        found(d, &a);
        return;
    }
    if (!d->resolve) {
        d->resolve = MEM_NEW(struct resolve);
        resolve_init(d->resolve, found, d);
    }
    resolve_add(d->resolve, &a, 0);
}

static void add_known(struct host_dial *d)
{
    struct known_peer *rec = d->has_peer ? peerstore_get(&d->host->store, &d->peer) : NULL;
    if (!rec)
        return;
    known_peer_expire(rec, sched_now(d->host->sched));
    for (size_t i = 0; i < rec->addr_count; i++)
        add_hint(d, bytes_of(rec->addrs[i].p, rec->addrs[i].n));
}

static struct host_dial *dial_new(struct p2p_host *h, const struct peer_id *peer,
                                  const struct p2p_connect *r)
{
    struct host_dial *d = MEM_NEW(struct host_dial);
    char who[80] = "somebody";
    d->host = h;
    d->has_peer = peer != NULL;
    if (peer) {
        d->peer = *peer;
        peer_id_text(peer, who, sizeof who);
    }
    struct dial_cfg cfg = h->cfg.dial;
    d->is_direct = r->is_direct;
    d->role = r->role;
    if (d->role != P2P_DIAL_ORDINARY) {
        cfg.near_stagger_us = cfg.far_stagger_us = 0;
        cfg.attempt_us = PUNCH_TIMEOUT_US;
    }
    dial_init(&d->race, &cfg, who, sched_now(h->sched));
    timer_init(&d->timer, step_timer);
    task_init(&d->task, step_task);
    list_init(&d->waiters);
    list_init(&d->attempts);
    list_init(&d->lookups);
    list_append(&h->dials, &d->link);
    h->dial_count++;
    return d;
}

/* The peer that all /p2p components name, when the caller did not say. */
static const struct peer_id *named_peer(const struct p2p_connect *r, struct p2p_addr *a)
{
    for (size_t i = 0; i < r->addr_count; i++)
        if (p2p_addr_decode(r->addrs[i], a) == 0 && a->has_peer)
            return &a->peer;
    return NULL;
}

static bool must_wait(struct p2p_host *h, const struct p2p_connect *r, const struct peer_id *peer)
{
    struct known_peer *rec = peer ? peerstore_get(&h->store, peer) : NULL;
    return rec && !r->is_urgent && sched_now(h->sched) < rec->retry_us;
}

void p2p_host_connect(struct p2p_host *h, struct p2p_connect *r)
{
    struct p2p_addr named;
    const struct peer_id *peer = r->peer ? r->peer : named_peer(r, &named);
    struct host_peer *p = peer ? host_peer_get(h, peer) : NULL;
    bool is_punch = r->role != P2P_DIAL_ORDINARY;
    struct host_dial *d = peer ? find_dial(h, peer, r->is_direct, is_punch) : NULL;
    r->host = h;
    r->dial = NULL;
    list_init(&r->link);
    timer_init(&r->timer, request_timed_out);
    if (peer)
        r->who = *peer;
    r->peer = peer ? &r->who : NULL;
    bool is_self = peer && peer_id_eq(peer, &h->id);
    bool is_connected = p && (r->is_direct ? host_peer_direct(p) : host_peer_conn(p));
    bool is_full = !d && h->dial_count >= LIMIT_DIALS;
    bool is_denied = peer && h->may && !h->may(h->may_ctx, peer, NULL);
    h->dials_refused += is_full;
    if (h->is_closing || is_self || is_denied || is_connected || is_full ||
        (!d && must_wait(h, r, peer))) {
        answer_soon(r, h->is_closing  ? E_CANCELLED
                       : is_self      ? E_INVALID
                       : is_denied    ? E_DENIED
                       : is_connected ? 0
                       : is_full      ? E_BUSY
                                      : E_UNAVAILABLE);
        return;
    }
    if (!d) {
        d = dial_new(h, peer, r);
        if (!is_punch)
            add_known(d);
    }
    for (size_t i = 0; i < r->addr_count; i++)
        add_hint(d, r->addrs[i]);
    r->dial = d;
    list_append(&d->waiters, &r->link);
    timer_after(h->sched, &r->timer, r->timeout_us ? r->timeout_us : CONNECT_TIMEOUT_US);
    mark(d);
}

void p2p_connect_cancel(struct p2p_connect *r)
{
    struct host_dial *d = r->dial;
    timer_clear(r->host->sched, &r->timer);
    list_remove(&r->link);
    r->dial = NULL;
    if (d && list_is_empty(&d->waiters) && !d->is_over)
        end(d);
}

static void free_list(struct list *l, size_t offset)
{
    while (!list_is_empty(l)) {
        struct list *it = l->next;
        list_remove(it);
        free((char *)it - offset);
    }
}

/* The port is gone: what it was asked will not be answered. */
void host_dial_free_all(struct p2p_host *h)
{
    while (!list_is_empty(&h->dials)) {
        struct host_dial *d = LIST_ENTRY(h->dials.next, struct host_dial, link);
        while (!list_is_empty(&d->waiters)) {
            struct p2p_connect *r = LIST_ENTRY(d->waiters.next, struct p2p_connect, link);
            timer_clear(h->sched, &r->timer);
            list_remove(&r->link);
        }
        LIST_FOREACH (&d->attempts, it) {
            struct host_attempt *a = LIST_ENTRY(it, struct host_attempt, link);
            if (a->relay)
                relay_dial_forget(a->relay);
            free(a->relay);
        }
        free_list(&d->attempts, offsetof(struct host_attempt, link));
        free_list(&d->lookups, offsetof(struct host_lookup, link));
        d->is_over = true;
        free_if_done(d);
    }
}
