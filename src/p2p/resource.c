// SPDX-License-Identifier: MIT
/* See resource.h. */
#include "p2p/resource.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

/* What `by_ip`, `by_relay` and `by_protocol` hold; the key is the map's. */
struct held {
    struct resource_scope scope;
    struct map_entry *entry; /* to be found again by its name */
    uint32_t holds;
};

struct resource_limits resource_limits_default(void)
{
    struct resource_limits l;
    for (int s = 0; s < RESOURCE_SCOPES; s++)
        for (int k = 0; k < RESOURCE_KINDS; k++)
            l.max[s][k] = RESOURCE_NO_LIMIT;
    static const struct {
        enum resource_scope_kind scope;
        enum resource_kind kind;
        uint64_t max;
    } rows[] = {
        {RESOURCE_SYSTEM, RESOURCE_PENDING, LIMIT_CONNS_PENDING},
        {RESOURCE_SYSTEM, RESOURCE_CONNS, LIMIT_CONNS},
        {RESOURCE_SYSTEM, RESOURCE_IN, LIMIT_HOST_IN},
        {RESOURCE_SYSTEM, RESOURCE_OUT, LIMIT_HOST_OUT},
        {RESOURCE_SYSTEM, RESOURCE_MEMORY, LIMIT_HOST_MEMORY},
        {RESOURCE_IP, RESOURCE_PENDING, LIMIT_CONNS_PENDING_IP},
        {RESOURCE_IP, RESOURCE_CONNS, LIMIT_IP_CONNS},
        {RESOURCE_IP, RESOURCE_IN, LIMIT_IP_STREAMS},
        {RESOURCE_IP, RESOURCE_OUT, LIMIT_IP_STREAMS},
        {RESOURCE_IP, RESOURCE_MEMORY, LIMIT_IP_MEMORY},
        {RESOURCE_RELAY, RESOURCE_PENDING, LIMIT_CONNS_PENDING_RELAY},
        {RESOURCE_RELAY, RESOURCE_CONNS, LIMIT_RELAY_CONNS},
        {RESOURCE_RELAY, RESOURCE_IN, LIMIT_IP_STREAMS},
        {RESOURCE_RELAY, RESOURCE_OUT, LIMIT_IP_STREAMS},
        {RESOURCE_RELAY, RESOURCE_MEMORY, LIMIT_IP_MEMORY},
        {RESOURCE_PEER, RESOURCE_CONNS, LIMIT_CONNS_PEER},
        {RESOURCE_PEER, RESOURCE_IN, LIMIT_PEER_STREAMS},
        {RESOURCE_PEER, RESOURCE_OUT, LIMIT_PEER_STREAMS},
        {RESOURCE_PEER, RESOURCE_MEMORY, LIMIT_PEER_MEMORY},
        {RESOURCE_CONN, RESOURCE_IN, LIMIT_YAMUX_PEER},
        {RESOURCE_CONN, RESOURCE_OUT, LIMIT_YAMUX_PEER},
        {RESOURCE_CONN, RESOURCE_MEMORY, LIMIT_CONN_MEMORY},
        {RESOURCE_PROTOCOL, RESOURCE_IN, LIMIT_PROTOCOL_STREAMS},
        {RESOURCE_PROTOCOL, RESOURCE_OUT, LIMIT_PROTOCOL_STREAMS},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        l.max[rows[i].scope][rows[i].kind] = rows[i].max;
    return l;
}

void resource_init(struct resource_ledger *l, const struct resource_limits *limits, uint64_t seed)
{
    *l = (struct resource_ledger){.limits = *limits};
    resource_scope_init(&l->system, RESOURCE_SYSTEM);
    map_init(&l->by_ip, seed);
    map_init(&l->by_protocol, seed + 1);
    map_init(&l->by_relay, seed + 2);
}

static void free_held(struct map *m)
{
    for (struct map_entry *e = map_first(m); e; e = map_next(m, e))
        free(e->value);
    map_fini(m);
}

void resource_fini(struct resource_ledger *l)
{
    free_held(&l->by_ip);
    free_held(&l->by_relay);
    free_held(&l->by_protocol);
}

/* --- scopes --- */

void resource_scope_init(struct resource_scope *s, enum resource_scope_kind kind)
{
    *s = (struct resource_scope){.kind = (uint8_t)kind};
}

static struct map *map_of(struct resource_ledger *l, enum resource_scope_kind kind)
{
    assert(kind == RESOURCE_IP || kind == RESOURCE_RELAY || kind == RESOURCE_PROTOCOL);
    return kind == RESOURCE_IP      ? &l->by_ip
           : kind == RESOURCE_RELAY ? &l->by_relay
                                    : &l->by_protocol;
}

size_t resource_names(const struct resource_ledger *l)
{
    return map_count(&l->by_ip) + map_count(&l->by_relay) + map_count(&l->by_protocol);
}

struct resource_scope *resource_hold(struct resource_ledger *l, enum resource_scope_kind kind,
                                     struct bytes name)
{
    struct map *m = map_of(l, kind);
    struct held *h = map_get(m, name);
    if (!h) {
        if (resource_names(l) >= LIMIT_SCOPES) {
            l->refused_names++;
            return NULL;
        }
        h = MEM_NEW(struct held);
        resource_scope_init(&h->scope, kind);
        map_put(m, name, h);
        h->entry = LIST_ENTRY(m->order.prev, struct map_entry, in_order);
    }
    h->holds++;
    return &h->scope;
}

const struct resource_scope *resource_find(const struct resource_ledger *l,
                                           enum resource_scope_kind kind, struct bytes name)
{
    const struct held *h = map_get(map_of((struct resource_ledger *)l, kind), name);
    return h ? &h->scope : NULL;
}

uint32_t resource_most(const struct resource_ledger *l, enum resource_scope_kind scope,
                       enum resource_kind kind)
{
    const struct map *m = map_of((struct resource_ledger *)l, scope);
    uint32_t most = 0;
    assert(kind != RESOURCE_MEMORY);
    for (const struct map_entry *e = map_first(m); e; e = map_next(m, e)) {
        const struct held *h = e->value;
        most = h->scope.count[kind] > most ? h->scope.count[kind] : most;
    }
    return most;
}

void resource_drop(struct resource_ledger *l, struct resource_scope *s)
{
    struct held *h = CONTAINER_OF(s, struct held, scope);
    assert(h->holds > 0);
    if (--h->holds)
        return;
    assert(resource_scope_is_zero(s));
    map_take(map_of(l, s->kind), map_key(h->entry));
    free(h);
}

/* --- counting --- */

uint64_t resource_used(const struct resource_scope *s, enum resource_kind kind)
{
    return kind == RESOURCE_MEMORY ? s->memory : s->count[kind];
}

static void add(struct resource_scope *s, enum resource_kind kind, uint64_t amount)
{
    if (kind == RESOURCE_MEMORY)
        s->memory += amount;
    else
        s->count[kind] += (uint32_t)amount;
}

static void take(struct resource_scope *s, enum resource_kind kind, uint64_t amount)
{
    assert(resource_used(s, kind) >= amount);
    if (kind == RESOURCE_MEMORY)
        s->memory -= amount;
    else
        s->count[kind] -= (uint32_t)amount;
}

static bool fits(const struct resource_scope *s, enum resource_kind kind, uint64_t amount,
                 uint64_t limit)
{
    uint64_t used = resource_used(s, kind);
    if (kind != RESOURCE_MEMORY && limit > UINT32_MAX)
        limit = UINT32_MAX; /* as far as a count goes */
    return used <= limit && amount <= limit - used;
}

static uint64_t limit_of(const struct resource_ledger *l, const struct resource_scope *s,
                         enum resource_kind kind)
{
    return l->limits.max[s->kind][kind];
}

/* The i-th scope of the set, the narrow ones first and the system last. */
static struct resource_scope *scope_at(struct resource_ledger *l, const struct resource_set *set,
                                       int i)
{
    return i < RESOURCE_SET ? set->of[i] : &l->system;
}

int resource_reserve(struct resource_ledger *l, const struct resource_set *set,
                     enum resource_kind kind, uint64_t amount)
{
    for (int i = 0; i <= RESOURCE_SET; i++) {
        const struct resource_scope *s = scope_at(l, set, i);
        if (s && !fits(s, kind, amount, limit_of(l, s, kind))) {
            l->refused[s->kind][kind]++;
            return E_LIMIT;
        }
    }
    for (int i = 0; i <= RESOURCE_SET; i++)
        if (scope_at(l, set, i))
            add(scope_at(l, set, i), kind, amount);
    return 0;
}

void resource_release(struct resource_ledger *l, const struct resource_set *set,
                      enum resource_kind kind, uint64_t amount)
{
    for (int i = 0; i <= RESOURCE_SET; i++)
        if (scope_at(l, set, i))
            take(scope_at(l, set, i), kind, amount);
}

void resource_charge(struct resource_ledger *l, const struct resource_set *set, uint64_t from,
                     uint64_t to)
{
    for (int i = 0; i <= RESOURCE_SET; i++) {
        struct resource_scope *s = scope_at(l, set, i);
        if (!s)
            continue;
        take(s, RESOURCE_MEMORY, from);
        add(s, RESOURCE_MEMORY, to);
    }
}

bool resource_is_over(struct resource_ledger *l, const struct resource_set *set)
{
    for (int i = 0; i <= RESOURCE_SET; i++) {
        const struct resource_scope *s = scope_at(l, set, i);
        if (s && s->memory > limit_of(l, s, RESOURCE_MEMORY)) {
            l->refused[s->kind][RESOURCE_MEMORY]++;
            return true;
        }
    }
    return false;
}

bool resource_has_room(const struct resource_ledger *l, const struct resource_set *set,
                       enum resource_kind kind, uint64_t amount)
{
    for (int i = 0; i <= RESOURCE_SET; i++) {
        const struct resource_scope *s = i < RESOURCE_SET ? set->of[i] : &l->system;
        if (s && !fits(s, kind, amount, limit_of(l, s, kind) / 4 * 3))
            return false;
    }
    return true;
}

/* --- looking --- */

bool resource_scope_is_zero(const struct resource_scope *s)
{
    for (int k = 0; k < RESOURCE_KINDS; k++)
        if (resource_used(s, k))
            return false;
    return true;
}

bool resource_is_zero(const struct resource_ledger *l)
{
    return resource_scope_is_zero(&l->system) && resource_names(l) == 0;
}

const char *resource_scope_text(enum resource_scope_kind kind)
{
    static const char *const text[RESOURCE_SCOPES] = {"system", "ip",         "relay",
                                                      "peer",   "connection", "protocol"};
    return text[kind];
}

const char *resource_text(enum resource_kind kind)
{
    static const char *const text[RESOURCE_KINDS] = {"pending_connections", "connections",
                                                     "streams_in", "streams_out", "memory_bytes"};
    return text[kind];
}
