// SPDX-License-Identifier: MIT
/* See invite_addrs.h. */
#include "node/invite_addrs.h"

enum kind { PUBLIC, CIRCUIT, LAN, LOOPBACK, KINDS };

static enum kind kind_of(struct bytes addr)
{
    struct net_addr at;
    if (multiaddr_is_relayed(addr))
        return CIRCUIT;
    if (multiaddr_to_net(addr, &at) != 0) /* a name */
        return PUBLIC;
    return net_addr_is_loopback(&at) ? LOOPBACK : net_addr_is_private(&at) ? LAN : PUBLIC;
}

/* The nth of a kind, from 0 on; n when there are not so many. */
static size_t nth(const struct bytes *own, size_t n, enum kind kind, size_t which)
{
    size_t i = 0;
    for (; i < n; i++)
        if (kind_of(own[i]) == kind && which-- == 0)
            break;
    return i;
}

size_t invite_addrs_pick(const struct bytes *own, size_t n,
                         struct multiaddr out[static INVITE_ADDRS])
{
    size_t taken = 0;
    for (size_t which = 0; which < n; which++)
        for (enum kind kind = PUBLIC; kind < LOOPBACK && taken < INVITE_ADDRS; kind++) {
            size_t i = nth(own, n, kind, which);
            if (i < n && multiaddr_copy(own[i], &out[taken]) == 0)
                taken++;
        }
    size_t i = nth(own, n, LOOPBACK, 0);
    if (!taken && i < n && multiaddr_copy(own[i], &out[0]) == 0)
        taken++;
    return taken;
}

bool invite_addrs_are_local(const struct multiaddr *v, size_t n)
{
    bool local = true;
    for (size_t i = 0; i < n; i++)
        local &= kind_of(multiaddr_bytes(&v[i])) >= LAN;
    return local;
}
