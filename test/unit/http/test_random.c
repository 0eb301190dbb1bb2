// SPDX-License-Identifier: MIT
/* A server under clients that do anything and a handler that does anything, by seed: requests good
 * and spoiled, in any pieces, windows that open and shut, streams that break, answers now, later,
 * in pieces, broken off. Every exchange ends exactly once, every stream is closed, nothing is left.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "fake_stream.h"
#include "http/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CONNS = 6, STEPS = 120 };

struct app {
    struct fake_world w;
    struct rng r;
    struct http_server *srv;
    struct list open; /* of job */
    int begun, ended;
};

struct job {
    struct list link;
    struct app *app;
    struct http_exchange *x;
    bool has_head, is_whole, streams, is_paused;
};

static bool chance(struct app *a, unsigned one_in)
{
    return rng_below(&a->r, one_in) == 0;
}

/* The exchange is over: the job goes with it. */
static void job_end(struct job *j)
{
    j->app->ended++;
    list_remove(&j->link);
    free(j);
}

static void job_gone(void *user, int err)
{
    assert_true(err < 0);
    job_end(user);
}

static void job_body(void *user, struct bytes piece)
{
    struct job *j = user;
    assert_true(piece.n > 0 && !j->is_paused);
    if (chance(j->app, 4)) {
        j->is_paused = true;
        http_exchange_pause_body(j->x, true);
    }
}

/* One thing a handler may do. False when the exchange is over. */
static bool job_step(struct job *j)
{
    static char text[30000];
    struct app *a = j->app;
    struct http_exchange *x = j->x;
    struct bytes piece = bytes_of(text, rng_below(&a->r, chance(a, 5) ? sizeof text : 100));
    struct http_response r = {.status = 200, .content_length = HTTP_LENGTH_UNKNOWN};
    switch (rng_below(&a->r, 8)) {
    case 0:
        if (!j->has_head)
            http_exchange_interim(x, 102);
        return true;
    case 1:
        j->is_paused = j->streams && chance(a, 2);
        http_exchange_pause_body(x, j->is_paused);
        return true;
    case 2:
    case 3:
        if (!j->has_head) {
            if (chance(a, 3))
                r.content_length = 50;
            j->has_head = http_exchange_head(x, &r) == 0;
        }
        return true;
    case 4:
    case 5:
        if (j->has_head)
            http_exchange_body(x, &piece, 1);
        return true;
    case 6:
        if (chance(a, 2))
            return true;
        if (chance(a, 4))
            http_exchange_abort(x);
        else if (j->has_head)
            http_exchange_end(x);
        else
            http_exchange_error(x, 503, "busy", 1, "not now");
        job_end(j);
        return false;
    default:
        if (j->has_head || chance(a, 2))
            return true;
        http_exchange_reply(x, 200, "text/plain", NULL, 0, piece);
        job_end(j);
        return false;
    }
}

static void some_steps(struct job *j)
{
    while (!chance(j->app, 3))
        if (!job_step(j))
            return;
}

static const struct http_exchange_events events = {.gone = job_gone, .body = job_body};

static void on_head(void *ctx, struct http_exchange *x, const struct http_head *head)
{
    struct app *a = ctx;
    struct job *j = MEM_NEW(struct job);
    a->begun++;
    j->app = a;
    j->x = x;
    list_append(&a->open, &j->link);
    http_exchange_listen(x, &events, j);
    if (chance(a, 5))
        http_exchange_set_body_limit(x, 20);
    j->streams = chance(a, 3);
    if (j->streams)
        http_exchange_stream_body(x);
    if (chance(a, 6))
        some_steps(j);
}

static void on_request(void *ctx, struct http_exchange *x, const struct http_head *head,
                       struct bytes body)
{
    struct app *a = ctx;
    LIST_FOREACH_SAFE (&a->open, it) {
        struct job *j = LIST_ENTRY(it, struct job, link);
        if (j->x == x) {
            j->is_whole = true;
            some_steps(j);
            return;
        }
    }
    fail();
}

static const struct http_handler handler = {.head = on_head, .request = on_request};

/* A request, mostly good, sometimes spoiled by one byte. */
static void feed_request(struct app *a, struct fake_stream *f)
{
    static const char *const texts[] = {
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
        "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello world",
        "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nT: v\r\n\r\n",
    };
    const char *text = texts[rng_below(&a->r, ARRAY_LEN(texts))];
    size_t n = strlen(text);
    char copy[256];
    memcpy(copy, text, n);
    if (chance(a, 12))
        copy[rng_below(&a->r, n)] = (char)rng_below(&a->r, 256);
    if (chance(a, 20))
        n = rng_below(&a->r, n);
    fake_feed(f, copy, n);
}

static void client_step(struct app *a, struct fake_stream *f)
{
    if (f->is_closed)
        return;
    switch (rng_below(&a->r, 12)) {
    case 0:
        f->read_piece = rng_below(&a->r, 40);
        break;
    case 1:
        f->window = chance(a, 2) ? rng_below(&a->r, 300) : SIZE_MAX;
        break;
    case 2:
        if (chance(a, 12))
            fake_eof(f);
        break;
    case 3:
        if (chance(a, 12))
            fake_break(f, E_RESET);
        break;
    case 4:
        if (chance(a, 20))
            f->write_err = E_RESET;
        break;
    default:
        feed_request(a, f);
    }
}

static void one_world(uint64_t seed)
{
    struct app a = {0};
    struct fake_stream *f[CONNS];
    fake_world_init(&a.w);
    rng_init_seeded(&a.r, seed);
    list_init(&a.open);
    a.srv = http_server_new(&(struct http_server_config){
        .sched = &a.w.sched, .handler = &handler, .ctx = &a, .bodies_limit = 200});
    for (int i = 0; i < CONNS; i++) {
        f[i] = fake_stream_new(&a.w);
        http_server_conn_open(a.srv, &f[i]->s,
                              &(struct http_conn_options){.eof_is_cancel = chance(&a, 2),
                                                          .one_request = chance(&a, 4)});
    }
    for (int step = 0; step < STEPS; step++) {
        client_step(&a, f[rng_below(&a.r, CONNS)]);
        if (chance(&a, 2))
            fake_world_run(&a.w);
        if (chance(&a, 40))
            fake_world_advance(&a.w, rng_below(&a.r, 20 * US_PER_S));
        LIST_FOREACH_SAFE (&a.open, it)
            if (LIST_ENTRY(it, struct job, link)->is_whole)
                some_steps(LIST_ENTRY(it, struct job, link));
        assert_int_equal(http_server_exchange_count(a.srv), a.begun - a.ended);
    }
    http_server_free(a.srv);
    assert_int_equal(a.begun, a.ended);
    assert_true(list_is_empty(&a.open));
    fake_world_fini(&a.w);
}

/* A failure names its world: CONDUIT_SEED=n runs that one alone. */
static void whatever_happens_everything_ends_once(void **state)
{
    const char *only = getenv("CONDUIT_SEED");
    uint64_t from = only ? strtoull(only, NULL, 10) : 1, to = only ? from : 1500;
    for (uint64_t seed = from; seed <= to; seed++) {
        char note[64];
        snprintf(note, sizeof note, "repeat with CONDUIT_SEED=%llu\n", (unsigned long long)seed);
        setenv("CONDUIT_LAST_SEED", note, 1);
        one_world(seed);
    }
}

static void say_seed(void)
{
    if (getenv("CONDUIT_LAST_SEED"))
        fputs(getenv("CONDUIT_LAST_SEED"), stderr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_everything_ends_once),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed)
        say_seed();
    return failed;
}
