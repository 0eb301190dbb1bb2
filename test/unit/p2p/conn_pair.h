// SPDX-License-Identifier: MIT
/* Two connections over a pair of fake streams: one dials, one accepts. What happened to each is
 * kept; streams that the far side accepts are echoed. */
#ifndef CONDUIT_TEST_P2P_CONN_PAIR_H
#define CONDUIT_TEST_P2P_CONN_PAIR_H

#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/trace.h"
#include "codec/key.h"
#include "fake_stream.h"
#include "p2p/conn.h"
#include "p2p/conn_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ECHO "/test/echo"

/* One host's worth of environment. */
struct side {
    struct resource_ledger ledger; /* empty again when the connection has ended */
    struct resource_scope peer;
    struct conn_env env;
    struct key_pair key;
    struct noise_self self;
    struct conn *conn;
    struct fake_stream *wire;
    int opened, closed, close_err, accepted, served;
    int secured_err;
    char why[160];
};

struct pair {
    struct fake_world world;
    struct rng rng;
    struct yamux_budget budget;
    struct side a, b; /* a dials */
};

/* --- echo: every byte back, FIN after FIN --- */

struct echo {
    struct stream *s;
    uint8_t held[8192];
    size_t at, n;
    bool has_end;
};

static inline void echo_pump(struct echo *e)
{
    for (;;) {
        while (e->at < e->n) {
            ssize_t n = stream_write(e->s, bytes_of(e->held + e->at, e->n - e->at));
            if (n < 0) {
                stream_close(e->s);
                free(e);
                return;
            }
            e->at += (size_t)n;
            if (n == 0) {
                stream_want_read(e->s, false);
                stream_want_write(e->s, true);
                return;
            }
        }
        ssize_t n = stream_read(e->s, e->held, sizeof e->held);
        if (n == E_AGAIN) {
            stream_want_read(e->s, true);
            return;
        }
        if (n < 0) {
            stream_finish(e->s);
            stream_close(e->s);
            free(e);
            return;
        }
        e->at = 0;
        e->n = (size_t)n;
    }
}

static inline void echo_event(void *ctx)
{
    echo_pump(ctx);
}

static inline void echo_closed(void *ctx, int err)
{
    struct echo *e = ctx;
    stream_close(e->s);
    free(e);
}

static const struct stream_events echo_events = {echo_event, echo_event, echo_closed};

static inline void echo_serve(struct stream *s)
{
    struct echo *e = MEM_NEW(struct echo);
    e->s = s;
    stream_listen(s, &echo_events, e);
    stream_want_read(s, true);
}

/* --- a client of it: sends `total` pseudo-random bytes, checks what comes back --- */

struct client {
    struct conn_open open;
    struct stream *s;
    uint64_t seed;
    size_t total, sent, got;
    uint8_t out[4096];
    size_t out_at, out_n;
    int done_err, closed_err;
    bool is_done, is_complete, holds_finish;
};

/* What stands at a place of the sequence; no power of two is its period. */
static inline uint8_t client_byte(const struct client *c, uint64_t at)
{
    return (uint8_t)((at * 167 + at / 251 + c->seed) >> 1);
}

static inline void client_write(struct client *c)
{
    while (c->sent < c->total) {
        if (c->out_at == c->out_n) {
            c->out_at = 0;
            c->out_n = c->total - c->sent < sizeof c->out ? c->total - c->sent : sizeof c->out;
            for (size_t i = 0; i < c->out_n; i++)
                c->out[i] = client_byte(c, c->sent + i);
        }
        ssize_t n = stream_write(c->s, bytes_of(c->out + c->out_at, c->out_n - c->out_at));
        assert_true(n >= 0);
        c->out_at += (size_t)n;
        c->sent += (size_t)n;
        if (n == 0) {
            stream_want_write(c->s, true);
            return;
        }
    }
    if (!c->holds_finish)
        stream_finish(c->s);
}

static inline void client_read(struct client *c)
{
    uint8_t in[5000];
    for (;;) {
        ssize_t n = stream_read(c->s, in, sizeof in);
        if (n == E_AGAIN)
            return;
        if (n == E_EOF) {
            c->is_complete = c->got == c->total;
            stream_close(c->s);
            c->s = NULL;
            return;
        }
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++)
            if (in[i] != client_byte(c, c->got + (size_t)i))
                assert_int_equal(in[i], client_byte(c, c->got + (size_t)i));
        c->got += (size_t)n;
    }
}

static inline void client_readable(void *ctx)
{
    client_read(ctx);
}

static inline void client_writable(void *ctx)
{
    client_write(ctx);
}

static inline void client_closed(void *ctx, int err)
{
    struct client *c = ctx;
    c->closed_err = err;
    stream_close(c->s);
    c->s = NULL;
}

static const struct stream_events client_events = {client_readable, client_writable, client_closed};

static inline void client_attach(struct client *c, struct stream *s)
{
    c->s = s;
    stream_listen(s, &client_events, c);
    stream_want_read(s, true);
    client_write(c);
}

static inline void client_opened(struct conn_open *o, int err, struct stream *s)
{
    struct client *c = CONTAINER_OF(o, struct client, open);
    assert_false(c->is_done);
    c->is_done = true;
    c->done_err = err;
    if (!err)
        client_attach(c, s);
}

static inline void client_init(struct client *c, uint64_t seed, size_t total)
{
    *c = (struct client){.total = total, .seed = seed};
}

static inline void client_start(struct client *c, struct conn *conn, const char *protocol,
                                bool is_lazy, uint64_t seed, size_t total)
{
    client_init(c, seed, total);
    c->open = (struct conn_open){.protocol = protocol, .is_lazy = is_lazy, .done = client_opened};
    conn_open_stream(conn, &c->open);
}

/* --- the sides --- */

static inline int side_secured(void *ctx, struct conn *c)
{
    struct side *s = ctx;
    return s->secured_err ? s->secured_err : conn_scope_proved(&c->scope, &s->peer);
}

static inline void side_opened(void *ctx, struct conn *c)
{
    ((struct side *)ctx)->opened++;
}

static inline void side_closed(void *ctx, struct conn *c, int err, const char *why)
{
    struct side *s = ctx;
    s->closed++;
    s->close_err = err;
    snprintf(s->why, sizeof s->why, "%s", why);
    s->conn = NULL;
}

static inline int side_protocol(void *ctx, struct conn *c, struct bytes protocol)
{
    return bytes_eq_str(protocol, ECHO) ? 7 : -1;
}

static inline void side_accepted(void *ctx, struct conn *c, int handler, struct stream *s)
{
    struct side *side = ctx;
    assert_int_equal(handler, 7);
    side->accepted++;
    echo_serve(s);
}

static const struct conn_events side_events = {side_secured, side_opened, side_closed,
                                               side_protocol, side_accepted};

static inline void side_init(struct side *s, struct pair *p, const char *muxer)
{
    *s = (struct side){0};
    key_pair_generate(&s->key, &p->rng);
    assert_int_equal(noise_self_init(&s->self, &s->key, muxer, &p->rng), 0);
    struct resource_limits limits = resource_limits_default();
    resource_init(&s->ledger, &limits, 3);
    resource_scope_init(&s->peer, RESOURCE_PEER);
    s->env = (struct conn_env){
        .sched = &p->world.sched,
        .rng = &p->rng,
        .self = &s->self,
        .budget = &p->budget,
        .ledger = &s->ledger,
        .cfg = conn_cfg_default(),
        .on = &side_events,
        .ctx = s,
    };
    conn_env_begin(&s->env);
}

static inline void side_fini(struct side *s)
{
    if (s->conn)
        conn_free(s->conn);
    if (!resource_is_zero(&s->ledger) || !resource_scope_is_zero(&s->peer))
        abort(); /* also under the fuzzer, where cmocka's asserts do not reach */
    resource_fini(&s->ledger);
    conn_env_end(&s->env);
    noise_self_fini(&s->self);
}

static inline void pair_init(struct pair *p, uint64_t seed)
{
    fake_world_init(&p->world);
    rng_init_seeded(&p->rng, seed);
    yamux_budget_init(&p->budget, 256 * MIB);
    side_init(&p->a, p, P2P_YAMUX);
    side_init(&p->b, p, P2P_YAMUX);
    fake_pair(&p->world, SIZE_MAX, &p->a.wire, &p->b.wire);
}

static inline void pair_connect(struct pair *p)
{
    p->a.conn = conn_new(&p->a.env, &p->a.wire->s, true, &p->b.key.id);
    p->b.conn = conn_new(&p->b.env, &p->b.wire->s, false, NULL);
}

static inline void pair_open(struct pair *p, uint64_t seed)
{
    pair_init(p, seed);
    pair_connect(p);
    fake_world_run(&p->world);
    assert_int_equal(p->a.opened, 1);
    assert_int_equal(p->b.opened, 1);
    conn_set_known(p->a.conn, true);
    conn_set_known(p->b.conn, true);
}

static inline void pair_fini(struct pair *p)
{
    side_fini(&p->a);
    side_fini(&p->b);
    if (!p->a.wire->is_closed)
        stream_close(&p->a.wire->s);
    if (!p->b.wire->is_closed)
        stream_close(&p->b.wire->s);
    fake_world_fini(&p->world);
}

#endif
