// SPDX-License-Identifier: MIT
/* Addresses in one piece; see addrs.h. */
#include "dht/addrs.h"

#include "base/mem.h"
#include "base/net.h"

#include <stdlib.h>

enum { CODE_IP4 = 0x04, CODE_IP6 = 0x29 };

static bool is_listed(const struct bytes *v, int count, struct bytes a)
{
    for (int i = 0; i < count; i++)
        if (bytes_eq(v[i], a))
            return true;
    return false;
}

void dht_addrs_set(struct dht_addrs *a, const struct bytes *v, int count)
{
    struct bytes keep[LIMIT_DHT_ADDRS];
    int n = 0;
    size_t size = 0;
    for (int i = 0; i < count && n < LIMIT_DHT_ADDRS; i++) {
        if (v[i].n == 0 || v[i].n > LIMIT_DHT_ADDR || is_listed(keep, n, v[i]))
            continue;
        keep[n++] = v[i];
        size += 2 + v[i].n;
    }
    uint8_t *packed = n ? mem_new(size) : NULL, *p = packed;
    for (int i = 0; i < n; i++) {
        *p++ = (uint8_t)(keep[i].n >> 8);
        *p++ = (uint8_t)keep[i].n;
        memcpy(p, keep[i].p, keep[i].n);
        p += keep[i].n;
    }
    free(a->packed); /* last: `v` may point into it */
    *a = (struct dht_addrs){packed, (uint16_t)size, (uint8_t)n};
}

void dht_addrs_fini(struct dht_addrs *a)
{
    free(a->packed);
    *a = (struct dht_addrs){0};
}

int dht_addrs_get(const struct dht_addrs *a, struct bytes out[static LIMIT_DHT_ADDRS])
{
    const uint8_t *p = a->packed;
    for (int i = 0; i < a->count; i++) {
        size_t n = (size_t)(p[0] << 8 | p[1]);
        out[i] = bytes_of(p + 2, n);
        p += 2 + n;
    }
    return a->count;
}

/* The leading IP component; false when the address does not begin with one. */
static bool leading_ip(struct bytes a, struct net_addr *ip)
{
    *ip = (struct net_addr){0};
    if (a.n >= 5 && a.p[0] == CODE_IP4) {
        ip->kind = NET_IP4;
        memcpy(ip->ip, a.p + 1, 4);
        return true;
    }
    if (a.n >= 17 && a.p[0] == CODE_IP6) {
        ip->kind = NET_IP6;
        memcpy(ip->ip, a.p + 1, 16);
        return true;
    }
    return false;
}

uint64_t dht_addrs_group(const struct bytes *v, int count)
{
    for (int i = 0; i < count; i++) {
        struct net_addr ip;
        if (!leading_ip(v[i], &ip))
            continue;
        if (net_addr_is_loopback(&ip) || net_addr_is_private(&ip))
            continue;
        uint64_t prefix = (uint64_t)ip.ip[0] << 24 | (uint64_t)ip.ip[1] << 16;
        if (ip.kind == NET_IP6)
            prefix |= (uint64_t)ip.ip[2] << 8 | ip.ip[3];
        return (uint64_t)ip.kind << 32 | prefix;
    }
    return 0;
}
