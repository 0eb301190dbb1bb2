// SPDX-License-Identifier: MIT
/* Sending half; see yamux_send.h. */
#include "p2p/yamux_send.h"

#include "base/err.h"
#include "p2p/yamux_frame.h"
#include "p2p/yamux_table.h"

enum {
    SMALL = 2 * 1024,                 /* queued bytes that still count as a small write */
    SMALL_RUN = 16 * 1024,            /* of small writes before bulk gets a frame */
    KEEP_QUEUE = 1024,                /* an empty queue no larger than this keeps its memory */
    WORTH_STARTING = YAMUX_DRAIN_MIN, /* a rest of the batch below this takes no sliver of bulk */
};

static bool has_work(const struct yamux_stream *s)
{
    size_t n = buf_len(&s->send.queue);
    if (s->is_reset)
        return false;
    return n ? s->send.credit > 0 : s->send.fin_queued && !s->send.fin_sent;
}

static void schedule(struct yamux_stream *s)
{
    struct yamux *y = s->session;
    if (!has_work(s) || !list_is_empty(&s->ready))
        return;
    bool is_small = buf_len(&s->send.queue) <= SMALL;
    list_append(is_small ? &y->ready_small : &y->ready_bulk, &s->ready);
}

void yamux_send_credit(struct yamux_stream *s, uint32_t delta)
{
    uint32_t sum;
    s->send.credit = __builtin_add_overflow(s->send.credit, delta, &sum) ? UINT32_MAX : sum;
    schedule(s);
}

size_t yamux_room(const struct yamux_stream *s)
{
    size_t queued = buf_len(&s->send.queue);
    if (!s->session || s->is_reset || s->send.fin_queued || queued >= s->send.queue.limit)
        return 0;
    return s->send.queue.limit - queued;
}

ssize_t yamux_write(struct yamux_stream *s, struct bytes data)
{
    if (!s->session || s->send.fin_queued)
        return E_CLOSED;
    if (s->is_reset)
        return s->reset_err;
    struct bytes part = bytes_first(data, yamux_room(s));
    if (part.n < data.n)
        s->send.wants_room = true;
    int err = buf_append_bytes(&s->send.queue, part);
    if (err)
        return err;
    s->session->queued += part.n;
    schedule(s);
    return (ssize_t)part.n;
}

void yamux_finish(struct yamux_stream *s)
{
    if (!s->session || s->is_reset || s->send.fin_queued)
        return;
    s->send.fin_queued = true;
    s->send.wants_room = false;
    schedule(s);
}

/* Whose turn: taken out of its ring; NULL when nobody has work. */
static struct yamux_stream *next_turn(struct yamux *y)
{
    bool small = !list_is_empty(&y->ready_small), bulk = !list_is_empty(&y->ready_bulk);
    if (!small && !bulk)
        return NULL;
    bool take_small = small && (!bulk || y->small_run < SMALL_RUN);
    struct list *ring = take_small ? &y->ready_small : &y->ready_bulk;
    struct yamux_stream *s = LIST_ENTRY(ring->next, struct yamux_stream, ready);
    list_remove(&s->ready);
    y->small_run = take_small ? y->small_run + (uint32_t)buf_len(&s->send.queue) : 0;
    return s;
}

/* One Data frame of the stream: its size, 0 when the rest of the batch is not worth it. */
static size_t put_data(struct yamux_stream *s, uint8_t *out, size_t room)
{
    struct yamux_send *w = &s->send;
    struct bytes part = bytes_first(buf_view(&w->queue), YAMUX_SPLIT);
    part = bytes_first(part, w->credit);
    if (room < YAMUX_HEAD + part.n && room < WORTH_STARTING)
        return 0;
    part = bytes_first(part, room - YAMUX_HEAD);
    yamux_frame_encode(out, (struct yamux_frame){0, YAMUX_T_DATA, 0, s->id, (uint32_t)part.n});
    memcpy(out + YAMUX_HEAD, part.p, part.n);
    buf_consume(&w->queue, part.n);
    s->session->queued -= part.n;
    w->credit -= (uint32_t)part.n;
    if (buf_len(&w->queue) == 0 && w->queue.cap > KEEP_QUEUE)
        buf_trim(&w->queue);
    if (w->wants_room && buf_len(&w->queue) <= w->queue.limit / 2) {
        w->wants_room = false;
        yamux_note(s, YAMUX_WRITABLE);
    }
    return YAMUX_HEAD + part.n;
}

static size_t put_fin(struct yamux_stream *s, uint8_t *out)
{
    yamux_frame_encode(out, (struct yamux_frame){0, YAMUX_T_WINDOW, YAMUX_F_FIN, s->id, 0});
    s->send.fin_sent = true;
    buf_fini(&s->send.queue);
    return YAMUX_HEAD;
}

size_t yamux_send_drain(struct yamux *y, uint8_t *out, size_t room)
{
    size_t at = 0;
    struct yamux_stream *s;
    while (room - at > YAMUX_HEAD && (s = next_turn(y))) {
        bool is_fin = buf_len(&s->send.queue) == 0;
        size_t n = is_fin ? put_fin(s, out + at) : put_data(s, out + at, room - at);
        if (n == 0) { /* keeps its turn for the next batch */
            bool is_small = buf_len(&s->send.queue) <= SMALL;
            list_prepend(is_small ? &y->ready_small : &y->ready_bulk, &s->ready);
            break;
        }
        at += n;
        schedule(s);
    }
    return at;
}
