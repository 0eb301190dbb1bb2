// SPDX-License-Identifier: MIT
/* A node whose answers never end: a good head, and then the same few bytes each second. No pause is long enough to
 * be a stall. */
#ifndef CONDUIT_TEST_TRICKLE_H
#define CONDUIT_TEST_TRICKLE_H

#include "node/node_impl.h"
#include "p2p/host_impl.h"

enum { TRICKLE_STREAMS = 64 };

static struct trickle {
    struct host_handler was;
    struct trickle_stream {
        struct stream *s;
        struct timer timer;
    } v[TRICKLE_STREAMS];
    int count;
    struct sched *sched;
    struct bytes head, drip;
} trickle;

static inline void trickle_nothing(void *ctx)
{
}

static inline void trickle_stop(struct trickle_stream *t)
{
    if (!t->s)
        return;
    timer_clear(trickle.sched, &t->timer);
    stream_close(t->s);
    t->s = NULL;
}

static inline void trickle_ended(void *ctx, int err)
{
    trickle_stop(ctx);
}

static inline void trickle_on_timer(struct timer *timer)
{
    struct trickle_stream *t = CONTAINER_OF(timer, struct trickle_stream, timer);
    timer_after(trickle.sched, timer, US_PER_S);
    (void)stream_write(t->s, trickle.drip);
}

static inline void trickle_take(void *ctx, struct stream *s, const struct peer_id *peer)
{
    static const struct stream_events events = {trickle_nothing, trickle_nothing, trickle_ended};
    if (trickle.count == TRICKLE_STREAMS) {
        stream_close(s);
        return;
    }
    struct trickle_stream *t = &trickle.v[trickle.count++];
    t->s = s;
    stream_listen(s, &events, t);
    timer_init(&t->timer, trickle_on_timer);
    timer_after(trickle.sched, &t->timer, US_PER_S);
    (void)stream_write(s, trickle.head);
}

/* In place: identify goes on telling the protocol. */
static inline struct host_handler *trickle_place(struct node *n)
{
    for (int i = 0; i < HOST_HANDLERS_MAX; i++) {
        struct host_handler *at = &n->host->handlers[i];
        if (at->protocol && strcmp(at->protocol, HTTP_PROTOCOL) == 0)
            return at;
    }
    return NULL;
}

static inline void trickle_with(struct node *n, const char *head, const char *drip)
{
    struct host_handler *at = trickle_place(n);
    assert_non_null(at);
    trickle = (struct trickle){
        .was = *at, .sched = n->sched, .head = bytes_str(head), .drip = bytes_str(drip)};
    at->handler = trickle_take;
    at->ctx = NULL;
}

static inline void trickle_begin(struct node *n)
{
    trickle_with(n,
                 "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                 "content-length: 8000\r\n\r\n",
                 " ");
}

static inline void trickle_end(struct node *n)
{
    struct host_handler *at = trickle_place(n);
    at->handler = trickle.was.handler;
    at->ctx = trickle.was.ctx;
    for (int i = 0; i < trickle.count; i++)
        trickle_stop(&trickle.v[i]);
}

#endif
