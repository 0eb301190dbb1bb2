// SPDX-License-Identifier: MIT
/* See refresh.h. */
#include "dht/refresh.h"

enum {
    STEPS = 10,
    HOUR = 6, /* of every_us: the shortest wait is a tenth, the longest six times */
    HALF = LIMIT_DHT_BUCKET / 2,
};

void dht_refresh_init(struct dht_refresh *r, uint64_t every_us)
{
    *r = (struct dht_refresh){.every_us = every_us};
    dht_refresh_anew(r);
}

void dht_refresh_anew(struct dht_refresh *r)
{
    r->self = (struct dht_refresh_slot){.wait_us = dht_refresh_step_us(r)};
    for (int i = 0; i < DHT_REFRESHED; i++)
        r->buckets[i].wait_us = dht_refresh_step_us(r);
}

uint64_t dht_refresh_step_us(const struct dht_refresh *r)
{
    return r->every_us / STEPS;
}

static bool is_over(const struct dht_refresh_slot *s, uint64_t wait_us, uint64_t now)
{
    return s->asked_us == 0 || now - s->asked_us >= wait_us;
}

/* How long after the last time. */
static uint64_t wait_of(const struct dht_refresh *r, const struct dht_refresh_slot *s, int count)
{
    if (count >= LIMIT_DHT_BUCKET)
        return HOUR * r->every_us;
    return count >= HALF && s->wait_us < r->every_us ? r->every_us : s->wait_us;
}

static void take(struct dht_refresh_slot *s, uint64_t now, uint64_t longest_us)
{
    if (s->asked_us)
        s->wait_us = 2 * s->wait_us < longest_us ? 2 * s->wait_us : longest_us;
    s->asked_us = now ? now : 1;
}

bool dht_refresh_take_self(struct dht_refresh *r, uint64_t now)
{
    if (!is_over(&r->self, r->self.wait_us, now))
        return false;
    take(&r->self, now, r->every_us);
    return true;
}

/* Whoever belongs into it is among our k nearest, as far as we know. */
static bool is_covered(const struct dht_table *t, int bucket)
{
    int n = 0;
    for (int i = DHT_BUCKETS - 1; i >= bucket && n <= LIMIT_DHT_BUCKET; i--)
        n += t->buckets[i].count;
    return n <= LIMIT_DHT_BUCKET;
}

bool dht_refresh_take_bucket(struct dht_refresh *r, const struct dht_table *t, int bucket,
                             uint64_t now)
{
    struct dht_refresh_slot *s = &r->buckets[bucket];
    int count = t->buckets[bucket].count;
    if (s->was_half && count < HALF)
        s->wait_us = dht_refresh_step_us(r);
    s->was_half = count >= HALF;
    if (!s->asked_us && count >= HALF)
        s->asked_us = now ? now : 1; /* as good as asked */
    if (!is_over(s, wait_of(r, s, count), now) || is_covered(t, bucket))
        return false;
    take(s, now, HOUR * r->every_us);
    return true;
}
