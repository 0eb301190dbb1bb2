// SPDX-License-Identifier: MIT
/* Who may ask an engine now: slots and the line in front of them.
 *
 *   acquire -> WAITING --slot free--> GRANTED --loop--> ready(0) USED --release--> DEAD
 *                 \--unit not ready--> FAILED --loop--> ready(err)   --release--> DEAD
 *
 * GRANTED and USED tickets hold a slot. Release in any state gives back what is held. */
#include "engine/engine_impl.h"

#include "base/text.h"
#include "loop/loop.h"

#include <assert.h>

#define SUSPECT_US (10 * US_PER_S)

static struct sched *sched_of(const struct engine *e)
{
    return loop_sched(e->cfg.loop);
}

static void way_of(const struct engine_ticket *t, struct engine_way *way)
{
    struct engine_unit *u = t->unit;
    *way = (struct engine_way){
        .host = u->place.host,
        .base_path = u->place.base_path,
        .headers = u->headers,
        .header_count = u->header_count,
        .model = t->model,
        .needs_fixup = !u->is_right,
        .unit = u->number,
    };
    if (u->kind == ENGINE_BUILTIN) {
        struct stream *theirs;
        loop_pipe(u->engine->cfg.loop, 64 * KIB, &way->stream, &theirs);
        builtin_serve(u->builtin, theirs);
    } else {
        way->origin = &u->place.origin;
    }
}

static void run(struct task *task)
{
    struct engine_ticket *t = CONTAINER_OF(task, struct engine_ticket, task);
    struct engine_way way;
    if (t->state == TICKET_GRANTED) {
        t->state = TICKET_USED;
        way_of(t, &way);
        t->ready(t, 0, &way);
        return;
    }
    assert(t->state == TICKET_FAILED);
    t->ready(t, t->unit ? E_UNAVAILABLE : E_NOT_FOUND, NULL);
}

void unit_admit(struct engine_unit *u)
{
    while (!list_is_empty(&u->waiters)) {
        struct engine_ticket *t = LIST_ENTRY(u->waiters.next, struct engine_ticket, link);
        if (u->is_ready && u->slots && u->busy >= u->slots)
            return;
        list_remove(&t->link);
        u->waiting--;
        t->state = u->is_ready ? TICKET_GRANTED : TICKET_FAILED;
        u->busy += u->is_ready;
        task_defer(sched_of(u->engine), &t->task);
    }
}

void engine_acquire(struct engine *e, struct engine_ticket *t, struct bytes model)
{
    const struct engine_model *m = engine_model_find(e, model);
    t->engine = e;
    t->unit = m ? m->unit : NULL;
    list_init(&t->link);
    task_init(&t->task, run);
    text_copy(t->model, sizeof t->model, m ? m->name : "");
    if (!m) {
        t->state = TICKET_FAILED;
        task_defer(sched_of(e), &t->task);
        return;
    }
    t->state = TICKET_WAITING;
    list_append(&m->unit->waiters, &t->link);
    m->unit->waiting++;
    unit_admit(m->unit);
    task_defer(sched_of(e), &e->loaded);
}

bool engine_suspect(struct engine *e, struct bytes model, unsigned unit)
{
    LIST_FOREACH (&e->units, it) {
        struct engine_unit *u = LIST_ENTRY(it, struct engine_unit, link);
        if (u->number != unit)
            continue;
        u->suspect_until_us = sched_now(sched_of(e)) + SUSPECT_US;
        if (u->poll)
            backend_poll_now(u->poll);
    }
    const struct engine_model *m = engine_model_find(e, model);
    return m && m->is_ready && m->unit->number != unit && !unit_is_suspect(m->unit);
}

void engine_release(struct engine *e, struct engine_ticket *t)
{
    struct engine_unit *u = t->unit;
    assert(t->engine == e && t->state != TICKET_DEAD);
    task_cancel(&t->task);
    if (t->state == TICKET_WAITING) {
        list_remove(&t->link);
        u->waiting--;
    } else if (t->state == TICKET_GRANTED || t->state == TICKET_USED) {
        assert(u->busy > 0);
        u->busy--;
        unit_admit(u);
    }
    t->state = TICKET_DEAD;
    task_defer(sched_of(e), &e->loaded);
}
