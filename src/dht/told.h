// SPDX-License-Identifier: MIT
/* Of whom a lookup told its user: each peer once, and of each source (a path of the lookup) only its share.
 *
 * A record outlives its addresses, and whoever has such an old one may be the first to answer. Such a provider
 * waits: for a source that knows an address, or for the end of the lookup. */
#ifndef CONDUIT_DHT_TOLD_H
#define CONDUIT_DHT_TOLD_H

#include "base/limits.h"
#include "base/map.h"
#include "dht/dht.h"

enum {
    DHT_SOURCES = LIMIT_DHT_PATHS + 1, /* 0: our own records */
    DHT_SHARE = LIMIT_DHT_CANDIDATES / LIMIT_DHT_PATHS,
};

struct dht_told {
    struct map seen;            /* told of */
    struct map waiting;         /* id -> its place in by_source: nobody gave an address so far */
    int by_source[DHT_SOURCES]; /* how many each named, those that wait included */
};

void dht_told_init(struct dht_told *t, uint64_t seed);
void dht_told_fini(struct dht_told *t);
/* A source names a peer. True: the user is to be told of it, now. */
bool dht_told_take(struct dht_told *t, int source, const struct dht_peer *peer);
/* One of those that wait, in no order, which is over with that; false: there is none. */
bool dht_told_take_waiting(struct dht_told *t, struct peer_id *id, int *source);

#endif
