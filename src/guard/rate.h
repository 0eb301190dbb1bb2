// SPDX-License-Identifier: MIT
/* A token bucket that counts requests per minute: the bucket holds one minute's worth, so a peer may use
 * its minute at once, as with the seed's `requests_per_minute`. */
#ifndef CONDUIT_GUARD_RATE_H
#define CONDUIT_GUARD_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
    uint32_t per_minute; /* 0: no limit */
    uint64_t level_us;   /* what is left, as time: one request costs 60 s / per_minute */
    uint64_t at_us;
};

void rate_init(struct rate *r, uint32_t per_minute, uint64_t now_us);
/* Takes one; 0, or the microseconds until one could be taken. */
uint64_t rate_take(struct rate *r, uint64_t now_us);
/* What rate_take would answer, without taking. */
uint64_t rate_peek(const struct rate *r, uint64_t now_us);

#endif
