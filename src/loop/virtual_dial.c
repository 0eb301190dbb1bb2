// SPDX-License-Identifier: MIT
/* Connecting and listening in virtual time.
 *
 *   dialler                     listener
 *     | ---- SYN ---------------> |   somebody listens? makes both ends
 *     | <--- SYN-ACK, or RST ---- |   done(0) or done(E_REFUSED) after one round trip
 *     | ---- OPEN --------------> |   accepted
 *
 * A SYN on a cut path, to a machine that died silently, or that a NAT does not let in, is lost and sent
 * again every second until the deadline; an address nobody has is unreachable at once, as on one's own
 * network. Two who dial each other's ports at the same time (a hole punched through two NATs) meet in the
 * middle: each one's SYN finds the other's dial, and both have dialled one connection. */
#include "base/mem.h"
#include "loop/virtual.h"

#include <assert.h>
#include <stdlib.h>

enum { SYN_AGAIN_US = 1000000 };

enum dial_step { STEP_SYN, STEP_SYN_ARRIVED, STEP_ANSWERED, STEP_TOLD };

struct dial {
    struct virtual_request request;
    struct loop_dial *req;
    struct virtual_machine *m;
    struct net_addr to, from;
    struct virtual_route way; /* of the SYN, when it left */
    bool is_met;              /* by a dial of the other side's */
    enum dial_step step;
    struct timer hop;      /* on the world's net: the next step */
    struct timer deadline; /* on the machine's clock */
    struct task tell;
    struct virtual_stream *near, *far; /* made when the SYN arrived */
    int err;
};

/* --- listening --- */

static bool listens_at(const struct virtual_listener *ln, const struct net_addr *to)
{
    const struct net_addr *at = &ln->base.addr;
    if (at->kind != to->kind)
        return false;
    if (at->kind == NET_UNIX)
        return strcmp(at->path, to->path) == 0;
    return at->port == to->port && (net_addr_is_any(at) || net_addr_is_any(to) ||
                                    memcmp(at->ip, to->ip, sizeof at->ip) == 0);
}

static struct virtual_listener *listener_find(struct virtual_machine *m, const struct net_addr *to)
{
    LIST_FOREACH (&m->listeners, it) {
        struct virtual_listener *ln = LIST_ENTRY(it, struct virtual_listener, of_machine);
        if (listens_at(ln, to))
            return ln;
    }
    return NULL;
}

static bool is_own(const struct virtual_machine *m, const struct net_addr *at)
{
    return net_addr_is_any(at) || net_addr_is_loopback(at) ||
           (at->kind == m->ip.kind && memcmp(at->ip, m->ip.ip, sizeof at->ip) == 0);
}

int virtual_listen(struct loop *l, const struct loop_listen_options *opts,
                   struct loop_listener **out)
{
    struct virtual_machine *m = virtual_of(l);
    if (opts->at.kind == NET_NONE)
        return E_INVALID;
    if (opts->at.kind != NET_UNIX && !is_own(m, &opts->at))
        return E_UNREACHABLE;
    struct net_addr at = opts->at;
    if (at.kind != NET_UNIX && at.port == 0)
        at.port = m->next_port++;
    if (listener_find(m, &at))
        return E_IN_USE;
    struct virtual_listener *ln = MEM_NEW(struct virtual_listener);
    ln->base = (struct loop_listener){.loop = l, .opts = *opts, .addr = at};
    list_init(&ln->backlog);
    list_init(&ln->of_machine);
    list_append(&m->listeners, &ln->of_machine);
    *out = &ln->base;
    return 0;
}

struct acceptance { /* accepting is a callback, so a task of the machine */
    struct virtual_request request;
    struct task task;
    struct virtual_stream *s;
};

static void acceptance_discard(struct virtual_request *r)
{
    struct acceptance *a = CONTAINER_OF(r, struct acceptance, request);
    task_cancel(&a->task);
    free(a);
}

static void refuse(struct virtual_stream *s)
{
    virtual_stream_send(s, PACKET_RST, NULL, 0);
    virtual_stream_free(s);
}

static void accept_now(struct task *t)
{
    struct acceptance *a = CONTAINER_OF(t, struct acceptance, task);
    struct virtual_stream *s = a->s;
    struct virtual_listener *ln = s->listener;
    list_remove(&a->request.link);
    free(a);
    if (!ln || s->broken) {
        refuse(s);
    } else if (ln->is_paused) {
        list_append(&ln->backlog, &s->backlog);
    } else {
        s->listener = NULL;
        s->is_given = true;
        ln->base.opts.accepted(ln->base.opts.ctx, &s->base);
    }
}

void virtual_accept(struct virtual_stream *s)
{
    struct acceptance *a = MEM_NEW(struct acceptance);
    a->s = s;
    a->request.discard = acceptance_discard;
    list_append(&s->m->requests, &a->request.link);
    task_init(&a->task, accept_now);
    virtual_defer(s->m, &a->task);
}

void virtual_listener_pause(struct loop_listener *base, bool pause)
{
    struct virtual_listener *ln = CONTAINER_OF(base, struct virtual_listener, base);
    ln->is_paused = pause;
    while (!pause && !list_is_empty(&ln->backlog)) {
        struct virtual_stream *s = LIST_ENTRY(ln->backlog.next, struct virtual_stream, backlog);
        list_remove(&s->backlog);
        virtual_accept(s);
    }
}

void virtual_listener_close(struct loop_listener *base)
{
    struct virtual_listener *ln = CONTAINER_OF(base, struct virtual_listener, base);
    LIST_FOREACH (&virtual_of(base->loop)->streams, it) {
        struct virtual_stream *s = LIST_ENTRY(it, struct virtual_stream, of_machine);
        if (s->listener == ln)
            s->listener = NULL; /* refused when it opens */
    }
    while (!list_is_empty(&ln->backlog))
        refuse(LIST_ENTRY(ln->backlog.next, struct virtual_stream, backlog));
    list_remove(&ln->of_machine);
    free(ln);
}

/* --- dialling --- */

static void dial_free(struct dial *d)
{
    timer_clear(&d->m->world->net, &d->hop);
    timer_clear(&d->m->base.sched, &d->deadline);
    task_cancel(&d->tell);
    list_remove(&d->request.link);
    free(d);
}

/* Whoever cancelled it waits for the word, also when the machine is no more. */
static void dial_discard(struct virtual_request *r)
{
    struct dial *d = CONTAINER_OF(r, struct dial, request);
    struct loop_dial *req = d->step == STEP_TOLD && d->err == E_CANCELLED ? d->req : NULL;
    dial_free(d);
    if (req)
        req->done(req, E_CANCELLED, NULL);
}

static void dial_settled(struct dial *d, int err)
{
    timer_clear(&d->m->world->net, &d->hop);
    timer_clear(&d->m->base.sched, &d->deadline);
    d->step = STEP_TOLD;
    d->err = err;
    if (err && d->near) {
        refuse(d->near);
        d->near = NULL;
    }
    virtual_defer(d->m, &d->tell);
}

static void dial_tell(struct task *t)
{
    struct dial *d = CONTAINER_OF(t, struct dial, tell);
    struct loop_dial *req = d->req;
    struct stream *s = d->near ? &d->near->base : NULL;
    int err = d->err;
    if (d->near)
        d->near->is_given = true;
    dial_free(d);
    req->maker = NULL;
    req->done(req, err, s);
}

static void dial_expired(struct timer *t)
{
    dial_settled(CONTAINER_OF(t, struct dial, deadline), E_TIMEOUT);
}

/* Where it goes; 0, or as virtual_route. */
static int dial_route(struct dial *d)
{
    if (d->to.kind != NET_UNIX)
        return virtual_route(d->m, d->from.port, &d->to, &d->way);
    d->way = (struct virtual_route){d->m, 0, d->from};
    return 0;
}

static void make_ends(struct dial *d, struct virtual_machine *there)
{
    d->near = virtual_stream_new(d->m, &d->to);
    d->far = virtual_stream_new(there, &d->way.seen);
    virtual_stream_pair(d->near, d->far);
}

/* The dial over there whose SYN is on its way to us, from the port that ours came to. */
static struct dial *dial_met(struct dial *d)
{
    LIST_FOREACH (&d->way.there->requests, it) {
        struct virtual_request *r = LIST_ENTRY(it, struct virtual_request, link);
        struct dial *other = CONTAINER_OF(r, struct dial, request);
        if (r->discard == dial_discard && other != d && other->from.port == d->way.port &&
            other->step <= STEP_SYN_ARRIVED && !other->near &&
            net_addr_eq(&other->to, &d->way.seen))
            return other;
    }
    return NULL;
}

static void dial_hop(struct dial *d);

static void dial_hopped(struct timer *t)
{
    dial_hop(CONTAINER_OF(t, struct dial, hop));
}

/* One message of the handshake leaves; `next` when it has arrived. Lost ones leave again. */
static void dial_sends(struct dial *d, struct virtual_machine *from, struct virtual_machine *to,
                       enum dial_step next)
{
    struct sched *net = &d->m->world->net;
    uint64_t at = virtual_arrival(from, to, 0);
    d->step = at == SCHED_NEVER ? STEP_SYN : next;
    if (at == SCHED_NEVER)
        timer_after(net, &d->hop, SYN_AGAIN_US);
    else
        timer_set(net, &d->hop, at);
}

static void dial_lost(struct dial *d)
{
    d->step = STEP_SYN;
    timer_after(&d->m->world->net, &d->hop, SYN_AGAIN_US);
}

/* Somebody listens there, or dials us. */
static void dial_arrived(struct dial *d)
{
    struct virtual_machine *there = d->way.there;
    struct net_addr at = d->to;
    if (at.kind != NET_UNIX && there != d->m) {
        at = there->ip;
        at.port = d->way.port;
    }
    struct dial *met = there->death == ALIVE && !d->near ? dial_met(d) : NULL;
    struct virtual_listener *ln = there->death == ALIVE ? listener_find(there, &at) : NULL;
    d->err = met || ln || d->is_met ? 0 : E_REFUSED;
    if (met) {
        make_ends(d, there);
        d->far->is_open = d->is_met = true;
        met->near = d->far;
        met->far = d->near;
        dial_settled(met, 0);
    } else if (ln && !d->near) {
        make_ends(d, there);
        d->far->listener = ln;
    }
    dial_sends(d, there, d->m, STEP_ANSWERED);
}

static void dial_hop(struct dial *d)
{
    int err = d->step <= STEP_SYN_ARRIVED ? dial_route(d) : 0;
    if (err == E_AGAIN)
        dial_lost(d);
    else if (err)
        dial_settled(d, err);
    else if (d->step == STEP_SYN)
        dial_sends(d, d->m, d->way.there, STEP_SYN_ARRIVED);
    else if (d->step == STEP_SYN_ARRIVED)
        dial_arrived(d);
    else if (d->step == STEP_ANSWERED) {
        if (!d->err && !d->near->peer)
            d->err = E_REFUSED; /* it went away meanwhile */
        else if (!d->err && !d->is_met)
            virtual_stream_send(d->near, PACKET_OPEN, NULL, 0);
        dial_settled(d, d->err);
    }
}

void virtual_dial(struct loop *l, struct loop_dial *req, const struct net_addr *to,
                  const struct net_addr *from, uint64_t timeout_us)
{
    struct virtual_machine *m = virtual_of(l);
    struct dial *d = MEM_NEW(struct dial);
    d->req = req;
    d->m = m;
    d->to = *to;
    d->from = m->ip;
    if (to->kind == NET_UNIX || net_addr_is_loopback(to))
        d->from = *to;
    d->from.port = from && from->port ? from->port : m->next_port++;
    req->maker = d;
    d->request.discard = dial_discard;
    timer_init(&d->hop, dial_hopped);
    timer_init(&d->deadline, dial_expired);
    task_init(&d->tell, dial_tell);
    list_append(&m->requests, &d->request.link);
    timer_after(&m->base.sched, &d->deadline, timeout_us);
    virtual_ready(m);
    if (to->kind == NET_NONE)
        dial_settled(d, E_INVALID);
    else
        dial_hop(d);
}

void virtual_dial_cancel(struct loop *l, struct loop_dial *req)
{
    if (req->maker)
        dial_settled(req->maker, E_CANCELLED);
}
