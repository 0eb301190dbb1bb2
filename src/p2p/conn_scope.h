// SPDX-License-Identifier: MIT
/* What a connection and its streams hold of the ledger (resource.h).
 *
 *   conn_new: conn_scope_begin (IP group or relay, its own bytes); the host: conn_scope_pending, if it was accepted
 *     -> conn_scope_proved (peer; pending no more) -> streams come and go, memory follows
 *     -> conn_scope_end: everything is given back
 *
 * Memory is measured once a turn of the connection, and what is over a limit costs the stream that holds
 * most its life, as the windows' budget does (yamux_budget.h). */
#ifndef CONDUIT_P2P_CONN_SCOPE_H
#define CONDUIT_P2P_CONN_SCOPE_H

#include "base/net.h"
#include "p2p/resource.h"

struct conn;
struct conn_stream;

struct conn_scope {
    struct resource_ledger *ledger; /* NULL: nothing is counted */
    struct resource_scope own;
    struct resource_scope
        *from; /* the IP group's, or over a circuit the relay's; held by us. NULL: none */
    struct resource_scope *peer; /* embedded in the host's peer */
    uint64_t charged;            /* memory, in all of them */
    bool is_pending, is_proved;
};

/* A new connection: 0, or E_LIMIT: it ends with its first turn. `relay`: the peer id of the one whose circuit it runs over;
 * else empty. Loopback and what has no address is in no IP group. */
int conn_scope_begin(struct conn_scope *s, struct resource_ledger *l, const struct net_addr *remote,
                     struct bytes relay);
/* It was accepted, and waits to be proved: 0, or E_LIMIT: close it. */
int conn_scope_pending(struct conn_scope *s);
void conn_scope_not_pending(struct conn_scope *s); /* … no more: it goes */
/* The peer behind it has proved itself: 0, or E_LIMIT: close it. */
int conn_scope_proved(struct conn_scope *s, struct resource_scope *peer);
void conn_scope_not_proved(struct conn_scope *s); /* … no more: it gives way */
/* How many are proved where that one comes from; 0 of loopback. */
uint32_t conn_scope_crowd(const struct conn_scope *s);
/* The same before there is a connection. */
uint32_t conn_scope_crowd_at(const struct resource_ledger *l, const struct net_addr *remote,
                             struct bytes relay);
/* Of the largest crowd. Walks over all groups. */
uint32_t conn_scope_crowd_most(const struct resource_ledger *l);
/* Again: harmless. No stream may be left. */
void conn_scope_end(struct conn_scope *s);

/* A stream, before it is made. */
int conn_scope_stream(struct conn *c, bool is_inbound, struct bytes protocol,
                      struct resource_scope **held);
/* The protocol of an inbound one is agreed upon: 0 (it is held), or E_LIMIT. */
int conn_scope_protocol(struct conn_stream *cs);
void conn_scope_stream_end(struct conn_stream *cs);

/* Brings the memory up to date, and sheds streams while a limit is passed. */
void conn_scope_measure(struct conn *c);
/* May a window of it grow? */
bool conn_scope_may_grow(const struct conn *c, uint64_t bytes);

#endif
