// SPDX-License-Identifier: MIT
/* Names in multiaddrs, looked up: /dns… to addresses, /dnsaddr to multiaddrs and so on, bounded.
 * A pure machine: it says which lookups to make and is told the answers.
 *
 *   resolve_add -> QUEUED --resolve_next--> ASKED --resolve_answer--> found(address) | more lookups
 *
 * At most LIMIT_DNS_LOOKUPS lookups in one dial and LIMIT_DNS_DEPTH dnsaddr below each other, so that
 * a hostile zone costs little. Of a /dnsaddr/N/p2p/ID only entries ending in that ID count. */
#ifndef CONDUIT_P2P_RESOLVE_H
#define CONDUIT_P2P_RESOLVE_H

#include "p2p/addr.h"

struct resolve_query {
    struct p2p_addr addr; /* whose name it is */
    uint8_t depth;
    bool is_asked, is_answered;
};

struct resolve {
    struct resolve_query queries[LIMIT_DNS_LOOKUPS];
    int count, answered;
    int err;                                               /* of the last lookup that failed */
    void (*found)(void *ctx, const struct p2p_addr *addr); /* an IP one */
    void *ctx;
};

void resolve_init(struct resolve *r, void (*found)(void *ctx, const struct p2p_addr *addr),
                  void *ctx);
/* A NAME or LIST to look up; or an IP, found at once. E_LIMIT. */
int resolve_add(struct resolve *r, const struct p2p_addr *addr, uint8_t depth);
/* The next lookup to make: its index, or -1. `name` has room for 264 bytes. */
int resolve_next(struct resolve *r, char name[static 264], enum host_port_name *what);
void resolve_answer(struct resolve *r, int query, int err, const struct net_addr *addrs,
                    size_t addr_count, const struct bytes *texts, size_t text_count);
static inline bool resolve_is_done(const struct resolve *r)
{
    return r->answered == r->count;
}

#endif
