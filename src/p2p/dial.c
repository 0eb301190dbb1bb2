// SPDX-License-Identifier: MIT
/* See dial.h. */
#include "p2p/dial.h"

#include "base/err.h"
#include "base/sched.h"
#include "base/trace.h"

#include <stdio.h>
#include <string.h>

enum { RANK_LOOPBACK = 0, RANK_PRIVATE = 2, RANK_PUBLIC = 4, RANK_RELAYED = 6 }; /* + 1 for IPv4 */

struct dial_cfg dial_cfg_default(void)
{
    return (struct dial_cfg){
        .near_stagger_us = 30 * US_PER_MS,
        .far_stagger_us = 250 * US_PER_MS,
        .attempt_us = 10 * US_PER_S,
        .max_active = 8,
    };
}

static uint8_t rank_of(const struct net_addr *at)
{
    uint8_t place = net_addr_is_loopback(at)  ? RANK_LOOPBACK
                    : net_addr_is_private(at) ? RANK_PRIVATE
                                              : RANK_PUBLIC;
    return (uint8_t)(place + (at->kind == NET_IP4));
}

void dial_init(struct dial *d, const struct dial_cfg *cfg, const char *who, uint64_t now_us)
{
    *d = (struct dial){.cfg = *cfg, .next_us = now_us, .err = E_NOT_FOUND};
    snprintf(d->who, sizeof d->who, "%s", who);
}

static struct dial_attempt *find(struct dial *d, const struct dial_target *to)
{
    for (int i = 0; i < d->count; i++)
        if (net_addr_eq(&d->attempts[i].to.at, &to->at) &&
            peer_id_eq(&d->attempts[i].to.via, &to->via))
            return &d->attempts[i];
    return NULL;
}

static const char *target_text(const struct dial_target *to, char out[static NET_ADDR_TEXT])
{
    char relay[PEER_ID_TEXT];
    if (!dial_target_is_relayed(to))
        return net_addr_format(&to->at, out);
    snprintf(out, NET_ADDR_TEXT, "over relay %s", peer_id_text(&to->via, relay, sizeof relay));
    return out;
}

static int add(struct dial *d, const struct dial_target *to, uint8_t rank)
{
    if (find(d, to))
        return E_EXISTS;
    if (d->count == LIMIT_DIAL_ADDRS)
        return E_LIMIT;
    struct dial_attempt a = {.to = *to, .state = DIAL_WAITING, .rank = rank};
    int i = d->count++;
    for (; i > 0 && d->attempts[i - 1].rank > a.rank; i--)
        d->attempts[i] = d->attempts[i - 1];
    d->attempts[i] = a;
    return 0;
}

int dial_add(struct dial *d, const struct net_addr *at)
{
    struct dial_target to = {.at = *at};
    return add(d, &to, rank_of(at));
}

int dial_add_relayed(struct dial *d, const struct peer_id *relay)
{
    struct dial_target to = {.via = *relay};
    return add(d, &to, RANK_RELAYED);
}

void dial_expect_more(struct dial *d, bool expects)
{
    d->expects_more = expects;
}

static struct dial_attempt *next_waiting(struct dial *d)
{
    for (int i = 0; i < d->count; i++)
        if (d->attempts[i].state == DIAL_WAITING)
            return &d->attempts[i];
    return NULL;
}

/* Which of two failures says more to the user: who the peer is, then what a machine answered, then
 * that none did. */
static int weight(int err)
{
    switch (err) {
    case E_WRONG_PEER:
        return 6;
    case E_AUTH:
    case E_PROTO:
    case E_UNSUPPORTED:
        return 5;
    case E_LIMIT:
        return 4;
    case E_REFUSED:
    case E_RESET:
        return 3;
    case E_TIMEOUT:
        return 2;
    case E_NOT_FOUND:
        return 0;
    default:
        return 1;
    }
}

static void end_attempt(struct dial *d, struct dial_attempt *a, int err)
{
    a->state = DIAL_FAILED;
    a->err = err;
    d->active--;
    if (weight(err) > weight(d->err))
        d->err = err;
}

void dial_failed(struct dial *d, const struct dial_target *to, int err, const char *why,
                 uint64_t now_us)
{
    char text[NET_ADDR_TEXT];
    struct dial_attempt *a = find(d, to);
    if (!a || a->state != DIAL_ACTIVE)
        return;
    end_attempt(d, a, err);
    d->next_us = now_us;
    const char *next = next_waiting(d)                ? "trying the next address"
                       : d->active || d->expects_more ? "waiting for the others"
                                                      : "none left, giving up";
    TRACE(P2P, INFO, "dial %s: %s: %s -> %s", d->who, target_text(to, text), why, next);
}

void dial_won(struct dial *d, const struct dial_target *to)
{
    struct dial_attempt *a = find(d, to);
    if (!a || a->state != DIAL_ACTIVE)
        return;
    a->state = DIAL_WON;
    d->active--;
    dial_abort(d);
}

void dial_abort(struct dial *d)
{
    d->is_over = true;
    for (int i = 0; i < d->count; i++)
        if (d->attempts[i].state == DIAL_ACTIVE) {
            d->attempts[i].to_cancel = true;
            end_attempt(d, &d->attempts[i], E_CANCELLED);
        }
}

static bool take_cancel(struct dial *d, struct dial_effect *out)
{
    for (int i = 0; i < d->count; i++)
        if (d->attempts[i].to_cancel) {
            d->attempts[i].to_cancel = false;
            *out = (struct dial_effect){DIAL_CANCEL, d->attempts[i].to, 0};
            return true;
        }
    return false;
}

static void expire(struct dial *d, uint64_t now_us)
{
    for (int i = 0; i < d->count; i++) {
        struct dial_attempt *a = &d->attempts[i];
        if (a->state != DIAL_ACTIVE || now_us < a->since_us + d->cfg.attempt_us)
            continue;
        dial_failed(d, &a->to, E_TIMEOUT, "no answer in time", now_us);
        a->to_cancel = true;
    }
}

static uint64_t stagger(const struct dial *d, const struct dial_attempt *next)
{
    return next->rank < RANK_PUBLIC ? d->cfg.near_stagger_us : d->cfg.far_stagger_us;
}

static bool start(struct dial *d, uint64_t now_us, struct dial_effect *out)
{
    char text[NET_ADDR_TEXT];
    struct dial_attempt *a = next_waiting(d);
    if (!a || d->active >= d->cfg.max_active || now_us < d->next_us)
        return false;
    a->state = DIAL_ACTIVE;
    a->since_us = now_us;
    d->active++;
    struct dial_attempt *next = next_waiting(d);
    d->next_us = next ? now_us + stagger(d, next) : now_us;
    TRACE(P2P, DEBUG, "dial %s: %s -> connecting", d->who, target_text(&a->to, text));
    *out = (struct dial_effect){DIAL_START, a->to, 0};
    return true;
}

bool dial_next(struct dial *d, uint64_t now_us, struct dial_effect *out)
{
    if (!d->is_over)
        expire(d, now_us);
    if (take_cancel(d, out))
        return true;
    if (d->is_over)
        return false;
    if (start(d, now_us, out))
        return true;
    if (d->active || d->expects_more || next_waiting(d))
        return false;
    d->is_over = true;
    *out = (struct dial_effect){.kind = DIAL_GIVE_UP, .err = d->err};
    return true;
}

uint64_t dial_deadline(const struct dial *d)
{
    uint64_t at = SCHED_NEVER;
    bool has_waiting = false;
    if (d->is_over)
        return at;
    for (int i = 0; i < d->count; i++) {
        const struct dial_attempt *a = &d->attempts[i];
        has_waiting |= a->state == DIAL_WAITING;
        if (a->state == DIAL_ACTIVE && a->since_us + d->cfg.attempt_us < at)
            at = a->since_us + d->cfg.attempt_us;
    }
    if (has_waiting && d->active < d->cfg.max_active && d->next_us < at)
        at = d->next_us;
    return at;
}
