// SPDX-License-Identifier: MIT
/* What crosses, who may call from a browser, and what a preflight hears. */
#include "gateway/headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct http_header_table table;

static struct http_head parse(const char *text)
{
    struct http_head head;
    assert_int_equal(http_parse_request(bytes_str(text), 0, &table, &head), 0);
    return head;
}

static void only_allowed_fields_cross(void **state)
{
    struct http_head h =
        parse("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s\r\n"
              "Cookie: s\r\nX-Api-Key: s\r\nContent-Type: application/json\r\nX-Conduit-Hop: 1\r\n"
              "TraceParent: t\r\nx-request-id: r\r\nX-Conduit: no\r\nAccept: */*\r\n\r\n");
    struct http_header out[16];
    size_t n = headers_allowed(&h, out, 16);
    assert_int_equal(n, 5);
    for (size_t i = 0; i < n; i++)
        assert_false(bytes_eq_str(out[i].value, "s"));
    assert_int_equal(headers_allowed(&h, out, 2), 2);
}

static void hosts_that_are_this_machine(void **state)
{
    static const char *const names[] = {"conduit.lan"};
    struct headers_policy p = {.hosts = names, .host_count = 1};
    static const char *const yes[] = {
        "",           "localhost",        "LocalHost:8888", "127.0.0.1",     "127.0.0.1:80",
        "[::1]:8888", "192.168.1.7:8888", "box.local",      "conduit.lan:1", "a.localhost"};
    static const char *const no[] = {
        "evil.example",      "localhost.evil.example", "127.0.0.1.evil.example", "8.8.8.8",
        "evil.example:8888", "conduit.lan.evil",       "[2001:db8::1]"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!headers_host_is_ours(&p, bytes_str(yes[i])))
            fail_msg("%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (headers_host_is_ours(&p, bytes_str(no[i])))
            fail_msg("%s", no[i]);
    p.any_host = true;
    assert_true(headers_host_is_ours(&p, bytes_str("evil.example")));
}

static void origins_that_may_call(void **state)
{
    static const char *const names[] = {"https://chat.example"};
    struct headers_policy p = {.origins = names, .origin_count = 1};
    static const char *const yes[] = {"",
                                      "http://localhost:3000",
                                      "https://localhost",
                                      "http://127.0.0.1:8080",
                                      "http://[::1]:5173",
                                      "app://obsidian.md",
                                      "tauri://localhost",
                                      "vscode-webview://abc",
                                      "https://chat.example"};
    static const char *const no[] = {"null",
                                     "https://evil.example",
                                     "http://localhost.evil.example",
                                     "http://192.168.1.9",
                                     "https://chat.example.evil",
                                     "ftp://localhost",
                                     "localhost"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!headers_origin_is_ours(&p, bytes_str(yes[i])))
            fail_msg("%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (headers_origin_is_ours(&p, bytes_str(no[i])))
            fail_msg("%s", no[i]);
}

static struct bytes value_of(const struct http_header *h, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (bytes_eq_str(h[i].name, name))
            return h[i].value;
    return (struct bytes){0};
}

static void a_preflight_gets_back_what_it_asks(void **state)
{
    struct headers_policy p = {0};
    struct http_header out[HEADERS_CORS];
    struct http_head h =
        parse("OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\n"
              "Access-Control-Request-Headers: authorization,x-stainless-os\r\n"
              "Access-Control-Request-Private-Network: true\r\n\r\n");
    size_t n = headers_cors(&p, &h, out);
    assert_true(
        bytes_eq_str(value_of(out, n, "access-control-allow-origin"), "http://localhost:3000"));
    assert_true(bytes_eq_str(value_of(out, n, "access-control-allow-headers"),
                             "authorization,x-stainless-os"));
    assert_true(bytes_eq_str(value_of(out, n, "access-control-allow-private-network"), "true"));
    h = parse("OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n");
    assert_int_equal(headers_cors(&p, &h, out), 0);
    h = parse("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_int_equal(headers_cors(&p, &h, out), 0);
}

static void keys_in_three_places(void **state)
{
    struct http_head h = parse("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: bearer  k1 \r\n\r\n");
    assert_true(bytes_eq_str(headers_key(&h), "k1"));
    h = parse("GET / HTTP/1.1\r\nHost: x\r\nx-api-key: k2\r\n\r\n");
    assert_true(bytes_eq_str(headers_key(&h), "k2"));
    h = parse("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic abc\r\napi-key: k3\r\n\r\n");
    assert_true(bytes_eq_str(headers_key(&h), "k3"));
    h = parse("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(headers_key(&h).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_allowed_fields_cross),
        cmocka_unit_test(hosts_that_are_this_machine),
        cmocka_unit_test(origins_that_may_call),
        cmocka_unit_test(a_preflight_gets_back_what_it_asks),
        cmocka_unit_test(keys_in_three_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
