// SPDX-License-Identifier: MIT
/* Which interfaces; see mdns_links.h. */
#include "p2p/mdns_links.h"

#include <string.h>

static bool pick_one(const struct mdns_interface *v, size_t n, const struct mdns_interface *on,
                     enum net_kind kind, struct mdns_pick *p)
{
    bool can_be_dialled = false, has_version = false;
    *p = (struct mdns_pick){
        .index = on->index, .kind = kind, .key = on->index << 1 | (kind == NET_IP6 ? 1 : 0)};
    memcpy(p->name, on->name, sizeof p->name);
    for (size_t i = 0; i < n; i++) {
        if (v[i].index != on->index)
            continue;
        can_be_dialled |= !net_addr_is_link_local6(&v[i].addr);
        has_version |= v[i].addr.kind == kind;
        if (p->addr_count < LIMIT_MDNS_ADDRS)
            p->addrs[p->addr_count++] = v[i].addr;
    }
    return can_be_dialled && has_version;
}

size_t mdns_pick_links(const struct mdns_interface *v, size_t n, struct mdns_pick *out, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        size_t first = 0;
        while (v[first].index != v[i].index)
            first++;
        if (first < i || !v[i].is_usable)
            continue; /* its first row stood for it */
        for (int six = 0; six < 2; six++)
            if (count < max && pick_one(v, n, &v[i], six ? NET_IP6 : NET_IP4, &out[count]))
                count++;
    }
    return count;
}

bool mdns_pick_same_addrs(const struct mdns_pick *a, const struct mdns_pick *b)
{
    bool same = a->addr_count == b->addr_count;
    for (size_t i = 0; same && i < a->addr_count; i++)
        same = net_addr_eq(&a->addrs[i], &b->addrs[i]);
    return same;
}

bool mdns_pick_has(const struct mdns_pick *p, const struct net_addr *ip)
{
    for (size_t i = 0; i < p->addr_count; i++)
        if (p->addrs[i].kind == ip->kind && memcmp(p->addrs[i].ip, ip->ip, sizeof ip->ip) == 0)
            return true;
    return false;
}
