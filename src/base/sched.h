// SPDX-License-Identifier: MIT
/* The clock a node lives by: the time, its timers, and tasks to run before it sleeps.
 *
 * A scheduler never looks at a real clock. Whoever drives it (the libuv loop, or virtual time in a
 * test) says what time it is; so any room may use timers without knowing which loop it runs in.
 *
 *   driver:  sched_advance(now)  ->  due timers fire in order  ->  deferred tasks run until none is
 *            left  ->  sleep until sched_deadline()
 *
 * Times are microseconds of a monotonic clock that starts anywhere. Wall time (Unix milliseconds)
 * is kept beside it for records that cross machines. */
#ifndef CONDUIT_BASE_SCHED_H
#define CONDUIT_BASE_SCHED_H

#include "base/heap.h"
#include "base/list.h"

#define SCHED_NEVER UINT64_MAX
#define US_PER_MS   UINT64_C(1000)
#define US_PER_S    UINT64_C(1000000)

struct sched;

/* A deadline inside its owner. May be set again (it moves), also from its own callback. */
struct timer {
    struct heap_node node;
    void (*fire)(struct timer *t);
};

/* Something to do once before the loop sleeps: flushing what several callers queued, or answering
 * outside the call that asked. Deferring what is already waiting changes nothing. */
struct task {
    struct list link;
    void (*run)(struct task *t);
};

struct sched {
    uint64_t now_us;
    uint64_t wall_ms; /* Unix time at now_us */
    struct heap timers;
    struct list tasks;
};

void sched_init(struct sched *s, uint64_t now_us, uint64_t wall_ms);
void sched_fini(struct sched *s); /* forgets timers and tasks; fires nothing */

static inline uint64_t sched_now(const struct sched *s)
{
    return s->now_us;
}
static inline uint64_t sched_wall_ms(const struct sched *s)
{
    return s->wall_ms;
}

void timer_init(struct timer *t, void (*fire)(struct timer *t));
void timer_set(struct sched *s, struct timer *t, uint64_t at_us); /* SCHED_NEVER clears */
void timer_after(struct sched *s, struct timer *t, uint64_t delay_us);
/* Not before the delay, and at most `slack_us` later: the periodic deadlines of many owners fall together, and the
 * process wakes once for them. */
void timer_about(struct sched *s, struct timer *t, uint64_t delay_us, uint64_t slack_us);
void timer_clear(struct sched *s, struct timer *t);
static inline bool timer_is_set(const struct timer *t)
{
    return heap_has(&t->node);
}

void task_init(struct task *t, void (*run)(struct task *t));
void task_defer(struct sched *s, struct task *t);
void task_cancel(struct task *t);

/* For the driver. */
void sched_set_now(struct sched *s, uint64_t now_us, uint64_t wall_ms);
void sched_run_timers(struct sched *s); /* everything due at now */
void sched_run_tasks(struct sched *s); /* until none waits; tasks may defer more (bounded rounds) */
uint64_t sched_deadline(const struct sched *s); /* next timer, `now` when tasks wait, or NEVER */

#endif
