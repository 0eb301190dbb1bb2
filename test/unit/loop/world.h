// SPDX-License-Identifier: MIT
/* Worlds for the loop's tests: a pair of connected streams on each kind of maker, and a way to run
 * until something has happened. One suite runs over the whole table. */
#ifndef CONDUIT_TEST_LOOP_WORLD_H
#define CONDUIT_TEST_LOOP_WORLD_H

#include "base/mem.h"
#include "base/rng.h"
#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct world {
    struct loop *near, *far; /* the same one, but in virtual time */
    struct loop_virtual *virtual;
    struct stream *a, *b; /* a dialled, b was accepted */
    struct loop_listener *listener;
    struct loop_dial dial;
    struct loop_tls_context *client, *server;
    int dial_err;
    struct timer tick;
    bool (*until)(void *ctx);
    void *ctx;
    uint64_t give_up_us;
};

typedef bool (*world_until)(void *ctx);

static inline void world_tick(struct timer *t)
{
    struct world *w = CONTAINER_OF(t, struct world, tick);
    struct sched *s = loop_sched(w->near);
    if (w->until(w->ctx) || sched_now(s) >= w->give_up_us)
        loop_stop(w->near);
    else
        timer_after(s, t, 500);
}

/* Runs until `until` says so, at most `max_us`; what it said last. */
static inline bool world_run(struct world *w, world_until until, void *ctx, uint64_t max_us)
{
    if (w->virtual) {
        loop_virtual_run(w->virtual, loop_virtual_now(w->virtual) + max_us, until, ctx);
        return until(ctx);
    }
    w->until = until;
    w->ctx = ctx;
    w->give_up_us = sched_now(loop_sched(w->near)) + max_us;
    timer_init(&w->tick, world_tick);
    timer_after(loop_sched(w->near), &w->tick, 0);
    loop_run(w->near);
    timer_clear(loop_sched(w->near), &w->tick);
    return until(ctx);
}

static inline bool world_never(void *ctx)
{
    return false;
}

static inline void world_accepted(void *ctx, struct stream *s)
{
    struct world *w = ctx;
    assert_null(w->b);
    w->b = s;
}

static inline void world_dialled(struct loop_dial *d, int err, struct stream *s)
{
    struct world *w = CONTAINER_OF(d, struct world, dial);
    w->dial_err = err;
    w->a = s;
}

static inline bool world_is_connected(void *ctx)
{
    struct world *w = ctx;
    return (w->a && w->b) || w->dial_err;
}

static inline void world_connect(struct world *w, const struct net_addr *at)
{
    struct loop_listen_options o = {.at = *at, .mode = 0600, .accepted = world_accepted, .ctx = w};
    assert_int_equal(loop_listen(w->far, &o, &w->listener), 0);
    w->dial.done = world_dialled;
    loop_dial(w->near, &w->dial, loop_listener_addr(w->listener), NULL, 5 * US_PER_S);
    assert_null(w->a);
    assert_true(world_run(w, world_is_connected, w, 5 * US_PER_S));
    assert_int_equal(w->dial_err, 0);
}

static inline void world_path(char path[static 104])
{
    snprintf(path, 104, "/tmp/conduit-loop-%d.sock", (int)getpid());
}

static inline void world_tcp(struct world *w)
{
    struct net_addr at;
    w->near = w->far = loop_uv_new();
    net_addr_parse_ip("127.0.0.1", 0, &at);
    world_connect(w, &at);
}

static inline void world_local(struct world *w)
{
    struct net_addr at = {.kind = NET_UNIX};
    world_path(at.path);
    w->near = w->far = loop_uv_new();
    world_connect(w, &at);
}

static inline void world_pipe(struct world *w)
{
    w->near = w->far = loop_uv_new();
    loop_pipe(w->near, 100000, &w->a, &w->b);
}

static inline void world_virtual(struct world *w)
{
    struct net_addr here, there;
    struct loop_virtual_link link = {.delay_us = 5000, .jitter_us = 3000};
    w->virtual = loop_virtual_new(11);
    net_addr_parse_ip("10.0.0.1", 0, &here);
    net_addr_parse_ip("10.0.0.2", 0, &there);
    w->near = loop_virtual_machine(w->virtual, &here);
    w->far = loop_virtual_machine(w->virtual, &there);
    loop_virtual_set_link(w->virtual, w->near, w->far, &link);
    there.port = 80;
    world_connect(w, &there);
}

/* A key and a self-signed certificate for localhost, in one PEM file. */
static inline void world_certificate(const char *file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_EXTENSION *san =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    X509_add_ext(x, san, -1);
    X509_EXTENSION_free(san);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    PEM_write_X509(f, x);
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

/* Contexts for a server at localhost and for a client that trusts it. */
static inline void world_contexts(struct world *w)
{
    char file[64], why[256];
    snprintf(file, sizeof file, "/tmp/conduit-loop-%d.pem", (int)getpid());
    world_certificate(file);
    struct loop_tls_options server = {.cert_file = file, .key_file = file};
    struct loop_tls_options client = {.ca_file = file};
    assert_int_equal(loop_tls_context_new(&server, &w->server, why), 0);
    assert_int_equal(loop_tls_context_new(&client, &w->client, why), 0);
    unlink(file);
}

/* Puts TLS over the end that was accepted, or over both. */
static inline void world_wrap_server(struct world *w)
{
    world_contexts(w);
    w->b = loop_tls_new(w->far, w->server, w->b, NULL);
}

static inline void world_wrap(struct world *w, const char *name)
{
    world_wrap_server(w);
    w->a = loop_tls_new(w->near, w->client, w->a, name);
}

static inline void world_tls(struct world *w)
{
    world_tcp(w);
    world_wrap(w, "localhost");
}

static inline void world_tls_pipe(struct world *w)
{
    world_pipe(w);
    world_wrap(w, "127.0.0.1");
}

static inline void world_tls_virtual(struct world *w)
{
    world_virtual(w);
    world_wrap(w, "localhost");
}

static inline void world_end(struct world *w)
{
    if (w->listener)
        loop_listener_close(w->listener);
    if (w->virtual)
        loop_virtual_free(w->virtual);
    else
        loop_free(w->near);
    loop_tls_context_free(w->client);
    loop_tls_context_free(w->server);
    free(w);
}

#endif
