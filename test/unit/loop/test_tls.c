// SPDX-License-Identifier: MIT
/* TLS where the stream suite does not look: who is refused, what a truncation looks like, that a
 * silent peer does not hold a connection for ever, and that ALPN says http/1.1. */
#include "loop/tls.h"
#include "unit/loop/world.h"

struct ear {
    struct stream *s;
    int broken, readables;
    ssize_t last;
};

static void ear_readable(void *ctx)
{
    struct ear *e = ctx;
    char b[100];
    e->readables++;
    while ((e->last = stream_read(e->s, b, sizeof b)) > 0) {
    }
}

static void ear_writable(void *ctx)
{
}

static void ear_closed(void *ctx, int err)
{
    struct ear *e = ctx;
    assert_int_equal(e->broken, 0);
    e->broken = err;
}

static const struct stream_events ear_events = {ear_readable, ear_writable, ear_closed};

static struct ear *ear_new(struct stream *s)
{
    struct ear *e = MEM_NEW(struct ear);
    e->s = s;
    stream_listen(s, &ear_events, e);
    stream_want_read(s, true);
    return e;
}

static bool is_broken(void *ctx)
{
    return ((struct ear *)ctx)->broken != 0;
}

static bool is_ended(void *ctx)
{
    return ((struct ear *)ctx)->last == E_EOF;
}

/* In virtual time, so that waiting ten seconds costs nothing. */
static int setup(void **state)
{
    struct world *w = MEM_NEW(struct world);
    world_virtual(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    if (w->a)
        stream_close(w->a);
    if (w->b)
        stream_close(w->b);
    world_end(w);
    return 0;
}

static void a_wrong_name_is_refused(void **state)
{
    struct world *w = *state;
    world_wrap(w, "example.com");
    struct ear *a = ear_new(w->a), *b = ear_new(w->b);
    assert_true(world_run(w, is_broken, a, 5 * US_PER_S));
    assert_int_equal(a->broken, E_AUTH);
    assert_true(world_run(w, is_broken, b, 5 * US_PER_S));
    assert_int_equal(stream_write(w->a, BYTES_LIT("secret")), E_AUTH);
    assert_int_equal(a->readables, 0);
    free(a);
    free(b);
}

static void a_wrong_address_is_refused(void **state)
{
    struct world *w = *state;
    world_wrap(w, "127.0.0.2");
    struct ear *a = ear_new(w->a);
    assert_true(world_run(w, is_broken, a, 5 * US_PER_S));
    assert_int_equal(a->broken, E_AUTH);
    free(a);
}

static void a_stranger_is_refused_by_the_systems_cas(void **state)
{
    struct world *w = *state;
    struct loop_tls_context *strict;
    struct loop_tls_options o = {0};
    char why[256];
    assert_int_equal(loop_tls_context_new(&o, &strict, why), 0);
    struct stream *bare = w->a;
    w->a = NULL;
    world_wrap_server(w);
    w->a = loop_tls_new(w->near, strict, bare, "localhost");
    loop_tls_context_free(strict); /* the connection keeps what it needs */
    struct ear *a = ear_new(w->a);
    assert_true(world_run(w, is_broken, a, 5 * US_PER_S));
    assert_int_equal(a->broken, E_AUTH);
    free(a);
}

static void who_does_not_speak_tls_is_refused(void **state)
{
    struct world *w = *state;
    world_wrap_server(w);
    struct ear *b = ear_new(w->b);
    stream_write(w->a, BYTES_LIT("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_true(world_run(w, is_broken, b, 5 * US_PER_S));
    assert_int_equal(b->broken, E_AUTH);
    free(b);
}

static void who_says_nothing_is_given_up(void **state)
{
    struct world *w = *state;
    world_wrap_server(w);
    struct ear *b = ear_new(w->b);
    assert_false(world_run(w, is_broken, b, 9 * US_PER_S));
    assert_true(world_run(w, is_broken, b, 2 * US_PER_S));
    assert_int_equal(b->broken, E_TIMEOUT);
    free(b);
}

static void an_end_without_goodbye_is_no_end(void **state)
{
    struct world *w = *state;
    struct stream *beneath = w->a;
    world_wrap(w, "localhost");
    struct ear *a = ear_new(w->a), *b = ear_new(w->b);
    world_run(w, world_never, NULL, US_PER_S);
    stream_write(w->a, BYTES_LIT("half an ans"));
    stream_finish(beneath); /* somebody on the path ends it */
    assert_true(world_run(w, is_broken, b, 5 * US_PER_S));
    assert_int_equal(b->broken, E_RESET);
    assert_int_not_equal(b->last, E_EOF);
    stream_reset(beneath, STREAM_INTERNAL);
    free(a);
    free(b);
}

static void an_end_with_goodbye_is_one(void **state)
{
    struct world *w = *state;
    world_wrap(w, "localhost");
    struct ear *a = ear_new(w->a), *b = ear_new(w->b);
    stream_finish(w->a); /* before the handshake: kept in mind */
    assert_true(world_run(w, is_ended, b, 5 * US_PER_S));
    assert_int_equal(stream_write(w->b, BYTES_LIT("still here")), 10);
    world_run(w, world_never, NULL, US_PER_S);
    assert_int_equal(a->readables > 0, 1);
    assert_int_equal(a->last, E_AGAIN);
    free(a);
    free(b);
}

static void bad_files_are_named(void **state)
{
    struct loop_tls_context *c;
    char why[256];
    struct loop_tls_options o = {.cert_file = "/nonexistent.pem", .key_file = "/nonexistent.pem"};
    assert_int_equal(loop_tls_context_new(&o, &c, why), E_INVALID);
    assert_non_null(strstr(why, "/nonexistent.pem"));
    o = (struct loop_tls_options){.ca_file = "/nonexistent-ca.pem"};
    assert_int_equal(loop_tls_context_new(&o, &c, why), E_INVALID);
    assert_non_null(strstr(why, "/nonexistent-ca.pem"));
}

/* OpenSSL itself at the other end, over the same pipe of bytes, offering what we do not speak. */
static bool handshake_with(struct world *w, const unsigned char *protos, unsigned n, char said[16])
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    const unsigned char *chosen;
    unsigned chosen_n;
    bool ok = false;
    SSL_set_bio(ssl, in, out);
    SSL_set_alpn_protos(ssl, protos, n);
    SSL_set_connect_state(ssl);
    for (int i = 0; i < 20 && !ok; i++) {
        char b[8192];
        ok = SSL_do_handshake(ssl) == 1;
        int k = BIO_read(out, b, sizeof b);
        if (k > 0)
            stream_write(w->a, bytes_of(b, (size_t)k));
        world_run(w, world_never, NULL, 50000);
        ssize_t got = stream_read(w->a, b, sizeof b);
        if (got > 0)
            BIO_write(in, b, (int)got);
    }
    SSL_get0_alpn_selected(ssl, &chosen, &chosen_n);
    snprintf(said, 16, "%.*s", (int)chosen_n, (const char *)chosen);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return ok;
}

static void alpn_is_http_1_1(void **state)
{
    struct world *w = *state;
    char said[16];
    world_wrap_server(w);
    struct ear *b = ear_new(w->b);
    assert_true(handshake_with(w, (const unsigned char *)"\2h2\10http/1.1", 12, said));
    assert_string_equal(said, "http/1.1");
    free(b);
}

static void alpn_of_something_else_is_refused(void **state)
{
    struct world *w = *state;
    char said[16];
    world_wrap_server(w);
    struct ear *b = ear_new(w->b);
    assert_false(handshake_with(w, (const unsigned char *)"\2h2", 3, said));
    assert_int_equal(b->broken, E_AUTH);
    free(b);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_wrong_name_is_refused),
        CASE(a_wrong_address_is_refused),
        CASE(a_stranger_is_refused_by_the_systems_cas),
        CASE(who_does_not_speak_tls_is_refused),
        CASE(who_says_nothing_is_given_up),
        CASE(an_end_without_goodbye_is_no_end),
        CASE(an_end_with_goodbye_is_one),
        CASE(bad_files_are_named),
        CASE(alpn_is_http_1_1),
        CASE(alpn_of_something_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
