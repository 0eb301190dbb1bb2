// SPDX-License-Identifier: MIT
/* See keepalive.h. */
#include "p2p/keepalive.h"

enum {
    SLEPT_US = 200 * 1000, /* a step so late means that we were not running */
    GRAIN_US = 500 * 1000,
};

struct keepalive_cfg keepalive_cfg_default(void)
{
    return (struct keepalive_cfg){
        .idle_ping_us = 11 * US_PER_S,
        .idle_dead_us = 14500 * US_PER_MS,
        .busy_ping_us = 250 * US_PER_MS,
        .busy_dead_us = 900 * US_PER_MS,
        .rest_ping_us = 115 * US_PER_S,
        .rest_dead_us = 135 * US_PER_S,
        .doubt_dead_us = 3 * US_PER_S,
    };
}

void keepalive_init(struct keepalive *k, const struct keepalive_cfg *cfg, uint64_t now_us)
{
    *k = (struct keepalive){.cfg = *cfg, .since_us = now_us, .expected_us = SCHED_NEVER};
}

void keepalive_heard(struct keepalive *k, uint64_t now_us)
{
    k->since_us = now_us;
    k->is_asked = k->is_doubted = false;
}

void keepalive_doubt(struct keepalive *k, uint64_t now_us)
{
    keepalive_heard(k, now_us); /* the silence so far may have been ours */
    k->is_doubted = k->cfg.doubt_dead_us > 0;
}

void keepalive_busy(struct keepalive *k, bool is_busy, uint64_t now_us)
{
    if (is_busy && !k->is_busy && k->is_doubted) /* as long as nothing is heard */
        k->since_us = now_us;
    else if (is_busy && !k->is_busy) /* the silence before the request says nothing */
        keepalive_heard(k, now_us);
    k->is_busy = is_busy;
}

bool keepalive_is_quiet(const struct keepalive *k, uint64_t now_us)
{
    return now_us - k->since_us >= k->cfg.idle_ping_us;
}

void keepalive_rest(struct keepalive *k, bool is_resting, uint64_t now_us)
{
    if (k->is_resting && !is_resting && keepalive_is_quiet(k, now_us))
        keepalive_doubt(k, now_us);
    k->is_resting = is_resting;
}

static uint64_t ping_after(const struct keepalive *k)
{
    uint64_t us = k->is_busy      ? k->cfg.busy_ping_us
                  : k->is_resting ? k->cfg.rest_ping_us
                                  : k->cfg.idle_ping_us;
    return k->is_doubted ? 0 : us;
}

static uint64_t dead_after(const struct keepalive *k)
{
    uint64_t base = k->is_busy      ? k->cfg.busy_dead_us
                    : k->is_doubted ? k->cfg.doubt_dead_us
                    : k->is_resting ? k->cfg.rest_dead_us
                                    : k->cfg.idle_dead_us;
    uint64_t slow = ping_after(k) + 6 * k->rtt_us;
    return base > slow ? base : slow;
}

enum keepalive_act keepalive_step(struct keepalive *k, uint64_t now_us)
{
    if (now_us > k->expected_us && now_us - k->expected_us > SLEPT_US)
        keepalive_heard(k, now_us);
    k->expected_us = SCHED_NEVER;
    uint64_t quiet = now_us - k->since_us;
    if (k->is_asked && quiet >= dead_after(k))
        return KEEPALIVE_DEAD;
    if (k->is_asked || quiet < ping_after(k))
        return KEEPALIVE_WAIT;
    k->is_asked = true;
    return KEEPALIVE_PING;
}

bool keepalive_rides(struct keepalive *k, uint64_t now_us)
{
    if (k->is_asked || 4 * (now_us - k->since_us) < 3 * ping_after(k))
        return false;
    k->is_asked = true;
    return true;
}

bool keepalive_has_time(const struct keepalive *k)
{
    return k->is_resting && !k->is_busy && !k->is_doubted;
}

/* The question of an idle connection has time, and so has all that concerns one at rest: many are due in one moment, and
 * we wake once for all of them. */
uint64_t keepalive_deadline(struct keepalive *k)
{
    uint64_t at = k->since_us + (k->is_asked ? dead_after(k) : ping_after(k));
    bool is_exact = k->is_asked || k->is_busy || k->is_doubted;
    uint64_t grain = keepalive_has_time(k) ? KEEPALIVE_GRAIN_US : is_exact ? 1 : GRAIN_US;
    k->expected_us = (at + grain - 1) / grain * grain;
    return k->expected_us;
}
