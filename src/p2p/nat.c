// SPDX-License-Identifier: MIT
/* See nat.h. */
#include "p2p/nat.h"

#include "base/sched.h"

#include <string.h>

#define VIEW_US (40 * 60 * US_PER_S) /* as observed.c */

static bool is_local(const struct net_addr *a)
{
    return net_addr_is_loopback(a) || net_addr_is_private(a);
}

static struct nat_view *view_get(struct nat *n, const struct net_addr *by)
{
    struct nat_view *oldest = &n->views[0];
    for (size_t i = 0; i < n->count; i++) {
        if (net_addr_eq(&n->views[i].by, by))
            return &n->views[i];
        if (n->views[i].at_us < oldest->at_us)
            oldest = &n->views[i];
    }
    return n->count < NAT_VIEWS ? &n->views[n->count++] : oldest;
}

void nat_note(struct nat *n, const struct net_addr *by, const struct net_addr *seen, bool is_own,
              bool is_from_listener, uint64_t now_us)
{
    struct net_addr who = *by;
    if (is_local(by) || is_local(seen) || by->kind != seen->kind)
        return;
    who.port = 0;
    struct nat_view *v = view_get(n, &who);
    *v = (struct nat_view){who, *seen, is_own, is_from_listener, now_us};
}

enum p2p_nat nat_kind(const struct nat *n, uint64_t now_us)
{
    size_t own = 0, other = 0;
    const struct nat_view *first = NULL;
    enum p2p_nat kind = P2P_NAT_SOME;
    for (size_t i = 0; i < n->count; i++) {
        const struct nat_view *v = &n->views[i];
        if (now_us - v->at_us >= VIEW_US)
            continue;
        own += v->is_own;
        other += !v->is_own;
        if (v->is_own || !v->is_from_listener)
            continue;
        if (!first)
            first = v;
        else if (v->seen.kind != first->seen.kind)
            continue; /* IPv6 and IPv4 are two worlds */
        else if (!net_addr_eq(&v->seen, &first->seen))
            kind = P2P_NAT_ENDPOINT_DEPENDENT;
        else if (kind == P2P_NAT_SOME)
            kind = P2P_NAT_ENDPOINT_INDEPENDENT;
    }
    return own + other == 0 ? P2P_NAT_UNKNOWN : own > other ? P2P_NAT_NONE : kind;
}

const char *nat_text(enum p2p_nat kind)
{
    static const char *const words[] = {"unknown", "none", "some kind", "endpoint-independent",
                                        "endpoint-dependent"};
    return words[kind];
}

void nat_forget(struct nat *n)
{
    n->count = 0;
}
