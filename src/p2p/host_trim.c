// SPDX-License-Identifier: MIT
/* Too many connections: which of them go. connmgr.h says how many there may be, and what each is worth.
 *
 *   over the high mark, now and then (host_trim):
 *     1. without streams, the least worth first         ... until the low mark
 *     2. with idle streams of the peer's only,
 *        always one of the largest crowd                ... until the high mark
 *   every place taken, and a newcomer has proved itself (host_make_place):
 *     one of the largest crowd, if that is much larger than the newcomer's own
 *
 * A crowd is what comes from one IP group, or over one relay: a stranger has many identities and many connections, but
 * few of those. Loopback is none. So who wants to hold all places needs about as many addresses as there are places. */
#include "base/mem.h"
#include "base/trace.h"
#include "p2p/host_impl.h"

#include <stdlib.h>

/* One that may go. */
struct pick {
    struct conn *conn;
    uint64_t worth;
    uint32_t order; /* as found: for equals, so that the same happens again */
    uint32_t
        rank; /* of a crowd of n: n the first to go, 1 the last; without streams: before all of them */
};

static bool is_known(const struct host_peer *p)
{
    return p->is_conduit || (p->record && p->record->is_identified);
}

/* Who is protected, what a user waits for, what we are at work for. */
static bool is_held(const struct host_peer *p, const struct conn *c)
{
    return p->protections || c->busy || c->kept || !list_is_empty(&c->waiting);
}

/* That, and what we opened: feeds, questions. */
static bool is_needed(const struct host_peer *p, const struct conn *c)
{
    return is_held(p, c) || c->scope.own.count[RESOURCE_OUT];
}

static uint64_t used_us(const struct conn *c)
{
    return c->used_us > c->moved_us ? c->used_us : c->moved_us;
}

static uint64_t worth_of(struct p2p_host *h, const struct host_peer *p, const struct conn *c)
{
    struct connmgr_view v = {
        .opened_us = c->since_us,
        .used_us = used_us(c),
        .streams = c->scope.own.count[RESOURCE_IN],
        .is_needed = is_needed(p, c),
        .is_known = is_known(p),
    };
    return c->state == CONN_OPEN ? connmgr_worth(&h->connmgr, &v, sched_now(h->sched)) : UINT64_MAX;
}

/* --- over the high mark --- */

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_crowd(const void *va, const void *vb)
{
    const struct pick *a = va, *b = vb;
    int r = compare((uintptr_t)a->conn->scope.from, (uintptr_t)b->conn->scope.from);
    r = r ? r : compare(a->worth, b->worth);
    return r ? r : compare(a->order, b->order);
}

static int by_rank(const void *va, const void *vb)
{
    const struct pick *a = va, *b = vb;
    int r = compare(b->rank, a->rank);
    r = r ? r : compare(a->worth, b->worth);
    return r ? r : compare(a->order, b->order);
}

/* Sorted by crowd, each crowd's least worth first. */
static void rank(struct pick *v, size_t n)
{
    uint32_t gone = 0; /* of this crowd */
    for (size_t i = 0; i < n; i++) {
        const struct conn_scope *s = &v[i].conn->scope;
        gone = i && v[i - 1].conn->scope.from == s->from ? gone + 1 : 0;
        if (v[i].worth < CONNMGR_LAST_RESORT)
            v[i].rank = UINT32_MAX;
        else
            v[i].rank = s->from ? conn_scope_crowd(s) - gone : 1;
    }
}

/* All that may go, in the order in which they go. */
static size_t find(struct p2p_host *h, struct pick *out, size_t max)
{
    size_t n = 0;
    LIST_FOREACH (&h->peers, it) {
        struct host_peer *p = LIST_ENTRY(it, struct host_peer, link);
        LIST_FOREACH (&p->conns, ct) {
            struct conn *c = LIST_ENTRY(ct, struct conn, by_owner);
            uint64_t worth = worth_of(h, p, c);
            if (worth != UINT64_MAX && n < max) {
                out[n] = (struct pick){.conn = c, .worth = worth, .order = (uint32_t)n};
                n++;
            }
        }
    }
    if (n) {
        qsort(out, n, sizeof *out, by_crowd);
        rank(out, n);
        qsort(out, n, sizeof *out, by_rank);
    }
    return n;
}

void host_trim(struct p2p_host *h)
{
    struct connmgr *m = &h->connmgr;
    if (!connmgr_is_over(m))
        return;
    uint32_t left = m->total;
    struct pick *picks = mem_array(left, sizeof *picks);
    size_t n = find(h, picks, left);
    for (size_t i = 0; i < n; i++) {
        bool is_last_resort = picks[i].worth >= CONNMGR_LAST_RESORT;
        if (left <= (is_last_resort ? m->cfg.high : m->cfg.low))
            break;
        left--;
        m->counts.trimmed++;
        TRACE(P2P, DEBUG, "%s: too many connections and nothing to do%s -> closing",
              picks[i].conn->principal.name, is_last_resort ? " but idle streams" : "");
        conn_close(picks[i].conn, E_LIMIT, "trimmed: too many connections");
    }
    free(picks);
}

/* --- every place is taken --- */

/* A young one may, though it has streams of ours: everybody who comes is asked who it is, and may take its time. */
static bool may_be_displaced(struct p2p_host *h, const struct host_peer *p, const struct conn *c)
{
    bool is_young = sched_now(h->sched) < c->since_us + h->connmgr.cfg.grace_us;
    return c->state == CONN_OPEN && !c->gave_way && (is_young ? !is_held(p, c) : !is_needed(p, c));
}

static bool is_displaced_before(const struct conn *a, const struct conn *b)
{
    uint32_t na = conn_scope_crowd(&a->scope), nb = conn_scope_crowd(&b->scope);
    return na != nb ? na > nb : used_us(a) < used_us(b);
}

static struct conn *of_largest_crowd(struct p2p_host *h)
{
    struct conn *best = NULL;
    LIST_FOREACH (&h->peers, it) {
        struct host_peer *p = LIST_ENTRY(it, struct host_peer, link);
        LIST_FOREACH (&p->conns, ct) {
            struct conn *c = LIST_ENTRY(ct, struct conn, by_owner);
            if (may_be_displaced(h, p, c) && (!best || is_displaced_before(c, best)))
                best = c;
        }
    }
    return best;
}

void host_make_place(struct p2p_host *h, const struct conn *newcomer)
{
    uint32_t own = newcomer->is_accepted ? conn_scope_crowd(&newcomer->scope) : 0;
    struct conn *c = of_largest_crowd(h);
    if (!c || !connmgr_may_displace(own, conn_scope_crowd(&c->scope)))
        return;
    TRACE(P2P, DEBUG, "%s: one of %u from there, and %s comes -> closing", c->principal.name,
          conn_scope_crowd(&c->scope), newcomer->principal.name);
    c->gave_way = true;
    conn_scope_not_proved(&c->scope);
    connmgr_drop(&h->connmgr);
    h->connmgr.counts.trimmed++;
    conn_close(c, E_LIMIT, "trimmed: too many connections from there");
}
