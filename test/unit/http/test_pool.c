// SPDX-License-Identifier: MIT
/* Connections kept, found stale, bounded, and never used for what might be sent twice. */
#include "client_app.h"

/* --- the pool --- */

static const struct http_origin origin = {.host = "backend", .port = 80};

static void pool_get(struct app *a)
{
    struct http_request req = get_request();
    int err;
    a->dones = 0;
    buf_clear(&a->body);
    a->call = http_pool_call(a->pool, &origin, &req, &on, a, &err);
    assert_non_null(a->call);
    fake_world_run(&a->w);
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void a_connection_is_used_again(void **state)
{
    struct app *a = *state;
    pool_get(a);
    answer(a, a->dialled[0], OK);
    assert_done(a, 0, HTTP_CALL_COMPLETE, "ok");
    assert_false(a->result.was_reused);
    assert_int_equal(http_pool_idle_count(a->pool), 1);
    pool_get(a);
    assert_int_equal(http_pool_idle_count(a->pool), 0);
    answer(a, a->dialled[0], OK);
    assert_done(a, 0, HTTP_CALL_COMPLETE, "ok");
    assert_true(a->result.was_reused);
    assert_int_equal(a->dial_count, 1);
    fake_world_advance(&a->w, 61 * US_PER_S);
    assert_int_equal(http_pool_idle_count(a->pool), 0);
    assert_true(a->dialled[0]->is_closed);
}

static void another_origin_has_its_own_connections(void **state)
{
    struct app *a = *state;
    struct http_origin others[] = {origin, origin, origin};
    others[0].port = 81;
    others[1].is_tls = true;
    others[2].is_unix = true;
    pool_get(a);
    answer(a, a->dialled[0], OK);
    for (int i = 0; i < 3; i++) {
        struct http_request req = get_request();
        int err;
        a->call = http_pool_call(a->pool, &others[i], &req, &on, a, &err);
        fake_world_run(&a->w);
        assert_int_equal(a->dial_count, i + 2);
        answer(a, a->dialled[i + 1], OK);
    }
    assert_int_equal(http_pool_idle_count(a->pool), 4);
    http_pool_drop_idle(a->pool, &others[1]);
    assert_int_equal(http_pool_idle_count(a->pool), 3);
}

static void what_must_not_be_reused_is_closed(void **state)
{
    static const char *const last[] = {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK "and more that nobody asked for",
    };
    struct app *a = *state;
    for (size_t i = 0; i < ARRAY_LEN(last); i++) {
        pool_get(a);
        answer(a, a->dialled[i], last[i]);
        assert_done(a, 0, HTTP_CALL_COMPLETE, "ok");
        assert_int_equal(http_pool_idle_count(a->pool), 0);
        assert_true(a->dialled[i]->is_closed);
    }
}

static void an_idle_connection_that_ends_is_dropped(void **state)
{
    struct app *a = *state;
    pool_get(a);
    answer(a, a->dialled[0], OK);
    fake_eof(a->dialled[0]);
    fake_world_run(&a->w);
    assert_int_equal(http_pool_idle_count(a->pool), 0);
    pool_get(a);
    answer(a, a->dialled[1], OK);
    fake_break(a->dialled[1], E_RESET);
    fake_world_run(&a->w);
    assert_int_equal(http_pool_idle_count(a->pool), 0);
    a->dial_count = 1;
    /* seen only when it is needed */
    pool_get(a);
    answer(a, a->dialled[1], OK);
    fake_eof(a->dialled[1]);
    pool_get(a);
    assert_int_equal(a->dial_count, 3);
    answer(a, a->dialled[2], OK);
    assert_done(a, 0, HTTP_CALL_COMPLETE, "ok");
}

static void a_stale_connection_is_tried_once_more(void **state)
{
    struct app *a = *state;
    pool_get(a);
    answer(a, a->dialled[0], OK);
    pool_get(a);
    fake_eof(a->dialled[0]); /* llama-server after an SSE reply, seen too late */
    fake_world_run(&a->w);
    assert_int_equal(a->dones, 0);
    assert_int_equal(a->dial_count, 2);
    assert_string_equal(fake_sent(a->dialled[1]), "GET /v1 HTTP/1.1\r\nhost: h\r\n\r\n");
    fake_eof(a->dialled[1]); /* a fresh one that fails is a failure */
    fake_world_run(&a->w);
    assert_done(a, E_EOF, HTTP_CALL_SENT, "");
    assert_int_equal(a->dial_count, 2);
    /* writing fails */
    pool_get(a);
    answer(a, a->dialled[2], OK);
    a->dialled[2]->write_err = E_RESET;
    pool_get(a);
    assert_int_equal(a->dial_count, 4);
    answer(a, a->dialled[3], OK);
    assert_done(a, 0, HTTP_CALL_COMPLETE, "ok");
}

static void what_answered_or_timed_out_is_not_sent_twice(void **state)
{
    struct app *a = *state;
    pool_get(a);
    answer(a, a->dialled[0], OK);
    pool_get(a);
    answer(a, a->dialled[0], "H");
    fake_eof(a->dialled[0]);
    fake_world_run(&a->w);
    assert_done(a, E_EOF, HTTP_CALL_SENT, "");
    assert_int_equal(a->dial_count, 1);
    pool_get(a);
    answer(a, a->dialled[1], OK);
    pool_get(a);
    fake_world_advance(&a->w, 601 * US_PER_S);
    assert_done(a, E_TIMEOUT, HTTP_CALL_SENT, "");
    assert_int_equal(a->dial_count, 2);
}

static void dialling_fails_ends_or_is_given_up(void **state)
{
    struct app *a = *state;
    a->dial_err = E_REFUSED;
    pool_get(a);
    assert_done(a, E_REFUSED, HTTP_CALL_CONNECTING, "");
    a->hold_dial = true;
    pool_get(a);
    fake_world_advance(&a->w, 11 * US_PER_S);
    assert_done(a, E_TIMEOUT, HTTP_CALL_CONNECTING, "");
    assert_int_equal(a->cancels, 1);
    pool_get(a);
    http_call_cancel(a->call);
    a->call = NULL;
    assert_int_equal(a->cancels, 2);
    assert_int_equal(a->dones, 0);
}

static void idle_connections_are_bounded(void **state)
{
    struct app *a = *state;
    struct http_request req = get_request();
    struct http_call *calls[3];
    int err;
    for (int i = 0; i < 3; i++) {
        calls[i] = http_pool_call(a->pool, &origin, &req, &on, a, &err);
        assert_non_null(calls[i]);
        fake_world_run(&a->w);
    }
    for (int i = 0; i < 3; i++)
        answer(a, a->dialled[i], OK);
    assert_int_equal(a->dones, 3);
    assert_int_equal(http_pool_idle_count(a->pool), 2);
    assert_true(a->dialled[0]->is_closed);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_connection_is_used_again),
        T(another_origin_has_its_own_connections),
        T(what_must_not_be_reused_is_closed),
        T(an_idle_connection_that_ends_is_dropped),
        T(a_stale_connection_is_tried_once_more),
        T(what_answered_or_timed_out_is_not_sent_twice),
        T(dialling_fails_ends_or_is_given_up),
        T(idle_connections_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
