// SPDX-License-Identifier: MIT
/* One try, without anybody around it: what a backend's filter decides, owners that cancel from inside each
 * of its callbacks, and that each way is closed and each filter freed exactly once. */
#include "base/mem.h"
#include "fake_stream.h"
#include "gateway/attempt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum cancel_at { CANCEL_NEVER, CANCEL_LIFE, CANCEL_EVENT };

struct
try {
    struct fake_world w;
    struct http_client *client;
    struct attempt_env env;
    struct attempt *a;
    struct gateway_open *open;
    struct fake_stream *p;
    enum cancel_at cancel_at;
    unsigned closes, filters, lives, events, dones, replies, endings, failures;
    struct buf got;
    struct failure failure;
    int status;
    char type[64]; /* of the reply */
};

static bool got(struct try *t, const char *text)
{
    struct bytes v = buf_view(&t->got);
    return v.n && memmem(v.p, v.n, text, strlen(text));
}

/* --- a filter whose verdict is the event's own text --- */

struct script {
    struct gateway_filter base;
    struct try *t;
};

static enum filter_verdict script_event(struct gateway_filter *f, struct bytes data,
                                        struct buf *out, int *status)
{
    if (bytes_eq(data, BYTES_LIT("drop")))
        return FILTER_REPLACE;
    if (bytes_starts(data, BYTES_LIT("change"))) {
        buf_append_str(out, "data: changed\n\n");
        return FILTER_REPLACE;
    }
    if (bytes_eq(data, BYTES_LIT("fail"))) {
        buf_append_str(out, "{\"error\":{\"message\":\"out of memory\",\"code\":\"oom\"}}");
        *status = 500;
        return FILTER_FAILED;
    }
    if (bytes_eq(data, BYTES_LIT("[DONE]"))) {
        buf_append_str(out, "data: usage\n\ndata: [DONE]\n\n");
        return FILTER_DONE;
    }
    return FILTER_RELAY;
}

static enum filter_verdict script_end(struct gateway_filter *f, struct buf *out, int *status)
{
    struct try *t = CONTAINER_OF(f, struct script, base)->t;
    bool is_whole = got(t, "finish");
    buf_append_str(out, is_whole ? "data: [DONE]\n\n" : "{\"error\":{\"message\":\"cut off\"}}");
    *status = 502;
    return is_whole ? FILTER_DONE : FILTER_FAILED;
}

static enum filter_verdict script_reply(struct gateway_filter *f, int *status, struct bytes type,
                                        struct bytes body, struct buf *out)
{
    if (body.n)
        return FILTER_RELAY;
    buf_append_str(out, "{\"error\":{\"message\":\"empty\"}}");
    *status = 502;
    return FILTER_FAILED;
}

static void script_free(struct gateway_filter *f)
{
    struct script *s = CONTAINER_OF(f, struct script, base);
    s->t->filters--;
    free(s);
}

static struct gateway_filter *script_new(struct try *t)
{
    static const struct gateway_filter_ops ops = {script_event, script_end, script_reply, NULL,
                                                  script_free};
    struct script *s = MEM_NEW(struct script);
    s->base.ops = &ops;
    s->t = t;
    t->filters++;
    return &s->base;
}

/* --- port and owner --- */

static void port_open(void *ctx, struct gateway_open *o)
{
    ((struct try *)ctx)->open = o;
}

static void port_close(void *ctx, struct gateway_open *o)
{
    struct try *t = ctx;
    assert_ptr_equal(t->open, o);
    t->open = NULL;
    t->closes++;
}

static const struct gateway_ports ports = {.open = port_open, .close = port_close};

static void cancel(struct try *t)
{
    struct attempt *a = t->a;
    t->a = NULL;
    attempt_cancel(a);
}

static void on_life(void *ctx)
{
    struct try *t = ctx;
    assert_non_null(t->a);
    t->lives++;
    if (t->cancel_at == CANCEL_LIFE)
        cancel(t);
}

static void on_event(void *ctx, struct bytes raw, bool is_done)
{
    struct try *t = ctx;
    assert_non_null(t->a);
    t->events++;
    t->dones += is_done;
    buf_append_bytes(&t->got, raw);
    if (t->cancel_at == CANCEL_EVENT)
        cancel(t);
}

static void on_reply(void *ctx, int status, struct bytes type, struct bytes body)
{
    struct try *t = ctx;
    t->a = NULL;
    t->replies++;
    t->status = status;
    snprintf(t->type, sizeof t->type, "%.*s", BYTES_FMT(type));
    buf_append_bytes(&t->got, body);
}

static void on_ended(void *ctx)
{
    struct try *t = ctx;
    t->a = NULL;
    t->endings++;
}

static void on_failed(void *ctx, const struct failure *f)
{
    struct try *t = ctx;
    t->a = NULL;
    t->failures++;
    t->failure = *f;
}

static const struct attempt_events owner = {on_life, on_event, on_reply, on_ended, on_failed};

static const struct gateway_choice choice = {.is_own = true, .peer = "self", .model = "m"};
static const struct bytes body = {(const uint8_t *)"{}", 2};

static void start(struct try *t, bool is_stream)
{
    struct attempt_request req = {.path = BYTES_LIT("/v1/chat/completions"),
                                  .body = &body,
                                  .body_count = 1,
                                  .is_stream = is_stream,
                                  .is_chat = true,
                                  .reply_limit = 1000};
    t->lives = t->events = t->dones = t->replies = t->endings = t->failures = 0;
    buf_clear(&t->got);
    t->a = attempt_start(&t->env, &choice, &req, &owner, t);
    assert_non_null(t->open);
}

static void ready(struct try *t, bool filtered)
{
    t->p = fake_stream_new(&t->w);
    struct gateway_way way = {.stream = &t->p->s,
                              .host = BYTES_LIT("backend"),
                              .base_path = BYTES_LIT("/api/v3"),
                              .filter = filtered ? script_new(t) : NULL};
    t->open->ready(t->open, 0, &way);
    fake_world_run(&t->w);
}

static void says(struct try *t, const char *text)
{
    fake_feed_str(t->p, text);
    fake_world_run(&t->w);
}

/* Exactly one ending was told, or none after a cancel; nothing is left. */
static void assert_over(struct try *t, unsigned closes)
{
    assert_null(t->a);
    assert_null(t->open);
    assert_int_equal(t->closes, closes);
    fake_world_advance(&t->w, 3 * US_PER_S);
    assert_int_equal(t->env.lingering_count, 0);
    assert_int_equal(t->filters, 0);
    assert_true(!t->p || t->p->is_closed);
}

#define HEAD "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n"

/* --- tests --- */

static void the_filter_relays_changes_drops_and_ends(void **state)
{
    struct try *t = *state;
    start(t, true);
    ready(t, true);
    assert_non_null(
        strstr(fake_sent(t->p), "POST /api/v3/chat/completions HTTP/1.1\r\nhost: backend\r\n"));
    says(t, HEAD "data: one\n\nid: 7\r\nevent: x\r\ndata: two\r\n\r\ndata: drop\n\ndata: "
                 "change\n\ndata: [DONE]\n\n");
    assert_int_equal(
        buf_len(&t->got),
        strlen("data: one\n\ndata: two\n\ndata: changed\n\ndata: usage\n\ndata: [DONE]\n\n"));
    assert_true(
        got(t, "data: one\n\ndata: two\n\ndata: changed\n\ndata: usage\n\ndata: [DONE]\n\n"));
    assert_int_equal(t->endings, 1);
    assert_int_equal(t->dones, 1);
    assert_int_equal(t->failures, 0);
    assert_over(t, 1);
}

static void the_filters_failure_is_the_attempts(void **state)
{
    struct try *t = *state;
    start(t, true);
    ready(t, true);
    says(t, HEAD "data: one\n\ndata: fail\n\ndata: never\n\n");
    assert_int_equal(t->failures, 1);
    assert_string_equal(t->failure.code, "oom");
    assert_string_equal(t->failure.message, "out of memory");
    assert_int_equal(t->failure.status, 500);
    assert_int_equal(t->events, 1);
    assert_over(t, 1);
}

static void the_filter_says_whether_an_end_is_good(void **state)
{
    struct try *t = *state;
    for (unsigned good = 0; good < 2; good++) {
        start(t, true);
        ready(t, true);
        says(t, good ? HEAD "data: finish\n\n" : HEAD "data: one\n\n");
        fake_eof(t->p);
        fake_world_run(&t->w);
        assert_int_equal(t->endings, good);
        assert_int_equal(t->failures, !good);
        assert_int_equal(got(t, "[DONE]"), good);
        assert_over(t, good + 1);
    }
}

static void an_event_without_its_empty_line_counts(void **state)
{
    struct try *t = *state;
    start(t, true);
    ready(t, true);
    says(t, HEAD "data: finish\n\ndata: [DONE]\n");
    fake_eof(t->p);
    fake_world_run(&t->w);
    assert_int_equal(t->endings, 1);
    assert_int_equal(t->dones, 1);
    assert_over(t, 1);
}

static void an_event_that_never_ends_is_refused(void **state)
{
    struct try *t = *state;
    char *big = mem_new(MIB + 1);
    memset(big, 'x', MIB);
    start(t, true);
    ready(t, true);
    says(t, HEAD "data: ");
    for (int i = 0; i < 6 && t->a; i++)
        says(t, big);
    free(big);
    assert_int_equal(t->failures, 1);
    assert_string_equal(t->failure.code, "response_too_large");
    assert_over(t, 1);
}

static void errors_of_backends_keep_their_status_and_sentence(void **state)
{
    struct try *t = *state;
    start(t, true);
    ready(t, true);
    says(
        t,
        "HTTP/1.1 429 No\r\nretry-after: 9\r\ncontent-length: 21\r\n\r\n{\"detail\":\"too many\"}");
    assert_int_equal(t->failures, 1);
    assert_int_equal(t->failure.status, 429);
    assert_int_equal(t->failure.retry_after_s, 9);
    assert_string_equal(t->failure.message, "too many");
    assert_true(t->failure.can_try_another && !t->failure.is_provider_fault);
    assert_over(t, 1);
}

/* Other nodes take JSON alone; a backend may call it what it likes. */
static void a_backend_s_json_is_called_json(void **state)
{
    struct try *t = *state;
    start(t, false);
    ready(t, true);
    says(t, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}");
    assert_int_equal(t->replies, 1);
    assert_string_equal(t->type, "application/json");
    assert_over(t, 1);
}

static void a_reply_over_its_limit_is_refused(void **state)
{
    struct try *t = *state;
    char big[1201];
    memset(big, 'x', 1200);
    big[1200] = 0;
    start(t, false);
    ready(t, false);
    says(t, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n");
    says(t, big);
    assert_int_equal(t->failures, 1);
    assert_string_equal(t->failure.code, "response_too_large");
    assert_over(t, 1);
}

static void cancelling_from_inside_is_safe(void **state)
{
    struct try *t = *state;
    static const struct {
        enum cancel_at at;
        const char *said;
        unsigned events;
    } cases[] = {
        {CANCEL_LIFE, "HTTP/1.1 102 P\r\n\r\n" HEAD "data: one\n\n", 0},
        {CANCEL_LIFE, HEAD "data: one\n\n", 0},
        {CANCEL_EVENT, HEAD "data: one\n\ndata: two\n\n", 1},
        {CANCEL_EVENT, HEAD ": hm\n\ndata: change\n\ndata: fail\n\n", 1},
        {CANCEL_EVENT, HEAD "data: [DONE]\n\n", 1},
    };
    for (unsigned i = 0; i < 2 * ARRAY_LEN(cases); i++) {
        bool filtered = i % 2;
        if (!filtered && strstr(cases[i / 2].said, "[DONE]"))
            continue; /* without a finish reason: a failure, and no event */
        unsigned before = t->closes;
        t->cancel_at = cases[i / 2].at;
        start(t, true);
        ready(t, filtered);
        says(t, cases[i / 2].said);
        assert_int_equal(t->events, cases[i / 2].events);
        assert_int_equal(t->endings + t->failures + t->replies, 0);
        assert_true(t->p->is_reset);
        assert_over(t, before + 1);
    }
    t->cancel_at = CANCEL_EVENT; /* the event that the filter adds at the end of the body */
    start(t, true);
    ready(t, true);
    t->cancel_at = CANCEL_NEVER;
    says(t, HEAD "data: finish\n\n");
    t->cancel_at = CANCEL_EVENT;
    fake_eof(t->p);
    fake_world_run(&t->w);
    assert_int_equal(t->events, 2);
    assert_int_equal(t->endings, 0);
    assert_null(t->a);
    assert_int_equal(t->filters, 0);
}

static void cancelling_before_the_way_is_ready(void **state)
{
    struct try *t = *state;
    start(t, true);
    cancel(t);
    assert_over(t, 1);
    start(t, true);
    t->open->ready(t->open, E_UNREACHABLE, NULL);
    assert_int_equal(t->failures, 1);
    assert_int_equal(t->failure.status, 503);
    assert_over(t, 2);
    start(t, true);
    snprintf(t->open->why, sizeof t->open->why, "no such field");
    t->open->ready(t->open, E_DENIED, NULL);
    assert_int_equal(t->failure.status, 400);
    assert_string_equal(t->failure.message, "no such field");
    assert_over(t, 3);
}

static void lingering_ends_with_its_environment(void **state)
{
    struct try *t = *state;
    for (int i = 0; i < 3; i++) {
        start(t, true);
        ready(t, true);
        says(t, HEAD "data: [DONE]\n\n");
        assert_int_equal(t->endings, 1);
    }
    assert_int_equal(t->env.lingering_count, 3);
    assert_int_equal(t->closes, 3);
    attempt_env_fini(&t->env);
    assert_int_equal(t->env.lingering_count, 0);
    assert_int_equal(t->filters, 0);
}

static int setup(void **state)
{
    struct try *t = MEM_NEW(struct try);
    fake_world_init(&t->w);
    t->client = http_client_new(&t->w.sched);
    t->env = (struct attempt_env){
        .sched = &t->w.sched, .client = t->client, .ports = &ports, .ports_ctx = t};
    attempt_env_init(&t->env);
    buf_init(&t->got, 0);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct try *t = *state;
    attempt_env_fini(&t->env);
    http_client_free(t->client);
    buf_fini(&t->got);
    fake_world_fini(&t->w);
    free(t);
    return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_filter_relays_changes_drops_and_ends),
        T(the_filters_failure_is_the_attempts),
        T(the_filter_says_whether_an_end_is_good),
        T(an_event_without_its_empty_line_counts),
        T(an_event_that_never_ends_is_refused),
        T(errors_of_backends_keep_their_status_and_sentence),
        T(a_backend_s_json_is_called_json),
        T(a_reply_over_its_limit_is_refused),
        T(cancelling_from_inside_is_safe),
        T(cancelling_before_the_way_is_ready),
        T(lingering_ends_with_its_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
