// SPDX-License-Identifier: MIT
/* Iterative lookup; see lookup.h. */
#include "dht/lookup.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

void dht_lookup_init(struct dht_lookup *l, struct bytes target, const struct peer_id *self,
                     int beta, bool waits_for_slow)
{
    *l = (struct dht_lookup){.target = dht_key_of(target),
                             .self = *self,
                             .alpha = DHT_ALPHA,
                             .beta = beta,
                             .max = LIMIT_DHT_CANDIDATES,
                             .waits_for_slow = waits_for_slow};
    l->sorted = mem_array(LIMIT_DHT_CANDIDATES, sizeof(struct dht_candidate *));
}

static void candidate_free(struct dht_candidate *c)
{
    dht_addrs_fini(&c->addrs);
    free(c);
}

void dht_lookup_fini(struct dht_lookup *l)
{
    for (int i = 0; i < l->count; i++)
        candidate_free(l->sorted[i]);
    free(l->sorted);
    *l = (struct dht_lookup){0};
}

/* Where a distance belongs; *is_there when it is the candidate of that id itself. */
static int place_of(const struct dht_lookup *l, const struct dht_key *distance, bool *is_there)
{
    int lo = 0, hi = l->count;
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (dht_key_cmp(&l->sorted[mid]->distance, distance) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *is_there = lo < l->count && dht_key_cmp(&l->sorted[lo]->distance, distance) == 0;
    return lo;
}

/* A full table gives up its farthest peer, unless that one is being asked. */
static bool make_room(struct dht_lookup *l, int at)
{
    if (l->count < l->max)
        return true;
    struct dht_candidate *last = l->sorted[l->count - 1];
    if (at >= l->count || last->state == DHT_ASKED)
        return false;
    candidate_free(last);
    l->count--;
    return true;
}

struct dht_candidate *dht_lookup_add(struct dht_lookup *l, const struct dht_peer *peer, int hops)
{
    bool is_there;
    if (peer->addr_count == 0 || peer_id_eq(&peer->id, &l->self))
        return NULL;
    struct dht_key key = dht_key_of(peer_id_bytes(&peer->id));
    struct dht_key distance = dht_key_distance(&key, &l->target);
    int at = place_of(l, &distance, &is_there);
    if (is_there || !make_room(l, at))
        return NULL;
    struct dht_candidate *c = MEM_NEW(struct dht_candidate);
    c->id = peer->id;
    c->distance = distance;
    c->hops = (uint8_t)(hops < 255 ? hops : 255);
    dht_addrs_set(&c->addrs, peer->addrs, peer->addr_count);
    memmove(l->sorted + at + 1, l->sorted + at, (size_t)(l->count - at) * sizeof *l->sorted);
    l->sorted[at] = c;
    l->count++;
    return c;
}

struct dht_candidate *dht_lookup_next(struct dht_lookup *l)
{
    if (l->in_flight >= l->alpha || dht_lookup_is_done(l))
        return NULL;
    for (int i = 0; i < l->count; i++) {
        struct dht_candidate *c = l->sorted[i];
        if (c->state != DHT_HEARD)
            continue;
        c->state = DHT_ASKED;
        l->in_flight++;
        return c;
    }
    return NULL;
}

static void end_question(struct dht_lookup *l, struct dht_candidate *c)
{
    assert(c->state == DHT_ASKED);
    if (c->is_slow)
        l->slow--;
    else
        l->in_flight--;
    c->is_slow = false;
    c->asked = NULL;
}

void dht_lookup_answered(struct dht_lookup *l, struct dht_candidate *c)
{
    end_question(l, c);
    c->state = DHT_ANSWERED;
}

void dht_lookup_failed(struct dht_lookup *l, struct dht_candidate *c)
{
    end_question(l, c);
    c->state = DHT_FAILED;
}

void dht_lookup_slow(struct dht_lookup *l, struct dht_candidate *c)
{
    if (c->state != DHT_ASKED || c->is_slow)
        return;
    c->is_slow = true;
    l->in_flight--;
    l->slow++;
}

void dht_lookup_leave(struct dht_lookup *l, struct dht_candidate *c)
{
    end_question(l, c);
    c->state = DHT_ELSEWHERE;
}

void dht_lookup_take_back(struct dht_lookup *l, struct dht_candidate *c)
{
    if (c->state == DHT_ELSEWHERE)
        c->state = DHT_HEARD;
}

struct dht_candidate *dht_lookup_find(const struct dht_lookup *l, const struct peer_id *id)
{
    bool is_there;
    struct dht_key key = dht_key_of(peer_id_bytes(id));
    struct dht_key distance = dht_key_distance(&key, &l->target);
    int at = place_of(l, &distance, &is_there);
    return is_there ? l->sorted[at] : NULL;
}

/* Must this one have answered before all is done? The beta nearest, and the region. */
static bool is_needed(const struct dht_lookup *l, const struct dht_candidate *c, int answered)
{
    return answered < l->beta || (l->has_region && answered < LIMIT_DHT_REGION &&
                                  dht_key_cmp(&c->distance, &l->radius) <= 0);
}

bool dht_lookup_is_done(const struct dht_lookup *l)
{
    int answered = 0;
    for (int i = 0; i < l->count && is_needed(l, l->sorted[i], answered); i++) {
        const struct dht_candidate *c = l->sorted[i];
        if (c->state == DHT_FAILED || c->state == DHT_ELSEWHERE ||
            (c->is_slow && !l->waits_for_slow && answered > 0))
            continue;
        if (c->state != DHT_ANSWERED)
            return false;
        answered++;
    }
    /* all of the beta nearest, or nobody is left to ask or to wait for */
    return answered >= l->beta || (l->in_flight == 0 && l->slow == 0);
}

int dht_lookup_region(const struct dht_lookup *l, struct dht_candidate **out, int n)
{
    int count = 0;
    for (int i = 0; i < l->count && count < n; i++) {
        struct dht_candidate *c = l->sorted[i];
        bool is_near =
            count < DHT_K || (l->has_region && dht_key_cmp(&c->distance, &l->radius) <= 0);
        if (c->state == DHT_ANSWERED && is_near)
            out[count++] = c;
    }
    return count;
}

int dht_lookup_nearest(const struct dht_lookup *l, struct dht_candidate **out, int n)
{
    int count = 0;
    for (int i = 0; i < l->count && count < n; i++)
        if (l->sorted[i]->state == DHT_ANSWERED)
            out[count++] = l->sorted[i];
    return count;
}
