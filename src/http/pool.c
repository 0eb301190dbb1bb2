// SPDX-License-Identifier: MIT
/* Idle connections by origin; see pool.h.
 *
 * An origin is made at its first call and stays: origins are backends that the owner named. Its
 * idle connections are used newest first, so that the surplus grows old and is dropped. */
#include "http/pool.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/trace.h"
#include "http/client_impl.h"

#include <stdlib.h>

struct origin {
    struct list link;
    struct http_pool *pool;
    struct http_origin at;
    struct list idle; /* newest first */
    unsigned idle_count;
};

struct idle {
    struct list in_origin, in_pool; /* in_pool: oldest first */
    struct origin *origin;
    struct stream *stream;
    uint64_t since_us;
};

/* A call on its way through the pool. */
struct ticket {
    struct http_dial dial;
    struct http_call *call;
    struct origin *origin;
    bool is_dialling;
};

struct http_pool {
    struct http_pool_config cfg;
    struct list origins, idle;
    unsigned idle_count;
    struct timer timer; /* the oldest idle connection's time is up */
};

/* --- idle connections --- */

static struct stream *idle_take(struct idle *i)
{
    struct stream *s = i->stream;
    list_remove(&i->in_origin);
    list_remove(&i->in_pool);
    i->origin->idle_count--;
    i->origin->pool->idle_count--;
    free(i);
    return s;
}

static void idle_drop(struct idle *i)
{
    stream_close(idle_take(i));
}

/* Anything that comes on an idle connection ends it: its end, or bytes nobody asked for. Under TLS
 * there may be nothing after all (a session ticket). */
static void idle_readable(void *ctx)
{
    uint8_t byte;
    if (stream_read(((struct idle *)ctx)->stream, &byte, 1) != E_AGAIN)
        idle_drop(ctx);
}

static void idle_closed(void *ctx, int err)
{
    idle_drop(ctx);
}

static const struct stream_events idle_events = {
    .readable = idle_readable,
    .closed = idle_closed,
};

static void pool_timer(struct timer *t)
{
    struct http_pool *p = CONTAINER_OF(t, struct http_pool, timer);
    while (!list_is_empty(&p->idle)) {
        struct idle *i = LIST_ENTRY(p->idle.next, struct idle, in_pool);
        uint64_t until = i->since_us + p->cfg.idle_us;
        if (until > sched_now(p->cfg.sched)) {
            timer_set(p->cfg.sched, t, until);
            return;
        }
        idle_drop(i);
    }
}

static void idle_put(struct origin *o, struct stream *s)
{
    struct http_pool *p = o->pool;
    struct idle *i = MEM_NEW(struct idle);
    i->origin = o;
    i->stream = s;
    i->since_us = sched_now(p->cfg.sched);
    list_prepend(&o->idle, &i->in_origin);
    list_append(&p->idle, &i->in_pool);
    o->idle_count++;
    p->idle_count++;
    stream_listen(s, &idle_events, i);
    stream_want_write(s, false);
    stream_want_read(s, true);
    if (o->idle_count > p->cfg.idle_per_origin)
        idle_drop(LIST_ENTRY(o->idle.prev, struct idle, in_origin));
    else if (p->idle_count > p->cfg.idle_max)
        idle_drop(LIST_ENTRY(p->idle.next, struct idle, in_pool));
    if (!timer_is_set(&p->timer))
        timer_after(p->cfg.sched, &p->timer, p->cfg.idle_us);
}

/* A connection that is still open as far as can be known now; NULL when there is none. */
static struct stream *idle_find(struct origin *o)
{
    while (!list_is_empty(&o->idle)) {
        struct stream *s = idle_take(LIST_ENTRY(o->idle.next, struct idle, in_origin));
        uint8_t byte;
        if (stream_read(s, &byte, 1) == E_AGAIN)
            return s;
        stream_close(s); /* ended since the loop last looked */
    }
    return NULL;
}

/* --- calls --- */

static struct origin *origin_of(struct http_pool *p, const struct http_origin *at, bool make)
{
    LIST_FOREACH (&p->origins, it) {
        struct origin *o = LIST_ENTRY(it, struct origin, link);
        if (o->at.is_tls == at->is_tls && o->at.is_unix == at->is_unix && o->at.port == at->port &&
            !strcmp(o->at.host, at->host))
            return o;
    }
    if (!make)
        return NULL;
    struct origin *o = MEM_NEW(struct origin);
    o->pool = p;
    o->at = *at;
    list_init(&o->idle);
    list_append(&p->origins, &o->link);
    return o;
}

static void dial_done(struct http_dial *d, int err, struct stream *s)
{
    struct ticket *t = CONTAINER_OF(d, struct ticket, dial);
    t->is_dialling = false;
    if (err)
        call_finish(t->call, err);
    else
        call_attach(t->call, s, false);
}

static void ticket_dial(struct ticket *t)
{
    struct http_pool *p = t->origin->pool;
    t->dial.done = dial_done;
    t->is_dialling = true;
    p->cfg.dialer->dial(p->cfg.dialer_ctx, &t->dial, &t->origin->at, t->call->connect_us);
}

static void ticket_give_back(struct http_call *call, struct stream *s)
{
    struct ticket *t = call->owner_ctx;
    idle_put(t->origin, s);
}

static bool ticket_retry(struct http_call *call)
{
    ticket_dial(call->owner_ctx);
    return true;
}

static void ticket_drop(struct http_call *call)
{
    struct ticket *t = call->owner_ctx;
    struct http_pool *p = t->origin->pool;
    if (t->is_dialling)
        p->cfg.dialer->cancel(p->cfg.dialer_ctx, &t->dial);
    free(t);
}

static const struct http_call_owner ticket_owner = {
    .give_back = ticket_give_back,
    .retry = ticket_retry,
    .drop = ticket_drop,
};

struct http_call *http_pool_call(struct http_pool *p, const struct http_origin *to,
                                 const struct http_request *req, const struct http_call_events *on,
                                 void *ctx, int *err)
{
    struct http_call *call = call_new(p->cfg.client, req, on, ctx, err);
    if (!call)
        return NULL;
    struct ticket *t = MEM_NEW(struct ticket);
    t->call = call;
    t->origin = origin_of(p, to, true);
    call->owner = &ticket_owner;
    call->owner_ctx = t;
    struct stream *s = idle_find(t->origin);
    if (s)
        call_attach(call, s, true);
    else
        ticket_dial(t);
    return call;
}

/* --- the pool --- */

struct http_pool *http_pool_new(const struct http_pool_config *cfg)
{
    struct http_pool *p = MEM_NEW(struct http_pool);
    p->cfg = *cfg;
    if (!p->cfg.idle_us)
        p->cfg.idle_us = 60 * US_PER_S;
    if (!p->cfg.idle_per_origin)
        p->cfg.idle_per_origin = 64;
    if (!p->cfg.idle_max)
        p->cfg.idle_max = 256;
    list_init(&p->origins);
    list_init(&p->idle);
    timer_init(&p->timer, pool_timer);
    return p;
}

void http_pool_drop_idle(struct http_pool *p, const struct http_origin *to)
{
    struct origin *o = to ? origin_of(p, to, false) : NULL;
    if (to && !o)
        return;
    LIST_FOREACH_SAFE (&p->idle, it) {
        struct idle *i = LIST_ENTRY(it, struct idle, in_pool);
        if (!o || i->origin == o)
            idle_drop(i);
    }
}

void http_pool_free(struct http_pool *p)
{
    http_pool_drop_idle(p, NULL);
    timer_clear(p->cfg.sched, &p->timer);
    LIST_FOREACH_SAFE (&p->origins, it)
        free(LIST_ENTRY(it, struct origin, link));
    free(p);
}

size_t http_pool_idle_count(const struct http_pool *p)
{
    return p->idle_count;
}
