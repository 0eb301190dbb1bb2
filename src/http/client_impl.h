// SPDX-License-Identifier: MIT
/* Inside the client: a call as client.c and pool.c see it. Nobody else includes this.
 *
 *   CONNECTING --attach--> SENDING --all taken--> SENT --head--> HEAD --piece--> BODY --end--> done
 *       ^                     |                     |
 *       +------- retry -------+---- stale: a reused connection failed before any byte came
 *
 * A handler may cancel its call from inside a callback; `is_busy` keeps the memory until the
 * outermost function of the call has returned. */
#ifndef CONDUIT_HTTP_CLIENT_IMPL_H
#define CONDUIT_HTTP_CLIENT_IMPL_H

#include "base/buf.h"
#include "http/client.h"

enum { CLIENT_READ = 64 * 1024 };

struct http_client {
    struct sched *sched;
    size_t call_count;
    struct buf scratch; /* request heads in the making; empty between calls */
    struct http_head head;
    struct http_header_table table;
    uint8_t in[CLIENT_READ]; /* every call reads through this */
};

/* Who gave the connection, if it is not the call's own. */
struct http_call_owner {
    void (*give_back)(struct http_call *call, struct stream *s); /* still good for another call */
    bool (*retry)(struct http_call *call); /* a fresh connection is on its way; attach follows */
    void (*drop)(struct http_call *call);  /* the call is over: forget it, stop dialling */
};

struct http_call {
    struct http_client *client;
    struct stream *stream; /* NULL while connecting */
    const struct http_call_events *on;
    void *ctx;
    const struct http_call_owner *owner;
    void *owner_ctx;
    struct timer timer;
    struct task task;
    uint64_t deadline_us, life_us;
    uint64_t connect_us, send_stall_us, first_byte_us, stall_us;
    struct bytes *
        slices; /* head and body, as they are sent, and the head's text; ours until an answer comes */
    int slice_count;
    size_t total, sent;
    struct http_body body;
    struct buf in; /* a head cut off, or what came before the pause was heard */
    uint32_t seen;
    int send_err; /* writing failed; perhaps an answer came all the same */
    unsigned interims;
    enum http_method method;
    enum http_call_phase phase;
    enum http_fault fault;
    bool is_paused, is_busy, is_dead, was_reused, got_bytes, keep_alive, must_close;
};

/* A call without a connection; its connect deadline runs. NULL: *err says why. */
struct http_call *call_new(struct http_client *c, const struct http_request *req,
                           const struct http_call_events *on, void *ctx, int *err);
/* Takes the stream and sends. */
void call_attach(struct http_call *call, struct stream *s, bool is_reused);
/* Ends the call, not from inside a call of the user's. */
void call_finish(struct http_call *call, int err);

#endif
