// SPDX-License-Identifier: MIT
/* Inside the server: what server.c (life and reading of a connection), answer side exchange.c and
 * conn_write.c share. Nobody else includes this.
 *
 *            first byte            head whole             request() called
 *   IDLE ----------------> HEAD ---------------> BODY ------------------> ANSWER
 *    ^  ^                   |                      |  answered early        | answered
 *    |  |                   | refused              v                        |
 *    |  +-------------------|------------------- DRAIN                      |
 *    |                      v                      | too much left          |
 *    |                   CLOSING (flush, close) <--+                        |
 *    +--------------------------- keep-alive -------------------------------+
 *
 * A connection may be told to die while its own input is being read (the handler ends an exchange
 * that must close). `is_busy` guards that: the memory is freed by the outermost call then. */
#ifndef CONDUIT_HTTP_SERVER_IMPL_H
#define CONDUIT_HTTP_SERVER_IMPL_H

#include "base/list.h"
#include "http/server.h"

enum { SERVER_READ = 64 * 1024 };

enum conn_phase { CONN_IDLE, CONN_HEAD, CONN_BODY, CONN_ANSWER, CONN_DRAIN, CONN_CLOSING };

struct http_server {
    struct http_server_config cfg;
    struct list conns;
    size_t conn_count, exchange_count;
    uint64_t body_bytes; /* of collected bodies, all connections */
    uint64_t refused;    /* connections over the limit */
    bool is_draining;
    uint64_t date_s; /* the second `date` was made for */
    char date[40];
    struct buf scratch; /* heads of whole answers, between calls empty */
    struct http_head head;
    struct http_header_table table;
    uint8_t in[SERVER_READ]; /* every connection reads through this */
};

struct http_conn {
    struct stream *stream; /* NULL once closed */
    struct http_server *srv;
    struct list link;
    struct timer timer; /* armed at the earlier deadline or before it: see conn_arm */
    struct task task;   /* end of turn: uncork, go on with what was kept */
    struct http_exchange *x;
    struct buf in;  /* a cut-off head, or bytes read ahead */
    struct buf out; /* what the stream did not take yet, or is corked */
    struct http_body body;
    uint64_t read_deadline_us, write_deadline_us;
    uint64_t window_received; /* body bytes when the window of minimum progress began */
    uint64_t drain_from;      /* body bytes when nobody wanted them any more */
    void *listener;
    int broken;    /* a write failed: `gone` is due */
    uint32_t seen; /* of `in`: parsed before without finding the end of the head */
    enum conn_phase phase : 8;
    bool eof_is_cancel, one_request, saw_eof, is_busy, is_dead, is_corked;
    bool is_withheld; /* the client waits for "100 Continue" before it sends the body */
};

struct http_exchange {
    struct http_conn *conn;
    const struct http_exchange_events *on;
    void *user;
    struct http_head *kept; /* of a request whose body came later than its head */
    struct buf body;        /* collected */
    struct bytes borrowed;  /* the body of request(), when it lies in the server's buffer */
    size_t body_limit;
    uint64_t started_us;
    uint64_t answer_left; /* bytes still owed of the length said, or HTTP_LENGTH_UNKNOWN */
    uint8_t minor;
    bool is_head_request, keep_alive;
    bool in_head, in_request, streams_body, is_paused;
    bool has_head, is_chunked, has_no_body, wants_writable;
};

/* --- conn_write.c --- */
/* Appends to what waits and writes as much as the stream takes. E_AGAIN: enough waits already. */
int conn_writev(struct http_conn *c, const struct bytes *v, int count);
int conn_append(struct http_conn *c, struct bytes b);
int conn_flush(struct http_conn *c);
static inline bool conn_is_blocked(const struct http_conn *c)
{
    return c->stream->wants_write;
}

/* --- server.c --- */
void conn_arm(struct http_conn *c);
void conn_read_deadline(struct http_conn *c, uint64_t in_us);
void conn_body_window(struct http_conn *c); /* begins a window of minimum progress */
void conn_update_read(struct http_conn *c); /* whether bytes are wanted in this phase */
void conn_enter_idle(struct http_conn *c);
/* The exchange is over, in order or not; frees it. The handler is told nothing. */
void exchange_free(struct http_exchange *x);
/* After an answer: the next request, or closing. */
void conn_next(struct http_conn *c, bool keep_alive);
/* Each of these ends the connection, sooner or later; `c` may be freed when not is_busy. */
void conn_finish(struct http_conn *c); /* flushes what was queued, then closes */
void conn_destroy(struct http_conn *c);
void conn_lost(struct http_conn *c, int err); /* tells the handler */
void conn_eof(struct http_conn *c);
void conn_refuse(struct http_conn *c, int status, const char *code, const char *why);
void conn_refuse_fault(struct http_conn *c, enum http_fault f);

/* --- server_read.c --- */
void conn_readable(void *ctx);
void conn_resume(struct http_conn *c); /* works on what was kept, if it can be now */

/* --- exchange.c --- */
/* Appends the head of a response. */
int response_encode(struct http_server *srv, struct buf *b, const struct http_response *r,
                    const char *framing, bool keep_alive, uint8_t minor);
/* Appends a whole error response that closes. */
void refusal_encode(struct http_server *srv, struct buf *b, int status, const char *code,
                    const char *message);

#endif
