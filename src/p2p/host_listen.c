// SPDX-License-Identifier: MIT
/* Where we listen, and the addresses that others are told. See host_impl.h.
 *
 * A listener on 0.0.0.0 or :: stands for every address of the machine: it is written out with each
 * interface's, so that what identify says can be dialled. Loopback comes last. */
#include "base/mem.h"
#include "base/trace.h"
#include "p2p/host_impl.h"

#include <stdio.h>
#include <stdlib.h>

enum { INTERFACES_MAX = 64 };

static void accepted(struct host_port_listener *pl, struct stream *s)
{
    struct host_listener *l = CONTAINER_OF(pl, struct host_listener, port);
    host_take_inbound(l->host, s);
}

int p2p_host_listen(struct p2p_host *h, const char *multiaddr)
{
    struct p2p_addr a;
    char text[NET_ADDR_TEXT];
    int err = p2p_addr_parse(bytes_str(multiaddr), &a);
    if (err)
        return err;
    if (a.kind != P2P_ADDR_IP)
        return E_UNSUPPORTED;
    struct host_listener *l = MEM_NEW(struct host_listener);
    l->host = h;
    l->port.accepted = accepted;
    err = h->port->listen(h->port_ctx, &l->port, &a.at);
    if (err) {
        TRACE(P2P, INFO, "listen on %s: %s -> not listening there", multiaddr, err_text(err));
        free(l);
        return err;
    }
    list_append(&h->listeners, &l->link);
    TRACE(P2P, INFO, "listening on %s", net_addr_format(&l->port.at, text));
    host_identify_changed(h);
    return 0;
}

void host_listen_end_all(struct p2p_host *h)
{
    while (!list_is_empty(&h->listeners)) {
        struct host_listener *l = LIST_ENTRY(h->listeners.next, struct host_listener, link);
        list_remove(&l->link);
        h->port->unlisten(h->port_ctx, &l->port);
        free(l);
    }
}

/* --- addresses --- */

static bool is_listed(const struct p2p_host *h, struct bytes m)
{
    for (size_t i = 0; i < h->addr_count; i++)
        if (bytes_eq(h->addr_views[i], m))
            return true;
    return false;
}

static void list_addr(struct p2p_host *h, struct bytes m)
{
    if (h->addr_count == HOST_ADDRS_MAX || is_listed(h, m))
        return;
    struct multiaddr *at = &h->addrs[h->addr_count];
    if (multiaddr_copy(m, at) != 0)
        return;
    h->addr_views[h->addr_count++] = multiaddr_bytes(at);
}

static void list_net(struct p2p_host *h, const struct net_addr *at)
{
    struct multiaddr m;
    if (multiaddr_from_net(at, &m) == 0)
        list_addr(h, multiaddr_bytes(&m));
}

static bool stands_for(const struct net_addr *any, const struct net_addr *ip)
{
    bool is_link_local = ip->kind == NET_IP6 && ip->ip[0] == 0xfe && (ip->ip[1] & 0xc0) == 0x80;
    return any->kind == ip->kind && !is_link_local;
}

static void list_listeners(struct p2p_host *h, bool loopback)
{
    struct net_addr ifs[INTERFACES_MAX];
    size_t n = h->port->interfaces(h->port_ctx, ifs, INTERFACES_MAX);
    LIST_FOREACH (&h->listeners, it) {
        const struct net_addr *at = &LIST_ENTRY(it, struct host_listener, link)->port.at;
        if (!net_addr_is_any(at)) {
            if (net_addr_is_loopback(at) == loopback)
                list_net(h, at);
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            ifs[i].port = at->port;
            if (stands_for(at, &ifs[i]) && net_addr_is_loopback(&ifs[i]) == loopback)
                list_net(h, &ifs[i]);
        }
    }
}

static void list_extra(struct p2p_host *h, bool relayed)
{
    for (size_t i = 0; i < h->extra_count; i++) {
        struct bytes m = multiaddr_bytes(&h->extra[i]);
        if (multiaddr_is_relayed(m) == relayed)
            list_addr(h, m);
    }
}

size_t p2p_host_addrs(struct p2p_host *h, const struct bytes **out)
{
    bool is_private = h->reach == P2P_REACH_PRIVATE;
    h->addr_count = 0;
    list_extra(h, false);
    if (is_private) /* to strangers those of listeners are of no use */
        list_extra(h, true);
    list_listeners(h, false);
    list_extra(h, true);
    list_listeners(h, true);
    *out = h->addr_views;
    return h->addr_count;
}

const char *p2p_host_addr_text(struct p2p_host *h, size_t i, char *out, size_t size)
{
    const struct bytes *addrs;
    size_t n = p2p_host_addrs(h, &addrs);
    struct multiaddr full;
    if (size)
        out[0] = 0;
    if (i >= n || multiaddr_with_peer(addrs[i], &h->id, &full) != 0)
        return out;
    return multiaddr_text(multiaddr_bytes(&full), out, size);
}

static size_t find_extra(const struct p2p_host *h, struct bytes m)
{
    size_t i = 0;
    while (i < h->extra_count && !bytes_eq(multiaddr_bytes(&h->extra[i]), m))
        i++;
    return i;
}

int p2p_host_add_addr(struct p2p_host *h, struct bytes multiaddr)
{
    struct bytes m = multiaddr_without_peer(multiaddr);
    struct multiaddr copy;
    if (multiaddr_copy(m, &copy) != 0)
        return E_INVALID;
    if (find_extra(h, m) < h->extra_count)
        return 0;
    if (h->extra_count == HOST_ADDRS_MAX)
        return E_LIMIT;
    h->extra[h->extra_count++] = copy;
    host_identify_changed(h);
    return 0;
}

void p2p_host_remove_addr(struct p2p_host *h, struct bytes multiaddr)
{
    size_t i = find_extra(h, multiaddr_without_peer(multiaddr));
    if (i == h->extra_count)
        return;
    h->extra_count--;
    for (; i < h->extra_count; i++)
        h->extra[i] = h->extra[i + 1];
    host_identify_changed(h);
}

enum p2p_reach p2p_host_reach(const struct p2p_host *h)
{
    return h->reach;
}

void p2p_host_set_reach(struct p2p_host *h, enum p2p_reach reach)
{
    static const char *const words[] = {"unknown", "public", "private", "likely"};
    if (h->reach == reach || h->is_closing)
        return;
    TRACE(P2P, INFO, "reachability: %s -> %s", words[h->reach], words[reach]);
    h->reach = reach;
    task_defer(h->sched, &h->reach_task);
}

size_t p2p_host_observed(struct p2p_host *h, size_t i, struct bytes *addr)
{
    if (i >= h->observed.count)
        return 0;
    *addr = multiaddr_bytes(&h->observed.addrs[i].addr);
    return observed_votes(&h->observed, i, sched_now(h->sched));
}

bool p2p_host_is_candidate(struct p2p_host *h, size_t i)
{
    return observed_is_candidate(&h->observed, i, sched_now(h->sched));
}
