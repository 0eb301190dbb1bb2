// SPDX-License-Identifier: MIT
/* Every limit of the host in one view, and whether the books agree with what there is.
 *
 * The view puts together what is kept in several books: the ledger (resource.h), who may connect
 * (connmgr.h), windows (yamux_budget.h), the address book. Of scopes there are many of (IP groups,
 * peers, connections) it shows the fullest; protocols are few and are shown all. */
#include "base/mem.h"
#include "p2p/host_impl.h"

#include <stdio.h>

struct view {
    struct p2p_host *h;
    struct resource_row *rows;
    size_t n, max;
};

static struct resource_row *add(struct view *v, const char *scope, const char *resource,
                                uint64_t used, uint64_t limit, uint64_t refused)
{
    static struct resource_row dropped;
    struct resource_row *r = v->n < v->max ? &v->rows[v->n++] : &dropped;
    *r = (struct resource_row){
        .scope = scope, .resource = resource, .used = used, .limit = limit, .refused = refused};
    return r;
}

static struct resource_row *add_kind(struct view *v, enum resource_scope_kind scope,
                                     enum resource_kind kind, uint64_t used, uint64_t also_refused)
{
    const struct resource_ledger *l = &v->h->ledger;
    return add(v, resource_scope_text(scope), resource_text(kind), used, l->limits.max[scope][kind],
               l->refused[scope][kind] + also_refused);
}

/* --- streams refused and shed, over all connections --- */

struct sums {
    uint64_t refused, shed;
};

static struct sums stream_sums(const struct p2p_host *h)
{
    struct sums s = {h->env.counts.streams_refused, h->env.counts.streams_shed};
    LIST_FOREACH ((struct list *)&h->peers, it) {
        struct host_peer *p = LIST_ENTRY(it, struct host_peer, link);
        LIST_FOREACH (&p->conns, ct) {
            const struct conn *c = LIST_ENTRY(ct, struct conn, by_owner);
            s.refused += c->has_yamux ? c->yamux.counts.refused_streams : 0;
            s.shed += c->has_yamux ? c->yamux.counts.resets_over_budget : 0;
        }
    }
    return s;
}

/* --- the fullest of a kind --- */

struct fullest {
    const struct resource_scope *scope;
    const struct host_peer *peer; /* of a peer or a connection */
    const struct map_entry *name; /* of a held one */
    uint64_t used;
};

static void consider(struct fullest *f, const struct resource_scope *s, enum resource_kind kind,
                     const struct host_peer *peer, const struct map_entry *name)
{
    uint64_t used = resource_used(s, kind);
    if (used > f->used || (!f->scope && used))
        *f = (struct fullest){s, peer, name, used};
}

static struct fullest fullest_of(struct p2p_host *h, enum resource_scope_kind scope,
                                 enum resource_kind kind)
{
    struct fullest f = {0};
    const struct map *names = scope == RESOURCE_IP      ? &h->ledger.by_ip
                              : scope == RESOURCE_RELAY ? &h->ledger.by_relay
                                                        : NULL;
    for (struct map_entry *e = names ? map_first(names) : NULL; e; e = map_next(names, e))
        consider(&f, e->value, kind, NULL, e);
    LIST_FOREACH (&h->peers, it) {
        struct host_peer *p = LIST_ENTRY(it, struct host_peer, link);
        if (scope == RESOURCE_PEER)
            consider(&f, &p->scope, kind, p, NULL);
        if (scope != RESOURCE_CONN)
            continue;
        LIST_FOREACH (&p->conns, ct)
            consider(&f, &LIST_ENTRY(ct, struct conn, by_owner)->scope.own, kind, p, NULL);
    }
    return f;
}

static void name_group(struct bytes group, char *out, size_t size)
{
    const uint8_t *b = group.p;
    struct peer_id relay;
    if (group.n == 4)
        snprintf(out, size, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
    else if (group.n == 7)
        snprintf(out, size, "%02x%02x:%02x%02x:%02x%02x:%02x00::/56", b[0], b[1], b[2], b[3], b[4],
                 b[5], b[6]);
    else if (peer_id_decode(group, &relay) == 0)
        peer_id_text(&relay, out, size);
}

static void add_fullest(struct view *v, enum resource_scope_kind scope, enum resource_kind kind,
                        uint64_t also_refused)
{
    struct fullest f = fullest_of(v->h, scope, kind);
    struct resource_row *r = add_kind(v, scope, kind, f.used, also_refused);
    if (f.name)
        name_group(map_key(f.name), r->name, sizeof r->name);
    else if (f.peer)
        peer_id_text(&f.peer->id, r->name, sizeof r->name);
}

/* --- the view --- */

static void add_system(struct view *v)
{
    struct p2p_host *h = v->h;
    const struct connmgr *m = &h->connmgr;
    const struct resource_scope *s = &h->ledger.system;
    const char *system = resource_scope_text(RESOURCE_SYSTEM);
    add_kind(v, RESOURCE_SYSTEM, RESOURCE_PENDING, m->pending,
             m->counts.refused_pending + h->gave_way);
    add_kind(v, RESOURCE_SYSTEM, RESOURCE_CONNS, m->total, m->counts.refused_total);
    add(v, system, "dials", h->dial_count, LIMIT_DIALS, h->dials_refused);
    add_kind(v, RESOURCE_SYSTEM, RESOURCE_IN, resource_used(s, RESOURCE_IN), 0);
    add_kind(v, RESOURCE_SYSTEM, RESOURCE_OUT, resource_used(s, RESOURCE_OUT), 0);
    add_kind(v, RESOURCE_SYSTEM, RESOURCE_MEMORY, s->memory, 0);
    add(v, system, "window_bytes", h->budget.used, h->budget.limit, stream_sums(h).shed);
    add(v, system, "known_peers", map_count(&h->store.by_id), h->store.max, 0);
    add(v, system, "scopes", resource_names(&h->ledger), LIMIT_SCOPES, h->ledger.refused_names);
}

size_t p2p_host_limits(struct p2p_host *h, struct resource_row *out, size_t max)
{
    struct view v = {h, out, 0, max};
    const struct connmgr *m = &h->connmgr;
    add_system(&v);
    add_fullest(&v, RESOURCE_IP, RESOURCE_PENDING, m->counts.refused_ip);
    add(&v, resource_scope_text(RESOURCE_IP), "accepted_per_s", RESOURCE_NOT_COUNTED,
        m->cfg.rate_per_s, m->counts.refused_rate);
    add_fullest(&v, RESOURCE_IP, RESOURCE_CONNS, 0);
    add_fullest(&v, RESOURCE_IP, RESOURCE_IN, 0);
    add_fullest(&v, RESOURCE_IP, RESOURCE_OUT, 0);
    add_fullest(&v, RESOURCE_IP, RESOURCE_MEMORY, 0);
    add_fullest(&v, RESOURCE_RELAY, RESOURCE_PENDING, m->counts.refused_relay);
    add(&v, resource_scope_text(RESOURCE_RELAY), "accepted_per_s", RESOURCE_NOT_COUNTED,
        m->cfg.relay_rate_per_s, m->counts.refused_relay_rate);
    add_fullest(&v, RESOURCE_RELAY, RESOURCE_CONNS, 0);
    add_fullest(&v, RESOURCE_RELAY, RESOURCE_IN, 0);
    add_fullest(&v, RESOURCE_RELAY, RESOURCE_OUT, 0);
    add_fullest(&v, RESOURCE_RELAY, RESOURCE_MEMORY, 0);
    add_fullest(&v, RESOURCE_PEER, RESOURCE_CONNS, m->counts.refused_peer);
    add_fullest(&v, RESOURCE_PEER, RESOURCE_IN, 0);
    add_fullest(&v, RESOURCE_PEER, RESOURCE_OUT, 0);
    add_fullest(&v, RESOURCE_PEER, RESOURCE_MEMORY, 0);
    add_fullest(&v, RESOURCE_CONN, RESOURCE_IN,
                stream_sums(h).refused - h->env.counts.streams_denied);
    add_fullest(&v, RESOURCE_CONN, RESOURCE_OUT, 0);
    add_fullest(&v, RESOURCE_CONN, RESOURCE_MEMORY, 0);
    for (struct map_entry *e = map_first(&h->ledger.by_protocol); e;
         e = map_next(&h->ledger.by_protocol, e)) {
        for (int kind = RESOURCE_IN; kind <= RESOURCE_OUT; kind++) {
            struct resource_row *r =
                add_kind(&v, RESOURCE_PROTOCOL, kind, resource_used(e->value, kind), 0);
            snprintf(r->name, sizeof r->name, "%.*s", BYTES_FMT(map_key(e)));
        }
    }
    return v.n;
}

/* --- do the books agree? --- */

static void sum_up(struct resource_scope *to, const struct resource_scope *s)
{
    to->memory += s->memory;
    for (int k = 0; k < RESOURCE_MEMORY; k++)
        to->count[k] += s->count[k];
}

static bool is_same(const struct resource_scope *a, const struct resource_scope *b)
{
    for (int k = 0; k < RESOURCE_KINDS; k++)
        if (resource_used(a, k) != resource_used(b, k))
            return false;
    return true;
}

static uint32_t streams_of(struct list *streams)
{
    uint32_t n = 0;
    LIST_FOREACH (streams, it)
        n++;
    return n;
}

/* What a connection's book says against its lists. */
static const char *check_conn(struct conn *c, uint64_t *windows)
{
    uint32_t n = streams_of(&c->streams) + streams_of(&c->lingering);
    const struct resource_scope *s = &c->scope.own;
    *windows += c->has_yamux ? c->yamux.held : 0;
    if (c->state != CONN_CLOSED && s->count[RESOURCE_IN] + s->count[RESOURCE_OUT] != n)
        return "a connection counts other streams than it has";
    if (c->has_yamux && c->yamux.inbound + c->yamux.outbound < n && c->state != CONN_CLOSED)
        return "a connection has streams that yamux does not know";
    return NULL;
}

static uint32_t placed(struct list *conns)
{
    uint32_t n = 0;
    LIST_FOREACH (conns, it)
        n += !LIST_ENTRY(it, struct conn, by_owner)->gave_way;
    return n;
}

static const char *check_list(struct list *conns, struct resource_scope *sum, uint64_t *windows)
{
    LIST_FOREACH (conns, it) {
        struct conn *c = LIST_ENTRY(it, struct conn, by_owner);
        const char *why = check_conn(c, windows);
        if (why)
            return why;
        sum_up(sum, &c->scope.own);
    }
    return NULL;
}

const char *p2p_host_check(struct p2p_host *h)
{
    struct resource_scope all;
    uint64_t windows = 0;
    resource_scope_init(&all, RESOURCE_SYSTEM);
    const char *why = check_list(&h->pending, &all, &windows);
    LIST_FOREACH (&h->peers, it) {
        struct host_peer *p = LIST_ENTRY(it, struct host_peer, link);
        struct resource_scope sum;
        resource_scope_init(&sum, RESOURCE_PEER);
        why = why ? why : check_list(&p->conns, &sum, &windows);
        if (!why && !is_same(&sum, &p->scope))
            why = "a peer's scope is not the sum of its connections";
        if (!why && p->scope.count[RESOURCE_CONNS] != placed(&p->conns))
            why = "a peer counts other connections than it has";
        sum_up(&all, &sum);
    }
    if (!why && !is_same(&all, &h->ledger.system))
        why = "the system's scope is not the sum of all connections";
    if (!why && all.count[RESOURCE_CONNS] != h->connmgr.total)
        why = "connmgr counts other connections than the ledger";
    /* What is over the ledger's limit, and on its way out, is connmgr's alone. */
    if (!why && all.count[RESOURCE_PENDING] > h->connmgr.pending)
        why = "connmgr counts other pending connections than the ledger";
    if (!why && windows != h->budget.used)
        why = "the windows' budget is not the sum of all sessions";
    return why;
}
