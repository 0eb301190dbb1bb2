// SPDX-License-Identifier: MIT
/* The server's answering half: heads, chunks, the cork, back-pressure, errors. */
#include "server_app.h"

/* --- answers --- */

static void the_first_event_leaves_at_once_with_the_head(void **state)
{
    struct app *a = *state;
    struct fake_stream *f;
    struct bytes event[] = {BYTES_LIT("data: "), BYTES_LIT("one"), BYTES_LIT("\n\n")};
    begin_stream(a, GET, &f);
    assert_int_equal(f->writes, 0);
    assert_int_equal(http_exchange_body(a->x, event, 3), 0);
    assert_int_equal(f->writes, 1);
    assert_has(fake_sent(f), "transfer-encoding: chunked\r\n\r\nb\r\ndata: one\n\n\r\n");
    http_exchange_body(a->x, event, 3); /* same turn: together, later */
    http_exchange_body(a->x, event, 3);
    assert_int_equal(f->writes, 1);
    fake_world_run(&a->w);
    assert_int_equal(f->writes, 2);
    http_exchange_body(a->x, event, 3);
    assert_int_equal(f->writes, 3);
    http_exchange_end(a->x);
    assert_int_equal(f->writes, 4);
    fake_world_run(&a->w);
    assert_has(fake_sent(f), "\n\n\r\n0\r\n\r\n");
    assert_false(f->is_closed);
}

static void a_head_alone_leaves_at_the_end_of_the_turn(void **state)
{
    struct app *a = *state;
    struct fake_stream *f;
    begin_stream(a, GET, &f);
    fake_world_run(&a->w);
    assert_has(fake_sent(f), "transfer-encoding: chunked\r\n\r\n");
    http_exchange_abort(a->x);
    fake_world_run(&a->w);
    assert_lacks(fake_sent(f), "0\r\n\r\n");
    assert_true(f->is_closed);
    assert_int_equal(a->gone, 0);
}

static void interim_answers_are_for_11_only(void **state)
{
    struct app *a = *state;
    a->by_hand = true;
    struct fake_stream *f = send_text(a, GET);
    assert_int_equal(http_exchange_interim(a->x, 102), 0);
    assert_int_equal(http_exchange_interim(a->x, 200), E_INVALID);
    http_exchange_reply(a->x, 200, NULL, NULL, 0, BYTES_LIT("x"));
    assert_starts(fake_sent(f), "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK");
    f = send_text(a, "GET / HTTP/1.0\r\n\r\n");
    assert_int_equal(http_exchange_interim(a->x, 102), 0);
    http_exchange_reply(a->x, 200, NULL, NULL, 0, BYTES_LIT("x"));
    assert_starts(fake_sent(f), "HTTP/1.1 200 OK");
}

static void a_header_cannot_carry_a_line(void **state)
{
    struct app *a = *state;
    a->by_hand = true;
    struct fake_stream *f = send_text(a, GET);
    struct http_header evil = {BYTES_LIT("x"), BYTES_LIT("a\r\nset-cookie: b")};
    struct http_response r = {.status = 200, .headers = &evil, .header_count = 1};
    assert_int_equal(http_exchange_head(a->x, &r), E_INVALID);
    evil = (struct http_header){BYTES_LIT("x y"), BYTES_LIT("a")};
    assert_int_equal(http_exchange_head(a->x, &r), E_INVALID);
    assert_int_equal(fake_sent_len(f), 0);
    http_exchange_reply(a->x, 200, NULL, NULL, 0, BYTES_LIT("x"));
    assert_starts(fake_sent(f), "HTTP/1.1 200 OK");
}

static void a_length_is_kept(void **state)
{
    struct app *a = *state;
    a->by_hand = true;
    struct fake_stream *f = send_text(a, GET);
    struct http_response r = {.status = 200, .content_length = 5};
    http_exchange_head(a->x, &r);
    assert_int_equal(http_exchange_body(a->x, &BYTES_LIT("123456"), 1), E_INVALID);
    assert_int_equal(http_exchange_body(a->x, &BYTES_LIT("123"), 1), 0);
    http_exchange_end(a->x); /* too short: broken off */
    fake_world_run(&a->w);
    assert_true(f->is_closed);
    assert_has(fake_sent(f), "\r\n\r\n123");
}

static void a_slow_reader_makes_the_handler_wait(void **state)
{
    struct app *a = *state;
    struct fake_stream *f;
    static char block[64 * 1024];
    struct bytes b = bytes_of(block, sizeof block);
    int err = 0, n = 0;
    begin_stream(a, GET, &f);
    f->window = 1000;
    while (!(err = http_exchange_body(a->x, &b, 1)))
        assert_true(++n < 100);
    assert_int_equal(err, E_AGAIN);
    assert_true(http_exchange_backlog(a->x) > LIMIT_HTTP_BACKLOG);
    fake_world_run(&a->w);
    assert_int_equal(a->writables, 0);
    while (!(err = http_exchange_body(a->x, &b, 1)) || err == E_AGAIN)
        assert_true(++n < 1000);
    assert_int_equal(err, E_LIMIT);
    f->window = SIZE_MAX;
    fake_world_run(&a->w);
    assert_int_equal(a->writables, 1);
    assert_int_equal(http_exchange_backlog(a->x), 0);
    http_exchange_end(a->x);
}

static void a_reader_that_takes_nothing_is_gone(void **state)
{
    struct app *a = *state;
    struct fake_stream *f;
    begin_stream(a, GET, &f);
    f->window = 10;
    http_exchange_body(a->x, &BYTES_LIT("hello"), 1);
    fake_world_advance(&a->w, 29 * US_PER_S);
    fake_open_window(f, 5); /* a little progress buys time */
    fake_world_advance(&a->w, 29 * US_PER_S);
    assert_int_equal(a->gone, 0);
    fake_world_advance(&a->w, 2 * US_PER_S);
    assert_int_equal(a->gone, 1);
    assert_int_equal(a->gone_err, E_TIMEOUT);
    assert_true(f->is_reset && f->is_closed);
}

static void errors_are_json_whatever_they_say(void **state)
{
    static const struct {
        int status;
        const char *code, *message, *want;
    } cases[] = {
        {401, "invalid_api_key", "no \"key\"",
         "{\"error\":{\"message\":\"no \\\"key\\\"\",\"type\":\"authentication_error\","
         "\"param\":null,\"code\":\"invalid_api_key\"}}"},
        {429, NULL, "a\nb\\\x01",
         "{\"error\":{\"message\":\"a\\u000ab\\\\\\u0001\",\"type\":\"rate_limit_error\","
         "\"param\":null,\"code\":null}}"},
        {502, "x", "\xc3\xa9",
         "{\"error\":{\"message\":\"\xc3\xa9\",\"type\":\"server_error\",\"param\":null,"
         "\"code\":\"x\"}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;
        buf_init(&b, 0);
        assert_int_equal(http_error_json(&b, cases[i].status, cases[i].code, cases[i].message), 0);
        char *text = buf_take_str(&b);
        assert_string_equal(text, cases[i].want);
        free(text);
    }
    struct app *a = *state;
    a->by_hand = true;
    struct fake_stream *f = send_text(a, GET);
    http_exchange_error(a->x, 429, "slow_down", 7, "%d is too many", 5);
    assert_has(fake_sent(f), "HTTP/1.1 429 Too Many Requests\r\n");
    assert_has(fake_sent(f), "retry-after: 7\r\n");
    assert_has(fake_sent(f), "\"message\":\"5 is too many\"");
}

static void an_exchange_knows_where_it_came_from(void **state)
{
    struct app *a = *state;
    a->by_hand = true;
    struct fake_stream *f = fake_stream_new(&a->w);
    f->s.principal.kind = PRINCIPAL_PEER;
    net_addr_parse_ip("192.0.2.1", 7, &f->s.remote);
    http_server_conn_open(a->srv, &f->s, &(struct http_conn_options){.listener = &f});
    fake_feed_str(f, GET);
    fake_world_run(&a->w);
    assert_int_equal(http_exchange_principal(a->x)->kind, PRINCIPAL_PEER);
    assert_int_equal(http_exchange_remote(a->x)->port, 7);
    assert_ptr_equal(http_exchange_listener(a->x), &f);
    assert_int_equal(http_exchange_started_us(a->x), sched_now(&a->w.sched));
    assert_false(http_exchange_has_head(a->x));
    http_exchange_reply(a->x, 200, NULL, &(struct http_header){BYTES_LIT("a b"), BYTES_LIT("c")}, 1,
                        BYTES_LIT("x")); /* not fit: broken off, and not half sent */
    assert_int_equal(fake_sent_len(f), 0);
    assert_true(f->is_reset && f->is_closed);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_first_event_leaves_at_once_with_the_head),
        T(a_head_alone_leaves_at_the_end_of_the_turn),
        T(interim_answers_are_for_11_only),
        T(a_header_cannot_carry_a_line),
        T(a_length_is_kept),
        T(a_slow_reader_makes_the_handler_wait),
        T(a_reader_that_takes_nothing_is_gone),
        T(errors_are_json_whatever_they_say),
        T(an_exchange_knows_where_it_came_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
