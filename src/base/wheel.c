// SPDX-License-Identifier: MIT
/* See wheel.h. */
#include "base/wheel.h"

#include <assert.h>

/* Grains since the clock's beginning. */
static uint64_t grains(const struct wheel *w)
{
    return sched_now(w->sched) / w->grain_us;
}

static bool is_tick_after(const struct wheel *w, uint64_t us)
{
    return !timer_is_set(&w->tick) || w->tick.node.key > us;
}

/* For the next slot with anything in it. */
static void set_tick(struct wheel *w)
{
    for (uint64_t i = 1; i < WHEEL_SLOTS && w->count; i++)
        if (!list_is_empty(&w->slots[(w->seen + i) % WHEEL_SLOTS])) {
            timer_set(w->sched, &w->tick, (w->seen + i) * w->grain_us);
            return;
        }
}

/* A tick that comes late sees to all the slots that it missed. */
static void ticked(struct timer *t)
{
    struct wheel *w = CONTAINER_OF(t, struct wheel, tick);
    uint64_t now = grains(w), from = w->seen + 1;
    struct list due;
    list_init(&due);
    if (now - w->seen >= WHEEL_SLOTS)
        from = now - WHEEL_SLOTS + 1;
    for (uint64_t i = from; i <= now; i++)
        list_splice(&due, &w->slots[i % WHEEL_SLOTS]);
    w->seen = now;
    while (!list_is_empty(&due)) {
        struct list *link = due.next;
        wheel_take(w, link);
        w->fire(link);
    }
    set_tick(w);
}

void wheel_init(struct wheel *w, struct sched *sched, uint64_t grain_us,
                void (*fire)(struct list *link))
{
    *w = (struct wheel){.sched = sched, .grain_us = grain_us, .fire = fire};
    for (size_t i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
    timer_init(&w->tick, ticked);
}

void wheel_fini(struct wheel *w)
{
    assert(!w->count);
    timer_clear(w->sched, &w->tick);
}

void wheel_put(struct wheel *w, struct list *link, uint64_t at_us)
{
    uint64_t at = at_us / w->grain_us + (at_us % w->grain_us != 0);
    wheel_take(w, link);
    if (is_tick_after(w, sched_now(w->sched))) /* so nothing is due up to now */
        w->seen = grains(w);
    if (at <= w->seen)
        at = w->seen + 1;
    else if (at - w->seen >= WHEEL_SLOTS)
        at = w->seen + WHEEL_SLOTS - 1;
    list_append(&w->slots[at % WHEEL_SLOTS], link);
    w->count++;
    if (is_tick_after(w, at * w->grain_us))
        timer_set(w->sched, &w->tick, at * w->grain_us);
}

void wheel_take(struct wheel *w, struct list *link)
{
    if (list_is_empty(link))
        return;
    list_remove(link);
    w->count--;
}
