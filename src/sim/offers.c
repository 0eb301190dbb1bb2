// SPDX-License-Identifier: MIT
/* See offers.h. */
#include "sim/offers.h"

#include "base/mem.h"
#include "sim/check.h"
#include "sim/inside.h"
#include "sim/world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define POLL_US    (20 * US_PER_MS)
#define SETTLED_US (20 * US_PER_S) /* longer ago than any silence goes unnoticed */
#define WHILE_US   (30 * US_PER_S)
#define FAR_US     (250 * US_PER_MS)

enum { SAMPLE = 64, TRIES = 20, LARGE = 200 };

enum stage { ELSEWHERE, FOLLOWING, WATCHING, OVER };

struct watch {
    struct list link;
    struct sim *sim;
    struct sim_box *provider;
    unsigned lives;
    bool is_newcomer;
    char model[32];
    uint64_t since_us, before_us; /* before: when it was looked at last */
    struct timer poll;
    size_t n;
    struct who {
        struct sim_box *box;
        unsigned lives;
        enum stage stage;
        bool is_stale; /* it follows the provider's former life, and has not noticed its end */
        uint64_t from_us;
    } who[];
};

static void watch_free(struct watch *w)
{
    timer_clear(&w->sim->sched, &w->poll);
    list_remove(&w->link);
    free(w);
}

/* --- names --- */

const char *sim_offers_name(const struct sim_box *b, unsigned n, char out[static 32])
{
    snprintf(out, 32, "extra-%u-%u", b->index, n);
    return out;
}

bool sim_offers_is_made(const struct sim_box *b, const char *model)
{
    char name[32];
    if (!b->is_provider)
        return false;
    for (unsigned i = 0; i < b->extras; i++)
        if (strcmp(sim_offers_name(b, i, name), model) == 0)
            return true;
    return strcmp(sim_model_name(b->model, name), model) == 0;
}

/* --- what is between the two --- */

static bool is_there(const struct sim_box *b, unsigned lives)
{
    return b->state == SIM_BOX_UP && b->lives == lives;
}

/* Nothing has stood between them since a while before `from_us`. */
static bool is_clear(const struct watch *w, const struct who *x)
{
    const struct sim *s = w->sim;
    const struct sim_box *p = w->provider, *b = x->box;
    bool is_relayed = sim_inside_is_relayed(b->node, sim_inside_id(p->node));
    uint64_t last = s->faults.parted_us;
    const uint64_t times[] = {b->forgot_us, p->forgot_us, is_relayed ? s->faults.silenced_us : 0};
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        last = times[i] > last ? times[i] : last;
    if (x->stage == FOLLOWING && sim_check_is_half_open(b, p))
        return false; /* it may ask over what is left of the provider's last life */
    return b->side == p->side && (!last || last + SETTLED_US < x->from_us);
}

/* --- what became of it --- */

static void saw(struct watch *w, struct who *x, uint64_t now)
{
    struct sim_tally *t = &w->sim->tally;
    if (x->stage == WATCHING)
        sim_times_add(&t->noticed_offer, now - x->from_us);
    else if (x->stage == FOLLOWING)
        sim_times_add(&t->noticed_newcomer, now - x->from_us);
    if (x->stage != WATCHING)
        sim_times_add(&t->heard_offer, now - w->since_us);
    x->stage = OVER;
}

static uint64_t limit_us(const struct who *x)
{
    return x->stage == WATCHING ? SIM_NOTICE_US : SIM_FOLLOW_US;
}

/* The time is over, and it is not there. */
static void missed(struct watch *w, struct who *x)
{
    struct sim *s = w->sim;
    const struct peer_id *id = sim_inside_id(w->provider->node);
    bool is_watching = x->stage == WATCHING ? sim_inside_watches(x->box->node, id)
                                            : sim_inside_follows(x->box->node, id);
    bool is_far = x->stage == FOLLOWING && (sim_inside_is_relayed(x->box->node, id) ||
                                            sim_inside_rtt(x->box->node, id) > FAR_US);
    if (!is_watching || !is_clear(w, x)) {
        sim_note(s, x->box, "has not seen %s: %s", w->model,
                 is_watching ? "something was in the way" : "the connection ended");
        s->tally.offers_lost++;
        x->stage = OVER;
    } else if (!is_far) {
        sim_violation(s, x->box, "%s and has not seen %s of n%u after %.2f s",
                      x->stage == WATCHING ? "watches" : "follows", w->model, w->provider->index,
                      (double)(sim_now(s) - x->from_us) / US_PER_S);
        x->stage = OVER;
    }
}

static void look(struct watch *w, struct who *x, uint64_t now)
{
    const struct peer_id *id = sim_inside_id(w->provider->node);
    if (!is_there(x->box, x->lives)) {
        x->stage = OVER;
        return;
    }
    bool follows = w->is_newcomer && sim_inside_follows(x->box->node, id);
    x->is_stale &= follows;
    if (x->stage == ELSEWHERE && follows && !x->is_stale) {
        x->stage = FOLLOWING;
        x->from_us = w->before_us;
    }
    if (sim_inside_has_offer(x->box->node, id, w->model))
        saw(w, x, now);
    else if (x->stage != ELSEWHERE && now - x->from_us >= limit_us(x))
        missed(w, x);
}

/* Each look costs as much as there are machines; so it is less often later, and in a large world. */
static uint64_t pause_us(const struct sim *s, uint64_t ago_us)
{
    uint64_t us = ago_us < 4 * SIM_NOTICE_US ? POLL_US : 5 * POLL_US;
    return s->box_count > LARGE ? 5 * us : us;
}

static void on_poll(struct timer *t)
{
    struct watch *w = CONTAINER_OF(t, struct watch, poll);
    struct sim *s = w->sim;
    uint64_t now = sim_now(s), ago = now - w->since_us;
    size_t left = 0;
    if (!is_there(w->provider, w->lives)) {
        watch_free(w);
        return;
    }
    for (size_t i = 0; i < w->n; i++) {
        look(w, &w->who[i], now);
        if (w->who[i].stage != OVER)
            w->who[left++] = w->who[i];
    }
    w->n = left;
    w->before_us = now;
    if (left && ago < WHILE_US) {
        timer_after(&s->sched, t, pause_us(s, ago));
        return;
    }
    s->tally.offers_unheard += left;
    watch_free(w);
}

/* --- beginning --- */

/* Everybody who runs, or as many as there is room for, each with the same chance. */
static void choose(struct watch *w)
{
    struct sim *s = w->sim;
    const struct peer_id *id = sim_inside_id(w->provider->node);
    size_t met = 0;
    for (size_t i = 0; i < s->box_count; i++) {
        struct sim_box *b = &s->boxes[i];
        if (b == w->provider || b->state != SIM_BOX_UP)
            continue;
        size_t at = met < SAMPLE ? met : rng_below(&s->rng, met + 1);
        met++;
        if (at >= SAMPLE)
            continue;
        bool is_watching = !w->is_newcomer && sim_inside_watches(b->node, id);
        w->who[at] = (struct who){.box = b,
                                  .lives = b->lives,
                                  .stage = is_watching ? WATCHING : ELSEWHERE,
                                  .is_stale = w->is_newcomer && sim_inside_follows(b->node, id),
                                  .from_us = w->since_us};
    }
    w->n = met < SAMPLE ? met : SAMPLE;
}

static void watch(struct sim_box *provider, const char *model, bool is_newcomer)
{
    struct sim *s = provider->sim;
    struct watch *w = mem_new(sizeof *w + SAMPLE * sizeof *w->who);
    *w = (struct watch){.sim = s,
                        .provider = provider,
                        .lives = provider->lives,
                        .is_newcomer = is_newcomer,
                        .since_us = sim_now(s),
                        .before_us = sim_now(s)};
    snprintf(w->model, sizeof w->model, "%s", model);
    choose(w);
    s->tally.offers++;
    timer_init(&w->poll, on_poll);
    timer_after(&s->sched, &w->poll, POLL_US);
    list_append(&s->offers.watches, &w->link);
}

void sim_offers_joined(struct sim_box *b)
{
    char name[32];
    if (b->is_provider)
        watch(b, sim_model_name(b->model, name), true);
}

bool sim_offers_add(struct sim_box *b)
{
    char name[32], spec[64];
    if (b->extras == SIM_EXTRAS)
        return false;
    snprintf(spec, sizeof spec, "%s=echo:?delay_ms=30", sim_offers_name(b, b->extras, name));
    b->extras++;
    sim_note(b->sim, b, "offers %s as well", name);
    watch(b, name, false);
    sim_inside_add_backend(b->node, spec);
    return true;
}

static void arm(struct sim *s)
{
    double wait = -log(1 - rng_unit(&s->rng)) * (double)(s->opts.offer_s * US_PER_S);
    if (s->opts.offer_s)
        timer_after(&s->sched, &s->offers.next, (uint64_t)wait);
}

/* Of a provider that has run for a while: who watched it before its last restart has noticed that. */
static void on_next(struct timer *t)
{
    struct sim *s = CONTAINER_OF(t, struct sim, offers.next);
    for (int i = 0; i < TRIES; i++) {
        struct sim_box *b = &s->boxes[rng_below(&s->rng, s->box_count)];
        if (b->is_provider && b->state == SIM_BOX_UP && b->since_us + SETTLED_US < sim_now(s) &&
            sim_offers_add(b))
            break;
    }
    arm(s);
}

void sim_offers_init(struct sim *s)
{
    list_init(&s->offers.watches);
    timer_init(&s->offers.next, on_next);
    arm(s);
}

void sim_offers_fini(struct sim *s)
{
    timer_clear(&s->sched, &s->offers.next);
    LIST_FOREACH_SAFE (&s->offers.watches, it)
        watch_free(LIST_ENTRY(it, struct watch, link));
}
