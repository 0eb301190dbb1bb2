// SPDX-License-Identifier: MIT
/* See dcutr.h. */
#include "p2p/dcutr.h"

#include "base/err.h"
#include "base/sched.h"

#define STEP_US  (10 * US_PER_S)
#define PUNCH_US (5 * US_PER_S)

static void enter(struct dcutr *d, enum dcutr_state state, enum dcutr_act act, uint64_t deadline_us)
{
    d->state = state;
    d->act = act;
    d->deadline_us = deadline_us;
}

static void end(struct dcutr *d, int err)
{
    d->err = err;
    enter(d, DCUTR_OVER, DCUTR_DO_END, SCHED_NEVER);
}

static void try_again(struct dcutr *d, int err, uint64_t now_us)
{
    if (!d->is_b || d->attempts >= DCUTR_ATTEMPTS)
        end(d, err);
    else
        enter(d, DCUTR_OPENING, DCUTR_DO_OPEN, now_us + STEP_US);
}

void dcutr_begin(struct dcutr *d, bool has_addrs, uint64_t now_us)
{
    *d = (struct dcutr){.is_b = true};
    if (has_addrs)
        enter(d, DCUTR_DIRECT, DCUTR_DO_DIAL, now_us + PUNCH_US);
    else
        enter(d, DCUTR_OPENING, DCUTR_DO_OPEN, now_us + STEP_US);
}

void dcutr_accept(struct dcutr *d, uint64_t now_us)
{
    *d = (struct dcutr){0};
    enter(d, DCUTR_FIRST, DCUTR_DO_NOTHING, now_us + STEP_US);
}

static void punch(struct dcutr *d, uint64_t now_us)
{
    d->attempts++;
    enter(d, DCUTR_PUNCHING, DCUTR_DO_PUNCH, now_us + PUNCH_US);
}

static void expire(struct dcutr *d, uint64_t now_us)
{
    switch (d->state) {
    case DCUTR_DIRECT:
        enter(d, DCUTR_OPENING, DCUTR_DO_OPEN, now_us + STEP_US);
        break;
    case DCUTR_WAITING:
        punch(d, now_us);
        break;
    case DCUTR_PUNCHING:
        try_again(d, E_TIMEOUT, now_us);
        break;
    case DCUTR_OVER:
        break;
    default:
        end(d, E_TIMEOUT); /* a peer that does not answer will not do so next time */
    }
}

enum dcutr_act dcutr_next(struct dcutr *d, uint64_t now_us)
{
    if (d->act == DCUTR_DO_NOTHING && now_us >= d->deadline_us)
        expire(d, now_us);
    enum dcutr_act act = d->act;
    d->act = DCUTR_DO_NOTHING;
    return act;
}

uint64_t dcutr_deadline(const struct dcutr *d)
{
    return d->deadline_us;
}

void dcutr_opened(struct dcutr *d, uint64_t now_us)
{
    if (d->state != DCUTR_OPENING)
        return;
    d->said_us = now_us;
    enter(d, DCUTR_ANSWER, DCUTR_DO_CONNECT, now_us + STEP_US);
}

void dcutr_received(struct dcutr *d, enum dcutr_type type, uint64_t now_us)
{
    if (d->state == DCUTR_ANSWER && type == DCUTR_CONNECT) {
        d->rtt_us = now_us - d->said_us;
        enter(d, DCUTR_WAITING, DCUTR_DO_SYNC, now_us + d->rtt_us / 2);
    } else if (d->state == DCUTR_FIRST && type == DCUTR_CONNECT) {
        enter(d, DCUTR_SYNCING, DCUTR_DO_CONNECT, now_us + STEP_US);
    } else if (d->state == DCUTR_SYNCING && type == DCUTR_SYNC) {
        punch(d, now_us);
    } else if (d->state != DCUTR_OVER) {
        end(d, E_PROTO);
    }
}

void dcutr_stream_lost(struct dcutr *d, int err, uint64_t now_us)
{
    bool needs_it = d->state == DCUTR_OPENING || d->state == DCUTR_ANSWER ||
                    d->state == DCUTR_FIRST || d->state == DCUTR_SYNCING;
    if (needs_it)
        end(d, err);
}

void dcutr_dial_failed(struct dcutr *d, int err, uint64_t now_us)
{
    if (d->state == DCUTR_DIRECT)
        enter(d, DCUTR_OPENING, DCUTR_DO_OPEN, now_us + STEP_US);
    else if (d->state == DCUTR_PUNCHING)
        try_again(d, err, now_us);
}

void dcutr_connected(struct dcutr *d)
{
    if (d->state != DCUTR_OVER)
        end(d, 0);
}
