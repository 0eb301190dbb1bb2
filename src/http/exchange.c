// SPDX-License-Identifier: MIT
/* The answering half of an exchange: heads, chunks, whole replies; see server.h.
 *
 * The cork: the first body bytes in a turn of the loop leave at once, in one writev with whatever
 * waited (the head); what follows in the same turn is gathered and leaves with the connection's
 * task at its end. So a first token is never late, and a burst of tokens costs one system call. */
#include "base/mem.h"
#include "base/trace.h"
#include "http/server_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CORK_COPY = 16 * 1024 }; /* bigger pieces are written even when corked, rather than copied */

/* --- encoding --- */

/* RFC 9110 §5.6.7; made once a second. */
static const char *date_field(struct http_server *srv)
{
    uint64_t now_s = sched_wall_ms(srv->cfg.sched) / 1000;
    if (srv->date_s != now_s) {
        time_t t = (time_t)now_s;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(srv->date, sizeof srv->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        srv->date_s = now_s;
    }
    return srv->date;
}

static int append_field(struct buf *b, struct bytes name, struct bytes value)
{
    uint8_t *at;
    int err = buf_reserve(b, name.n + value.n + 4, &at);
    if (err)
        return err;
    memcpy(at, name.p, name.n);
    memcpy(at + name.n, ": ", 2);
    if (value.n)
        memcpy(at + name.n + 2, value.p, value.n);
    memcpy(at + name.n + 2 + value.n, "\r\n", 2);
    buf_commit(b, name.n + value.n + 4);
    return 0;
}

static int append_length(struct buf *b, uint64_t length)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + length % 10);
    while (length /= 10);
    return append_field(b, BYTES_LIT("content-length"), bytes_of(digits + at, sizeof digits - at));
}

static int append_status(struct buf *b, int status)
{
    char line[] = "HTTP/1.1 000 ";
    line[9] += (char)(status / 100);
    line[10] += (char)(status / 10 % 10);
    line[11] += (char)(status % 10);
    int err = buf_append(b, line, sizeof line - 1);
    err = err ? err : buf_append_str(b, http_status_text(status));
    return err ? err : buf_append_str(b, "\r\n");
}

static bool is_fit(const struct http_response *r)
{
    if (r->status < 200 || r->status > 599)
        return false;
    for (size_t i = 0; i < r->header_count; i++)
        if (!http_is_token(r->headers[i].name) || !http_is_field_value(r->headers[i].value))
            return false; /* somebody tries to write a head of his own */
    return true;
}

int response_encode(struct http_server *srv, struct buf *b, const struct http_response *r,
                    const char *framing, bool keep_alive, uint8_t minor)
{
    uint8_t *room;
    int err = is_fit(r) ? buf_reserve(b, 512, &room) : E_INVALID;
    if (err)
        return err;
    err = append_status(b, r->status);
    err = err ? err : append_field(b, BYTES_LIT("date"), bytes_str(date_field(srv)));
    for (size_t i = 0; i < r->header_count && !err; i++)
        err = append_field(b, r->headers[i].name, r->headers[i].value);
    if (!err && framing)
        err = buf_append_str(b, framing);
    else if (!err && r->content_length != HTTP_LENGTH_UNKNOWN)
        err = append_length(b, r->content_length);
    if (!err && !keep_alive)
        err = buf_append_str(b, "connection: close\r\n");
    else if (!err && minor == 0)
        err = buf_append_str(b, "connection: keep-alive\r\n");
    return err ? err : buf_append_str(b, "\r\n");
}

void refusal_encode(struct http_server *srv, struct buf *b, int status, const char *code,
                    const char *message)
{
    struct buf json;
    struct http_header type = {BYTES_LIT("content-type"), BYTES_LIT("application/json")};
    buf_init(&json, 0);
    http_error_json(&json, status, code, message);
    struct http_response r = {
        .status = status, .headers = &type, .header_count = 1, .content_length = buf_len(&json)};
    response_encode(srv, b, &r, NULL, false, 1);
    buf_append_bytes(b, buf_view(&json));
    buf_fini(&json);
}

/* --- answering --- */

int http_exchange_interim(struct http_exchange *x, int status)
{
    char line[64];
    if (x->has_head || status < 100 || status > 199 || status == 101)
        return E_INVALID;
    if (x->minor == 0)
        return 0;
    int n =
        snprintf(line, sizeof line, "HTTP/1.1 %03d %s\r\n\r\n", status, http_status_text(status));
    struct bytes v = bytes_of(line, (size_t)n);
    return conn_writev(x->conn, &v, 1);
}

/* Decides framing and persistence, and encodes the head into `b`. */
static int begin_answer(struct http_exchange *x, struct buf *b, const struct http_response *r)
{
    const char *framing = NULL;
    bool is_unknown = r->content_length == HTTP_LENGTH_UNKNOWN;
    if (x->has_head)
        return E_INVALID;
    bool bodyless = r->status == 204 || r->status == 304;
    bool keep = x->keep_alive && !r->must_close && !x->conn->srv->is_draining;
    bool chunked = is_unknown && !bodyless && x->minor == 1;
    if (is_unknown && !bodyless && !chunked)
        keep = false; /* HTTP/1.0: the end of the connection ends the body */
    if (chunked)
        framing = "transfer-encoding: chunked\r\n";
    else if (bodyless)
        framing = "";
    int err = response_encode(x->conn->srv, b, r, framing, keep, x->minor);
    if (err)
        return err;
    x->has_head = true;
    x->keep_alive = keep;
    x->is_chunked = chunked;
    x->has_no_body = bodyless || x->is_head_request;
    x->answer_left = x->has_no_body ? 0 : r->content_length;
    return 0;
}

int http_exchange_head(struct http_exchange *x, const struct http_response *r)
{
    struct http_conn *c = x->conn;
    if (c->broken)
        return E_CLOSED;
    int err = begin_answer(x, &c->out, r);
    if (err && err != E_INVALID) /* half a head may be queued */
        c->broken = err;
    if (err != E_INVALID)
        task_defer(c->srv->cfg.sched, &c->task);
    return err;
}

/* Bytes as they go on the wire: written now, or kept until the end of the turn. */
static int send_slices(struct http_conn *c, const struct bytes *v, int count, size_t total)
{
    if (c->is_corked && total < CORK_COPY) {
        for (int i = 0; i < count; i++)
            if (conn_append(c, v[i]))
                return E_LIMIT;
        return buf_len(&c->out) > LIMIT_HTTP_BACKLOG ? E_AGAIN : 0;
    }
    c->is_corked = true;
    task_defer(c->srv->cfg.sched, &c->task);
    return conn_writev(c, v, count);
}

int http_exchange_body(struct http_exchange *x, const struct bytes *v, int count)
{
    struct http_conn *c = x->conn;
    struct bytes all[18];
    char size[HTTP_CHUNK_HEAD];
    size_t total = 0;
    int n = 0;
    if (!x->has_head || count < 0 || count > 16)
        return E_INVALID;
    if (c->broken)
        return E_CLOSED;
    for (int i = 0; i < count; i++)
        total += v[i].n;
    if (!total || x->has_no_body)
        return 0; /* an empty chunk would be the end */
    if (buf_len(&c->out) + total > LIMIT_HTTP_QUEUED)
        return E_LIMIT;
    if (x->answer_left != HTTP_LENGTH_UNKNOWN) {
        if (total > x->answer_left)
            return E_INVALID;
        x->answer_left -= total;
    }
    if (x->is_chunked)
        all[n++] = bytes_of(size, http_chunk_head(size, total));
    for (int i = 0; i < count; i++)
        all[n++] = v[i];
    if (x->is_chunked)
        all[n++] = BYTES_LIT("\r\n");
    int err = send_slices(c, all, n, total);
    x->wants_writable |= err == E_AGAIN;
    return err;
}

void http_exchange_end(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    bool is_short = x->answer_left != HTTP_LENGTH_UNKNOWN && x->answer_left > 0;
    if (!x->has_head || is_short) {
        TRACE(HTTP, WARN, "an answer ended before its %s was given -> the connection is broken off",
              x->has_head ? "length" : "head");
        http_exchange_abort(x);
        return;
    }
    bool keep_alive = x->keep_alive;
    struct bytes last = BYTES_LIT("0\r\n\r\n");
    conn_writev(c, &last, x->is_chunked && !x->has_no_body ? 1 : 0);
    exchange_free(x);
    conn_next(c, keep_alive);
}

void http_exchange_abort(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    /* chunks and lengths show by themselves that something is missing; nothing else does */
    bool is_visible = x->has_head && (x->is_chunked || x->answer_left != HTTP_LENGTH_UNKNOWN);
    exchange_free(x);
    if (is_visible && !c->broken) {
        conn_finish(c);
        return;
    }
    stream_reset(c->stream, STREAM_INTERNAL);
    conn_destroy(c);
}

void http_exchange_reply(struct http_exchange *x, int status, const char *content_type,
                         const struct http_header *extra, size_t extra_count, struct bytes body)
{
    struct http_conn *c = x->conn;
    struct http_header fields[LIMIT_HTTP_HEADERS];
    struct buf *head = &c->srv->scratch;
    size_t n = 0;
    if (content_type)
        fields[n++] = (struct http_header){BYTES_LIT("content-type"), bytes_str(content_type)};
    for (size_t i = 0; i < extra_count && n < LIMIT_HTTP_HEADERS; i++)
        fields[n++] = extra[i];
    struct http_response r = {
        .status = status, .headers = fields, .header_count = n, .content_length = body.n};
    if (!c->broken && begin_answer(x, head, &r)) {
        buf_clear(head);
        TRACE(HTTP, WARN, "a reply %d is not fit to be sent -> the connection is broken off",
              status);
        http_exchange_abort(x);
        return;
    }
    struct bytes v[] = {buf_view(head), body};
    conn_writev(c, v, x->has_no_body ? 1 : 2);
    buf_clear(head);
    x->answer_left = 0;
    x->is_chunked = false;
    x->has_head = true;
    http_exchange_end(x);
}

void http_exchange_error(struct http_exchange *x, int status, const char *code,
                         unsigned retry_after_s, const char *fmt, ...)
{
    char message[512], seconds[16];
    struct http_header retry = {BYTES_LIT("retry-after"), {NULL, 0}};
    struct buf json;
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    snprintf(seconds, sizeof seconds, "%u", retry_after_s);
    retry.value = bytes_str(seconds);
    buf_init(&json, 0);
    http_error_json(&json, status, code, message);
    http_exchange_reply(x, status, "application/json", &retry, retry_after_s ? 1 : 0,
                        buf_view(&json));
    buf_fini(&json);
}

size_t http_exchange_backlog(const struct http_exchange *x)
{
    return buf_len(&x->conn->out);
}

bool http_exchange_has_head(const struct http_exchange *x)
{
    return x->has_head;
}
