// SPDX-License-Identifier: MIT
/* A client with its pool whose backends are fake streams: dialling makes one, in the next turn. */
#ifndef CONDUIT_TEST_HTTP_CLIENT_APP_H
#define CONDUIT_TEST_HTTP_CLIENT_APP_H

#include "base/mem.h"
#include "fake_stream.h"
#include "http/client.h"
#include "http/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PLAN = 8 };

struct app {
    struct fake_world w;
    struct http_client *client;
    struct http_pool *pool;
    struct http_call *call;
    int interims, heads, dones, status;
    bool pause_at_head, cancel_at_head, cancel_at_body;
    struct buf body;
    struct http_call_result result;
    /* the port: what dialling does */
    struct fake_stream *dialled[PLAN];
    int dial_count, dial_err, cancels;
    bool hold_dial;
    struct http_dial *dial;
    struct task dial_task;
    struct list dials;
};

static inline void on_interim(void *ctx, const struct http_head *head)
{
    ((struct app *)ctx)->interims++;
}

static inline void on_head(void *ctx, const struct http_head *head)
{
    struct app *a = ctx;
    a->heads++;
    a->status = head->status;
    if (a->pause_at_head)
        http_call_pause(a->call, true);
    if (a->cancel_at_head)
        http_call_cancel(a->call);
}

static inline void on_body(void *ctx, struct bytes piece)
{
    struct app *a = ctx;
    buf_append_bytes(&a->body, piece);
    if (a->cancel_at_body)
        http_call_cancel(a->call);
}

static inline void on_done(void *ctx, const struct http_call_result *r)
{
    struct app *a = ctx;
    a->dones++;
    a->result = *r;
    a->call = NULL;
}

static const struct http_call_events on = {on_interim, on_head, on_body, on_done};

static inline void dial_later(struct task *t)
{
    struct app *a = CONTAINER_OF(t, struct app, dial_task);
    struct http_dial *d = a->dial;
    if (!d || a->hold_dial)
        return;
    a->dial = NULL;
    if (a->dial_err) {
        d->done(d, a->dial_err, NULL);
        return;
    }
    struct fake_stream *f = fake_stream_new(&a->w);
    a->dialled[a->dial_count++ % PLAN] = f;
    d->done(d, 0, &f->s);
}

static inline void port_dial(void *ctx, struct http_dial *d, const struct http_origin *to,
                             uint64_t timeout_us)
{
    struct app *a = ctx;
    a->dial = d;
    task_defer(&a->w.sched, &a->dial_task);
}

static inline void port_cancel(void *ctx, struct http_dial *d)
{
    struct app *a = ctx;
    assert_ptr_equal(a->dial, d);
    a->dial = NULL;
    a->cancels++;
}

static const struct http_dialer port = {port_dial, port_cancel};

static inline int setup(void **state)
{
    struct app *a = MEM_NEW(struct app);
    fake_world_init(&a->w);
    task_init(&a->dial_task, dial_later);
    buf_init(&a->body, 0);
    a->client = http_client_new(&a->w.sched);
    a->pool = http_pool_new(&(struct http_pool_config){.client = a->client,
                                                       .sched = &a->w.sched,
                                                       .dialer = &port,
                                                       .dialer_ctx = a,
                                                       .idle_per_origin = 2});
    *state = a;
    return 0;
}

static inline int teardown(void **state)
{
    struct app *a = *state;
    if (a->call)
        http_call_cancel(a->call);
    http_pool_free(a->pool);
    http_client_free(a->client);
    buf_fini(&a->body);
    fake_world_fini(&a->w);
    free(a);
    return 0;
}

static inline struct http_request get_request(void)
{
    return (struct http_request){
        .method = "GET", .target = BYTES_LIT("/v1"), .host = BYTES_LIT("h")};
}

static inline struct fake_stream *open_call(struct app *a, const struct http_request *req)
{
    struct fake_stream *f = fake_stream_new(&a->w);
    int err = 0;
    a->call = http_call_open(a->client, &f->s, req, &on, a, &err);
    assert_non_null(a->call);
    return f;
}

static inline struct fake_stream *get(struct app *a)
{
    struct http_request req = get_request();
    return open_call(a, &req);
}

static inline void answer(struct app *a, struct fake_stream *f, const char *text)
{
    fake_feed_str(f, text);
    fake_world_run(&a->w);
}

static inline void assert_done(struct app *a, int err, enum http_call_phase phase, const char *body)
{
    assert_int_equal(a->dones, 1);
    assert_int_equal(a->result.err, err);
    assert_int_equal(a->result.phase, phase);
    assert_int_equal(buf_len(&a->body), strlen(body));
    if (*body)
        assert_memory_equal(buf_view(&a->body).p, body, strlen(body));
}

#endif
