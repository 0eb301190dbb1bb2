// SPDX-License-Identifier: MIT
/* Sockets for mDNS; see mdns_shell.h. */
#include "p2p/mdns_shell.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/trace.h"
#include "loop/loop.h"
#include "p2p/mdns_links.h"

#include <stdio.h>
#include <stdlib.h>

#define SCAN_US (3 * US_PER_S)
enum { INTERFACES_MAX = 128 };

struct link {
    struct mdns_shell *s;
    struct mdns_pick pick;
    struct loop_udp *udp; /* NULL: this place is free */
    bool is_broken;       /* a send failed: opened again by the next look */
};

struct mdns_shell {
    struct mdns_shell_cfg cfg;
    struct loop *loop;
    struct mdns mdns;
    struct link links[LIMIT_MDNS_LINKS];
    struct timer scan;
    int refused; /* the last error of opening, told once */
};

/* --- links --- */

static void received(void *ctx, const struct net_addr *from, struct bytes datagram)
{
    struct link *k = ctx;
    mdns_heard(&k->s->mdns, k->pick.key, from, datagram);
}

static void group_of(enum net_kind kind, struct net_addr *out)
{
    (void)net_addr_parse_ip(kind == NET_IP4 ? "224.0.0.251" : "ff02::fb", MDNS_PORT, out);
}

static int link_open(struct link *k, const struct mdns_pick *pick)
{
    struct net_addr group;
    struct loop_interface on = {.index = pick->index};
    struct loop_udp_options o = {
        .reuse = true, .group = &group, .on = &on, .received = received, .ctx = k};
    group_of(pick->kind, &group);
    (void)net_addr_parse_ip(pick->kind == NET_IP4 ? "0.0.0.0" : "::", MDNS_PORT, &o.at);
    int err = loop_udp_open(k->s->loop, &o, &k->udp);
    if (err) {
        k->udp = NULL;
        return err;
    }
    k->pick = *pick;
    k->is_broken = false;
    err = mdns_link_up(&k->s->mdns, pick->key, pick->addrs, pick->addr_count);
    TRACE(P2P, DEBUG, "mdns: speaking on %s, IPv%d", pick->name, pick->kind == NET_IP4 ? 4 : 6);
    return err;
}

static void link_close(struct link *k)
{
    TRACE(P2P, DEBUG, "mdns: no longer on %s", k->pick.name);
    mdns_link_down(&k->s->mdns, k->pick.key);
    loop_udp_close(k->udp);
    k->udp = NULL;
}

static const struct mdns_pick *find_pick(const struct mdns_pick *v, size_t n, uint32_t key)
{
    for (size_t i = 0; i < n; i++)
        if (v[i].key == key)
            return &v[i];
    return NULL;
}

static struct link *find_link(struct mdns_shell *s, uint32_t key)
{
    for (size_t i = 0; i < LIMIT_MDNS_LINKS; i++)
        if (s->links[i].udp && s->links[i].pick.key == key)
            return &s->links[i];
    return NULL;
}

/* True when something changed. */
static bool drop_links(struct mdns_shell *s, const struct mdns_pick *v, size_t n)
{
    bool changed = false;
    for (size_t i = 0; i < LIMIT_MDNS_LINKS; i++) {
        struct link *k = &s->links[i];
        const struct mdns_pick *p = k->udp ? find_pick(v, n, k->pick.key) : NULL;
        if (!k->udp)
            continue;
        if (!p || k->is_broken) {
            link_close(k);
            changed = true;
        } else if (!mdns_pick_same_addrs(p, &k->pick)) {
            k->pick = *p;
            (void)mdns_link_up(&s->mdns, p->key, p->addrs, p->addr_count);
            changed = true;
        }
    }
    return changed;
}

static bool add_link(struct mdns_shell *s, const struct mdns_pick *p)
{
    size_t i = 0;
    while (i < LIMIT_MDNS_LINKS && s->links[i].udp)
        i++;
    if (i == LIMIT_MDNS_LINKS)
        return false;
    s->links[i].s = s;
    int err = link_open(&s->links[i], p);
    if (err && err != s->refused)
        TRACE(P2P, WARN, "mdns: cannot listen on %s, port %d: %s -> not found on that LAN", p->name,
              MDNS_PORT, err_text(err));
    s->refused = err;
    return !err;
}

/* Places to speak, as the system is now. */
static size_t look(struct mdns_shell *s, struct mdns_pick *out, size_t max)
{
    struct loop_interface *all = mem_array(INTERFACES_MAX, sizeof *all);
    struct mdns_interface *rows = mem_array(INTERFACES_MAX, sizeof *rows);
    size_t n = loop_interface_list(s->loop, all, INTERFACES_MAX);
    for (size_t i = 0; i < n; i++) {
        rows[i] = (struct mdns_interface){.index = all[i].index, .addr = all[i].addr};
        rows[i].is_usable =
            all[i].is_up && all[i].is_multicast && !all[i].is_loopback && !all[i].is_point_to_point;
        memcpy(rows[i].name, all[i].name, sizeof rows[i].name);
    }
    n = mdns_pick_links(rows, n, out, max);
    free(all);
    free(rows);
    return n;
}

static void scan(struct mdns_shell *s)
{
    struct mdns_pick *picks = mem_array(LIMIT_MDNS_LINKS, sizeof *picks);
    size_t n = look(s, picks, LIMIT_MDNS_LINKS);
    bool changed = drop_links(s, picks, n);
    for (size_t i = 0; i < n; i++)
        if (!find_link(s, picks[i].key))
            changed |= add_link(s, &picks[i]);
    free(picks);
    timer_after(loop_sched(s->loop), &s->scan, SCAN_US);
    if (changed && s->cfg.links_changed)
        s->cfg.links_changed(s->cfg.ctx);
}

static void on_scan(struct timer *t)
{
    scan(CONTAINER_OF(t, struct mdns_shell, scan));
}

/* --- the machine's port --- */

static void port_send(void *ctx, uint32_t key, struct bytes datagram)
{
    struct mdns_shell *s = ctx;
    struct link *k = find_link(s, key);
    struct net_addr group;
    if (!k)
        return;
    group_of(k->pick.kind, &group);
    group.scope_id = k->pick.kind == NET_IP6 ? k->pick.index : 0;
    int err = loop_udp_send(k->udp, &group, datagram);
    if (err && err != E_AGAIN) {
        TRACE(P2P, DEBUG, "mdns: sending on %s: %s", k->pick.name, err_text(err));
        k->is_broken = true;
    }
}

/* Of our addresses, those of the interface that the question came in by. */
static size_t port_addrs(void *ctx, uint32_t key, struct multiaddr *out, size_t max)
{
    struct mdns_shell *s = ctx;
    const struct link *k = find_link(s, key);
    const struct bytes *all;
    size_t n = s->cfg.addrs(s->cfg.ctx, &all), count = 0;
    for (size_t i = 0; k && i < n && count < max; i++) {
        struct net_addr at;
        if (multiaddr_to_net(all[i], &at) == 0 && mdns_pick_has(&k->pick, &at) &&
            multiaddr_copy(all[i], &out[count]) == 0)
            count++;
    }
    return count;
}

static void port_found(void *ctx, const struct mdns_peer *peer, bool is_news)
{
    struct mdns_shell *s = ctx;
    s->cfg.found(s->cfg.ctx, peer, is_news);
}

static void port_lost(void *ctx, const struct mdns_peer *peer)
{
    struct mdns_shell *s = ctx;
    s->cfg.lost(s->cfg.ctx, peer);
}

static const struct mdns_port port = {port_send, port_addrs, port_found, port_lost};

/* --- life --- */

struct mdns_shell *mdns_open(struct loop *l, const struct mdns_shell_cfg *cfg)
{
    struct mdns_shell *s = MEM_NEW(struct mdns_shell);
    s->cfg = *cfg;
    s->loop = l;
    mdns_init(&s->mdns, &cfg->self, cfg->network, loop_sched(l), loop_rng(l), &port, s);
    timer_init(&s->scan, on_scan);
    scan(s);
    return s;
}

void mdns_close(struct mdns_shell *s)
{
    if (!s)
        return;
    timer_clear(loop_sched(s->loop), &s->scan);
    mdns_fini(&s->mdns);
    for (size_t i = 0; i < LIMIT_MDNS_LINKS; i++)
        if (s->links[i].udp)
            loop_udp_close(s->links[i].udp);
    free(s);
}

struct mdns *mdns_of(struct mdns_shell *s)
{
    return &s->mdns;
}

const char *mdns_interfaces(const struct mdns_shell *s, char *out, size_t size)
{
    size_t len = 0;
    out[0] = 0;
    for (size_t i = 0; i < LIMIT_MDNS_LINKS; i++) {
        bool was_told = false;
        for (size_t j = 0; j < i; j++)
            was_told |= s->links[j].udp && s->links[j].pick.index == s->links[i].pick.index;
        if (s->links[i].udp && !was_told && len < size)
            len += (size_t)snprintf(out + len, size - len, "%s%s", len ? ", " : "",
                                    s->links[i].pick.name);
    }
    return out;
}
