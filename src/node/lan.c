// SPDX-License-Identifier: MIT
/* The LAN; see lan.h. */
#include "node/lan.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/trace.h"

#include <stdlib.h>

/* Both hear of each other at the same time: the smaller id dials at once, the other one waits. */
#define WAIT_US    (700 * US_PER_MS)
#define TIMEOUT_US (5 * US_PER_S)
#define SWEEP_US   (15 * US_PER_S)

struct lan_dial {
    struct list link;
    struct lan *l;
    struct peer_id peer;
    struct p2p_connect connect;
    struct timer wait;
    bool is_connecting;
};

/* --- dialling --- */

static void dial_free(struct lan_dial *d)
{
    if (d->is_connecting)
        p2p_connect_cancel(&d->connect);
    timer_clear(d->l->sched, &d->wait);
    list_remove(&d->link);
    free(d);
}

static void on_connect(struct p2p_connect *r, int err, const struct peer_id *peer, const char *why)
{
    struct lan_dial *d = CONTAINER_OF(r, struct lan_dial, connect);
    char who[16];
    d->is_connecting = false;
    if (err)
        TRACE(NODE, DEBUG, "lan: %s cannot be reached: %s -> listed only",
              peer_id_short(&d->peer, who), why && *why ? why : err_text(err));
    else
        (void)map_put(&d->l->connected, peer_id_bytes(&d->peer), d->l);
    dial_free(d);
}

static void on_wait(struct timer *t)
{
    struct lan_dial *d = CONTAINER_OF(t, struct lan_dial, wait);
    if (p2p_host_is_connected(d->l->host, &d->peer)) {
        dial_free(d);
        return;
    }
    d->is_connecting = true;
    d->connect = (struct p2p_connect){
        .peer = &d->peer, .timeout_us = TIMEOUT_US, .done = on_connect}; /* learnt addresses */
    p2p_host_connect(d->l->host, &d->connect);
}

static bool is_dialling(const struct lan *l, const struct peer_id *peer)
{
    LIST_FOREACH ((struct list *)&l->dials, it)
        if (peer_id_eq(&LIST_ENTRY(it, struct lan_dial, link)->peer, peer))
            return true;
    return false;
}

static size_t dial_count(const struct lan *l)
{
    size_t n = map_count(&l->connected);
    LIST_FOREACH ((struct list *)&l->dials, it)
        n++;
    return n;
}

static void dial(struct lan *l, const struct peer_id *peer)
{
    if (p2p_host_is_connected(l->host, peer) || is_dialling(l, peer) ||
        dial_count(l) >= LIMIT_LAN_DIALS)
        return;
    struct lan_dial *d = MEM_NEW(struct lan_dial);
    d->l = l;
    d->peer = *peer;
    timer_init(&d->wait, on_wait);
    list_append(&l->dials, &d->link);
    bool is_first = peer_id_cmp(p2p_host_id(l->host), peer) < 0;
    timer_after(l->sched, &d->wait, is_first ? 0 : WAIT_US);
}

/* Everybody known gets a turn, beginning after who had the last one: liars in front do not hold up the others.
 * Who failed a moment ago is left alone by the host. */
static void on_sweep(struct timer *t)
{
    struct lan *l = CONTAINER_OF(t, struct lan, sweep);
    struct map_entry *at = NULL;
    const struct mdns_peer *p;
    size_t known = map_count(&mdns_of(l->mdns)->peers);
    while ((p = lan_next(l, &at)) && !peer_id_eq(&p->id, &l->swept))
        ;
    for (size_t i = 0; i < known && dial_count(l) < LIMIT_LAN_DIALS; i++) {
        p = lan_next(l, &at);
        if (!p) /* round to the first one */
            p = lan_next(l, &at);
        if (!p)
            break;
        l->swept = p->id;
        dial(l, &p->id);
    }
    timer_after(l->sched, &l->sweep, SWEEP_US);
}

/* --- what mDNS says --- */

static size_t own_addrs(void *ctx, const struct bytes **out)
{
    return p2p_host_addrs(((struct lan *)ctx)->host, out);
}

static void on_found(void *ctx, const struct mdns_peer *peer, bool is_news)
{
    struct lan *l = ctx;
    struct bytes addrs[LIMIT_MDNS_ADDRS];
    char who[16];
    bool was_known = trust_reasons(l->trust, &peer->id) & TRUST_LAN;
    for (size_t i = 0; i < peer->addr_count; i++)
        addrs[i] = multiaddr_bytes(&peer->addrs[i]);
    trust_add(l->trust, &peer->id, TRUST_LAN);
    p2p_host_learn(l->host, &peer->id, addrs, peer->addr_count,
                   peer->expires_us - sched_now(l->sched));
    if (is_news)
        TRACE(NODE, INFO, "lan: %s is here -> %s", peer_id_short(&peer->id, who),
              trust_verdict(l->trust, &peer->id));
    if (!was_known)
        l->cfg.learnt(l->cfg.ctx, &peer->id);
    dial(l, &peer->id);
}

static void on_lost(void *ctx, const struct mdns_peer *peer)
{
    char who[16];
    TRACE(NODE, INFO, "lan: %s is gone", peer_id_short(&peer->id, who));
}

/* --- connections --- */

/* The network part of a LAN: a private address, or one of the /24 or /64 we are in ourselves. */
static bool is_near(struct lan *l, const struct net_addr *at)
{
    const struct bytes *own;
    if (net_addr_is_private(at))
        return true;
    size_t n = p2p_host_addrs(l->host, &own);
    for (size_t i = 0; i < n; i++) {
        struct net_addr ours;
        if (multiaddr_to_net(own[i], &ours) == 0 && ours.kind == at->kind &&
            memcmp(ours.ip, at->ip, at->kind == NET_IP4 ? 3 : 8) == 0)
            return true;
    }
    return false;
}

static void on_connected(struct p2p_watch *w, const struct peer_id *peer)
{
    struct lan *l = CONTAINER_OF(w, struct lan, watch);
    struct p2p_peer_view v;
    if (!p2p_host_peer(l->host, peer, &v))
        return;
    enum trust_path path = v.is_relayed                      ? TRUST_FROM_AFAR
                           : net_addr_is_loopback(&v.remote) ? TRUST_FROM_SELF
                           : is_near(l, &v.remote)           ? TRUST_FROM_LAN
                                                             : TRUST_FROM_AFAR;
    trust_connected(l->trust, peer, path, v.is_inbound);
    if (l->mdns)
        mdns_met(mdns_of(l->mdns), peer);
    l->cfg.learnt(l->cfg.ctx, peer);
}

static void on_disconnected(struct p2p_watch *w, const struct peer_id *peer, int err)
{
    struct lan *l = CONTAINER_OF(w, struct lan, watch);
    (void)map_take(&l->connected, peer_id_bytes(peer));
    trust_disconnected(l->trust, peer);
}

static void on_addrs_changed(struct p2p_watch *w)
{
    struct lan *l = CONTAINER_OF(w, struct lan, watch);
    if (l->mdns)
        mdns_changed(mdns_of(l->mdns));
}

/* --- life --- */

void lan_init(struct lan *l, const struct lan_cfg *cfg)
{
    *l = (struct lan){
        .cfg = *cfg, .host = cfg->host, .sched = loop_sched(cfg->loop), .trust = cfg->trust};
    list_init(&l->dials);
    map_init(&l->connected, rng_u64(loop_rng(cfg->loop)));
    l->watch = (struct p2p_watch){.connected = on_connected,
                                  .disconnected = on_disconnected,
                                  .addrs_changed = on_addrs_changed};
    p2p_host_watch(l->host, &l->watch);
    if (!cfg->has_mdns)
        return;
    struct mdns_shell_cfg mdns = {.self = *p2p_host_id(l->host),
                                  .network = cfg->network,
                                  .addrs = own_addrs,
                                  .found = on_found,
                                  .lost = on_lost,
                                  .ctx = l};
    l->mdns = mdns_open(cfg->loop, &mdns);
    timer_init(&l->sweep, on_sweep);
    timer_after(l->sched, &l->sweep, SWEEP_US);
}

void lan_fini(struct lan *l)
{
    if (!l->host)
        return;
    if (l->mdns)
        timer_clear(l->sched, &l->sweep);
    mdns_close(l->mdns);
    p2p_host_unwatch(&l->watch);
    LIST_FOREACH_SAFE (&l->dials, it)
        dial_free(LIST_ENTRY(it, struct lan_dial, link));
    map_fini(&l->connected);
    *l = (struct lan){0};
}

const char *lan_interfaces(const struct lan *l, char *out, size_t size)
{
    out[0] = 0;
    return l->mdns ? mdns_interfaces(l->mdns, out, size) : out;
}

const struct mdns_peer *lan_next(const struct lan *l, struct map_entry **at)
{
    return l->mdns ? mdns_next(mdns_of(l->mdns), at) : NULL;
}

bool lan_counts(const struct lan *l, uint64_t *messages, size_t *peers)
{
    if (!l->mdns)
        return false;
    *messages = mdns_of(l->mdns)->counts.packets;
    *peers = map_count(&mdns_of(l->mdns)->peers);
    return true;
}
