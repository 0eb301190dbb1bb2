// SPDX-License-Identifier: MIT
/* Timers and deferred tasks; see sched.h. */
#include "base/sched.h"

#include <assert.h>

/* Tasks that keep deferring each other yield to the sockets after this many rounds. */
enum { TASK_ROUNDS = 16 };

void sched_init(struct sched *s, uint64_t now_us, uint64_t wall_ms)
{
    *s = (struct sched){.now_us = now_us, .wall_ms = wall_ms};
    heap_init(&s->timers);
    list_init(&s->tasks);
}

void sched_fini(struct sched *s)
{
    for (size_t i = 0; i < s->timers.n; i++)
        s->timers.v[i].node->at = 0;
    heap_fini(&s->timers);
    LIST_FOREACH_SAFE (&s->tasks, it)
        list_remove(it);
}

void timer_init(struct timer *t, void (*fire)(struct timer *t))
{
    *t = (struct timer){.fire = fire};
}

void timer_set(struct sched *s, struct timer *t, uint64_t at_us)
{
    heap_remove(&s->timers, &t->node);
    if (at_us != SCHED_NEVER)
        heap_insert(&s->timers, &t->node, at_us);
}

void timer_after(struct sched *s, struct timer *t, uint64_t delay_us)
{
    uint64_t at;
    timer_set(s, t, __builtin_add_overflow(s->now_us, delay_us, &at) ? SCHED_NEVER : at);
}

void timer_about(struct sched *s, struct timer *t, uint64_t delay_us, uint64_t slack_us)
{
    uint64_t at;
    bool is_never = __builtin_add_overflow(s->now_us, delay_us, &at) ||
                    __builtin_add_overflow(at, slack_us - 1, &at);
    timer_set(s, t, is_never ? SCHED_NEVER : at - at % slack_us);
}

void timer_clear(struct sched *s, struct timer *t)
{
    heap_remove(&s->timers, &t->node);
}

void task_init(struct task *t, void (*run)(struct task *t))
{
    list_init(&t->link);
    t->run = run;
}

void task_defer(struct sched *s, struct task *t)
{
    if (list_is_empty(&t->link))
        list_append(&s->tasks, &t->link);
}

void task_cancel(struct task *t)
{
    list_remove(&t->link);
}

void sched_set_now(struct sched *s, uint64_t now_us, uint64_t wall_ms)
{
    assert(now_us >= s->now_us);
    s->now_us = now_us;
    s->wall_ms = wall_ms;
}

void sched_run_timers(struct sched *s)
{
    /* Timers set by the callbacks for this very moment wait for the next turn, so that a timer
     * that re-arms itself at once cannot starve the sockets. */
    uint64_t first_new = s->timers.next_order;
    struct heap_node *n;
    while ((n = heap_peek(&s->timers)) && n->key <= s->now_us && n->order < first_new) {
        heap_remove(&s->timers, n);
        struct timer *t = CONTAINER_OF(n, struct timer, node);
        t->fire(t);
    }
}

void sched_run_tasks(struct sched *s)
{
    for (int round = 0; round < TASK_ROUNDS && !list_is_empty(&s->tasks); round++) {
        struct list batch;
        list_init(&batch);
        list_splice(&batch, &s->tasks);
        while (!list_is_empty(&batch)) {
            struct task *t = LIST_ENTRY(batch.next, struct task, link);
            list_remove(&t->link);
            t->run(t);
        }
    }
}

uint64_t sched_deadline(const struct sched *s)
{
    if (!list_is_empty(&s->tasks))
        return s->now_us;
    const struct heap_node *n = heap_peek(&s->timers);
    return n ? n->key : SCHED_NEVER;
}
