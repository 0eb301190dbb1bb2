// SPDX-License-Identifier: MIT
/* Whole nodes on machines of a virtual world, and clients on those machines. */
#ifndef CONDUIT_TEST_NODE_WORLD_H
#define CONDUIT_TEST_NODE_WORLD_H

#include "base/buf.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "node/node.h"
#include "node/node_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS 1000ull
#define S  1000000ull

enum { MACHINES_MAX = 16 };

struct machine {
    struct loop *loop;
    struct config cfg;
    struct node *node;
    char dir[64], ip[32];
    bool is_stopped;
};

struct world {
    struct loop_virtual *v;
    struct machine m[MACHINES_MAX];
    int count;
};

static inline void set(struct machine *m, const char *key, const char *value)
{
    char why[CONFIG_WHY];
    if (config_set(&m->cfg, key, value, RANK_FLAG, why) != 0)
        fail_msg("%s", why);
}

/* The next machine, at `ip`, with nothing but its directory and addresses set. */
static inline struct machine *machine_add_at(struct world *w, const char *ip)
{
    assert_true(w->count < MACHINES_MAX);
    struct machine *m = &w->m[w->count++];
    struct net_addr at;
    snprintf(m->ip, sizeof m->ip, "%s", ip);
    snprintf(m->dir, sizeof m->dir, "/tmp/conduit-world-XXXXXX");
    assert_non_null(mkdtemp(m->dir));
    assert_int_equal(net_addr_parse_ip(ip, 0, &at), 0);
    m->loop = loop_virtual_machine(w->v, &at);
    config_init(&m->cfg);
    set(m, "data_dir", m->dir);
    set(m, "p2p_host", ip);
    return m;
}

/* At 10.0.0.N. */
static inline struct machine *machine_add(struct world *w)
{
    char ip[32];
    snprintf(ip, sizeof ip, "10.0.0.%d", w->count + 1);
    return machine_add_at(w, ip);
}

static inline void machine_start(struct machine *m)
{
    static char *const no_env[] = {"HOME=/nonexistent", NULL};
    char why[CONFIG_WHY];
    if (node_start(m->loop, &m->cfg, no_env, "0.0.0", &m->node, why) != 0)
        fail_msg("%s", why);
}

/* In order; machine_start() begins it again, with what it was told before. */
static inline void machine_off(struct machine *m)
{
    node_free(m->node);
    m->node = NULL;
}

static inline void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.v = loop_virtual_new(seed)};
}

static inline void run_for(struct world *w, uint64_t us)
{
    loop_virtual_run(w->v, loop_virtual_now(w->v) + us, NULL, NULL);
}

static inline void world_fini(struct world *w)
{
    char command[96];
    for (int i = 0; i < w->count; i++)
        if (w->m[i].node && p2p_host_check(w->m[i].node->host))
            fail_msg("machine %d: %s", i, p2p_host_check(w->m[i].node->host));
    for (int i = 0; i < w->count; i++) {
        if (w->m[i].node)
            node_free(w->m[i].node);
        config_fini(&w->m[i].cfg);
        snprintf(command, sizeof command, "rm -rf %s", w->m[i].dir);
        assert_int_equal(system(command), 0);
    }
    run_for(w, S); /* what was cancelled completes */
    loop_virtual_free(w->v);
}

/* --- clients --- */

struct client {
    struct loop *loop;
    struct loop_dial dial;
    struct stream *s;
    struct buf out, in;
    bool is_over;
    uint64_t asked_us, first_us, over_us;
};

static inline void client_end(struct client *c)
{
    if (!c->is_over)
        c->over_us = sched_now(loop_sched(c->loop));
    c->is_over = true;
}

static inline void client_readable(void *ctx)
{
    struct client *c = ctx;
    uint8_t chunk[4096];
    ssize_t n;
    while ((n = stream_read(c->s, chunk, sizeof chunk)) > 0) {
        if (!c->first_us)
            c->first_us = sched_now(loop_sched(c->loop));
        (void)buf_append(&c->in, chunk, (size_t)n);
    }
    if (n != E_AGAIN)
        client_end(c);
}

static inline void client_writable(void *ctx)
{
    struct client *c = ctx;
    if (!buf_len(&c->out))
        return;
    ssize_t n = stream_write(c->s, buf_view(&c->out));
    assert_true(n >= 0);
    buf_consume(&c->out, (size_t)n);
    if (buf_len(&c->out))
        stream_want_write(c->s, true);
}

static inline void client_closed(void *ctx, int err)
{
    client_end(ctx);
}

static const struct stream_events client_events = {client_readable, client_writable, client_closed};

static inline void client_dialled(struct loop_dial *d, int err, struct stream *s)
{
    struct client *c = CONTAINER_OF(d, struct client, dial);
    if (err) {
        client_end(c);
        return;
    }
    c->s = s;
    stream_listen(s, &client_events, c);
    stream_want_read(s, true);
    client_writable(c);
}

/* Asks the node on the same machine; what comes gathers in c->in. `fields`: more header lines, or "". */
static inline void client_ask_with(struct client *c, struct machine *m, const char *method,
                                   const char *path, const char *fields, const char *body)
{
    struct net_addr at;
    *c = (struct client){.loop = m->loop, .dial.done = client_dialled};
    c->asked_us = sched_now(loop_sched(m->loop));
    buf_init(&c->out, 0);
    buf_init(&c->in, 0);
    (void)buf_printf(&c->out,
                     "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s"
                     "Content-Length: %zu\r\n\r\n%s",
                     method, path, fields, strlen(body), body);
    assert_int_equal(net_addr_parse_ip("127.0.0.1", 8888, &at), 0);
    loop_dial(c->loop, &c->dial, &at, NULL, 5 * S);
}

static inline void client_ask(struct client *c, struct machine *m, const char *method,
                              const char *path, const char *body)
{
    client_ask_with(c, m, method, path, "", body);
}

static inline bool client_has(const struct client *c, const char *text)
{
    struct bytes in = buf_view(&c->in);
    return memmem(in.p, in.n, text, strlen(text)) != NULL;
}

static inline void client_fini(struct client *c)
{
    if (c->s)
        stream_close(c->s);
    buf_fini(&c->out);
    buf_fini(&c->in);
}

static inline bool client_is_over(void *ctx)
{
    return ((struct client *)ctx)->is_over;
}

static inline void client_wait(struct world *w, struct client *c, uint64_t us)
{
    loop_virtual_run(w->v, loop_virtual_now(w->v) + us, client_is_over, c);
    assert_true(c->is_over);
}

/* One request there, answered within `us`; the whole response as text, heap. */
static inline char *call(struct world *w, struct machine *m, const char *method, const char *path,
                         const char *fields, const char *body, uint64_t us)
{
    struct client c;
    client_ask_with(&c, m, method, path, fields, body);
    client_wait(w, &c, us);
    assert_non_null(c.s); /* a node's own address is always there */
    char *text = buf_take_str(&c.in);
    client_fini(&c);
    return text;
}

#endif
