// SPDX-License-Identifier: MIT
/* Signed values that others left with us, one a key, checked before they come here: the better one stays. When
 * all places are taken the one farthest from us makes room for a nearer one, since far ones are better kept by
 * others; so a flood of names pushes out only what does not belong here. */
#ifndef CONDUIT_DHT_VALUES_H
#define CONDUIT_DHT_VALUES_H

#include "base/map.h"
#include "dht/key.h"
#include "dht/record.h"

struct dht_value {
    struct dht_key distance;  /* from ourselves */
    struct dht_record record; /* its body lies in `value` */
    size_t n;
    uint8_t value[];
};

struct dht_values {
    struct map by_key; /* key bytes -> dht_value */
    struct dht_key self;
    uint64_t swept_ms;
};

void dht_values_init(struct dht_values *v, const struct dht_key *self, uint64_t seed);
void dht_values_fini(struct dht_values *v);
/* Checks and keeps. 0 (also when it is the one that is here), E_DUPLICATE when the one here is better, E_LIMIT
 * when there is no room for one so far away, else as dht_record_check. */
int dht_values_put(struct dht_values *v, struct bytes key, struct bytes value, uint64_t now_ms);
/* Borrowed; NULL when there is none that is good now. */
const struct dht_value *dht_values_get(struct dht_values *v, struct bytes key, uint64_t now_ms);
void dht_values_remove(struct dht_values *v, struct bytes key);
void dht_values_expire(struct dht_values *v, uint64_t now_ms);

#endif
