// SPDX-License-Identifier: MIT
/* A server with a handler that notes what it saw and does what the test says; clients are fake
 * streams. Shared by the tests of the server's two halves. */
#ifndef CONDUIT_TEST_HTTP_SERVER_APP_H
#define CONDUIT_TEST_HTTP_SERVER_APP_H

#include "base/mem.h"
#include "fake_stream.h"
#include "http/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* What the handler saw, and what it should do. */
struct app {
    struct fake_world w;
    struct http_server *srv;
    struct http_exchange *x; /* the open one, when answers are by hand */
    struct http_exchange_events on;
    bool by_hand, early, stream, take, wipe;
    size_t wiped; /* bytes of a body that are zero after http_exchange_wipe_body */
    struct buf taken;
    size_t body_limit;
    int requests, gone_err, gone, writables, body_ends;
    char method[16], path[256], body[4096];
    size_t body_size;
};

static inline void app_body(void *user, struct bytes piece)
{
    struct app *a = user;
    size_t room = a->body_size < sizeof a->body ? sizeof a->body - a->body_size : 0;
    if (piece.n && room)
        memcpy(a->body + a->body_size, piece.p, piece.n < room ? piece.n : room);
    a->body_size += piece.n;
}

static inline void app_body_end(void *user)
{
    ((struct app *)user)->body_ends++;
}

static inline void app_writable(void *user)
{
    ((struct app *)user)->writables++;
}

static inline void app_gone(void *user, int err)
{
    struct app *a = user;
    a->x = NULL;
    a->gone++;
    a->gone_err = err;
}

static inline void app_head(void *ctx, struct http_exchange *x, const struct http_head *head)
{
    struct app *a = ctx;
    http_exchange_listen(x, &a->on, a);
    if (a->body_limit)
        http_exchange_set_body_limit(x, a->body_limit);
    if (a->stream)
        http_exchange_stream_body(x);
    if (a->early)
        http_exchange_error(x, 403, "no", 0, "not %s", "you");
}

static inline void app_request(void *ctx, struct http_exchange *x, const struct http_head *head,
                               struct bytes body)
{
    struct app *a = ctx;
    a->requests++;
    snprintf(a->method, sizeof a->method, "%.*s", BYTES_FMT(head->method_text));
    snprintf(a->path, sizeof a->path, "%.*s", BYTES_FMT(head->path));
    if (!a->stream) {
        a->body_size = 0;
        app_body(a, body);
    }
    if (a->wipe)
        http_exchange_wipe_body(x);
    for (size_t i = 0; a->wipe && i < body.n; i++)
        a->wiped += body.p[i] == 0;
    if (a->take)
        assert_int_equal(http_exchange_take_body(x, &a->taken), 0);
    if (a->by_hand) {
        a->x = x;
        return;
    }
    char text[64];
    snprintf(text, sizeof text, "%d %zu", a->requests, a->body_size);
    http_exchange_reply(x, 200, "text/plain", NULL, 0, bytes_str(text));
}

static const struct http_handler app_handler = {.head = app_head, .request = app_request};

static inline int setup(void **state)
{
    struct app *a = MEM_NEW(struct app);
    fake_world_init(&a->w);
    a->on = (struct http_exchange_events){
        .body = app_body, .body_end = app_body_end, .writable = app_writable, .gone = app_gone};
    a->srv = http_server_new(
        &(struct http_server_config){.sched = &a->w.sched, .handler = &app_handler, .ctx = a});
    *state = a;
    return 0;
}

static inline int teardown(void **state)
{
    struct app *a = *state;
    http_server_free(a->srv);
    fake_world_fini(&a->w);
    buf_fini(&a->taken);
    free(a);
    return 0;
}

static inline struct fake_stream *open_conn(struct app *a)
{
    struct fake_stream *f = fake_stream_new(&a->w);
    http_server_conn_open(a->srv, &f->s, &(struct http_conn_options){.eof_is_cancel = true});
    return f;
}

static inline struct fake_stream *send_text(struct app *a, const char *text)
{
    struct fake_stream *f = open_conn(a);
    fake_feed_str(f, text);
    fake_world_run(&a->w);
    return f;
}

static inline void assert_starts(const char *text, const char *start)
{
    if (strncmp(text, start, strlen(start)))
        fail_msg("expected \"%s\", got \"%.200s\"", start, text);
}

static inline void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("expected \"%s\" in \"%.600s\"", part, text);
}

static inline void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("unexpected \"%s\" in \"%.600s\"", part, text);
}

#define GET "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"

static inline void begin_stream(struct app *a, const char *request, struct fake_stream **f)
{
    struct http_header type = {BYTES_LIT("content-type"), BYTES_LIT("text/event-stream")};
    struct http_response r = {
        .status = 200, .headers = &type, .header_count = 1, .content_length = HTTP_LENGTH_UNKNOWN};
    a->by_hand = true;
    *f = send_text(a, request);
    assert_int_equal(http_exchange_head(a->x, &r), 0);
}

#endif
