// SPDX-License-Identifier: MIT
/* Streams the test is the other side of; see fake_stream.h. */
#include "fake_stream.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

static struct fake_stream *fake_of(struct stream *s)
{
    return CONTAINER_OF(s, struct fake_stream, s);
}

static ssize_t fake_read(struct stream *s, void *p, size_t n)
{
    struct fake_stream *f = fake_of(s);
    assert(!f->is_closed && n);
    if (f->is_reset || f->fail_err)
        return f->fail_err ? f->fail_err : E_CLOSED;
    if (!buf_len(&f->in))
        return f->is_eof ? E_EOF : E_AGAIN;
    if (f->read_piece && n > f->read_piece)
        n = f->read_piece;
    struct bytes got = bytes_first(buf_view(&f->in), n);
    memcpy(p, got.p, got.n);
    buf_consume(&f->in, got.n);
    if (f->peer)
        fake_open_window(f->peer, got.n);
    return (ssize_t)got.n;
}

static ssize_t fake_writev(struct stream *s, const struct bytes *v, int count)
{
    struct fake_stream *f = fake_of(s);
    size_t taken = 0;
    assert(!f->is_closed && !f->is_finished);
    if (f->is_reset || f->fail_err)
        return f->fail_err ? f->fail_err : E_CLOSED;
    if (f->write_err)
        return f->write_err;
    for (int i = 0; i < count; i++) {
        size_t n = v[i].n < f->window ? v[i].n : f->window;
        buf_append(f->peer ? &f->peer->in : &f->out, v[i].p, n);
        if (f->window != SIZE_MAX)
            f->window -= n;
        taken += n;
    }
    if (taken)
        f->writes++;
    f->last_write = taken;
    return (ssize_t)taken;
}

static int fake_finish(struct stream *s)
{
    struct fake_stream *f = fake_of(s);
    assert(!f->is_closed);
    f->is_finished = true;
    if (f->peer)
        f->peer->is_eof = true;
    return 0;
}

static void fake_reset(struct stream *s, enum stream_reason reason)
{
    struct fake_stream *f = fake_of(s);
    assert(!f->is_closed);
    f->is_reset = true;
    f->reason = reason;
    if (f->peer && !f->peer->is_closed)
        fake_break(f->peer, E_RESET);
}

static void fake_close(struct stream *s)
{
    struct fake_stream *f = fake_of(s);
    assert(!f->is_closed); /* exactly once */
    f->is_closed = true;
    if (f->peer)
        f->peer->is_eof = true;
}

static void fake_want(struct stream *s, bool read, bool write)
{
    assert(!fake_of(s)->is_closed);
}

static const struct stream_ops fake_ops = {
    .kind = "fake",
    .read = fake_read,
    .writev = fake_writev,
    .finish = fake_finish,
    .reset = fake_reset,
    .close = fake_close,
    .want = fake_want,
};

void fake_world_init(struct fake_world *w)
{
    sched_init(&w->sched, US_PER_S, UINT64_C(1767225600000));
    list_init(&w->streams);
}

void fake_world_fini(struct fake_world *w)
{
    LIST_FOREACH_SAFE (&w->streams, it) {
        struct fake_stream *f = LIST_ENTRY(it, struct fake_stream, link);
        assert(f->is_closed); /* whoever holds a stream closes it */
        buf_fini(&f->in);
        buf_fini(&f->out);
        list_remove(&f->link);
        free(f);
    }
    sched_fini(&w->sched);
}

/* One callback at most; true when one was made. */
static bool fake_pump(struct fake_stream *f)
{
    if (f->is_closed || f->is_reset || !f->s.on || f->told_closed)
        return false;
    if (f->fail_err) {
        f->told_closed = true;
        f->s.on->closed(f->s.ctx, f->fail_err);
        return true;
    }
    if (f->s.wants_write && f->window) {
        f->s.wants_write = false;
        f->s.on->writable(f->s.ctx);
        return true;
    }
    if (f->s.wants_read && (buf_len(&f->in) || f->is_eof)) {
        f->s.on->readable(f->s.ctx);
        return true;
    }
    return false;
}

static bool fake_world_turn(struct fake_world *w)
{
    bool did = false;
    LIST_FOREACH (&w->streams, it)
        did |= fake_pump(LIST_ENTRY(it, struct fake_stream, link));
    did |= !list_is_empty(&w->sched.tasks);
    sched_run_tasks(&w->sched);
    return did;
}

void fake_world_run(struct fake_world *w)
{
    unsigned turns = 0;
    while (fake_world_turn(w))
        assert(++turns < 10000000); /* spinning: an end that is never taken */
}

void fake_world_advance(struct fake_world *w, uint64_t us)
{
    uint64_t until = w->sched.now_us + us;
    fake_world_run(w);
    for (;;) {
        uint64_t next = sched_deadline(&w->sched);
        bool is_last = next > until;
        if (is_last)
            next = until;
        sched_set_now(&w->sched, next, w->sched.wall_ms + (next - w->sched.now_us) / US_PER_MS);
        sched_run_timers(&w->sched);
        fake_world_run(w);
        if (is_last)
            return;
    }
}

struct fake_stream *fake_stream_new(struct fake_world *w)
{
    struct fake_stream *f = MEM_NEW(struct fake_stream);
    f->s.ops = &fake_ops;
    f->world = w;
    f->window = SIZE_MAX;
    buf_init(&f->in, 0);
    buf_init(&f->out, 0);
    list_append(&w->streams, &f->link);
    return f;
}

void fake_pair(struct fake_world *w, size_t window, struct fake_stream **a, struct fake_stream **b)
{
    *a = fake_stream_new(w);
    *b = fake_stream_new(w);
    (*a)->peer = *b;
    (*b)->peer = *a;
    (*a)->window = (*b)->window = window;
}

void fake_feed(struct fake_stream *f, const void *p, size_t n)
{
    buf_append(&f->in, p, n);
}

void fake_feed_str(struct fake_stream *f, const char *s)
{
    fake_feed(f, s, strlen(s));
}

void fake_eof(struct fake_stream *f)
{
    f->is_eof = true;
}

void fake_break(struct fake_stream *f, int err)
{
    f->fail_err = err;
}

const char *fake_sent(struct fake_stream *f)
{
    uint8_t *at;
    if (buf_reserve(&f->out, 1, &at))
        return "";
    *at = 0;
    return (const char *)buf_view(&f->out).p;
}

size_t fake_sent_len(const struct fake_stream *f)
{
    return buf_len(&f->out);
}

void fake_forget_sent(struct fake_stream *f)
{
    buf_clear(&f->out);
}

void fake_open_window(struct fake_stream *f, size_t n)
{
    if (f->window != SIZE_MAX)
        f->window += n;
}
