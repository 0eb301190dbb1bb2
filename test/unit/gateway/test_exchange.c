// SPDX-License-Identifier: MIT
/* One request from a client's bytes to a client's bytes: failover, ends, silence, cancelling in each phase,
 * back-pressure, searching. */
#include "gateway_app.h"

/* --- ends --- */

static void a_stream_is_relayed_and_ends_well(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    struct fake_stream *p = app_give(a, 0);
    assert_true(app_got(p, "POST /v1/chat/completions HTTP/1.1\r\n"));
    assert_true(app_got(p, "x-conduit-hop: 1\r\n") && app_got(p, "x-request-id: req-"));
    assert_int_equal(fake_sent_len(c), 0); /* the 200 waits for an event */
    app_says(a, p, SSE_HEAD);
    assert_int_equal(fake_sent_len(c), 0);
    app_says(a, p, EVENT_A);
    assert_true(app_got(c, "HTTP/1.1 200 ") && app_got(c, EVENT_A) &&
                app_got(c, "x-conduit-route: "));
    app_says(a, p, EVENT_B FINISH DONE);
    assert_true(app_got(c, EVENT_B) && app_got(c, FINISH) && app_got(c, DONE) && app_ended(c));
    assert_int_equal(a->ok_outcomes, 1);
    assert_int_equal(gateway_running(a->g), 0);
    assert_int_equal(gateway_counters(a->g)->events, 4);
}

static void behind_done_the_stream_is_closed_in_order(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    struct fake_stream *p = app_give(a, 0);
    app_says(
        a, p,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    char chunk[512];
    snprintf(chunk, sizeof chunk, "%zx\r\n%s\r\n", strlen(EVENT_A FINISH DONE),
             EVENT_A FINISH DONE);
    app_says(a, p, chunk);
    assert_true(app_ended(c));           /* the client does not wait for it */
    assert_int_equal(a->close_count, 1); /* nor the next request */
    assert_false(p->is_closed);
    app_says(a, p, "0\r\n\r\n");
    assert_true(p->is_closed && !p->is_reset);
}

static void what_never_ends_behind_done_is_cut_off(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    app_ask(a, ASK_STREAM);
    struct fake_stream *p = app_give(a, 0);
    app_says(a, p, SSE_HEAD EVENT_A FINISH DONE);
    assert_false(p->is_closed);
    fake_world_advance(&a->w, 3 * S);
    assert_true(p->is_closed && p->is_reset);
    app_ask(a, ASK_STREAM);
    p = app_give(a, 1);
    app_says(a, p, SSE_HEAD EVENT_A FINISH DONE);
    for (int i = 0; i < 100 && !p->is_closed; i++)
        app_says(a, p, EVENT_A);
    assert_true(p->is_closed);
}

static void an_error_event_ends_without_done(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    app_offer(a, 2, "m");
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    app_says(a, app_give(a, 0),
             SSE_HEAD EVENT_A "data: {\"error\":{\"message\":\"it broke\",\"code\":\"x\"}}\n\n");
    assert_true(app_got(c, EVENT_A) && app_got(c, "it broke") && app_ended(c));
    assert_false(app_got(c, "[DONE]"));
    assert_int_equal(a->open_count, 1); /* no failover after an event */
}

static void done_without_a_finish_reason_is_a_failure(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    app_says(a, app_give(a, 0), SSE_HEAD EVENT_A DONE);
    assert_true(app_got(c, "bad_response") && app_ended(c) && !app_got(c, "[DONE]"));
}

static void a_plain_answer_comes_whole(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    struct fake_stream *c = app_ask(a, ASK_PLAIN);
    struct fake_stream *p = app_give(a, 0);
    app_says(a, p,
             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: "
             "a=b\r\nx-conduit-peer: evil\r\n"
             "content-length: 8\r\n\r\n{\"a\":");
    assert_int_equal(fake_sent_len(c), 0);
    app_says(a, p, "42}");
    assert_true(app_got(c, "HTTP/1.1 200 ") && app_got(c, "{\"a\":42}"));
    assert_false(app_got(c, "set-cookie") ||
                 app_got(c, "evil")); /* a provider's fields are not ours */
}

static void a_reply_of_the_wrong_kind_is_not_passed_on(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    struct fake_stream *p = app_give(a, 0);
    fake_world_advance(&a->w, 16 * S); /* the head is out */
    assert_true(app_got(c, "HTTP/1.1 200 ") && app_got(c, ": ping\n"));
    app_says(a, p,
             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
    assert_true(app_got(c, "bad_response") && app_ended(c));
    c = app_ask(a, ASK_PLAIN);
    app_says(a, app_give(a, 1), SSE_HEAD EVENT_A FINISH DONE);
    fake_eof(a->streams[1]);
    fake_world_run(&a->w);
    assert_true(app_got(c, "HTTP/1.1 502 ") && app_got(c, "bad_response"));
}

/* A page under our address would be of our origin. */
static void a_page_of_a_provider_is_not_passed_on(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    struct fake_stream *c = app_ask(a, ASK_PLAIN);
    app_says(a, app_give(a, 0),
             "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\n<h1/>");
    assert_true(app_got(c, "HTTP/1.1 502 ") && app_got(c, "bad_response") && !app_got(c, "<h1"));
    c = app_ask(a, ASK_PLAIN);
    app_says(a, app_give(a, 1),
             "HTTP/1.1 200 OK\r\ncontent-type: Application/JSON; charset=utf-8\r\n"
             "content-length: 2\r\n\r\n{}");
    assert_true(app_got(c, "HTTP/1.1 200 "));
}

static void an_answer_over_the_limit_is_refused(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    struct fake_stream *c = app_ask(a, ASK_PLAIN);
    struct fake_stream *p = app_give(a, 0);
    app_says(a, p, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n");
    char *big = mem_new(MIB + 1);
    memset(big, ' ', MIB);
    for (int i = 0; i < 4 && !p->is_closed; i++)
        app_says(a, p, big);
    free(big);
    assert_true(p->is_closed && app_got(c, "HTTP/1.1 502 ") && app_got(c, "response_too_large"));
}

static void a_large_reply_goes_as_the_client_takes_it(void **state)
{
    struct app *a = *state;
    enum { SIZE = 2 * MIB + 12345 };
    app_offer(a, 1, "m");
    struct fake_stream *c = app_ask(a, ASK_PLAIN);
    struct fake_stream *p = app_give(a, 0);
    c->window = 1000;
    char head[128], *big = mem_new(SIZE + 1);
    snprintf(head, sizeof head,
             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n",
             (int)SIZE);
    for (int i = 0; i < SIZE; i++)
        big[i] = (char)('a' + i % 26);
    app_says(a, p, head);
    app_says(a, p, big);
    assert_int_equal(gateway_running(a->g), 1);
    assert_int_equal(a->close_count, 1); /* the provider is done */
    assert_true(fake_sent_len(c) <= 1000);
    for (int i = 0; i < 300 && gateway_running(a->g); i++) {
        fake_open_window(c, 65536);
        fake_world_run(&a->w);
    }
    assert_int_equal(gateway_running(a->g), 0);
    fake_open_window(c, SIZE_MAX / 2);
    fake_world_run(&a->w);
    const char *body = strstr(fake_sent(c), "\r\n\r\n") + 4;
    assert_int_equal(strlen(body), SIZE);
    assert_memory_equal(body, big, SIZE);
    free(big);
}

/* --- failover --- */

static void a_failure_before_the_first_event_is_taken_over(void **state)
{
    struct app *a = *state;
    for (unsigned i = 1; i < 4; i++)
        app_offer(a, i, "m");
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    app_refuse(a, 0, E_UNREACHABLE);
    assert_int_equal(a->open_count, 2);
    struct fake_stream *p = app_give(a, 1);
    app_says(a, p, SSE_HEAD);
    fake_break(p, E_RESET);
    fake_world_run(&a->w);
    assert_int_equal(a->open_count, 3);
    app_says(a, app_give(a, 2), SSE_HEAD EVENT_A FINISH DONE);
    assert_true(app_got(c, EVENT_A) && app_got(c, DONE));
    assert_string_not_equal(a->peers_asked[0], a->peers_asked[1]);
    assert_string_not_equal(a->peers_asked[1], a->peers_asked[2]);
    assert_int_equal(gateway_counters(a->g)->failovers, 2);
}

/* Two engines of ours have the model: the first one's failure is not the offer's, and not its record's. */
static void another_engine_behind_an_own_offer_takes_over(void **state)
{
    struct app *a = *state;
    app_offer(a, 0, "m");
    a->others = 1;
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    app_refuse(a, 0, E_REFUSED);
    assert_int_equal(a->open_count, 2);
    assert_string_equal(a->peers_asked[0], a->peers_asked[1]);
    app_says(a, app_give(a, 1), SSE_HEAD EVENT_A FINISH DONE);
    assert_true(app_got(c, EVENT_A) && app_got(c, DONE));
    assert_int_equal(gateway_counters(a->g)->failovers, 1);
    for (struct map_entry *e = map_first(&a->measures.by_peer); e;
         e = map_next(&a->measures.by_peer, e)) {
        const struct measure *m = e->value;
        assert_int_equal(m->failures, 0);
        assert_int_equal(m->in_flight, 0);
    }
    /* None is left: told as ever. */
    c = app_ask(a, ASK_PLAIN);
    app_refuse(a, 2, E_REFUSED);
    assert_int_equal(a->open_count, 3);
    assert_true(app_got(c, "HTTP/1.1 50"));
}

static void nobody_else_has_it(struct app *a)
{
    struct gateway_lookup *l = a->lookup;
    a->lookup = NULL;
    if (l)
        l->done(l, true);
    fake_world_run(&a->w);
}

/* Three failures, a pause, and a crowd: one request is sent to see, the others are told to come again, until
 * the first event of that one. */
static void after_a_pause_one_request_probes(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    for (unsigned i = 0; i < MEASURE_TRIP; i++) {
        app_ask(a, ASK_STREAM);
        app_refuse(a, i, E_UNREACHABLE);
        nobody_else_has_it(a);
    }
    assert_int_equal(a->open_count, MEASURE_TRIP);
    fake_world_advance(&a->w, 2 * S + 1);
    struct fake_stream *c[8];
    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        c[i] = app_ask(a, ASK_STREAM);
        nobody_else_has_it(a);
    }
    assert_int_equal(a->open_count, MEASURE_TRIP + 1);
    for (unsigned i = 1; i < ARRAY_LEN(c); i++)
        assert_true(app_got(c[i], "HTTP/1.1 503 ") && app_got(c[i], "no_provider_available") &&
                    app_got(c[i], "retry-after"));
    app_says(a, app_give(a, MEASURE_TRIP), SSE_HEAD EVENT_A);
    app_ask(a, ASK_STREAM); /* the probe was answered: the peer is there again */
    assert_int_equal(a->open_count, MEASURE_TRIP + 2);
    app_says(a, app_give(a, MEASURE_TRIP + 1), SSE_HEAD EVENT_A FINISH DONE);
    app_says(a, a->streams[MEASURE_TRIP], FINISH DONE);
    assert_int_equal(gateway_running(a->g), 0);
}

static void a_failure_after_it_is_told(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    app_offer(a, 2, "m");
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    struct fake_stream *p = app_give(a, 0);
    app_says(a, p, SSE_HEAD EVENT_A);
    fake_break(p, E_RESET);
    fake_world_run(&a->w);
    assert_int_equal(a->open_count, 1);
    assert_true(app_got(c, "provider_disconnected") && app_ended(c) && !app_got(c, "[DONE]"));
    assert_int_equal(a->faults, 1);
}

static void attempts_are_bounded_and_the_last_failure_is_told(void **state)
{
    struct app *a = *state;
    for (unsigned i = 1; i < 8; i++)
        app_offer(a, i, "m");
    struct fake_stream *c = app_ask(a, ASK_PLAIN);
    for (unsigned i = 0; i < 3; i++)
        app_says(a, app_give(a, i),
                 "HTTP/1.1 429 Busy\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}");
    assert_int_equal(a->open_count, 3);
    assert_true(app_got(c, "HTTP/1.1 429 ") && app_got(c, "retry-after: 7\r\n"));
    assert_int_equal(a->faults, 0); /* busy is no fault */
}

static void the_requests_own_fault_is_not_tried_again(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    app_offer(a, 2, "m");
    struct fake_stream *c = app_ask(a, ASK_PLAIN);
    app_says(
        a, app_give(a, 0),
        "HTTP/1.1 400 Bad\r\ncontent-length: 31\r\n\r\n{\"error\":{\"message\":\"too hot\"}}\n");
    assert_int_equal(a->open_count, 1);
    assert_true(app_got(c, "HTTP/1.1 400 ") && app_got(c, "too hot"));
}

/* --- silence --- */

static void a_silent_provider_is_given_up(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    app_offer(a, 2, "m");
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    struct fake_stream *p = app_give(a, 0);
    fake_world_advance(&a->w, 19 * S);
    assert_int_equal(a->open_count, 1);
    app_says(a, p, "HTTP/1.1 102 Processing\r\n\r\n"); /* a sign of life */
    fake_world_advance(&a->w, 19 * S);
    assert_int_equal(a->open_count, 1);
    fake_world_advance(&a->w, 2 * S);
    assert_int_equal(a->open_count, 2);
    assert_true(p->is_reset);
    app_says(a, app_give(a, 1), SSE_HEAD EVENT_A);
    fake_world_advance(&a->w, 21 * S);
    assert_true(app_got(c, "provider_timeout") && app_ended(c));
}

static void comments_of_a_provider_are_life_and_stay_here(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    struct fake_stream *p = app_give(a, 0);
    app_says(a, p, SSE_HEAD);
    for (int i = 0; i < 10; i++) {
        app_says(a, p, ": still here\n");
        fake_world_advance(&a->w, 10 * S);
    }
    app_says(a, p, EVENT_A FINISH DONE);
    assert_true(app_got(c, DONE) && app_got(c, ": ping\n") && !app_got(c, "still here"));
}

static void an_own_engine_may_think_for_long(void **state)
{
    struct app *a = *state;
    app_offer(a, 0, "m");
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    fake_world_advance(&a->w, 100 * S); /* in its queue */
    struct fake_stream *p = app_give(a, 0);
    fake_world_advance(&a->w, 300 * S); /* reads a long prompt */
    app_says(a, p, SSE_HEAD EVENT_A FINISH DONE);
    assert_true(app_got(c, DONE));
}

static void towards_a_node_life_is_shown_every_five_seconds(void **state)
{
    struct app *a = *state;
    app_offer(a, 0, "m");
    struct fake_stream *c = app_connect(a, PRINCIPAL_PEER);
    app_post(a, c, "x-conduit-hop: 1\r\n", ASK_STREAM);
    fake_world_advance(&a->w, 11 * S);
    assert_string_equal(fake_sent(c),
                        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
    fake_world_advance(&a->w, 10 * S);
    assert_true(app_got(c, "HTTP/1.1 200 ") && app_got(c, ": ping\n"));
    assert_true(app_got(app_give(a, 0), "x-conduit-hop: 2\r\n"));
}

static void a_slow_client_is_not_a_silent_provider(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    struct fake_stream *p = app_give(a, 0);
    app_says(a, p, SSE_HEAD EVENT_A);
    c->window = 0;
    char *big = mem_printf("data: {\"x\":\"%0*d\"}\n\n", 300000, 1);
    app_says(a, p, big);
    assert_false(p->s.wants_read); /* back-pressure */
    for (int i = 0; i < 6; i++) {  /* a bit at a time: alive, but full for a minute */
        fake_open_window(c, 100);
        fake_world_advance(&a->w, 10 * S);
    }
    assert_false(p->is_closed || p->s.wants_read);
    fake_open_window(c, SIZE_MAX / 2);
    fake_world_run(&a->w);
    assert_true(p->s.wants_read);
    app_says(a, p, FINISH DONE);
    assert_true(app_got(c, big) && app_got(c, DONE) && app_ended(c));
    free(big);
}

/* --- the client goes --- */

static void leave(struct app *a, struct fake_stream *c)
{
    unsigned before = (unsigned)gateway_counters(a->g)->cancelled;
    fake_eof(c);
    fake_world_run(&a->w);
    assert_int_equal(gateway_running(a->g), 0);
    assert_int_equal(gateway_counters(a->g)->cancelled, before + 1);
    assert_int_equal(a->open_count, a->close_count);
    assert_true(c->is_closed);
}

static void leaving_cancels_once_in_each_phase(void **state)
{
    struct app *a = *state;
    static const char *const said[] = {NULL,
                                       "",
                                       "HTTP/1.1 102 P\r\n\r\n",
                                       SSE_HEAD,
                                       SSE_HEAD EVENT_A,
                                       SSE_HEAD EVENT_A "data: {\"half"};
    leave(a, app_ask(a, ASK_STREAM)); /* searching */
    assert_int_equal(a->lookup_cancels, 1);
    app_offer(a, 1, "m");
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        struct fake_stream *c = app_ask(a, ASK_STREAM), *p = NULL;
        if (said[i])
            p = app_give(a, (unsigned)i);
        if (p && *said[i])
            app_says(a, p, said[i]);
        leave(a, c);
        assert_true(!p || (p->is_closed && p->is_reset));
    }
    assert_int_equal(a->faults, 0);
}

static void a_node_that_stops_ends_everything_with_an_error(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    struct fake_stream *waits = app_ask(a, ASK_STREAM), *flows = app_ask(a, ASK_STREAM);
    struct fake_stream *searches = app_ask(a, "{\"model\":\"other\",\"messages\":[]}");
    struct fake_stream *late = app_connect(a, PRINCIPAL_OWNER);
    app_says(a, app_give(a, 1), SSE_HEAD EVENT_A);
    gateway_close(a->g);
    fake_world_run(&a->w);
    assert_true(app_got(waits, "HTTP/1.1 503 ") && app_got(waits, "shutting_down"));
    assert_true(app_got(searches, "HTTP/1.1 503 "));
    assert_true(app_got(flows, "shutting_down") && app_ended(flows));
    app_post(a, late, "", ASK_STREAM); /* its connection is still there */
    assert_true(app_got(late, "shutting_down"));
}

/* --- searching --- */

static void what_is_found_is_asked(void **state)
{
    struct app *a = *state;
    struct fake_stream *c = app_ask(a, ASK_PLAIN);
    assert_int_equal(a->lookups, 1);
    app_offer(a, 1, "m");
    struct gateway_lookup *l = a->lookup;
    a->lookup = NULL;
    l->done(l, true);
    app_says(a, app_give(a, 0),
             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
    assert_true(app_got(c, "HTTP/1.1 200 "));
}

static void what_is_not_found_is_404_and_what_is_unsure_503(void **state)
{
    struct app *a = *state;
    for (int sure = 0; sure < 2; sure++) {
        struct fake_stream *c = app_ask(a, ASK_PLAIN);
        struct gateway_lookup *l = a->lookup;
        a->lookup = NULL;
        l->done(l, sure);
        fake_world_run(&a->w);
        assert_true(app_got(c, sure ? "HTTP/1.1 404 " : "HTTP/1.1 503 "));
        assert_true(app_got(c, sure ? "model_not_found" : "lookup_incomplete"));
        assert_int_equal(app_got(c, "retry-after: "), !sure);
    }
}

static void a_search_longer_than_the_stall_does_no_harm(void **state)
{
    struct app *a = *state;
    struct fake_stream *c = app_ask(a, ASK_STREAM);
    fake_world_advance(&a->w, 60 * S);
    assert_true(app_got(c, "HTTP/1.1 200 ")); /* after 15 s, with a comment */
    struct gateway_lookup *l = a->lookup;
    a->lookup = NULL;
    l->done(l, true);
    fake_world_run(&a->w);
    assert_true(app_got(c, "model_not_found") && app_ended(c));
}

/* --- a whole answer, cut anywhere --- */

static const char recorded[] =
    "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    "content-length: 219\r\n\r\n: life\n" EVENT_A
    "data: {\"choices\":[{\"delta\":{\"content\":\"\xf0\x9f\x98\x80\"},"
    "\"finish_reason\":null}]}\r\n\r\n" FINISH DONE;

static void every_split_reads_the_same(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    for (size_t cut = 0; cut < sizeof recorded - 1; cut++) {
        a->open_count = a->close_count = 0;
        struct fake_stream *c = app_connect(a, PRINCIPAL_OWNER);
        app_post(a, c, "x-request-id: r\r\n", ASK_STREAM);
        struct fake_stream *p = app_give(a, 0);
        fake_feed(p, recorded, cut);
        fake_world_run(&a->w);
        fake_feed(p, recorded + cut, sizeof recorded - 1 - cut);
        fake_world_run(&a->w);
        assert_true(app_got(c, EVENT_A) && app_got(c, "\xf0\x9f\x98\x80") && app_got(c, FINISH) &&
                    app_ended(c));
        assert_false(app_got(c, "life") || app_got(c, "}\r\n\r\n\r\n"));
        assert_int_equal(a->close_count, 1);
        fake_eof(c);
        fake_world_run(&a->w);
    }
}

static void every_drop_gives_an_error_or_the_whole(void **state)
{
    struct app *a = *state;
    app_offer(a, 1, "m");
    for (size_t cut = 0; cut < sizeof recorded - 1; cut++) {
        for (int broken = 0; broken < 2; broken++) {
            a->open_count = a->close_count = 0;
            measures_fini(&a->measures); /* no breaker, no budget: each byte for itself */
            measures_init(&a->measures, 2);
            struct fake_stream *c = app_ask(a, ASK_STREAM);
            struct fake_stream *p = app_give(a, 0);
            fake_feed(p, recorded, cut);
            fake_world_run(&a->w);
            if (!p->is_closed && broken)
                fake_break(p, E_RESET);
            else if (!p->is_closed)
                fake_eof(p);
            fake_world_run(&a->w);
            bool has_event = app_got(c, EVENT_A), is_whole = app_got(c, DONE);
            assert_true(is_whole || app_got(c, "\"error\""));
            assert_false(is_whole && app_got(c, "\"error\""));
            assert_int_equal(app_got(c, "HTTP/1.1 200 "), has_event);
            assert_true(!has_event || app_ended(c));
            assert_int_equal(gateway_running(a->g), 0);
            assert_int_equal(a->close_count, 1);
            fake_eof(c);
            fake_world_run(&a->w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_stream_is_relayed_and_ends_well),
        T(behind_done_the_stream_is_closed_in_order),
        T(what_never_ends_behind_done_is_cut_off),
        T(an_error_event_ends_without_done),
        T(done_without_a_finish_reason_is_a_failure),
        T(a_plain_answer_comes_whole),
        T(a_reply_of_the_wrong_kind_is_not_passed_on),
        T(a_page_of_a_provider_is_not_passed_on),
        T(an_answer_over_the_limit_is_refused),
        T(a_large_reply_goes_as_the_client_takes_it),
        T(a_failure_before_the_first_event_is_taken_over),
        T(another_engine_behind_an_own_offer_takes_over),
        T(after_a_pause_one_request_probes),
        T(a_failure_after_it_is_told),
        T(attempts_are_bounded_and_the_last_failure_is_told),
        T(the_requests_own_fault_is_not_tried_again),
        T(a_silent_provider_is_given_up),
        T(comments_of_a_provider_are_life_and_stay_here),
        T(an_own_engine_may_think_for_long),
        T(towards_a_node_life_is_shown_every_five_seconds),
        T(a_slow_client_is_not_a_silent_provider),
        T(leaving_cancels_once_in_each_phase),
        T(a_node_that_stops_ends_everything_with_an_error),
        T(what_is_found_is_asked),
        T(what_is_not_found_is_404_and_what_is_unsure_503),
        T(a_search_longer_than_the_stall_does_no_harm),
        T(every_split_reads_the_same),
        T(every_drop_gives_an_error_or_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
