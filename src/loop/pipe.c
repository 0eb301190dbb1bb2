// SPDX-License-Identifier: MIT
/* Two ends of a pipe inside the process: what one writes the other reads, `window` bytes each way.
 *
 *   a.write -> b.in -> b.read         b.write -> a.in -> a.read
 *
 * Events come from tasks of the loop's scheduler, so never from inside a call. An empty pipe holds
 * no buffers. Both ends lie in one block, freed with the second close. */
#include "base/buf.h"
#include "base/mem.h"
#include "loop/loop.h"

#include <assert.h>
#include <stdlib.h>

struct end {
    struct stream base;
    struct pipe *pipe;
    struct end *other;
    struct buf in; /* what the other end wrote and we have not read */
    struct task wake;
    int broken;
    bool is_ended;    /* nothing more will come into `in` */
    bool is_eof_read; /* and the user knows */
    bool is_told, is_closed;
};

struct pipe {
    struct sched *sched;
    struct end ends[2];
    int in_callbacks; /* the block must outlive them */
};

static struct end *of(struct stream *st)
{
    return CONTAINER_OF(st, struct end, base);
}

static size_t room(const struct end *e)
{
    return e->other->in.limit - buf_len(&e->other->in);
}

static bool is_readable(const struct end *e)
{
    return buf_len(&e->in) > 0 || (e->is_ended && !e->is_eof_read && !e->broken);
}

/* A write would say something new: take bytes, or tell that nobody is there. */
static bool is_writable(const struct end *e)
{
    return !e->broken && (room(e) > 0 || e->other->is_closed);
}

static void wake_if_due(struct end *e)
{
    if (e->is_closed)
        return;
    if ((e->base.wants_read && is_readable(e)) || (e->base.wants_write && is_writable(e)) ||
        (e->broken == E_RESET && !e->is_told))
        task_defer(e->pipe->sched, &e->wake);
}

static void maybe_free(struct pipe *p)
{
    if (p->in_callbacks || !p->ends[0].is_closed || !p->ends[1].is_closed)
        return;
    free(p);
}

static void pipe_wake(struct task *t)
{
    struct end *e = CONTAINER_OF(t, struct end, wake);
    struct pipe *p = e->pipe;
    p->in_callbacks++;
    if (!e->is_closed && e->base.on && e->base.wants_read && is_readable(e))
        e->base.on->readable(e->base.ctx);
    if (!e->is_closed && e->base.on && e->base.wants_write && is_writable(e)) {
        e->base.wants_write = false;
        e->base.on->writable(e->base.ctx);
    }
    if (!e->is_closed && e->base.on && e->broken == E_RESET && !e->is_told &&
        !(e->base.wants_read && is_readable(e))) {
        e->is_told = true;
        e->base.on->closed(e->base.ctx, e->broken);
    }
    p->in_callbacks--;
    if (e->base.on)
        wake_if_due(e);
    maybe_free(p);
}

static ssize_t pipe_read(struct stream *st, void *to, size_t n)
{
    struct end *e = of(st);
    struct bytes in = bytes_first(buf_view(&e->in), n);
    assert(n > 0);
    if (in.n == 0) {
        if (e->broken)
            return e->broken;
        if (!e->is_ended)
            return E_AGAIN;
        e->is_eof_read = true;
        return E_EOF;
    }
    memcpy(to, in.p, in.n);
    buf_consume(&e->in, in.n);
    buf_trim(&e->in);
    wake_if_due(e->other);
    return (ssize_t)in.n;
}

static ssize_t pipe_writev(struct stream *st, const struct bytes *v, int count)
{
    struct end *e = of(st);
    size_t taken = 0;
    if (e->broken)
        return e->broken;
    assert(!e->other->is_ended || e->other->is_closed);
    if (e->other->is_closed) {
        e->broken = E_RESET;
        wake_if_due(e);
        return e->broken;
    }
    for (int i = 0; i < count; i++) {
        struct bytes b = bytes_first(v[i], room(e));
        if (b.n && buf_append_bytes(&e->other->in, b) != 0)
            break;
        taken += b.n;
        if (b.n < v[i].n)
            break;
    }
    wake_if_due(e->other);
    return (ssize_t)taken;
}

static int pipe_finish(struct stream *st)
{
    struct end *e = of(st);
    e->other->is_ended = true;
    wake_if_due(e->other);
    return e->broken;
}

static void pipe_reset(struct stream *st, enum stream_reason reason)
{
    struct end *e = of(st);
    if (e->broken)
        return;
    e->broken = E_CLOSED;
    buf_fini(&e->in);
    if (!e->other->broken && !e->other->is_closed) {
        e->other->broken = E_RESET;
        buf_fini(&e->other->in);
        wake_if_due(e->other);
    }
}

static void pipe_close(struct stream *st)
{
    struct end *e = of(st);
    assert(!e->is_closed);
    e->is_closed = true;
    task_cancel(&e->wake);
    buf_fini(&e->in);
    e->other->is_ended = true;
    wake_if_due(e->other);
    maybe_free(e->pipe);
}

static void pipe_want(struct stream *st, bool read, bool write)
{
    wake_if_due(of(st));
}

static const struct stream_ops pipe_ops = {
    "pipe", pipe_read, pipe_writev, pipe_finish, pipe_reset, pipe_close, pipe_want,
};

void loop_pipe(struct loop *l, size_t window, struct stream **a, struct stream **b)
{
    struct pipe *p = MEM_NEW(struct pipe);
    assert(window > 0);
    p->sched = loop_sched(l);
    for (int i = 0; i < 2; i++) {
        struct end *e = &p->ends[i];
        e->base.ops = &pipe_ops;
        e->pipe = p;
        e->other = &p->ends[1 - i];
        buf_init(&e->in, window);
        task_init(&e->wake, pipe_wake);
    }
    *a = &p->ends[0].base;
    *b = &p->ends[1].base;
}
