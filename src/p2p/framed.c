// SPDX-License-Identifier: MIT
/* See framed.h. */
#include "p2p/framed.h"

#include "codec/varint.h"

enum { READ_CHUNK = 4096, HEAD_MAX = VARINT_MAX };

static void end(struct framed *f, int err)
{
    timer_clear(f->sched, &f->timer);
    f->on->ended(f, err);
}

/* False: `f` is gone or ended. */
static bool deliver(struct framed *f)
{
    for (;;) {
        struct cursor c = cursor_of(buf_view(&f->in));
        struct bytes message = {0};
        ssize_t n = cursor_prefixed(&c, f->max, &message);
        if (n == 0)
            return true;
        if (n < 0) {
            end(f, (int)n);
            return false;
        }
        if (!f->on->message(f, message))
            return false;
        buf_consume(&f->in, c.at);
    }
}

static void readable(void *ctx)
{
    struct framed *f = ctx;
    uint8_t *at;
    for (;;) {
        int err = buf_reserve(&f->in, READ_CHUNK, &at);
        ssize_t n = err ? err : stream_read(f->s, at, READ_CHUNK);
        if (n == E_AGAIN)
            return;
        if (n < 0) {
            end(f, (int)n);
            return;
        }
        buf_commit(&f->in, (size_t)n);
        if (!deliver(f))
            return;
    }
}

static int flush(struct framed *f)
{
    while (buf_len(&f->out) > 0) {
        ssize_t n = stream_write(f->s, buf_view(&f->out));
        if (n < 0)
            return (int)n;
        if (n == 0) {
            stream_want_write(f->s, true);
            return 0;
        }
        buf_consume(&f->out, (size_t)n);
    }
    return f->is_finishing ? stream_finish(f->s) : 0;
}

static void writable(void *ctx)
{
    struct framed *f = ctx;
    int err = flush(f);
    if (err)
        end(f, err);
}

static void closed(void *ctx, int err)
{
    end(ctx, err);
}

static const struct stream_events events = {readable, writable, closed};

static void timed_out(struct timer *t)
{
    struct framed *f = CONTAINER_OF(t, struct framed, timer);
    stream_reset(f->s, STREAM_TIMED_OUT);
    end(f, E_TIMEOUT);
}

void framed_open(struct framed *f, struct sched *sched, struct stream *s, size_t max_bytes,
                 uint64_t timeout_us, const struct framed_events *on)
{
    *f = (struct framed){.on = on, .sched = sched, .s = s, .max = max_bytes};
    buf_init(&f->in, max_bytes + HEAD_MAX + READ_CHUNK);
    buf_init(&f->out, 0);
    timer_init(&f->timer, timed_out);
    timer_after(sched, &f->timer, timeout_us);
    stream_listen(s, &events, f);
    stream_want_read(s, true);
}

void framed_allow(struct framed *f, uint64_t timeout_us)
{
    timer_after(f->sched, &f->timer, timeout_us);
}

int framed_send(struct framed *f, struct bytes framed_message)
{
    int err = buf_append_bytes(&f->out, framed_message);
    return err ? err : flush(f);
}

void framed_finish(struct framed *f)
{
    f->is_finishing = true;
    (void)flush(f);
}

void framed_close(struct framed *f)
{
    timer_clear(f->sched, &f->timer);
    stream_close(f->s);
    buf_fini(&f->in);
    buf_fini(&f->out);
}

void framed_reset(struct framed *f, enum stream_reason reason)
{
    stream_reset(f->s, reason);
    framed_close(f);
}
