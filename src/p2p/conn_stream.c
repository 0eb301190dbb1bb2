// SPDX-License-Identifier: MIT
/* The user's side of a stream: reading, writing, closing, being told. See conn_stream.h; the
 * agreement on the protocol is in conn_negotiate.c. */
#include "p2p/conn_stream.h"

#include "base/mem.h"
#include "p2p/conn.h"
#include "p2p/conn_negotiate.h"
#include "p2p/conn_scope.h"

#include <assert.h>
#include <stdlib.h>

static struct conn_stream *of(struct stream *s)
{
    return CONTAINER_OF(s, struct conn_stream, s);
}

static struct conn_stream *of_yamux(struct yamux_stream *y)
{
    return CONTAINER_OF(y, struct conn_stream, y);
}

void conn_stream_due(struct conn_stream *cs)
{
    if (!cs->conn)
        return;
    if (list_is_empty(&cs->due))
        list_append(&cs->conn->due, &cs->due);
    conn_mark(cs->conn);
}

static void set_busy(struct conn_stream *cs, bool is_busy)
{
    if (cs->is_busy == is_busy || !cs->conn)
        return;
    cs->is_busy = is_busy;
    conn_busy_changed(cs->conn, is_busy ? 1 : -1);
}

void conn_stream_give(struct conn_stream *cs, bool is_busy)
{
    cs->has_user = true;
    cs->conn->stream_count++;
    set_busy(cs, is_busy);
}

/* The user is gone, or never came. */
static void end_user(struct conn_stream *cs)
{
    if (!cs->has_user)
        return;
    cs->has_user = false;
    if (!cs->conn)
        return;
    cs->conn->stream_count--;
    cs->conn->used_us = sched_now(cs->conn->env->sched);
    if (!cs->is_inbound && !cs->is_brief)
        cs->conn->needed_us = cs->conn->used_us;
    set_busy(cs, false);
    cs->conn->kept -= cs->is_kept;
    cs->is_kept = false;
}

void conn_stream_keep(struct stream *s)
{
    struct conn_stream *cs = of(s);
    if (!cs->conn || !cs->has_user || cs->is_kept)
        return;
    cs->is_kept = true;
    cs->conn->kept++;
    conn_rest(cs->conn, false);
}

void conn_stream_free(struct conn_stream *cs)
{
    if (cs->in_call) /* by deliver, when the user's call returns */
        return;
    assert(!cs->has_user && !cs->request);
    struct conn *c = cs->conn;
    conn_scope_stream_end(cs);
    yamux_release(&cs->y);
    mss_fini(&cs->mss);
    list_remove(&cs->link);
    list_remove(&cs->due);
    if (c) {
        timer_clear(c->env->sched, &cs->deadline);
        conn_mark(c); /* there may be room for a waiting request, and an RST to send */
    }
    free(cs);
}

void conn_stream_break(struct conn_stream *cs, int err)
{
    if (cs->phase == CS_BROKEN)
        return;
    cs->phase = CS_BROKEN;
    cs->err = err;
    if (cs->conn)
        timer_clear(cs->conn->env->sched, &cs->deadline);
    set_busy(cs, false);
    if (cs->has_user || cs->request)
        conn_stream_due(cs);
    else
        conn_stream_free(cs);
}

/* --- the user's calls --- */

static ssize_t cs_read(struct stream *s, void *p, size_t n)
{
    struct conn_stream *cs = of(s);
    if (cs->phase == CS_BROKEN)
        return cs->err;
    if (cs->phase != CS_OPEN)
        return E_AGAIN;
    ssize_t got = yamux_read(&cs->y, p, n);
    if (got > 0)
        conn_mark(cs->conn); /* credit may be due */
    return got;
}

static ssize_t cs_writev(struct stream *s, const struct bytes *v, int count)
{
    struct conn_stream *cs = of(s);
    if (cs->phase == CS_BROKEN)
        return cs->err;
    if (cs->is_finished)
        return E_CLOSED;
    size_t sum = 0;
    for (int i = 0; i < count; i++) {
        if (v[i].n == 0)
            continue;
        ssize_t n = yamux_write(&cs->y, v[i]);
        if (n < 0)
            return sum ? (ssize_t)sum : n;
        sum += (size_t)n;
        if ((size_t)n < v[i].n)
            break;
    }
    if (sum)
        conn_mark(cs->conn);
    return (ssize_t)sum;
}

static int cs_finish(struct stream *s)
{
    struct conn_stream *cs = of(s);
    if (cs->phase == CS_BROKEN)
        return cs->err;
    if (cs->is_finished)
        return 0;
    cs->is_finished = true;
    if (cs->phase == CS_LAZY && !cs->conn->is_conduit) {
        cs->holds_fin = true;
    } else {
        yamux_finish(&cs->y);
        conn_mark(cs->conn);
    }
    return 0;
}

/* libp2p/specs, "error codes for stream resets": what the peer may make of our reason. */
static uint32_t reset_code(enum stream_reason reason)
{
    static const uint32_t codes[] = {
        [STREAM_CANCELLED] = 0x0, [STREAM_REFUSED] = 0x1003,  [STREAM_PROTOCOL] = 0x1006,
        [STREAM_TIMED_OUT] = 0x0, [STREAM_INTERNAL] = 0x1006,
    };
    return reason < ARRAY_LEN(codes) ? codes[reason] : 0;
}

static void cs_reset(struct stream *s, enum stream_reason reason)
{
    struct conn_stream *cs = of(s);
    if (cs->phase == CS_BROKEN)
        return;
    yamux_reset(&cs->y, reset_code(reason));
    cs->is_told = true; /* who resets need not be told */
    conn_stream_break(cs, E_CANCELLED);
}

static void cs_close(struct stream *s)
{
    struct conn_stream *cs = of(s);
    assert(cs->has_user);
    end_user(cs);
    s->on = NULL;
    if (cs->phase == CS_BROKEN || !cs->conn) {
        conn_stream_free(cs);
        return;
    }
    cs_finish(s);
    if (cs->phase == CS_OPEN)
        yamux_shut_read(&cs->y);
    cs->is_lingering = true;
    list_remove(&cs->link);
    list_append(&cs->conn->lingering, &cs->link);
    timer_after(cs->conn->env->sched, &cs->deadline, cs->conn->env->cfg.linger_us);
    conn_mark(cs->conn); /* swept after the flush when done */
}

void conn_stream_abandon(struct conn_stream *cs)
{
    cs->request = NULL;
    yamux_reset(&cs->y, reset_code(STREAM_CANCELLED));
    conn_mark(cs->conn);
    conn_stream_free(cs);
}

static bool is_readable(const struct conn_stream *cs)
{
    return cs->phase == CS_OPEN && (yamux_peek(&cs->y).n > 0 || cs->y.recv.has_fin);
}

static void cs_want(struct stream *s, bool read, bool write)
{
    struct conn_stream *cs = of(s);
    if (cs->phase == CS_BROKEN)
        return;
    if (write && yamux_room(&cs->y) > 0)
        cs->has_room = true;
    else if (write)
        cs->y.send.wants_room = true;
    if ((read && is_readable(cs)) || (write && cs->has_room))
        conn_stream_due(cs);
}

static const struct stream_ops stream_ops_p2p = {
    .kind = "p2p",
    .read = cs_read,
    .writev = cs_writev,
    .finish = cs_finish,
    .reset = cs_reset,
    .close = cs_close,
    .want = cs_want,
};

/* --- telling the user --- */

/* One thing, if there is one; false when there was nothing to tell. The user may do anything, so
 * the struct is looked at afterwards only through in_call. */
static bool tell(struct conn_stream *cs)
{
    struct stream *s = &cs->s;
    if (!s->on)
        return false;
    if (cs->phase == CS_BROKEN) {
        if (cs->is_told)
            return false;
        cs->is_told = true;
        s->on->closed(s->ctx, cs->err);
        return true;
    }
    if (s->wants_write && cs->has_room) {
        cs->has_room = false;
        s->wants_write = false;
        s->on->writable(s->ctx);
        return true;
    }
    if (s->wants_read && is_readable(cs)) {
        s->on->readable(s->ctx);
        return true;
    }
    return false;
}

/* Readable is level: who still wants and still has something is told again in the next round. */
static void tell_user(struct conn_stream *cs)
{
    if (cs->in_call)
        return;
    cs->in_call = true;
    bool did = tell(cs);
    cs->in_call = false;
    if (!cs->has_user && (cs->phase == CS_BROKEN || !cs->conn)) {
        conn_stream_free(cs);
        return;
    }
    if (!did || !cs->has_user)
        return;
    if ((cs->s.wants_read && is_readable(cs)) || (cs->s.wants_write && cs->has_room) ||
        (cs->phase == CS_BROKEN && !cs->is_told))
        conn_stream_due(cs);
}

static void deliver_one(struct conn_stream *cs)
{
    if (cs->request)
        conn_negotiate_report(cs);
    else if (cs->has_user)
        tell_user(cs);
}

void conn_stream_deliver(struct conn *c)
{
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &c->due);
    while (!list_is_empty(&batch)) {
        struct conn_stream *cs = LIST_ENTRY(batch.next, struct conn_stream, due);
        list_remove(&cs->due);
        deliver_one(cs);
    }
}

/* --- what happens to the stream --- */

static void deadline_passed(struct timer *t)
{
    struct conn_stream *cs = CONTAINER_OF(t, struct conn_stream, deadline);
    yamux_reset(&cs->y, reset_code(STREAM_TIMED_OUT));
    conn_mark(cs->conn);
    conn_stream_break(cs, E_TIMEOUT);
}

struct conn_stream *conn_stream_new(struct conn *c, bool is_inbound,
                                    struct resource_scope *protocol)
{
    struct conn_stream *cs = MEM_NEW(struct conn_stream);
    cs->s.ops = &stream_ops_p2p;
    cs->s.remote = c->remote;
    cs->s.principal = c->principal;
    cs->conn = c;
    cs->is_inbound = is_inbound;
    cs->is_counted = true;
    cs->protocol_scope = protocol;
    cs->in_protocol = protocol != NULL;
    timer_init(&cs->deadline, deadline_passed);
    list_append(&c->streams, &cs->link);
    list_init(&cs->due);
    return cs;
}

void conn_stream_event(struct conn *c, const struct yamux_event *ev)
{
    struct conn_stream *cs = of_yamux(ev->stream);
    if (ev->kind == YAMUX_RESET) {
        conn_stream_break(cs, ev->err);
        return;
    }
    if (ev->kind == YAMUX_WRITABLE) {
        cs->has_room = true;
        conn_stream_due(cs);
    } else if (ev->kind == YAMUX_DATA || ev->kind == YAMUX_ENDED) {
        c->moved_us = sched_now(c->env->sched);
        /* now, while the bytes lie in the decrypted frame */
        if (cs->phase != CS_OPEN && !conn_negotiate_step(cs))
            return;
        if (cs->is_lingering)
            conn_mark(c);
        else if (cs->has_user)
            tell_user(cs);
    }
}

void conn_stream_sweep(struct conn *c)
{
    LIST_FOREACH_SAFE (&c->lingering, it) {
        struct conn_stream *cs = LIST_ENTRY(it, struct conn_stream, link);
        if (yamux_is_done(&cs->y))
            conn_stream_free(cs);
    }
}

void conn_stream_break_all(struct conn *c, int err)
{
    list_splice(&c->streams, &c->lingering);
    while (!list_is_empty(&c->streams)) {
        struct conn_stream *cs = LIST_ENTRY(c->streams.next, struct conn_stream, link);
        list_remove(&cs->link);
        list_remove(&cs->due);
        timer_clear(c->env->sched, &cs->deadline);
        set_busy(cs, false);
        if (cs->has_user)
            c->stream_count--;
        bool was_broken = cs->phase == CS_BROKEN;
        cs->phase = CS_BROKEN;
        cs->err = was_broken ? cs->err : err;
        conn_scope_stream_end(cs);
        yamux_release(&cs->y);
        cs->conn = NULL;
        if (cs->request || cs->has_user)
            deliver_one(cs);
        else
            conn_stream_free(cs);
    }
}
