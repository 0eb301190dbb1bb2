// SPDX-License-Identifier: MIT
/* The server's reading half: requests in any pieces, bodies, refusals, deadlines in virtual time,
 * clients that lie, stall and leave. */
#include "server_app.h"

/* --- requests --- */

static void a_request_is_answered_in_one_write(void **state)
{
    struct app *a = *state;
    struct fake_stream *f = send_text(a, GET);
    assert_int_equal(a->requests, 1);
    assert_string_equal(a->path, "/a");
    assert_int_equal(f->writes, 1);
    assert_starts(fake_sent(f), "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 ");
    assert_has(fake_sent(f), "content-type: text/plain\r\ncontent-length: 3\r\n\r\n1 0");
    assert_lacks(fake_sent(f), "connection:");
    assert_false(f->is_closed);
}

static void a_connection_is_kept_and_then_idles_out(void **state)
{
    struct app *a = *state;
    struct fake_stream *f = send_text(a, GET);
    fake_forget_sent(f);
    fake_feed_str(f, GET);
    fake_world_run(&a->w);
    assert_has(fake_sent(f), "\r\n\r\n2 0");
    fake_world_advance(&a->w, 74 * US_PER_S);
    assert_false(f->is_closed);
    fake_world_advance(&a->w, 2 * US_PER_S);
    assert_true(f->is_closed);
    assert_int_equal(http_server_conn_count(a->srv), 0);
}

static void every_split_gives_the_same_answer(void **state)
{
    struct app *a = *state;
    static const char text[] = "POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nT: v\r\n\r\n"
                               "POST /q HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd";
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        struct fake_stream *f = open_conn(a);
        a->requests = 0;
        fake_feed(f, text, cut);
        fake_world_run(&a->w);
        fake_feed(f, text + cut, sizeof text - 1 - cut);
        fake_world_run(&a->w);
        assert_int_equal(a->requests, 2);
        assert_has(fake_sent(f), "\r\n\r\n1 11HTTP/1.1");
        assert_has(fake_sent(f), "\r\n\r\n2 4");
        assert_memory_equal(a->body, "abcd", 4);
        fake_eof(f);
        fake_world_run(&a->w);
        assert_true(f->is_closed);
    }
}

static void a_request_may_come_byte_by_byte(void **state)
{
    struct app *a = *state;
    struct fake_stream *f = open_conn(a);
    f->read_piece = 1;
    fake_feed_str(f, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" GET);
    fake_world_run(&a->w);
    assert_int_equal(a->requests, 2);
    assert_has(fake_sent(f), "\r\n\r\n1 5HTTP/1.1 200");
    assert_has(fake_sent(f), "\r\n\r\n2 0");
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct app *a = *state;
    a->by_hand = true;
    struct fake_stream *f = send_text(a, GET "GET /second HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(a->requests, 1);
    http_exchange_reply(a->x, 200, NULL, NULL, 0, BYTES_LIT("first"));
    fake_world_run(&a->w);
    assert_int_equal(a->requests, 2);
    assert_string_equal(a->path, "/second");
    http_exchange_reply(a->x, 204, NULL, NULL, 0, BYTES_LIT(""));
    fake_world_run(&a->w);
    assert_has(fake_sent(f), "\r\n\r\nfirstHTTP/1.1 204 No Content\r\n");
    assert_lacks(strstr(fake_sent(f), "204"), "content-length");
}

static void reading_ahead_is_bounded(void **state)
{
    struct app *a = *state;
    a->by_hand = true;
    struct fake_stream *f = send_text(a, GET);
    char *junk = malloc(1000000);
    memset(junk, 'x', 1000000);
    fake_feed(f, junk, 1000000);
    fake_world_run(&a->w);
    assert_true(buf_len(&f->in) >= 1000000 - LIMIT_HTTP_PIPELINE);
    http_exchange_reply(a->x, 200, NULL, NULL, 0, BYTES_LIT("first"));
    fake_world_run(&a->w);
    assert_has(fake_sent(f), "firstHTTP/1.1 400 Bad Request");
    assert_true(f->is_closed);
    free(junk);
}

static void continue_is_said_when_the_body_is_wanted(void **state)
{
    struct app *a = *state;
    const char *head = "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                       "Expect: 100-continue\r\n\r\n";
    struct fake_stream *f = send_text(a, head);
    assert_string_equal(fake_sent(f), "HTTP/1.1 100 Continue\r\n\r\n");
    fake_feed_str(f, "hello");
    fake_world_run(&a->w);
    assert_has(fake_sent(f), "\r\n\r\n1 5");
    /* refused before: the body never comes, so the connection cannot go on */
    a->early = true;
    f = send_text(a, head);
    assert_starts(fake_sent(f), "HTTP/1.1 403 Forbidden\r\n");
    assert_true(f->is_closed);
    /* the body came along: nothing to say */
    a->early = false;
    f = open_conn(a);
    fake_feed_str(f, head);
    fake_feed_str(f, "hel");
    fake_world_run(&a->w);
    assert_int_equal(fake_sent_len(f), 0);
    fake_feed_str(f, "lo");
    fake_world_run(&a->w);
    assert_starts(fake_sent(f), "HTTP/1.1 200 OK");
}

static void an_early_answer_drops_the_body_and_goes_on(void **state)
{
    struct app *a = *state;
    a->early = true;
    struct fake_stream *f =
        send_text(a, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe");
    assert_has(fake_sent(f), "{\"error\":{\"message\":\"not you\",\"type\":\"permission_error\","
                             "\"param\":null,\"code\":\"no\"}}");
    assert_false(f->is_closed);
    a->early = false;
    fake_forget_sent(f);
    fake_feed_str(f, "llo" GET);
    fake_world_run(&a->w);
    assert_has(fake_sent(f), "\r\n\r\n1 0");
}

static void head_gets_no_body(void **state)
{
    struct app *a = *state;
    struct fake_stream *f = send_text(a, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_has(fake_sent(f), "content-length: 3\r\n");
    assert_string_equal(strstr(fake_sent(f), "\r\n\r\n"), "\r\n\r\n");
    a->by_hand = true;
    fake_forget_sent(f);
    fake_feed_str(f, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    fake_world_run(&a->w);
    struct http_response r = {.status = 200, .content_length = HTTP_LENGTH_UNKNOWN};
    assert_int_equal(http_exchange_head(a->x, &r), 0);
    assert_int_equal(http_exchange_body(a->x, &BYTES_LIT("data"), 1), 0);
    http_exchange_end(a->x);
    fake_world_run(&a->w);
    assert_has(fake_sent(f), "transfer-encoding: chunked\r\n");
    assert_string_equal(strstr(fake_sent(f), "\r\n\r\n"), "\r\n\r\n");
    assert_false(f->is_closed);
}

static void http_10_is_closed_unless_it_asks(void **state)
{
    struct app *a = *state;
    struct fake_stream *f = send_text(a, "GET / HTTP/1.0\r\n\r\n");
    assert_has(fake_sent(f), "connection: close\r\n");
    assert_true(f->is_closed && f->is_finished);
    f = send_text(a, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_has(fake_sent(f), "connection: keep-alive\r\n");
    assert_false(f->is_closed);
    a->by_hand = true;
    f = send_text(a, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    struct http_response r = {.status = 200, .content_length = HTTP_LENGTH_UNKNOWN};
    http_exchange_head(a->x, &r);
    http_exchange_body(a->x, &BYTES_LIT("data"), 1);
    http_exchange_end(a->x);
    fake_world_run(&a->w);
    assert_has(fake_sent(f), "connection: close\r\n\r\ndata");
    assert_true(f->is_closed);
}

/* --- bodies --- */

static void a_large_body_is_collected_where_it_stays(void **state)
{
    struct app *a = *state;
    a->by_hand = true;
    size_t size = 400 * 1000;
    char *body = malloc(size), head[128];
    for (size_t i = 0; i < size; i++)
        body[i] = (char)('a' + i % 23);
    snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", size);
    struct fake_stream *f = open_conn(a);
    fake_feed_str(f, head);
    fake_feed(f, body, size);
    fake_feed_str(f, GET);
    fake_world_run(&a->w);
    assert_int_equal(a->body_size, size);
    assert_memory_equal(a->body, body, sizeof a->body);
    assert_int_equal(a->requests, 1);
    http_exchange_reply(a->x, 200, NULL, NULL, 0, BYTES_LIT("ok"));
    fake_world_run(&a->w);
    assert_int_equal(a->requests, 2);
    free(body);
}

static void over_the_body_limit_is_413(void **state)
{
    struct app *a = *state;
    a->body_limit = 10;
    struct fake_stream *f =
        send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n");
    assert_starts(fake_sent(f), "HTTP/1.1 413 Content Too Large\r\n");
    assert_true(f->is_closed);
    f = send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n12345678901");
    assert_starts(fake_sent(f), "HTTP/1.1 413 ");
    f = send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "6\r\n123456\r\n5\r\n12345\r\n");
    assert_starts(fake_sent(f), "HTTP/1.1 413 ");
    f = send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "6\r\n123456\r\n5\r\n"); /* said, not sent: no need to wait for it */
    assert_starts(fake_sent(f), "HTTP/1.1 413 ");
    assert_int_equal(a->requests, 0);
    assert_int_equal(a->gone, 4);
    assert_int_equal(a->gone_err, E_TOO_BIG);
    f = send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1234567890");
    assert_starts(fake_sent(f), "HTTP/1.1 200 ");
}

static void a_body_may_be_taken(void **state)
{
    struct app *a = *state;
    a->by_hand = a->take = true;
    struct fake_stream *f =
        send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_true(bytes_eq_str(buf_view(&a->taken), "hello")); /* copied: it lay in the server's */
    assert_int_equal(http_exchange_take_body(a->x, &a->taken), E_INVALID);
    http_exchange_reply(a->x, 200, NULL, NULL, 0, BYTES_LIT("ok"));
    fake_feed_str(f, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n");
    fake_world_run(&a->w);
    assert_true(bytes_eq_str(buf_view(&a->taken), "abcde")); /* moved */
    http_exchange_reply(a->x, 200, NULL, NULL, 0, BYTES_LIT("ok"));
    fake_world_run(&a->w);
}

/* Wherever it lay: in the server's buffer, or collected. */
static void a_body_may_be_wiped(void **state)
{
    static const char *const requests[] = {
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nsecret" GET,
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nsec\r\n3\r\nret\r\n0\r\n\r\n" GET,
    };
    struct app *a = *state;
    a->wipe = true;
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        a->requests = 0;
        a->wiped = 0;
        struct fake_stream *f = send_text(a, requests[i]);
        assert_int_equal(a->wiped, 6);
        assert_int_equal(a->requests, 2); /* the next one is whole */
        assert_has(fake_sent(f), "\r\n\r\n2 0");
    }
}

static void bodies_are_bounded_in_total(void **state)
{
    struct app *a = *state;
    static char part[150000];
    http_server_free(a->srv);
    a->srv = http_server_new(&(struct http_server_config){
        .sched = &a->w.sched, .handler = &app_handler, .ctx = a, .bodies_limit = 400000});
    struct fake_stream *f[3];
    for (int i = 0; i < 3; i++) {
        f[i] =
            send_text(a, i == 1 ? "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                                  "\r\n30000\r\n"
                                : "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 196608\r\n\r\n");
        fake_feed(f[i], part, sizeof part);
        fake_world_run(&a->w);
    }
    assert_int_equal(fake_sent_len(f[0]) + fake_sent_len(f[1]), 0);
    assert_starts(fake_sent(f[2]), "HTTP/1.1 503 ");
    fake_feed(f[0], part, 196608 - sizeof part); /* the others go on, and make room */
    fake_world_run(&a->w);
    assert_starts(fake_sent(f[0]), "HTTP/1.1 200 ");
    struct fake_stream *again =
        send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n");
    fake_feed(again, part, sizeof part);
    fake_world_run(&a->w);
    assert_starts(fake_sent(again), "HTTP/1.1 200 ");
}

static void an_unwanted_body_is_not_read_for_ever(void **state)
{
    struct app *a = *state;
    a->early = true;
    struct fake_stream *f =
        send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\nx");
    assert_starts(fake_sent(f), "HTTP/1.1 403 ");
    assert_true(f->is_closed);
    f = send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n");
    assert_starts(fake_sent(f), "HTTP/1.1 403 ");
    assert_false(f->is_closed);
    static char part[LIMIT_HTTP_DRAIN + 1];
    fake_feed(f, part, sizeof part);
    fake_world_run(&a->w);
    assert_true(f->is_closed);
    f = send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n");
    fake_world_advance(&a->w, 11 * US_PER_S);
    assert_true(f->is_closed);
}

static void a_streamed_body_comes_in_pieces_and_can_wait(void **state)
{
    struct app *a = *state;
    a->by_hand = a->stream = true;
    struct fake_stream *f =
        send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");
    assert_int_equal(a->requests, 1);
    assert_int_equal(a->body_size, 3);
    http_exchange_pause_body(a->x, true);
    fake_feed_str(f, "def");
    fake_world_run(&a->w);
    assert_int_equal(a->body_size, 3);
    fake_world_advance(&a->w, 60 * US_PER_S); /* we are the slow ones: no 408 */
    assert_int_equal(a->gone, 0);
    http_exchange_pause_body(a->x, false);
    fake_feed_str(f, "ghi");
    fake_world_run(&a->w);
    assert_memory_equal(a->body, "abcdefghi", 9);
    assert_int_equal(a->body_ends, 1);
    http_exchange_reply(a->x, 200, NULL, NULL, 0, BYTES_LIT("ok"));
    assert_false(f->is_closed);
}

/* --- clients that leave --- */

static void the_end_of_a_tcp_client_cancels(void **state)
{
    struct app *a = *state;
    a->by_hand = true;
    struct fake_stream *f = send_text(a, GET);
    fake_eof(f);
    fake_world_run(&a->w);
    assert_int_equal(a->gone, 1);
    assert_int_equal(a->gone_err, E_CLOSED);
    assert_true(f->is_closed);
}

static void the_end_of_a_p2p_request_does_not(void **state)
{
    struct app *a = *state;
    a->by_hand = true;
    struct fake_stream *f = fake_stream_new(&a->w);
    http_server_conn_open(a->srv, &f->s, &(struct http_conn_options){.one_request = true});
    fake_feed_str(f, GET);
    fake_eof(f);
    fake_world_run(&a->w);
    assert_int_equal(a->gone, 0);
    http_exchange_reply(a->x, 200, NULL, NULL, 0, BYTES_LIT("x"));
    assert_has(fake_sent(f), "connection: close\r\n\r\nx");
    assert_true(f->is_closed && f->is_finished);
    f = fake_stream_new(&a->w);
    http_server_conn_open(a->srv, &f->s, &(struct http_conn_options){.one_request = true});
    fake_feed_str(f, GET);
    fake_world_run(&a->w);
    fake_break(f, E_RESET);
    fake_world_run(&a->w);
    assert_int_equal(a->gone, 1);
    assert_int_equal(a->gone_err, E_RESET);
}

static void a_failed_write_is_told_later(void **state)
{
    struct app *a = *state;
    struct fake_stream *f;
    begin_stream(a, GET, &f);
    f->write_err = E_RESET;
    assert_int_equal(http_exchange_body(a->x, &BYTES_LIT("x"), 1), E_CLOSED);
    assert_int_equal(a->gone, 0);
    fake_world_run(&a->w);
    assert_int_equal(a->gone, 1);
    assert_int_equal(a->gone_err, E_RESET);
    assert_true(f->is_closed);
}

static void the_server_may_be_freed_with_exchanges_open(void **state)
{
    struct app *a = *state;
    a->by_hand = true;
    send_text(a, GET);
    send_text(a, "GET / HT");
    http_server_free(a->srv);
    assert_int_equal(a->gone, 1);
    assert_int_equal(a->gone_err, E_CANCELLED);
    a->srv = http_server_new(
        &(struct http_server_config){.sched = &a->w.sched, .handler = &app_handler, .ctx = a});
}

static void draining_closes_after_the_answer(void **state)
{
    struct app *a = *state;
    struct fake_stream *idle = send_text(a, GET);
    a->by_hand = true;
    struct fake_stream *busy = send_text(a, GET);
    http_server_drain(a->srv);
    assert_true(idle->is_closed);
    assert_false(busy->is_closed);
    http_exchange_reply(a->x, 200, NULL, NULL, 0, BYTES_LIT("x"));
    assert_has(fake_sent(busy), "connection: close\r\n");
    assert_true(busy->is_closed);
}

/* --- deadlines --- */

static void a_slow_head_gets_408(void **state)
{
    struct app *a = *state;
    struct fake_stream *f = open_conn(a);
    const char *text = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
    for (int s = 0; s < 12 && !f->is_closed; s++) {
        fake_feed(f, text + s, 1);
        fake_world_advance(&a->w, US_PER_S);
    }
    assert_starts(fake_sent(f), "HTTP/1.1 408 Request Timeout\r\n");
    assert_true(f->is_closed);
    assert_int_equal(a->requests, 0);
}

static void a_slow_body_gets_408(void **state)
{
    struct app *a = *state;
    struct fake_stream *f =
        send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    for (int s = 0; s < 60 && !f->is_closed; s++) {
        fake_feed(f, "x", 1);
        fake_world_advance(&a->w, US_PER_S);
    }
    assert_starts(fake_sent(f), "HTTP/1.1 408 Request Timeout\r\n");
    assert_has(fake_sent(f), "too slowly");
    assert_int_equal(a->gone_err, E_TIMEOUT);
    /* 2 KiB/s is slow, but comes forward */
    static char piece[2048];
    f = send_text(a, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    for (int s = 0; s < 49; s++) {
        fake_feed(f, piece, s < 48 ? sizeof piece : 100000 - 48 * sizeof piece);
        fake_world_advance(&a->w, US_PER_S);
    }
    assert_starts(fake_sent(f), "HTTP/1.1 200 OK\r\n");
}

static void ten_thousand_idle_connections_hold_no_buffers(void **state)
{
    struct app *a = *state;
    for (int i = 0; i < 10000; i++) {
        struct fake_stream *f = open_conn(a);
        fake_feed_str(f, GET);
    }
    fake_world_run(&a->w);
    assert_int_equal(a->requests, 10000);
    assert_int_equal(http_server_conn_count(a->srv), 10000);
    assert_int_equal(http_server_exchange_count(a->srv), 0);
    fake_world_advance(&a->w, 80 * US_PER_S);
    assert_int_equal(http_server_conn_count(a->srv), 0);
}

static void too_many_connections_get_503(void **state)
{
    struct app *a = *state;
    http_server_free(a->srv);
    a->srv = http_server_new(&(struct http_server_config){
        .sched = &a->w.sched, .handler = &app_handler, .ctx = a, .conn_limit = 1});
    send_text(a, "GET / HT");
    struct fake_stream *f = send_text(a, GET);
    assert_starts(fake_sent(f), "HTTP/1.1 503 ");
    assert_true(f->is_closed);
    assert_int_equal(http_server_refused(a->srv), 1);
    assert_int_equal(http_server_conn_limit(a->srv), 1);
}

/* --- refusals --- */

static void bad_requests_get_their_status_and_a_sentence(void **state)
{
    struct app *a = *state;
    static const struct {
        const char *request, *status, *why;
    } bad[] = {
        {"GET / HTTP/1.1\r\n\r\n", "400", "needs a Host"},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", "505", "HTTP/1.1"},
        {"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "501", "not implemented"},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "501", "chunked"},
        {"POST / HTTP/1.1\r\nHost: x\r\nExpect: magic\r\n\r\n", "417", "100-continue"},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400",
         "hexadecimal"},
        {"\x16\x03\x01\x02", "400", "not a token"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct fake_stream *f = send_text(a, bad[i].request);
        char start[32];
        snprintf(start, sizeof start, "HTTP/1.1 %s ", bad[i].status);
        assert_starts(fake_sent(f), start);
        assert_has(fake_sent(f), bad[i].why);
        assert_has(fake_sent(f), "connection: close\r\n");
        assert_has(fake_sent(f), "{\"error\":{\"message\":\"");
        assert_true(f->is_closed);
    }
    assert_int_equal(a->requests, 0);
}

static void a_head_over_the_limit_is_431(void **state)
{
    struct app *a = *state;
    struct fake_stream *f = open_conn(a);
    fake_feed_str(f, "GET / HTTP/1.1\r\nHost: x\r\nX: ");
    char *junk = malloc(LIMIT_HTTP_HEAD);
    memset(junk, 'j', LIMIT_HTTP_HEAD);
    f->read_piece = 1000;
    fake_feed(f, junk, LIMIT_HTTP_HEAD);
    fake_world_run(&a->w);
    assert_starts(fake_sent(f), "HTTP/1.1 431 ");
    free(junk);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_request_is_answered_in_one_write),
        T(a_connection_is_kept_and_then_idles_out),
        T(every_split_gives_the_same_answer),
        T(a_request_may_come_byte_by_byte),
        T(pipelined_requests_are_answered_in_order),
        T(reading_ahead_is_bounded),
        T(continue_is_said_when_the_body_is_wanted),
        T(an_early_answer_drops_the_body_and_goes_on),
        T(head_gets_no_body),
        T(http_10_is_closed_unless_it_asks),
        T(a_large_body_is_collected_where_it_stays),
        T(over_the_body_limit_is_413),
        T(a_body_may_be_taken),
        T(a_body_may_be_wiped),
        T(bodies_are_bounded_in_total),
        T(an_unwanted_body_is_not_read_for_ever),
        T(a_streamed_body_comes_in_pieces_and_can_wait),
        T(the_end_of_a_tcp_client_cancels),
        T(the_end_of_a_p2p_request_does_not),
        T(a_failed_write_is_told_later),
        T(the_server_may_be_freed_with_exchanges_open),
        T(draining_closes_after_the_answer),
        T(a_slow_head_gets_408),
        T(a_slow_body_gets_408),
        T(ten_thousand_idle_connections_hold_no_buffers),
        T(too_many_connections_get_503),
        T(bad_requests_get_their_status_and_a_sentence),
        T(a_head_over_the_limit_is_431),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
