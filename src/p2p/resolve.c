// SPDX-License-Identifier: MIT
/* See resolve.h. */
#include "p2p/resolve.h"

#include "base/err.h"
#include "base/trace.h"

#include <stdio.h>

#define DNSADDR_ENTRY "dnsaddr="

void resolve_init(struct resolve *r, void (*found)(void *ctx, const struct p2p_addr *addr),
                  void *ctx)
{
    *r = (struct resolve){.found = found, .ctx = ctx};
}

int resolve_add(struct resolve *r, const struct p2p_addr *addr, uint8_t depth)
{
    if (addr->kind == P2P_ADDR_IP || addr->kind == P2P_ADDR_CIRCUIT) {
        r->found(r->ctx, addr);
        return 0;
    }
    if (r->count == LIMIT_DNS_LOOKUPS || depth > LIMIT_DNS_DEPTH) {
        TRACE(P2P, INFO, "resolve %s: too many lookups for one dial -> left out", addr->name);
        return E_LIMIT;
    }
    r->queries[r->count++] = (struct resolve_query){.addr = *addr, .depth = depth};
    return 0;
}

int resolve_next(struct resolve *r, char name[static 264], enum host_port_name *what)
{
    for (int i = 0; i < r->count; i++) {
        struct resolve_query *q = &r->queries[i];
        if (q->is_asked)
            continue;
        bool is_list = q->addr.kind == P2P_ADDR_LIST;
        snprintf(name, 264, "%s%s", is_list ? "_dnsaddr." : "", q->addr.name);
        *what = is_list ? HOST_NAME_TXT : q->addr.what;
        q->is_asked = true;
        return i;
    }
    return -1;
}

static void take_address(struct resolve *r, const struct resolve_query *q,
                         const struct net_addr *ip)
{
    struct p2p_addr a = q->addr;
    a.kind = P2P_ADDR_IP;
    a.at = *ip;
    a.at.port = q->addr.at.port;
    r->found(r->ctx, &a);
}

/* One TXT string of a dnsaddr record. */
static void take_entry(struct resolve *r, const struct resolve_query *q, struct bytes text)
{
    struct p2p_addr a;
    struct bytes prefix = BYTES_LIT(DNSADDR_ENTRY);
    if (!bytes_starts(text, prefix))
        return;
    text = bytes_skip(text, prefix.n);
    if (p2p_addr_parse(text, &a) != 0)
        return;
    if (q->addr.has_peer && !(a.has_peer && peer_id_eq(&a.peer, &q->addr.peer)))
        return;
    resolve_add(r, &a, (uint8_t)(q->depth + 1));
}

void resolve_answer(struct resolve *r, int query, int err, const struct net_addr *addrs,
                    size_t addr_count, const struct bytes *texts, size_t text_count)
{
    struct resolve_query q = r->queries[query];
    if (q.is_answered)
        return;
    r->queries[query].is_answered = true;
    r->answered++;
    if (err) {
        r->err = err;
        TRACE(P2P, INFO, "resolve %s: %s -> left out", q.addr.name, err_text(err));
        return;
    }
    if (q.addr.kind == P2P_ADDR_NAME)
        for (size_t i = 0; i < addr_count; i++)
            take_address(r, &q, &addrs[i]);
    else
        for (size_t i = 0; i < text_count; i++)
            take_entry(r, &q, texts[i]);
}
