// SPDX-License-Identifier: MIT
/* NATs of a virtual world, and so the way of a first packet from a machine to an address.
 *
 *   10.0.0.2:8000 ──NAT 20.0.0.1── 20.0.0.1:50000 ──> 30.0.0.9:8000      who is behind one is seen as its
 *        inner                       outer                                address, at a port of a mapping
 *
 *   full cone        one mapping for an inner port; everybody may come in through it
 *   address-restr.   one mapping; addresses it has sent to may come in, from any port
 *   port-restricted  one mapping; only addresses and ports it has sent to may come in
 *   symmetric        a mapping for each destination, which alone may come in
 *
 * A mapping dies when nothing went through it for `idle_us`, and all die when the box forgets them:
 * connections through them are cut without a word. There is no hairpin: nobody reaches the box's own
 * address from behind it. Machines behind one box reach each other directly. */
#include "base/mem.h"
#include "loop/virtual.h"

#include <stdlib.h>

enum { FIRST_OUTER = 50000, ALLOWED_MAX = 64 };

struct loop_virtual_nat {
    struct list of_world;
    struct loop_virtual *world;
    struct net_addr ip;
    enum loop_virtual_nat_kind kind;
    uint64_t idle_us, epoch;
    uint16_t next_port;
    struct list mappings;
};

struct mapping {
    struct list link;
    struct net_addr inner;
    struct net_addr allowed[ALLOWED_MAX]; /* sent to; the first is a symmetric one's own */
    size_t allowed_count;
    uint16_t outer;
    uint64_t used_us;
};

/* --- mappings --- */

static void mapping_free(struct mapping *p)
{
    list_remove(&p->link);
    free(p);
}

static void expire(struct loop_virtual_nat *n)
{
    uint64_t now = n->world->net.now_us;
    LIST_FOREACH_SAFE (&n->mappings, it) {
        struct mapping *p = LIST_ENTRY(it, struct mapping, link);
        if (now - p->used_us > n->idle_us)
            mapping_free(p);
    }
}

static bool is_allowed(const struct mapping *p, const struct net_addr *who)
{
    for (size_t i = 0; i < p->allowed_count; i++)
        if (net_addr_eq(&p->allowed[i], who))
            return true;
    return false;
}

static bool lets_in(const struct loop_virtual_nat *n, const struct mapping *p,
                    const struct net_addr *who)
{
    if (n->kind != LOOP_NAT_ADDRESS_RESTRICTED)
        return n->kind == LOOP_NAT_FULL_CONE || is_allowed(p, who);
    for (size_t i = 0; i < p->allowed_count; i++)
        if (p->allowed[i].kind == who->kind && memcmp(p->allowed[i].ip, who->ip, 16) == 0)
            return true;
    return false;
}

static void allow(struct mapping *p, const struct net_addr *who)
{
    if (is_allowed(p, who))
        return;
    if (p->allowed_count == ALLOWED_MAX) {
        memmove(p->allowed, p->allowed + 1, sizeof p->allowed - sizeof *p->allowed);
        p->allowed_count--;
    }
    p->allowed[p->allowed_count++] = *who;
}

/* Out of the box: the mapping that there is, or a new one. */
static struct mapping *mapping_out(struct loop_virtual_nat *n, const struct net_addr *inner,
                                   const struct net_addr *to)
{
    struct mapping *p = NULL;
    expire(n);
    LIST_FOREACH (&n->mappings, it) {
        struct mapping *m = LIST_ENTRY(it, struct mapping, link);
        if (net_addr_eq(&m->inner, inner) && (n->kind != LOOP_NAT_SYMMETRIC || is_allowed(m, to)))
            p = m;
    }
    if (!p) {
        p = MEM_NEW(struct mapping);
        p->inner = *inner;
        p->outer = n->next_port++;
        if (n->next_port == 0)
            n->next_port = FIRST_OUTER;
        list_append(&n->mappings, &p->link);
    }
    allow(p, to);
    p->used_us = n->world->net.now_us;
    return p;
}

/* Into the box: the mapping of that port, when it lets `from` in. */
static struct mapping *mapping_in(struct loop_virtual_nat *n, uint16_t port,
                                  const struct net_addr *from)
{
    expire(n);
    LIST_FOREACH (&n->mappings, it) {
        struct mapping *p = LIST_ENTRY(it, struct mapping, link);
        if (p->outer == port)
            return lets_in(n, p, from) ? p : NULL;
    }
    return NULL;
}

/* --- the way --- */

static struct loop_virtual_nat *nat_at(struct loop_virtual *w, const struct net_addr *ip)
{
    LIST_FOREACH (&w->nats, it) {
        struct loop_virtual_nat *n = LIST_ENTRY(it, struct loop_virtual_nat, of_world);
        if (n->ip.kind == ip->kind && memcmp(n->ip.ip, ip->ip, sizeof ip->ip) == 0)
            return n;
    }
    return NULL;
}

/* How somebody behind the box is seen from outside. */
static struct net_addr seen_through(struct loop_virtual_nat *n, const struct net_addr *inner,
                                    const struct net_addr *to)
{
    struct net_addr seen = n->ip;
    seen.port = mapping_out(n, inner, to)->outer;
    return seen;
}

int virtual_route(struct virtual_machine *from, uint16_t port, const struct net_addr *to,
                  struct virtual_route *out)
{
    struct loop_virtual *w = from->world;
    struct virtual_machine *there = virtual_find(from, to);
    *out = (struct virtual_route){.there = there, .port = to->port, .seen = from->ip};
    if (net_addr_is_loopback(to))
        out->seen = *to; /* from itself to itself */
    out->seen.port = port;
    if (there && there->nat && there != from && there->nat != from->nat)
        return E_UNREACHABLE; /* its own address is a private one */
    if (there && from->nat && there != from && there->nat != from->nat)
        out->seen = seen_through(from->nat, &out->seen, to);
    if (there)
        return 0;
    struct loop_virtual_nat *n = nat_at(w, to);
    if (!n)
        return E_UNREACHABLE;
    if (n == from->nat)
        return E_AGAIN;
    if (from->nat)
        out->seen = seen_through(from->nat, &out->seen, to);
    struct mapping *p = mapping_in(n, to->port, &out->seen);
    out->there =
        p ? map_get(&w->by_ip, bytes_of(p->inner.ip, p->inner.kind == NET_IP4 ? 4 : 16)) : NULL;
    if (!out->there)
        return E_AGAIN;
    p->used_us = w->net.now_us;
    out->port = p->inner.port;
    return 0;
}

/* --- connections through it --- */

void virtual_nat_begin(struct virtual_stream *s)
{
    s->nat_epoch = s->m->nat ? s->m->nat->epoch : 0;
    s->nat_used_us = s->m->world->net.now_us;
}

/* Does a packet still pass at this end? */
bool virtual_nat_passes(struct virtual_stream *s, const struct virtual_machine *far)
{
    const struct loop_virtual_nat *n = s->m->nat;
    uint64_t now = s->m->world->net.now_us;
    if (!n || (far && far->nat == n) || s->m == far)
        return true;
    if (s->nat_epoch != n->epoch || now - s->nat_used_us > n->idle_us) {
        s->nat_epoch = 0; /* for ever */
        return false;
    }
    s->nat_used_us = now;
    return true;
}

/* --- boxes --- */

struct loop_virtual_nat *loop_virtual_nat_new(struct loop_virtual *w, const struct net_addr *ip,
                                              enum loop_virtual_nat_kind kind, uint64_t idle_us)
{
    struct loop_virtual_nat *n = MEM_NEW(struct loop_virtual_nat);
    *n = (struct loop_virtual_nat){.world = w,
                                   .ip = *ip,
                                   .kind = kind,
                                   .idle_us = idle_us,
                                   .epoch = 1,
                                   .next_port = FIRST_OUTER};
    list_init(&n->mappings);
    list_append(&w->nats, &n->of_world);
    return n;
}

void loop_virtual_set_nat(struct loop *l, struct loop_virtual_nat *nat)
{
    virtual_of(l)->nat = nat;
}

void loop_virtual_nat_forget(struct loop_virtual_nat *n)
{
    LIST_FOREACH_SAFE (&n->mappings, it)
        mapping_free(LIST_ENTRY(it, struct mapping, link));
    n->epoch++;
}

void virtual_nats_fini(struct loop_virtual *w)
{
    LIST_FOREACH_SAFE (&w->nats, it) {
        struct loop_virtual_nat *n = LIST_ENTRY(it, struct loop_virtual_nat, of_world);
        loop_virtual_nat_forget(n);
        list_remove(&n->of_world);
        free(n);
    }
}
