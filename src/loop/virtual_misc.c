// SPDX-License-Identifier: MIT
/* The rest of a virtual machine: work (done inline, a little later), datagrams, its one address; no
 * children, and signals that never come. */
#include "base/mem.h"
#include "loop/virtual.h"

#include <stdlib.h>

enum { WORK_US = 100 };

/* --- work --- */

struct work {
    struct virtual_request request;
    struct loop_work *req;
    struct virtual_machine *m;
    struct timer due;
    bool is_cancelled;
};

static void work_discard(struct virtual_request *r)
{
    struct work *w = CONTAINER_OF(r, struct work, request);
    struct loop_work *req = w->is_cancelled ? w->req : NULL; /* who waits for the word */
    timer_clear(&w->m->base.sched, &w->due);
    free(w);
    if (req)
        req->done(req, E_CANCELLED);
}

static void work_due(struct timer *t)
{
    struct work w = *CONTAINER_OF(t, struct work, due);
    list_remove(&CONTAINER_OF(t, struct work, due)->request.link);
    free(CONTAINER_OF(t, struct work, due));
    w.req->maker = NULL;
    if (!w.is_cancelled)
        w.req->run(w.req);
    w.req->done(w.req, w.is_cancelled ? E_CANCELLED : 0);
}

void virtual_work(struct loop *l, struct loop_work *req)
{
    struct work *w = MEM_NEW(struct work);
    w->req = req;
    w->m = virtual_of(l);
    req->maker = w;
    w->request.discard = work_discard;
    timer_init(&w->due, work_due);
    list_append(&w->m->requests, &w->request.link);
    timer_after(&l->sched, &w->due, WORK_US);
    virtual_ready(w->m);
}

void virtual_work_cancel(struct loop *l, struct loop_work *req)
{
    struct work *w = req->maker;
    if (w)
        w->is_cancelled = true;
}

/* --- children and signals --- */

int virtual_spawn(struct loop *l, const struct loop_spawn_options *opts, struct loop_child **out)
{
    return E_UNSUPPORTED;
}

struct catcher { /* waits for ever; known to the machine only to be freed with it */
    struct loop_signal base;
    struct virtual_request request;
};

static void catcher_discard(struct virtual_request *r)
{
    free(CONTAINER_OF(r, struct catcher, request));
}

int virtual_signal(struct loop *l, int signum, void (*caught)(void *ctx, int signum), void *ctx,
                   struct loop_signal **out)
{
    struct catcher *c = MEM_NEW(struct catcher);
    c->base.loop = l;
    c->request.discard = catcher_discard;
    list_append(&virtual_of(l)->requests, &c->request.link);
    *out = &c->base;
    return 0;
}

void virtual_signal_close(struct loop_signal *s)
{
    struct catcher *c = CONTAINER_OF(s, struct catcher, base);
    list_remove(&c->request.link);
    free(c);
}

/* --- datagrams --- */

struct udp {
    struct loop_udp base;
    struct net_addr group; /* joined; NET_NONE: none */
    struct list of_machine, under_way;
};

struct datagram {
    struct list link;
    struct udp *to;
    struct net_addr from;
    struct timer arrival; /* on the receiving machine's clock: it is a callback */
    size_t n;
    uint8_t data[];
};

int virtual_udp_open(struct loop *l, const struct loop_udp_options *opts, struct loop_udp **out)
{
    struct virtual_machine *m = virtual_of(l);
    struct net_addr at = opts->at;
    if (at.kind != NET_IP4 && at.kind != NET_IP6)
        return E_INVALID;
    if (opts->group && (m->lan == 0 || !opts->on))
        return E_UNREACHABLE;
    if (at.port == 0)
        at.port = m->next_port++;
    LIST_FOREACH (&m->udps, it) {
        struct udp *other = LIST_ENTRY(it, struct udp, of_machine);
        if (other->base.addr.port == at.port && !(opts->reuse && other->base.opts.reuse))
            return E_IN_USE;
    }
    struct udp *u = MEM_NEW(struct udp);
    u->base = (struct loop_udp){.loop = l, .opts = *opts, .addr = at};
    u->base.opts.group = NULL; /* borrowed until now */
    u->base.opts.on = NULL;
    if (opts->group)
        u->group = *opts->group;
    list_init(&u->under_way);
    list_init(&u->of_machine);
    list_append(&m->udps, &u->of_machine);
    *out = &u->base;
    return 0;
}

static void datagram_arrival(struct timer *t)
{
    struct datagram *g = CONTAINER_OF(t, struct datagram, arrival);
    struct loop_udp_options opts = g->to->base.opts;
    list_remove(&g->link);
    opts.received(opts.ctx, &g->from, bytes_of(g->data, g->n));
    free(g);
}

static bool has_joined(const struct udp *u, const struct net_addr *group)
{
    return u->group.kind == group->kind && memcmp(u->group.ip, group->ip, sizeof group->ip) == 0;
}

/* `group`: only to those who joined it; NULL: to the port, of those who joined none. `seen`: from where, for the receiver. */
static void deliver(struct udp *from, struct virtual_machine *there, uint16_t port,
                    const struct net_addr *group, const struct net_addr *seen,
                    struct bytes datagram)
{
    struct virtual_machine *here = virtual_of(from->base.loop);
    LIST_FOREACH (&there->udps, it) {
        struct udp *u = LIST_ENTRY(it, struct udp, of_machine);
        uint64_t at = virtual_arrival(here, there, datagram.n);
        if (u->base.addr.port != port || at == SCHED_NEVER || there->death != ALIVE ||
            (group ? !has_joined(u, group) : u->group.kind != NET_NONE) ||
            virtual_is_lost(here, there))
            continue;
        virtual_count(here, there, PACKET_DATAGRAM, datagram.n, at);
        struct datagram *g = mem_new(sizeof *g + datagram.n);
        g->to = u;
        g->from = *seen;
        g->n = datagram.n;
        if (g->n)
            memcpy(g->data, datagram.p, g->n);
        list_append(&u->under_way, &g->link);
        timer_init(&g->arrival, datagram_arrival);
        timer_set(&there->base.sched, &g->arrival, at);
        virtual_ready(there);
    }
}

static bool is_multicast(const struct net_addr *a)
{
    return a->kind == NET_IP4 ? (a->ip[0] & 0xf0) == 0xe0 : a->ip[0] == 0xff;
}

int virtual_udp_send(struct loop_udp *base, const struct net_addr *to, struct bytes datagram)
{
    struct udp *u = CONTAINER_OF(base, struct udp, base);
    struct virtual_machine *m = virtual_of(base->loop);
    struct net_addr seen = m->ip;
    seen.port = u->base.addr.port;
    if (is_multicast(to)) { /* to the whole segment, the sender's own sockets included */
        if (m->lan == 0)
            return E_UNREACHABLE;
        LIST_FOREACH (&m->world->machines, it) {
            struct virtual_machine *there = LIST_ENTRY(it, struct virtual_machine, of_world);
            if (there->lan == m->lan)
                deliver(u, there, to->port, to, &seen, datagram);
        }
        return 0;
    }
    struct virtual_route way;
    int err = virtual_route(m, seen.port, to, &way);
    if (!err)
        deliver(u, way.there, way.port, NULL, &way.seen, datagram);
    return err == E_AGAIN ? 0 : err; /* dropped on the way */
}

void virtual_udp_close(struct loop_udp *base)
{
    struct udp *u = CONTAINER_OF(base, struct udp, base);
    LIST_FOREACH_SAFE (&u->under_way, it) {
        struct datagram *g = LIST_ENTRY(it, struct datagram, link);
        timer_clear(&base->loop->sched, &g->arrival);
        free(g);
    }
    list_remove(&u->of_machine);
    free(u);
}

struct loop_udp *virtual_first_udp(struct virtual_machine *m)
{
    return list_is_empty(&m->udps) ? NULL : &LIST_ENTRY(m->udps.next, struct udp, of_machine)->base;
}

size_t virtual_interfaces(struct loop *l, struct net_addr *out, size_t max)
{
    if (max > 0)
        out[0] = virtual_of(l)->ip;
    return max > 0;
}
