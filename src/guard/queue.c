// SPDX-License-Identifier: MIT
/* Slots and turns; see queue.h. */
#include "guard/queue.h"

#include "base/err.h"
#include "base/limits.h"

#include <string.h>

void queue_init(struct queue *q, uint32_t slots)
{
    *q = (struct queue){.slots = slots};
    list_init(&q->owner);
    list_init(&q->others);
}

static bool same(const struct principal *a, const struct principal *b)
{
    return a->kind == b->kind && a->id_len == b->id_len && memcmp(a->id, b->id, a->id_len) == 0 &&
           strcmp(a->name, b->name) == 0;
}

static struct queue_ticket *ticket_of(struct list *l)
{
    return LIST_ENTRY(l, struct queue_ticket, link);
}

/* Behind everybody of the same turn: the n-th request of a peer waits with the n-th of the others. */
static int enter_others(struct queue *q, struct queue_ticket *t)
{
    struct list *at = &q->others;
    uint64_t mine = 0, first = UINT64_MAX;
    LIST_FOREACH (&q->others, it) {
        struct queue_ticket *o = ticket_of(it);
        if (o->turn < first)
            first = o->turn;
        mine += same(&o->who, &t->who);
    }
    if (mine >= LIMIT_GUARD_QUEUE_PEER)
        return E_LIMIT;
    t->turn = (first == UINT64_MAX ? 0 : first) + mine;
    LIST_FOREACH (&q->others, it)
        if (ticket_of(it)->turn > t->turn) {
            at = it;
            break;
        }
    list_append(at, &t->link);
    return 0;
}

int queue_enter(struct queue *q, struct queue_ticket *t, const struct principal *who)
{
    list_init(&t->link);
    t->who = *who;
    t->is_running = t->is_waiting = false;
    if (q->running < q->slots && q->waiting == 0) {
        q->running++;
        t->is_running = true;
        return 1;
    }
    if (principal_is_owner(who)) {
        list_append(&q->owner, &t->link);
    } else {
        if (q->waiting >= LIMIT_GUARD_QUEUE)
            return E_LIMIT;
        int err = enter_others(q, t);
        if (err)
            return err;
    }
    q->waiting++;
    t->is_waiting = true;
    return 0;
}

static void start_next(struct queue *q)
{
    while (q->running < q->slots && q->waiting) {
        struct list *from = list_is_empty(&q->owner) ? &q->others : &q->owner;
        struct queue_ticket *t = ticket_of(from->next);
        list_remove(&t->link);
        q->waiting--;
        q->running++;
        t->is_waiting = false;
        t->is_running = true;
        t->go(t);
    }
}

void queue_leave(struct queue *q, struct queue_ticket *t)
{
    if (t->is_waiting) {
        list_remove(&t->link);
        q->waiting--;
    }
    if (t->is_running)
        q->running--;
    t->is_waiting = t->is_running = false;
    start_next(q);
}

void queue_set_slots(struct queue *q, uint32_t slots)
{
    q->slots = slots;
    start_next(q);
}

uint32_t queue_ahead(const struct queue *q, const struct queue_ticket *t)
{
    uint32_t n = 0;
    if (!t->is_waiting)
        return 0;
    LIST_FOREACH ((struct list *)&q->owner, it) {
        if (it == &t->link)
            return n;
        n++;
    }
    LIST_FOREACH ((struct list *)&q->others, it) {
        if (it == &t->link)
            return n;
        n++;
    }
    return n;
}
