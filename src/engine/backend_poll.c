// SPDX-License-Identifier: MIT
/* Asks a backend for its models, now and then: its list and its health are one question. The one timer
 * says when to ask next; while a question is under way it says when that has taken too long, since a
 * server that sends a byte now and then would else be waited for without end. */
#include "engine/backend.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_S = 60 };

struct backend_poll {
    struct backend_poll_config cfg;
    struct backend_health health;
    struct timer timer;
    struct http_call *call;
    struct buf body;
    uint64_t asked_us;
    int status;
    bool is_too_big;
    char target[1100];
};

static void answered(struct backend_poll *p, const struct backend_list *list, bool is_ok,
                     const char *why)
{
    bool was = p->health.is_up, was_asked = p->health.was_asked;
    uint64_t wait = backend_health_step(&p->health, is_ok);
    if (!is_ok && (was || !was_asked))
        TRACE(ENGINE, WARN, "backend %s: %s -> %s, asking again in %" PRIu64 " s", p->cfg.name, why,
              p->health.is_up ? "still used" : "not used", wait / US_PER_S);
    else if (is_ok && !was)
        TRACE(ENGINE, INFO, "backend %s answers -> used", p->cfg.name);
    timer_after(p->cfg.sched, &p->timer, wait);
    p->cfg.polled(p->cfg.ctx, list);
}

static void on_head(void *ctx, const struct http_head *head)
{
    struct backend_poll *p = ctx;
    p->status = head->status;
}

static void on_body(void *ctx, struct bytes piece)
{
    struct backend_poll *p = ctx;
    if (!p->is_too_big && buf_append_bytes(&p->body, piece) != 0) {
        p->is_too_big = true;
        timer_after(p->cfg.sched, &p->timer, 0); /* not to be read to its end, if it has one */
    }
}

static bool is_key_refused(const struct backend_poll *p)
{
    return p->status == 401 || p->status == 403;
}

static void say_status(const struct backend_poll *p, char *why, size_t size)
{
    char variable[ENGINE_NAME + 32];
    backend_key_variable(p->cfg.name, variable);
    if (is_key_refused(p))
        snprintf(why, size, "it refuses the key (%d); %s sets it", p->status, variable);
    else
        snprintf(why, size, "it answers %d to %s", p->status, p->target);
}

static void on_done(void *ctx, const struct http_call_result *r)
{
    struct backend_poll *p = ctx;
    char why[ENGINE_WHY];
    struct backend_list list = {0};
    p->call = NULL;
    say_status(p, why, sizeof why);
    if (r->err)
        answered(p, NULL, false, err_text(r->err));
    else if (p->cfg.needs_no_list && p->status < 500 && !is_key_refused(p))
        answered(p, NULL, true, why);
    else if (p->status != 200)
        answered(p, NULL, false, why);
    else if (p->is_too_big)
        answered(p, NULL, false, "its list of models is too long");
    else if (backend_list_parse(buf_view(&p->body), &list, why) != 0)
        answered(p, NULL, false, why);
    else
        answered(p, &list, true, why);
    backend_list_fini(&list);
    buf_clear(&p->body);
    buf_trim(&p->body);
}

static void give_up(struct backend_poll *p)
{
    http_call_cancel(p->call);
    p->call = NULL;
    answered(p, NULL, false,
             p->is_too_big ? "its list of models is too long"
                           : "its list of models takes longer than 60 s");
    buf_clear(&p->body);
    buf_trim(&p->body);
}

static void on_timer(struct timer *t)
{
    static const struct http_call_events on = {NULL, on_head, on_body, on_done};
    struct backend_poll *p = CONTAINER_OF(t, struct backend_poll, timer);
    struct http_request req = {
        .method = "GET",
        .target = bytes_str(p->target),
        .host = bytes_str(p->cfg.place->host),
        .headers = p->cfg.headers,
        .header_count = p->cfg.header_count,
        .connect_us = 5 * US_PER_S,
        .first_byte_us = 15 * US_PER_S,
        .stall_us = 15 * US_PER_S,
    };
    int err = 0;
    if (p->call) {
        give_up(p);
        return;
    }
    p->asked_us = sched_now(p->cfg.sched);
    p->status = 0;
    p->is_too_big = false;
    buf_clear(&p->body);
    p->call = http_pool_call(p->cfg.pool, &p->cfg.place->origin, &req, &on, p, &err);
    if (p->call)
        timer_after(p->cfg.sched, &p->timer, ANSWER_S * US_PER_S);
    else
        answered(p, NULL, false, err_text(err));
}

struct backend_poll *backend_poll_open(const struct backend_poll_config *cfg)
{
    struct backend_poll *p = MEM_NEW(struct backend_poll);
    p->cfg = *cfg;
    snprintf(p->target, sizeof p->target, "%s/models", cfg->place->base_path);
    buf_init(&p->body, LIMIT_BACKEND_LIST);
    timer_init(&p->timer, on_timer);
    timer_after(cfg->sched, &p->timer, 0);
    return p;
}

void backend_poll_now(struct backend_poll *p)
{
    if (!p->call && p->health.is_up && p->health.failures == 0)
        timer_set(p->cfg.sched, &p->timer, p->asked_us + US_PER_S);
}

void backend_poll_close(struct backend_poll *p)
{
    timer_clear(p->cfg.sched, &p->timer);
    if (p->call)
        http_call_cancel(p->call);
    buf_fini(&p->body);
    free(p);
}

bool backend_poll_is_well(const struct backend_poll *p)
{
    return p->health.is_up && p->health.failures == 0;
}

bool backend_poll_is_up(const struct backend_poll *p)
{
    return p->health.is_up;
}
