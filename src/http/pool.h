// SPDX-License-Identifier: MIT
/* Connections to backends, kept for the next call.
 *
 * Keyed by origin (unix path, host and port, with or without TLS). An idle connection that the
 * other side ends is dropped as soon as that is seen. When it is seen too late (llama-server
 * promises keep-alive and closes after each SSE reply), the call fails before any byte of an
 * answer: such a call on a reused connection is sent once more, on a fresh one. Nothing else is
 * ever sent twice.
 *
 * The pool does not dial: it asks a port (client_shell.h fills it with the loop, tests with pipes).
 */
#ifndef CONDUIT_HTTP_POOL_H
#define CONDUIT_HTTP_POOL_H

#include "http/client.h"

struct http_pool;

struct http_origin {
    bool is_tls;
    bool is_unix;
    uint16_t port;
    char host[256]; /* name or IP without brackets; path of a unix socket. NUL-terminated */
};

struct http_dial {
    /* Set by the pool. Called by the port once, never from inside dial(): s is the pool's when err
     * is 0. */
    void (*done)(struct http_dial *d, int err, struct stream *s);
    void *port; /* private to the port */
};

struct http_dialer {
    void (*dial)(void *ctx, struct http_dial *d, const struct http_origin *to, uint64_t timeout_us);
    void (*cancel)(void *ctx, struct http_dial *d); /* no `done` afterwards */
};

struct http_pool_config {
    struct http_client *client;
    struct sched *sched;
    const struct http_dialer *dialer;
    void *dialer_ctx;
    uint64_t idle_us;         /* an idle connection is kept so long; 0: 60 s */
    unsigned idle_per_origin; /* 0: 64 */
    unsigned idle_max;        /* 0: 256 */
};

struct http_pool *http_pool_new(const struct http_pool_config *cfg);
void http_pool_free(struct http_pool *p); /* every call must be done or cancelled */

/* As http_call_open, with a connection of the pool's. */
struct http_call *http_pool_call(struct http_pool *p, const struct http_origin *to,
                                 const struct http_request *req, const struct http_call_events *on,
                                 void *ctx, int *err);
/* Drops the idle connections to `to` (its engine was restarted); NULL: all. */
void http_pool_drop_idle(struct http_pool *p, const struct http_origin *to);
size_t http_pool_idle_count(const struct http_pool *p);

#endif
