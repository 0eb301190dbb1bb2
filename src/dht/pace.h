// SPDX-License-Identifier: MIT
/* How long answers take: a smoothed mean and deviation, as TCP keeps them (RFC 6298), and what follows from
 * them. Soft: by then most of those who live have answered. Hard: who has not by then is taken for dead.
 *
 *   soft = mean + 2 deviations, at least SOFT_MIN      hard = 3 means or mean + 4 deviations, 1 … 5 s */
#ifndef CONDUIT_DHT_PACE_H
#define CONDUIT_DHT_PACE_H

#include <stdint.h>

struct dht_pace {
    uint32_t mean_us, dev_us; /* 0: nothing is known */
};

void dht_pace_add(struct dht_pace *p, uint64_t took_us);
/* `guess_us`: what to take for the mean while nothing is known. */
uint64_t dht_pace_soft_us(const struct dht_pace *p, uint32_t guess_us);
uint64_t dht_pace_hard_us(const struct dht_pace *p, uint32_t guess_us);

#endif
