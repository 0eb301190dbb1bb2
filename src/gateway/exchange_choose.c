// SPDX-License-Identifier: MIT
/* Whom a request is asked of: the choice, the search for somebody when nobody is known, the guard of our own
 * offers, and what the chosen one is sent. */
#include "gateway/exchange_impl.h"

#include "base/mem.h"
#include "base/text.h"
#include "base/trace.h"

#include <stdlib.h>
#include <string.h>

static void remember_choice(struct exchange *e, const struct route_choice *c)
{
    const struct offer *o = &c->offer->offer;
    e->choice = (struct gateway_choice){.is_own = c->offer->peer->is_own};
    text_copy(e->choice.peer, sizeof e->choice.peer, c->offer->peer->text);
    text_copy(e->choice.model, sizeof e->choice.model, o->model);
    text_copy(e->choice.offer, sizeof e->choice.offer, o->id);
    route_tried_add(&e->ask->tried, o);
    (void)route_key_of(o, &e->key);
    (void)route_explain(c, e->ask->failover.attempts, e->ask->route);
}

/* The body with the model's true name in it, as slices; untouched when that is what was asked for. */
static int body_slices(struct asking *a, const char *model)
{
    struct bytes parts[JSON_SLICES_MAX];
    int count = 1;
    parts[0] = a->req->body;
    if (strcmp(a->req->model, model) != 0) {
        size_t total;
        buf_clear(&a->model_json);
        struct json_writer w = json_write(&a->model_json);
        json_put_str(&w, model);
        struct json_edit edit = {"model", buf_view(&a->model_json)};
        count = json_splice(&a->req->skim, &edit, 1, parts,
                            &total); /* one edit: never over the limit */
    }
    free(a->slices);
    a->slices = mem_array((size_t)count, sizeof *parts);
    memcpy(a->slices, parts, (size_t)count * sizeof *parts);
    return count;
}

/* The allowed fields, our name of the request, and how many Conduit nodes it has gone through: a backend
 * that turns out to be one must not send it on. */
static size_t request_headers(struct exchange *e)
{
    struct http_header h[EXCHANGE_HEADERS];
    size_t n = headers_allowed(e->ask->head, h, EXCHANGE_HEADERS - 2), kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!bytes_eq_nocase(h[i].name, BYTES_LIT(HOP_FIELD)) &&
            !bytes_eq_nocase(h[i].name, BYTES_LIT(GATEWAY_FOUND_FIELD)) && /* our own word */
            !bytes_eq_nocase(h[i].name, BYTES_LIT("x-request-id")))
            h[kept++] = h[i];
    h[kept++] = (struct http_header){BYTES_LIT("x-request-id"), bytes_str(e->request_id)};
    h[kept++] =
        (struct http_header){BYTES_LIT(HOP_FIELD), e->is_peer ? BYTES_LIT("2") : BYTES_LIT("1")};
    e->ask->headers = mem_resize(e->ask->headers, kept * sizeof *h);
    memcpy(e->ask->headers, h, kept * sizeof *h);
    return kept;
}

static void try_offer(struct exchange *e, const struct route_choice *c)
{
    struct gateway *g = e->g;
    struct asking *a = e->ask;
    remember_choice(e, c);
    TRACE(ROUTE, DEBUG, "%s %s -> %.20s: %s", e->request_id, e->choice.model, e->choice.peer,
          a->route);
    e->is_probe = measure_started(measures_of(g->cfg.measures, bytes_of(e->key.b, e->key.n)));
    catalogue_touch(g->cfg.offers, &c->offer->offer.peer);
    e->attempt_us = exchange_now(e);
    e->first_event_us = e->events = 0;
    int body_count = body_slices(a, e->choice.model);
    size_t header_count = request_headers(e);
    a->areq = (struct attempt_request){
        .request = a->req,
        .who = &e->who,
        .path = bytes_str(request_path(e->kind)),
        .headers = a->headers,
        .header_count = header_count,
        .body = a->slices,
        .body_count = body_count,
        .counts_tokens = e->use.entry != NULL,
        .max_tokens = e->use.max_tokens,
        .is_stream = a->req->is_stream,
        .is_chat = e->kind == REQUEST_CHAT || e->kind == REQUEST_COMPLETION,
        .reply_limit = g->cfg.reply_limit,
    };
    e->attempt = attempt_start(&g->env, &e->choice, &a->areq, &exchange_attempt_events, e);
    /* Other nodes show life while they queue and prefill. An engine of our own does not: its deadlines are
     * those of the queue (ports) and of the HTTP call. */
    answer_watch(&e->answer, !e->choice.is_own, exchange_now(e));
    exchange_arm(e);
}

/* Somebody has it whom we know from the LAN only: who that is, and the way out. */
static void only_listed(struct failure *f, const char *model, const struct catalogue_peer *peer)
{
    if (peer->bar == CATALOGUE_REFUSES)
        failure_set(
            f, 403, "lan_stranger",
            "'%s' is served by %s, which does not serve strangers found on its LAN: name it "
            "with --bootstrap, or ask its owner for an invite or for --open",
            model, peer->text);
    else
        failure_set(
            f, 403, "lan_stranger",
            "'%s' is served only by %s, found on the LAN and not trusted with your prompts: "
            "name it with --bootstrap, join it by an invite, or use strangers with --open",
            model, peer->text);
}

static void nobody(struct exchange *e, const struct route_choice *c)
{
    struct asking *a = e->ask;
    struct failure *f = &a->last;
    const char *model = *a->req->model ? a->req->model : "auto";
    if (a->failover.attempts > 1 || c->tried || a->guard_said_no)
        ; /* the last failure says it best */
    else if (c->denied && !c->named)
        failure_set(f, 403, "model_not_in_invite", "your invite does not cover '%s' here", model);
    else if (c->broken)
        failure_set(f, 503, "no_provider_available",
                    "every provider of '%s' has failed lately; they are tried again soon", model);
    else if (c->unfit)
        failure_set(f, 400, "model_not_suitable",
                    "no provider of '%s' can do what this request needs", model);
    else if (c->barred_peer)
        only_listed(f, model, c->barred_peer);
    else if (e->is_peer || a->lookup_was_complete)
        failure_set(f, 404, "model_not_found",
                    "The model '%s' does not exist or nobody serves it now", model);
    else
        failure_set(f, 503, "lookup_incomplete",
                    "nobody is known yet who serves '%s'; the search goes on", model);
    if (f->status == 503 && !f->retry_after_s)
        f->retry_after_s = 2;
    exchange_give_up(e, f);
}

static void on_looked_up(struct gateway_lookup *l, bool is_complete)
{
    struct asking *a = CONTAINER_OF(l, struct asking, lookup);
    a->e->is_looking = false;
    a->has_looked = true;
    a->lookup_was_complete = is_complete;
    exchange_choose(a->e);
}

/* The longest answer that any of the fields allows: which of them a backend reads is its own matter. */
static uint64_t max_tokens_asked(const struct gateway_request *r)
{
    uint64_t max = 0, v;
    for (size_t i = 0; i < REQUEST_MAX_TOKENS; i++)
        if (json_skim_u64(&r->skim, request_max_tokens[i], &v) && v > max)
            max = v;
    return max;
}

/* How many answers are asked for at once: n, best_of, or a list of prompts. */
static unsigned choices_asked(const struct gateway_request *r)
{
    static const char *const fields[] = {"n", "best_of"};
    struct bytes prompt = json_raw(&r->skim, "prompt");
    unsigned choices = 1;
    double v;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (json_find(&r->skim, fields[i]) && json_skim_number(&r->skim, fields[i], &v) && v != 1)
            choices = 2;
    if (r->kind == REQUEST_COMPLETION && prompt.n && *prompt.p == '[')
        choices = 2;
    return choices;
}

/* What an invite adds to the guard's rules. */
static int begin_under_invite(struct exchange *e, struct guard_refusal *why)
{
    const struct gateway_config *cfg = &e->g->cfg;
    const struct gateway_request *r = e->ask->req;
    struct invite_ask ask = {
        .prompt_tokens = r->prompt_tokens,
        .max_tokens = max_tokens_asked(r),
        .choices = choices_asked(r),
        .is_stream = r->is_stream,
        .has_answer = r->kind == REQUEST_CHAT || r->kind == REQUEST_COMPLETION,
    };
    struct invite_now now = {
        .s = sched_wall_ms(cfg->sched) / 1000,
        .day = cfg->day ? cfg->day(cfg->node) : (uint32_t)(sched_wall_ms(cfg->sched) / 86400000),
        .minute_of_day = cfg->minute_of_day(cfg->node),
    };
    return guard_begin(cfg->guard, &e->who, &ask, &now, &e->use, why);
}

bool exchange_guard_allows(struct exchange *e)
{
    struct gateway *g = e->g;
    struct asking *a = e->ask;
    struct guard_refusal why;
    if (guard_check(g->cfg.guard, &e->who, a->req->body.n, a->req->prompt_tokens, exchange_now(e),
                    g->cfg.minute_of_day(g->cfg.node), &why) == 0 &&
        begin_under_invite(e, &why) == 0)
        return true;
    g->count.refused++;
    failure_set(&a->last, why.status, why.code, "%s", why.message);
    a->last.retry_after_s = why.retry_after_s;
    return false;
}

/* A local client that is not the owner (it came with a key, or through --no-auth) is bound by the owner's
 * limits where it would use this machine's own models; others' are theirs to guard. */
static bool may_have_own(struct exchange *e)
{
    struct asking *a = e->ask;
    if (e->is_peer || principal_is_owner(&e->who) || a->guard_said_yes)
        return true;
    a->guard_said_yes = exchange_guard_allows(e);
    a->guard_said_no = !a->guard_said_yes;
    return a->guard_said_yes;
}

static void look_up(struct exchange *e)
{
    struct gateway *g = e->g;
    struct asking *a = e->ask;
    e->is_looking = true;
    a->lookup.done = on_looked_up;
    answer_watch(&e->answer, false, exchange_now(e)); /* the search has its own deadline */
    exchange_arm(e);
    g->cfg.ports->lookup(g->cfg.ports_ctx, &a->lookup, bytes_str(a->req->model), g->cfg.lookup_us);
}

static bool is_covered(const void *terms, const struct offer *o)
{
    return invite_allows_model(terms, o);
}

void exchange_choose(struct exchange *e)
{
    struct gateway *g = e->g;
    struct asking *a = e->ask;
    struct route_choice c;
    struct route_request req = {
        .model = bytes_str(a->req->model),
        .needs = a->req->needs,
        .own_only = e->is_peer,
        .others_only = a->guard_said_no,
        .prompt_tokens = 0, /* a quarter of the bytes is too rough to refuse by */
    };
    if (e->use.entry) {
        req.may_use = is_covered;
        req.ctx = &e->use.entry->invite.terms;
    }
    route_choose(&req, g->cfg.offers, g->cfg.measures, &a->tried, exchange_now(e), g->cfg.rng, &c);
    if (c.offer && c.offer->peer->is_own && !may_have_own(e)) {
        req.others_only = true;
        route_choose(&req, g->cfg.offers, g->cfg.measures, &a->tried, exchange_now(e), g->cfg.rng,
                     &c);
    }
    if (c.offer)
        try_offer(e, &c);
    else if (!e->is_peer && !a->has_looked && !c.tried && !a->guard_said_no)
        look_up(e);
    else
        nobody(e, &c);
}
