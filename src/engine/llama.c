// SPDX-License-Identifier: MIT
/* The life of a llama-server: see the drawing in llama.h. Every change of state goes through `move`,
 * which checks it against the table of legal ones. */
#include "engine/llama.h"

#include <assert.h>

#define BIT(s) (1u << LLAMA_##s)
static const unsigned legal[LLAMA_STATE_COUNT] = {
    [LLAMA_STOPPED] = BIT(STARTING),
    [LLAMA_STARTING] = BIT(LOADING) | BIT(BACKING_OFF) | BIT(GAVE_UP) | BIT(STOPPED),
    [LLAMA_LOADING] = BIT(READY) | BIT(KILLING) | BIT(BACKING_OFF) | BIT(GAVE_UP) | BIT(STOPPING),
    [LLAMA_READY] = BIT(UNHEALTHY) | BIT(BACKING_OFF) | BIT(STOPPING),
    [LLAMA_UNHEALTHY] = BIT(READY) | BIT(KILLING) | BIT(BACKING_OFF) | BIT(STOPPING),
    [LLAMA_KILLING] = BIT(BACKING_OFF) | BIT(GAVE_UP) | BIT(STOPPING),
    [LLAMA_BACKING_OFF] = BIT(STARTING) | BIT(STOPPED),
    [LLAMA_GAVE_UP] = BIT(STARTING) | BIT(STOPPED),
    [LLAMA_STOPPING] = BIT(STOPPED) | BIT(STARTING),
};
#undef BIT

static unsigned move(struct llama *l, enum llama_state to, uint64_t now)
{
    assert(legal[l->state] & (1u << to));
    bool was = llama_is_ready(l);
    l->state = to;
    l->since_us = now;
    l->kill_at_us = SCHED_NEVER;
    if (!llama_has_process(l) || to == LLAMA_KILLING || to == LLAMA_STOPPING)
        l->check_at_us = SCHED_NEVER;
    if (!llama_has_process(l))
        l->is_checking = false;
    return was != llama_is_ready(l) || to == LLAMA_GAVE_UP ? LLAMA_DO_TELL : 0;
}

void llama_init(struct llama *l, uint64_t now_us)
{
    *l = (struct llama){.state = LLAMA_STOPPED,
                        .since_us = now_us,
                        .check_at_us = SCHED_NEVER,
                        .kill_at_us = SCHED_NEVER,
                        .backoff_us = LLAMA_BACKOFF_US};
}

bool llama_has_process(const struct llama *l)
{
    return l->state == LLAMA_LOADING || l->state == LLAMA_READY || l->state == LLAMA_UNHEALTHY ||
           l->state == LLAMA_KILLING || l->state == LLAMA_STOPPING;
}

const char *llama_state_text(enum llama_state s)
{
    static const char *const texts[] = {
#define LLAMA_TEXT(name, text) text,
        LLAMA_STATES(LLAMA_TEXT)
#undef LLAMA_TEXT
    };
    return (unsigned)s < LLAMA_STATE_COUNT ? texts[s] : "unknown";
}

static unsigned died(struct llama *l, uint64_t now)
{
    if (l->state == LLAMA_READY && now - l->since_us >= LLAMA_FORGET_US) {
        l->deaths = 0;
        l->backoff_us = LLAMA_BACKOFF_US;
    }
    l->deaths++;
    l->restarts++;
    if (l->deaths >= LLAMA_DEATHS && !l->was_ready)
        return move(l, LLAMA_GAVE_UP, now);
    return move(l, LLAMA_BACKING_OFF, now);
}

static unsigned spawn(struct llama *l, uint64_t now)
{
    l->bad_checks = 0;
    return move(l, LLAMA_STARTING, now) | LLAMA_DO_SPAWN;
}

static unsigned stop(struct llama *l, uint64_t now)
{
    l->is_wanted = false;
    switch (l->state) {
    case LLAMA_BACKING_OFF:
    case LLAMA_GAVE_UP:
        return move(l, LLAMA_STOPPED, now);
    case LLAMA_LOADING:
    case LLAMA_READY:
    case LLAMA_UNHEALTHY:
    case LLAMA_KILLING: {
        unsigned fx = move(l, LLAMA_STOPPING, now);
        l->kill_at_us = now + LLAMA_TERM_US;
        return fx | LLAMA_DO_TERM;
    }
    default: /* STARTING: when it was spawned */
        return 0;
    }
}

static unsigned start(struct llama *l, uint64_t now)
{
    l->is_wanted = true;
    if (l->state == LLAMA_GAVE_UP) {
        l->deaths = 0;
        l->backoff_us = LLAMA_BACKOFF_US;
    }
    return l->state == LLAMA_STOPPED || l->state == LLAMA_GAVE_UP ? spawn(l, now) : 0;
}

static unsigned exited(struct llama *l, uint64_t now)
{
    switch (l->state) {
    case LLAMA_STOPPING:
        return l->is_wanted ? spawn(l, now) : move(l, LLAMA_STOPPED, now);
    case LLAMA_LOADING:
    case LLAMA_READY:
    case LLAMA_UNHEALTHY:
    case LLAMA_KILLING:
        return died(l, now);
    default:
        return 0;
    }
}

static unsigned checked(struct llama *l, enum llama_event ev, uint64_t now)
{
    if (!l->is_checking)
        return 0; /* an answer of a process that is gone */
    l->is_checking = false;
    if (l->state == LLAMA_KILLING || l->state == LLAMA_STOPPING)
        return 0; /* it is on its way out whatever it says */
    l->check_at_us = now + (l->state == LLAMA_LOADING ? LLAMA_LOAD_POLL_US : LLAMA_CHECK_US);
    if (ev == LLAMA_HEALTHY) {
        l->bad_checks = 0;
        if (l->state != LLAMA_LOADING && l->state != LLAMA_UNHEALTHY)
            return 0;
        l->was_ready = true;
        l->check_at_us = now + LLAMA_CHECK_US;
        return move(l, LLAMA_READY, now);
    }
    if (l->state == LLAMA_READY && ++l->bad_checks >= LLAMA_BAD_CHECKS)
        return move(l, LLAMA_UNHEALTHY, now);
    return 0;
}

static unsigned tick(struct llama *l, uint64_t now)
{
    unsigned fx = 0;
    uint64_t limit = l->state == LLAMA_LOADING ? LLAMA_LOAD_US : LLAMA_UNHEALTHY_US;
    if (l->state == LLAMA_BACKING_OFF && now >= l->since_us + l->backoff_us) {
        l->backoff_us =
            l->backoff_us * 2 < LLAMA_BACKOFF_MAX_US ? l->backoff_us * 2 : LLAMA_BACKOFF_MAX_US;
        return spawn(l, now);
    }
    if ((l->state == LLAMA_LOADING || l->state == LLAMA_UNHEALTHY) && now >= l->since_us + limit) {
        fx |= move(l, LLAMA_KILLING, now) | LLAMA_DO_TERM;
        l->kill_at_us = now + LLAMA_TERM_US;
        l->check_at_us = SCHED_NEVER;
    }
    if (now >= l->kill_at_us) {
        l->kill_at_us = now + LLAMA_TERM_US; /* until it is gone */
        fx |= LLAMA_DO_KILL;
    }
    bool may_check =
        l->state == LLAMA_LOADING || l->state == LLAMA_READY || l->state == LLAMA_UNHEALTHY;
    if (may_check && !l->is_checking && now >= l->check_at_us) {
        l->is_checking = true;
        l->check_at_us = SCHED_NEVER;
        fx |= LLAMA_DO_CHECK;
    }
    return fx;
}

unsigned llama_step(struct llama *l, enum llama_event ev, uint64_t now)
{
    unsigned fx = 0;
    switch (ev) {
    case LLAMA_START:
        return start(l, now);
    case LLAMA_STOP:
        return stop(l, now);
    case LLAMA_SPAWNED:
        if (l->state != LLAMA_STARTING)
            return 0;
        fx = move(l, LLAMA_LOADING, now);
        l->check_at_us = now + LLAMA_LOAD_POLL_US;
        return l->is_wanted ? fx : fx | stop(l, now);
    case LLAMA_SPAWN_FAILED:
        if (l->state != LLAMA_STARTING)
            return 0;
        return l->is_wanted ? died(l, now) : move(l, LLAMA_STOPPED, now);
    case LLAMA_EXITED:
        return exited(l, now);
    case LLAMA_HEALTHY:
    case LLAMA_STILL_LOADING:
    case LLAMA_NO_ANSWER:
        return checked(l, ev, now);
    case LLAMA_TICK:
        return tick(l, now);
    }
    return 0;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t llama_deadline(const struct llama *l)
{
    uint64_t at = sooner(l->check_at_us, l->kill_at_us);
    if (l->state == LLAMA_BACKING_OFF)
        at = sooner(at, l->since_us + l->backoff_us);
    if (l->state == LLAMA_LOADING)
        at = sooner(at, l->since_us + LLAMA_LOAD_US);
    if (l->state == LLAMA_UNHEALTHY)
        at = sooner(at, l->since_us + LLAMA_UNHEALTHY_US);
    return at;
}

const char *llama_broken(const struct llama *l)
{
    if (l->is_checking && !llama_has_process(l))
        return "a check without a process";
    if (l->kill_at_us != SCHED_NEVER && l->state != LLAMA_STOPPING && l->state != LLAMA_KILLING)
        return "a kill is due for one that may live";
    if (l->is_wanted && l->state == LLAMA_STOPPED)
        return "wanted, but stopped";
    if (llama_has_process(l) && llama_deadline(l) == SCHED_NEVER && !l->is_checking)
        return "a process that nothing watches";
    return 0;
}
