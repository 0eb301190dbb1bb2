// SPDX-License-Identifier: MIT
/* The pool over a whole network in virtual time: names, addresses that refuse or say nothing, unix
 * sockets, a proxy; and a server at the other end. */
#include "base/mem.h"
#include "http/client_shell.h"
#include "http/server.h"
#include "loop/loop.h"
#include "unit/loop/world.h" /* certificates */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct net {
    struct loop_tls_context *tls; /* of a server at localhost */
    struct loop_virtual *v;
    struct loop *near, *far;
    struct net_addr near_ip, far_ip;
    struct http_server *srv;
    struct loop_listener *ln;
    struct http_client *client;
    struct http_net *shell;
    struct http_pool *pool;
    struct http_call *call;
    int requests, dones, status;
    struct http_call_result result;
    char ca_file[64];
};

static void on_request(void *ctx, struct http_exchange *x, const struct http_head *head,
                       struct bytes body)
{
    struct net *n = ctx;
    n->requests++;
    http_exchange_reply(x, 200, "text/plain", NULL, 0, head->host);
}

static const struct http_handler handler = {.request = on_request};

static void accepted(void *ctx, struct stream *s)
{
    http_server_conn_open(((struct net *)ctx)->srv, s,
                          &(struct http_conn_options){.eof_is_cancel = true});
}

static int setup(void **state)
{
    struct net *n = MEM_NEW(struct net);
    n->v = loop_virtual_new(7);
    snprintf(n->ca_file, sizeof n->ca_file, "/tmp/conduit-http-%d.pem", (int)getpid());
    world_certificate(n->ca_file);
    struct loop_tls_options tls = {.cert_file = n->ca_file, .key_file = n->ca_file};
    char why[256];
    assert_int_equal(loop_tls_context_new(&tls, &n->tls, why), 0);
    net_addr_parse_ip("10.0.0.1", 0, &n->near_ip);
    net_addr_parse_ip("10.0.0.2", 0, &n->far_ip);
    n->near = loop_virtual_machine(n->v, &n->near_ip);
    n->far = loop_virtual_machine(n->v, &n->far_ip);
    n->srv = http_server_new(
        &(struct http_server_config){.sched = loop_sched(n->far), .handler = &handler, .ctx = n});
    n->client = http_client_new(loop_sched(n->near));
    *state = n;
    return 0;
}

static void start(struct net *n, const struct http_net_options *o)
{
    char why[256];
    struct loop_listen_options listen = {.at = n->far_ip, .accepted = accepted, .ctx = n};
    listen.at.port = 80;
    assert_int_equal(loop_listen(n->far, &listen, &n->ln), 0);
    assert_int_equal(http_net_new(n->near, o, &n->shell, why), 0);
    n->pool = http_pool_new(&(struct http_pool_config){.client = n->client,
                                                       .sched = loop_sched(n->near),
                                                       .dialer = http_net_dialer(),
                                                       .dialer_ctx = n->shell});
}

static void run_for(struct net *n, uint64_t us)
{
    loop_virtual_run(n->v, loop_virtual_now(n->v) + us, NULL, NULL);
}

static int teardown(void **state)
{
    struct net *n = *state;
    http_pool_free(n->pool);
    http_client_free(n->client);
    run_for(n, US_PER_S); /* cancelled dials end */
    http_net_free(n->shell);
    loop_listener_close(n->ln);
    http_server_free(n->srv);
    run_for(n, 10 * US_PER_S);
    loop_virtual_free(n->v);
    loop_tls_context_free(n->tls);
    unlink(n->ca_file);
    free(n);
    return 0;
}

static void on_head(void *ctx, const struct http_head *head)
{
    ((struct net *)ctx)->status = head->status;
}

static void on_body(void *ctx, struct bytes piece)
{
}

static void on_done(void *ctx, const struct http_call_result *r)
{
    struct net *n = ctx;
    n->dones++;
    n->result = *r;
    n->call = NULL;
}

static const struct http_call_events on = {.head = on_head, .body = on_body, .done = on_done};

static void get(struct net *n, const struct http_origin *to)
{
    struct http_request req = {
        .method = "GET", .target = BYTES_LIT("/"), .host = BYTES_LIT("backend")};
    int err;
    n->dones = n->status = 0;
    n->call = http_pool_call(n->pool, to, &req, &on, n, &err);
    assert_non_null(n->call);
    assert_int_equal(n->dones, 0);
}

static void a_backend_is_found_by_name_and_kept(void **state)
{
    struct net *n = *state;
    struct http_origin to = {.port = 80, .host = "backend.lan"};
    start(n, &(struct http_net_options){0});
    loop_virtual_set_name(n->v, "backend.lan", &n->far_ip);
    for (int i = 0; i < 2; i++) {
        get(n, &to);
        run_for(n, US_PER_S);
        assert_int_equal(n->dones, 1);
        assert_int_equal(n->result.err, 0);
        assert_int_equal(n->status, 200);
        assert_int_equal(n->result.was_reused, i);
    }
    assert_int_equal(http_server_conn_count(n->srv), 1);
    assert_int_equal(http_pool_idle_count(n->pool), 1);
}

static void addresses_are_tried_one_after_the_other(void **state)
{
    struct net *n = *state;
    struct net_addr nobody;
    struct http_origin to = {.port = 80, .host = "many.lan"};
    start(n, &(struct http_net_options){0});
    net_addr_parse_ip("10.0.0.1", 0, &nobody); /* refuses: nothing listens there */
    loop_virtual_set_name(n->v, "many.lan", &nobody);
    net_addr_parse_ip("10.9.9.9", 0, &nobody); /* nobody at all */
    loop_virtual_set_name(n->v, "many.lan", &nobody);
    loop_virtual_set_name(n->v, "many.lan", &n->far_ip);
    get(n, &to);
    run_for(n, 9 * US_PER_S);
    assert_int_equal(n->dones, 1);
    assert_int_equal(n->result.err, 0);
}

static void what_cannot_be_reached_is_told(void **state)
{
    struct net *n = *state;
    struct http_origin to = {.port = 80, .host = "nowhere.lan"};
    start(n, &(struct http_net_options){0});
    get(n, &to);
    run_for(n, 11 * US_PER_S);
    assert_int_equal(n->dones, 1);
    assert_int_equal(n->result.err, E_DNS);
    assert_int_equal(n->result.phase, HTTP_CALL_CONNECTING);
    to = (struct http_origin){.port = 81, .host = "10.0.0.2"};
    get(n, &to);
    run_for(n, US_PER_S);
    assert_int_equal(n->result.err, E_REFUSED);
    /* silence */
    struct loop_virtual_link cut = {.is_cut = true};
    loop_virtual_set_link(n->v, n->near, n->far, &cut);
    to.port = 80;
    get(n, &to);
    run_for(n, 11 * US_PER_S);
    assert_int_equal(n->dones, 1);
    assert_int_equal(n->result.err, E_TIMEOUT);
}

static void a_dial_may_be_given_up(void **state)
{
    struct net *n = *state;
    struct http_origin byname = {.port = 80, .host = "backend.lan"};
    struct http_origin byip = {.port = 80, .host = "10.0.0.2"};
    start(n, &(struct http_net_options){0});
    loop_virtual_set_name(n->v, "backend.lan", &n->far_ip);
    for (uint64_t at = 0; at < 5000; at += 250) {
        get(n, at / 250 % 2 ? &byname : &byip);
        run_for(n, at);
        if (n->call)
            http_call_cancel(n->call);
        run_for(n, US_PER_S);
    }
    assert_int_equal(http_server_exchange_count(n->srv), 0);
}

static void a_unix_socket_is_a_backend_too(void **state)
{
    struct net *n = *state;
    struct loop_listener *ln;
    struct http_origin to = {.is_unix = true, .host = "/run/engine.sock"};
    struct loop_listen_options listen = {.accepted = accepted, .ctx = n};
    start(n, &(struct http_net_options){0});
    listen.at.kind = NET_UNIX;
    strcpy(listen.at.path, "/run/engine.sock");
    assert_int_equal(loop_listen(n->near, &listen, &ln), 0);
    get(n, &to);
    run_for(n, US_PER_S);
    assert_int_equal(n->dones, 1);
    assert_int_equal(n->result.err, 0);
    loop_listener_close(ln);
}

/* The far machine's server as a proxy: it refuses CONNECT, in words. */
static void https_goes_to_the_proxy(void **state)
{
    struct net *n = *state;
    struct http_origin to = {.is_tls = true, .port = 443, .host = "api.example.com"};
    start(n, &(struct http_net_options){.https_proxy = "http://10.0.0.2:80",
                                        .no_proxy = "direct.example.com"});
    get(n, &to);
    run_for(n, US_PER_S);
    assert_int_equal(n->dones, 1);
    assert_int_equal(n->result.err, E_REFUSED); /* 501 */
    snprintf(to.host, sizeof to.host, "direct.example.com");
    get(n, &to);
    run_for(n, 11 * US_PER_S);
    assert_int_equal(n->result.err, E_DNS); /* not asked of the proxy */
}

static void accepted_tls(void *ctx, struct stream *s)
{
    struct net *n = ctx;
    accepted(ctx, loop_tls_new(n->near, n->tls, s, NULL));
}

/* A proxy whose every tunnel ends at our TLS server: it answers CONNECT and becomes the other end.
 */
struct tunnel_end {
    struct net *net;
    struct stream *s;
    char head[512];
    size_t have;
};

static void tunnel_readable(void *ctx)
{
    struct tunnel_end *t = ctx;
    ssize_t n = stream_read(t->s, t->head + t->have, sizeof t->head - 1 - t->have);
    assert_true(n > 0);
    t->have += (size_t)n;
    if (!strstr(t->head, "\r\n\r\n"))
        return;
    assert_int_equal(strncmp(t->head, "CONNECT api.example.com:443 HTTP/1.1\r\n", 38), 0);
    stream_write(t->s, BYTES_LIT("HTTP/1.1 200 Go\r\n\r\n"));
    struct net *net = t->net;
    struct stream *s = t->s;
    free(t);
    accepted(net, loop_tls_new(net->far, net->tls, s, NULL));
}

static void tunnel_closed(void *ctx, int err)
{
    fail();
}

static void accepted_proxy(void *ctx, struct stream *s)
{
    static const struct stream_events events = {.readable = tunnel_readable,
                                                .closed = tunnel_closed};
    struct tunnel_end *t = MEM_NEW(struct tunnel_end);
    t->net = ctx;
    t->s = s;
    stream_listen(s, &events, t);
    stream_want_read(s, true);
}

static void https_checks_who_is_there(void **state)
{
    struct net *n = *state;
    struct loop_listener *ln;
    struct http_origin to = {.is_tls = true, .port = 443, .host = "localhost"};
    struct loop_listen_options listen = {.accepted = accepted_tls, .ctx = n};
    start(n, &(struct http_net_options){.ca_file = n->ca_file});
    net_addr_parse_ip("127.0.0.1", 443, &listen.at);
    assert_int_equal(loop_listen(n->near, &listen, &ln), 0);
    for (int i = 0; i < 2; i++) {
        get(n, &to);
        run_for(n, US_PER_S);
        assert_int_equal(n->dones, 1);
        assert_int_equal(n->result.err, 0);
        assert_int_equal(n->result.was_reused, i);
    }
    loop_listener_close(ln);
    /* the same server under another name, through a proxy: the tunnel opens, the name is wrong */
    struct loop_listen_options proxy = {.at = n->far_ip, .accepted = accepted_proxy, .ctx = n};
    struct http_net *shell;
    char why[256];
    proxy.at.port = 3128;
    assert_int_equal(loop_listen(n->far, &proxy, &ln), 0);
    struct http_net_options o = {.https_proxy = "http://10.0.0.2:3128", .ca_file = n->ca_file};
    assert_int_equal(http_net_new(n->near, &o, &shell, why), 0);
    http_pool_free(n->pool);
    http_net_free(n->shell);
    n->shell = shell;
    n->pool = http_pool_new(&(struct http_pool_config){.client = n->client,
                                                       .sched = loop_sched(n->near),
                                                       .dialer = http_net_dialer(),
                                                       .dialer_ctx = shell});
    snprintf(to.host, sizeof to.host, "api.example.com");
    get(n, &to);
    run_for(n, US_PER_S);
    assert_int_equal(n->dones, 1);
    assert_int_equal(n->result.err, E_AUTH);
    loop_listener_close(ln);
}

static void a_bad_proxy_is_an_error_with_a_sentence(void **state)
{
    struct net *n = *state;
    struct http_net *shell;
    char why[256];
    struct http_net_options o = {.https_proxy = "socks5://x:1"};
    assert_int_equal(http_net_new(n->near, &o, &shell, why), E_MALFORMED);
    assert_true(strlen(why) > 10);
    start(n, &(struct http_net_options){0});
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_backend_is_found_by_name_and_kept), T(addresses_are_tried_one_after_the_other),
        T(what_cannot_be_reached_is_told),      T(a_dial_may_be_given_up),
        T(a_unix_socket_is_a_backend_too),      T(https_goes_to_the_proxy),
        T(https_checks_who_is_there),           T(a_bad_proxy_is_an_error_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
