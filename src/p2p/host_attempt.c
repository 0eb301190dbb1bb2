// SPDX-License-Identifier: MIT
/* See host_attempt.h. */
#include "p2p/host_attempt.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

static struct host_attempt *find(struct host_dial *d, const struct dial_target *to)
{
    LIST_FOREACH (&d->attempts, it) {
        struct host_attempt *a = LIST_ENTRY(it, struct host_attempt, link);
        if (net_addr_eq(&a->to.at, &to->at) && peer_id_eq(&a->to.via, &to->via))
            return a;
    }
    return NULL;
}

void host_attempt_free(struct host_attempt *a)
{
    struct host_dial *d = a->dial;
    list_remove(&a->link);
    if (a->conn)
        a->conn->attempt = NULL;
    free(a->relay);
    free(a);
    task_defer(d->host->sched, &d->task);
}

void host_attempt_failed(struct host_attempt *a, int err, const char *why)
{
    struct host_dial *d = a->dial;
    if (!d->is_over) {
        snprintf(d->why, sizeof d->why, "%s", why);
        dial_failed(&d->race, &a->to, err, why, sched_now(d->host->sched));
    }
    host_attempt_free(a);
}

/* NULL: there is no connection to be, and no attempt any more. */
static struct conn *got_transport(struct host_attempt *a, int err, const char *why,
                                  struct stream *s)
{
    struct host_dial *d = a->dial;
    struct p2p_host *h = d->host;
    if (!err && (d->is_over || h->is_closing)) {
        stream_close(s);
        err = E_CANCELLED;
    }
    if (err) {
        host_attempt_failed(a, err, why);
        return NULL;
    }
    bool is_dialer = d->role != P2P_DIAL_PUNCH_B;
    a->conn = conn_new(&h->env, s, is_dialer, d->has_peer ? &d->peer : NULL);
    a->conn->attempt = a;
    list_append(&h->pending, &a->conn->by_owner);
    return a->conn;
}

static void transport_dialled(struct host_port_dial *pd, int err, struct stream *s)
{
    struct host_attempt *a = CONTAINER_OF(pd, struct host_attempt, port);
    bool is_from_port = pd->is_from;
    if (!err)
        s->remote = a->to.at;
    struct conn *c = got_transport(a, err, err_text(err), s);
    if (c)
        c->is_from_port = is_from_port;
}

/* From the listening port, where that shows the outside a mapping worth knowing: behind a NAT, or not
 * knowing; not on the own network, where two that dial each other at once would meet in the middle
 * and both be diallers; and not when strangers are likely to get in, which only who is dialled from
 * elsewhere can then show (autonat.h). */
static const struct net_addr *dial_from(const struct host_attempt *a)
{
    const struct host_dial *d = a->dial;
    const struct p2p_host *h = d->host;
    const struct net_addr *to = &a->to.at;
    bool is_far = !net_addr_is_loopback(to) && !net_addr_is_private(to);
    bool wants =
        !a->is_plain && (d->role != P2P_DIAL_ORDINARY ||
                         (is_far && h->reach != P2P_REACH_PUBLIC && h->reach != P2P_REACH_LIKELY));
    LIST_FOREACH ((struct list *)&h->listeners, it) {
        const struct net_addr *at = &LIST_ENTRY(it, struct host_listener, link)->port.at;
        if (wants && at->kind == to->kind && net_addr_is_loopback(at) == net_addr_is_loopback(to))
            return at;
    }
    return NULL;
}

static void circuit_dialled(struct relay_dial *rd, int err, const char *why, struct stream *s,
                            const struct relay_limit *limit)
{
    struct host_attempt *a = rd->attempt;
    bool is_limited = limit && relay_limit_is_any(limit);
    struct conn *c = got_transport(a, err, why, s);
    if (!c)
        return;
    c->is_relayed = true;
    c->is_limited = is_limited;
}

static void dial_transport(struct host_attempt *a)
{
    struct p2p_host *h = a->dial->host;
    const struct net_addr *from = dial_from(a);
    if (from)
        sent_note(&h->sent, &a->to.at, sched_now(h->sched));
    h->port->dial(h->port_ctx, &a->port, &a->to.at, from, a->dial->race.cfg.attempt_us);
}

bool host_attempt_again(struct host_attempt *a, int err)
{
    struct conn *c = a->conn;
    bool may_have_met = c && c->is_from_port && !c->has_yamux && !a->dial->is_over &&
                        a->dial->role == P2P_DIAL_ORDINARY;
    if (!may_have_met || (err != E_AUTH && err != E_PROTO && err != E_MALFORMED))
        return false;
    a->is_plain = true;
    a->conn = NULL;
    c->attempt = NULL;
    dial_transport(a);
    return true;
}

void host_attempt_start(struct host_dial *d, const struct dial_target *to)
{
    struct p2p_host *h = d->host;
    struct host_attempt *a = MEM_NEW(struct host_attempt);
    a->port.done = transport_dialled;
    a->dial = d;
    a->to = *to;
    list_append(&d->attempts, &a->link);
    h->dialled++;
    if (!dial_target_is_relayed(to)) {
        dial_transport(a);
        return;
    }
    a->relay = MEM_NEW(struct relay_dial);
    a->relay->done = circuit_dialled;
    a->relay->attempt = a;
    relay_dial_start(a->relay, h, &to->via, &d->peer, h->cfg.dial.attempt_us);
}

void host_attempt_cancel(struct host_dial *d, const struct dial_target *to)
{
    struct host_attempt *a = find(d, to);
    if (!a)
        return;
    if (a->conn)
        conn_close(a->conn, E_CANCELLED, "another address was faster");
    else if (a->relay)
        relay_dial_cancel(a->relay);
    else
        d->host->port->dial_cancel(d->host->port_ctx, &a->port);
}
