// SPDX-License-Identifier: MIT
/* System and seeded randomness; see rng.h. */
#include "base/rng.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void rng_init_system(struct rng *r)
{
    *r = (struct rng){.pool_at = sizeof r->pool};
}

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void rng_init_seeded(struct rng *r, uint64_t seed)
{
    *r = (struct rng){.is_seeded = true};
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&seed);
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static uint64_t seeded_next(struct rng *r)
{
    uint64_t *s = r->s, out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

static void system_refill(struct rng *r)
{
    if (getentropy(r->pool, sizeof r->pool) != 0) {
        perror("conduit: the system gives no randomness");
        abort();
    }
    r->pool_at = 0;
}

void rng_fill(struct rng *r, void *p, size_t n)
{
    uint8_t *out = p;
    while (n) {
        size_t take;
        if (r->is_seeded) {
            uint64_t w = seeded_next(r);
            take = n < 8 ? n : 8;
            memcpy(out, &w, take);
        } else {
            if (r->pool_at == sizeof r->pool)
                system_refill(r);
            take = sizeof r->pool - r->pool_at;
            take = n < take ? n : take;
            memcpy(out, r->pool + r->pool_at, take);
            mem_wipe(r->pool + r->pool_at, take);
            r->pool_at += take;
        }
        out += take;
        n -= take;
    }
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t v;
    rng_fill(r, &v, sizeof v);
    return v;
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
    uint64_t v, reject = -bound % bound;
    do
        v = rng_u64(r);
    while (v < reject);
    return v % bound;
}

double rng_unit(struct rng *r)
{
    return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

uint64_t rng_jitter(struct rng *r, uint64_t value, double share)
{
    return (uint64_t)((double)value * (1.0 - share + 2.0 * share * rng_unit(r)));
}
