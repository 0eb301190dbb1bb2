// SPDX-License-Identifier: MIT
/* One call over one stream: pieces, back-pressure, deadlines, failures told exactly; at last
 * against our own server. */
#include "client_app.h"
#include "http/server.h"

/* --- one call --- */

static void a_request_goes_out_in_one_write(void **state)
{
    struct app *a = *state;
    struct bytes body[] = {BYTES_LIT("{\"a\":"), BYTES_LIT("1}")};
    struct http_header h = {BYTES_LIT("x-a"), BYTES_LIT("b")};
    struct http_request req = {.method = "POST",
                               .target = BYTES_LIT("/v1?x"),
                               .host = BYTES_LIT("h:1"),
                               .headers = &h,
                               .header_count = 1,
                               .body = body,
                               .body_count = 2,
                               .must_close = true};
    struct fake_stream *f = open_call(a, &req);
    assert_int_equal(f->writes, 1);
    assert_string_equal(fake_sent(f), "POST /v1?x HTTP/1.1\r\nhost: h:1\r\nx-a: b\r\n"
                                      "content-length: 7\r\nconnection: close\r\n\r\n{\"a\":1}");
    answer(a, f, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_done(a, 0, HTTP_CALL_COMPLETE, "ok");
    assert_true(f->is_closed && !f->is_reset);
}

static void a_request_that_could_smuggle_is_not_sent(void **state)
{
    struct app *a = *state;
    struct http_header h = {BYTES_LIT("x"), BYTES_LIT("a\r\nb: c")};
    struct http_request bad[] = {get_request(), get_request(), get_request(), get_request()};
    bad[0].headers = &h;
    bad[0].header_count = 1;
    bad[1].target = BYTES_LIT("/a b");
    bad[2].method = "GE T";
    bad[3].host = BYTES_LIT("a\r\n");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct fake_stream *f = fake_stream_new(&a->w);
        int err = 0;
        assert_null(http_call_open(a->client, &f->s, &bad[i], &on, a, &err));
        assert_int_equal(err, E_INVALID);
        assert_int_equal(fake_sent_len(f), 0);
        assert_true(f->is_closed);
    }
}

static void every_split_of_an_answer_reads_the_same(void **state)
{
    struct app *a = *state;
    static const char text[] = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
                               "6;x=y\r\n world\r\n0\r\nT: v\r\n\r\n";
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        struct fake_stream *f = get(a);
        a->dones = a->interims = 0;
        buf_clear(&a->body);
        fake_feed(f, text, cut);
        fake_world_run(&a->w);
        assert_int_equal(a->dones, 0);
        fake_feed(f, text + cut, sizeof text - 1 - cut);
        fake_world_run(&a->w);
        assert_done(a, 0, HTTP_CALL_COMPLETE, "hello world");
        assert_int_equal(a->interims, 1);
        assert_int_equal(a->result.body_bytes, 11);
    }
    struct fake_stream *f = get(a);
    f->read_piece = 1;
    a->dones = 0;
    buf_clear(&a->body);
    answer(a, f, text);
    assert_done(a, 0, HTTP_CALL_COMPLETE, "hello world");
}

static void the_end_of_the_connection_may_end_the_body(void **state)
{
    struct app *a = *state;
    struct fake_stream *f = get(a);
    answer(a, f, "HTTP/1.0 200 OK\r\n\r\nabc");
    assert_int_equal(a->dones, 0);
    fake_eof(f);
    fake_world_run(&a->w);
    assert_done(a, 0, HTTP_CALL_COMPLETE, "abc");
}

static void failures_say_how_far_it_got(void **state)
{
    static const struct {
        const char *text;
        int err;
        enum http_call_phase phase;
        const char *body;
    } cases[] = {
        {"", E_EOF, HTTP_CALL_SENT, ""},
        {"HTTP/1.1 200", E_EOF, HTTP_CALL_SENT, ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", E_EOF, HTTP_CALL_HEAD, ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", E_EOF, HTTP_CALL_BODY, "abc"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", E_EOF, HTTP_CALL_BODY,
         "abc"},
        {"SSH-2.0-OpenSSH\r\n", E_MALFORMED, HTTP_CALL_SENT, ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", E_MALFORMED,
         HTTP_CALL_SENT, ""},
        {"HTTP/1.1 101 Switching Protocols\r\n\r\n", E_PROTO, HTTP_CALL_SENT, ""},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd", E_MALFORMED,
         HTTP_CALL_BODY, "abc"},
    };
    struct app *a = *state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fake_stream *f = get(a);
        a->dones = 0;
        buf_clear(&a->body);
        fake_feed_str(f, cases[i].text);
        fake_eof(f);
        fake_world_run(&a->w);
        assert_done(a, cases[i].err, cases[i].phase, cases[i].body);
        assert_true(f->is_closed && f->is_reset);
    }
    struct fake_stream *f = get(a);
    a->dones = 0;
    buf_clear(&a->body);
    fake_break(f, E_RESET);
    fake_world_run(&a->w);
    assert_done(a, E_RESET, HTTP_CALL_SENT, "");
}

static void a_body_goes_out_as_it_is_taken(void **state)
{
    struct app *a = *state;
    char big[5000];
    memset(big, 'b', sizeof big);
    struct bytes body = bytes_of(big, sizeof big);
    struct http_request req = get_request();
    req.body = &body;
    req.body_count = 1;
    struct fake_stream *f = fake_stream_new(&a->w);
    f->window = 7;
    int err;
    a->call = http_call_open(a->client, &f->s, &req, &on, a, &err);
    assert_int_equal(http_call_phase(a->call), HTTP_CALL_SENDING);
    while (http_call_phase(a->call) == HTTP_CALL_SENDING) {
        fake_open_window(f, 501);
        fake_world_run(&a->w);
    }
    const char *end = strstr(fake_sent(f), "\r\n\r\n");
    assert_non_null(end);
    assert_int_equal(strlen(end + 4), sizeof big);
    answer(a, f, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_done(a, 0, HTTP_CALL_COMPLETE, "");
}

static void an_early_answer_is_heard_though_sending_failed(void **state)
{
    struct app *a = *state;
    struct http_request req = get_request();
    struct bytes body = BYTES_LIT("0123456789");
    req.body = &body;
    req.body_count = 1;
    struct fake_stream *f = fake_stream_new(&a->w);
    int err;
    f->write_err = E_RESET;
    fake_feed_str(f, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    a->call = http_call_open(a->client, &f->s, &req, &on, a, &err);
    fake_world_run(&a->w);
    assert_int_equal(a->status, 413);
    assert_done(a, 0, HTTP_CALL_COMPLETE, "big");
}

static void pausing_stops_the_pieces(void **state)
{
    struct app *a = *state;
    struct fake_stream *f = get(a);
    a->pause_at_head = true;
    answer(a, f, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
    answer(a, f, "def");
    assert_int_equal(buf_len(&a->body), 0);
    assert_int_equal(buf_len(&f->in), 3); /* not read: the sender feels it */
    fake_world_advance(&a->w, 3600 * US_PER_S);
    assert_int_equal(a->dones, 0);
    http_call_pause(a->call, false);
    fake_world_run(&a->w);
    assert_done(a, 0, HTTP_CALL_COMPLETE, "abcdef");
}

static void a_pause_in_the_middle_holds_too(void **state)
{
    struct app *a = *state;
    struct fake_stream *f = get(a);
    assert_int_equal(http_call_last_life_us(a->call), 0);
    answer(a, f, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
    assert_int_equal(http_call_last_life_us(a->call), sched_now(&a->w.sched));
    http_call_pause(a->call, true);
    fake_feed_str(f, "def");
    fake_world_advance(&a->w, 3600 * US_PER_S);
    assert_int_equal(buf_len(&a->body), 3);
    http_call_pause(a->call, false);
    fake_world_advance(&a->w, 1);
    assert_done(a, 0, HTTP_CALL_COMPLETE, "abcdef");
}

static void cancelling_is_at_once_and_silent(void **state)
{
    struct app *a = *state;
    struct fake_stream *f = get(a);
    http_call_cancel(a->call);
    assert_true(f->is_reset && f->is_closed);
    a->cancel_at_head = true;
    f = get(a);
    answer(a, f, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    assert_true(f->is_reset && f->is_closed);
    a->cancel_at_head = false;
    a->cancel_at_body = true;
    f = get(a);
    answer(a, f, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n");
    assert_true(f->is_reset && f->is_closed);
    assert_int_equal(buf_len(&a->body), 1);
    assert_int_equal(a->dones, 0);
    a->call = NULL;
}

static void each_wait_has_a_deadline(void **state)
{
    struct app *a = *state;
    struct http_request req = get_request();
    req.send_stall_us = 2 * US_PER_S;
    req.first_byte_us = 5 * US_PER_S;
    req.stall_us = 3 * US_PER_S;
    /* nothing is taken */
    struct fake_stream *f = fake_stream_new(&a->w);
    int err;
    f->window = 3;
    a->call = http_call_open(a->client, &f->s, &req, &on, a, &err);
    fake_world_advance(&a->w, 2 * US_PER_S);
    assert_done(a, E_TIMEOUT, HTTP_CALL_SENDING, "");
    /* no head; an interim one shows life */
    a->dones = 0;
    f = open_call(a, &req);
    fake_world_advance(&a->w, 4 * US_PER_S);
    answer(a, f, "HTTP/1.1 102 Processing\r\n\r\n");
    fake_world_advance(&a->w, 4 * US_PER_S);
    assert_int_equal(a->dones, 0);
    fake_world_advance(&a->w, 1 * US_PER_S);
    assert_done(a, E_TIMEOUT, HTTP_CALL_SENT, "");
    /* the body stalls */
    a->dones = 0;
    f = open_call(a, &req);
    answer(a, f, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    fake_world_advance(&a->w, 2 * US_PER_S);
    answer(a, f, "x");
    fake_world_advance(&a->w, 2 * US_PER_S);
    assert_int_equal(a->dones, 0);
    fake_world_advance(&a->w, 1 * US_PER_S);
    assert_done(a, E_TIMEOUT, HTTP_CALL_BODY, "x");
}

static void endless_interims_are_refused(void **state)
{
    struct app *a = *state;
    struct fake_stream *f = get(a);
    for (int i = 0; i <= LIMIT_HTTP_INTERIMS; i++)
        fake_feed_str(f, "HTTP/1.1 102 P\r\n\r\n");
    fake_world_run(&a->w);
    assert_done(a, E_PROTO, HTTP_CALL_SENT, "");
}

/* --- against our own server --- */

static void serve(void *ctx, struct http_exchange *x, const struct http_head *head,
                  struct bytes body)
{
    struct http_response r = {.status = 200, .content_length = HTTP_LENGTH_UNKNOWN};
    http_exchange_head(x, &r);
    http_exchange_body(x, &body, 1);
    http_exchange_body(x, &body, 1);
    http_exchange_end(x);
}

static void our_server_and_our_client_agree(void **state)
{
    static const struct http_handler handler = {.request = serve};
    struct app *a = *state;
    struct http_server *srv =
        http_server_new(&(struct http_server_config){.sched = &a->w.sched, .handler = &handler});
    size_t size = 1000000;
    char *big = malloc(size);
    for (size_t i = 0; i < size; i++)
        big[i] = (char)(i * 7 % 251);
    struct bytes body = bytes_of(big, size);
    struct http_request req = get_request();
    req.method = "POST";
    req.body = &body;
    req.body_count = 1;
    for (int round = 0; round < 3; round++) {
        static const size_t windows[] = {1000, 65536, SIZE_MAX};
        struct fake_stream *near, *far;
        int err;
        fake_pair(&a->w, windows[round], &near, &far);
        near->read_piece = far->read_piece = round ? 0 : 777;
        http_server_conn_open(srv, &far->s, &(struct http_conn_options){.one_request = true});
        a->dones = 0;
        buf_clear(&a->body);
        a->call = http_call_open(a->client, &near->s, &req, &on, a, &err);
        fake_world_run(&a->w);
        assert_int_equal(a->dones, 1);
        assert_int_equal(a->result.err, 0);
        assert_int_equal(buf_len(&a->body), 2 * size);
        assert_memory_equal(buf_view(&a->body).p, big, size);
        assert_memory_equal(buf_view(&a->body).p + size, big, size);
    }
    free(big);
    http_server_free(srv);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_request_goes_out_in_one_write),
        T(a_request_that_could_smuggle_is_not_sent),
        T(every_split_of_an_answer_reads_the_same),
        T(the_end_of_the_connection_may_end_the_body),
        T(failures_say_how_far_it_got),
        T(a_body_goes_out_as_it_is_taken),
        T(an_early_answer_is_heard_though_sending_failed),
        T(pausing_stops_the_pieces),
        T(a_pause_in_the_middle_holds_too),
        T(cancelling_is_at_once_and_silent),
        T(each_wait_has_a_deadline),
        T(endless_interims_are_refused),
        T(our_server_and_our_client_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
