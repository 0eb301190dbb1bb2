// SPDX-License-Identifier: MIT
/* URLs of backends, the table of routes, and who goes through a proxy. */
#include "base/mem.h"
#include "fake_stream.h"
#include "http/proxy.h"
#include "http/router.h"
#include "http/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void urls_of_backends_are_read(void **state)
{
    static const struct {
        const char *text, *host;
        int port, is_tls, is_unix;
        const char *host_field, *path, *query, *again;
    } good[] = {
        {"http://localhost:11434", "localhost", 11434, 0, 0, "localhost:11434", "", "",
         "http://localhost:11434"},
        {"localhost:11434/v1/", "localhost", 11434, 0, 0, "localhost:11434", "/v1", "",
         "http://localhost:11434/v1"},
        {"HTTPS://API.Example.com/v1", "api.example.com", 443, 1, 0, "api.example.com", "/v1", "",
         "https://api.example.com/v1"},
        {"https://h:8443?a=b", "h", 8443, 1, 0, "h:8443", "", "a=b", "https://h:8443?a=b"},
        {"http://h:443", "h", 443, 0, 0, "h:443", "", "", "http://h:443"},
        {"http://[::1]:8080/x//", "::1", 8080, 0, 0, "[::1]:8080", "/x", "", "http://[::1]:8080/x"},
        {"http://[2001:db8::1]", "2001:db8::1", 80, 0, 0, "[2001:db8::1]", "", "",
         "http://[2001:db8::1]"},
        {"http://10.0.0.1/a%2Fb", "10.0.0.1", 80, 0, 0, "10.0.0.1", "/a%2Fb", "",
         "http://10.0.0.1/a%2Fb"},
        {"unix:/run/x.sock", "/run/x.sock", 0, 0, 1, "localhost", "", "",
         "http+unix://%2Frun%2Fx.sock"},
        {"http+unix://%2Frun%2Fx.sock/v1", "/run/x.sock", 0, 0, 1, "localhost", "/v1", "",
         "http+unix://%2Frun%2Fx.sock/v1"},
        {"http+unix://%2Frun%7F%C3%A9/", "/run\x7f\xc3\xa9", 0, 0, 1, "localhost", "", "",
         "http+unix://%2Frun%7F%C3%A9"},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct url u;
        char why[128], again[600];
        if (url_parse(good[i].text, &u, why))
            fail_msg("%s: %s", good[i].text, why);
        assert_string_equal(u.origin.host, good[i].host);
        assert_int_equal(u.origin.port, good[i].port);
        assert_int_equal(u.origin.is_tls, good[i].is_tls);
        assert_int_equal(u.origin.is_unix, good[i].is_unix);
        assert_string_equal(u.host_field, good[i].host_field);
        assert_string_equal(u.path, good[i].path);
        assert_string_equal(u.query, good[i].query);
        assert_int_equal(url_format(&u, again, sizeof again), 0);
        assert_string_equal(again, good[i].again);
        assert_int_equal(url_format(&u, again, 5), E_TOO_BIG);
    }
}

static void bad_urls_get_a_sentence(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "empty"},
        {"http://", "host is missing"},
        {"http://:80", "host is missing"},
        {"ftp://h", "scheme"},
        {"http://h:0", "port"},
        {"http://h:65536", "port"},
        {"http://h:", "port"},
        {"http://h:8x", "port"},
        {"http://h:000080", "port"},
        {"http://user:key@h", "environment"},
        {"http://h/#top", "#"},
        {"http://h/a b", "blanks"},
        {"http://h\r\nX: y", "blanks"},
        {"http://h/%zz", "hexadecimal"},
        {"http://h/%", "hexadecimal"},
        {"http://h<>", "character"},
        {"http://[::1", "IPv6"},
        {"http://[::1]x", "IPv6"},
        {"http://[zz]", "IPv6"},
        {"http://[]", "IPv6"},
        {"http://[1.2.3.4]", "IPv6"},
        {"unix:run/x", "absolute"},
        {"http+unix://run", "absolute"},
        {"http+unix://%2", "percent"},
    };
    char why[128], longer[3000];
    struct url u;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(url_parse(bad[i].text, &u, why), E_MALFORMED);
        if (!strstr(why, bad[i].why))
            fail_msg("%s: %s", bad[i].text, why);
    }
    static const struct {
        const char *start;
        size_t n;
    } big[] = {{"http://", 254},
               {"http://h/", 1024},
               {"http://h?", 512},
               {"unix:/", 103},
               {"http://h/", 2500}};
    for (size_t i = 0; i < ARRAY_LEN(big); i++) {
        int n = snprintf(longer, sizeof longer, "%s", big[i].start);
        memset(longer + n, 'a', big[i].n);
        longer[(size_t)n + big[i].n] = 0;
        assert_int_equal(url_parse(longer, &u, why), E_MALFORMED);
        assert_non_null(strstr(why, "too long"));
    }
}

/* --- routes --- */

enum { MODELS = 1, MODEL, CHAT, PEER_ID, ROOT };
static const struct router_route routes[] = {
    {HTTP_GET, "/", ROOT},
    {HTTP_GET, "/v1/models", MODELS},
    {HTTP_GET, "/v1/models/*id", MODEL},
    {HTTP_POST, "/v1/chat/completions", CHAT},
    {HTTP_GET, "/peers/:id/log", PEER_ID},
};

static enum router_result find(enum http_method method, const char *path, struct router_match *m)
{
    return router_find(routes, ARRAY_LEN(routes), method, bytes_str(path), m);
}

static void paths_find_their_routes(void **state)
{
    static const struct {
        const char *path;
        int id;
        const char *capture;
    } good[] = {
        {"/", ROOT, NULL},
        {"", ROOT, NULL},
        {"//", ROOT, NULL},
        {"/v1/models", MODELS, NULL},
        {"//v1//models///", MODELS, NULL},
        {"/v1/%6dodels", MODELS, NULL},
        {"/v1/models/gpt", MODEL, "gpt"},
        {"/v1/models/org/model:tag", MODEL, "org/model:tag"},
        {"/v1/models/org%2Fmodel%3Atag", MODEL, "org/model:tag"},
        {"/v1/models/org//model/", MODEL, "org/model"},
        {"/peers/12D3/log", PEER_ID, "12D3"},
        {"/peers/a%2Fb/log", PEER_ID, "a/b"},
        {"/peers/:id/log", PEER_ID, ":id"},
        {"/v1/models/*id", MODEL, "*id"},
    };
    struct router_match m;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(find(HTTP_GET, good[i].path, &m), ROUTER_FOUND);
        assert_int_equal(m.id, good[i].id);
        assert_int_equal(m.capture_count, good[i].capture ? 1 : 0);
        if (good[i].capture && !bytes_eq_str(m.captures[0], good[i].capture))
            fail_msg("%s: %.*s", good[i].path, BYTES_FMT(m.captures[0]));
    }
    assert_int_equal(find(HTTP_HEAD, "/v1/models", &m), ROUTER_FOUND);
    assert_int_equal(find(HTTP_GET, "/v1", &m), ROUTER_NO_PATH);
    assert_int_equal(find(HTTP_GET, "/v1/chat", &m), ROUTER_NO_PATH);
    assert_int_equal(find(HTTP_GET, "/peers//log", &m), ROUTER_NO_PATH);
    assert_int_equal(find(HTTP_GET, "/V1/models", &m), ROUTER_NO_PATH);
}

static void another_method_is_told_which_would_do(void **state)
{
    struct router_match m;
    char allow[96];
    assert_int_equal(find(HTTP_GET, "/v1/chat/completions", &m), ROUTER_NO_METHOD);
    assert_string_equal(router_allow(m.allowed, allow), "POST, OPTIONS");
    assert_int_equal(find(HTTP_OPTIONS, "/v1/models/a/b", &m), ROUTER_NO_METHOD);
    assert_string_equal(router_allow(m.allowed, allow), "GET, HEAD, OPTIONS");
    assert_int_equal(m.capture_count, 0);
    assert_int_equal(find(HTTP_OTHER, "/v1/models", &m), ROUTER_NO_METHOD);
}

static void bad_paths_are_refused(void **state)
{
    struct router_match m;
    static const char *const bad[] = {
        "/v1/%",           "/v1/%2",       "/v1/%zz",    "/v1/a%00b",
        "/v1/models/../x", "/v1/./models", "/%2e%2e/v1", "/v1/models/a%2F..%2Fb"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (find(HTTP_GET, bad[i], &m) != ROUTER_BAD_PATH)
            fail_msg("%s", bad[i]);
    char big[2 * ROUTER_PATH_MAX] = "/v1/models/";
    memset(big + 11, 'a', sizeof big - 12);
    assert_int_equal(find(HTTP_GET, big, &m), ROUTER_NO_PATH);
    for (size_t n = 0; n < 200; n += 2)
        memcpy(big + n, "/a", 2);
    big[200] = 0;
    assert_int_equal(find(HTTP_GET, big, &m), ROUTER_NO_PATH);
}

static void queries_are_looked_up(void **state)
{
    struct bytes q = BYTES_LIT("scope=network&empty=&flag&b=a%26b&scope=second&bad=%q");
    char v[16];
    assert_int_equal(http_query_get(q, "scope", v, sizeof v), 7);
    assert_string_equal(v, "network");
    assert_int_equal(http_query_get(q, "b", v, sizeof v), 3);
    assert_string_equal(v, "a&b");
    assert_int_equal(http_query_get(q, "empty", v, sizeof v), 0);
    assert_int_equal(http_query_get(q, "flag", v, sizeof v), 0);
    assert_int_equal(http_query_get(q, "absent", v, sizeof v), E_NOT_FOUND);
    assert_int_equal(http_query_get(q, "bad", v, sizeof v), E_MALFORMED);
    assert_int_equal(http_query_get(q, "scope", v, 7), E_TOO_BIG);
    assert_int_equal(http_query_get(bytes_of(NULL, 0), "x", v, sizeof v), E_NOT_FOUND);
}

/* --- proxies --- */

static void some_hosts_go_round_the_proxy(void **state)
{
    static const struct {
        const char *no_proxy, *host;
        bool is_bypassed;
    } cases[] = {
        {NULL, "api.example.com", false},
        {"", "api.example.com", false},
        {NULL, "localhost", true},
        {NULL, "127.0.0.2", true},
        {NULL, "::1", true},
        {"*", "api.example.com", true},
        {"example.com", "example.com", true},
        {"example.com", "api.example.com", true},
        {".example.com", "api.example.com", true},
        {"*.example.com", "api.Example.com", true},
        {"example.com", "notexample.com", false},
        {"other, example.com:443", "example.com", true},
        {"example.com:80", "example.com", false},
        {"10.0.0.0/8", "10.1.2.3", true},
        {"10.0.0.0/8", "11.1.2.3", false},
        {"10.0.0.0/33", "10.1.2.3", false},
        {"192.168.1.7", "192.168.1.7", true},
        {"192.168.1.0/25", "192.168.1.128", false},
        {"2001:db8::/32", "2001:db8:1::1", true},
        {"8.8", "10.1.8.8", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_origin o = {.is_tls = true, .port = 443};
        snprintf(o.host, sizeof o.host, "%s", cases[i].host);
        if (proxy_is_bypassed(cases[i].no_proxy, &o) != cases[i].is_bypassed)
            fail_msg("%s %s", cases[i].no_proxy, cases[i].host);
    }
}

static void the_proxys_url_may_carry_a_password(void **state)
{
    struct proxy p;
    char why[128];
    assert_int_equal(proxy_parse("http://Aladdin:open%20sesame@proxy.lan:3128", &p, why), 0);
    assert_string_equal(p.authorization, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_string_equal(p.at.host, "proxy.lan");
    assert_int_equal(p.at.port, 3128);
    assert_int_equal(proxy_parse("proxy:1", &p, why), 0);
    assert_string_equal(p.authorization, "");
    assert_int_equal(proxy_parse("https://proxy:1", &p, why), E_MALFORMED);
    assert_non_null(strstr(why, "http://"));
    assert_int_equal(proxy_parse("socks5://proxy:1", &p, why), E_MALFORMED);
}

struct tunnel {
    int dones, err, status;
    struct stream *s;
};

static void tunnelled(void *ctx, int err, int status, struct stream *s)
{
    struct tunnel *t = ctx;
    t->dones++;
    t->err = err;
    t->status = status;
    t->s = s;
}

static void a_tunnel_is_asked_for(void **state)
{
    static const struct {
        const char *answer;
        int err, status;
    } cases[] = {
        {"HTTP/1.1 200 Connection established\r\n\r\n", 0, 200},
        {"HTTP/1.0 200 OK\r\nVia: x\r\n\r\n", 0, 200},
        {"HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n", E_AUTH, 407},
        {"HTTP/1.1 403 No\r\n\r\n", E_REFUSED, 403},
        {"HTTP/1.1 200 OK\r\n\r\nsurprise", E_PROTO, 200},
        {"nonsense\r\n", E_PROTO, 0},
    };
    struct proxy p;
    char why[128];
    struct http_origin to = {.is_tls = true, .port = 443, .host = "api.example.com"};
    assert_int_equal(proxy_parse("http://a:b@p:1", &p, why), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t piece = 0; piece < 3; piece++) {
            struct fake_world w;
            struct tunnel t = {0};
            fake_world_init(&w);
            struct fake_stream *f = fake_stream_new(&w);
            f->read_piece = piece ? 64 * piece : 0;
            proxy_tunnel_open(&p, &f->s, &to, tunnelled, &t);
            assert_string_equal(fake_sent(f), "CONNECT api.example.com:443 HTTP/1.1\r\n"
                                              "host: api.example.com:443\r\n"
                                              "proxy-authorization: Basic YTpi\r\n\r\n");
            fake_world_run(&w);
            assert_int_equal(t.dones, 0);
            fake_feed_str(f, cases[i].answer);
            fake_world_run(&w);
            assert_int_equal(t.dones, 1);
            assert_int_equal(t.err, cases[i].err);
            assert_int_equal(t.status, cases[i].status);
            assert_ptr_equal(t.s, cases[i].err ? NULL : &f->s);
            if (t.s)
                stream_close(t.s);
            fake_world_fini(&w);
        }
    }
}

static void a_tunnel_may_break_or_be_given_up(void **state)
{
    struct proxy p;
    char why[128];
    struct http_origin to = {.is_tls = true, .port = 443, .host = "::2"};
    struct fake_world w;
    struct tunnel t = {0};
    assert_int_equal(proxy_parse("p:1", &p, why), 0);
    fake_world_init(&w);
    struct fake_stream *f = fake_stream_new(&w);
    struct proxy_tunnel *open = proxy_tunnel_open(&p, &f->s, &to, tunnelled, &t);
    assert_non_null(strstr(fake_sent(f), "CONNECT [::2]:443 "));
    proxy_tunnel_cancel(open);
    assert_true(f->is_reset && f->is_closed);
    f = fake_stream_new(&w);
    f->window = 3; /* sent as there is room */
    proxy_tunnel_open(&p, &f->s, &to, tunnelled, &t);
    fake_open_window(f, 1000);
    fake_world_run(&w);
    assert_non_null(strstr(fake_sent(f), "\r\n\r\n"));
    fake_eof(f);
    fake_world_run(&w);
    assert_int_equal(t.err, E_RESET);
    f = fake_stream_new(&w);
    proxy_tunnel_open(&p, &f->s, &to, tunnelled, &t);
    fake_feed_str(f, "HTTP/1.1 200 OK\r\nX: ");
    for (int i = 0; i < 5000; i++)
        fake_feed_str(f, "x");
    fake_world_run(&w);
    assert_int_equal(t.err, E_PROTO);
    assert_int_equal(t.dones, 2);
    fake_world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_of_backends_are_read),
        cmocka_unit_test(bad_urls_get_a_sentence),
        cmocka_unit_test(paths_find_their_routes),
        cmocka_unit_test(another_method_is_told_which_would_do),
        cmocka_unit_test(bad_paths_are_refused),
        cmocka_unit_test(queries_are_looked_up),
        cmocka_unit_test(some_hosts_go_round_the_proxy),
        cmocka_unit_test(the_proxys_url_may_carry_a_password),
        cmocka_unit_test(a_tunnel_is_asked_for),
        cmocka_unit_test(a_tunnel_may_break_or_be_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
