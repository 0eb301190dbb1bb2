// SPDX-License-Identifier: MIT
/* One try at one offer; see attempt.h.
 *
 * Ownership: the attempt owns its gateway_open, its call and the way's filter. It frees itself before (or,
 * at a good end of a stream, some time after) the owner is told; a callback that cancels us from inside is
 * noticed by `is_dead`. */
#include "gateway/attempt.h"

#include "base/mem.h"
#include "base/trace.h"
#include "gateway/terminal.h"

#include <stdlib.h>

enum attempt_state {
    ATTEMPT_OPENING,
    ATTEMPT_CALLING,
    ATTEMPT_STREAMING,
    ATTEMPT_COLLECTING,
    ATTEMPT_LINGERING, /* the owner knows that it has ended well; reads what is behind [DONE] */
};

#define LINGER_US (2 * US_PER_S)
enum { LINGER_MAX = 256, LINGER_BYTES = 4096 };

struct attempt {
    struct attempt_env *env;
    const struct gateway_choice *choice;
    struct gateway_open open;
    struct attempt_request req;
    const struct attempt_events *on;
    void *ctx;
    enum attempt_state state;
    bool is_open, is_paused, is_done, is_busy, is_dead;
    struct http_call *call;
    struct gateway_filter *filter;
    struct sse sse;
    struct terminal terminal; /* without a filter: is the peer's stream complete? */
    struct buf scratch;       /* what the filter gives instead of an event */
    struct buf reply;
    int status;
    char content_type[128];
    char retry_after[16];
    struct list link; /* while lingering */
    struct timer timer;
    size_t lingered;
};

static const char *who_of(const struct attempt *a)
{
    return a->choice->is_own ? "the backend" : "the provider";
}

/* The way is free for the next request. */
static void close_way(struct attempt *a)
{
    if (a->is_open)
        a->env->ports->close(a->env->ports_ctx, &a->open);
    a->is_open = false;
}

/* The last thing that happens to an attempt, unless a callback further up still runs. */
static void dispose(struct attempt *a)
{
    if (a->call)
        http_call_cancel(a->call);
    a->call = NULL;
    close_way(a);
    if (a->state == ATTEMPT_LINGERING) {
        list_remove(&a->link);
        a->env->lingering_count--;
        timer_clear(a->env->sched, &a->timer);
        a->state = ATTEMPT_OPENING;
    }
    if (a->is_busy) {
        a->is_dead = true;
        return;
    }
    if (a->filter)
        a->filter->ops->free(a->filter);
    sse_fini(&a->sse);
    buf_fini(&a->scratch);
    buf_fini(&a->reply);
    free(a);
}

static void tell_usage(struct attempt *a)
{
    uint64_t prompt, completion;
    if (a->filter && a->filter->ops->usage && a->on->usage &&
        a->filter->ops->usage(a->filter, &prompt, &completion))
        a->on->usage(a->ctx, prompt, completion);
}

static void fail(struct attempt *a, const struct failure *f)
{
    const struct attempt_events *on = a->on;
    void *ctx = a->ctx;
    /* Not its message: a backend's own words may repeat the prompt. */
    TRACE(GATEWAY, DEBUG, "attempt at %.16s: %d %s -> failed", a->choice->peer, f->status, f->code);
    tell_usage(a);
    dispose(a);
    on->failed(ctx, f);
}

static void fail_json(struct attempt *a, int status)
{
    struct failure f;
    failure_from_response(&f, status, bytes_str(a->retry_after), buf_view(&a->scratch), who_of(a));
    fail(a, &f);
}

static void on_lingered(struct timer *t)
{
    dispose(CONTAINER_OF(t, struct attempt, timer));
}

/* The owner has everything; the end of the body may still be under way. */
static void linger(struct attempt *a)
{
    close_way(a);
    buf_fini(&a->scratch);
    a->state = ATTEMPT_LINGERING;
    list_append(&a->env->lingering, &a->link);
    a->env->lingering_count++;
    timer_init(&a->timer, on_lingered);
    timer_after(a->env->sched, &a->timer, LINGER_US);
    http_call_pause(a->call, false);
}

static void finish_stream(struct attempt *a)
{
    const struct attempt_events *on = a->on;
    void *ctx = a->ctx;
    tell_usage(a);
    if (a->call && a->env->lingering_count < LINGER_MAX)
        linger(a);
    else
        dispose(a);
    on->ended(ctx);
}

/* --- events of a stream --- */

static void relay(struct attempt *a, struct bytes raw, bool is_done)
{
    if (is_done)
        a->is_done = true;
    if (raw.n || is_done)
        a->on->event(a->ctx, raw, is_done);
}

static void too_big(struct attempt *a)
{
    struct failure f;
    failure_set(&f, 502, "response_too_large", "%s sent an event over %llu bytes", who_of(a),
                (unsigned long long)LIMIT_SSE_EVENT);
    f.is_provider_fault = f.can_try_another = true;
    fail(a, &f);
}

/* Its data alone: ids, names and line ends of others are not for our clients. */
static int relay_event(struct attempt *a, const struct sse_item *item, bool is_done)
{
    if (item->is_plain) {
        relay(a, item->raw, is_done);
        return 0;
    }
    buf_clear(&a->scratch);
    if (sse_append(&a->scratch, (struct bytes){0}, item->data)) {
        too_big(a);
        return E_CLOSED;
    }
    relay(a, buf_view(&a->scratch), is_done);
    return 0;
}

/* Through the filter of a backend: 0 go on; else it is over (the attempt may be gone). */
static int filtered_event(struct attempt *a, const struct sse_item *item)
{
    int status = 502;
    buf_clear(&a->scratch);
    switch (a->filter->ops->event(a->filter, item->data, &a->scratch, &status)) {
    case FILTER_RELAY:
        return relay_event(a, item, false);
    case FILTER_REPLACE:
        relay(a, buf_view(&a->scratch), false);
        return 0;
    case FILTER_DONE:
        relay(a, buf_view(&a->scratch), true);
        return 0;
    case FILTER_FAILED:
        fail_json(a, status);
        return E_CLOSED;
    }
    too_big(a);
    return E_CLOSED;
}

/* From another node: already right, but is it whole? */
static int peer_event(struct attempt *a, const struct sse_item *item)
{
    switch (terminal_event(&a->terminal, item->data)) {
    case TERMINAL_MORE:
        return relay_event(a, item, false);
    case TERMINAL_DONE:
        return relay_event(a, item, true);
    case TERMINAL_ERROR:
        buf_clear(&a->scratch);
        (void)buf_append_bytes(&a->scratch, item->data);
        fail_json(a, 502);
        return E_CLOSED;
    case TERMINAL_BROKEN:
        break;
    }
    struct failure f;
    failure_set(&f, 502, "bad_response", "%s ended its stream without a finish reason", who_of(a));
    f.can_try_another = f.is_provider_fault = true;
    fail(a, &f);
    return E_CLOSED;
}

/* One item of the stream: 0 go on, else the attempt is over. */
static int take_item(struct attempt *a, const struct sse_item *item)
{
    if (item->kind == SSE_COMMENT) {
        a->on->life(a->ctx);
        return a->is_dead ? E_CLOSED : 0;
    }
    if (item->data_lines == 0 || a->is_done)
        return 0;
    int over = a->filter ? filtered_event(a, item) : peer_event(a, item);
    return over ? over : a->is_dead ? E_CLOSED : 0;
}

static void stream_bytes(struct attempt *a, struct bytes piece)
{
    struct sse_item item;
    int rc;
    a->is_busy = true;
    while (!a->is_dead && (rc = sse_next(&a->sse, &piece, &item)) == 1)
        if (take_item(a, &item))
            break;
    a->is_busy = false;
    buf_fini(&a->scratch); /* few events need it; many streams wait long for the next one */
    if (a->is_dead)
        dispose(a);
    else if (rc == E_TOO_BIG)
        too_big(a);
    else if (a->is_done)
        finish_stream(a);
}

/* The body ended. Without a good end that is a failure, unless the filter can complete it. */
static void stream_end(struct attempt *a)
{
    struct sse_item item;
    int status = 502;
    a->is_busy = true;
    if (sse_finish(&a->sse, &item) == 1)
        (void)take_item(a, &item);
    a->is_busy = false;
    if (a->is_dead) {
        dispose(a);
        return;
    }
    if (!a->is_done && a->filter) {
        buf_clear(&a->scratch);
        if (a->filter->ops->end(a->filter, &a->scratch, &status) != FILTER_DONE) {
            fail_json(a, status);
            return;
        }
        a->is_busy = true;
        relay(a, buf_view(&a->scratch), true);
        a->is_busy = false;
        if (a->is_dead) {
            dispose(a);
            return;
        }
    }
    if (a->is_done) {
        finish_stream(a);
        return;
    }
    struct failure f;
    failure_set(&f, 502, "provider_disconnected", "%s ended its stream before it was complete",
                who_of(a));
    f.can_try_another = f.is_provider_fault = true;
    fail(a, &f);
}

/* --- a reply that is not streamed --- */

static bool is_event_stream(struct bytes type)
{
    return bytes_eq_nocase(bytes_first(type, 17), BYTES_LIT("text/event-stream"));
}

/* Nodes answer in JSON. What a stranger calls a page is not handed out under our address as one. */
static bool is_json(struct bytes type)
{
    static const struct bytes json = BYTES_LIT("application/json");
    return bytes_eq_nocase(bytes_first(type, json.n), json) &&
           (type.n == json.n || type.p[json.n] == ';' || type.p[json.n] == ' ');
}

/* A whole reply where a stream was asked for, or the other way round. */
static void wrong_kind(struct attempt *a)
{
    struct failure f;
    failure_set(&f, 502, "bad_response",
                a->req.is_stream ? "%s did not stream its answer"
                                 : "%s streamed an answer nobody asked to be streamed",
                who_of(a));
    f.can_try_another = f.is_provider_fault = true;
    fail(a, &f);
}

static void no_json(struct attempt *a)
{
    struct failure f;
    failure_set(&f, 502, "bad_response", "%s answered something else than JSON", who_of(a));
    f.can_try_another = f.is_provider_fault = true;
    fail(a, &f);
}

static void reply_end(struct attempt *a)
{
    struct bytes body = buf_view(&a->reply), type = bytes_str(a->content_type);
    int status = a->status;
    if (a->filter) {
        buf_clear(&a->scratch);
        switch (a->filter->ops->reply(a->filter, &status, type, body, &a->scratch)) {
        case FILTER_RELAY: /* it was read as JSON, whatever the backend calls it */
            if (!is_json(type) && !is_event_stream(type))
                type = BYTES_LIT("application/json");
            break;
        case FILTER_REPLACE:
        case FILTER_DONE:
            body = buf_view(&a->scratch);
            type = BYTES_LIT("application/json");
            break;
        case FILTER_FAILED:
            fail_json(a, status);
            return;
        }
    }
    if (status < 200 || status > 299) {
        buf_clear(&a->scratch);
        (void)buf_append_bytes(&a->scratch, body);
        fail_json(a, status);
        return;
    }
    if (a->req.is_stream || is_event_stream(type)) {
        wrong_kind(a);
        return;
    }
    if (!a->filter && !is_json(type)) {
        no_json(a);
        return;
    }
    tell_usage(a);
    a->is_busy = true;
    a->on->reply(a->ctx, status, type, body);
    a->is_busy = false;
    dispose(a);
}

/* --- what the call tells --- */

static void on_interim(void *ctx, const struct http_head *head)
{
    struct attempt *a = ctx;
    a->on->life(a->ctx);
}

static void copy_field(char *out, size_t size, struct bytes v)
{
    size_t n = v.n < size - 1 ? v.n : size - 1;
    memcpy(out, v.p ? v.p : (const uint8_t *)"", n);
    out[n] = 0;
}

static void on_head(void *ctx, const struct http_head *head)
{
    struct attempt *a = ctx;
    struct bytes type = http_header_get(head, "content-type");
    a->status = head->status;
    copy_field(a->content_type, sizeof a->content_type, type);
    copy_field(a->retry_after, sizeof a->retry_after, http_header_get(head, "retry-after"));
    a->state = is_event_stream(type) && head->status == 200 && a->req.is_stream
                   ? ATTEMPT_STREAMING
                   : ATTEMPT_COLLECTING;
    a->on->life(a->ctx);
}

static void on_body(void *ctx, struct bytes piece)
{
    struct attempt *a = ctx;
    if (a->state == ATTEMPT_STREAMING) {
        stream_bytes(a, piece);
        return;
    }
    if (a->state == ATTEMPT_LINGERING) {
        if ((a->lingered += piece.n) > LINGER_BYTES)
            dispose(a);
        return;
    }
    a->on->life(a->ctx);
    if (buf_append_bytes(&a->reply, piece)) {
        struct failure f;
        failure_set(&f, 502, "response_too_large", "%s sent an answer over %zu bytes", who_of(a),
                    a->req.reply_limit);
        fail(a, &f);
    }
}

static void on_done(void *ctx, const struct http_call_result *r)
{
    struct attempt *a = ctx;
    a->call = NULL;
    if (a->state == ATTEMPT_LINGERING) {
        dispose(a);
    } else if (r->err) {
        struct failure f;
        failure_from_call(&f, r, who_of(a));
        fail(a, &f);
    } else if (a->state == ATTEMPT_STREAMING) {
        stream_end(a);
    } else {
        reply_end(a);
    }
}

static const struct http_call_events call_events = {on_interim, on_head, on_body, on_done};

/* --- opening --- */

enum { HEADERS_MAX = 24 };

/* "/v1/chat/completions" below the backend's own base path. */
static struct bytes target_of(const struct attempt *a, const struct gateway_way *way,
                              struct buf *joined)
{
    struct bytes path = a->req.path;
    if (!way->base_path.p)
        return path; /* another node: the path is ours */
    if (bytes_starts(path, BYTES_LIT("/v1/")))
        path = bytes_skip(path, 3);
    (void)buf_append_bytes(joined, way->base_path);
    (void)buf_append_bytes(joined, path);
    return buf_view(joined);
}

static void on_ready(struct gateway_open *o, int err, const struct gateway_way *way)
{
    struct attempt *a = CONTAINER_OF(o, struct attempt, open);
    struct http_header headers[HEADERS_MAX];
    size_t n = 0;
    if (err) {
        struct failure f;
        if (err == E_DENIED && *o->why)
            failure_set(&f, 400, "field_not_allowed", "%s", o->why);
        else
            failure_from_open(&f, err, who_of(a));
        fail(a, &f);
        return;
    }
    a->filter = way->filter;
    if (a->on->opened)
        a->on->opened(a->ctx, way->unit);
    for (size_t i = 0; i < a->req.header_count && n < HEADERS_MAX; i++)
        headers[n++] = a->req.headers[i];
    for (size_t i = 0; i < way->header_count && n < HEADERS_MAX; i++)
        headers[n++] = way->headers[i];
    struct buf path;
    buf_init(&path, 0);
    struct http_request req = {
        .method = "POST",
        .target = target_of(a, way, &path),
        .host = way->host,
        .headers = headers,
        .header_count = n,
        .body = way->body ? way->body : a->req.body,
        .body_count = way->body ? way->body_count : a->req.body_count,
        .has_body = true,
        .must_close = way->stream != NULL,
    };
    a->state = ATTEMPT_CALLING;
    a->call = way->stream ? http_call_open(a->env->client, way->stream, &req, &call_events, a, &err)
                          : http_pool_call(a->env->pool, way->origin, &req, &call_events, a, &err);
    buf_fini(&path); /* the call has its own copy */
    if (!a->call) {
        struct failure f;
        failure_from_open(&f, err, who_of(a));
        fail(a, &f);
    } else if (a->is_paused) {
        http_call_pause(a->call, true);
    }
}

void attempt_env_init(struct attempt_env *env)
{
    list_init(&env->lingering);
    env->lingering_count = 0;
}

void attempt_env_fini(struct attempt_env *env)
{
    LIST_FOREACH_SAFE (&env->lingering, it)
        dispose(LIST_ENTRY(it, struct attempt, link));
}

struct attempt *attempt_start(struct attempt_env *env, const struct gateway_choice *choice,
                              const struct attempt_request *req, const struct attempt_events *on,
                              void *ctx)
{
    struct attempt *a = MEM_NEW(struct attempt);
    a->env = env;
    a->choice = choice;
    a->req = *req;
    a->on = on;
    a->ctx = ctx;
    a->is_open = true;
    a->open = (struct gateway_open){
        .ready = on_ready,
        .choice = choice,
        .request = req->request,
        .who = req->who,
        .counts_tokens = req->counts_tokens,
        .max_tokens = req->max_tokens,
    };
    sse_init(&a->sse, 0);
    terminal_init(&a->terminal, req->is_chat);
    buf_init(&a->scratch, LIMIT_SSE_EVENT + 4 * KIB);
    buf_init(&a->reply, req->reply_limit);
    env->ports->open(env->ports_ctx, &a->open);
    return a;
}

void attempt_cancel(struct attempt *a)
{
    dispose(a);
}

void attempt_pause(struct attempt *a, bool pause)
{
    a->is_paused = pause;
    if (a->call)
        http_call_pause(a->call, pause);
}
