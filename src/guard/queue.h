// SPDX-License-Identifier: MIT
/* Who is next for a slot of a model. At most `slots` requests run; the others wait here, bounded, so that
 * the engine itself never queues: the owner first, then by turns among the others, so that one peer with
 * many requests does not hold up one with a single one.
 *
 *   queue_enter --> RUNNING ------------------------------> queue_leave
 *        \--------> WAITING --a slot is free: go()-> RUNNING
 *                      \----- queue_leave (gave up)                                          */
#ifndef CONDUIT_GUARD_QUEUE_H
#define CONDUIT_GUARD_QUEUE_H

#include "base/list.h"
#include "base/principal.h"

#include <stdint.h>

struct queue_ticket {
    struct list link;
    struct principal who;
    void (*go)(struct queue_ticket *t); /* a slot is yours; called from queue_leave of another */
    bool is_running, is_waiting;
    uint64_t turn; /* among the others: the round in which it is served */
};

struct queue {
    uint32_t slots, running, waiting;
    struct list owner, others;
};

void queue_init(struct queue *q, uint32_t slots);
/* 1: running now; 0: waiting, `go` will be called; E_LIMIT: too many wait (of all, or of this one). */
int queue_enter(struct queue *q, struct queue_ticket *t, const struct principal *who);
/* Ends it, in any state; may call `go` of the next. Harmless for one that is in neither. */
void queue_leave(struct queue *q, struct queue_ticket *t);
/* More or fewer slots (the engine came up with another number). */
void queue_set_slots(struct queue *q, uint32_t slots);
/* How many stand before `t`. */
uint32_t queue_ahead(const struct queue *q, const struct queue_ticket *t);

#endif
