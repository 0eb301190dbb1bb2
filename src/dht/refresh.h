// SPDX-License-Identifier: MIT
/* When which part of the table is looked up again. Pure: the caller asks what is due and looks it up.
 *
 *   ourselves      after 1 min, 2, 4, 8, then every `every_us` (10 min): our surroundings change, and whoever keeps
 *                  records for others must know them
 *   a bucket       that is not full: at once, after a minute, then twice as long each time, an hour at most: whoever
 *                  looks for something near us fills it as well, and perhaps there are no more; one that is half full
 *                  not before `every_us`, and one that was and is no longer soon again
 *   a full one     once an hour (Kademlia, 2.3); who fell silent in it is noticed by the liveness checks, and then it
 *                  is not full
 *   those nearest  never: together with all that are nearer they have no more than k, so the lookup of ourselves
 *                  covers them
 *
 * All times follow `every_us`. */
#ifndef CONDUIT_DHT_REFRESH_H
#define CONDUIT_DHT_REFRESH_H

#include "dht/table.h"

enum { DHT_REFRESHED = 10 }; /* farthest buckets; deeper ones are hard to hit, and near us */

struct dht_refresh_slot {
    uint64_t asked_us; /* 0: never */
    uint64_t wait_us;
    bool was_half; /* full, when it was looked at last */
};

struct dht_refresh {
    uint64_t every_us;
    struct dht_refresh_slot self, buckets[DHT_REFRESHED];
};

void dht_refresh_init(struct dht_refresh *r, uint64_t every_us);
/* Something has changed (we joined, woke up): all begins anew with the short waits. */
void dht_refresh_anew(struct dht_refresh *r);
/* How often to look what is due. */
uint64_t dht_refresh_step_us(const struct dht_refresh *r);

/* True when it is due; it counts as looked up from here on. */
bool dht_refresh_take_self(struct dht_refresh *r, uint64_t now);
bool dht_refresh_take_bucket(struct dht_refresh *r, const struct dht_table *t, int bucket,
                             uint64_t now);

#endif
