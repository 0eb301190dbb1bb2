// SPDX-License-Identifier: MIT
/* Backends by URL against a server that is scripted byte by byte, on a network in virtual time: what it
 * gets wrong and what is said of it, when it is asked again, how its models come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/trace.h"
#include "engine/engine.h"
#include "http/client_shell.h"
#include "loop/loop.h"

/* --- the scripted server --- */
enum script {
    SAY,       /* `text` as it stands, then the end */
    LIST,      /* `text` is a body: 200 with a right head */
    SILENT,    /* nothing, ever */
    DRIP,      /* a head, then a byte every 10 s, for ever */
    FLOOD,     /* a head, then bytes for ever */
    HUGE_LIST, /* a list of LIMIT_BACKEND_MODELS + 1 models */
};

struct world {
    struct loop_virtual *v;
    struct loop *near, *far;
    struct net_addr far_ip;
    struct loop_listener *ln;
    struct http_client *client;
    struct http_net *net;
    struct http_pool *pool;
    struct engine *engine;
    struct list served;
    enum script script;
    const char *text;
    int asked, changes;
    uint64_t last_asked_us;
    char head[1024]; /* of the last question */
    char log[4096];  /* what the engine said, line by line */
};

struct served {
    struct list link;
    struct world *w;
    struct stream *s;
    struct timer drip;
    struct buf in, out;
    bool is_asked, ends, is_closed;
};

static void served_close(struct served *c)
{
    timer_clear(loop_sched(c->w->far), &c->drip);
    stream_close(c->s);
    list_remove(&c->link);
    buf_fini(&c->in);
    buf_fini(&c->out);
    free(c);
}

static void push(struct served *c)
{
    if (c->w->script == FLOOD && c->is_asked && buf_len(&c->out) == 0)
        for (int i = 0; i < 1000; i++)
            buf_append_str(&c->out, "{\"id\":\"x\"},{\"id\":\"x\"},{\"id\":\"x\"},{\"id\":\"x\"},");
    ssize_t n = buf_len(&c->out) ? stream_write(c->s, buf_view(&c->out)) : 0;
    if (n > 0)
        buf_consume(&c->out, (size_t)n);
    if (buf_len(&c->out) || (c->w->script == FLOOD && c->is_asked))
        stream_want_write(c->s, true);
    else if (c->ends)
        stream_finish(c->s);
}

static void on_drip(struct timer *t)
{
    struct served *c = CONTAINER_OF(t, struct served, drip);
    buf_append_str(&c->out, " ");
    push(c);
    timer_after(loop_sched(c->w->far), t, 10 * US_PER_S);
}

static void say_list(struct served *c, struct bytes body)
{
    buf_printf(&c->out,
               "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
               body.n);
    buf_append_bytes(&c->out, body);
}

static void say_huge(struct served *c)
{
    struct buf b;
    buf_init(&b, 0);
    buf_append_str(&b, "{\"data\":[{\"id\":\"m\"}");
    for (int i = 0; i < LIMIT_BACKEND_MODELS; i++)
        buf_printf(&b, ",{\"id\":\"m%d\"}", i);
    buf_append_str(&b, "]}");
    say_list(c, buf_view(&b));
    buf_fini(&b);
}

static void answer(struct served *c)
{
    struct world *w = c->w;
    c->is_asked = true;
    w->asked++;
    w->last_asked_us = loop_virtual_now(w->v);
    snprintf(w->head, sizeof w->head, "%.*s", BYTES_FMT(buf_view(&c->in)));
    buf_clear(&c->in);
    switch (w->script) {
    case SAY:
        buf_append_str(&c->out, w->text);
        c->ends = true;
        break;
    case LIST:
        say_list(c, bytes_str(w->text));
        break;
    case HUGE_LIST:
        say_huge(c);
        break;
    case DRIP:
        buf_append_str(&c->out, "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n");
        timer_after(loop_sched(w->far), &c->drip, 0);
        break;
    case FLOOD:
        buf_append_str(&c->out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"data\":[");
        break;
    case SILENT:
        break;
    }
    push(c);
}

static void on_readable(void *ctx)
{
    struct served *c = ctx;
    uint8_t some[4096];
    ssize_t n;
    while ((n = stream_read(c->s, some, sizeof some)) > 0)
        buf_append(&c->in, some, (size_t)n);
    struct bytes in = buf_view(&c->in);
    if (in.n >= 4 && memcmp(in.p + in.n - 4, "\r\n\r\n", 4) == 0)
        answer(c);
    if (n != E_AGAIN)
        served_close(c);
}

static void on_writable(void *ctx)
{
    push(ctx);
}

static void on_closed(void *ctx, int err)
{
    served_close(ctx);
}

static void accepted(void *ctx, struct stream *s)
{
    static const struct stream_events on = {on_readable, on_writable, on_closed};
    struct world *w = ctx;
    struct served *c = MEM_NEW(struct served);
    c->w = w;
    c->s = s;
    buf_init(&c->in, 0);
    buf_init(&c->out, 0);
    timer_init(&c->drip, on_drip);
    list_append(&w->served, &c->link);
    stream_listen(s, &on, c);
    stream_want_read(s, true);
}

static void comes_up(struct world *w)
{
    struct loop_listen_options o = {.at = w->far_ip, .accepted = accepted, .ctx = w};
    o.at.port = 8000;
    assert_int_equal(loop_listen(w->far, &o, &w->ln), 0);
}

static void goes_down(struct world *w)
{
    loop_listener_close(w->ln);
    w->ln = NULL;
    LIST_FOREACH_SAFE (&w->served, it)
        served_close(LIST_ENTRY(it, struct served, link));
}

/* --- the world --- */
static void on_changed(void *ctx)
{
    ((struct world *)ctx)->changes++;
}

static void on_line(void *ctx, enum trace_room room, enum trace_level level, const char *line)
{
    struct world *w = ctx;
    size_t n = strlen(w->log);
    if (room == ROOM_ENGINE && level <= TRACE_INFO)
        snprintf(w->log + n, sizeof w->log - n, "%s\n", line);
}

static int setup(void **state)
{
    struct world *w = MEM_NEW(struct world);
    struct net_addr near_ip;
    char why[256];
    w->v = loop_virtual_new(11);
    net_addr_parse_ip("10.0.0.1", 0, &near_ip);
    net_addr_parse_ip("10.0.0.2", 0, &w->far_ip);
    w->near = loop_virtual_machine(w->v, &near_ip);
    w->far = loop_virtual_machine(w->v, &w->far_ip);
    list_init(&w->served);
    w->client = http_client_new(loop_sched(w->near));
    assert_int_equal(http_net_new(w->near, &(struct http_net_options){0}, &w->net, why), 0);
    w->pool = http_pool_new(&(struct http_pool_config){.client = w->client,
                                                       .sched = loop_sched(w->near),
                                                       .dialer = http_net_dialer(),
                                                       .dialer_ctx = w->net});
    w->engine = engine_new(&(struct engine_config){.loop = w->near,
                                                   .client = w->client,
                                                   .pool = w->pool,
                                                   .data_dir = "/nonexistent",
                                                   .changed = on_changed,
                                                   .ctx = w});
    trace_set_all(TRACE_INFO);
    trace_set_sink(on_line, w);
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
    engine_free(w->engine);
    http_pool_free(w->pool);
    http_client_free(w->client);
    run_for(w, US_PER_S);
    http_net_free(w->net);
    if (w->ln)
        goes_down(w);
    trace_set_sink(NULL, NULL);
    trace_set_all(TRACE_OFF);
    loop_virtual_free(w->v);
    free(w);
    return 0;
}

static void add(struct world *w, const char *const *models, const char *key)
{
    char why[ENGINE_WHY];
    if (engine_add_backend(w->engine, "box=http://10.0.0.2:8000", models, key, why) != 0)
        fail_msg("%s", why);
}

static bool is_used(const struct world *w)
{
    const struct engine_model *m = engine_model_at(w->engine, 0);
    return m && m->is_ready;
}

static void assert_said(struct world *w, const char *line)
{
    if (!strstr(w->log, line))
        fail_msg("nobody said \"%s\", but:\n%s", line, w->log);
    w->log[0] = 0;
}

#define TWO "{\"data\":[{\"id\":\"a\"},{\"id\":\"b\",\"max_model_len\":4096}]}"
#define ONE "{\"data\":[{\"id\":\"b\",\"max_model_len\":4096}]}"

/* --- stories --- */
static void models_come_and_go(void **state)
{
    struct world *w = *state;
    w->script = LIST;
    w->text = TWO;
    comes_up(w);
    add(w, NULL, "secret");
    assert_int_equal(engine_model_count(w->engine), 0);
    run_for(w, US_PER_S);
    assert_int_equal(engine_model_count(w->engine), 2);
    assert_true(is_used(w));
    assert_int_equal(engine_model_at(w->engine, 1)->ctx, 4096);
    assert_non_null(strstr(w->head, "GET /v1/models HTTP/1.1\r\n"));
    assert_non_null(strstr(w->head, "Authorization: Bearer secret\r\n"));
    assert_said(w, "backend box answers -> used\nbackend box has 2 models\n");
    int changes = w->changes;
    run_for(w, 31 * US_PER_S); /* the same list: nothing to tell */
    assert_int_equal(w->asked, 2);
    assert_int_equal(w->changes, changes);
    w->text = ONE;
    run_for(w, 30 * US_PER_S);
    assert_int_equal(engine_model_count(w->engine), 1);
    assert_string_equal(engine_model_at(w->engine, 0)->name, "b");
    assert_true(w->changes > changes);
    w->text = "{\"data\":[]}";
    run_for(w, 30 * US_PER_S);
    assert_int_equal(engine_model_count(w->engine), 0);
    w->text = TWO;
    run_for(w, 30 * US_PER_S);
    assert_int_equal(engine_model_count(w->engine), 2);
    assert_true(is_used(w));
}

static void down_at_the_start_and_used_when_it_comes(void **state)
{
    struct world *w = *state;
    w->script = LIST;
    w->text = TWO;
    add(w, NULL, NULL);
    run_for(w, 20 * US_PER_S);
    assert_int_equal(engine_model_count(w->engine), 0);
    assert_said(w, "-> not used, asking again in 1 s");
    comes_up(w); /* asked after 1, 2, 4, 8, 16 s … */
    run_for(w, 17 * US_PER_S);
    assert_true(is_used(w));
    assert_said(w, "backend box answers -> used");
}

static void goes_and_comes_back(void **state)
{
    struct world *w = *state;
    w->script = LIST;
    w->text = TWO;
    comes_up(w);
    add(w, NULL, NULL);
    run_for(w, US_PER_S);
    assert_true(is_used(w));
    goes_down(w);
    w->log[0] = 0;
    run_for(w, 29500 * US_PER_MS);
    assert_said(w, "-> still used, asking again in 1 s");
    assert_true(is_used(w)); /* once may be chance */
    run_for(w, 2 * US_PER_S);
    assert_false(is_used(w));
    assert_said(w, "-> not used, asking again in 2 s");
    assert_int_equal(engine_model_count(w->engine), 2); /* known, and not ready */
    run_for(w, 10 * US_PER_S);
    assert_string_equal(w->log, ""); /* one line, not one a try */
    comes_up(w);
    run_for(w, 17 * US_PER_S);
    assert_true(is_used(w));
}

/* Down for long: asked once a minute, not less, not more. */
static void back_off_has_an_end(void **state)
{
    struct world *w = *state;
    w->script = SAY;
    w->text = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";
    comes_up(w);
    add(w, NULL, NULL);
    run_for(w, 200 * US_PER_S);
    int before = w->asked;
    assert_in_range(before, 7, 9); /* 0 1 3 7 15 31 63 123 183 */
    run_for(w, 3600 * US_PER_S);
    assert_in_range(w->asked - before, 59, 61);
    w->script = LIST;
    w->text = ONE;
    run_for(w, 61 * US_PER_S);
    assert_true(is_used(w));
}

static void wrong_answers_have_a_sentence(void **state)
{
    static const struct {
        enum script script;
        const char *text, *said;
    } rows[] = {
        {SAY, "\x01\x02 this is not HTTP\r\n\r\n", "backend box: "},
        {SAY, "", "backend box: "},
        {SAY, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"data\":[{", "backend box: "},
        {LIST, "{\"data\":[{\"id\":\"a\"", "its list of models is not JSON"},
        {LIST, "", "its list of models is not JSON"},
        {LIST, "<html>It works!</html>", "its list of models is not JSON"},
        {LIST, "{\"models\":[]}", "its list of models has no \"data\""},
        {LIST, "[[[[]]]]", NULL}, /* a list of nothing that could be asked for: up, and empty */
        {HUGE_LIST, NULL, "it lists 4097 models; at most 4096 are taken"},
        {SILENT, NULL, "backend box: "},
        {DRIP, NULL, "its list of models takes longer than 60 s"},
        {FLOOD, NULL, "its list of models is too long"},
        {SAY, "HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
         "it answers 301 to /v1/models"},
        {SAY, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
         "it refuses the key (401); CONDUIT_BACKEND_BOX_KEY sets it"},
        {SAY, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "it answers 404 to /v1/models"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world *w;
        setup((void **)&w);
        w->script = rows[i].script;
        w->text = rows[i].text;
        comes_up(w);
        add(w, NULL, NULL);
        run_for(w, 62 * US_PER_S);
        assert_true(w->asked > 0);
        assert_false(is_used(w));
        if (rows[i].said &&
            (!strstr(w->log, rows[i].said) || !strstr(w->log, "-> not used, asking again in")))
            fail_msg("row %zu: said \"%s\"", i, w->log);
        /* And whatever it was, it is used when it is put right. */
        w->script = LIST;
        w->text = ONE;
        run_for(w, 140 * US_PER_S);
        if (!is_used(w))
            fail_msg("row %zu: not used afterwards: %s", i, w->log);
        teardown((void **)&w);
    }
}

/* A request failed: it is asked now and not in half a minute, but not once per request. */
static void a_failed_request_is_a_reason_to_ask(void **state)
{
    struct world *w = *state;
    w->script = LIST;
    w->text = ONE;
    comes_up(w);
    add(w, NULL, NULL);
    run_for(w, 5 * US_PER_S);
    goes_down(w);
    assert_false(engine_suspect(w->engine, BYTES_LIT("b"), 1)); /* nobody else has it */
    run_for(w, 3 * US_PER_S);
    assert_false(is_used(w));
    engine_suspect(w->engine, BYTES_LIT("b"), 1); /* it is down as it is: the back-off holds */
    assert_false(engine_suspect(w->engine, BYTES_LIT("nobody"), 1));
    comes_up(w);
    run_for(w, 10 * US_PER_S);
    assert_true(is_used(w));
    int before = w->asked;
    for (int i = 0; i < 50; i++) {
        engine_suspect(w->engine, BYTES_LIT("b"), 1);
        run_for(w, 100 * US_PER_MS);
    }
    assert_in_range(w->asked - before, 4, 6); /* in 5 s of requests that all fail */
}

/* Named models need no list: what has none is asked all the same whether it is there. */
static void named_models(void **state)
{
    static const char *const names[] = {"m1", "m2", NULL};
    struct world *w = *state;
    w->script = SAY;
    w->text = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
    comes_up(w);
    add(w, names, NULL);
    assert_int_equal(engine_model_count(w->engine), 2);
    assert_false(is_used(w));
    run_for(w, US_PER_S);
    assert_true(is_used(w));
    w->script = LIST;
    w->text = TWO; /* not asked for: exactly the named ones stay */
    run_for(w, 31 * US_PER_S);
    assert_int_equal(engine_model_count(w->engine), 2);
    assert_string_equal(engine_model_at(w->engine, 0)->name, "m1");
    w->script = SAY;
    w->text = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
    run_for(w, 32 * US_PER_S);
    assert_false(is_used(w)); /* every request would fail the same way */
    assert_said(w, "it refuses the key (401)");
}

/* Asked in the middle of a question, forgotten in the middle of a question. */
static void closed_while_asking(void **state)
{
    struct world *w = *state;
    w->script = SILENT;
    comes_up(w);
    add(w, NULL, NULL);
    run_for(w, US_PER_S);
    assert_int_equal(w->asked, 1);
}

/* Two backends with a model of the same name: the one that answers is taken. */
static void the_one_that_answers_is_taken(void **state)
{
    struct world *w = *state;
    char why[ENGINE_WHY];
    w->script = LIST;
    w->text = ONE;
    comes_up(w);
    static const char *const names[] = {"b", NULL};
    assert_int_equal(engine_add_backend(w->engine, "dead=http://10.0.0.2:1", names, NULL, why), 0);
    add(w, NULL, NULL);
    run_for(w, 2 * US_PER_S);
    assert_int_equal(engine_model_count(w->engine), 2);
    assert_string_equal(engine_model_find(w->engine, BYTES_LIT("b"))->unit_name, "box");
}

int main(void)
{
#define STORY(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORY(models_come_and_go),
        STORY(down_at_the_start_and_used_when_it_comes),
        STORY(goes_and_comes_back),
        STORY(back_off_has_an_end),
        cmocka_unit_test(wrong_answers_have_a_sentence),
        STORY(named_models),
        STORY(closed_while_asking),
        STORY(a_failed_request_is_a_reason_to_ask),
        STORY(the_one_that_answers_is_taken),
    };
#undef STORY
    return cmocka_run_group_tests(tests, NULL, NULL);
}
