// SPDX-License-Identifier: MIT
/* One try at one offer: opens a way to it, sends the request, reads what comes back, and tells its owner
 * in whole pieces. It knows nothing of clients, choices or failover.
 *
 *   OPENING --ready--> CALLING --head 200 event-stream--> STREAMING --> over
 *      |                  |----- anything else ---------> COLLECTING --> over
 *      +------------------+------------- failed -----------------------> over
 *
 * `over` is told exactly once by one of reply, ended or failed, never from inside attempt_start; after
 * it, or after attempt_cancel, nothing is called.
 *
 * A stream's owner is told of its end with [DONE]; the few bytes behind it (the last chunk) are still to
 * come then. The attempt *lingers* for them by itself, so that the connection can be used again and a
 * peer's stream is closed rather than reset. */
#ifndef CONDUIT_GATEWAY_ATTEMPT_H
#define CONDUIT_GATEWAY_ATTEMPT_H

#include "base/list.h"
#include "gateway/failure.h"
#include "gateway/ports.h"
#include "http/client.h"
#include "http/pool.h"
#include "http/sse.h"

struct attempt;

struct attempt_events {
    void (*life)(void *ctx); /* 1xx, a comment: it is still at it */
    /* Bytes of whole SSE events, ready for the client; `is_done`: the last, a good end, is in it. */
    void (*event)(void *ctx, struct bytes raw, bool is_done);
    /* A whole answer that was not streamed. */
    void (*reply)(void *ctx, int status, struct bytes content_type, struct bytes body);
    void (*ended)(void *ctx); /* after the event with is_done */
    void (*failed)(void *ctx, const struct failure *f);
    void (*opened)(void *ctx, unsigned unit); /* the way is there; may be NULL */
    /* What the backend says was used, before the end is told; only where it does. May be NULL. */
    void (*usage)(void *ctx, uint64_t prompt_tokens, uint64_t completion_tokens);
};

/* What is borrowed here must live until the first event, the reply or the end of the attempt. */
struct attempt_request {
    const struct gateway_request *request; /* for the port */
    const struct principal *who;           /* likewise */
    bool counts_tokens;                    /* likewise, as the next */
    uint64_t max_tokens;
    struct bytes path;                 /* "/v1/chat/completions" */
    const struct http_header *headers; /* allowed ones */
    size_t header_count;
    const struct bytes *body; /* slices */
    int body_count;
    bool is_stream;
    bool is_chat;       /* a chat stream: its end is checked */
    size_t reply_limit; /* of a reply that is not streamed */
};

struct attempt_env {
    struct sched *sched;
    struct http_client *client;
    struct http_pool *pool;
    const struct gateway_ports *ports;
    void *ports_ctx;
    struct list lingering; /* attempts whose owners are done with them */
    size_t lingering_count;
};

void attempt_env_init(
    struct attempt_env *env); /* the last two members; the others are the caller's */
void attempt_env_fini(struct attempt_env *env); /* drops what lingers */

/* Heap; freed by itself when over or cancelled. `choice` is borrowed while it lives. */
struct attempt *attempt_start(struct attempt_env *env, const struct gateway_choice *choice,
                              const struct attempt_request *req, const struct attempt_events *on,
                              void *ctx);
void attempt_cancel(struct attempt *a);
void attempt_pause(struct attempt *a, bool pause);

#endif
