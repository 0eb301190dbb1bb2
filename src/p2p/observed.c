// SPDX-License-Identifier: MIT
/* See observed.h. */
#include "p2p/observed.h"

#include "base/sched.h"

#include <string.h>

#define VOTE_US (40 * 60 * US_PER_S) /* as go: eight rounds of identify */

enum { NET_IP4_BYTES = 2, NET_IP6_BYTES = 6 };

static void net_of(const struct net_addr *by, uint8_t out[static 8])
{
    memset(out, 0, 8);
    out[0] = (uint8_t)by->kind;
    memcpy(out + 1, by->ip, by->kind == NET_IP4 ? NET_IP4_BYTES : NET_IP6_BYTES);
}

static bool is_local(const struct net_addr *a)
{
    return net_addr_is_loopback(a) || net_addr_is_private(a);
}

static bool is_weaker(const struct observed_addr *a, const struct observed_addr *b)
{
    if (a->vote_count != b->vote_count)
        return a->vote_count < b->vote_count;
    return a->at_us < b->at_us;
}

/* What the fewest say, the oldest of those: one network's tales do not push out what several agree on. */
static void drop_weakest(struct observed *o, uint64_t now_us)
{
    size_t weakest = 0;
    for (size_t i = 0; i < o->count; i++) {
        if (now_us - o->addrs[i].at_us >= VOTE_US) { /* nobody says so any more */
            weakest = i;
            break;
        }
        if (is_weaker(&o->addrs[i], &o->addrs[weakest]))
            weakest = i;
    }
    o->addrs[weakest] = o->addrs[--o->count];
}

static struct observed_addr *addr_get(struct observed *o, const struct net_addr *at,
                                      uint64_t now_us)
{
    struct observed_addr fresh = {.at = *at};
    for (size_t i = 0; i < o->count; i++)
        if (net_addr_eq(&o->addrs[i].at, at))
            return &o->addrs[i];
    if (multiaddr_from_net(at, &fresh.addr) != 0)
        return NULL;
    if (o->count == LIMIT_OBSERVED)
        drop_weakest(o, now_us);
    o->addrs[o->count] = fresh;
    return &o->addrs[o->count++];
}

/* The network's own vote, a free place, or the oldest vote's. */
static struct observed_vote *vote_get(struct observed_addr *a, const uint8_t net[static 8])
{
    struct observed_vote *oldest = &a->votes[0];
    for (size_t i = 0; i < a->vote_count; i++) {
        if (memcmp(a->votes[i].net, net, 8) == 0)
            return &a->votes[i];
        if (a->votes[i].at_us < oldest->at_us)
            oldest = &a->votes[i];
    }
    return a->vote_count < OBSERVED_VOTES ? &a->votes[a->vote_count++] : oldest;
}

void observed_note(struct observed *o, const struct net_addr *at, const struct net_addr *by,
                   uint64_t now_us)
{
    uint8_t net[8];
    bool is_ip = (at->kind == NET_IP4 || at->kind == NET_IP6) && at->port != 0;
    if (!is_ip || net_addr_is_any(at) || (is_local(by) && !is_local(at)))
        return;
    struct observed_addr *a = addr_get(o, at, now_us);
    if (!a)
        return;
    net_of(by, net);
    struct observed_vote *v = vote_get(a, net);
    memcpy(v->net, net, sizeof net);
    v->at_us = a->at_us = now_us;
}

size_t observed_votes(const struct observed *o, size_t i, uint64_t now_us)
{
    size_t n = 0;
    for (size_t k = 0; i < o->count && k < o->addrs[i].vote_count; k++)
        n += now_us - o->addrs[i].votes[k].at_us < VOTE_US;
    return n;
}

bool observed_is_candidate(const struct observed *o, size_t i, uint64_t now_us)
{
    return observed_votes(o, i, now_us) >= LIMIT_OBSERVERS && !is_local(&o->addrs[i].at);
}
