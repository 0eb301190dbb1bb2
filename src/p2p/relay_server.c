// SPDX-License-Identifier: MIT
/* See relay_server.h. */
#include "p2p/relay_server.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/sched.h"

#include <assert.h>
#include <stdlib.h>

enum { GRANT_MIN = 2048 }; /* under a bandwidth limit: not a byte at a time */

struct relay_place {
    uint64_t until_us;
    struct relay_group group;
    bool is_own;
};

struct relay_server_cfg relay_server_cfg_default(void)
{
    return (struct relay_server_cfg){
        .max_reservations = LIMIT_RELAY_RESERVATIONS,
        .max_per_ip = LIMIT_RELAY_PER_IP,
        .max_circuits = LIMIT_RELAY_CIRCUITS,
        .max_circuits_peer = LIMIT_RELAY_CIRCUITS_PEER,
        .max_circuits_ip = LIMIT_RELAY_CIRCUITS_IP,
        .max_own_circuits = LIMIT_RELAY_CIRCUITS_OWN,
        .max_own_circuits_peer = LIMIT_RELAY_CIRCUITS_OWN_PEER,
        .max_own_circuits_ip = LIMIT_RELAY_CIRCUITS_OWN_IP,
        .ttl_us = LIMIT_RELAY_TTL_S * US_PER_S,
        .rate = 1,
        .limit = {.duration_s = LIMIT_RELAY_DURATION_S, .bytes = LIMIT_RELAY_DATA},
    };
}

void relay_server_init(struct relay_server *s, const struct relay_server_cfg *cfg, struct rng *rng)
{
    *s = (struct relay_server){.cfg = *cfg, .tokens = (double)cfg->bytes_per_s};
    map_init(&s->places, rng_u64(rng));
    list_init(&s->circuits);
    rates_init(&s->peers, cfg->rate * LIMIT_RELAY_RATE_PEER, cfg->rate * LIMIT_RELAY_BURST_PEER,
               LIMIT_RELAY_RATED, rng_u64(rng));
    rates_init(&s->groups, cfg->rate * LIMIT_RELAY_RATE_IP, cfg->rate * LIMIT_RELAY_BURST_IP,
               LIMIT_RELAY_RATED, rng_u64(rng));
}

void relay_server_fini(struct relay_server *s)
{
    assert(list_is_empty(&s->circuits));
    for (struct map_entry *e = map_first(&s->places); e; e = map_next(&s->places, e))
        free(e->value);
    map_fini(&s->places);
    rates_fini(&s->peers);
    rates_fini(&s->groups);
}

/* --- places --- */

static void expire(struct relay_server *s, uint64_t now_us)
{
    struct map_entry *next;
    for (struct map_entry *e = map_first(&s->places); e; e = next) {
        struct relay_place *p = e->value;
        next = map_next(&s->places, e);
        if (now_us >= p->until_us) {
            map_take(&s->places, map_key(e));
            free(p);
        }
    }
}

static struct relay_place *place_of(struct relay_server *s, const struct peer_id *peer,
                                    uint64_t now_us)
{
    struct relay_place *p = map_get(&s->places, peer_id_bytes(peer));
    return p && now_us < p->until_us ? p : NULL;
}

/* Loopback is exempt: there everybody is one address. */
static struct relay_group group_of(const struct net_addr *at)
{
    struct relay_group g = {.n = 0};
    if ((at->kind == NET_IP4 || at->kind == NET_IP6) && !net_addr_is_loopback(at))
        g.n = (uint8_t)net_addr_group(at, g.b);
    return g;
}

static bool is_same_group(const struct relay_group *a, const struct relay_group *b)
{
    return a->n && a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

/* Places of that group, without the one that is about to move there or stay. */
static uint32_t places_from(const struct relay_server *s, const struct relay_group *group,
                            const struct relay_place *without)
{
    uint32_t n = 0;
    for (struct map_entry *e = map_first(&s->places); group->n && e; e = map_next(&s->places, e)) {
        const struct relay_place *p = e->value;
        n += p != without && is_same_group(&p->group, group);
    }
    return n;
}

/* Strangers' requests are counted by who they are and where they come from. */
static bool is_too_often(struct relay_server *s, const struct peer_id *peer,
                         const struct relay_group *group, uint64_t now_us)
{
    return !rates_take(&s->peers, peer_id_bytes(peer), now_us) ||
           (group->n && !rates_take(&s->groups, bytes_of(group->b, group->n), now_us));
}

static enum relay_status refuse(struct relay_server *s, enum relay_status why)
{
    s->counts.refused++;
    return why;
}

static enum relay_status refuse_place(struct relay_server *s)
{
    s->counts.refused_places++;
    return refuse(s, RELAY_RESOURCE_LIMIT);
}

enum relay_status relay_server_reserve(struct relay_server *s, const struct peer_id *peer,
                                       const struct net_addr *at, bool is_own, uint64_t now_us,
                                       uint64_t *until_us)
{
    struct relay_place like = {.group = group_of(at), .is_own = is_own || s->cfg.is_unlimited};
    if (!is_own && is_too_often(s, peer, &like.group, now_us))
        return refuse_place(s);
    expire(s, now_us);
    struct relay_place *p = place_of(s, peer, now_us);
    if (!p && map_count(&s->places) >= s->cfg.max_reservations)
        return refuse_place(s);
    if (!is_own && places_from(s, &like.group, p) >= s->cfg.max_per_ip)
        return refuse_place(s);
    if (!p) {
        p = MEM_NEW(struct relay_place);
        map_put(&s->places, peer_id_bytes(peer), p);
        s->counts.reserved++;
    }
    *p = like;
    *until_us = p->until_us = now_us + s->cfg.ttl_us;
    return RELAY_OK;
}

bool relay_server_has_place(struct relay_server *s, const struct peer_id *peer, uint64_t now_us)
{
    return place_of(s, peer, now_us) != NULL;
}

void relay_server_drop(struct relay_server *s, const struct peer_id *peer)
{
    free(map_take(&s->places, peer_id_bytes(peer)));
}

size_t relay_server_places(struct relay_server *s, uint64_t now_us)
{
    expire(s, now_us);
    return map_count(&s->places);
}

/* --- circuits --- */

/* What the peer has open already, and its IP group: of the same pool. */
struct opened {
    uint32_t by_peer, by_group;
};

static struct opened opened_like(const struct relay_server *s, const struct relay_circuit *like)
{
    struct opened n = {0};
    LIST_FOREACH ((struct list *)&s->circuits, it) {
        const struct relay_circuit *c = LIST_ENTRY(it, struct relay_circuit, link);
        if (c->is_own != like->is_own)
            continue;
        n.by_peer += peer_id_eq(&c->from, &like->from);
        n.by_group += is_same_group(&c->group, &like->group);
    }
    return n;
}

/* Who is asked by many is not counted: a provider's consumers are as many peers. */
static bool has_room(const struct relay_server *s, const struct relay_circuit *c)
{
    const struct relay_server_cfg *f = &s->cfg;
    struct opened n = opened_like(s, c);
    if (c->is_own)
        return s->owns < f->max_own_circuits && n.by_peer < f->max_own_circuits_peer &&
               n.by_group < f->max_own_circuits_ip;
    return s->strangers < f->max_circuits && n.by_peer < f->max_circuits_peer &&
           n.by_group < f->max_circuits_ip;
}

enum relay_status relay_server_connect(struct relay_server *s, struct relay_circuit *c,
                                       const struct peer_id *from, const struct net_addr *at,
                                       const struct peer_id *to, bool is_own, uint64_t now_us)
{
    const struct relay_place *p = place_of(s, to, now_us);
    struct relay_group group = group_of(at);
    *c = (struct relay_circuit){.server = s, .from = *from, .to = *to, .until_us = SCHED_NEVER};
    list_init(&c->link);
    c->is_own = is_own || s->cfg.is_unlimited || (p && p->is_own);
    if (!is_own && is_too_often(s, from, &group, now_us))
        return refuse(s, RELAY_RESOURCE_LIMIT);
    if (!is_own)
        c->group = group;
    if (!p || peer_id_eq(from, to))
        return refuse(s, RELAY_NO_RESERVATION);
    if (!has_room(s, c))
        return refuse(s, RELAY_RESOURCE_LIMIT);
    list_append(&s->circuits, &c->link);
    *(c->is_own ? &s->owns : &s->strangers) += 1;
    s->counts.opened++;
    return RELAY_OK;
}

struct relay_limit relay_circuit_limit(const struct relay_circuit *c)
{
    return c->is_own ? (struct relay_limit){0} : c->server->cfg.limit;
}

void relay_circuit_start(struct relay_circuit *c, uint64_t now_us)
{
    struct relay_limit l = relay_circuit_limit(c);
    c->until_us = l.duration_s ? now_us + l.duration_s * US_PER_S : SCHED_NEVER;
}

static void refill(struct relay_server *s, uint64_t now_us)
{
    double rate = (double)s->cfg.bytes_per_s;
    double burst = rate > GRANT_MIN ? rate : GRANT_MIN;
    s->tokens += (double)(now_us - s->filled_us) / 1e6 * rate;
    s->tokens = s->tokens < burst ? s->tokens : burst;
    s->filled_us = now_us;
}

size_t relay_circuit_allow(struct relay_circuit *c, int way, size_t want, uint64_t now_us)
{
    struct relay_server *s = c->server;
    struct relay_limit l = relay_circuit_limit(c);
    if (relay_circuit_is_over(c, now_us))
        return 0;
    if (l.bytes && want > l.bytes - c->passed[way])
        want = (size_t)(l.bytes - c->passed[way]);
    if (!s->cfg.bytes_per_s)
        return want;
    refill(s, now_us);
    if (s->tokens < GRANT_MIN)
        return 0;
    return want < (size_t)s->tokens ? want : (size_t)s->tokens;
}

uint64_t relay_circuit_again(const struct relay_circuit *c, uint64_t now_us)
{
    const struct relay_server *s = c->server;
    if (!s->cfg.bytes_per_s || s->tokens >= GRANT_MIN)
        return now_us;
    return now_us + 1 + (uint64_t)((GRANT_MIN - s->tokens) * 1e6 / (double)s->cfg.bytes_per_s);
}

void relay_circuit_passed(struct relay_circuit *c, int way, size_t n)
{
    struct relay_server *s = c->server;
    c->passed[way] += n;
    s->counts.bytes += n;
    if (s->cfg.bytes_per_s)
        s->tokens -= (double)n;
}

bool relay_circuit_is_over(const struct relay_circuit *c, uint64_t now_us)
{
    struct relay_limit l = relay_circuit_limit(c);
    return now_us >= c->until_us ||
           (l.bytes && (c->passed[0] >= l.bytes || c->passed[1] >= l.bytes));
}

void relay_circuit_end(struct relay_circuit *c, bool is_cut)
{
    struct relay_server *s = c->server;
    if (!s || list_is_empty(&c->link))
        return;
    list_remove(&c->link);
    *(c->is_own ? &s->owns : &s->strangers) -= 1;
    s->counts.cut += is_cut;
}
