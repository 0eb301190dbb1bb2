// SPDX-License-Identifier: MIT
/* See relay_choice.h. */
#include "p2p/relay_choice.h"

#include "base/err.h"
#include "base/sched.h"

#define PAUSE_FIRST_US (2 * US_PER_S)
#define PAUSE_MAX_US   (300 * US_PER_S)
#define REFRESH_MIN_US (10 * US_PER_S)

void relay_choice_init(struct relay_choice *c, struct rng *rng)
{
    c->count = 0;
    c->wanted = 0;
    c->rng = rng;
}

void relay_choice_want(struct relay_choice *c, uint32_t places)
{
    c->wanted = places;
}

static struct relay_candidate *find(const struct relay_choice *c, const struct peer_id *id)
{
    for (size_t i = 0; i < c->count; i++)
        if (peer_id_eq(&c->all[i].id, id))
            return (struct relay_candidate *)&c->all[i];
    return NULL;
}

static bool is_held(const struct relay_candidate *r)
{
    return r->state == RELAY_HELD || (r->state == RELAY_ASKING && r->is_held);
}

static void take_out(struct relay_choice *c, struct relay_candidate *r)
{
    size_t i = (size_t)(r - c->all);
    memmove(r, r + 1, (c->count - i - 1) * sizeof *r);
    c->count--;
}

static void put_in(struct relay_choice *c, const struct relay_candidate *r)
{
    size_t i = c->count++;
    for (; i > 0 && c->all[i - 1].rank > r->rank; i--)
        c->all[i] = c->all[i - 1];
    c->all[i] = *r;
}

int relay_choice_add(struct relay_choice *c, const struct peer_id *relay, enum relay_rank rank)
{
    struct relay_candidate *r = find(c, relay), copy;
    if (r && rank >= r->rank)
        return E_EXISTS;
    if (r) {
        copy = *r;
        copy.rank = rank;
        take_out(c, r);
        put_in(c, &copy);
        return E_EXISTS;
    }
    if (c->count == LIMIT_RELAY_CANDIDATES) {
        struct relay_candidate *last = &c->all[c->count - 1];
        if (last->rank <= rank || last->state != RELAY_IDLE)
            return E_LIMIT;
        c->count--;
    }
    copy = (struct relay_candidate){.id = *relay, .rank = rank};
    put_in(c, &copy);
    return 0;
}

void relay_choice_remove(struct relay_choice *c, const struct peer_id *relay)
{
    struct relay_candidate *r = find(c, relay);
    if (r && r->state == RELAY_IDLE)
        take_out(c, r);
}

/* --- what next --- */

static uint32_t count_places(const struct relay_choice *c, bool also_asked)
{
    uint32_t n = 0;
    for (size_t i = 0; i < c->count; i++)
        n += is_held(&c->all[i]) || (also_asked && c->all[i].state == RELAY_ASKING);
    return n;
}

uint32_t relay_choice_held(const struct relay_choice *c)
{
    return count_places(c, false);
}

static void become_idle(struct relay_candidate *r, uint64_t at_us)
{
    r->state = RELAY_IDLE;
    r->is_held = false;
    r->at_us = at_us;
}

static uint64_t pause(struct relay_choice *c, struct relay_candidate *r)
{
    uint64_t us = PAUSE_FIRST_US << (r->failures < 8 ? r->failures : 8);
    r->failures++;
    return rng_jitter(c->rng, us < PAUSE_MAX_US ? us : PAUSE_MAX_US, 0.2);
}

/* The worst of those that nobody needs. */
static struct relay_candidate *surplus(struct relay_choice *c)
{
    uint32_t places = count_places(c, false);
    for (size_t i = c->count; places > c->wanted && i-- > 0;)
        if (c->all[i].state == RELAY_HELD)
            return &c->all[i];
    return NULL;
}

static struct relay_candidate *to_refresh(struct relay_choice *c, uint64_t now_us)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->all[i].state == RELAY_HELD && now_us >= c->all[i].at_us)
            return &c->all[i];
    return NULL;
}

static bool has_bootstrap(const struct relay_choice *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->all[i].rank == RELAY_RANK_BOOTSTRAP && c->all[i].state != RELAY_IDLE)
            return true;
    return false;
}

/* Any of the best; those of rank `but` only when there is nobody else. */
static struct relay_candidate *best(struct relay_choice *c, uint64_t now_us, int but)
{
    struct relay_candidate *found = NULL;
    uint64_t equals = 0;
    for (size_t i = 0; i < c->count; i++) {
        struct relay_candidate *r = &c->all[i];
        if (r->state != RELAY_IDLE || now_us < r->at_us || (int)r->rank == but)
            continue;
        if (found && r->rank != found->rank)
            break;
        if (rng_below(c->rng, ++equals) == 0)
            found = r;
    }
    return found || but < 0 ? found : best(c, now_us, -1);
}

static struct relay_candidate *to_ask(struct relay_choice *c, uint64_t now_us)
{
    if (count_places(c, true) >= c->wanted)
        return NULL;
    return best(c, now_us, has_bootstrap(c) ? RELAY_RANK_BOOTSTRAP : -1);
}

bool relay_choice_next(struct relay_choice *c, uint64_t now_us, struct relay_act *out)
{
    struct relay_candidate *r = surplus(c);
    if (r) {
        become_idle(r, now_us);
        *out = (struct relay_act){RELAY_ACT_RELEASE, r->id};
        return true;
    }
    r = to_refresh(c, now_us);
    if (r)
        r->is_held = true;
    else
        r = to_ask(c, now_us);
    if (!r)
        return false;
    r->state = RELAY_ASKING;
    *out = (struct relay_act){RELAY_ACT_ASK, r->id};
    return true;
}

uint64_t relay_choice_deadline(const struct relay_choice *c)
{
    uint64_t at = SCHED_NEVER;
    bool is_short = count_places(c, true) < c->wanted;
    for (size_t i = 0; i < c->count; i++) {
        const struct relay_candidate *r = &c->all[i];
        bool counts = r->state == RELAY_HELD || (r->state == RELAY_IDLE && is_short);
        if (counts && r->at_us < at)
            at = r->at_us;
    }
    return at;
}

/* --- what happened --- */

void relay_choice_granted(struct relay_choice *c, const struct peer_id *relay, uint64_t until_us,
                          uint64_t now_us)
{
    struct relay_candidate *r = find(c, relay);
    if (!r || r->state != RELAY_ASKING)
        return;
    uint64_t left = until_us > now_us ? until_us - now_us : 0;
    uint64_t wait = left / 3 * 2;
    r->state = RELAY_HELD;
    r->failures = 0;
    r->until_us = until_us;
    r->at_us = now_us + (wait > REFRESH_MIN_US ? wait : REFRESH_MIN_US);
}

bool relay_choice_refused(struct relay_choice *c, const struct peer_id *relay, uint64_t now_us)
{
    struct relay_candidate *r = find(c, relay);
    if (!r || r->state != RELAY_ASKING)
        return false;
    uint64_t at = now_us + pause(c, r);
    if (r->is_held && at < r->until_us) { /* what it promised still holds: once more */
        r->state = RELAY_HELD;
        r->at_us = at;
        return false;
    }
    bool was_held = r->is_held;
    become_idle(r, at);
    return was_held;
}

bool relay_choice_lost(struct relay_choice *c, const struct peer_id *relay, uint64_t now_us)
{
    struct relay_candidate *r = find(c, relay);
    if (!r || !is_held(r))
        return false;
    if (r->state == RELAY_ASKING) { /* the answer to that decides what is next */
        r->is_held = false;
        return true;
    }
    become_idle(r, now_us + pause(c, r));
    return true;
}

bool relay_choice_holds(const struct relay_choice *c, const struct peer_id *relay)
{
    const struct relay_candidate *r = find(c, relay);
    return r && is_held(r);
}
