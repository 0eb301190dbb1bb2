// SPDX-License-Identifier: MIT
/* See faults.h. A table of kinds; each picks its victim and says for how long. */
#include "sim/faults.h"

#include "base/mem.h"
#include "sim/world.h"

#include <math.h>
#include <string.h>

enum { TRIES = 20 };

static uint64_t between(struct sim *s, uint64_t from_s, uint64_t to_s)
{
    return (from_s * 1000 + rng_below(&s->rng, (to_s - from_s) * 1000)) * US_PER_MS;
}

/* Somebody who runs; NULL when luck does not find one. */
static struct sim_box *victim(struct sim *s)
{
    for (int i = 0; i < TRIES; i++) {
        struct sim_box *b = &s->boxes[rng_below(&s->rng, s->box_count)];
        if (b->state == SIM_BOX_UP)
            return b;
    }
    return NULL;
}

/* --- the kinds: true when it was done --- */

static bool crash(struct sim *s)
{
    struct sim_box *b = victim(s);
    if (!b)
        return false;
    sim_check_death(b);
    sim_box_crash(b, true);
    sim_box_start_after(b, between(s, 3, 60));
    return true;
}

static bool silent(struct sim *s)
{
    struct sim_box *b = victim(s);
    if (!b)
        return false;
    sim_box_crash(b, false);
    s->faults.silenced_us = sim_now(s);
    sim_box_start_after(b, between(s, 5, 90));
    return true;
}

static bool stop(struct sim *s)
{
    struct sim_box *b = victim(s);
    if (!b)
        return false;
    sim_box_stop(b);
    sim_box_start_after(b, between(s, 10, 60));
    return true;
}

static void set_side(struct sim *s, struct sim_box *b, unsigned side)
{
    b->side = side;
    if (b->loop)
        loop_virtual_set_side(s->world, b->loop, side);
}

static bool part(struct sim *s)
{
    uint64_t share = 5 + rng_below(&s->rng, 45);
    size_t n = 0;
    if (s->faults.is_parted)
        return false;
    for (size_t i = 0; i < s->box_count; i++) {
        struct sim_box *b = &s->boxes[i];
        bool is_other = rng_below(&s->rng, 100) < share;
        b->sides = b->sides << 1 | is_other;
        if (is_other)
            set_side(s, b, 1);
        n += is_other;
    }
    memmove(s->faults.ended_us + 1, s->faults.ended_us,
            (SIM_PARTITIONS - 1) * sizeof *s->faults.ended_us);
    s->faults.ended_us[0] = 0;
    s->faults.is_parted = true;
    s->faults.parted_us = sim_now(s);
    sim_note(s, NULL, "partition: %zu machines on the other side", n);
    timer_after(&s->sched, &s->faults.heal, between(s, 10, 120));
    return true;
}

static void reunite(struct sim *s)
{
    if (!s->faults.is_parted)
        return;
    for (size_t i = 0; i < s->box_count; i++)
        if (s->boxes[i].side)
            set_side(s, &s->boxes[i], 0);
    s->faults.is_parted = false;
    s->faults.parted_us = s->faults.ended_us[0] = sim_now(s);
    timer_clear(&s->sched, &s->faults.heal);
    sim_note(s, NULL, "partition: healed");
}

static void on_heal(struct timer *t)
{
    reunite(CONTAINER_OF(t, struct sim, faults.heal));
}

static bool jump(struct sim *s)
{
    struct sim_box *b = victim(s);
    uint64_t span = 2 * s->opts.skew_s * 1000 + 1;
    if (!b)
        return false;
    b->clock_ms = (int64_t)rng_below(&s->rng, span) - (int64_t)(span / 2);
    int32_t drift = (int32_t)rng_below(&s->rng, 201) - 100;
    loop_virtual_set_clock(s->world, b->loop, b->clock_ms, drift);
    sim_note(s, b, "clock is %lld ms wrong, and drifts by %d ppm", (long long)b->clock_ms, drift);
    return true;
}

static bool forget(struct sim *s)
{
    for (int i = 0; i < TRIES; i++) {
        struct sim_box *b = &s->boxes[rng_below(&s->rng, s->box_count)];
        if (!b->nat)
            continue;
        sim_note(s, b, "its NAT forgets");
        loop_virtual_nat_forget(b->nat);
        b->forgot_us = s->faults.silenced_us = sim_now(s);
        return true;
    }
    return false;
}

static bool (*const kinds[SIM_FAULT_COUNT])(struct sim *s) = {
    [SIM_FAULT_CRASH] = crash,    [SIM_FAULT_SILENT] = silent, [SIM_FAULT_STOP] = stop,
    [SIM_FAULT_PARTITION] = part, [SIM_FAULT_CLOCK] = jump,    [SIM_FAULT_NAT] = forget,
};

/* --- when --- */

static void arm(struct sim *s)
{
    double wait = -log(1 - rng_unit(&s->rng)) * (double)(s->opts.fault_s * US_PER_S);
    timer_after(&s->sched, &s->faults.next, (uint64_t)wait);
}

static void on_next(struct timer *t)
{
    struct sim *s = CONTAINER_OF(t, struct sim, faults.next);
    unsigned kind = (unsigned)rng_below(&s->rng, SIM_FAULT_COUNT);
    for (int i = 0; i < TRIES && !(s->opts.faults >> kind & 1); i++)
        kind = (unsigned)rng_below(&s->rng, SIM_FAULT_COUNT);
    if (s->opts.faults >> kind & 1 && kinds[kind](s)) {
        s->tally.faults[kind]++;
        s->tally.faulted++;
    }
    arm(s);
}

void sim_faults_init(struct sim *s)
{
    timer_init(&s->faults.next, on_next);
    timer_init(&s->faults.heal, on_heal);
}

void sim_faults_fini(struct sim *s)
{
    timer_clear(&s->sched, &s->faults.next);
    timer_clear(&s->sched, &s->faults.heal);
}

void sim_faults_begin(struct sim *s)
{
    if (s->opts.faults)
        arm(s);
}

void sim_faults_end(struct sim *s)
{
    timer_clear(&s->sched, &s->faults.next);
    reunite(s);
    for (size_t i = 0; i < s->box_count; i++)
        if (s->boxes[i].state != SIM_BOX_UP)
            sim_box_start_after(&s->boxes[i], between(s, 1, 6));
}
