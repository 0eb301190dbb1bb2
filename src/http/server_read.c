// SPDX-License-Identifier: MIT
/* Reading requests: from bytes of the stream to calls of the handler; see server_impl.h for the
 * phases.
 *
 * Input lies in the server's one buffer while it is worked on. What a connection cannot use yet (a
 * head cut off, the next request while one is answered, a paused body) is copied to its own `in`,
 * and comes back in front of the server's buffer when it can. A body that fits in what was read
 * is handed to the handler where it lies; a larger one of known length is read to where it stays.
 */
#include "base/mem.h"
#include "http/server_impl.h"

#include <stdlib.h>

static void keep_input(struct http_conn *c, struct bytes rest)
{
    buf_clear(&c->in);
    if (rest.n)
        buf_append_bytes(&c->in, rest);
    else
        buf_trim(&c->in);
}

/* The request is whole (or is handed over in pieces): the handler's turn. */
static void call_request(struct http_conn *c, const struct http_head *head, struct bytes body)
{
    struct http_exchange *x = c->x;
    if (!x->streams_body) {
        c->phase = CONN_ANSWER;
        c->read_deadline_us = SCHED_NEVER;
    }
    struct http_head *kept = x->kept;
    x->kept = NULL;
    x->in_request = true;
    x->borrowed = body;
    c->srv->cfg.handler->request(c->srv->cfg.ctx, x, head, body);
    free(kept);
    if (c->x != x) /* answered; x is dead */
        return;
    x->in_request = false;
    x->borrowed = (struct bytes){NULL, 0};
    if (!x->streams_body) {
        c->srv->body_bytes -= buf_len(&x->body);
        buf_fini(&x->body);
    }
}

/* More of a collected body. False when it was refused. */
static bool collect(struct http_conn *c, struct bytes piece)
{
    struct http_exchange *x = c->x;
    if (buf_len(&x->body) + piece.n > x->body_limit) {
        conn_refuse(c, 413, "request_too_large", "the body of the request is too large");
        return false;
    }
    if (c->srv->body_bytes + piece.n > c->srv->cfg.bodies_limit ||
        buf_append_bytes(&x->body, piece)) {
        conn_refuse(c, 503, "overloaded", "too many large requests at once");
        return false;
    }
    c->srv->body_bytes += piece.n;
    return true;
}

static void body_ended(struct http_conn *c)
{
    struct http_exchange *x = c->x;
    if (!x->streams_body) {
        call_request(c, x->kept, buf_view(&x->body));
        return;
    }
    c->phase = CONN_ANSWER;
    c->read_deadline_us = SCHED_NEVER;
    if (x->on && x->on->body_end)
        x->on->body_end(x->user);
}

/* A chunk that says it goes over the limit is not waited for. */
static void refuse_large_chunk(struct http_conn *c)
{
    if (c->phase == CONN_BODY && !c->x->streams_body &&
        c->body.received + c->body.left > c->x->body_limit)
        conn_refuse(c, 413, "request_too_large", "the body of the request is too large");
}

/* Takes body bytes off *view: collected, handed on, or dropped. */
static void feed_body(struct http_conn *c, struct bytes *view)
{
    struct bytes piece;
    while (c->phase == CONN_BODY || c->phase == CONN_DRAIN) {
        if (c->phase == CONN_BODY && c->x->is_paused)
            return;
        int got = http_body_step(&c->body, view, &piece);
        if (got == E_AGAIN) {
            refuse_large_chunk(c);
            return;
        }
        if (got < 0) {
            conn_refuse_fault(c, c->body.fault);
            return;
        }
        if (c->phase == CONN_DRAIN) {
            if (got == 0)
                conn_enter_idle(c);
            else if (c->body.received - c->drain_from > LIMIT_HTTP_DRAIN)
                conn_finish(c);
        } else if (got == 0)
            body_ended(c);
        else if (!c->x->streams_body)
            collect(c, piece);
        else if (c->x->on && c->x->on->body)
            c->x->on->body(c->x->user, piece);
    }
}

static struct http_exchange *exchange_new(struct http_conn *c, const struct http_head *head)
{
    struct http_server *srv = c->srv;
    struct http_exchange *x = MEM_NEW(struct http_exchange);
    x->conn = c;
    x->body_limit = srv->cfg.body_limit;
    x->started_us = sched_now(srv->cfg.sched);
    x->minor = head->minor;
    x->is_head_request = head->method == HTTP_HEAD;
    x->keep_alive = head->keep_alive && !c->one_request;
    x->answer_left = HTTP_LENGTH_UNKNOWN;
    buf_init(&x->body, 0);
    c->x = x;
    srv->exchange_count++;
    return x;
}

/* Room for a body of known length at once, as far as it costs nothing before the bytes come. */
static void reserve_body(struct http_exchange *x, const struct http_head *head)
{
    uint8_t *at;
    if (head->framing == HTTP_BODY_LENGTH && head->content_length > SERVER_READ)
        (void)buf_reserve(&x->body, head->content_length < MIB ? head->content_length : MIB, &at);
}

/* The body follows the head and is not here yet. False when it is not wanted. */
static bool await_body(struct http_conn *c, const struct http_head *head)
{
    struct http_exchange *x = c->x;
    if (head->framing == HTTP_BODY_LENGTH && head->content_length > x->body_limit &&
        !x->streams_body) {
        conn_refuse(c, 413, "request_too_large", "the body of the request is too large");
        return false;
    }
    if (c->is_withheld) {
        struct bytes go_on = BYTES_LIT("HTTP/1.1 100 Continue\r\n\r\n");
        conn_writev(c, &go_on, 1);
        c->is_withheld = false;
    }
    conn_body_window(c);
    if (x->streams_body) {
        call_request(c, head, (struct bytes){NULL, 0});
        return c->x == x;
    }
    x->kept = http_head_clone(head);
    reserve_body(x, head);
    if (!x->kept)
        conn_refuse(c, 503, "overloaded", "out of memory");
    return c->x == x;
}

/* A whole head in front of `view`: the handler, then the body. */
static void begin_request(struct http_conn *c, struct http_head *head, struct bytes *view)
{
    struct http_server *srv = c->srv;
    struct http_exchange *x = exchange_new(c, head);
    http_body_init(&c->body, head->framing, head->content_length);
    c->phase = head->framing == HTTP_BODY_NONE ? CONN_ANSWER : CONN_BODY;
    c->read_deadline_us = SCHED_NEVER;
    if (head->method == HTTP_CONNECT || head->method == HTTP_TRACE) {
        conn_refuse(c, 501, "not_implemented", "this method is not implemented");
        return;
    }
    c->is_withheld = head->expects_continue && !view->n;
    x->in_head = true;
    if (srv->cfg.handler->head)
        srv->cfg.handler->head(srv->cfg.ctx, x, head);
    if (c->x != x)
        return;
    x->in_head = false;
    if (c->phase == CONN_ANSWER) {
        call_request(c, head, (struct bytes){NULL, 0});
        return;
    }
    if (!x->streams_body && head->framing == HTTP_BODY_LENGTH && head->content_length <= view->n &&
        head->content_length <= x->body_limit) {
        struct bytes body = bytes_first(*view, (size_t)head->content_length);
        *view = bytes_skip(*view, body.n);
        call_request(c, head, body); /* nothing was copied */
        return;
    }
    if (await_body(c, head))
        feed_body(c, view);
}

/* One head, if it is whole. False when more input is needed, or nothing is to be read now. */
static bool feed_head(struct http_conn *c, struct bytes *view, size_t seen)
{
    struct http_server *srv = c->srv;
    struct http_head *head = &srv->head;
    int err = http_parse_request(*view, seen, &srv->table, head);
    if (err == E_AGAIN) {
        c->seen = (uint32_t)view->n;
        if (c->phase == CONN_IDLE)
            conn_read_deadline(c, srv->cfg.head_us);
        c->phase = CONN_HEAD;
        return false;
    }
    if (err) {
        conn_refuse_fault(c, head->fault);
        return false;
    }
    *view = bytes_skip(*view, head->size);
    c->seen = 0;
    begin_request(c, head, view);
    return true;
}

/* Works through what was read: a view into the server's buffer, or into nothing that moves. */
static void conn_feed(struct http_conn *c, struct bytes view, size_t seen)
{
    c->is_busy = true;
    while (!c->is_dead && view.n) {
        if (c->phase == CONN_BODY || c->phase == CONN_DRAIN) {
            feed_body(c, &view);
            if (c->phase == CONN_BODY || c->phase == CONN_DRAIN)
                break; /* more is needed, or it is paused */
        } else if (c->phase == CONN_ANSWER || c->phase == CONN_CLOSING || buf_len(&c->out)) {
            break; /* one at a time, and not ahead of a client that does not read */
        } else if (!feed_head(c, &view, seen)) {
            break;
        }
        seen = 0;
    }
    c->is_busy = false;
    if (c->is_dead) {
        free(c);
        return;
    }
    keep_input(c, view);
    conn_update_read(c);
}

/* What was kept, in front of the server's buffer again. */
static size_t unkeep(struct http_conn *c)
{
    struct bytes kept = buf_view(&c->in);
    if (kept.n)
        memcpy(c->srv->in, kept.p, kept.n);
    buf_clear(&c->in);
    return kept.n;
}

static bool can_feed(const struct http_conn *c)
{
    return c->phase != CONN_CLOSING && c->phase != CONN_ANSWER &&
           !(c->phase == CONN_BODY && c->x->is_paused);
}

/* A large collected body is read to where it stays. True when that was done. */
static bool read_into_body(struct http_conn *c, ssize_t *got)
{
    struct http_exchange *x = c->x;
    uint8_t *at;
    if (c->phase != CONN_BODY || x->streams_body || c->body.framing != HTTP_BODY_LENGTH ||
        c->body.left < SERVER_READ || buf_len(&c->in))
        return false;
    /* room doubles as the body comes: a length alone costs nothing */
    size_t have = buf_len(&x->body), room = x->body.cap - x->body.tail;
    if (room < SERVER_READ)
        room = have > SERVER_READ ? have : SERVER_READ;
    if (room > c->body.left)
        room = (size_t)c->body.left;
    if (c->srv->body_bytes + room > c->srv->cfg.bodies_limit || buf_reserve(&x->body, room, &at)) {
        conn_refuse(c, 503, "overloaded", "too many large requests at once");
        return *got = 0, true;
    }
    *got = stream_read(c->stream, at, room);
    if (*got > 0) {
        buf_commit(&x->body, (size_t)*got);
        c->srv->body_bytes += (uint64_t)*got;
        c->body.left -= (uint64_t)*got;
        c->body.received += (uint64_t)*got;
        if (!c->body.left) {
            c->is_busy = true;
            body_ended(c);
            c->is_busy = false;
            if (c->is_dead)
                free(c);
            else
                conn_update_read(c);
        }
    }
    return true;
}

void conn_resume(struct http_conn *c)
{
    if (!buf_len(&c->in) || !can_feed(c))
        return;
    size_t seen = c->seen, n = unkeep(c);
    conn_feed(c, bytes_of(c->srv->in, n), seen < n ? seen : 0);
}

void conn_readable(void *ctx)
{
    struct http_conn *c = ctx;
    struct http_server *srv = c->srv;
    ssize_t got;
    if (!read_into_body(c, &got)) {
        size_t kept = can_feed(c) ? unkeep(c) : 0, seen = c->seen;
        size_t room = can_feed(c) ? sizeof srv->in - kept : LIMIT_HTTP_PIPELINE - buf_len(&c->in);
        got = stream_read(c->stream, srv->in + kept, room);
        if (got > 0 && can_feed(c))
            conn_feed(c, bytes_of(srv->in, kept + (size_t)got), seen);
        else if (got > 0) {
            buf_append(&c->in, srv->in, (size_t)got);
            conn_update_read(c);
        } else if (kept)
            keep_input(c, bytes_of(srv->in, kept));
    }
    if (got == E_EOF)
        conn_eof(c);
    else if (got < 0 && got != E_AGAIN)
        conn_lost(c, (int)got);
}
