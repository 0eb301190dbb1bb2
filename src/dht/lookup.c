// SPDX-License-Identifier: MIT
/* Iterative lookup; see lookup.h. */
#include "dht/lookup.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

enum { CROWD = 15 }; /* as many in the nearest quarter happen once in ten thousand keys */

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

static bool is_near(const struct dht_lookup *l, const struct dht_key *distance)
{
    return l->has_region && dht_key_cmp(distance, &l->quarter) <= 0;
}

/* How many of the nearest quarter are in the table; sorted, so they come first. */
static int count_near(const struct dht_lookup *l)
{
    int n = 0;
    while (n < l->count && is_near(l, &l->sorted[n]->distance))
        n++;
    return n;
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
    if (is_there || (is_near(l, &distance) && count_near(l) >= LIMIT_DHT_CROWD) ||
        !make_room(l, at))
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

/* Those that must have answered before all is done, nearest first: the beta nearest, and the region. */
struct needed {
    bool is_all;        /* there are few: each */
    int answered, near; /* of those passed; asked or answered in the nearest quarter */
};

static struct needed needed_of(const struct dht_lookup *l)
{
    int alive = 0;
    for (int i = 0; l->asks_all_of_few && i < l->count && alive < DHT_K; i++)
        alive += l->sorted[i]->state != DHT_FAILED;
    return (struct needed){.is_all = l->asks_all_of_few && alive < DHT_K};
}

/* 1: needed, 0: one of a crowd, passed over; -1: neither it nor whoever is farther. */
static int is_needed(const struct dht_lookup *l, const struct dht_candidate *c,
                     const struct needed *n)
{
    if (n->is_all || n->answered < l->beta)
        return 1;
    if (!l->has_region || n->answered >= LIMIT_DHT_REGION ||
        dht_key_cmp(&c->distance, &l->radius) > 0)
        return -1;
    return n->near < LIMIT_DHT_CROWD / 2 || !is_near(l, &c->distance);
}

static void pass(const struct dht_lookup *l, const struct dht_candidate *c, struct needed *n)
{
    n->answered += c->state == DHT_ANSWERED;
    n->near += is_near(l, &c->distance) && (c->state == DHT_ASKED || c->state == DHT_ANSWERED);
}

struct dht_candidate *dht_lookup_next(struct dht_lookup *l)
{
    struct needed n = needed_of(l);
    if (l->in_flight >= l->alpha || dht_lookup_is_done(l))
        return NULL;
    for (int i = 0; i < l->count; i++) {
        struct dht_candidate *c = l->sorted[i];
        if (c->state == DHT_HEARD && is_needed(l, c, &n) != 0) {
            c->state = DHT_ASKED;
            l->in_flight++;
            return c;
        }
        pass(l, c, &n);
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

void dht_lookup_set_region(struct dht_lookup *l, const struct dht_key *radius)
{
    l->has_region = true;
    l->radius = *radius;
    for (int i = 0; i < 32; i++)
        l->quarter.b[i] = (uint8_t)(radius->b[i] >> 2 | (i ? radius->b[i - 1] << 6 : 0));
}

bool dht_lookup_is_crowded(const struct dht_lookup *l)
{
    return count_near(l) > CROWD;
}

bool dht_lookup_is_inside(const struct dht_lookup *l, const struct dht_key *key)
{
    struct dht_key distance = dht_key_distance(key, &l->target);
    return l->has_region && dht_key_cmp(&distance, &l->radius) <= 0;
}

bool dht_lookup_is_done(const struct dht_lookup *l)
{
    struct needed n = needed_of(l);
    for (int i = 0, need; i < l->count && (need = is_needed(l, l->sorted[i], &n)) >= 0; i++) {
        const struct dht_candidate *c = l->sorted[i];
        bool is_out = c->state == DHT_FAILED || c->state == DHT_ELSEWHERE ||
                      (c->is_slow && !l->waits_for_slow && n.answered > 0);
        if (need > 0 && !is_out && c->state != DHT_ANSWERED)
            return false;
        pass(l, c, &n);
    }
    /* all that are needed, or nobody is left to ask or to wait for */
    return n.answered >= l->beta || (l->in_flight == 0 && l->slow == 0);
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
