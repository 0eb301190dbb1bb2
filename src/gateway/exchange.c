// SPDX-License-Identifier: MIT
/* One inference request, from the client's last byte to the answer's last byte.
 *
 *   read -> guard (peers) -> CHOOSING -> TRYING -> relayed -> over
 *                              |  ^        |
 *                  nobody known|  |found   | failed before the first event
 *                              v  |        v
 *                           LOOKING     CHOOSING again, without that offer, within the budget
 *
 * What is told to the client, and when, is answer.h; how one offer is tried is attempt.h. This file only
 * connects them. It owns the attempt, the lookup and the timer; the client's exchange is NULL as soon as the
 * answer has ended or the client has gone. */
#include "gateway/gateway_impl.h"

#include "base/mem.h"
#include "base/trace.h"
#include "gateway/answer.h"
#include "http/sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADERS_MAX = 16, REQUEST_ID = 48 };

struct exchange {
    struct list link;
    struct gateway *g;
    struct http_exchange *x;
    struct http_head *head; /* a copy; ours */
    struct buf body;
    struct gateway_request *req; /* with as much skim as it has members; ours */
    struct principal who;
    bool is_peer, is_looking, has_looked, lookup_was_complete;
    struct answer answer;
    struct timer timer;
    struct gateway_lookup lookup;
    /* the choice, and what was tried before */
    struct route_tried tried;
    struct failover failover;
    struct gateway_choice choice;
    struct route_key key;
    char route[160], request_id[REQUEST_ID];
    struct attempt *attempt;
    struct attempt_request areq;
    struct http_header headers[HEADERS_MAX];
    struct bytes *slices; /* of the body: all of it, or around the model's true name; ours */
    struct buf model_json;
    struct failure last;
    uint64_t attempt_us, first_event_us, events;
};

static void choose(struct exchange *e);

static uint64_t now_of(const struct exchange *e)
{
    return sched_now(e->g->cfg.sched);
}

/* --- the end ---------------------------------------------------------------------------------------- */

static void stop_attempt(struct exchange *e)
{
    if (e->attempt)
        attempt_cancel(e->attempt);
    e->attempt = NULL;
}

static void over(struct exchange *e)
{
    struct gateway *g = e->g;
    stop_attempt(e);
    if (e->is_looking)
        g->cfg.ports->lookup_cancel(g->cfg.ports_ctx, &e->lookup);
    timer_clear(g->cfg.sched, &e->timer);
    list_remove(&e->link);
    g->running--;
    free(e->head);
    free(e->req);
    free(e->slices);
    buf_fini(&e->body);
    buf_fini(&e->model_json);
    free(e);
}

/* The attempt is over; what it showed goes to the measurements. */
static void record(struct exchange *e, bool is_ok, bool is_provider_fault)
{
    struct gateway *g = e->g;
    uint64_t now = now_of(e), total = now - e->attempt_us;
    uint64_t first = e->first_event_us ? e->first_event_us - e->attempt_us : 0;
    struct measure *m = measures_of(g->cfg.measures, bytes_of(e->key.b, e->key.n));
    double seconds = (double)(total - first) / 1e6;
    if (is_ok)
        measure_succeeded(m, first, e->events > 8 && seconds > 0 ? (double)e->events / seconds : 0);
    else if (is_provider_fault)
        measure_failed(m, now);
    else
        measure_cancelled(m);
    struct gateway_outcome o = {&e->choice, is_ok, is_provider_fault, first, total, 0};
    g->cfg.ports->outcome(g->cfg.ports_ctx, &o);
}

static void log_end(const struct exchange *e, const char *how)
{
    TRACE(GATEWAY, INFO, "%s %s %s at %.20s: %s after %llu ms, %llu events", e->request_id,
          request_path(e->req->kind), e->choice.model, e->choice.peer, how,
          (unsigned long long)((now_of(e) - e->answer.started_us) / 1000),
          (unsigned long long)e->events);
}

/* --- what the client gets ------------------------------------------------------------------------------ */

static size_t response_headers(struct exchange *e, struct http_header *h)
{
    size_t n = headers_cors(&e->g->cfg.headers, e->head, h);
    h[n++] = (struct http_header){BYTES_LIT("x-request-id"), bytes_str(e->request_id)};
    if (e->choice.peer[0])
        h[n++] = (struct http_header){BYTES_LIT("x-conduit-peer"), bytes_str(e->choice.peer)};
    if (e->route[0] && !e->is_peer)
        h[n++] = (struct http_header){BYTES_LIT("x-conduit-route"), bytes_str(e->route)};
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

static void send_error_event(struct exchange *e)
{
    struct buf b, json;
    buf_init(&json, 0);
    buf_init(&b, 0);
    (void)failure_json(&e->last, &json);
    (void)sse_append(&b, (struct bytes){0}, buf_view(&json));
    struct bytes v = buf_view(&b);
    (void)http_exchange_body(e->x, &v, 1);
    buf_fini(&json);
    buf_fini(&b);
}

/* Performs what answer.h decided. True when the exchange with the client has ended. */
static bool perform(struct exchange *e, unsigned effects, struct bytes event)
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
    if (effects & ANSWER_SEND_EVENT && event.n && http_exchange_body(e->x, &event, 1) == E_AGAIN &&
        e->attempt)
        attempt_pause(e->attempt, true);
    if (effects & ANSWER_SEND_ERROR_EVENT)
        send_error_event(e);
    if (effects & ANSWER_SEND_STATUS) {
        respond_failure(e->g, e->x, e->head, &e->last, e->request_id);
        e->x = NULL;
    } else if (effects & ANSWER_END_BODY) {
        http_exchange_end(e->x);
        e->x = NULL;
    }
    return !e->x;
}

static void arm(struct exchange *e)
{
    timer_set(e->g->cfg.sched, &e->timer, answer_deadline(&e->answer));
}

/* Nobody is left to try, or it is too late to. */
static void give_up(struct exchange *e)
{
    e->g->count.errors++;
    log_end(e, e->last.message);
    (void)perform(e, answer_failed(&e->answer), (struct bytes){0});
    over(e);
}

/* --- the attempt's events -------------------------------------------------------------------------------- */

static void on_life(void *ctx)
{
    struct exchange *e = ctx;
    answer_life(&e->answer, now_of(e));
    arm(e);
}

static void on_event(void *ctx, struct bytes raw, bool is_done)
{
    struct exchange *e = ctx;
    uint64_t now = now_of(e);
    if (!e->events++)
        e->first_event_us = now;
    e->g->count.events++;
    bool was_first = e->answer.state == ANSWER_WAITING || e->answer.state == ANSWER_OPEN;
    (void)perform(e, answer_event(&e->answer, is_done, now), raw);
    if (was_first)
        arm(e);
}

static void on_ended(void *ctx)
{
    struct exchange *e = ctx;
    e->attempt = NULL;
    e->g->count.ok++;
    record(e, true, false);
    log_end(e, "complete");
    over(e);
}

static void on_reply(void *ctx, int status, struct bytes type, struct bytes body)
{
    struct exchange *e = ctx;
    struct http_header h[HEADERS_CORS + 8];
    e->attempt = NULL;
    e->first_event_us = now_of(e);
    e->g->count.ok++;
    record(e, true, false);
    log_end(e, "complete");
    size_t n = response_headers(e, h);
    char content_type[128];
    snprintf(content_type, sizeof content_type, "%.*s", BYTES_FMT(type));
    http_exchange_reply(e->x, status, *content_type ? content_type : "application/json", h, n, body);
    e->x = NULL;
    over(e);
}

static void on_failed(void *ctx, const struct failure *f)
{
    struct exchange *e = ctx;
    e->attempt = NULL;
    record(e, false, f->is_provider_fault);
    e->last = *f;
    if (!f->can_try_another || !answer_can_fail_over(&e->answer)) {
        give_up(e);
        return;
    }
    if (failover_next(&e->failover, &e->g->budget, now_of(e)) != FAILOVER_GO) {
        give_up(e);
        return;
    }
    e->g->count.failovers++;
    TRACE(GATEWAY, INFO, "%s %.20s: %s -> trying another", e->request_id, e->choice.peer, f->message);
    answer_retry(&e->answer, now_of(e));
    choose(e);
}

static const struct attempt_events attempt_events = {on_life, on_event, on_reply, on_ended, on_failed};

/* --- choosing --------------------------------------------------------------------------------------------- */

static void remember_choice(struct exchange *e, const struct route_choice *c)
{
    const struct offer *o = &c->offer->offer;
    e->choice = (struct gateway_choice){.is_own = c->offer->peer->is_own};
    snprintf(e->choice.peer, sizeof e->choice.peer, "%s", c->offer->peer->text);
    snprintf(e->choice.model, sizeof e->choice.model, "%s", o->model);
    snprintf(e->choice.offer, sizeof e->choice.offer, "%s", o->id);
    route_tried_add(&e->tried, o);
    (void)route_key_of(o, &e->key);
    (void)route_explain(c, e->failover.attempts, e->route);
}

/* The body with the model's true name in it, as slices; untouched when that is what was asked for. */
static int body_slices(struct exchange *e)
{
    struct bytes parts[JSON_SLICES_MAX] = {e->req->body};
    int count = 1;
    if (strcmp(e->req->model, e->choice.model) != 0) {
        size_t total;
        buf_clear(&e->model_json);
        struct json_writer w = json_write(&e->model_json);
        json_put_str(&w, e->choice.model);
        struct json_edit edit = {"model", buf_view(&e->model_json)};
        count = json_splice(&e->req->skim, &edit, 1, parts, &total);
    }
    free(e->slices);
    e->slices = mem_array(count > 0 ? (size_t)count : 1, sizeof *parts);
    memcpy(e->slices, parts, (count > 0 ? (size_t)count : 0) * sizeof *parts);
    return count;
}

static void try_offer(struct exchange *e, const struct route_choice *c)
{
    struct gateway *g = e->g;
    remember_choice(e, c);
    TRACE(ROUTE, DEBUG, "%s %s -> %.20s: %s", e->request_id, e->choice.model, e->choice.peer, e->route);
    measure_started(measures_of(g->cfg.measures, bytes_of(e->key.b, e->key.n)));
    catalogue_touch(g->cfg.offers, &c->offer->offer.peer);
    e->attempt_us = now_of(e);
    e->first_event_us = e->events = 0;
    e->areq = (struct attempt_request){
        .request = e->req,
        .who = &e->who,
        .path = bytes_str(request_path(e->req->kind)),
        .headers = e->headers,
        .header_count = headers_allowed(e->head, e->headers, HEADERS_MAX - 1),
        .body = e->slices,
        .body_count = body_slices(e),
        .is_stream = e->req->is_stream,
        .is_chat = e->req->kind == REQUEST_CHAT || e->req->kind == REQUEST_COMPLETION,
        .reply_limit = g->cfg.reply_limit,
    };
    e->attempt = attempt_start(&g->env, &e->choice, &e->areq, &attempt_events, e);
    arm(e);
}

static void nobody(struct exchange *e, const struct route_choice *c)
{
    const char *model = *e->req->model ? e->req->model : "auto";
    if (e->failover.attempts > 1 || c->tried)
        ; /* the last failure says it best */
    else if (c->broken)
        failure_set(&e->last, 503, "no_provider_available",
                    "every provider of '%s' has failed lately; they are tried again soon", model);
    else if (c->unfit)
        failure_set(&e->last, 400, "model_not_suitable",
                    "no provider of '%s' can do what this request needs", model);
    else if (e->is_peer || e->lookup_was_complete)
        failure_set(&e->last, 404, "model_not_found",
                    "The model '%s' does not exist or nobody serves it now", model);
    else
        failure_set(&e->last, 503, "lookup_incomplete",
                    "nobody is known yet who serves '%s'; the search goes on", model);
    if (e->last.status == 503)
        e->last.retry_after_s = 2;
    give_up(e);
}

static void on_looked_up(struct gateway_lookup *l, bool is_complete)
{
    struct exchange *e = CONTAINER_OF(l, struct exchange, lookup);
    e->is_looking = false;
    e->has_looked = true;
    e->lookup_was_complete = is_complete;
    choose(e);
}

static void choose(struct exchange *e)
{
    struct gateway *g = e->g;
    struct route_choice c;
    struct route_request req = {
        .model = bytes_str(e->req->model),
        .needs = e->req->needs,
        .own_only = e->is_peer,
        .prompt_tokens = 0, /* a quarter of the bytes is too rough to refuse by */
    };
    route_choose(&req, g->cfg.offers, g->cfg.measures, &e->tried, now_of(e), g->cfg.rng, &c);
    if (c.offer) {
        try_offer(e, &c);
    } else if (!e->is_peer && !e->has_looked && !c.tried) {
        e->is_looking = true;
        e->lookup.done = on_looked_up;
        g->cfg.ports->lookup(g->cfg.ports_ctx, &e->lookup, req.model, g->cfg.lookup_us);
        arm(e);
    } else {
        nobody(e, &c);
    }
}

/* --- the client's events, and time --------------------------------------------------------------------------- */

static void on_writable(void *ctx)
{
    struct exchange *e = ctx;
    if (e->attempt)
        attempt_pause(e->attempt, false);
}

static void on_gone(void *ctx, int err)
{
    struct exchange *e = ctx;
    e->x = NULL;
    e->g->count.cancelled++;
    if (e->attempt)
        record(e, false, false);
    log_end(e, "cancelled by the client");
    over(e);
}

static const struct http_exchange_events client_events = {.writable = on_writable, .gone = on_gone};

static void on_timer(struct timer *t)
{
    struct exchange *e = CONTAINER_OF(t, struct exchange, timer);
    uint64_t now = now_of(e);
    unsigned effects = answer_tick(&e->answer, now);
    if (effects && perform(e, effects, (struct bytes){0})) {
        over(e);
        return;
    }
    if (e->attempt && answer_is_stalled(&e->answer, now)) {
        struct failure f;
        failure_set(&f, 504, "provider_timeout", "the provider gave no sign of life for %llu s",
                    (unsigned long long)(e->answer.cfg.stall_us / US_PER_S));
        f.can_try_another = f.is_provider_fault = true;
        stop_attempt(e);
        on_failed(e, &f);
        return;
    }
    arm(e);
}

/* --- the beginning ------------------------------------------------------------------------------------------- */

static void make_request_id(struct exchange *e)
{
    struct bytes given = http_header_get(e->head, "x-request-id");
    if (given.n && given.n < sizeof e->request_id && http_is_token(given))
        snprintf(e->request_id, sizeof e->request_id, "%.*s", BYTES_FMT(given));
    else
        snprintf(e->request_id, sizeof e->request_id, "req-%016llx",
                 (unsigned long long)rng_u64(e->g->cfg.rng));
}

static bool guard_allows(struct exchange *e)
{
    struct gateway *g = e->g;
    struct guard_refusal why;
    g->count.peer_requests++;
    if (guard_check(g->cfg.guard, http_exchange_principal(e->x), e->req->body.n,
                    e->req->prompt_tokens, now_of(e), g->cfg.minute_of_day(g->cfg.node), &why) == 0)
        return true;
    g->count.refused++;
    failure_set(&e->last, why.status, why.code, "%s", why.message);
    e->last.retry_after_s = why.retry_after_s;
    return false;
}

static struct answer_config answer_settings(const struct exchange *e)
{
    const struct gateway_config *cfg = &e->g->cfg;
    return (struct answer_config){
        .is_stream = e->req->is_stream,
        .shows_life_early = e->is_peer,
        .head_wait_us = cfg->head_wait_us,
        .keepalive_us = e->is_peer ? cfg->life_us : cfg->keepalive_us,
        .stall_us = e->is_peer ? 0 : cfg->stall_us,
    };
}

void exchange_start(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                    enum request_kind kind, bool is_peer)
{
    struct exchange *e = MEM_NEW(struct exchange);
    uint64_t now = sched_now(g->cfg.sched);
    e->g = g;
    e->x = x;
    e->is_peer = is_peer;
    list_append(&g->exchanges, &e->link);
    g->running++;
    g->count.requests++;
    timer_init(&e->timer, on_timer);
    buf_init(&e->body, 0);
    buf_init(&e->model_json, 4 * KIB);
    e->head = http_head_clone(head);
    if (!e->head || http_exchange_take_body(x, &e->body)) {
        http_exchange_error(x, 503, "out_of_memory", 1, "this node is out of memory");
        over(e);
        return;
    }
    make_request_id(e);
    e->who = *http_exchange_principal(x);
    http_exchange_listen(x, &client_events, e);
    int err = request_read(&g->reading, kind, buf_view(&e->body), &e->last);
    e->req = request_keep(&g->reading);
    struct answer_config cfg = answer_settings(e);
    answer_init(&e->answer, &cfg, now);
    failover_init(&e->failover, &g->budget, g->cfg.max_attempts, now + g->cfg.request_us, now);
    if (err || (is_peer && !guard_allows(e)))
        give_up(e);
    else
        choose(e);
}

void exchange_cancel_all(struct gateway *g)
{
    LIST_FOREACH_SAFE(&g->exchanges, it) {
        struct exchange *e = LIST_ENTRY(it, struct exchange, link);
        failure_set(&e->last, 503, "shutting_down", "this node is shutting down");
        stop_attempt(e);
        give_up(e);
    }
}
