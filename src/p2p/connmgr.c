// SPDX-License-Identifier: MIT
/* See connmgr.h. */
#include "p2p/connmgr.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/sched.h"

#include <assert.h>
#include <stdlib.h>

enum { SWEEP_US = 10 * 1000 * 1000 };

enum group_kind { GROUP_IP = 'i', GROUP_RELAY = 'r', GROUP_PEER = 'p' };
enum { NAME_MAX_BYTES = 48 }; /* a peer id is the longest */

/* What is remembered of an IP group, a relay or a peer; dropped when nothing is pending and the bucket is full. */
struct group {
    uint8_t kind;
    uint32_t pending;
    double tokens;
    uint64_t filled_us;
};

struct connmgr_cfg connmgr_cfg_default(void)
{
    return (struct connmgr_cfg){
        .max_pending = LIMIT_CONNS_PENDING,
        .max_pending_per_ip = LIMIT_CONNS_PENDING_IP,
        .max_pending_per_relay = LIMIT_CONNS_PENDING_RELAY,
        .max_total = LIMIT_CONNS,
        .max_per_peer = LIMIT_CONNS_PEER,
        .rate_per_s = LIMIT_ACCEPT_RATE,
        .rate_burst = LIMIT_ACCEPT_BURST,
        .relay_rate_per_s = LIMIT_ACCEPT_RATE_RELAY,
        .relay_rate_burst = LIMIT_ACCEPT_BURST_RELAY,
        .high = LIMIT_CONNS * 3 / 4,
        .low = LIMIT_CONNS / 2,
        .grace_us = 30 * US_PER_S,
        .silent_us = 30 * US_PER_S,
    };
}

void connmgr_init(struct connmgr *m, const struct connmgr_cfg *cfg, struct rng *rng)
{
    *m = (struct connmgr){.cfg = *cfg};
    map_init(&m->groups, rng_u64(rng));
}

void connmgr_fini(struct connmgr *m)
{
    for (struct map_entry *e = map_first(&m->groups); e; e = map_next(&m->groups, e))
        free(e->value);
    map_fini(&m->groups);
}

static uint32_t burst_of(const struct connmgr *m, const struct group *g)
{
    return g->kind == GROUP_RELAY ? m->cfg.relay_rate_burst : m->cfg.rate_burst;
}

static void refill(const struct connmgr *m, struct group *g, uint64_t now_us)
{
    uint32_t rate = g->kind == GROUP_RELAY ? m->cfg.relay_rate_per_s : m->cfg.rate_per_s;
    double sum = g->tokens + (double)(now_us - g->filled_us) / US_PER_S * rate;
    g->tokens = sum > burst_of(m, g) ? burst_of(m, g) : sum;
    g->filled_us = now_us;
}

static bool is_idle(const struct connmgr *m, struct group *g, uint64_t now_us)
{
    refill(m, g, now_us);
    return g->pending == 0 && g->tokens >= burst_of(m, g);
}

static void sweep(struct connmgr *m, uint64_t now_us)
{
    struct map_entry *next;
    if (now_us < m->swept_us + SWEEP_US && map_count(&m->groups) < LIMIT_ACCEPT_GROUPS)
        return;
    m->swept_us = now_us;
    for (struct map_entry *e = map_first(&m->groups); e; e = next) {
        struct group *g = e->value;
        next = map_next(&m->groups, e);
        if (is_idle(m, g, now_us)) {
            map_take(&m->groups, map_key(e));
            free(g);
        }
    }
}

/* A peer may be a relay, too: names of different kinds differ. */
static struct bytes key_of(enum group_kind kind, struct bytes name, uint8_t out[NAME_MAX_BYTES])
{
    assert(name.n < NAME_MAX_BYTES);
    out[0] = (uint8_t)kind;
    memcpy(out + 1, name.p, name.n);
    return bytes_of(out, name.n + 1);
}

static struct group *group_peek(struct connmgr *m, enum group_kind kind, struct bytes name)
{
    uint8_t key[NAME_MAX_BYTES];
    return map_get(&m->groups, key_of(kind, name, key));
}

/* Filled up to now; NULL: there are too many. */
static struct group *group_get(struct connmgr *m, enum group_kind kind, struct bytes name,
                               uint64_t now_us)
{
    uint8_t key[NAME_MAX_BYTES];
    struct group *g = group_peek(m, kind, name);
    if (!g && map_count(&m->groups) < LIMIT_ACCEPT_GROUPS) {
        g = MEM_NEW(struct group);
        *g = (struct group){.kind = (uint8_t)kind, .filled_us = now_us};
        g->tokens = burst_of(m, g);
        map_put(&m->groups, key_of(kind, name, key), g);
    }
    if (g)
        refill(m, g, now_us);
    return g;
}

static int refuse(uint64_t *count)
{
    ++*count;
    return E_LIMIT;
}

int connmgr_accept(struct connmgr *m, const struct net_addr *from, uint64_t now_us)
{
    uint8_t name[8];
    if (m->pending >= m->cfg.max_pending)
        return refuse(&m->counts.refused_pending);
    if (!net_addr_is_loopback(from)) {
        sweep(m, now_us);
        struct group *g =
            group_get(m, GROUP_IP, bytes_of(name, net_addr_group(from, name)), now_us);
        if (!g)
            return refuse(&m->counts.refused_rate);
        if (g->pending >= m->cfg.max_pending_per_ip)
            return refuse(&m->counts.refused_ip);
        if (g->tokens < 1)
            return refuse(&m->counts.refused_rate);
        g->tokens -= 1;
        g->pending++;
    }
    m->pending++;
    return 0;
}

int connmgr_accept_circuit(struct connmgr *m, struct bytes relay, struct bytes peer,
                           uint64_t now_us)
{
    if (m->pending >= m->cfg.max_pending)
        return refuse(&m->counts.refused_pending);
    sweep(m, now_us);
    struct group *r = group_get(m, GROUP_RELAY, relay, now_us);
    struct group *p = r ? group_get(m, GROUP_PEER, peer, now_us) : NULL;
    if (!p)
        return refuse(&m->counts.refused_relay_rate);
    if (r->pending >= m->cfg.max_pending_per_relay)
        return refuse(&m->counts.refused_relay);
    if (r->tokens < 1 || p->tokens < 1) /* a peer that is refused takes nothing from the others */
        return refuse(&m->counts.refused_relay_rate);
    r->tokens -= 1;
    p->tokens -= 1;
    r->pending++;
    m->pending++;
    return 0;
}

static void settle(struct connmgr *m, struct group *g)
{
    assert(m->pending > 0 && g && g->pending > 0);
    m->pending--;
    g->pending--;
}

void connmgr_settle(struct connmgr *m, const struct net_addr *from, uint64_t now_us)
{
    uint8_t name[8];
    if (!net_addr_is_loopback(from)) {
        settle(m, group_peek(m, GROUP_IP, bytes_of(name, net_addr_group(from, name))));
        return;
    }
    assert(m->pending > 0);
    m->pending--;
}

void connmgr_settle_circuit(struct connmgr *m, struct bytes relay)
{
    settle(m, group_peek(m, GROUP_RELAY, relay));
}

bool connmgr_is_full(struct connmgr *m, struct bytes relay)
{
    const struct group *g = group_peek(m, GROUP_RELAY, relay);
    return g && g->pending >= m->cfg.max_pending_per_relay;
}

bool connmgr_may_displace(uint32_t own, uint32_t largest)
{
    return largest >= 2 * (own + 1);
}

bool connmgr_may_come(struct connmgr *m, uint32_t own, uint32_t largest)
{
    bool may = !connmgr_is_taken(m) || connmgr_may_displace(own, largest);
    m->counts.refused_total += !may;
    return may;
}

int connmgr_admit(struct connmgr *m, uint32_t per_peer)
{
    if (per_peer >= m->cfg.max_per_peer)
        return refuse(&m->counts.refused_peer);
    if (connmgr_is_taken(m))
        return refuse(&m->counts.refused_total);
    m->total++;
    return 0;
}

void connmgr_drop(struct connmgr *m)
{
    assert(m->total > 0);
    m->total--;
}

uint64_t connmgr_worth(const struct connmgr *m, const struct connmgr_view *v, uint64_t now_us)
{
    if (v->is_needed || now_us < v->opened_us + m->cfg.grace_us)
        return UINT64_MAX;
    if (v->streams && now_us < v->used_us + m->cfg.silent_us)
        return UINT64_MAX;
    return (v->streams ? CONNMGR_LAST_RESORT : 0) + v->used_us +
           (v->is_known ? 3600 * US_PER_S : 0);
}
