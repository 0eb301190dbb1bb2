// SPDX-License-Identifier: MIT
/* A gateway behind a real HTTP server, between fake streams: the test is the client, the ports, and every
 * provider. Nothing is dialled; `app_give` answers an `open` with a stream. */
#ifndef CONDUIT_TEST_GATEWAY_APP_H
#define CONDUIT_TEST_GATEWAY_APP_H

#include "base/mem.h"
#include "fake_stream.h"
#include "gateway/gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { OPENS = 16 };
#define S US_PER_S

struct app {
    struct fake_world w;
    struct rng rng;
    struct http_client *client;
    struct http_pool *pool;
    struct http_server *local, *peers;
    struct catalogue offers;
    struct measures measures;
    struct guard guard;
    struct gateway *g;
    struct gateway_config cfg;
    unsigned minute;
    /* the ports */
    struct gateway_open *opens[OPENS]; /* NULL once closed */
    struct fake_stream *streams[OPENS];
    char peers_asked[OPENS][64];
    unsigned open_count, close_count, outcomes, ok_outcomes, faults;
    unsigned others; /* engines behind an own offer that were not tried */
    struct gateway_lookup *lookup;
    unsigned lookups, lookup_cancels;
    unsigned served; /* by the node's own routes */
    unsigned taken;  /* requests of peers */
    struct peer_id own;
};

static void port_open(void *ctx, struct gateway_open *o)
{
    struct app *a = ctx;
    o->port = a;
    assert_true(a->open_count < OPENS);
    snprintf(a->peers_asked[a->open_count], 64, "%s", o->choice->peer);
    a->opens[a->open_count++] = o;
}

static void port_close(void *ctx, struct gateway_open *o)
{
    struct app *a = ctx;
    for (unsigned i = 0; i < a->open_count; i++)
        if (a->opens[i] == o) {
            a->opens[i] = NULL;
            a->close_count++;
            return;
        }
    fail_msg("closed twice, or never opened");
}

static bool port_outcome(void *ctx, const struct gateway_outcome *o)
{
    struct app *a = ctx;
    a->outcomes++;
    a->ok_outcomes += o->is_ok;
    a->faults += o->is_provider_fault;
    return o->is_provider_fault && a->others && a->others--;
}

static void port_lookup(void *ctx, struct gateway_lookup *l, struct bytes model,
                        uint64_t timeout_us)
{
    struct app *a = ctx;
    assert_null(a->lookup);
    a->lookup = l;
    a->lookups++;
}

static void port_lookup_cancel(void *ctx, struct gateway_lookup *l)
{
    struct app *a = ctx;
    assert_ptr_equal(a->lookup, l);
    a->lookup = NULL;
    a->lookup_cancels++;
}

static const struct gateway_ports app_ports = {port_open, port_close, port_outcome, port_lookup,
                                               port_lookup_cancel};

static unsigned app_minute(void *ctx)
{
    return ((struct app *)ctx)->minute;
}

static int app_render(void *ctx, enum gateway_page page, const struct principal *who,
                      struct buf *out)
{
    return buf_append_str(out, page == GATEWAY_PAGE_FEED ? "event: snapshot\ndata: {}\n\n" : "{}");
}

static inline struct peer_id app_peer(unsigned i)
{
    struct peer_id id = {.len = 38};
    static const uint8_t head[] = {0, 36, 8, 1, 18, 32};
    memcpy(id.b, head, sizeof head);
    id.b[37] = (uint8_t)i;
    return id;
}

/* Peer 0 is ourselves. */
static inline void app_offer(struct app *a, unsigned peer, const char *model)
{
    struct offer o = {.peer = app_peer(peer), .seq = 1, .abilities = ~0u, .expires_ms = UINT64_MAX};
    snprintf(o.id, sizeof o.id, "m");
    snprintf(o.protocol, sizeof o.protocol, "openai");
    snprintf(o.model, sizeof o.model, "%s", model);
    assert_int_equal(catalogue_put(&a->offers, &o, peer == 0), 0);
}

static void app_serve(void *node, struct http_exchange *x, const struct http_head *head,
                      const struct router_match *match, struct bytes body)
{
    struct app *a = node;
    a->served++;
    http_exchange_reply(x, 200, "text/plain", NULL, 0,
                        match->capture_count ? match->captures[0] : (struct bytes){0});
}

static const struct gateway_route app_routes[] = {
    {HTTP_GET, "/conduit/v1/thing/:name", false, app_serve},
    {HTTP_POST, "/conduit/v1/thing", true, app_serve},
};

static inline void app_takes(void *node, const struct stream *s)
{
    ((struct app *)node)->taken++;
    assert_int_not_equal(stream_principal(s)->kind, PRINCIPAL_OWNER);
}

static inline struct app *app_new(const struct guard_config *guard)
{
    struct app *a = MEM_NEW(struct app);
    fake_world_init(&a->w);
    rng_init_seeded(&a->rng, 1);
    a->client = http_client_new(&a->w.sched);
    catalogue_init(&a->offers, 1);
    measures_init(&a->measures, 2);
    guard_init(&a->guard, guard, sched_now(&a->w.sched), 3);
    a->cfg = (struct gateway_config){
        .sched = &a->w.sched,
        .rng = &a->rng,
        .client = a->client,
        .offers = &a->offers,
        .measures = &a->measures,
        .guard = &a->guard,
        .ports = &app_ports,
        .ports_ctx = a,
        .peer = "self",
        .head_wait_us = 15 * S,
        .keepalive_us = 15 * S,
        .stall_us = 20 * S,
        .life_us = 5 * S,
        .lookup_us = 5 * S,
        .request_us = 60 * S,
        .reply_limit = 3 * MIB,
        .max_attempts = 3,
        .minute_of_day = app_minute,
        .render = app_render,
        .takes = app_takes,
        .node = a,
        .local_routes = app_routes,
        .local_route_count = ARRAY_LEN(app_routes),
        .peer_routes = app_routes,
        .peer_route_count = 1,
    };
    a->g = gateway_new(&a->cfg);
    a->local = http_server_new(&(struct http_server_config){
        .sched = &a->w.sched, .handler = gateway_local_handler(), .ctx = a->g});
    a->peers = http_server_new(&(struct http_server_config){
        .sched = &a->w.sched, .handler = gateway_peer_handler(), .ctx = a->g});
    return a;
}

/* Ends with the proof that every `open` was closed once. */
static inline void app_free(struct app *a)
{
    gateway_close(a->g);
    http_server_free(a->local);
    http_server_free(a->peers);
    gateway_free(a->g);
    assert_int_equal(a->open_count, a->close_count);
    assert_null(a->lookup);
    http_client_free(a->client);
    guard_fini(&a->guard);
    measures_fini(&a->measures);
    catalogue_fini(&a->offers);
    fake_world_fini(&a->w);
    free(a);
}

static inline int app_setup(void **state)
{
    struct guard_config none = {0};
    *state = app_new(&none);
    return 0;
}

static inline int app_teardown(void **state)
{
    app_free(*state);
    return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, app_setup, app_teardown)

/* --- the client --- */

static inline struct fake_stream *app_connect(struct app *a, enum principal_kind kind)
{
    bool is_peer = kind == PRINCIPAL_PEER;
    struct fake_stream *f = fake_stream_new(&a->w);
    struct http_conn_options opts = {.eof_is_cancel = !is_peer, .one_request = is_peer};
    f->s.principal.kind = kind;
    snprintf(f->s.principal.name, sizeof f->s.principal.name, "somebody");
    http_server_conn_open(is_peer ? a->peers : a->local, &f->s, &opts);
    return f;
}

static inline void app_post(struct app *a, struct fake_stream *f, const char *extra,
                            const char *body)
{
    char head[512];
    snprintf(
        head, sizeof head,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n%scontent-length: %zu\r\n\r\n",
        extra, strlen(body));
    fake_feed_str(f, head);
    fake_feed_str(f, body);
    fake_world_run(&a->w);
}

#define ASK_STREAM                                                                                 \
    "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define ASK_PLAIN "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"

static inline struct fake_stream *app_ask(struct app *a, const char *body)
{
    struct fake_stream *f = app_connect(a, PRINCIPAL_OWNER);
    app_post(a, f, "", body);
    return f;
}

/* --- the providers --- */

/* Answers the i-th `open` with a stream to a provider; the request has been sent to it then. */
static inline struct fake_stream *app_give(struct app *a, unsigned i)
{
    assert_true(i < a->open_count);
    assert_non_null(a->opens[i]);
    struct fake_stream *f = fake_stream_new(&a->w);
    struct gateway_way way = {.stream = &f->s, .host = BYTES_LIT("peer")};
    a->streams[i] = f;
    a->opens[i]->ready(a->opens[i], 0, &way);
    fake_world_run(&a->w);
    return f;
}

static inline void app_refuse(struct app *a, unsigned i, int err)
{
    a->opens[i]->ready(a->opens[i], err, NULL);
    fake_world_run(&a->w);
}

static inline void app_says(struct app *a, struct fake_stream *f, const char *text)
{
    fake_feed_str(f, text);
    fake_world_run(&a->w);
}

#define SSE_HEAD "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
#define EVENT_A  "data: {\"choices\":[{\"delta\":{\"content\":\"A\"},\"finish_reason\":null}]}\n\n"
#define EVENT_B  "data: {\"choices\":[{\"delta\":{\"content\":\"B\"},\"finish_reason\":null}]}\n\n"
#define FINISH   "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define DONE     "data: [DONE]\n\n"

static inline bool app_got(struct fake_stream *f, const char *text)
{
    return strstr(fake_sent(f), text) != NULL;
}

/* The client's answer ended in order: the last chunk is out. */
static inline bool app_ended(struct fake_stream *f)
{
    size_t n = fake_sent_len(f);
    return n >= 5 && strcmp(fake_sent(f) + n - 5, "0\r\n\r\n") == 0;
}

#endif
