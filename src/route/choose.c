// SPDX-License-Identifier: MIT
/* Costs, the draw among equals, and the explanation; see choose.h. */
#include "route/choose.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUESS_OWN_US   20000.0  /* an engine on this machine that was never asked */
#define GUESS_OTHER_US 120000.0 /* a peer that was never asked */
#define EQUAL_SHARE    1.10
#define LIMITED_FACTOR                                                                             \
    1.5 /* a circuit may be cut in the middle of an answer: more than EQUAL_SHARE */

void route_tried_add(struct route_tried *t, const struct offer *o)
{
    if (t->n == ROUTE_TRIED)
        return;
    t->v = mem_resize(t->v, (t->n + 1) * sizeof *t->v);
    t->v[t->n].peer = o->peer;
    memcpy(t->v[t->n].offer, o->id, sizeof o->id);
    t->n++;
}

void route_tried_drop_last(struct route_tried *t)
{
    if (t->n)
        t->n--;
}

void route_tried_fini(struct route_tried *t)
{
    free(t->v);
    *t = (struct route_tried){0};
}

static bool was_tried(const struct route_tried *t, const struct offer *o)
{
    for (size_t i = 0; i < t->n; i++)
        if (peer_id_eq(&t->v[i].peer, &o->peer) && strcmp(t->v[i].offer, o->id) == 0)
            return true;
    return false;
}

struct bytes route_key_of(const struct offer *o, struct route_key *k)
{
    size_t n = strlen(o->model);
    memcpy(k->b, o->peer.b, o->peer.len);
    memcpy(k->b + o->peer.len, o->model, n);
    k->n = o->peer.len + n;
    return bytes_of(k->b, k->n);
}

struct candidate {
    const struct catalogue_offer *offer;
    double cost_us, latency_us, success;
    uint32_t waiting;
};

static void weigh(struct candidate *c, const struct measure *m, uint64_t now_us)
{
    double guess = c->offer->peer->is_own ? GUESS_OWN_US : GUESS_OTHER_US;
    c->latency_us = guess;
    c->success = 1;
    if (m) {
        if (m->first_event_us > 0)
            c->latency_us = m->first_event_us;
        else if (m->rtt_us > 0)
            c->latency_us = GUESS_OWN_US + 2 * m->rtt_us;
        /* What was told goes stale: a provider that fell silent is not busy for ever. */
        bool is_fresh = now_us < m->load_at_us + LIMIT_LOAD_STALE_US;
        uint32_t told = is_fresh ? m->busy + m->queued : 0, ours = m->in_flight;
        uint32_t slots = m->slots ? m->slots : 1, load = told > ours ? told : ours;
        c->waiting = load >= slots ? load - slots + 1 : 0;
        c->success = m->success < 0.05 ? 0.05 : m->success;
        /* A free slot on a busy machine is still slower than one on an idle one. */
        c->latency_us *= 1 + (double)load / slots;
    }
    c->cost_us = c->latency_us / c->success;
    if (c->offer->peer->is_limited)
        c->cost_us *= LIMITED_FACTOR;
}

static bool fits(const struct route_request *req, const struct offer *o)
{
    if ((o->abilities & req->needs) != req->needs)
        return false;
    return !req->prompt_tokens || !o->context || req->prompt_tokens <= o->context;
}

/* Is this one of the candidates? Counts why not. */
static bool is_candidate(const struct route_request *req, const struct catalogue_offer *o,
                         const struct measure *m, const struct route_tried *tried, uint64_t now_us,
                         struct route_choice *out)
{
    bool any = catalogue_is_any(req->model);
    if (req->own_only ? !o->peer->is_own || o->is_private : req->others_only && o->peer->is_own)
        return false;
    if (any ? !(o->offer.abilities & OFFER_CHAT) : !catalogue_is_named(&o->offer, req->model))
        return false;
    if (req->may_use && !req->may_use(req->ctx, &o->offer)) {
        out->denied++;
        return false;
    }
    if (o->peer->bar != CATALOGUE_USED) {
        out->barred++;
        out->barred_peer = o->peer;
        return false;
    }
    out->named++;
    if (!fits(req, &o->offer)) {
        out->unfit++;
        return false;
    }
    if (was_tried(tried, &o->offer)) {
        out->tried++;
        return false;
    }
    if (m && measure_is_open(m, now_us)) {
        out->broken++;
        return false;
    }
    return true;
}

void route_choose(const struct route_request *req, const struct catalogue *offers,
                  const struct measures *measures, const struct route_tried *tried, uint64_t now_us,
                  struct rng *rng, struct route_choice *out)
{
    struct candidate best = {0};
    unsigned equals = 0;
    *out = (struct route_choice){0};
    for (const struct catalogue_offer *o = catalogue_next(offers, NULL); o;
         o = catalogue_next(offers, o)) {
        struct route_key key;
        const struct measure *m = measures_peek(measures, route_key_of(&o->offer, &key));
        if (!is_candidate(req, o, m, tried, now_us, out))
            continue;
        struct candidate c = {.offer = o};
        weigh(&c, m, now_us);
        out->candidates++;
        if (!best.offer || c.cost_us * EQUAL_SHARE < best.cost_us) {
            best = c;
            equals = 1;
        } else if (c.cost_us <= best.cost_us * EQUAL_SHARE) {
            /* Reservoir draw: each of n equals is kept with 1/n. */
            if (rng_below(rng, ++equals) == 0)
                best = c;
        }
    }
    out->offer = best.offer;
    out->cost_us = best.cost_us;
    out->latency_us = best.latency_us;
    out->success = best.success;
    out->waiting = best.waiting;
    out->was_drawn = equals > 1;
    out->is_limited = best.offer && best.offer->peer->is_limited;
}

const char *route_explain(const struct route_choice *c, unsigned attempt, char out[static 160])
{
    if (!c->offer) {
        snprintf(out, 160, "none; %u offers, %u tried, %u broken, %u unfit", c->named, c->tried,
                 c->broken, c->unfit);
        return out;
    }
    /* Put together by hand, in whole numbers: printf costs more than the choice. */
    uint64_t ms = (uint64_t)(c->latency_us / 1000 + 0.5);
    unsigned percent = (unsigned)(c->success * 100 + 0.5);
    struct text t = {out, 160};
    text_add(&t, c->offer->peer->is_own ? "own; " : "peer; ");
    text_add(&t, c->was_drawn ? "drawn 1 of " : "best 1 of ");
    text_add_u64(&t, c->candidates);
    text_add(&t, "; expected ");
    text_add_u64(&t, ms);
    text_add(&t, " ms; ");
    text_add_u64(&t, c->waiting);
    text_add(&t, " waiting; success ");
    text_add_u64(&t, percent / 100);
    text_add(&t, percent % 100 < 10 ? ".0" : ".");
    text_add_u64(&t, percent % 100);
    if (c->is_limited)
        text_add(&t, "; over a limited relay");
    if (attempt > 1) {
        text_add(&t, "; attempt ");
        text_add_u64(&t, attempt);
    }
    return out;
}
