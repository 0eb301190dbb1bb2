// SPDX-License-Identifier: MIT
/* See rules.h. */
#include "sim/rules.h"

#include "base/limits.h"
#include "sim/world.h"

/* Runs, and nothing was done to it since then. */
static bool is_settled(const struct sim_box *b, uint64_t since_us)
{
    return b->state == SIM_BOX_UP && b->since_us <= since_us && b->forgot_us <= since_us;
}

/* Room on the relays of that side for everybody there who might need it. */
static bool has_relays(const struct sim *s, unsigned side, uint64_t since_us)
{
    size_t relays = 0, hidden = 0, providers = 0;
    for (size_t i = 0; i < s->box_count; i++) {
        const struct sim_box *b = &s->boxes[i];
        if (b->side != side || b->state != SIM_BOX_UP)
            continue;
        relays += !b->nat && is_settled(b, since_us);
        hidden += b->nat != NULL;
        providers += b->nat && b->is_provider;
    }
    return relays && relays * LIMIT_RELAY_CIRCUITS >= hidden * providers;
}

bool sim_rules_reach(const struct sim_box *from, const struct sim_box *to, uint64_t since_us)
{
    const struct sim *s = from->sim;
    if (!is_settled(from, since_us) || !is_settled(to, since_us))
        return false;
    if (from == to)
        return true;
    return from->side == to->side && s->faults.parted_us <= since_us &&
           (!to->nat || has_relays(s, to->side, since_us));
}

bool sim_rules_must_find(const struct sim_box *from, unsigned model, uint64_t asked_us)
{
    const struct sim *s = from->sim;
    if (asked_us < SIM_CONVERGE_US)
        return false;
    for (size_t i = 0; i < s->box_count; i++) {
        const struct sim_box *b = &s->boxes[i];
        if (b->is_provider && b->model == model &&
            sim_rules_reach(from, b, asked_us - SIM_CONVERGE_US))
            return true;
    }
    return false;
}
