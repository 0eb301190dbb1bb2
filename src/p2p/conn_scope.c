// SPDX-License-Identifier: MIT
/* See conn_scope.h. */
#include "p2p/conn_scope.h"

#include "base/err.h"
#include "base/trace.h"
#include "p2p/conn.h"
#include "p2p/conn_stream.h"
#include "p2p/yamux_budget.h"

enum { BARE = sizeof(struct conn) + sizeof(struct upgrade) };

static struct resource_set set_of(struct conn_scope *s, struct resource_scope *protocol)
{
    return (struct resource_set){{&s->own, s->peer, s->from, protocol}};
}

static bool has_group(const struct net_addr *a)
{
    return (a->kind == NET_IP4 || a->kind == NET_IP6) && !net_addr_is_loopback(a);
}

int conn_scope_begin(struct conn_scope *s, struct resource_ledger *l, const struct net_addr *remote,
                     struct bytes relay)
{
    uint8_t group[8];
    *s = (struct conn_scope){.ledger = l};
    resource_scope_init(&s->own, RESOURCE_CONN);
    if (!l)
        return 0;
    if (relay.n)
        s->from = resource_hold(l, RESOURCE_RELAY, relay);
    else if (has_group(remote))
        s->from = resource_hold(l, RESOURCE_IP, bytes_of(group, net_addr_group(remote, group)));
    if (!s->from && (relay.n || has_group(remote)))
        return E_LIMIT;
    struct resource_set set = set_of(s, NULL);
    int err = resource_reserve(l, &set, RESOURCE_MEMORY, BARE);
    if (err)
        conn_scope_end(s);
    else
        s->charged = BARE;
    return err;
}

int conn_scope_pending(struct conn_scope *s)
{
    struct resource_set set = set_of(s, NULL);
    int err = s->ledger ? resource_reserve(s->ledger, &set, RESOURCE_PENDING, 1) : 0;
    s->is_pending = s->ledger && !err;
    return err;
}

void conn_scope_not_pending(struct conn_scope *s)
{
    struct resource_set set = set_of(s, NULL);
    if (s->is_pending)
        resource_release(s->ledger, &set, RESOURCE_PENDING, 1);
    s->is_pending = false;
}

int conn_scope_proved(struct conn_scope *s, struct resource_scope *peer)
{
    struct resource_ledger *l = s->ledger;
    uint64_t charged = s->charged;
    if (!l)
        return 0;
    struct resource_set before = set_of(s, NULL), of_peer = {{peer}}, after;
    s->peer = peer;
    after = set_of(s, NULL);
    int err = resource_reserve(l, &after, RESOURCE_CONNS, 1);
    if (err) {
        s->peer = NULL;
        return err;
    }
    s->is_proved = true;
    if (s->is_pending)
        resource_release(l, &before, RESOURCE_PENDING, 1);
    s->is_pending = false;
    /* What it holds counts in the peer, too, from now on; the system has it already. */
    resource_charge(l, &before, charged, 0);
    resource_charge(l, &after, 0, charged);
    if (resource_is_over(l, &of_peer))
        TRACE(P2P, DEBUG, "a peer is over its memory with one more connection");
    return 0;
}

void conn_scope_not_proved(struct conn_scope *s)
{
    struct resource_set set = set_of(s, NULL);
    if (s->is_proved)
        resource_release(s->ledger, &set, RESOURCE_CONNS, 1);
    s->is_proved = false;
}

uint32_t conn_scope_crowd(const struct conn_scope *s)
{
    return s->from ? s->from->count[RESOURCE_CONNS] : 0;
}

uint32_t conn_scope_crowd_at(const struct resource_ledger *l, const struct net_addr *remote,
                             struct bytes relay)
{
    uint8_t group[8];
    const struct resource_scope *s = NULL;
    if (relay.n)
        s = resource_find(l, RESOURCE_RELAY, relay);
    else if (has_group(remote))
        s = resource_find(l, RESOURCE_IP, bytes_of(group, net_addr_group(remote, group)));
    return s ? s->count[RESOURCE_CONNS] : 0;
}

uint32_t conn_scope_crowd_most(const struct resource_ledger *l)
{
    uint32_t ip = resource_most(l, RESOURCE_IP, RESOURCE_CONNS);
    uint32_t relay = resource_most(l, RESOURCE_RELAY, RESOURCE_CONNS);
    return ip > relay ? ip : relay;
}

void conn_scope_end(struct conn_scope *s)
{
    struct resource_ledger *l = s->ledger;
    if (!l)
        return;
    struct resource_set set = set_of(s, NULL);
    conn_scope_not_pending(s);
    conn_scope_not_proved(s);
    resource_charge(l, &set, s->charged, 0);
    if (s->from)
        resource_drop(l, s->from);
    *s = (struct conn_scope){0};
}

/* --- streams --- */

static enum resource_kind kind_of(bool is_inbound)
{
    return is_inbound ? RESOURCE_IN : RESOURCE_OUT;
}

int conn_scope_stream(struct conn *c, bool is_inbound, struct bytes protocol,
                      struct resource_scope **held)
{
    struct conn_scope *s = &c->scope;
    *held = NULL;
    if (!s->ledger)
        return 0;
    if (protocol.n && !(*held = resource_hold(s->ledger, RESOURCE_PROTOCOL, protocol)))
        return E_LIMIT;
    struct resource_set set = set_of(s, *held), all = set_of(s, NULL);
    int err = resource_reserve(s->ledger, &all, RESOURCE_MEMORY, sizeof(struct conn_stream));
    if (!err) {
        s->charged += sizeof(struct conn_stream);
        err = resource_reserve(s->ledger, &set, kind_of(is_inbound), 1);
    }
    if (err && *held) {
        resource_drop(s->ledger, *held);
        *held = NULL;
    }
    return err; /* the bytes of a stream that was not made: until the next measure */
}

int conn_scope_protocol(struct conn_stream *cs)
{
    struct resource_ledger *l = cs->conn->scope.ledger;
    if (!l || !cs->protocol_scope)
        return l ? E_LIMIT : 0;
    /* In the others it is counted already: the one scope more, by hand. */
    uint64_t limit = l->limits.max[RESOURCE_PROTOCOL][RESOURCE_IN];
    if (resource_used(cs->protocol_scope, RESOURCE_IN) < limit) {
        cs->protocol_scope->count[RESOURCE_IN]++;
        cs->in_protocol = true;
        return 0;
    }
    l->refused[RESOURCE_PROTOCOL][RESOURCE_IN]++;
    resource_drop(l, cs->protocol_scope);
    cs->protocol_scope = NULL;
    return E_LIMIT;
}

void conn_scope_stream_end(struct conn_stream *cs)
{
    if (!cs->is_counted || !cs->conn)
        return;
    struct conn_scope *s = &cs->conn->scope;
    cs->is_counted = false;
    if (!s->ledger)
        return;
    struct resource_set set = set_of(s, cs->in_protocol ? cs->protocol_scope : NULL);
    resource_release(s->ledger, &set, kind_of(cs->is_inbound), 1);
    if (cs->protocol_scope)
        resource_drop(s->ledger, cs->protocol_scope);
    cs->protocol_scope = NULL;
}

/* --- memory --- */

static uint64_t held_by(const struct conn *c)
{
    const struct conn_scope *s = &c->scope;
    uint64_t streams = (uint64_t)s->own.count[RESOURCE_IN] + s->own.count[RESOURCE_OUT];
    uint64_t sum =
        sizeof *c + c->io.rest.cap + c->io.out.cap + streams * sizeof(struct conn_stream);
    if (c->upgrade)
        sum += sizeof *c->upgrade;
    if (c->has_yamux)
        sum += c->yamux.held + c->yamux.queued + c->yamux.control.cap;
    return sum;
}

void conn_scope_measure(struct conn *c)
{
    struct conn_scope *s = &c->scope;
    if (!s->ledger)
        return;
    struct resource_set set = set_of(s, NULL);
    uint64_t now = held_by(c);
    bool is_more = now > s->charged;
    while (now != s->charged) {
        resource_charge(s->ledger, &set, s->charged, now);
        s->charged = now;
        if (is_more && c->has_yamux && resource_is_over(s->ledger, &set) &&
            yamux_budget_shed(&c->yamux))
            now = held_by(c);
    }
}

bool conn_scope_may_grow(const struct conn *c, uint64_t bytes)
{
    struct conn_scope *s = (struct conn_scope *)&c->scope;
    if (!s->ledger)
        return true;
    struct resource_set set = set_of(s, NULL);
    return resource_has_room(s->ledger, &set, RESOURCE_MEMORY, bytes);
}
