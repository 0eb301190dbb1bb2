// SPDX-License-Identifier: MIT
/* What the client gets: heads, events, comments, errors, whole replies. */
#include "gateway/exchange_impl.h"

#include "base/text.h"
#include "http/sse.h"

#include <stdio.h>
#include <string.h>

enum { REPLY_AT_ONCE = 1 << 20, REPLY_PIECE = 1 << 16 };

static size_t response_headers(struct exchange *e, struct http_header *h)
{
    size_t n = headers_cors(&e->g->cfg.headers, e->ask->head, h);
    h[n++] = (struct http_header){BYTES_LIT("x-request-id"), bytes_str(e->request_id)};
    if (e->choice.peer[0])
        h[n++] = (struct http_header){BYTES_LIT("x-conduit-peer"), bytes_str(e->choice.peer)};
    if (e->ask->route[0] && !e->is_peer)
        h[n++] = (struct http_header){BYTES_LIT("x-conduit-route"), bytes_str(e->ask->route)};
    return n;
}

static void send_head(struct exchange *e)
{
    struct http_header h[HEADERS_CORS + 8];
    size_t n = response_headers(e, h);
    h[n++] = (struct http_header){BYTES_LIT("content-type"), BYTES_LIT("text/event-stream")};
    h[n++] = (struct http_header){BYTES_LIT("cache-control"), BYTES_LIT("no-cache, no-transform")};
    h[n++] = (struct http_header){BYTES_LIT("x-accel-buffering"), BYTES_LIT("no")};
    struct http_response r = {
        .status = 200, .headers = h, .header_count = n, .content_length = HTTP_LENGTH_UNKNOWN};
    (void)http_exchange_head(e->x, &r);
}

static void send_error_event(struct exchange *e, const struct failure *f)
{
    struct buf b, json;
    buf_init(&json, 0);
    buf_init(&b, 0);
    (void)failure_json(f, &json);
    (void)sse_append(&b, (struct bytes){0}, buf_view(&json));
    struct bytes v = buf_view(&b);
    (void)http_exchange_body(e->x, &v, 1);
    buf_fini(&json);
    buf_fini(&b);
}

/* One event to the client. False: it cannot be told the rest any more (far more is queued than may be). */
static bool send_event(struct exchange *e, struct bytes event)
{
    switch (http_exchange_body(e->x, &event, 1)) {
    case 0:
    case E_CLOSED: /* `gone` follows */
        return true;
    case E_AGAIN:
        if (e->attempt)
            attempt_pause(e->attempt, true);
        answer_watch(&e->answer, false, exchange_now(e)); /* now it is the client who is slow */
        return true;
    }
    http_exchange_abort(e->x);
    e->x = NULL;
    return false;
}

bool exchange_perform(struct exchange *e, unsigned effects, struct bytes event,
                      const struct failure *f)
{
    static const struct bytes ping = {(const uint8_t *)": ping\n", 7};
    if (!e->x)
        return true;
    if (effects & ANSWER_SEND_HEAD)
        send_head(e);
    if (effects & ANSWER_SEND_COMMENT) {
        if (http_exchange_has_head(e->x))
            (void)http_exchange_body(e->x, &ping, 1);
        else
            (void)http_exchange_interim(e->x, 102);
    }
    if (effects & ANSWER_SEND_EVENT && event.n && !send_event(e, event))
        return true;
    if (effects & ANSWER_SEND_ERROR_EVENT)
        send_error_event(e, f);
    if (effects & ANSWER_SEND_STATUS) {
        respond_failure(e->g, e->x, e->ask->head, f, e->request_id);
        e->x = NULL;
    } else if (effects & ANSWER_END_BODY) {
        http_exchange_end(e->x);
        e->x = NULL;
    }
    return !e->x;
}

bool exchange_send_rest(struct exchange *e)
{
    struct bytes left = bytes_skip(buf_view(&e->rest), e->rest_at);
    while (left.n) {
        struct bytes piece = bytes_first(left, REPLY_PIECE);
        int rc = http_exchange_body(e->x, &piece, 1);
        if (rc == E_CLOSED)
            return false; /* `gone` follows */
        if (rc && rc != E_AGAIN) {
            http_exchange_abort(e->x);
            e->x = NULL;
            return true;
        }
        e->rest_at += piece.n;
        left = bytes_skip(left, piece.n);
        if (rc == E_AGAIN && left.n)
            return false;
    }
    http_exchange_end(e->x);
    e->x = NULL;
    return true;
}

/* A reply that does not fit into what may be queued goes out as the client takes it. */
static bool reply_large(struct exchange *e, int status, struct http_header *h, size_t n,
                        struct bytes type, struct bytes body)
{
    h[n++] = (struct http_header){BYTES_LIT("content-type"), type};
    struct http_response r = {
        .status = status, .headers = h, .header_count = n, .content_length = body.n};
    if (buf_append_bytes(&e->rest, body)) {
        http_exchange_error(e->x, 503, "out_of_memory", 1, "this node is out of memory");
        e->x = NULL;
        return true;
    }
    (void)http_exchange_head(e->x, &r);
    e->answer.state = ANSWER_ENDED; /* only the client may still be slow; the server watches that */
    return exchange_send_rest(e);
}

bool exchange_reply(struct exchange *e, int status, struct bytes type, struct bytes body)
{
    struct http_header h[HEADERS_CORS + 8];
    char content_type[128];
    size_t n = response_headers(e, h);
    text_copy_bytes(content_type, sizeof content_type, type);
    if (!*content_type)
        strcpy(content_type, "application/json");
    if (body.n > REPLY_AT_ONCE)
        return reply_large(e, status, h, n, bytes_str(content_type), body);
    http_exchange_reply(e->x, status, content_type, h, n, body);
    e->x = NULL;
    return true;
}
