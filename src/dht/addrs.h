// SPDX-License-Identifier: MIT
/* A few binary multiaddrs kept in one piece of memory, and the group of the net they are in. */
#ifndef CONDUIT_DHT_ADDRS_H
#define CONDUIT_DHT_ADDRS_H

#include "base/limits.h"
#include "dht/dht.h"

/* Each address as u16 length and bytes. Holds no memory when empty. */
struct dht_addrs {
    uint8_t *packed;
    uint16_t size;
    uint8_t count;
};

/* Replaces: the first LIMIT_DHT_ADDRS that are not too long or empty; no duplicates. */
void dht_addrs_set(struct dht_addrs *a, const struct bytes *v, int count);
void dht_addrs_fini(struct dht_addrs *a);
/* The addresses, borrowed; how many. */
int dht_addrs_get(const struct dht_addrs *a, struct bytes out[static LIMIT_DHT_ADDRS]);

/* The group that diversity counts: IPv4 /16 or IPv6 /32 of the first address that is an IP; 0 for
 * none, and for loopback, private and link-local ones, which do not count. */
uint64_t dht_addrs_group(const struct bytes *v, int count);

#endif
