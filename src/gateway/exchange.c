// SPDX-License-Identifier: MIT
/* One inference request, from the client's last byte to the answer's last byte.
 *
 *   read -> guard (peers) -> CHOOSING -> TRYING -> relayed -> over
 *                              |  ^        |
 *                  nobody known|  |found   | failed before the first event
 *                              v  |        v
 *                           LOOKING     CHOOSING again, without that offer, within the budget
 *
 * What is told to the client, and when, is answer.h; how one offer is tried is attempt.h. Whom to ask is
 * exchange_choose.c, what bytes the client gets exchange_send.c. This file connects them. It owns the
 * attempt, the lookup and the timer; the client's exchange is NULL as soon as the answer has ended or the
 * client has gone.
 *
 * The question itself, and all that is needed to ask somebody else, lies in a `struct asking` that goes
 * with the first event: no other provider can take over after it, and an answer that streams for an hour
 * should not hold its prompt. */
#include "gateway/exchange_impl.h"

#include "base/mem.h"
#include "base/text.h"
#include "base/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the end --- */

static void stop_attempt(struct exchange *e)
{
    if (e->attempt)
        attempt_cancel(e->attempt);
    e->attempt = NULL;
}

static void forget_question(struct exchange *e)
{
    struct asking *a = e->ask;
    if (!a)
        return;
    e->ask = NULL;
    free(a->head);
    free(a->req);
    free(a->slices);
    free(a->headers);
    route_tried_fini(&a->tried);
    buf_fini(&a->body);
    buf_fini(&a->model_json);
    free(a);
}

static void over(struct exchange *e)
{
    struct gateway *g = e->g;
    stop_attempt(e);
    invite_end(&e->use, e->has_usage || !e->attempt_us, e->used_tokens);
    if (e->is_looking)
        g->cfg.ports->lookup_cancel(g->cfg.ports_ctx, &e->ask->lookup);
    timer_clear(g->cfg.sched, &e->timer);
    list_remove(&e->link);
    g->running--;
    forget_question(e);
    buf_fini(&e->rest);
    free(e);
}

/* The attempt is over; what it showed goes to the measurements. True: the same offer is worth another try,
 * and what failed was not the offer but one of the engines behind it. */
static bool record(struct exchange *e, bool is_ok, bool is_provider_fault)
{
    struct gateway *g = e->g;
    uint64_t now = exchange_now(e), total = now - e->attempt_us;
    uint64_t first = e->first_event_us ? e->first_event_us - e->attempt_us : 0;
    struct measure *m = measures_of(g->cfg.measures, bytes_of(e->key.b, e->key.n));
    double seconds = (double)(total - first) / 1e6;
    struct gateway_outcome o = {&e->choice, is_ok, is_provider_fault, first, total, 0};
    bool again = g->cfg.ports->outcome(g->cfg.ports_ctx, &o);
    if (e->is_probe)
        measure_probed(m);
    e->is_probe = false;
    if (is_ok)
        measure_succeeded(m, first, e->events > 8 && seconds > 0 ? (double)e->events / seconds : 0);
    else if (is_provider_fault && !again)
        measure_failed(m, now);
    else
        measure_cancelled(m);
    return again;
}

static void log_end(const struct exchange *e, const char *how)
{
    TRACE(GATEWAY, INFO, "%s %s %s at %.20s: %s after %llu ms, %llu events", e->request_id,
          request_path(e->kind), e->choice.model, e->choice.peer, how,
          (unsigned long long)((exchange_now(e) - e->answer.started_us) / 1000),
          (unsigned long long)e->events);
}

/* Nobody is left to try, or it is too late to. */
void exchange_give_up(struct exchange *e, const struct failure *f)
{
    e->g->count.errors++;
    if (!e->has_usage) { /* nothing more came of it than what was seen */
        e->has_usage = true;
        e->used_tokens = e->use.counted;
    }
    log_end(e, *f->code ? f->code : "failed");
    (void)exchange_perform(e, answer_failed(&e->answer), (struct bytes){0}, f);
    over(e);
}

/* --- the attempt's events --- */

static void on_life(void *ctx)
{
    struct exchange *e = ctx;
    answer_life(&e->answer, exchange_now(e));
    exchange_arm(e);
}

/* The guest's tokens of today are gone in the middle of an answer: an error event, and no [DONE]. */
static void budget_is_spent(struct exchange *e)
{
    struct failure f;
    failure_set(&f, 429, "invite_tokens_used", "the tokens a day of your invite are used up");
    e->g->count.refused++;
    record(e, false, false);
    exchange_give_up(e, &f);
}

static void on_event(void *ctx, struct bytes raw, bool is_done)
{
    struct exchange *e = ctx;
    uint64_t now = exchange_now(e);
    if (!e->events++) {
        e->first_event_us = now;
        if (e->is_probe)
            measure_answered(measures_of(e->g->cfg.measures, bytes_of(e->key.b, e->key.n)));
    }
    e->g->count.events++;
    if (!is_done && !invite_spend(&e->use, 1)) {
        budget_is_spent(e);
        return;
    }
    bool has_ended = exchange_perform(e, answer_event(&e->answer, is_done, now), raw, NULL);
    if (has_ended && !is_done) {
        e->g->count.errors++;
        record(e, false, false);
        log_end(e, "the client takes too little");
        over(e);
        return;
    }
    if (e->ask) {
        forget_question(e);
        exchange_arm(e);
    }
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
    e->attempt = NULL;
    e->g->count.ok++;
    record(e, true, false);
    log_end(e, "complete");
    if (exchange_reply(e, status, type, body)) {
        over(e);
    } else {
        forget_question(e);
        exchange_arm(e);
    }
}

static void on_failed(void *ctx, const struct failure *f)
{
    struct exchange *e = ctx;
    e->attempt = NULL;
    bool again = record(e, false, f->is_provider_fault);
    if (!f->can_try_another || !answer_can_fail_over(&e->answer) || !e->ask ||
        failover_next(&e->ask->failover, &e->g->budget, exchange_now(e)) != FAILOVER_GO) {
        exchange_give_up(e, f);
        return;
    }
    e->ask->last = *f;
    if (again)
        route_tried_drop_last(&e->ask->tried);
    e->g->count.failovers++;
    TRACE(GATEWAY, INFO, "%s %.20s: %d %s -> trying another", e->request_id, e->choice.peer,
          f->status, f->code);
    exchange_choose(e);
}

static void on_opened(void *ctx, unsigned unit)
{
    ((struct exchange *)ctx)->choice.unit = unit;
}

static void on_usage(void *ctx, uint64_t prompt_tokens, uint64_t completion_tokens)
{
    struct exchange *e = ctx;
    e->has_usage = true;
    e->used_tokens = prompt_tokens + completion_tokens;
}

const struct attempt_events exchange_attempt_events = {on_life,   on_event,  on_reply, on_ended,
                                                       on_failed, on_opened, on_usage};

/* --- the client's events, and time --- */

static void on_writable(void *ctx)
{
    struct exchange *e = ctx;
    if (e->attempt) {
        attempt_pause(e->attempt, false);
        answer_watch(&e->answer, !e->choice.is_own, exchange_now(e));
        exchange_arm(e);
    } else if (buf_len(&e->rest) && exchange_send_rest(e)) {
        over(e);
    }
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
    uint64_t now = exchange_now(e);
    unsigned effects = answer_tick(&e->answer, now);
    if (effects && exchange_perform(e, effects, (struct bytes){0}, NULL)) {
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
    exchange_arm(e);
}

/* --- the beginning --- */

static void make_request_id(struct exchange *e)
{
    struct bytes given = http_header_get(e->ask->head, "x-request-id");
    if (given.n && given.n < sizeof e->request_id && http_is_token(given))
        text_copy_bytes(e->request_id, sizeof e->request_id, given);
    else
        text_put_id(e->request_id, "req-", rng_u64(e->g->cfg.rng));
}

/* "A provider never passes a peer's request on": a consumer's request to a peer has gone through one node;
 * one that comes to the local address from a node, or to a peer from further away, is on its way in a
 * circle. */
static bool is_loop(struct exchange *e)
{
    struct bytes hop = http_header_get(e->ask->head, HOP_FIELD);
    if (!hop.p || (e->is_peer && bytes_eq(hop, BYTES_LIT("1"))))
        return false;
    failure_set(
        &e->ask->last, 508, "loop_detected",
        "this request came through a Conduit node already: a Conduit node cannot be the backend of "
        "another; join them with --bootstrap instead");
    return true;
}

static bool is_allowed(struct exchange *e)
{
    if (is_loop(e))
        return false;
    if (e->g->is_closed) {
        failure_set(&e->ask->last, 503, "shutting_down", "this node is shutting down");
        return false;
    }
    if (!e->is_peer)
        return true;
    e->g->count.peer_requests++;
    if (!gateway_admits(e->g, &e->who, e->ask->head)) {
        e->g->count.refused++;
        failure_set(
            &e->ask->last, 403, "lan_stranger",
            "this node does not serve strangers found on its LAN: name it with --bootstrap, "
            "or ask its owner for an invite or for --open");
        return false;
    }
    if (!exchange_guard_allows(e))
        return false;
    if (e->g->cfg.takes)
        e->g->cfg.takes(e->g->cfg.node, http_exchange_stream(e->x));
    return true;
}

static struct answer_config answer_settings(const struct exchange *e)
{
    const struct gateway_config *cfg = &e->g->cfg;
    return (struct answer_config){
        .is_stream = e->ask->req->is_stream,
        .shows_life_early = e->is_peer,
        .head_wait_us = cfg->head_wait_us,
        .keepalive_us = e->is_peer ? cfg->life_us : cfg->keepalive_us,
        .stall_us = e->is_peer ? 0 : cfg->stall_us,
    };
}

static struct exchange *exchange_new(struct gateway *g, struct http_exchange *x,
                                     enum request_kind kind, bool is_peer)
{
    struct exchange *e = MEM_NEW(struct exchange);
    e->g = g;
    e->x = x;
    e->kind = kind;
    e->is_peer = is_peer;
    e->who = *http_exchange_principal(x);
    e->ask = MEM_NEW(struct asking);
    e->ask->e = e;
    list_append(&g->exchanges, &e->link);
    g->running++;
    g->count.requests++;
    timer_init(&e->timer, on_timer);
    buf_init(&e->rest, 0);
    buf_init(&e->ask->body, 0);
    buf_init(&e->ask->model_json, 4 * KIB);
    return e;
}

void exchange_start(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                    enum request_kind kind, bool is_peer)
{
    struct exchange *e = exchange_new(g, x, kind, is_peer);
    struct asking *a = e->ask;
    uint64_t now = exchange_now(e);
    a->head = http_head_clone(head);
    if (!a->head || http_exchange_take_body(x, &a->body)) {
        http_exchange_error(x, 503, "out_of_memory", 1, "this node is out of memory");
        over(e);
        return;
    }
    make_request_id(e);
    http_exchange_listen(x, &client_events, e);
    int err = request_read(&g->reading, kind, buf_view(&a->body), &a->last);
    a->req = request_keep(&g->reading);
    struct answer_config cfg = answer_settings(e);
    answer_init(&e->answer, &cfg, now);
    failover_init(&a->failover, &g->budget, g->cfg.max_attempts, now + g->cfg.request_us, now);
    if (err || !is_allowed(e))
        exchange_give_up(e, &a->last);
    else
        exchange_choose(e);
}

void exchange_cancel_all(struct gateway *g)
{
    struct failure f;
    failure_set(&f, 503, "shutting_down", "this node is shutting down");
    LIST_FOREACH_SAFE (&g->exchanges, it) {
        struct exchange *e = LIST_ENTRY(it, struct exchange, link);
        if (e->attempt)
            record(e, false, false);
        stop_attempt(e);
        if (buf_len(&e->rest) && e->x) { /* in the middle of a large reply */
            http_exchange_abort(e->x);
            e->x = NULL;
            over(e);
        } else {
            exchange_give_up(e, &f);
        }
    }
}
