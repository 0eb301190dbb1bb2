// SPDX-License-Identifier: MIT
/* The life of an answer; see answer.h. */
#include "gateway/answer.h"

#include <assert.h>

void answer_init(struct answer *a, const struct answer_config *cfg, uint64_t now_us)
{
    *a = (struct answer){.cfg = *cfg, .started_us = now_us, .sent_us = now_us, .life_us = now_us};
}

void answer_life(struct answer *a, uint64_t now_us)
{
    a->life_us = now_us;
}

void answer_watch(struct answer *a, bool on, uint64_t now_us)
{
    a->is_unwatched = !on;
    if (on)
        a->life_us = now_us;
}

bool answer_can_fail_over(const struct answer *a)
{
    return a->state == ANSWER_WAITING || a->state == ANSWER_OPEN;
}

unsigned answer_event(struct answer *a, bool is_last, uint64_t now_us)
{
    assert(a->state != ANSWER_ENDED);
    unsigned effects = ANSWER_SEND_EVENT | (a->state == ANSWER_WAITING ? ANSWER_SEND_HEAD : 0);
    a->life_us = a->sent_us = now_us;
    a->state = ANSWER_FLOWING;
    if (is_last) {
        a->state = ANSWER_ENDED;
        effects |= ANSWER_END_BODY;
    }
    return effects;
}

unsigned answer_failed(struct answer *a)
{
    enum answer_state was = a->state;
    a->state = ANSWER_ENDED;
    switch (was) {
    case ANSWER_WAITING:
        return ANSWER_SEND_STATUS;
    case ANSWER_OPEN:
    case ANSWER_FLOWING:
        return ANSWER_SEND_ERROR_EVENT | ANSWER_END_BODY;
    case ANSWER_ENDED:
        break;
    }
    return 0;
}

static bool head_is_due(const struct answer *a, uint64_t now_us)
{
    return a->cfg.is_stream && a->state == ANSWER_WAITING && a->cfg.head_wait_us &&
           now_us - a->started_us >= a->cfg.head_wait_us;
}

static bool may_comment(const struct answer *a)
{
    if (!a->cfg.keepalive_us || a->state == ANSWER_ENDED)
        return false;
    return a->state == ANSWER_WAITING ? a->cfg.shows_life_early : a->cfg.is_stream;
}

unsigned answer_tick(struct answer *a, uint64_t now_us)
{
    if (head_is_due(a, now_us)) {
        a->state = ANSWER_OPEN;
        a->sent_us = now_us;
        return ANSWER_SEND_HEAD | ANSWER_SEND_COMMENT;
    }
    if (may_comment(a) && now_us - a->sent_us >= a->cfg.keepalive_us) {
        a->sent_us = now_us;
        return ANSWER_SEND_COMMENT;
    }
    return 0;
}

bool answer_is_stalled(const struct answer *a, uint64_t now_us)
{
    return a->state != ANSWER_ENDED && a->cfg.stall_us && !a->is_unwatched &&
           now_us - a->life_us >= a->cfg.stall_us;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t answer_deadline(const struct answer *a)
{
    uint64_t at = UINT64_MAX;
    if (a->state == ANSWER_ENDED)
        return at;
    if (a->cfg.is_stream && a->state == ANSWER_WAITING && a->cfg.head_wait_us)
        at = sooner(at, a->started_us + a->cfg.head_wait_us);
    if (may_comment(a))
        at = sooner(at, a->sent_us + a->cfg.keepalive_us);
    if (a->cfg.stall_us && !a->is_unwatched)
        at = sooner(at, a->life_us + a->cfg.stall_us);
    return at;
}
