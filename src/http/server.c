// SPDX-License-Identifier: MIT
/* The life of a server's connections and the reading of requests; see server.h, and server_impl.h
 * for the phases. Answering is in exchange.c, writing in conn_write.c. */
#include "base/mem.h"
#include "base/trace.h"
#include "http/server_impl.h"

#include <stdlib.h>

/* An answer that waits for its next event holds this and no buffers. */
_Static_assert(sizeof(struct http_conn) + sizeof(struct http_exchange) < 1024,
               "an idle stream fits in 1 KiB");

/* --- the server --- */

static void or_default(uint64_t *v, uint64_t otherwise)
{
    if (!*v)
        *v = otherwise;
}

struct http_server *http_server_new(const struct http_server_config *cfg)
{
    struct http_server *srv = MEM_NEW(struct http_server);
    srv->cfg = *cfg;
    or_default(&srv->cfg.head_us, 10 * US_PER_S);
    or_default(&srv->cfg.idle_us, 75 * US_PER_S);
    or_default(&srv->cfg.body_window_us, 10 * US_PER_S);
    or_default(&srv->cfg.write_stall_us, 30 * US_PER_S);
    or_default(&srv->cfg.bodies_limit, LIMIT_HTTP_BODIES);
    if (!srv->cfg.body_limit)
        srv->cfg.body_limit = LIMIT_HTTP_BODY;
    if (!srv->cfg.body_window_min)
        srv->cfg.body_window_min = 10 * KIB;
    list_init(&srv->conns);
    buf_init(&srv->scratch, 0);
    return srv;
}

size_t http_server_conn_count(const struct http_server *srv)
{
    return srv->conn_count;
}

uint32_t http_server_conn_limit(const struct http_server *srv)
{
    return srv->cfg.conn_limit;
}

uint64_t http_server_refused(const struct http_server *srv)
{
    return srv->refused;
}

size_t http_server_exchange_count(const struct http_server *srv)
{
    return srv->exchange_count;
}

void http_server_drain(struct http_server *srv)
{
    srv->is_draining = true;
    LIST_FOREACH_SAFE (&srv->conns, it) {
        struct http_conn *c = LIST_ENTRY(it, struct http_conn, link);
        if (c->phase == CONN_IDLE && !buf_len(&c->in))
            conn_finish(c);
    }
}

/* --- the end of things --- */

void exchange_free(struct http_exchange *x)
{
    x->conn->srv->body_bytes -= buf_len(&x->body);
    x->conn->srv->exchange_count--;
    x->conn->x = NULL;
    buf_fini(&x->body);
    free(x->kept);
    free(x);
}

/* The client is gone: tells the handler, whose exchange is dead then. */
static void exchange_gone(struct http_exchange *x, int err)
{
    const struct http_exchange_events *on = x->on;
    void *user = x->user;
    exchange_free(x);
    if (on)
        on->gone(user, err);
}

void conn_destroy(struct http_conn *c)
{
    if (c->stream) {
        struct sched *sched = c->srv->cfg.sched;
        timer_clear(sched, &c->timer);
        task_cancel(&c->task);
        stream_close(c->stream);
        c->stream = NULL;
        list_remove(&c->link);
        c->srv->conn_count--;
        buf_fini(&c->in);
        buf_fini(&c->out);
    }
    c->is_dead = true;
    c->phase = CONN_CLOSING;
    if (!c->is_busy)
        free(c);
}

/* The other side is gone or broke off. */
void conn_lost(struct http_conn *c, int err)
{
    struct http_exchange *x = c->x;
    const struct http_exchange_events *on = x ? x->on : NULL;
    void *user = x ? x->user : NULL;
    if (x)
        exchange_free(x);
    conn_destroy(c);
    if (on)
        on->gone(user, err);
}

void http_server_free(struct http_server *srv)
{
    while (!list_is_empty(&srv->conns)) {
        struct http_conn *c = LIST_ENTRY(srv->conns.next, struct http_conn, link);
        stream_reset(c->stream, STREAM_CANCELLED);
        conn_lost(c, E_CANCELLED);
    }
    buf_fini(&srv->scratch);
    free(srv);
}

/* Everything was taken by the stream: close in order. */
static void conn_close(struct http_conn *c)
{
    stream_finish(c->stream);
    conn_destroy(c);
}

void conn_finish(struct http_conn *c)
{
    c->phase = CONN_CLOSING;
    c->read_deadline_us = SCHED_NEVER;
    stream_want_read(c->stream, false);
    if (buf_len(&c->out) && !c->broken)
        conn_flush(c);
    if (c->broken || !buf_len(&c->out))
        conn_close(c);
}

/* A request that is refused before, or instead of, being handled. */
void conn_refuse(struct http_conn *c, int status, const char *code, const char *why)
{
    bool may_answer = !c->x || !c->x->has_head;
    TRACE(HTTP, DEBUG, "%s -> %d and close", why, status);
    if (c->x)
        exchange_gone(c->x, status == 408 ? E_TIMEOUT : status == 413 ? E_TOO_BIG : E_MALFORMED);
    if (may_answer)
        refusal_encode(c->srv, &c->out, status, code, why);
    conn_finish(c);
}

void conn_refuse_fault(struct http_conn *c, enum http_fault f)
{
    conn_refuse(c, http_fault_status(f), "bad_request", http_fault_text(f));
}

/* --- deadlines --- */

/* The timer may be early, never late: most requests come and go without touching it. */
void conn_arm(struct http_conn *c)
{
    uint64_t at =
        c->read_deadline_us < c->write_deadline_us ? c->read_deadline_us : c->write_deadline_us;
    if (at != SCHED_NEVER && (!timer_is_set(&c->timer) || c->timer.node.key > at))
        timer_set(c->srv->cfg.sched, &c->timer, at);
}

void conn_read_deadline(struct http_conn *c, uint64_t in_us)
{
    c->read_deadline_us = sched_now(c->srv->cfg.sched) + in_us;
    conn_arm(c);
}

void conn_body_window(struct http_conn *c)
{
    c->window_received = c->body.received;
    conn_read_deadline(c, c->srv->cfg.body_window_us);
}

/* The current phase took too long. `c` may be gone. */
static void conn_expired(struct http_conn *c)
{
    switch (c->phase) {
    case CONN_IDLE:
        conn_close(c);
        return;
    case CONN_HEAD:
        conn_refuse(c, 408, "request_timeout", "the head of the request did not come in time");
        return;
    case CONN_BODY:
        if (c->body.received - c->window_received >= c->srv->cfg.body_window_min)
            conn_body_window(c);
        else
            conn_refuse(c, 408, "request_timeout", "the body of the request comes too slowly");
        return;
    case CONN_DRAIN:
        conn_finish(c);
        return;
    case CONN_ANSWER:
    case CONN_CLOSING:
        c->read_deadline_us = SCHED_NEVER;
        return;
    }
}

static void conn_timer(struct timer *t)
{
    struct http_conn *c = CONTAINER_OF(t, struct http_conn, timer);
    uint64_t now = sched_now(c->srv->cfg.sched);
    if (now >= c->write_deadline_us) {
        TRACE(HTTP, DEBUG, "the client takes nothing any more -> reset");
        stream_reset(c->stream, STREAM_TIMED_OUT);
        conn_lost(c, E_TIMEOUT);
    } else if (now >= c->read_deadline_us) {
        c->read_deadline_us = SCHED_NEVER;
        conn_arm(c);
        conn_expired(c);
    } else
        conn_arm(c);
}

/* --- between requests --- */

/* Whether bytes are wanted of the stream in this phase. */
void conn_update_read(struct http_conn *c)
{
    bool wants = !c->saw_eof && c->phase != CONN_CLOSING && buf_len(&c->in) < LIMIT_HTTP_PIPELINE &&
                 !(c->phase == CONN_BODY && c->x->is_paused);
    stream_want_read(c->stream, wants);
}

void conn_enter_idle(struct http_conn *c)
{
    c->phase = CONN_IDLE;
    c->seen = 0;
    conn_read_deadline(c, c->srv->cfg.idle_us);
}

void conn_next(struct http_conn *c, bool keep_alive)
{
    bool has_body_left = c->phase == CONN_BODY;
    bool can_drain = !c->is_withheld &&
                     (c->body.framing != HTTP_BODY_LENGTH || c->body.left <= LIMIT_HTTP_DRAIN);
    if (!keep_alive || c->broken || c->saw_eof || (has_body_left && !can_drain)) {
        conn_finish(c);
        return;
    }
    if (has_body_left) {
        c->phase = CONN_DRAIN;
        conn_body_window(c);
        c->drain_from = c->body.received;
    } else
        conn_enter_idle(c);
    conn_update_read(c);
    if (buf_len(&c->in) && !c->is_busy)
        task_defer(c->srv->cfg.sched, &c->task);
}

/* The client finished its side. `c` may be gone. */
void conn_eof(struct http_conn *c)
{
    c->saw_eof = true;
    switch (c->phase) {
    case CONN_IDLE:
    case CONN_DRAIN:
        conn_finish(c);
        return;
    case CONN_HEAD:
    case CONN_BODY:
        if (c->eof_is_cancel)
            conn_lost(c, E_EOF);
        else
            conn_refuse_fault(c, HTTP_FAULT_TRUNCATED);
        return;
    case CONN_ANSWER:
        if (c->eof_is_cancel)
            conn_lost(c, E_CLOSED);
        else
            conn_update_read(c);
        return;
    case CONN_CLOSING:
        conn_update_read(c);
        return;
    }
}

/* --- events of the stream --- */

static void conn_writable(void *ctx)
{
    struct http_conn *c = ctx;
    if (!c->broken)
        conn_flush(c);
    if (c->broken || buf_len(&c->out) > LIMIT_HTTP_BACKLOG / 2)
        return;
    struct http_exchange *x = c->x;
    if (x && x->wants_writable) {
        x->wants_writable = false;
        if (x->on && x->on->writable)
            x->on->writable(x->user);
        return;
    }
    if (!buf_len(&c->out))
        task_defer(c->srv->cfg.sched, &c->task);
}

static void conn_closed(void *ctx, int err)
{
    conn_lost(ctx, err);
}

/* End of the turn: what was corked leaves, what was kept is read, what broke is told. */
static void conn_task(struct task *t)
{
    struct http_conn *c = CONTAINER_OF(t, struct http_conn, task);
    c->is_corked = false;
    if (!c->broken && buf_len(&c->out) && !conn_is_blocked(c))
        conn_flush(c);
    if (c->broken) {
        conn_lost(c, c->broken);
        return;
    }
    if (c->phase == CONN_CLOSING) {
        if (!buf_len(&c->out))
            conn_close(c);
        return;
    }
    struct http_exchange *x = c->x;
    if (x && x->wants_writable && buf_len(&c->out) <= LIMIT_HTTP_BACKLOG / 2) {
        x->wants_writable = false;
        task_defer(c->srv->cfg.sched, &c->task);
        if (x->on && x->on->writable)
            x->on->writable(x->user);
        return;
    }
    conn_resume(c);
}

/* --- opening --- */

static const struct stream_events conn_events = {
    .readable = conn_readable,
    .writable = conn_writable,
    .closed = conn_closed,
};

void http_server_conn_open(struct http_server *srv, struct stream *s,
                           const struct http_conn_options *opts)
{
    struct http_conn *c = MEM_NEW(struct http_conn);
    c->srv = srv;
    c->stream = s;
    c->listener = opts->listener;
    c->eof_is_cancel = opts->eof_is_cancel;
    c->one_request = opts->one_request;
    c->read_deadline_us = c->write_deadline_us = SCHED_NEVER;
    timer_init(&c->timer, conn_timer);
    task_init(&c->task, conn_task);
    buf_init(&c->in, 0);
    buf_init(&c->out, 0);
    list_append(&srv->conns, &c->link);
    srv->conn_count++;
    stream_listen(s, &conn_events, c);
    if (srv->cfg.conn_limit && srv->conn_count > srv->cfg.conn_limit) {
        srv->refused++;
        refusal_encode(srv, &c->out, 503, "too_many_connections", "too many connections");
        c->phase = CONN_CLOSING;
        task_defer(srv->cfg.sched, &c->task);
        return;
    }
    conn_enter_idle(c);
    stream_want_read(s, true);
}

/* --- what a handler may ask --- */

void http_exchange_listen(struct http_exchange *x, const struct http_exchange_events *on,
                          void *user)
{
    x->on = on;
    x->user = user;
}

const struct principal *http_exchange_principal(const struct http_exchange *x)
{
    return stream_principal(x->conn->stream);
}

const struct net_addr *http_exchange_remote(const struct http_exchange *x)
{
    return &x->conn->stream->remote;
}

const struct stream *http_exchange_stream(const struct http_exchange *x)
{
    return x->conn->stream;
}

void *http_exchange_listener(const struct http_exchange *x)
{
    return x->conn->listener;
}

uint64_t http_exchange_started_us(const struct http_exchange *x)
{
    return x->started_us;
}

void http_exchange_set_body_limit(struct http_exchange *x, size_t limit)
{
    if (x->in_head)
        x->body_limit = limit;
}

void http_exchange_stream_body(struct http_exchange *x)
{
    if (x->in_head)
        x->streams_body = true;
}

void http_exchange_pause_body(struct http_exchange *x, bool pause)
{
    struct http_conn *c = x->conn;
    if (!x->streams_body || x->is_paused == pause)
        return;
    x->is_paused = pause;
    if (c->phase != CONN_BODY)
        return;
    if (pause)
        c->read_deadline_us = SCHED_NEVER;
    else
        conn_body_window(c);
    if (c->is_busy)
        return;
    conn_update_read(c);
    if (!pause)
        task_defer(c->srv->cfg.sched, &c->task);
}

void http_exchange_wipe_body(struct http_exchange *x)
{
    if (x->in_request && x->borrowed.n) /* in our own memory, whichever it is */
        mem_wipe((uint8_t *)(uintptr_t)x->borrowed.p, x->borrowed.n);
}

int http_exchange_take_body(struct http_exchange *x, struct buf *out)
{
    if (!x->in_request)
        return E_INVALID;
    if (!buf_len(&x->body))
        return buf_append_bytes(out, x->borrowed);
    x->conn->srv->body_bytes -= buf_len(&x->body);
    buf_fini(out);
    *out = x->body;
    buf_init(&x->body, 0);
    x->borrowed = (struct bytes){NULL, 0};
    return 0;
}
