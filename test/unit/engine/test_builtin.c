// SPDX-License-Identifier: MIT
/* echo: and replay: in virtual time: every event at its moment, a long recording whole and by pieces, a
 * reader that stops, a client that goes away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "http/client.h"
#include "loop/loop.h"

#include <unistd.h>

struct world {
    struct loop_virtual *v;
    struct loop *loop;
    struct http_client *client;
    struct engine *engine;
    struct engine_ticket ticket;
    const char *body;
    struct http_call *call;
    struct buf text;
    int status, err;
    bool is_done, stops;
    uint64_t from_us;
    struct { /* when which length had come */
        uint64_t ms;
        size_t n;
    } moments[64];
    size_t moment_count;
    char file[64];
};

static int setup(void **state)
{
    struct world *w = MEM_NEW(struct world);
    struct net_addr ip;
    w->v = loop_virtual_new(5);
    net_addr_parse_ip("10.0.0.1", 0, &ip);
    w->loop = loop_virtual_machine(w->v, &ip);
    w->client = http_client_new(loop_sched(w->loop));
    w->engine = engine_new(
        &(struct engine_config){.loop = w->loop, .client = w->client, .data_dir = "/nonexistent"});
    snprintf(w->file, sizeof w->file, "/tmp/conduit-tape-%d", (int)getpid());
    *state = w;
    return 0;
}

static void run_for(struct world *w, uint64_t us)
{
    loop_virtual_run(w->v, loop_virtual_now(w->v) + us, NULL, NULL);
}

static int teardown(void **state)
{
    struct world *w = *state;
    if (w->ticket.ready)
        engine_release(w->engine, &w->ticket);
    run_for(w, US_PER_S);
    engine_free(w->engine);
    http_client_free(w->client);
    loop_virtual_free(w->v);
    buf_fini(&w->text);
    unlink(w->file);
    free(w);
    return 0;
}

static void on_head(void *ctx, const struct http_head *head)
{
    ((struct world *)ctx)->status = head->status;
}

static void on_body(void *ctx, struct bytes piece)
{
    struct world *w = ctx;
    buf_append_bytes(&w->text, piece);
    if (w->stops)
        http_call_pause(w->call, true);
    uint64_t ms = (loop_virtual_now(w->v) - w->from_us) / US_PER_MS;
    if (w->moment_count && w->moments[w->moment_count - 1].ms == ms)
        w->moment_count--;
    if (w->moment_count < ARRAY_LEN(w->moments)) {
        w->moments[w->moment_count].ms = ms;
        w->moments[w->moment_count++].n = buf_len(&w->text);
    }
}

static void on_done(void *ctx, const struct http_call_result *r)
{
    struct world *w = ctx;
    w->err = r->err;
    w->is_done = true;
    w->call = NULL;
}

static void on_ready(struct engine_ticket *t, int err, const struct engine_way *way)
{
    static const struct http_call_events on = {NULL, on_head, on_body, on_done};
    struct world *w = CONTAINER_OF(t, struct world, ticket);
    struct bytes body = bytes_str(w->body);
    struct http_request req = {.method = "POST",
                               .target = BYTES_LIT("/v1/chat/completions"),
                               .host = bytes_str(way->host),
                               .body = &body,
                               .body_count = 1};
    assert_int_equal(err, 0);
    w->call = http_call_open(w->client, way->stream, &req, &on, w, &err);
    assert_non_null(w->call);
}

static void ask(struct world *w, const char *spec, const char *body)
{
    char why[ENGINE_WHY];
    if (engine_add_backend(w->engine, spec, NULL, NULL, why) != 0)
        fail_msg("%s", why);
    w->body = body;
    w->from_us = loop_virtual_now(w->v);
    w->ticket.ready = on_ready;
    engine_acquire(w->engine, &w->ticket, BYTES_LIT("x"));
}

static void record(struct world *w, const void *p, size_t n)
{
    FILE *f = fopen(w->file, "w");
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static char *tape(struct world *w)
{
    static char spec[96];
    snprintf(spec, sizeof spec, "x=replay:%s", w->file);
    return spec;
}

static void assert_moments(const struct world *w, const uint64_t *ms, size_t n)
{
    assert_int_equal(w->moment_count, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(w->moments[i].ms, ms[i]);
}

#define CHAT "{\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"a b c\"}]}"

static void every_word_at_its_moment(void **state)
{
    static const uint64_t at[] = {20, 40, 60, 80}; /* role and word, word, word, end */
    struct world *w = *state;
    ask(w, "x=echo:?delay_ms=20", CHAT);
    run_for(w, US_PER_S);
    assert_true(w->is_done);
    assert_moments(w, at, ARRAY_LEN(at));
}

static void every_line_at_its_moment(void **state)
{
    static const char said[] = ": wait 100\ndata: a\n\n: wait 250\ndata: : wait 9\n\ndata: b\n\n: "
                               "wait 99999999\ndata: c\n\n";
    static const uint64_t at[] = {100, 350, 60350}; /* a minute is the longest */
    struct world *w = *state;
    record(w, said, sizeof said - 1);
    ask(w, tape(w), CHAT);
    run_for(w, 61 * US_PER_S);
    assert_true(w->is_done);
    assert_int_equal(w->err, 0);
    assert_moments(w, at, ARRAY_LEN(at));
    struct bytes all = buf_view(&w->text);
    assert_true(bytes_eq_str(all, "data: a\n\ndata: : wait 9\n\ndata: b\n\ndata: c\n\n"));
}

static char *long_recording(size_t n)
{
    char *p = mem_new(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)('a' + i % 23);
    for (size_t i = 99; i < n; i += 100 + i % 7000)
        p[i] = '\n';
    return p;
}

static void a_long_recording_comes_whole(void **state)
{
    enum { LONG = 5 << 20 };
    struct world *w = *state;
    char *p = long_recording(LONG);
    memset(p + (1 << 20), 'z', 1 << 20); /* and a line of a MiB */
    record(w, p, LONG);
    ask(w, tape(w), CHAT);
    run_for(w, 10 * US_PER_S);
    assert_true(w->is_done);
    assert_int_equal(buf_len(&w->text), LONG);
    assert_memory_equal(buf_view(&w->text).p, p, LONG);
    free(p);
}

/* Nobody reads: it waits, and goes on where it stood. */
static void a_reader_that_stops(void **state)
{
    enum { LONG = 1 << 20 };
    struct world *w = *state;
    char *p = long_recording(LONG);
    record(w, p, LONG);
    w->stops = true;
    ask(w, tape(w), CHAT);
    run_for(w, 20 * US_PER_S);
    assert_true(buf_len(&w->text) < LONG / 2 && !w->is_done);
    w->stops = false;
    http_call_pause(w->call, false);
    run_for(w, 10 * US_PER_S);
    assert_true(w->is_done);
    assert_int_equal(buf_len(&w->text), LONG);
    assert_memory_equal(buf_view(&w->text).p, p, LONG);
    free(p);
}

static void a_client_that_goes_away(void **state)
{
    struct world *w = *state;
    ask(w, "x=echo:?delay_ms=20&tokens=1000", CHAT);
    run_for(w, 100 * US_PER_MS);
    assert_true(buf_len(&w->text) > 0);
    http_call_cancel(w->call);
    run_for(w, 60 * US_PER_S); /* what is left of it is freed, as the sanitizer sees */
    assert_false(w->is_done);
}

/* Two engines have a model of one name: where a request failed comes last for some seconds. */
static void of_two_engines_the_one_that_failed_is_asked_last(void **state)
{
    struct world *w = *state;
    char why[ENGINE_WHY];
    for (int i = 0; i < 2; i++)
        assert_int_equal(engine_add_backend(w->engine, "m=echo:", NULL, NULL, why), 0);
    struct engine_unit *first = engine_model_at(w->engine, 0)->unit,
                       *second = engine_model_at(w->engine, 1)->unit;
    assert_ptr_not_equal(first, second);
    assert_ptr_equal(engine_model_find(w->engine, BYTES_LIT("m"))->unit, first);
    assert_true(engine_suspect(w->engine, BYTES_LIT("m"), 1));
    assert_ptr_equal(engine_model_find(w->engine, BYTES_LIT("m"))->unit, second);
    assert_false(engine_suspect(w->engine, BYTES_LIT("m"), 2)); /* now both */
    assert_non_null(engine_model_find(w->engine, BYTES_LIT("m")));
    run_for(w, 11 * US_PER_S);
    assert_ptr_equal(engine_model_find(w->engine, BYTES_LIT("m"))->unit, first);
    assert_int_equal(engine_model_slots(w->engine, BYTES_LIT("m")), 0);
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORY(every_word_at_its_moment),
        STORY(every_line_at_its_moment),
        STORY(a_long_recording_comes_whole),
        STORY(a_reader_that_stops),
        STORY(a_client_that_goes_away),
        STORY(of_two_engines_the_one_that_failed_is_asked_last),
    };
#undef STORY
    return cmocka_run_group_tests(tests, NULL, NULL);
}
