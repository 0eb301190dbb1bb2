// SPDX-License-Identifier: MIT
/* Token bucket over time; see rate.h. */
#include "guard/rate.h"

#define MINUTE_US UINT64_C(60000000)

void rate_init(struct rate *r, uint32_t per_minute, uint64_t now_us)
{
    *r = (struct rate){.per_minute = per_minute, .level_us = MINUTE_US, .at_us = now_us};
}

static uint64_t level(const struct rate *r, uint64_t now_us)
{
    uint64_t l = r->level_us + (now_us > r->at_us ? now_us - r->at_us : 0);
    return l < MINUTE_US ? l : MINUTE_US;
}

uint64_t rate_peek(const struct rate *r, uint64_t now_us)
{
    if (!r->per_minute)
        return 0;
    uint64_t cost = MINUTE_US / r->per_minute, have = level(r, now_us);
    return have >= cost ? 0 : cost - have;
}

uint64_t rate_take(struct rate *r, uint64_t now_us)
{
    uint64_t wait = rate_peek(r, now_us);
    if (wait || !r->per_minute)
        return wait;
    r->level_us = level(r, now_us) - MINUTE_US / r->per_minute;
    r->at_us = now_us;
    return 0;
}
