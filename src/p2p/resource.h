// SPDX-License-Identifier: MIT
/* The ledger: who holds how much of what, and who may hold more. A pure book.
 *
 *                 system                    everything counts here
 *                /   |   \
 *          IP group peer  protocol          an IP group: the IPv4 address, the IPv6 /56; what comes over
 *          or relay                         a circuit has none, and counts in its relay's scope
 *                \   |      |
 *                connection |               a stream counts in all five
 *                     \     |
 *                      stream
 *
 * One rule: `resource_reserve` before something is made, `resource_release` when it ends. A reservation
 * counts in all its scopes or, when one of them is full, in none, and that scope's kind counts a refusal:
 * the answer is E_LIMIT. Memory that is there already (bytes a peer sent within its window) cannot be
 * refused; it is charged, and whoever charged it asks `resource_is_over` and frees some.
 *
 * Scopes of peers and connections are embedded in what they belong to; those of IP groups, relays and protocols
 * live here, by name, as long as somebody holds them. When all work is over every number is 0:
 * `resource_is_zero`. */
#ifndef CONDUIT_P2P_RESOURCE_H
#define CONDUIT_P2P_RESOURCE_H

#include "base/map.h"

#include <stdint.h>

enum resource_scope_kind {
    RESOURCE_SYSTEM,
    RESOURCE_IP,
    RESOURCE_RELAY,
    RESOURCE_PEER,
    RESOURCE_CONN,
    RESOURCE_PROTOCOL,
    RESOURCE_SCOPES
};

enum resource_kind {
    RESOURCE_PENDING, /* inbound connections not yet proved */
    RESOURCE_CONNS,   /* proved ones, both ways */
    RESOURCE_IN,      /* streams that a peer opened */
    RESOURCE_OUT,     /* streams that we opened */
    RESOURCE_MEMORY,  /* bytes: grown windows, unread bytes, queues, buffers, structs */
    RESOURCE_KINDS
};

#define RESOURCE_NO_LIMIT UINT64_MAX

struct resource_limits {
    uint64_t max[RESOURCE_SCOPES][RESOURCE_KINDS];
};
/* The table of limits.h. */
struct resource_limits resource_limits_default(void);

struct resource_scope {
    uint64_t memory;
    uint32_t count[RESOURCE_MEMORY]; /* the other kinds */
    uint8_t kind;
};

struct resource_ledger {
    struct resource_limits limits;
    struct resource_scope system;
    struct map by_ip, by_relay, by_protocol; /* name -> a held scope */
    uint64_t refused[RESOURCE_SCOPES][RESOURCE_KINDS];
    uint64_t refused_names; /* no room for one more of them */
};

void resource_init(struct resource_ledger *l, const struct resource_limits *limits, uint64_t seed);
void resource_fini(struct resource_ledger *l);

/* An embedded scope, empty. */
void resource_scope_init(struct resource_scope *s, enum resource_scope_kind kind);
/* The scope of an IP group, a relay (its peer id) or a protocol; counted, so each hold needs a drop. NULL when LIMIT_SCOPES
 * names are held: treat it as a full scope. */
struct resource_scope *resource_hold(struct resource_ledger *l, enum resource_scope_kind kind,
                                     struct bytes name);
/* The same without holding it; NULL when nobody does. */
const struct resource_scope *resource_find(const struct resource_ledger *l,
                                           enum resource_scope_kind kind, struct bytes name);
/* The most that one of these scopes has of a kind that is counted. */
uint32_t resource_most(const struct resource_ledger *l, enum resource_scope_kind scope,
                       enum resource_kind kind);
void resource_drop(struct resource_ledger *l, struct resource_scope *s);

/* The scopes that something counts in, beside the system: NULLs are skipped. */
enum { RESOURCE_SET = 4 };
struct resource_set {
    struct resource_scope *of[RESOURCE_SET];
};

/* 0, or E_LIMIT and nothing was counted. */
int resource_reserve(struct resource_ledger *l, const struct resource_set *set,
                     enum resource_kind kind, uint64_t amount);
void resource_release(struct resource_ledger *l, const struct resource_set *set,
                      enum resource_kind kind, uint64_t amount);
/* Memory is `to` bytes now and was `from`; never refused. */
void resource_charge(struct resource_ledger *l, const struct resource_set *set, uint64_t from,
                     uint64_t to);
/* Is one of them over its memory? Counts a refusal there: who asks will free some. */
bool resource_is_over(struct resource_ledger *l, const struct resource_set *set);
/* Would so much fit into three quarters of every limit? For what is a comfort, as larger windows are. */
bool resource_has_room(const struct resource_ledger *l, const struct resource_set *set,
                       enum resource_kind kind, uint64_t amount);

uint64_t resource_used(const struct resource_scope *s, enum resource_kind kind);
bool resource_scope_is_zero(const struct resource_scope *s);
size_t resource_names(const struct resource_ledger *l); /* held */
/* Nothing is counted and no name is held. */
bool resource_is_zero(const struct resource_ledger *l);

/* One line of what is shown: of a scope there may be many of, the fullest. */
enum { RESOURCE_NAME = 96 };
#define RESOURCE_NOT_COUNTED UINT64_MAX
struct resource_row {
    const char *scope, *resource;
    char name[RESOURCE_NAME]; /* which one: a protocol, a peer, an address; "" of the system */
    uint64_t used, limit;     /* RESOURCE_NOT_COUNTED: a rate; RESOURCE_NO_LIMIT: none */
    uint64_t refused;         /* since the start, in all scopes of the kind */
};
const char *resource_scope_text(enum resource_scope_kind kind);
const char *resource_text(enum resource_kind kind);

#endif
