// SPDX-License-Identifier: MIT
/* Heads and bodies: what is read, what is refused and by which name, and that it does not matter
 * how the bytes come. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"
#include "http/http1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct http_header_table table;
static struct http_head head;

static int request(const char *text)
{
    return http_parse_request(bytes_str(text), 0, &table, &head);
}

static int response(const char *text, enum http_method method)
{
    return http_parse_response(bytes_str(text), 0, method, &table, &head);
}

static void assert_bytes(struct bytes got, const char *want)
{
    if (!bytes_eq_str(got, want))
        fail_msg("expected \"%s\", got \"%.*s\"", want, BYTES_FMT(got));
}

/* --- requests that are good --- */

static void a_request_is_read_where_it_lies(void **state)
{
    const char *text = "POST /v1/chat?a=b&c HTTP/1.1\r\nHost: api.example:8888\r\n"
                       "X-Empty:\r\nX-Padded:  \t two words \t \r\ncontent-LENGTH: 12\r\n\r\nbody";
    assert_int_equal(request(text), 0);
    assert_int_equal(head.method, HTTP_POST);
    assert_bytes(head.target, "/v1/chat?a=b&c");
    assert_bytes(head.path, "/v1/chat");
    assert_bytes(head.query, "a=b&c");
    assert_bytes(head.host, "api.example:8888");
    assert_int_equal(head.minor, 1);
    assert_true(head.keep_alive);
    assert_int_equal(head.framing, HTTP_BODY_LENGTH);
    assert_int_equal(head.content_length, 12);
    assert_int_equal(head.header_count, 4);
    assert_bytes(http_header_get(&head, "x-empty"), "");
    assert_bytes(http_header_get(&head, "X-PADDED"), "two words");
    assert_null(http_header_get(&head, "absent").p);
    assert_int_equal(head.size, strlen(text) - 4);
    assert_ptr_equal(head.target.p, text + 5);
}

static void a_head_is_never_read_differently_for_its_pieces(void **state)
{
    const char *text = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\n\r\n";
    size_t n = strlen(text);
    for (size_t cut = 0; cut < n; cut++) {
        char *exact = malloc(cut + 1); /* so that reading past the end is seen */
        memcpy(exact, text, cut);
        int err = http_parse_request(bytes_of(exact, cut), 0, &table, &head);
        assert_int_equal(err, E_AGAIN);
        free(exact);
        assert_int_equal(http_parse_request(bytes_of(text, n), cut, &table, &head), 0);
        assert_false(head.keep_alive);
    }
    for (size_t seen = 0, have = 1; have <= n; seen = have++) /* byte by byte */
        assert_int_equal(http_parse_request(bytes_of(text, have), seen, &table, &head),
                         have == n ? 0 : E_AGAIN);
}

static void all_four_forms_of_target_are_known(void **state)
{
    assert_int_equal(request("GET http://Host.example:80/a/b?c HTTP/1.1\r\nHost: other\r\n\r\n"),
                     0);
    assert_int_equal(head.form, HTTP_FORM_ABSOLUTE);
    assert_bytes(head.host, "Host.example:80"); /* RFC 9112 §3.2.2: over the Host field */
    assert_bytes(head.path, "/a/b");
    assert_bytes(head.query, "c");
    assert_int_equal(request("GET HTTPS://h HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    assert_bytes(head.path, "/");
    assert_int_equal(request("GET http://h?q HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    assert_bytes(head.path, "/");
    assert_bytes(head.query, "q");
    assert_int_equal(request("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    assert_int_equal(head.form, HTTP_FORM_AUTHORITY);
    assert_int_equal(request("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    assert_int_equal(head.form, HTTP_FORM_ASTERISK);
}

static void an_empty_line_in_front_is_forgiven(void **state)
{
    assert_int_equal(request("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    assert_int_equal(request("\r"), E_AGAIN);
    assert_int_equal(request("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), E_MALFORMED);
}

static void persistence_is_as_the_version_says(void **state)
{
    assert_int_equal(request("GET / HTTP/1.0\r\n\r\n"), 0);
    assert_false(head.keep_alive);
    assert_int_equal(request("GET / HTTP/1.0\r\nConnection: foo, Keep-Alive\r\n\r\n"), 0);
    assert_true(head.keep_alive);
    assert_int_equal(request("GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n"), 0);
    assert_false(head.keep_alive);
    assert_int_equal(
        request("GET / HTTP/1.1\r\nHost: h\r\nConnection: a\r\nConnection: close\r\n\r\n"), 0);
    assert_false(head.keep_alive);
    assert_int_equal(request("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n"
                             "Content-Length: 1\r\n\r\n"),
                     0);
    assert_true(head.expects_continue);
}

/* --- requests that are refused, by name --- */

#define H "Host: h\r\n"
static const struct {
    const char *name, *text;
    enum http_fault fault;
} tricks[] = {
    {"both lengths (CL.TE)",
     "POST / HTTP/1.1\r\n" H "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n",
     HTTP_FAULT_BOTH_LENGTHS},
    {"both lengths (TE.CL)",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n",
     HTTP_FAULT_BOTH_LENGTHS},
    {"two lengths, different",
     "POST / HTTP/1.1\r\n" H "Content-Length: 6\r\nContent-Length: 5\r\n\r\n",
     HTTP_FAULT_LENGTH_TWICE},
    {"two lengths, equal", "POST / HTTP/1.1\r\n" H "Content-Length: 6\r\nContent-Length: 6\r\n\r\n",
     HTTP_FAULT_LENGTH_TWICE},
    {"a list of lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 6, 6\r\n\r\n",
     HTTP_FAULT_LENGTH_BAD},
    {"a signed length", "POST / HTTP/1.1\r\n" H "Content-Length: +6\r\n\r\n",
     HTTP_FAULT_LENGTH_BAD},
    {"a negative length", "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n",
     HTTP_FAULT_LENGTH_BAD},
    {"a hexadecimal length", "POST / HTTP/1.1\r\n" H "Content-Length: 0x6\r\n\r\n",
     HTTP_FAULT_LENGTH_BAD},
    {"an empty length", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", HTTP_FAULT_LENGTH_BAD},
    {"a length that overflows",
     "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\n", HTTP_FAULT_LENGTH_BAD},
    {"a length over 2^63", "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\n",
     HTTP_FAULT_LENGTH_BAD},
    {"a coding that hides chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n",
     HTTP_FAULT_CODING_UNKNOWN},
    {"identity", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n",
     HTTP_FAULT_CODING_UNKNOWN},
    {"chunked twice in a list",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n",
     HTTP_FAULT_CODING_UNKNOWN},
    {"chunked not last", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n",
     HTTP_FAULT_CODING_UNKNOWN},
    {"a quoted coding", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n",
     HTTP_FAULT_CODING_UNKNOWN},
    {"a vertical tab before chunked",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \vchunked\r\n\r\n", HTTP_FAULT_FIELD_VALUE},
    {"two codings",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     HTTP_FAULT_CODING_TWICE},
    {"a coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
     HTTP_FAULT_CODING_10},
    {"obs-fold with a blank", "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", HTTP_FAULT_OBS_FOLD},
    {"obs-fold with a tab", "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", HTTP_FAULT_OBS_FOLD},
    {"a blank before the first field", "GET / HTTP/1.1\r\n " H "\r\n", HTTP_FAULT_OBS_FOLD},
    {"a blank before the colon", "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n",
     HTTP_FAULT_FIELD_SPACE},
    {"a tab before the colon", "POST / HTTP/1.1\r\n" H "Content-Length\t: 5\r\n\r\n",
     HTTP_FAULT_FIELD_SPACE},
    {"a field without a name", "GET / HTTP/1.1\r\n" H ": x\r\n\r\n", HTTP_FAULT_FIELD_NAME},
    {"a field without a colon", "GET / HTTP/1.1\r\n" H "nonsense\r\n\r\n", HTTP_FAULT_FIELD_NAME},
    {"a field name that is no token", "GET / HTTP/1.1\r\n" H "X(y): z\r\n\r\n",
     HTTP_FAULT_FIELD_NAME},
    {"a field name with a high byte", "GET / HTTP/1.1\r\n" H "X\xff: z\r\n\r\n",
     HTTP_FAULT_FIELD_NAME},
    {"a bare LF after a field", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", HTTP_FAULT_BARE_LF},
    {"a bare LF as the empty line", "GET / HTTP/1.1\r\n" H "\n", HTTP_FAULT_BARE_LF},
    {"a bare CR in a value", "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", HTTP_FAULT_BARE_CR},
    {"a bare CR as the empty line", "GET / HTTP/1.1\r\n" H "\rGET / HTTP/1.1\r\n\r\n",
     HTTP_FAULT_BARE_CR},
    {"a bare LF after the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", HTTP_FAULT_BARE_LF},
    {"a control character in a value", "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n",
     HTTP_FAULT_FIELD_VALUE},
    {"DEL in a value", "GET / HTTP/1.1\r\n" H "X: aaaaaaaaaaa\x7f\r\n\r\n", HTTP_FAULT_FIELD_VALUE},
    {"no Host", "GET / HTTP/1.1\r\n\r\n", HTTP_FAULT_HOST_MISSING},
    {"two Hosts", "GET / HTTP/1.1\r\n" H H "\r\n", HTTP_FAULT_HOST_TWICE},
    {"a Host with a path", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", HTTP_FAULT_HOST_BAD},
    {"a Host with a user", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", HTTP_FAULT_HOST_BAD},
    {"a Host list", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HTTP_FAULT_HOST_BAD},
    {"no method", " / HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_METHOD},
    {"a method that is no token", "G@T / HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_METHOD},
    {"a method without end", "GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG", HTTP_FAULT_METHOD},
    {"no target", "GET  HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"a relative target", "GET a HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"an asterisk that is not OPTIONS", "GET * HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"another scheme", "GET ftp://h/ HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"an absolute target without host", "GET http:///x HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"an absolute target with a user", "GET http://u@h/ HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"a fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"a high byte in the target", "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"a tab in the target", "GET /\t HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"CONNECT without port", "CONNECT h HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_TARGET},
    {"two blanks before the version", "GET /  HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_START_LINE},
    {"a tab before the version", "GET / \tHTTP/1.1\r\n" H "\r\n", HTTP_FAULT_START_LINE},
    {"a blank after the version", "GET / HTTP/1.1 \r\n" H "\r\n", HTTP_FAULT_START_LINE},
    {"a request in the version", "GET / HTTP/1.1 HTTP/1.1\r\n" H "\r\n", HTTP_FAULT_START_LINE},
    {"HTTP/0.9", "GET /\r\n", HTTP_FAULT_START_LINE},
    {"lower-case http", "GET / http/1.1\r\n" H "\r\n", HTTP_FAULT_START_LINE},
    {"HTTP/1.10", "GET / HTTP/1.10\r\n" H "\r\n", HTTP_FAULT_START_LINE},
    {"HTTP/1.2", "GET / HTTP/1.2\r\n" H "\r\n", HTTP_FAULT_VERSION},
    {"the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP_FAULT_VERSION},
    {"another expectation", "POST / HTTP/1.1\r\n" H "Expect: 200-maybe\r\n\r\n", HTTP_FAULT_EXPECT},
    {"TLS", "\x16\x03\x01", HTTP_FAULT_METHOD},
};

static void each_trick_is_refused_by_its_name(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(tricks); i++) {
        int err = request(tricks[i].text);
        if (err != E_MALFORMED || head.fault != tricks[i].fault)
            fail_msg("%s: expected %s, got %d %s", tricks[i].name, http_fault_name(tricks[i].fault),
                     err, http_fault_name(head.fault));
        assert_true(http_fault_status(head.fault) >= 400);
        assert_true(strlen(http_fault_text(head.fault)) > 10);
    }
}

/* A refusal does not depend on how much lies behind, and never comes for what may still become
 * good. */
static void refusals_are_the_same_for_every_split(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(tricks); i++) {
        bool is_refused = false;
        for (size_t n = 1; n <= strlen(tricks[i].text); n++) {
            int err = http_parse_request(bytes_of(tricks[i].text, n), 0, &table, &head);
            if (is_refused)
                assert_int_equal(err, E_MALFORMED);
            else
                assert_true(err == E_AGAIN || err == E_MALFORMED);
            is_refused |= err == E_MALFORMED;
            if (is_refused)
                assert_int_equal(head.fault, tricks[i].fault);
        }
        assert_true(is_refused);
    }
}

static void a_nul_is_refused_everywhere(void **state)
{
    const char good[] = "POST /path HTTP/1.1\r\nHost: h\r\nX-Y: z z\r\n\r\n";
    for (size_t i = 0; i < sizeof good - 1; i++) {
        char bad[sizeof good];
        memcpy(bad, good, sizeof good);
        bad[i] = 0;
        assert_int_equal(http_parse_request(bytes_of(bad, sizeof bad - 1), 0, &table, &head),
                         E_MALFORMED);
    }
}

static struct bytes filled(struct buf *b, const char *start, char fill, size_t n, const char *end)
{
    buf_init(b, 0);
    buf_append_str(b, start);
    for (size_t i = 0; i < n; i++)
        buf_append_byte(b, (uint8_t)fill);
    buf_append_str(b, end);
    return buf_view(b);
}

static void sizes_have_limits(void **state)
{
    struct buf b;
    struct bytes t = filled(&b, "GET /", 'a', LIMIT_HTTP_TARGET, " HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(http_parse_request(t, 0, &table, &head), E_LIMIT);
    assert_int_equal(head.fault, HTTP_FAULT_TARGET_LONG);
    buf_fini(&b);
    t = filled(&b, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 'x', LIMIT_HTTP_HEAD, "\r\n\r\n");
    assert_int_equal(http_parse_request(t, 0, &table, &head), E_LIMIT);
    assert_int_equal(head.fault, HTTP_FAULT_HEAD_BIG);
    buf_fini(&b);
    t = filled(&b, "HTTP/1.1 200 ", 'x', LIMIT_HTTP_HEAD, "\r\n\r\n");
    assert_int_equal(http_parse_response(t, 0, HTTP_GET, &table, &head), E_LIMIT);
    buf_fini(&b);
    /* the largest that fits */
    t = filled(&b, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 'x', LIMIT_HTTP_HEAD - 32, "\r\n\r\n");
    assert_int_equal(t.n, LIMIT_HTTP_HEAD);
    assert_int_equal(http_parse_request(t, 0, &table, &head), 0);
    buf_fini(&b);
    buf_init(&b, 0);
    buf_append_str(&b, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 1; i < LIMIT_HTTP_HEADERS; i++)
        buf_append_str(&b, "a: b\r\n");
    size_t at = buf_len(&b);
    buf_append_str(&b, "\r\n");
    assert_int_equal(http_parse_request(buf_view(&b), 0, &table, &head), 0);
    assert_int_equal(head.header_count, LIMIT_HTTP_HEADERS);
    buf_append_str(&b, "\r\n");
    memcpy(b.base + b.head + at, "c:\r\n", 4);
    buf_append_str(&b, "\r\n");
    assert_int_equal(http_parse_request(buf_view(&b), 0, &table, &head), E_LIMIT);
    assert_int_equal(head.fault, HTTP_FAULT_FIELDS_MANY);
    buf_fini(&b);
}

/* --- responses --- */

static void a_response_says_how_its_body_ends(void **state)
{
    static const struct {
        const char *text;
        enum http_method to;
        enum http_framing framing;
        bool keep_alive;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_GET, HTTP_BODY_LENGTH, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HTTP_GET, HTTP_BODY_NONE, true},
        {"HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", HTTP_GET, HTTP_BODY_CHUNKED, true},
        {"HTTP/1.1 200 \r\n\r\n", HTTP_GET, HTTP_BODY_UNTIL_EOF, false},
        {"HTTP/1.0 200 OK\r\n\r\n", HTTP_GET, HTTP_BODY_UNTIL_EOF, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_HEAD, HTTP_BODY_NONE, true},
        {"HTTP/1.1 200 OK\r\n\r\n", HTTP_CONNECT, HTTP_BODY_NONE, true},
        {"HTTP/1.1 407 No\r\n\r\n", HTTP_CONNECT, HTTP_BODY_UNTIL_EOF, false},
        {"HTTP/1.1 204 No Content\r\n\r\n", HTTP_GET, HTTP_BODY_NONE, true},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", HTTP_GET, HTTP_BODY_NONE, true},
        {"HTTP/1.1 103 Early\r\n\r\n", HTTP_GET, HTTP_BODY_NONE, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(response(cases[i].text, cases[i].to), 0);
        assert_int_equal(head.framing, cases[i].framing);
        assert_int_equal(head.keep_alive, cases[i].keep_alive);
    }
    assert_int_equal(response("HTTP/1.1 404 Not  Found\r\n\r\n", HTTP_GET), 0);
    assert_int_equal(head.status, 404);
    assert_bytes(head.reason, "Not  Found");
}

static void bad_responses_are_refused_by_name(void **state)
{
    static const struct {
        const char *text;
        enum http_fault fault;
    } bad[] = {
        {"HTTP/1.1 99 No\r\n\r\n", HTTP_FAULT_STATUS},
        {"HTTP/1.1 099 No\r\n\r\n", HTTP_FAULT_STATUS},
        {"HTTP/1.1 600 No\r\n\r\n", HTTP_FAULT_STATUS},
        {"HTTP/1.1 2000 No\r\n\r\n", HTTP_FAULT_START_LINE},
        {"HTTP/1.1  200 OK\r\n\r\n", HTTP_FAULT_STATUS},
        {"HTTP/3.0 200 OK\r\n\r\n", HTTP_FAULT_VERSION},
        {"HTTP/1.1 200 OK\n\n", HTTP_FAULT_BARE_LF},
        {"HTTP/1.1 200 O\x01K\r\n\r\n", HTTP_FAULT_START_LINE},
        {"<html>", HTTP_FAULT_START_LINE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         HTTP_FAULT_BOTH_LENGTHS},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
         HTTP_FAULT_LENGTH_TWICE},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HTTP_FAULT_CODING_UNKNOWN},
        {"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", HTTP_FAULT_OBS_FOLD},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int err = response(bad[i].text, HTTP_GET);
        if (err != E_MALFORMED || head.fault != bad[i].fault)
            fail_msg("%s: got %d %s", bad[i].text, err, http_fault_name(head.fault));
    }
}

static void a_clone_stands_on_its_own(void **state)
{
    char text[] = "POST /p?q HTTP/1.1\r\nHost: h\r\nX: y\r\nEmpty:\r\n\r\n";
    assert_int_equal(request(text), 0);
    struct http_head *copy = http_head_clone(&head);
    memset(text, '#', sizeof text);
    memset(&table, 0, sizeof table);
    assert_bytes(copy->method_text, "POST");
    assert_bytes(copy->target, "/p?q");
    assert_bytes(copy->path, "/p");
    assert_bytes(copy->query, "q");
    assert_bytes(copy->host, "h");
    assert_bytes(http_header_get(copy, "x"), "y");
    assert_bytes(http_header_get(copy, "empty"), "");
    free(copy);
}

/* --- bodies --- */

/* Decodes `text` given in pieces of `piece` bytes into `out`: the last answer of http_body_step. */
static int decode(struct http_body *b, const char *text, size_t n, size_t piece, struct buf *out,
                  size_t *used)
{
    struct bytes slice;
    int got = E_AGAIN;
    *used = 0;
    for (size_t at = 0; at < n && got == E_AGAIN; at += piece) {
        struct bytes in = bytes_of(text + at, n - at < piece ? n - at : piece);
        size_t here = in.n;
        while ((got = http_body_step(b, &in, &slice)) == 1)
            buf_append_bytes(out, slice);
        *used += here - in.n;
    }
    return got;
}

static void chunks_read_the_same_in_any_pieces(void **state)
{
    static const char text[] =
        "5\r\nhello\r\n00006;name=\"va;lue\"\r\n world\r\nA\r\n0123456789\r\n"
        "0;last\r\nTrailer: dropped\r\nX: y\r\n\r\nNEXT";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct http_body b;
        struct buf out;
        size_t used;
        buf_init(&out, 0);
        http_body_init(&b, HTTP_BODY_CHUNKED, 0);
        assert_int_equal(decode(&b, text, sizeof text - 1, piece, &out, &used), 0);
        assert_bytes(buf_view(&out), "hello world0123456789");
        assert_int_equal(used, sizeof text - 5);
        assert_int_equal(b.received, 21);
        assert_int_equal(http_body_eof(&b), 0);
        buf_fini(&out);
    }
}

static void chunk_tricks_are_refused_by_name(void **state)
{
    static const struct {
        const char *name, *text;
        enum http_fault fault;
    } bad[] = {
        {"no digits", "\r\n", HTTP_FAULT_CHUNK_SIZE},
        {"not a digit", "g\r\n", HTTP_FAULT_CHUNK_SIZE},
        {"0x", "0x5\r\nhello\r\n", HTTP_FAULT_CHUNK_SIZE},
        {"a sign", "+5\r\nhello\r\n", HTTP_FAULT_CHUNK_SIZE},
        {"minus", "-5\r\nhello\r\n", HTTP_FAULT_CHUNK_SIZE},
        {"an underscore", "5_\r\nhello\r\n", HTTP_FAULT_CHUNK_SIZE},
        {"a blank before", " 5\r\nhello\r\n", HTTP_FAULT_CHUNK_SIZE},
        {"a blank behind", "5 \r\nhello\r\n", HTTP_FAULT_CHUNK_SIZE},
        {"a bare LF after the size", "5\nhello\r\n", HTTP_FAULT_CHUNK_SIZE},
        {"a bare CR after the size", "5\rhello\r\n", HTTP_FAULT_CHUNK_SIZE},
        {"an extension only", ";a=b\r\n", HTTP_FAULT_CHUNK_SIZE},
        {"a size that overflows", "10000000000000005\r\nhello\r\n", HTTP_FAULT_CHUNK_HUGE},
        {"sixteen digits", "FFFFFFFFFFFFFFFF\r\nhello\r\n", HTTP_FAULT_CHUNK_HUGE},
        {"zeros without end", "0000000000000000\r\n", HTTP_FAULT_CHUNK_HUGE},
        {"a bare LF in an extension (TERM.EXT)", "5;\nxx\r\nhello\r\n", HTTP_FAULT_CHUNK_EXT},
        {"a bare CR in an extension", "5;a\rb\r\nhello\r\n", HTTP_FAULT_CHUNK_SIZE},
        {"NUL-like control in an extension", "5;\x01\r\nhello\r\n", HTTP_FAULT_CHUNK_EXT},
        {"a chunk longer than its size", "5\r\nhello!\r\n", HTTP_FAULT_CHUNK_END},
        {"a chunk without CR", "5\r\nhello\n", HTTP_FAULT_CHUNK_END},
        {"a chunk with CR only", "5\r\nhello\r0\r\n", HTTP_FAULT_CHUNK_END},
        {"a folded trailer", "0\r\n folded\r\n\r\n", HTTP_FAULT_TRAILER},
        {"a nameless trailer", "0\r\n: x\r\n\r\n", HTTP_FAULT_TRAILER},
        {"a bare LF in a trailer", "0\r\nA: b\nC: d\r\n\r\n", HTTP_FAULT_TRAILER},
        {"a bare LF at the end", "0\r\n\n", HTTP_FAULT_TRAILER},
        {"a bare CR at the end", "0\r\n\rX", HTTP_FAULT_TRAILER},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        for (size_t piece = 1; piece < 8; piece++) {
            struct http_body b;
            struct buf out;
            size_t used;
            buf_init(&out, 0);
            http_body_init(&b, HTTP_BODY_CHUNKED, 0);
            int err = decode(&b, bad[i].text, strlen(bad[i].text), piece, &out, &used);
            if (err >= 0 || err == E_AGAIN || b.fault != bad[i].fault)
                fail_msg("%s: got %d %s", bad[i].name, err, http_fault_name(b.fault));
            struct bytes more = BYTES_LIT("0\r\n\r\n"), slice;
            assert_int_equal(http_body_step(&b, &more, &slice), err); /* refused for good */
            buf_fini(&out);
        }
    }
}

/* Many small extensions cost as much as one big one. */
static void extensions_and_trailers_are_bounded_in_total(void **state)
{
    struct http_body b;
    struct bytes slice;
    int got = 0;
    size_t chunks = 0;
    http_body_init(&b, HTTP_BODY_CHUNKED, 0);
    while (got >= 0 || got == E_AGAIN) {
        struct bytes in = BYTES_LIT("1;eeeeeeeeeeeeeeeeeeeeeeeeeeeeee\r\nx\r\n");
        while ((got = http_body_step(&b, &in, &slice)) == 1)
            ;
        assert_true(++chunks < 10000);
    }
    assert_int_equal(b.fault, HTTP_FAULT_CHUNK_EXT);
    http_body_init(&b, HTTP_BODY_CHUNKED, 0);
    struct bytes last = BYTES_LIT("0\r\n");
    assert_int_equal(http_body_step(&b, &last, &slice), E_AGAIN);
    for (chunks = 0; (got = http_body_step(&b, &(struct bytes){(const uint8_t *)"T: vvvv\r\n", 9},
                                           &slice)) == E_AGAIN;)
        assert_true(++chunks < 10000);
    assert_int_equal(b.fault, HTTP_FAULT_TRAILER);
}

static void lengths_and_ends_delimit_too(void **state)
{
    struct http_body b;
    struct bytes slice, in = BYTES_LIT("helloNEXT");
    http_body_init(&b, HTTP_BODY_LENGTH, 5);
    assert_int_equal(http_body_step(&b, &in, &slice), 1);
    assert_bytes(slice, "hello");
    assert_int_equal(http_body_step(&b, &in, &slice), 0);
    assert_bytes(in, "NEXT");
    http_body_init(&b, HTTP_BODY_LENGTH, 10);
    in = BYTES_LIT("hello");
    assert_int_equal(http_body_step(&b, &in, &slice), 1);
    assert_int_equal(http_body_step(&b, &in, &slice), E_AGAIN);
    assert_int_equal(http_body_eof(&b), E_EOF);
    http_body_init(&b, HTTP_BODY_UNTIL_EOF, 0);
    in = BYTES_LIT("hello");
    assert_int_equal(http_body_step(&b, &in, &slice), 1);
    assert_int_equal(http_body_step(&b, &in, &slice), E_AGAIN);
    assert_int_equal(http_body_eof(&b), 0);
    http_body_init(&b, HTTP_BODY_NONE, 0);
    in = BYTES_LIT("NEXT");
    assert_int_equal(http_body_step(&b, &in, &slice), 0);
    assert_int_equal(in.n, 4);
}

static void what_we_chunk_we_read(void **state)
{
    static const uint64_t sizes[] = {1, 15, 16, 255, 256, 4095, 65536, 1000000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char text[HTTP_CHUNK_HEAD + 1] = "", want[32];
        size_t n = http_chunk_head(text, sizes[i]);
        snprintf(want, sizeof want, "%zx\r\n", (size_t)sizes[i]);
        assert_bytes(bytes_of(text, n), want);
    }
}

/* Random edits of good messages: never read past the end (ASan), same answer for any split. */
static void mutated_messages_are_read_consistently(void **state)
{
    static const char good[] =
        "POST /v1/x?y HTTP/1.1\r\nHost: h:1\r\nTransfer-Encoding: chunked\r\n"
        "Connection: keep-alive\r\nExpect: 100-continue\r\n\r\n";
    static const char letters[] = "\r\n\t :;,aA01/?#*\x7f\x80";
    uint64_t seed = 20261121;
    struct rng r;
    rng_init_seeded(&r, seed);
    for (int round = 0; round < 20000; round++) {
        size_t n = sizeof good - 1;
        uint8_t *text = malloc(n);
        memcpy(text, good, n);
        for (int edits = 1 + (int)(rng_u64(&r) % 3); edits > 0; edits--)
            text[rng_u64(&r) % n] = (uint8_t)letters[rng_u64(&r) % (sizeof letters - 1)];
        int whole = http_parse_request(bytes_of(text, n), 0, &table, &head);
        enum http_fault fault = head.fault;
        size_t cut = rng_u64(&r) % n;
        int part = http_parse_request(bytes_of(text, cut), 0, &table, &head);
        if (part != E_AGAIN && (part != whole || head.fault != fault))
            fail_msg("round %d: %d %s of a part, %d %s of the whole", round, part,
                     http_fault_name(head.fault), whole, http_fault_name(fault));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_read_where_it_lies),
        cmocka_unit_test(a_head_is_never_read_differently_for_its_pieces),
        cmocka_unit_test(all_four_forms_of_target_are_known),
        cmocka_unit_test(an_empty_line_in_front_is_forgiven),
        cmocka_unit_test(persistence_is_as_the_version_says),
        cmocka_unit_test(each_trick_is_refused_by_its_name),
        cmocka_unit_test(refusals_are_the_same_for_every_split),
        cmocka_unit_test(a_nul_is_refused_everywhere),
        cmocka_unit_test(sizes_have_limits),
        cmocka_unit_test(a_response_says_how_its_body_ends),
        cmocka_unit_test(bad_responses_are_refused_by_name),
        cmocka_unit_test(a_clone_stands_on_its_own),
        cmocka_unit_test(chunks_read_the_same_in_any_pieces),
        cmocka_unit_test(chunk_tricks_are_refused_by_name),
        cmocka_unit_test(extensions_and_trailers_are_bounded_in_total),
        cmocka_unit_test(lengths_and_ends_delimit_too),
        cmocka_unit_test(what_we_chunk_we_read),
        cmocka_unit_test(mutated_messages_are_read_consistently),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
