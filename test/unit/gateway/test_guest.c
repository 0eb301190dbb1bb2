// SPDX-License-Identifier: MIT
/* A peer under an invite asks: it gets the models, requests and tokens that the invite says, and none more. */
#include "gateway_app.h"

#include "guard/invite_book.h"

struct visit {
    struct app *a;
    struct invite_book book;
    struct key_pair issuer;
    struct peer_id guest;
};

/* The backend's own count, as a filter tells it. */
struct counter {
    struct gateway_filter base;
    uint64_t prompt, completion;
    bool is_known;
};

static enum filter_verdict count_event(struct gateway_filter *f, struct bytes data, struct buf *out,
                                       int *status)
{
    if (!bytes_eq_str(data, "[DONE]"))
        return FILTER_RELAY;
    (void)buf_append_str(out, DONE);
    return FILTER_DONE;
}

static enum filter_verdict count_end(struct gateway_filter *f, struct buf *out, int *status)
{
    (void)buf_append_str(out, "{\"error\":{\"message\":\"cut off\"}}");
    *status = 502;
    return FILTER_FAILED;
}

static enum filter_verdict count_reply(struct gateway_filter *f, int *status, struct bytes type,
                                       struct bytes body, struct buf *out)
{
    return FILTER_RELAY;
}

static bool count_usage(const struct gateway_filter *f, uint64_t *prompt, uint64_t *completion)
{
    const struct counter *c = CONTAINER_OF(f, struct counter, base);
    *prompt = c->prompt;
    *completion = c->completion;
    return c->is_known;
}

static void count_free(struct gateway_filter *f)
{
    free(CONTAINER_OF(f, struct counter, base));
}

static struct gateway_filter *counter_new(bool is_known, uint64_t prompt, uint64_t completion)
{
    static const struct gateway_filter_ops ops = {count_event, count_end, count_reply, count_usage,
                                                  count_free};
    struct counter *c = MEM_NEW(struct counter);
    *c = (struct counter){{&ops}, prompt, completion, is_known};
    return &c->base;
}

/* --- the guest --- */

static int setup(void **state)
{
    struct guard_config none = {0};
    struct visit *v = MEM_NEW(struct visit);
    uint8_t seed[32] = {3};
    v->a = app_new(&none);
    key_pair_from_seed(&v->issuer, seed);
    v->guest = app_peer(9);
    invite_book_init(&v->book);
    v->a->guard.invites = &v->book;
    app_offer(v->a, 0, "m");
    *state = v;
    return 0;
}

static int teardown(void **state)
{
    struct visit *v = *state;
    app_free(v->a);
    invite_book_fini(&v->book);
    free(v);
    return 0;
}

static struct invite_entry *invited(struct visit *v, const struct invite_terms *terms)
{
    struct invite_now now = {.s = sched_wall_ms(&v->a->w.sched) / 1000};
    struct invite in = {
        .issuer = v->issuer.id, .expires_s = now.s + 3600, .terms = *terms, .name = "x"};
    struct invite_entry *e = NULL;
    struct guard_refusal why;
    struct buf text;
    buf_init(&text, 0);
    assert_int_equal(invite_book_add(&v->book, &in, &now), 0);
    assert_int_equal(invite_text(&in, &v->issuer, &text), 0);
    assert_int_equal(
        invite_book_show(&v->book, &v->issuer.id, buf_view(&text), &v->guest, &now, &e, &why), 0);
    buf_fini(&text);
    return e;
}

static struct fake_stream *come(struct visit *v, enum principal_kind kind)
{
    struct fake_stream *f = fake_stream_new(&v->a->w);
    struct http_conn_options opts = {.one_request = true};
    f->s.principal.kind = kind;
    f->s.principal.id_len = v->guest.len;
    memcpy(f->s.principal.id, v->guest.b, v->guest.len);
    http_server_conn_open(v->a->peers, &f->s, &opts);
    return f;
}

static struct fake_stream *guest_asks(struct visit *v, const char *body)
{
    struct fake_stream *f = come(v, PRINCIPAL_INVITE);
    app_post(v->a, f, "", body);
    return f;
}

/* As app_give, with a backend that counts. */
static struct fake_stream *give(struct visit *v, struct gateway_filter *filter)
{
    struct app *a = v->a;
    unsigned i = a->open_count - 1;
    struct fake_stream *f = fake_stream_new(&a->w);
    struct gateway_way way = {.stream = &f->s, .host = BYTES_LIT("backend"), .filter = filter};
    a->streams[i] = f;
    a->opens[i]->ready(a->opens[i], 0, &way);
    fake_world_run(&a->w);
    return f;
}

#define REPLY "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"

/* --- stories --- */

static void a_stranger_is_told_how_to_be_a_guest(void **state)
{
    struct visit *v = *state;
    struct fake_stream *c = come(v, PRINCIPAL_STRANGER);
    app_post(v->a, c, "", ASK_PLAIN);
    assert_true(app_got(c, "HTTP/1.1 403 ") && app_got(c, "invite_needed"));
    c = come(v, PRINCIPAL_STRANGER);
    app_says(v->a, c, "GET /conduit/v1/offers HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_true(app_got(c, "HTTP/1.1 403 ") && app_got(c, "invite_needed"));
    c = come(v, PRINCIPAL_STRANGER);
    app_says(v->a, c,
             "GET /conduit/v1/offers HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n");
    assert_true(app_got(c, "HTTP/1.1 403 "));
    assert_int_equal(v->a->open_count + gateway_watchers(v->a->g), 0);
}

static void requests_are_counted_and_end(void **state)
{
    struct visit *v = *state;
    struct invite_entry *e = invited(v, &(struct invite_terms){.requests_per_day = 2});
    for (int i = 0; i < 2; i++) {
        struct fake_stream *c = guest_asks(v, ASK_PLAIN);
        assert_int_equal(e->running, 1);
        app_says(v->a, give(v, counter_new(true, 7, 5)), REPLY);
        assert_true(app_got(c, "HTTP/1.1 200 "));
        assert_int_equal(e->running, 0);
    }
    assert_int_equal(e->tokens, 24); /* counted also where they have no limit */
    struct fake_stream *c = guest_asks(v, ASK_PLAIN);
    assert_true(app_got(c, "HTTP/1.1 429 ") && app_got(c, "invite_requests_used") &&
                app_got(c, "retry-after: "));
    assert_int_equal(v->a->open_count, 2);
    e->is_revoked = true;
    c = guest_asks(v, ASK_PLAIN);
    assert_true(app_got(c, "HTTP/1.1 403 ") && app_got(c, "invite_over"));
}

static void a_model_that_is_not_in_it_is_not_there(void **state)
{
    struct visit *v = *state;
    struct invite_terms t = {.models = {"other", "third"}};
    struct invite_entry *e = invited(v, &t);
    struct fake_stream *c = guest_asks(v, ASK_PLAIN);
    assert_true(app_got(c, "HTTP/1.1 403 ") && app_got(c, "model_not_in_invite"));
    c = guest_asks(v, "{\"messages\":[]}"); /* any model: none of these */
    assert_true(app_got(c, "HTTP/1.1 403 "));
    assert_int_equal(e->running, 0);
    assert_int_equal(e->tokens, 0); /* nothing ran */
    assert_int_equal(v->a->open_count, 0);
}

static void an_answer_is_bounded_by_what_is_left(void **state)
{
    struct visit *v = *state;
    struct invite_entry *e = invited(v, &(struct invite_terms){.tokens_per_day = 500});
    guest_asks(v, "{\"model\":\"m\",\"max_tokens\":90000,\"messages\":[]}");
    struct gateway_open *o = v->a->opens[0];
    assert_true(o->counts_tokens);
    assert_true(o->max_tokens > 400 && o->max_tokens < 500);
    app_says(v->a, give(v, counter_new(true, 20, 300)), REPLY);
    assert_int_equal(e->tokens, 320);
    guest_asks(v, "{\"model\":\"m\",\"max_completion_tokens\":50,\"messages\":[]}");
    assert_int_equal(v->a->opens[1]->max_tokens, 50);
    app_says(v->a, give(v, counter_new(true, 20, 50)), REPLY);
    assert_int_equal(e->tokens, 390);
    struct fake_stream *c = guest_asks(v, "{\"model\":\"m\",\"n\":2,\"messages\":[]}");
    assert_true(app_got(c, "HTTP/1.1 400 ") && app_got(c, "invite_one_answer"));
    assert_int_equal(v->a->open_count, 2);
    assert_int_equal(e->reserved, 0);
}

static void a_stream_is_ended_when_the_tokens_are(void **state)
{
    struct visit *v = *state;
    struct invite_entry *e = invited(v, &(struct invite_terms){.tokens_per_day = 100});
    struct fake_stream *c = guest_asks(v, ASK_STREAM);
    struct fake_stream *p = give(v, counter_new(false, 0, 0)); /* it does not heed max_tokens */
    app_says(v->a, p, SSE_HEAD);
    for (int i = 0; i < 200 && !app_ended(c); i++)
        app_says(v->a, p, EVENT_A);
    assert_true(app_ended(c) && app_got(c, "invite_tokens_used") && !app_got(c, "[DONE]"));
    assert_true(p->is_closed && p->is_reset);
    assert_true(e->tokens >= 100 && e->tokens <= 101);
    assert_true(e->running == 0 && e->reserved == 0);
    c = guest_asks(v, ASK_STREAM);
    assert_true(app_got(c, "HTTP/1.1 429 ") && app_got(c, "invite_tokens_used"));
}

static void who_hangs_up_has_used_what_went_out(void **state)
{
    struct visit *v = *state;
    struct invite_entry *e = invited(v, &(struct invite_terms){.tokens_per_day = 10000});
    struct fake_stream *c = guest_asks(v, ASK_STREAM);
    uint64_t prompt = (sizeof ASK_STREAM - 1) / 4;
    struct fake_stream *p = give(v, counter_new(false, 0, 0));
    app_says(v->a, p, SSE_HEAD EVENT_A EVENT_A EVENT_A);
    fake_break(c, E_RESET);
    fake_world_run(&v->a->w);
    assert_int_equal(e->tokens, prompt + 3);
    /* of an answer in one piece nobody knows how far it had come */
    c = guest_asks(v, "{\"model\":\"m\",\"max_tokens\":700,\"messages\":[]}");
    uint64_t before = e->tokens;
    give(v, counter_new(false, 0, 0));
    fake_break(c, E_RESET);
    fake_world_run(&v->a->w);
    assert_true(e->tokens >= before + 700 && e->tokens < before + 750);
    /* a backend that failed gave nothing */
    before = e->tokens;
    c = guest_asks(v, "{\"model\":\"m\",\"max_tokens\":700,\"messages\":[]}");
    app_refuse(v->a, 2, E_UNAVAILABLE);
    assert_true(app_got(c, "HTTP/1.1 503 "));
    assert_true(e->tokens < before + 50);
}

static void what_runs_may_end_when_it_is_revoked(void **state)
{
    struct visit *v = *state;
    struct invite_entry *e = invited(v, &(struct invite_terms){.tokens_per_day = 10000});
    struct fake_stream *c = guest_asks(v, ASK_STREAM);
    struct fake_stream *p = give(v, counter_new(true, 5, 2));
    app_says(v->a, p, SSE_HEAD EVENT_A);
    invite_book_revoke(&v->book, e);
    struct fake_stream *next = guest_asks(v, ASK_STREAM);
    assert_true(app_got(next, "invite_over"));
    app_says(v->a, p, EVENT_B FINISH DONE);
    assert_true(app_got(c, EVENT_B) && app_got(c, DONE) && app_ended(c));
    assert_int_equal(e->tokens, 7);
}

static void a_guest_watches_what_it_may_use(void **state)
{
    struct visit *v = *state;
    struct invite_terms t = {.models = {"m"}};
    struct offer m = {.model = "m"}, other = {.model = "other"};
    invited(v, &t);
    struct fake_stream *c = come(v, PRINCIPAL_INVITE);
    app_says(v->a, c,
             "GET /conduit/v1/offers HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n");
    gateway_feed(v->a->g, BYTES_LIT("event: load\ndata: one\n\n"), &m);
    gateway_feed(v->a->g, BYTES_LIT("event: load\ndata: two\n\n"), &other);
    gateway_feed(v->a->g, BYTES_LIT(": three\n\n"), NULL);
    fake_world_run(&v->a->w);
    assert_true(app_got(c, "data: one") && !app_got(c, "data: two") && app_got(c, ": three"));
    gateway_feed_end_peer(v->a->g, BYTES_LIT("somebody else"));
    assert_int_equal(gateway_watchers(v->a->g), 1);
    gateway_feed_end_peer(v->a->g, peer_id_bytes(&v->guest));
    fake_world_run(&v->a->w);
    assert_int_equal(gateway_watchers(v->a->g), 0);
    assert_true(app_ended(c));
}

#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_stranger_is_told_how_to_be_a_guest),   T(requests_are_counted_and_end),
        T(a_model_that_is_not_in_it_is_not_there), T(an_answer_is_bounded_by_what_is_left),
        T(a_stream_is_ended_when_the_tokens_are),  T(who_hangs_up_has_used_what_went_out),
        T(what_runs_may_end_when_it_is_revoked),   T(a_guest_watches_what_it_may_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
