// SPDX-License-Identifier: MIT
/* HTTP over p2p streams, both ends. See peer.h. */
#include "peer.h"

#include "http/client.h"
#include "http/router.h"
#include "http/server.h"
#include "http/sse.h"

#include <stdio.h>
#include <stdlib.h>

struct web {
    struct app *app;
    struct http_server *server;
    struct http_client *client;
};

/* --- serving --- */

static void serve_sse(struct http_exchange *x, const struct http_head *head)
{
    char text[32] = "50", cut_text[32];
    struct http_header type = {BYTES_LIT("content-type"), BYTES_LIT("text/event-stream")};
    struct http_response r = {200, &type, 1, HTTP_LENGTH_UNKNOWN, true};
    http_query_get(head->query, "n", text, sizeof text);
    long n = strtol(text, NULL, 10);
    bool is_cut = http_query_get(head->query, "cut", cut_text, sizeof cut_text) > 0;
    long last = is_cut ? strtol(cut_text, NULL, 10) : n;
    http_exchange_head(x, &r);
    for (long i = 0; i < last && i < n; i++) {
        char event[48];
        snprintf(event, sizeof event, "data: {\"i\":%ld}\n\n", i);
        struct bytes v = bytes_str(event);
        http_exchange_body(x, &v, 1);
    }
    if (is_cut) {
        http_exchange_abort(x);
        return;
    }
    struct bytes done = BYTES_LIT("data: [DONE]\n\n");
    http_exchange_body(x, &done, 1);
    http_exchange_end(x);
}

static void request(void *ctx, struct http_exchange *x, const struct http_head *head,
                    struct bytes body)
{
    bool is_get = head->method == HTTP_GET, is_post = head->method == HTTP_POST;
    char type[128] = "application/octet-stream";
    struct bytes t = http_header_get(head, "content-type");
    if (t.n && t.n < sizeof type)
        snprintf(type, sizeof type, "%.*s", BYTES_FMT(t));
    if (is_get && bytes_eq_str(head->path, "/hello"))
        http_exchange_reply(x, 200, "text/plain", NULL, 0, BYTES_LIT("hello from conduit"));
    else if (is_post && bytes_eq_str(head->path, "/echo"))
        http_exchange_reply(x, 200, type, NULL, 0, body);
    else if ((is_get || is_post) && bytes_eq_str(head->path, "/sse"))
        serve_sse(x, head);
    else if (is_get && bytes_eq_str(head->path, "/.well-known/libp2p/protocols"))
        http_exchange_reply(x, 200, "application/json", NULL, 0,
                            BYTES_LIT("{\"protocols\":{\"/conduit-test/http\":{\"path\":\"/\"}}}"));
    else
        http_exchange_error(x, 404, "not_found", 0, "there is nothing here");
}

static const struct http_handler handler = {.request = request};

static void serve(void *ctx, struct stream *s, const struct peer_id *peer)
{
    struct web *w = ctx;
    struct http_conn_options opts = {.eof_is_cancel = false, .one_request = true};
    http_server_conn_open(w->server, s, &opts);
}

void web_serve(struct app *a)
{
    struct web *w = MEM_NEW(struct web);
    struct http_server_config cfg = {.sched = a->sched, .handler = &handler, .ctx = w};
    w->app = a;
    w->server = http_server_new(&cfg);
    w->client = http_client_new(a->sched);
    a->web = w;
    p2p_host_handle(a->host, HTTP_PROTOCOL, serve, w);
}

/* --- asking --- */

enum { HEADERS_MAX = 32 };

struct call {
    struct job *job;
    struct p2p_open open;
    struct http_call *call;
    struct stream *stream; /* the call's; for half_close only, before the call is done */
    struct timer half_close;
    bool is_sse;
    struct http_head *head;
    struct buf body;
    struct http_header headers[HEADERS_MAX];
    size_t header_count;
    struct bytes slice;
};

static void call_free(struct call *c)
{
    timer_clear(c->job->app->sched, &c->half_close);
    free(c->head);
    buf_fini(&c->body);
    free(c);
}

static void fail_call(struct call *c, const char *why)
{
    struct job *j = c->job;
    call_free(c);
    job_fail(j, "%s", why);
}

static void on_head(void *ctx, const struct http_head *head)
{
    ((struct call *)ctx)->head = http_head_clone(head);
}

static void on_body(void *ctx, struct bytes piece)
{
    buf_append_bytes(&((struct call *)ctx)->body, piece);
}

static void put_headers(struct json_writer *w, const struct http_head *head)
{
    json_key(w, "headers");
    json_open_object(w);
    for (size_t i = 0; i < head->header_count; i++) {
        char name[64];
        size_t n = 0;
        for (; n < head->headers[i].name.n && n < sizeof name; n++) {
            char c = (char)head->headers[i].name.p[n];
            name[n] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
        json_key_bytes(w, bytes_of(name, n));
        json_put_bytes(w, head->headers[i].value);
    }
    json_close_object(w);
}

static void put_events(struct json_writer *w, struct bytes body)
{
    struct sse sse;
    struct sse_item item;
    sse_init(&sse, 0);
    json_key(w, "events");
    json_open_array(w);
    while (sse_next(&sse, &body, &item) == 1)
        if (item.kind == SSE_EVENT)
            json_put_bytes(w, item.data);
    json_close_array(w);
    sse_fini(&sse);
}

static void on_done(void *ctx, const struct http_call_result *r)
{
    struct call *c = ctx;
    struct job *j = c->job;
    if (!c->head || (r->err && !c->is_sse)) {
        char why[64];
        snprintf(why, sizeof why, "http: %s, phase %d", err_text(r->err), (int)r->phase);
        fail_call(c, why);
        return;
    }
    struct json_writer *w = job_ok(j);
    json_member_i64(w, "status", c->head->status);
    put_headers(w, c->head);
    if (c->is_sse) {
        put_events(w, buf_view(&c->body));
        json_member_bool(w, "orderly", r->err == 0);
    } else {
        json_member_bytes(w, "body", buf_view(&c->body));
    }
    call_free(c);
    job_end(j);
}

static const struct http_call_events call_events = {
    .head = on_head, .body = on_body, .done = on_done};

/* The client has no half-close of its own; once the request has left, the stream is finished here. */
static void half_close(struct timer *t)
{
    struct call *c = CONTAINER_OF(t, struct call, half_close);
    if (!c->stream)
        return;
    if (http_call_phase(c->call) < HTTP_CALL_SENT)
        timer_after(c->job->app->sched, t, US_PER_MS);
    else
        stream_finish(c->stream);
}

static void read_headers(struct call *c)
{
    struct json_iter it = json_iter(json_get(c->job->args, "headers"));
    while (c->header_count < HEADERS_MAX && json_next(&it))
        c->headers[c->header_count++] = (struct http_header){it.key, json_str(it.value)};
}

static void opened(struct p2p_open *o, int err, struct stream *s)
{
    struct call *c = CONTAINER_OF(o, struct call, open);
    const struct json *args = c->job->args;
    if (err) {
        fail_call(c, err_text(err));
        return;
    }
    struct bytes method = json_get_str(args, "method");
    c->slice = json_get_str(args, "body");
    const char *m = method.n ? (const char *)method.p : c->slice.p ? "POST" : "GET";
    read_headers(c);
    struct http_request req = {
        .method = m,
        .target = json_get_str(args, "path"),
        .host = BYTES_LIT("conduit"),
        .headers = c->headers,
        .header_count = c->header_count,
        .body = c->slice.p ? &c->slice : NULL,
        .body_count = c->slice.p ? 1 : 0,
        .has_body = c->slice.p != NULL,
        .must_close = true,
        .first_byte_us = JOB_US,
        .stall_us = JOB_US,
    };
    c->stream = s;
    c->call = http_call_open(c->job->app->web->client, s, &req, &call_events, c, &err);
    if (!c->call) {
        fail_call(c, err_text(err));
        return;
    }
    if (json_bool(json_get(args, "half_close"), false))
        timer_after(c->job->app->sched, &c->half_close, US_PER_MS);
}

static void start(struct job *j, bool is_sse)
{
    struct call *c = MEM_NEW(struct call);
    c->job = j;
    c->is_sse = is_sse;
    buf_init(&c->body, 64 * MIB);
    timer_init(&c->half_close, half_close);
    job_open(j, &c->open, HTTP_PROTOCOL, opened);
}

void cmd_http(struct job *j)
{
    start(j, false);
}

void cmd_sse(struct job *j)
{
    start(j, true);
}

/* --- http1: from no connection at all to the head of an answer, n times --- */

struct first_job {
    struct job *job;
    struct p2p_open open;
    uint64_t left, count;
    uint64_t start_us, head_us;
    double *ms;
};

static void first_free(struct first_job *f)
{
    free(f->ms);
    free(f);
}

static void first_fail(struct first_job *f, int err)
{
    job_fail(f->job, "http1: %s", err_text(err));
    first_free(f);
}

static void first_next(struct job *j);

static void first_head(void *ctx, const struct http_head *head)
{
    struct first_job *f = ctx;
    f->head_us = sched_now(f->job->app->sched);
}

static void first_body(void *ctx, struct bytes piece)
{
}

static void first_done(void *ctx, const struct http_call_result *r)
{
    struct first_job *f = ctx;
    struct job *j = f->job;
    if (r->err) {
        first_fail(f, r->err);
        return;
    }
    f->ms[f->count - f->left--] = (double)(f->head_us - f->start_us) / 1000.0;
    p2p_host_disconnect(j->app->host, &j->peer);
    job_wait(j, WAIT_GONE, first_next);
}

static const struct http_call_events first_events = {
    .head = first_head, .body = first_body, .done = first_done};

static void first_opened(struct p2p_open *o, int err, struct stream *s)
{
    struct first_job *f = CONTAINER_OF(o, struct first_job, open);
    const struct http_request req = {
        .method = "GET",
        .target = BYTES_LIT("/hello"),
        .host = BYTES_LIT("conduit"),
        .must_close = true,
        .first_byte_us = JOB_US,
        .stall_us = JOB_US,
    };
    if (err || !http_call_open(f->job->app->web->client, s, &req, &first_events, f, &err))
        first_fail(f, err);
}

static void first_next(struct job *j)
{
    struct first_job *f = j->state;
    if (f->left) {
        f->start_us = sched_now(j->app->sched);
        f->open = (struct p2p_open){
            .peer = j->peer,
            .addrs = &j->addr_view,
            .addr_count = 1,
            .protocol = HTTP_PROTOCOL,
            .timeout_us = JOB_US,
            .is_urgent = true,
            .is_lazy = true, /* as of a peer whose offer is there: no round trip goes into asking */
            .done = first_opened,
        };
        p2p_host_open(j->app->host, &f->open);
        return;
    }
    struct json_writer *w = job_ok(j);
    json_key(w, "ms");
    json_open_array(w);
    for (uint64_t i = 0; i < f->count; i++)
        json_put_double(w, f->ms[i]);
    json_close_array(w);
    job_end(j);
    first_free(f);
}

void cmd_http1(struct job *j)
{
    struct first_job *f = MEM_NEW(struct first_job);
    f->job = j;
    f->left = f->count = job_u64(j, "n");
    f->ms = mem_array(f->count + 1, sizeof *f->ms);
    j->state = f;
    p2p_host_disconnect(j->app->host, &j->peer);
    job_wait(j, WAIT_GONE, first_next);
}
