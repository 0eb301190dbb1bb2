// SPDX-License-Identifier: MIT
/* Moving averages and the breaker; see measure.h. */
#include "route/measure.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/sched.h"

#include <stdlib.h>

#define WEIGHT_OF_NEW    0.3
#define BREAKER_FIRST_US (2 * US_PER_S)
#define BREAKER_MAX_US   (120 * US_PER_S)

void measures_init(struct measures *m, uint64_t seed)
{
    map_init(&m->by_peer, seed);
    m->limit = LIMIT_MEASURES;
}

void measures_fini(struct measures *m)
{
    for (struct map_entry *e = map_first(&m->by_peer); e; e = map_next(&m->by_peer, e))
        free(e->value);
    map_fini(&m->by_peer);
}

static void make_room(struct measures *m)
{
    for (struct map_entry *e = map_first(&m->by_peer); e; e = map_next(&m->by_peer, e)) {
        struct measure *old = e->value;
        if (old->in_flight == 0) {
            free(map_take(&m->by_peer, map_key(e)));
            m->freed++;
            return;
        }
    }
}

struct measure *measures_of(struct measures *m, struct bytes key)
{
    struct measure *x = map_get(&m->by_peer, key);
    if (x)
        return x;
    if (map_count(&m->by_peer) >= m->limit)
        make_room(m);
    x = MEM_NEW(struct measure);
    x->success = 1;
    (void)map_put(&m->by_peer, key, x);
    return x;
}

const struct measure *measures_peek(const struct measures *m, struct bytes key)
{
    return map_get(&m->by_peer, key);
}

static void average(double *old, double x)
{
    *old = *old == 0 ? x : *old + WEIGHT_OF_NEW * (x - *old);
}

bool measure_started(struct measure *m)
{
    m->in_flight++;
    m->requests++;
    if (m->failures_in_a_row < MEASURE_TRIP)
        return false;
    m->is_probing = true;
    return true;
}

void measure_probed(struct measure *m)
{
    m->is_probing = false;
}

static void close_breaker(struct measure *m)
{
    m->failures_in_a_row = 0;
    m->open_until_us = 0;
    m->is_probing = false;
}

void measure_answered(struct measure *m)
{
    close_breaker(m);
}

static void over(struct measure *m)
{
    if (m->in_flight)
        m->in_flight--;
}

void measure_succeeded(struct measure *m, uint64_t first_event_us, double tokens_per_s)
{
    over(m);
    if (first_event_us)
        average(&m->first_event_us, (double)first_event_us);
    if (tokens_per_s > 0)
        average(&m->tokens_per_s, tokens_per_s);
    m->success += WEIGHT_OF_NEW * (1 - m->success);
    close_breaker(m);
}

void measure_failed(struct measure *m, uint64_t now_us)
{
    over(m);
    m->failures++;
    m->success -= WEIGHT_OF_NEW * m->success;
    if (++m->failures_in_a_row < MEASURE_TRIP)
        return;
    unsigned doublings = m->failures_in_a_row - MEASURE_TRIP;
    uint64_t pause = doublings > 6 ? BREAKER_MAX_US : BREAKER_FIRST_US << doublings;
    m->open_until_us = now_us + (pause < BREAKER_MAX_US ? pause : BREAKER_MAX_US);
}

void measure_cancelled(struct measure *m)
{
    over(m);
}

void measure_told(struct measure *m, uint32_t slots, uint32_t busy, uint32_t queued,
                  double tokens_per_s, uint64_t now_us)
{
    m->slots = slots;
    m->busy = busy;
    m->queued = queued;
    m->told_tokens_per_s = tokens_per_s;
    m->load_at_us = now_us;
}

bool measure_is_open(const struct measure *m, uint64_t now_us)
{
    return m->open_until_us > now_us || m->is_probing;
}
