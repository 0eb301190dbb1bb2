// SPDX-License-Identifier: MIT
/* See pace.h. */
#include "dht/pace.h"

enum { SOFT_MIN_US = 50 * 1000, HARD_MIN_US = 1000 * 1000, HARD_MAX_US = 5000 * 1000 };
enum { TOOK_MAX_US = 60 * 1000 * 1000 };

static uint64_t clamp(uint64_t v, uint64_t lo, uint64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

void dht_pace_add(struct dht_pace *p, uint64_t took_us)
{
    uint32_t took = (uint32_t)clamp(took_us, 1, TOOK_MAX_US);
    if (!p->mean_us) {
        *p = (struct dht_pace){took, took / 2};
        return;
    }
    uint32_t off = took > p->mean_us ? took - p->mean_us : p->mean_us - took;
    p->dev_us = (uint32_t)((3 * (uint64_t)p->dev_us + off) / 4);
    p->mean_us = (uint32_t)((7 * (uint64_t)p->mean_us + took) / 8);
}

uint64_t dht_pace_hard_us(const struct dht_pace *p, uint32_t guess_us)
{
    uint64_t mean = p->mean_us ? p->mean_us : guess_us;
    uint64_t dev = p->mean_us ? p->dev_us : guess_us / 2;
    uint64_t us = 3 * mean > mean + 4 * dev ? 3 * mean : mean + 4 * dev;
    return clamp(us, HARD_MIN_US, HARD_MAX_US);
}

uint64_t dht_pace_soft_us(const struct dht_pace *p, uint32_t guess_us)
{
    uint64_t mean = p->mean_us ? p->mean_us : guess_us;
    uint64_t dev = p->mean_us ? p->dev_us : guess_us / 2;
    return clamp(mean + 2 * dev, SOFT_MIN_US, dht_pace_hard_us(p, guess_us) / 2);
}
