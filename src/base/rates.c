// SPDX-License-Identifier: MIT
/* See rates.h. */
#include "base/rates.h"

#include "base/mem.h"

#include <stdlib.h>

enum { SWEEP_US = 1000 * 1000 };

struct rate {
    double tokens;
    uint64_t filled_us;
};

void rates_init(struct rates *r, double per_s, double burst, size_t max_keys, uint64_t seed)
{
    *r = (struct rates){.per_s = per_s, .burst = burst, .max_keys = max_keys};
    map_init(&r->buckets, seed);
}

void rates_fini(struct rates *r)
{
    for (struct map_entry *e = map_first(&r->buckets); e; e = map_next(&r->buckets, e))
        free(e->value);
    map_fini(&r->buckets);
}

static void refill(const struct rates *r, struct rate *b, uint64_t now_us)
{
    double sum = b->tokens + (double)(now_us - b->filled_us) / 1e6 * r->per_s;
    b->tokens = sum < r->burst ? sum : r->burst;
    b->filled_us = now_us;
}

/* Forgets full buckets; at most once a second, since it looks at all of them. */
static void sweep(struct rates *r, uint64_t now_us)
{
    struct map_entry *next;
    if (r->swept_us && now_us < r->swept_us + SWEEP_US)
        return;
    r->swept_us = now_us;
    for (struct map_entry *e = map_first(&r->buckets); e; e = next) {
        struct rate *b = e->value;
        next = map_next(&r->buckets, e);
        refill(r, b, now_us);
        if (b->tokens >= r->burst) {
            map_take(&r->buckets, map_key(e));
            free(b);
        }
    }
}

bool rates_take(struct rates *r, struct bytes key, uint64_t now_us)
{
    struct rate *b = map_get(&r->buckets, key);
    if (!b) {
        if (map_count(&r->buckets) >= r->max_keys)
            sweep(r, now_us);
        if (map_count(&r->buckets) >= r->max_keys)
            return false;
        b = MEM_NEW(struct rate);
        *b = (struct rate){r->burst, now_us};
        map_put(&r->buckets, key, b);
    }
    refill(r, b, now_us);
    if (b->tokens < 1)
        return false;
    b->tokens -= 1;
    return true;
}
