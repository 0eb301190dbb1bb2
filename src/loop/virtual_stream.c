// SPDX-License-Identifier: MIT
/* A TCP (or unix) connection in virtual time: two ends, packets that take their time between them.
 *
 *   write --DATA--> inbox --arrival--> in --read--> user
 *                     <--ACK-- as much as was read, a quarter of the window at a time
 *
 * Packets of one direction keep their order; on a cut path they wait, and go on when it heals, as
 * TCP would retransmit them. After close an end lives on, unseen, until the other side's FIN has
 * arrived: what comes is dropped, and answered with RST when it is too much or takes too long, like
 * the lingering socket of uv_socket.c.
 *
 *   open --close--> lingering --FIN or RST arrives, too much, too late--> freed
 *     \--close after FIN or RST--> freed */
#include "base/limits.h"
#include "base/mem.h"
#include "loop/virtual.h"

#include <assert.h>
#include <stdlib.h>

enum { WINDOW = 1 << 20, SEGMENT = 1 << 16, ACK_EVERY = WINDOW / 4 };

struct packet {
    struct list link;
    enum packet_kind kind;
    uint64_t at_us;
    size_t n; /* bytes of data, or acknowledged */
    uint8_t data[];
};

static struct virtual_stream *of(struct stream *st)
{
    return CONTAINER_OF(st, struct virtual_stream, base);
}

/* --- what the user hears --- */

static bool is_readable(const struct virtual_stream *s)
{
    return buf_len(&s->in) > 0 || (s->is_ended && !s->is_eof_read && !s->broken);
}

static bool is_writable(const struct virtual_stream *s)
{
    return !s->broken && s->outstanding < WINDOW;
}

static bool is_breaking(const struct virtual_stream *s)
{
    return s->broken == E_RESET && !s->is_told;
}

static void wake_if_due(struct virtual_stream *s)
{
    if (s->is_closed || !s->base.on)
        return;
    if ((s->base.wants_read && is_readable(s)) || (s->base.wants_write && is_writable(s)) ||
        is_breaking(s))
        virtual_defer(s->m, &s->wake);
}

static void free_or_linger(struct virtual_stream *s)
{
    if (!s->peer || s->is_ended || s->broken)
        virtual_stream_free(s);
    else
        timer_after(&s->m->world->net, &s->linger, LIMIT_LOOP_LINGER_US);
}

static void stream_wake(struct task *t)
{
    struct virtual_stream *s = CONTAINER_OF(t, struct virtual_stream, wake);
    s->is_in_callback = true;
    if (s->base.wants_read && is_readable(s))
        s->base.on->readable(s->base.ctx);
    if (!s->is_closed && s->base.wants_write && is_writable(s)) {
        s->base.wants_write = false;
        s->base.on->writable(s->base.ctx);
    }
    if (!s->is_closed && is_breaking(s) && !(s->base.wants_read && is_readable(s))) {
        s->is_told = true;
        s->base.on->closed(s->base.ctx, s->broken);
    }
    s->is_in_callback = false;
    if (s->is_closed)
        free_or_linger(s);
    else
        wake_if_due(s);
}

/* --- packets --- */

static void arm(struct virtual_stream *s)
{
    struct packet *first =
        list_is_empty(&s->inbox) ? NULL : LIST_ENTRY(s->inbox.next, struct packet, link);
    timer_set(&s->m->world->net, &s->arrival, first ? first->at_us : SCHED_NEVER);
}

void virtual_stream_send(struct virtual_stream *from, enum packet_kind kind, const void *p,
                         size_t n)
{
    struct virtual_stream *to = from->peer;
    if (!to || from->is_orphan)
        return;
    if (!virtual_nat_passes(from, to->m) || !virtual_nat_passes(to, from->m))
        return;
    size_t carried = kind == PACKET_DATA ? n : 0;
    struct packet *k = mem_new(sizeof *k + carried);
    k->kind = kind;
    k->n = n;
    if (carried)
        memcpy(k->data, p, carried);
    k->at_us = virtual_stream_arrival(from->m, to->m, carried, &from->delay_us);
    if (k->at_us < to->inbox_end_us)
        k->at_us = to->inbox_end_us;
    to->inbox_end_us = k->at_us;
    virtual_count(from->m, to->m, kind, n, k->at_us);
    list_append(&to->inbox, &k->link);
    if (to->inbox.next == &k->link)
        arm(to);
}

void virtual_stream_healed(struct virtual_stream *s, struct virtual_machine *from)
{
    uint64_t last = s->m->world->net.now_us;
    LIST_FOREACH (&s->inbox, it) {
        struct packet *k = LIST_ENTRY(it, struct packet, link);
        if (k->at_us == SCHED_NEVER)
            k->at_us =
                virtual_stream_arrival(from, s->m, k->kind == PACKET_DATA ? k->n : 0, &s->delay_us);
        if (k->at_us < last)
            k->at_us = last;
        last = k->at_us;
    }
    s->inbox_end_us = last;
    arm(s);
}

/* Breaks the connection at this end; the other end learns of it on its own way. */
static void stream_broken(struct virtual_stream *s, int err)
{
    if (!s->broken)
        s->broken = err;
    if (s->peer)
        s->peer->peer = NULL;
    s->peer = NULL;
}

/* The other side hears of it when it begins to matter. */
static void was_read(struct virtual_stream *s, size_t n)
{
    s->unacked += n;
    if (s->unacked < ACK_EVERY)
        return;
    virtual_stream_send(s, PACKET_ACK, NULL, s->unacked);
    s->unacked = 0;
}

static void take_data(struct virtual_stream *s, const struct packet *k)
{
    if (!s->is_closed) {
        if (!s->broken)
            buf_append(&s->in, k->data, k->n);
        return;
    }
    s->dropped += k->n;
    was_read(s, k->n);
    if (s->dropped > LIMIT_LOOP_LINGER_BYTES) {
        virtual_stream_send(s, PACKET_RST, NULL, 0);
        stream_broken(s, E_CLOSED);
    }
}

static void take_packet(struct virtual_stream *s, const struct packet *k)
{
    switch (k->kind) {
    case PACKET_OPEN:
        s->is_open = true;
        virtual_accept(s);
        break;
    case PACKET_DATA:
        take_data(s, k);
        break;
    case PACKET_ACK:
        s->outstanding -= k->n;
        break;
    case PACKET_FIN:
        s->is_ended = true;
        break;
    case PACKET_RST:
        stream_broken(s, E_RESET);
        break;
    case PACKET_DATAGRAM:
        break; /* not of a stream */
    }
}

static void stream_arrival(struct timer *t)
{
    struct virtual_stream *s = CONTAINER_OF(t, struct virtual_stream, arrival);
    uint64_t now = s->m->world->net.now_us;
    while (!list_is_empty(&s->inbox)) {
        struct packet *k = LIST_ENTRY(s->inbox.next, struct packet, link);
        if (k->at_us > now)
            break;
        list_remove(&k->link);
        if (s->m->death == ALIVE)
            take_packet(s, k);
        free(k);
    }
    if ((s->is_closed && s->is_ended) || ((s->is_closed || !s->is_open) && s->broken)) {
        virtual_stream_free(s);
        return;
    }
    arm(s);
    wake_if_due(s);
}

static void lose_inbox(struct virtual_stream *s)
{
    while (!list_is_empty(&s->inbox)) {
        struct packet *k = LIST_ENTRY(s->inbox.next, struct packet, link);
        list_remove(&k->link);
        free(k);
    }
    arm(s);
}

void virtual_stream_orphan(struct virtual_stream *s)
{
    if (!s->peer || s->peer->m == s->m)
        return;
    s->is_orphan = s->peer->is_orphan = true;
    lose_inbox(s);
    lose_inbox(s->peer);
}

void virtual_stream_crashed(struct virtual_stream *s, bool tells)
{
    if (tells) {
        virtual_stream_send(s, PACKET_RST, NULL, 0);
        stream_broken(s, E_CLOSED);
    }
}

/* --- the stream --- */

static ssize_t stream_take(struct stream *st, void *to, size_t n)
{
    struct virtual_stream *s = of(st);
    struct bytes in = bytes_first(buf_view(&s->in), n);
    assert(n > 0 && !s->is_closed);
    if (in.n > 0) {
        memcpy(to, in.p, in.n);
        buf_consume(&s->in, in.n);
        buf_trim(&s->in);
        was_read(s, in.n);
        return (ssize_t)in.n;
    }
    if (s->broken)
        return s->broken;
    if (!s->is_ended)
        return E_AGAIN;
    s->is_eof_read = true;
    return E_EOF;
}

static ssize_t stream_put(struct stream *st, const struct bytes *v, int count)
{
    struct virtual_stream *s = of(st);
    size_t taken = 0;
    assert(!s->is_closed);
    if (s->broken)
        return s->broken;
    assert(!s->is_finished);
    for (int i = 0; i < count; i++) {
        size_t done = 0;
        while (done < v[i].n && s->outstanding < WINDOW) {
            size_t n = v[i].n - done < SEGMENT ? v[i].n - done : SEGMENT;
            if (n > WINDOW - s->outstanding)
                n = WINDOW - s->outstanding;
            virtual_stream_send(s, PACKET_DATA, v[i].p + done, n);
            s->outstanding += n;
            done += n;
        }
        taken += done;
        if (done < v[i].n)
            break;
    }
    return (ssize_t)taken;
}

static int stream_end(struct stream *st)
{
    struct virtual_stream *s = of(st);
    if (!s->is_finished && !s->broken)
        virtual_stream_send(s, PACKET_FIN, NULL, 0);
    s->is_finished = true;
    return s->broken;
}

static void stream_abort(struct stream *st, enum stream_reason reason)
{
    struct virtual_stream *s = of(st);
    if (s->broken)
        return;
    virtual_stream_send(s, PACKET_RST, NULL, 0);
    stream_broken(s, E_CLOSED);
    buf_fini(&s->in);
}

static void linger_expired(struct timer *t)
{
    struct virtual_stream *s = CONTAINER_OF(t, struct virtual_stream, linger);
    virtual_stream_send(s, PACKET_RST, NULL, 0);
    virtual_stream_free(s);
}

static void stream_gone(struct stream *st)
{
    struct virtual_stream *s = of(st);
    assert(!s->is_closed);
    stream_end(st);
    s->is_closed = true;
    task_cancel(&s->wake);
    buf_fini(&s->in);
    if (!s->is_in_callback) /* else stream_wake goes on from here */
        free_or_linger(s);
}

static void stream_wants(struct stream *st, bool read, bool write)
{
    wake_if_due(of(st));
}

static const struct stream_ops tcp_ops = {
    "tcp", stream_take, stream_put, stream_end, stream_abort, stream_gone, stream_wants,
};
static const struct stream_ops unix_ops = {
    "unix", stream_take, stream_put, stream_end, stream_abort, stream_gone, stream_wants,
};

struct virtual_stream *virtual_stream_new(struct virtual_machine *m, const struct net_addr *remote)
{
    struct virtual_stream *s = MEM_NEW(struct virtual_stream);
    s->base.ops = remote->kind == NET_UNIX ? &unix_ops : &tcp_ops;
    s->base.remote = *remote;
    s->m = m;
    list_init(&s->backlog);
    list_init(&s->inbox);
    buf_init(&s->in, 0);
    timer_init(&s->arrival, stream_arrival);
    timer_init(&s->linger, linger_expired);
    task_init(&s->wake, stream_wake);
    list_init(&s->of_machine);
    list_append(&m->streams, &s->of_machine);
    return s;
}

void virtual_stream_pair(struct virtual_stream *a, struct virtual_stream *b)
{
    a->peer = b;
    b->peer = a;
    a->far = b->m;
    b->far = a->m;
    a->is_open = true;
    virtual_nat_begin(a);
    virtual_nat_begin(b);
}

void virtual_stream_free(struct virtual_stream *s)
{
    struct sched *net = &s->m->world->net;
    timer_clear(net, &s->arrival);
    timer_clear(net, &s->linger);
    task_cancel(&s->wake);
    LIST_FOREACH_SAFE (&s->inbox, it)
        free(LIST_ENTRY(it, struct packet, link));
    buf_fini(&s->in);
    list_remove(&s->backlog);
    list_remove(&s->of_machine);
    if (s->peer)
        s->peer->peer = NULL;
    free(s);
}
