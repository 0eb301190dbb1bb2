// SPDX-License-Identifier: MIT
/* See relay_splice.h. */
#include "p2p/relay_splice.h"

#define IDLE_US (LIMIT_RELAY_IDLE_S * US_PER_S)
enum { CHUNK = 16384, CHUNKS_A_TURN = 8 };

static void close_both(struct relay_splice *sp, bool is_reset)
{
    for (int i = 0; i < 2; i++) {
        if (is_reset)
            stream_reset(sp->end[i].s, STREAM_CANCELLED);
        stream_close(sp->end[i].s);
        buf_fini(&sp->end[i].held);
    }
    timer_clear(sp->sched, &sp->timer);
    task_cancel(&sp->task);
    relay_circuit_end(sp->circuit, sp->is_cut);
}

static void tell_over(struct task *t)
{
    struct relay_splice *sp = CONTAINER_OF(t, struct relay_splice, task);
    sp->over(sp);
}

static void end_it(struct relay_splice *sp, bool is_reset)
{
    if (sp->is_over)
        return;
    sp->is_over = true;
    close_both(sp, is_reset);
    task_defer(sp->sched, &sp->task);
}

static void cut(struct relay_splice *sp)
{
    sp->is_cut = true;
    end_it(sp, true);
}

/* Writes what is held: 1 all is out, 0 the far side is full, or an error. */
static int write_held(struct relay_end *e, struct stream *to)
{
    struct bytes v = buf_view(&e->held);
    if (v.n == 0)
        return 1;
    ssize_t n = stream_write(to, v);
    if (n < 0 && n != E_AGAIN)
        return (int)n;
    buf_consume(&e->held, n > 0 ? (size_t)n : 0);
    if (buf_len(&e->held))
        return 0;
    buf_trim(&e->held);
    return 1;
}

static void wait_until(struct relay_splice *sp, uint64_t at_us)
{
    uint64_t until = sp->moved_us + IDLE_US;
    if (sp->circuit->until_us < until)
        until = sp->circuit->until_us;
    timer_set(sp->sched, &sp->timer, at_us < until ? at_us : until);
}

/* One chunk of this way: 1 moved, 0 nothing to do now, or an error. */
static int move(struct relay_splice *sp, int way)
{
    struct relay_end *e = &sp->end[way];
    struct stream *to = sp->end[1 - way].s;
    uint8_t chunk[CHUNK];
    uint64_t now = sched_now(sp->sched);
    int r = write_held(e, to);
    if (r < 0)
        return r;
    if (r == 0) {
        stream_want_read(e->s, false);
        stream_want_write(to, true);
        return 0;
    }
    if (e->has_ended) {
        if (!e->is_told)
            stream_finish(to);
        e->is_told = true;
        return 0;
    }
    size_t allowed = relay_circuit_allow(sp->circuit, way, sizeof chunk, now);
    if (allowed == 0) {
        stream_want_read(e->s, false);
        if (!relay_circuit_is_over(sp->circuit, now)) /* else only what is in hand is waited for */
            wait_until(sp, relay_circuit_again(sp->circuit, now));
        return 0;
    }
    ssize_t n = stream_read(e->s, chunk, allowed);
    if (n == E_AGAIN) {
        stream_want_read(e->s, true);
        return 0;
    }
    if (n == E_EOF) {
        e->has_ended = true;
        stream_want_read(e->s, false);
        return 1;
    }
    if (n < 0)
        return (int)n;
    relay_circuit_passed(sp->circuit, way, (size_t)n);
    sp->moved_us = now;
    return buf_append(&e->held, chunk, (size_t)n) ? E_NO_MEMORY : 1;
}

static void pump(struct relay_splice *sp, int way)
{
    int r = 1;
    for (int i = 0; i < CHUNKS_A_TURN && r == 1 && !sp->is_over; i++)
        r = move(sp, way);
    if (sp->is_over)
        return;
    if (r == 1) { /* another turn: there may be nothing more to read, and the last of it in hand */
        stream_want_read(sp->end[way].s, !sp->end[way].has_ended);
        stream_want_write(sp->end[1 - way].s, true);
    }
    bool is_dry = buf_len(&sp->end[0].held) + buf_len(&sp->end[1].held) == 0;
    if (r < 0)
        end_it(sp, true);
    else if (sp->end[0].is_told && sp->end[1].is_told)
        end_it(sp, false);
    else if (is_dry && relay_circuit_is_over(sp->circuit, sched_now(sp->sched)))
        cut(sp);
}

/* Both ways: what is wanted of one stream may have changed for the sake of the other. */
static void stirred(void *ctx)
{
    struct relay_splice *sp = ((struct relay_end *)ctx)->splice;
    for (int way = 0; way < 2 && !sp->is_over; way++)
        pump(sp, way);
}

static void broke(void *ctx, int err)
{
    end_it(((struct relay_end *)ctx)->splice, true);
}

static const struct stream_events end_events = {stirred, stirred, broke};

static void timer_fired(struct timer *t)
{
    struct relay_splice *sp = CONTAINER_OF(t, struct relay_splice, timer);
    uint64_t now = sched_now(sp->sched);
    wait_until(sp, SCHED_NEVER);
    if (now >= sp->circuit->until_us || now >= sp->moved_us + IDLE_US)
        cut(sp);
    else
        stirred(&sp->end[0]);
}

void relay_splice_start(struct relay_splice *sp, struct sched *sched, struct relay_circuit *circuit,
                        struct stream *from, struct stream *to,
                        void (*over)(struct relay_splice *sp))
{
    struct stream *streams[2] = {from, to};
    *sp = (struct relay_splice){.sched = sched, .circuit = circuit, .over = over};
    sp->moved_us = sched_now(sched);
    timer_init(&sp->timer, timer_fired);
    task_init(&sp->task, tell_over);
    relay_circuit_start(circuit, sched_now(sched));
    wait_until(sp, SCHED_NEVER);
    for (int i = 0; i < 2; i++) {
        sp->end[i].splice = sp;
        sp->end[i].s = streams[i];
        buf_init(&sp->end[i].held, CHUNK);
        stream_listen(streams[i], &end_events, &sp->end[i]);
        stream_want_read(streams[i], true);
    }
}

void relay_splice_abort(struct relay_splice *sp)
{
    if (!sp->is_over)
        close_both(sp, true);
    sp->is_over = true;
    task_cancel(&sp->task);
}
