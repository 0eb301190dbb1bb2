// SPDX-License-Identifier: MIT
/* See netwatch.h. */
#include "node/netwatch.h"

#include <stdlib.h>
#include <string.h>

#define SLEPT_US UINT64_C(5000000) /* a busy machine is late by less */

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct netwatch_ip));
}

static bool counts(const struct net_addr *a)
{
    bool is_link_local = a->kind == NET_IP6 && a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80;
    return (a->kind == NET_IP4 || a->kind == NET_IP6) && !net_addr_is_loopback(a) && !is_link_local;
}

static size_t collect(const struct net_addr *addrs, size_t count,
                      struct netwatch_ip out[static NETWATCH_ADDRS])
{
    size_t n = 0;
    for (size_t i = 0; i < count && n < NETWATCH_ADDRS; i++)
        if (counts(&addrs[i])) {
            out[n] = (struct netwatch_ip){.kind = (uint8_t)addrs[i].kind};
            memcpy(out[n++].ip, addrs[i].ip, addrs[i].kind == NET_IP4 ? 4 : 16);
        }
    qsort(out, n, sizeof *out, by_bytes);
    return n;
}

static bool is_same(const struct netwatch *w, const struct netwatch_ip *addrs, size_t n)
{
    return n == w->count && memcmp(w->addrs, addrs, n * sizeof *addrs) == 0;
}

unsigned netwatch_step(struct netwatch *w, const struct net_addr *addrs, size_t count,
                       uint64_t now_us, uint64_t suspended_us)
{
    struct netwatch_ip now[NETWATCH_ADDRS];
    size_t n = collect(addrs, count, now);
    unsigned news = NETWATCH_SAME;
    if (w->is_started && !is_same(w, now, n))
        news |= NETWATCH_MOVED;
    if (w->is_started &&
        (now_us > w->due_us + SLEPT_US || suspended_us > w->suspended_us + SLEPT_US))
        news |= NETWATCH_WOKE;
    memcpy(w->addrs, now, n * sizeof *now);
    w->count = n;
    w->is_started = true;
    w->suspended_us = suspended_us;
    w->due_us = now_us + NETWATCH_EVERY_US;
    return news;
}

uint64_t netwatch_deadline(const struct netwatch *w)
{
    return w->due_us;
}

bool netwatch_is_connected(const struct netwatch *w)
{
    return w->count > 0;
}
