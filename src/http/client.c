// SPDX-License-Identifier: MIT
/* One call over one stream; see client.h, and client_impl.h for its phases. */
#include "base/mem.h"
#include "base/text.h"
#include "base/trace.h"
#include "http/client_impl.h"

#include <assert.h>
#include <stdlib.h>

struct http_client *http_client_new(struct sched *sched)
{
    struct http_client *c = MEM_NEW(struct http_client);
    c->sched = sched;
    buf_init(&c->scratch, 0);
    return c;
}

void http_client_free(struct http_client *c)
{
    assert(c->call_count == 0);
    buf_fini(&c->scratch);
    free(c);
}

/* --- the request's head --- */

static bool is_target(struct bytes t)
{
    for (size_t i = 0; i < t.n; i++)
        if (t.p[i] <= ' ' || t.p[i] >= 0x7f)
            return false;
    return t.n > 0;
}

static bool is_fit(const struct http_request *req)
{
    if (!http_is_token(bytes_str(req->method)) || !is_target(req->target) ||
        !http_is_field_value(req->host) || req->body_count > HTTP_REQUEST_SLICES)
        return false;
    for (size_t i = 0; i < req->header_count; i++)
        if (!http_is_token(req->headers[i].name) || !http_is_field_value(req->headers[i].value))
            return false;
    return true;
}

static void append_field(struct buf *b, struct bytes name, struct bytes value)
{
    buf_append_bytes(b, name);
    buf_append(b, ": ", 2);
    buf_append_bytes(b, value);
    buf_append(b, "\r\n", 2);
}

static void encode_head(struct buf *b, const struct http_request *req, size_t body_size)
{
    char length[24];
    struct text t = {length, sizeof length};
    buf_append_str(b, req->method);
    buf_append_byte(b, ' ');
    buf_append_bytes(b, req->target);
    buf_append_bytes(b, BYTES_LIT(" HTTP/1.1\r\n"));
    append_field(b, BYTES_LIT("host"), req->host);
    for (size_t i = 0; i < req->header_count; i++)
        append_field(b, req->headers[i].name, req->headers[i].value);
    text_add_u64(&t, body_size);
    if (body_size || req->has_body)
        append_field(b, BYTES_LIT("content-length"), bytes_str(length));
    if (req->must_close)
        buf_append_str(b, "connection: close\r\n");
    buf_append_str(b, "\r\n");
}

/* --- deadlines: the timer may be early, never late --- */

static void call_deadline(struct http_call *call, uint64_t in_us)
{
    uint64_t at = in_us == SCHED_NEVER ? SCHED_NEVER : sched_now(call->client->sched) + in_us;
    call->deadline_us = at;
    if (at != SCHED_NEVER && (!timer_is_set(&call->timer) || call->timer.node.key > at))
        timer_set(call->client->sched, &call->timer, at);
}

static void call_timer(struct timer *t)
{
    struct http_call *call = CONTAINER_OF(t, struct http_call, timer);
    if (call->deadline_us == SCHED_NEVER)
        return;
    if (sched_now(call->client->sched) >= call->deadline_us)
        call_finish(call, E_TIMEOUT);
    else
        timer_set(call->client->sched, t, call->deadline_us);
}

/* --- life --- */

static uint64_t or_seconds(uint64_t us, uint64_t seconds)
{
    return us ? us : seconds * US_PER_S;
}

static void call_task(struct task *t);

/* What is to be sent lies apart from the call: an answer that streams for an hour needs it no more. */
static void keep_request(struct http_call *call, const struct http_request *req, struct bytes head)
{
    size_t table = (1 + (size_t)req->body_count) * sizeof *call->slices;
    call->slices = mem_new(table + head.n);
    uint8_t *text = (uint8_t *)call->slices + table;
    memcpy(text, head.p, head.n);
    call->slices[call->slice_count++] = bytes_of(text, head.n);
    for (int i = 0; i < req->body_count; i++)
        call->slices[call->slice_count++] = req->body[i];
}

static void drop_request(struct http_call *call)
{
    free(call->slices);
    call->slices = NULL;
    call->slice_count = 0;
}

struct http_call *call_new(struct http_client *c, const struct http_request *req,
                           const struct http_call_events *on, void *ctx, int *err)
{
    size_t body_size = 0;
    if (!is_fit(req)) {
        *err = E_INVALID;
        return NULL;
    }
    for (int i = 0; i < req->body_count; i++)
        body_size += req->body[i].n;
    encode_head(&c->scratch, req, body_size);
    struct bytes head = buf_view(&c->scratch);
    struct http_call *call = MEM_NEW(struct http_call);
    keep_request(call, req, head);
    buf_clear(&c->scratch);
    call->client = c;
    call->on = on;
    call->ctx = ctx;
    call->method = http_method_of(bytes_str(req->method));
    call->must_close = req->must_close;
    call->total = head.n + body_size;
    call->connect_us = or_seconds(req->connect_us, 10);
    call->send_stall_us = or_seconds(req->send_stall_us, 30);
    call->first_byte_us = or_seconds(req->first_byte_us, 600);
    call->stall_us = or_seconds(req->stall_us, 600);
    buf_init(&call->in, 0);
    timer_init(&call->timer, call_timer);
    task_init(&call->task, call_task);
    c->call_count++;
    call_deadline(call, call->connect_us);
    return call;
}

/* The stream is neither the call's nor anybody's any more. */
static void drop_stream(struct http_call *call, bool in_order)
{
    if (!call->stream)
        return;
    if (!in_order)
        stream_reset(call->stream, STREAM_CANCELLED);
    stream_close(call->stream);
    call->stream = NULL;
}

static void call_free(struct http_call *call)
{
    timer_clear(call->client->sched, &call->timer);
    task_cancel(&call->task);
    if (call->owner)
        call->owner->drop(call);
    buf_fini(&call->in);
    drop_request(call);
    call->client->call_count--;
    call->is_dead = true;
    if (!call->is_busy)
        free(call);
}

static bool is_reusable(const struct http_call *call)
{
    return call->keep_alive && !call->must_close && call->sent == call->total && !call->send_err &&
           !buf_len(&call->in);
}

/* A connection that served before and broke before it gave anything was stale. */
static bool is_stale(const struct http_call *call, int err)
{
    return call->was_reused && !call->got_bytes && call->phase < HTTP_CALL_HEAD &&
           (err == E_EOF || err == E_RESET || err == E_CLOSED || err == E_IO);
}

static bool retry(struct http_call *call)
{
    drop_stream(call, false);
    call->sent = 0;
    call->send_err = 0;
    call->was_reused = false;
    call->phase = HTTP_CALL_CONNECTING;
    call_deadline(call, call->connect_us);
    TRACE(HTTP, DEBUG, "the connection was stale -> once more on a fresh one");
    return call->owner->retry(call);
}

void call_finish(struct http_call *call, int err)
{
    if (err && call->owner && is_stale(call, err) && retry(call))
        return;
    if (!err && call->owner && is_reusable(call)) {
        struct stream *s = call->stream;
        call->stream = NULL;
        call->owner->give_back(call, s);
    } else
        drop_stream(call, !err);
    const struct http_call_events *on = call->on;
    void *ctx = call->ctx;
    struct http_call_result result = {
        .err = err,
        .phase = err ? call->phase : HTTP_CALL_COMPLETE,
        .fault = call->fault,
        .was_reused = call->was_reused,
        .body_bytes = call->body.received,
    };
    call_free(call);
    on->done(ctx, &result);
}

void http_call_cancel(struct http_call *call)
{
    drop_stream(call, false);
    call_free(call);
}

/* --- sending --- */

/* What is not sent yet. */
static int unsent(const struct http_call *call, struct bytes *out)
{
    size_t skip = call->sent;
    int n = 0;
    for (int i = 0; i < call->slice_count; i++) {
        size_t here = skip < call->slices[i].n ? skip : call->slices[i].n;
        skip -= here;
        if (call->slices[i].n > here)
            out[n++] = bytes_skip(call->slices[i], here);
    }
    return n;
}

static void call_send(struct http_call *call)
{
    struct bytes v[1 + HTTP_REQUEST_SLICES];
    ssize_t taken = stream_writev(call->stream, v, unsent(call, v));
    if (taken == E_AGAIN)
        taken = 0;
    if (taken < 0) { /* told later; an early answer may still be read */
        call->send_err = (int)taken;
        task_defer(call->client->sched, &call->task);
        return;
    }
    call->sent += (size_t)taken;
    if (call->sent < call->total) {
        if (taken || call->phase == HTTP_CALL_CONNECTING)
            call_deadline(call, call->send_stall_us);
        call->phase = HTTP_CALL_SENDING;
        stream_want_write(call->stream, true);
        return;
    }
    if (call->phase < HTTP_CALL_SENT) {
        call->phase = HTTP_CALL_SENT;
        call_deadline(call, call->first_byte_us);
    }
}

static void call_writable(void *ctx)
{
    struct http_call *call = ctx;
    if (!call->send_err && call->sent < call->total && call->phase < HTTP_CALL_HEAD)
        call_send(call);
}

/* --- receiving --- */

static int take_interim(struct http_call *call, const struct http_head *head)
{
    if (head->status == 101 || ++call->interims > LIMIT_HTTP_INTERIMS)
        return E_PROTO;
    if (call->phase == HTTP_CALL_SENT)
        call_deadline(call, call->first_byte_us);
    if (call->on->interim)
        call->on->interim(call->ctx, head);
    return 0;
}

/* A head at the front of *view. 0, E_AGAIN, or why the call fails. */
static int take_head(struct http_call *call, struct bytes *view, size_t seen)
{
    struct http_head *head = &call->client->head;
    int err = http_parse_response(*view, seen, call->method, &call->client->table, head);
    if (err) {
        call->fault = head->fault;
        call->seen = (uint32_t)view->n;
        return err;
    }
    call->seen = 0;
    *view = bytes_skip(*view, head->size);
    if (head->status < 200)
        return take_interim(call, head);
    call->phase = HTTP_CALL_HEAD;
    if (call->sent == call->total)
        drop_request(call);
    call->keep_alive = head->keep_alive;
    http_body_init(&call->body, head->framing, head->content_length);
    call_deadline(call, call->stall_us);
    call->on->head(call->ctx, head);
    return 0;
}

/* Works through what was read. 0: the response is whole; E_AGAIN: more is needed, or it is paused
 * or dead; else why it fails. */
static int take_input(struct http_call *call, struct bytes *view, size_t seen)
{
    struct bytes piece;
    while (call->phase < HTTP_CALL_HEAD) {
        int err = view->n ? take_head(call, view, seen) : E_AGAIN;
        if (err || call->is_dead)
            return err ? err : E_AGAIN;
        seen = 0;
    }
    while (!call->is_paused) {
        int got = http_body_step(&call->body, view, &piece);
        if (got <= 0) {
            call->fault = call->body.fault;
            return got;
        }
        call->phase = HTTP_CALL_BODY;
        call->on->body(call->ctx, piece);
        if (call->is_dead)
            return E_AGAIN;
    }
    return E_AGAIN;
}

/* Input that lies in the client's buffer, or the other side's end when `is_eof`. */
static void call_input(struct http_call *call, struct bytes view, size_t seen, bool is_eof)
{
    call->is_busy = true;
    int err = take_input(call, &view, seen);
    call->is_busy = false;
    if (call->is_dead) {
        free(call);
        return;
    }
    if (err == E_AGAIN && is_eof && !call->is_paused)
        err = call->phase < HTTP_CALL_HEAD ? E_EOF : http_body_eof(&call->body);
    if (err != E_AGAIN) {
        call->keep_alive &= !view.n && !is_eof; /* bytes behind the answer: nobody's */
        call_finish(call, err);
        return;
    }
    if (view.n && buf_append_bytes(&call->in, view)) {
        call_finish(call, E_NO_MEMORY);
        return;
    }
    buf_trim(&call->in);
    if (call->is_paused)
        call->deadline_us = SCHED_NEVER;
    else if (call->phase >= HTTP_CALL_HEAD)
        call_deadline(call, call->stall_us);
    stream_want_read(call->stream, !call->is_paused);
}

static size_t unkeep(struct http_call *call)
{
    struct bytes kept = buf_view(&call->in);
    if (kept.n)
        memcpy(call->client->in, kept.p, kept.n);
    buf_clear(&call->in);
    return kept.n;
}

static void call_readable(void *ctx)
{
    struct http_call *call = ctx;
    struct http_client *c = call->client;
    size_t kept = unkeep(call), seen = call->seen;
    ssize_t got = stream_read(call->stream, c->in + kept, sizeof c->in - kept);
    if (got > 0) {
        call->got_bytes = true;
        call->life_us = sched_now(c->sched);
        call_input(call, bytes_of(c->in, kept + (size_t)got), seen, false);
    } else if (got == E_EOF) {
        call_input(call, bytes_of(c->in, kept), seen, true);
    } else {
        buf_append(&call->in, c->in, kept);
        if (got != E_AGAIN)
            call_finish(call, (int)got);
    }
}

static void call_closed(void *ctx, int err)
{
    call_finish(ctx, err);
}

/* Outside the calls of the user: a failed write is told, a pause ends. */
static void call_task(struct task *t)
{
    struct http_call *call = CONTAINER_OF(t, struct http_call, task);
    if (call->send_err) {
        uint8_t *in = call->client->in;
        size_t kept = unkeep(call), seen = call->seen;
        ssize_t got = stream_read(call->stream, in + kept, CLIENT_READ - kept);
        if (got <= 0) {
            call_finish(call, call->send_err);
            return;
        }
        call->got_bytes = true;
        task_defer(call->client->sched, &call->task); /* until it is whole, or nothing comes */
        call_input(call, bytes_of(in, kept + (size_t)got), seen, false);
        return;
    }
    if (!call->stream || call->is_paused)
        return;
    size_t n = unkeep(call);
    call_input(call, bytes_of(call->client->in, n), call->seen < n ? call->seen : 0, false);
}

static const struct stream_events call_events = {
    .readable = call_readable,
    .writable = call_writable,
    .closed = call_closed,
};

void call_attach(struct http_call *call, struct stream *s, bool is_reused)
{
    call->stream = s;
    call->was_reused = is_reused;
    stream_listen(s, &call_events, call);
    call_send(call);
    stream_want_read(s, !call->is_paused);
}

struct http_call *http_call_open(struct http_client *c, struct stream *s,
                                 const struct http_request *req, const struct http_call_events *on,
                                 void *ctx, int *err)
{
    struct http_call *call = call_new(c, req, on, ctx, err);
    if (!call) {
        stream_reset(s, STREAM_INTERNAL);
        stream_close(s);
        return NULL;
    }
    call_attach(call, s, false);
    return call;
}

void http_call_pause(struct http_call *call, bool pause)
{
    if (call->is_paused == pause)
        return;
    call->is_paused = pause;
    if (!call->stream || call->is_busy)
        return;
    if (pause) {
        stream_want_read(call->stream, false);
        if (call->phase >= HTTP_CALL_HEAD)
            call->deadline_us = SCHED_NEVER;
    } else
        task_defer(call->client->sched, &call->task);
}

enum http_call_phase http_call_phase(const struct http_call *call)
{
    return call->phase;
}

uint64_t http_call_last_life_us(const struct http_call *call)
{
    return call->life_us;
}
