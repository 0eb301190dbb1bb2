// SPDX-License-Identifier: MIT
/* An HTTP/1.1 server over any byte stream: tcp, unix, tls, p2p, pipes in virtual time.
 *
 *   stream -> http_server_conn_open -> head() -> request() -> answer, now or later -> head() …
 *
 * One exchange at a time per connection; pipelined requests wait (bounded). A connection between
 * requests holds no buffers: reads go through one buffer of the server's, and only what is cut off
 * is kept. Each phase has its deadline; every refusal is a JSON error in OpenAI's shape.
 *
 *   head() --(body)--> request() --> reply, or head body* end --> dead
 *                         |  \-----> abort -------------------> dead
 *                         \--------> gone(err): the client left or stalled; dead
 *
 * Exactly one of `http_exchange_end` (or _reply, _error), `http_exchange_abort` and the `gone`
 * event ends an exchange; its pointer is dead then, also inside the call that did it. */
#ifndef CONDUIT_HTTP_SERVER_H
#define CONDUIT_HTTP_SERVER_H

#include "base/buf.h"
#include "base/sched.h"
#include "base/stream.h"
#include "http/http1.h"

struct http_server;
struct http_exchange;

struct http_handler {
    /* A head was read; its body is not. Optional. May answer at once (the body is then dropped, or
     * the connection closed), set the body's limit, or ask for the body in pieces. */
    void (*head)(void *ctx, struct http_exchange *x, const struct http_head *head);
    /* The request is whole. `head` and `body` are borrowed for this call: what is needed longer is
     * kept with http_head_clone and http_exchange_take_body. Not called after an early answer;
     * after http_exchange_stream_body it comes with an empty body when the head is read, before any
     * piece. */
    void (*request)(void *ctx, struct http_exchange *x, const struct http_head *head,
                    struct bytes body);
};

/* Called from the loop, never from inside a call of the handler's. Any may be NULL but `gone`. */
struct http_exchange_events {
    void (*body)(void *user, struct bytes piece); /* borrowed; after http_exchange_stream_body */
    void (*body_end)(void *user);
    void (*writable)(void *user);      /* after http_exchange_body said E_AGAIN: send more */
    void (*gone)(void *user, int err); /* E_CLOSED, E_RESET, E_TIMEOUT, …: cancel; x is dead */
};

struct http_server_config {
    struct sched *sched;
    const struct http_handler *handler;
    void *ctx;
    size_t body_limit;        /* of a collected body; 0: LIMIT_HTTP_BODY */
    uint64_t bodies_limit;    /* of all collected bodies together, or 503; 0: LIMIT_HTTP_BODIES */
    uint64_t head_us;         /* a whole head after its first byte; 0: 10 s */
    uint64_t idle_us;         /* between requests; 0: 75 s */
    uint64_t body_window_us;  /* in each such window a body must come forward … 0: 10 s */
    uint32_t body_window_min; /* … by so many bytes, or 408; 0: 10 KiB */
    uint64_t write_stall_us;  /* a client that reads nothing for so long is gone; 0: 30 s */
    uint32_t conn_limit;      /* more get 503; 0: no limit but files */
};

/* Copies the configuration; never NULL. */
struct http_server *http_server_new(const struct http_server_config *cfg);
/* Resets what is left (`gone` with E_CANCELLED) and frees. Not from inside a callback. */
void http_server_free(struct http_server *srv);
/* From now on connections close after their answer, idle ones at once. */
void http_server_drain(struct http_server *srv);
size_t http_server_conn_count(const struct http_server *srv);
uint32_t http_server_conn_limit(const struct http_server *srv); /* 0: none */
uint64_t http_server_refused(const struct http_server *srv);    /* connections, since the start */
size_t http_server_exchange_count(const struct http_server *srv);

struct http_conn_options {
    bool eof_is_cancel; /* TCP: the client's FIN cancels. p2p: false, only a reset does */
    bool one_request;   /* answer one request and close (a libp2p stream) */
    void *listener;     /* see http_exchange_listener */
};
/* Takes the stream. Reading starts with the loop, not inside this call. */
void http_server_conn_open(struct http_server *srv, struct stream *s,
                           const struct http_conn_options *opts);

/* --- what a handler may ask of an exchange --- */
void http_exchange_listen(struct http_exchange *x, const struct http_exchange_events *on,
                          void *user);
const struct principal *http_exchange_principal(const struct http_exchange *x);
const struct net_addr *http_exchange_remote(const struct http_exchange *x);
const struct stream *
http_exchange_stream(const struct http_exchange *x); /* for who knows its kind */
void *http_exchange_listener(const struct http_exchange *x);
uint64_t http_exchange_started_us(const struct http_exchange *x);
/* In head() only. */
void http_exchange_set_body_limit(struct http_exchange *x, size_t limit);
void http_exchange_stream_body(struct http_exchange *x);
/* Stops and restarts the pieces of a streamed body (back-pressure to the client). */
void http_exchange_pause_body(struct http_exchange *x, bool pause);
/* In request() only: the collected body becomes the caller's, moved when it can be, else copied. */
int http_exchange_take_body(struct http_exchange *x, struct buf *out);

/* In request() only: overwrites the body, which held a secret, where the server has it. */
void http_exchange_wipe_body(struct http_exchange *x);

/* --- answering --- */
#define HTTP_LENGTH_UNKNOWN UINT64_MAX /* chunked; closed at the end for HTTP/1.0 */

struct http_response {
    int status;
    const struct http_header *headers; /* copied; without framing, Date and Connection: ours */
    size_t header_count;
    uint64_t content_length; /* or HTTP_LENGTH_UNKNOWN */
    bool must_close;         /* do not keep the connection */
};

/* All of these return 0; E_AGAIN: taken, but wait for `writable` before more; E_CLOSED: the client
 * is gone, nothing was sent, and `gone` follows; E_INVALID: out of order, or not fit to be sent;
 * E_LIMIT: far more was queued than `writable` asked for. */

/* An interim 1xx, as 102; ignored for HTTP/1.0 clients. */
int http_exchange_interim(struct http_exchange *x, int status);
/* The head. It leaves with the first body bytes, or at the end of this turn of the loop. */
int http_exchange_head(struct http_exchange *x, const struct http_response *r);
/* Bytes of the body, as one chunk. The first ones in a turn of the loop leave at once, later ones
 * in the same turn leave together at its end. What cannot be written yet is copied. */
int http_exchange_body(struct http_exchange *x, const struct bytes *v, int count);
/* The end, in order. Too few bytes for the length said before: the connection is broken instead. */
void http_exchange_end(struct http_exchange *x);
/* Breaks off so that the client can see it: no final chunk, and the connection closes. */
void http_exchange_abort(struct http_exchange *x);
/* A whole answer in one write. `extra` may be NULL. */
void http_exchange_reply(struct http_exchange *x, int status, const char *content_type,
                         const struct http_header *extra, size_t extra_count, struct bytes body);
/* An error in OpenAI's shape. `code` is a word for programs, or NULL. `retry_after_s` 0: none. */
void http_exchange_error(struct http_exchange *x, int status, const char *code,
                         unsigned retry_after_s, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* Bytes waiting to be taken by the stream. */
size_t http_exchange_backlog(const struct http_exchange *x);
bool http_exchange_has_head(const struct http_exchange *x); /* the final head was given */

/* "invalid_request_error", "rate_limit_error", …: the type that goes with a status. */
const char *http_error_type(int status);
/* The JSON body of such an error, appended to `b`. The type follows from the status. */
int http_error_json(struct buf *b, int status, const char *code, const char *message);

#endif
