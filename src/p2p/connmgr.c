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

/* What is remembered of an IP group; dropped when nothing is pending and the bucket is full. */
struct group {
    uint32_t pending;
    double tokens;
    uint64_t filled_us;
};

struct connmgr_cfg connmgr_cfg_default(void)
{
    return (struct connmgr_cfg){
        .max_pending = LIMIT_CONNS_PENDING,
        .max_pending_per_ip = LIMIT_CONNS_PENDING_IP,
        .max_total = LIMIT_CONNS,
        .max_per_peer = LIMIT_CONNS_PEER,
        .rate_per_s = LIMIT_ACCEPT_RATE,
        .rate_burst = LIMIT_ACCEPT_BURST,
        .high = LIMIT_CONNS * 3 / 4,
        .low = LIMIT_CONNS / 2,
        .grace_us = 30 * US_PER_S,
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

static void refill(const struct connmgr *m, struct group *g, uint64_t now_us)
{
    double more = (double)(now_us - g->filled_us) / US_PER_S * m->cfg.rate_per_s;
    g->tokens = g->tokens + more > m->cfg.rate_burst ? m->cfg.rate_burst : g->tokens + more;
    g->filled_us = now_us;
}

static bool is_idle(const struct connmgr *m, struct group *g, uint64_t now_us)
{
    refill(m, g, now_us);
    return g->pending == 0 && g->tokens >= m->cfg.rate_burst;
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

static struct group *group_get(struct connmgr *m, struct bytes key, uint64_t now_us)
{
    struct group *g = map_get(&m->groups, key);
    if (g || map_count(&m->groups) >= LIMIT_ACCEPT_GROUPS)
        return g;
    g = MEM_NEW(struct group);
    *g = (struct group){.tokens = m->cfg.rate_burst, .filled_us = now_us};
    map_put(&m->groups, key, g);
    return g;
}

static int refuse(uint64_t *count)
{
    ++*count;
    return E_LIMIT;
}

int connmgr_accept(struct connmgr *m, const struct net_addr *from, uint64_t now_us)
{
    uint8_t key[8];
    if (m->pending >= m->cfg.max_pending)
        return refuse(&m->counts.refused_pending);
    if (m->total >= m->cfg.max_total)
        return refuse(&m->counts.refused_total);
    if (!net_addr_is_loopback(from)) {
        sweep(m, now_us);
        struct group *g = group_get(m, bytes_of(key, net_addr_group(from, key)), now_us);
        if (!g)
            return refuse(&m->counts.refused_rate);
        refill(m, g, now_us);
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

void connmgr_settle(struct connmgr *m, const struct net_addr *from, uint64_t now_us)
{
    uint8_t key[8];
    assert(m->pending > 0);
    m->pending--;
    if (net_addr_is_loopback(from))
        return;
    struct group *g = map_get(&m->groups, bytes_of(key, net_addr_group(from, key)));
    assert(g && g->pending > 0);
    g->pending--;
}

int connmgr_admit(struct connmgr *m, uint32_t per_peer)
{
    if (per_peer >= m->cfg.max_per_peer)
        return refuse(&m->counts.refused_peer);
    if (m->total >= m->cfg.max_total)
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
    if (v->is_protected || v->streams || now_us < v->opened_us + m->cfg.grace_us)
        return UINT64_MAX;
    return v->used_us + (v->is_known ? 3600 * US_PER_S : 0);
}
