// SPDX-License-Identifier: MIT
/* HTTP/1.1 calls over any byte stream.
 *
 *   http_call_open(client, stream, …)    a stream the caller has (p2p: one request per stream)
 *   http_pool_call(pool, origin, …)      a pooled or freshly dialled one (pool.h)
 *
 * A call reports what happens: interim 1xx (a sign of life), the head, pieces of the body as they
 * come (views into one shared buffer), and at last `done`, exactly once, with how far it got; the
 * call is dead then. Nothing is called from inside http_call_open, http_pool_call or any other call
 * here.
 *
 * The hard thing is being exact about failure: whether a request may be sent again depends on how
 * much of it left and whether anything came back. `enum http_call_phase` says it. */
#ifndef CONDUIT_HTTP_CLIENT_H
#define CONDUIT_HTTP_CLIENT_H

#include "base/sched.h"
#include "base/stream.h"
#include "http/http1.h"

struct http_client;
struct http_call;

/* How far a call got. */
enum http_call_phase {
    HTTP_CALL_CONNECTING, /* nothing was sent */
    HTTP_CALL_SENDING,    /* part of the request may have been sent */
    HTTP_CALL_SENT,       /* all of it was; no head came (interim ones may have) */
    HTTP_CALL_HEAD,       /* the head came, no body bytes */
    HTTP_CALL_BODY,       /* part of the body came */
    HTTP_CALL_COMPLETE,   /* the response is whole */
};

struct http_call_result {
    int err; /* 0: complete. E_TIMEOUT, E_RESET, E_EOF (cut off), E_MALFORMED, E_LIMIT, E_REFUSED */
    enum http_call_phase phase;
    enum http_fault fault; /* with E_MALFORMED and E_LIMIT: what was wrong with the response */
    bool was_reused;       /* ran on a connection that had served before */
    uint64_t body_bytes;
};

struct http_call_events {
    void (*interim)(void *ctx, const struct http_head *head);       /* may be NULL */
    void (*head)(void *ctx, const struct http_head *head);          /* borrowed */
    void (*body)(void *ctx, struct bytes piece);                    /* borrowed */
    void (*done)(void *ctx, const struct http_call_result *result); /* borrowed; once */
};

struct http_request {
    const char *method;                /* "POST" */
    struct bytes target;               /* "/v1/chat/completions" */
    struct bytes host;                 /* the Host field */
    const struct http_header *headers; /* copied; without Host, framing and Connection: ours */
    size_t header_count;
    /* The body is borrowed, not copied, until `head` or `done` is called. NULL and 0: none. */
    const struct bytes *body; /* the slices themselves are copied: at most HTTP_REQUEST_SLICES */
    int body_count;
    bool has_body;          /* send Content-Length even for an empty body */
    bool must_close;        /* Connection: close */
    uint64_t connect_us;    /* 0: 10 s */
    uint64_t send_stall_us; /* the other side takes nothing for so long; 0: 30 s */
    uint64_t first_byte_us; /* from sent to head; each interim starts it anew; 0: 600 s */
    uint64_t stall_us;      /* between pieces of the body; 0: 600 s */
};
enum { HTTP_REQUEST_SLICES = 36 }; /* a body with five members changed is up to 34 */

struct http_client *http_client_new(struct sched *sched);
/* Every call must be done. */
void http_client_free(struct http_client *c);

/* Takes the stream, also when it fails. NULL and *err = E_INVALID when the request is not fit to be
 * sent; the stream is closed then. */
struct http_call *http_call_open(struct http_client *c, struct stream *s,
                                 const struct http_request *req, const struct http_call_events *on,
                                 void *ctx, int *err);
/* Hands off at once: the stream is reset, nothing is called any more, `done` neither. The call is
 * dead. */
void http_call_cancel(struct http_call *call);
/* Back-pressure: while paused no pieces come, and the stream is not read (stall stands still). */
void http_call_pause(struct http_call *call, bool pause);
enum http_call_phase http_call_phase(const struct http_call *call);
/* When the last byte came from the other side; 0 before the first. */
uint64_t http_call_last_life_us(const struct http_call *call);

#endif
