// SPDX-License-Identifier: MIT
/* See values.h. */
#include "dht/values.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>

void dht_values_init(struct dht_values *v, const struct dht_key *self, uint64_t seed)
{
    *v = (struct dht_values){.self = *self};
    map_init(&v->by_key, seed);
}

void dht_values_fini(struct dht_values *v)
{
    for (struct map_entry *e = map_first(&v->by_key); e; e = map_next(&v->by_key, e))
        free(e->value);
    map_fini(&v->by_key);
}

void dht_values_remove(struct dht_values *v, struct bytes key)
{
    free(map_take(&v->by_key, key));
}

void dht_values_expire(struct dht_values *v, uint64_t now_ms)
{
    for (struct map_entry *e = map_first(&v->by_key), *next; e; e = next) {
        const struct dht_value *have = e->value;
        next = map_next(&v->by_key, e);
        if (have->record.expires_ms <= now_ms)
            dht_values_remove(v, map_key(e));
    }
}

const struct dht_value *dht_values_get(struct dht_values *v, struct bytes key, uint64_t now_ms)
{
    const struct dht_value *have = map_get(&v->by_key, key);
    return have && have->record.expires_ms > now_ms ? have : NULL;
}

/* True when there is a place for one at that distance. */
static bool make_room(struct dht_values *v, const struct dht_key *distance)
{
    struct map_entry *farthest = NULL;
    if (map_count(&v->by_key) < LIMIT_DHT_VALUES)
        return true;
    for (struct map_entry *e = map_first(&v->by_key); e; e = map_next(&v->by_key, e)) {
        const struct dht_value *have = e->value, *far = farthest ? farthest->value : NULL;
        if (!far || dht_key_cmp(&have->distance, &far->distance) > 0)
            farthest = e;
    }
    if (dht_key_cmp(&((const struct dht_value *)farthest->value)->distance, distance) <= 0)
        return false;
    dht_values_remove(v, map_key(farthest));
    return true;
}

int dht_values_put(struct dht_values *v, struct bytes key, struct bytes value, uint64_t now_ms)
{
    struct dht_record r;
    int err = dht_record_check(key, value, now_ms, &r);
    if (err)
        return err;
    struct dht_key at = dht_key_of(key), distance = dht_key_distance(&at, &v->self);
    struct dht_value *have = map_get(&v->by_key, key);
    if (have) {
        int better = dht_record_cmp(&r, value, &have->record, bytes_of(have->value, have->n));
        if (better <= 0)
            return better ? E_DUPLICATE : 0;
        dht_values_remove(v, key);
    } else if (!make_room(v, &distance)) {
        return E_LIMIT;
    }
    have = mem_new(sizeof *have + value.n);
    *have = (struct dht_value){.distance = distance, .record = r, .n = value.n};
    memcpy(have->value, value.p, value.n);
    have->record.body.p = have->value + (r.body.p - value.p);
    map_put(&v->by_key, key, have);
    return 0;
}
