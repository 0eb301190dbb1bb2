// SPDX-License-Identifier: MIT
/* Where all randomness comes from. A node is given one: the system's in life, a seeded one in the
 * simulator and the tests, where one seed gives one run. The seeded maker is xoshiro256** (Blackman
 * and Vigna, 2018) and is no use against an adversary: keys made from it are test keys. */
#ifndef CONDUIT_BASE_RNG_H
#define CONDUIT_BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
    bool is_seeded;
    uint64_t s[4];     /* seeded: the state */
    uint8_t pool[256]; /* system: bytes fetched ahead */
    size_t pool_at;
};

void rng_init_system(struct rng *r);
void rng_init_seeded(struct rng *r, uint64_t seed);
void rng_fill(struct rng *r, void *p, size_t n);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t bound); /* 0 <= x < bound, unbiased; bound > 0 */
double rng_unit(struct rng *r);                    /* 0 <= x < 1 */
/* `value` times a factor within 1 ± share, as for timers that should not march in step. */
uint64_t rng_jitter(struct rng *r, uint64_t value, double share);

#endif
