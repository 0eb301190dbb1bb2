// SPDX-License-Identifier: MIT
/* How often somebody may still do something: token buckets by key (an IP group, a peer id).
 *
 *   rates_take: bucket of the key  -- one token there? --> true, and it is gone
 *                  refilled at per_s, up to burst     \--> false
 *
 * Whoever is not remembered has a full bucket, so a full bucket may be forgotten. When `max_keys` are
 * remembered and none of them is full, newcomers are refused: a flood of keys is a flood. */
#ifndef CONDUIT_BASE_RATES_H
#define CONDUIT_BASE_RATES_H

#include "base/map.h"

#include <stdbool.h>

struct rates {
    struct map buckets;
    double per_s, burst;
    size_t max_keys;
    uint64_t swept_us;
};

void rates_init(struct rates *r, double per_s, double burst, size_t max_keys, uint64_t seed);
void rates_fini(struct rates *r);
bool rates_take(struct rates *r, struct bytes key, uint64_t now_us);

#endif
