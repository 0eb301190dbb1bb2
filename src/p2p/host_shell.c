// SPDX-License-Identifier: MIT
/* The host's port over a loop: nothing but passing on. The loop completes every request; those
 * that outlive the host (it was freed with dials under way) find nobody and are dropped here. */
#include "base/mem.h"
#include "loop/loop.h"
#include "p2p/host.h"

#include <stdlib.h>

struct shell {
    struct loop *loop;
    struct list dials, resolves;
};

struct shell_dial {
    struct loop_dial loop;
    struct list link;
    struct loop *loop_of;
    struct host_port_dial *port;
    struct net_addr to, from; /* from: NET_NONE when any will do */
    uint64_t timeout_us;
};

static void dialled(struct loop_dial *ld, int err, struct stream *s)
{
    struct shell_dial *d = CONTAINER_OF(ld, struct shell_dial, loop);
    struct host_port_dial *port = d->port;
    bool is_from = d->from.kind != NET_NONE;
    bool is_taken = err == E_IN_USE || err == E_UNREACHABLE || err == E_DENIED;
    if (is_from && is_taken && port) { /* the pair of ends is in use, or was a moment ago */
        d->from = (struct net_addr){0};
        loop_dial(d->loop_of, &d->loop, &d->to, NULL, d->timeout_us);
        return;
    }
    list_remove(&d->link);
    free(d);
    if (port)
        port->is_from = is_from;
    if (port)
        port->done(port, err, s);
    else if (!err)
        stream_close(s);
}

static void shell_dial(void *ctx, struct host_port_dial *port, const struct net_addr *to,
                       const struct net_addr *from, uint64_t timeout_us)
{
    struct shell *sh = ctx;
    struct shell_dial *d = MEM_NEW(struct shell_dial);
    d->loop.done = dialled;
    d->port = port;
    d->loop_of = sh->loop;
    d->to = *to;
    d->timeout_us = timeout_us;
    if (from)
        d->from = *from;
    list_append(&sh->dials, &d->link);
    port->maker = d;
    loop_dial(sh->loop, &d->loop, to, from, timeout_us);
}

static void shell_dial_cancel(void *ctx, struct host_port_dial *port)
{
    struct shell *sh = ctx;
    struct shell_dial *d = port->maker;
    loop_dial_cancel(sh->loop, &d->loop);
}

static void accepted(void *ctx, struct stream *s)
{
    struct host_port_listener *l = ctx;
    l->accepted(l, s);
}

static int shell_listen(void *ctx, struct host_port_listener *l, const struct net_addr *at)
{
    struct shell *sh = ctx;
    struct loop_listener *ln;
    struct loop_listen_options opts = {
        .at = *at, .reuse_port = true, .accepted = accepted, .ctx = l};
    int err = loop_listen(sh->loop, &opts, &ln);
    if (err)
        return err;
    l->maker = ln;
    l->at = *loop_listener_addr(ln);
    return 0;
}

static void shell_unlisten(void *ctx, struct host_port_listener *l)
{
    loop_listener_close(l->maker);
}

struct shell_resolve {
    struct loop_resolve loop;
    struct list link;
    struct host_port_resolve *port;
};

static void resolved(struct loop_resolve *lr, int err, const struct net_addr *addrs,
                     size_t addr_count, const struct bytes *texts, size_t text_count)
{
    struct shell_resolve *r = CONTAINER_OF(lr, struct shell_resolve, loop);
    struct host_port_resolve *port = r->port;
    list_remove(&r->link);
    free(r);
    if (port)
        port->done(port, err, addrs, addr_count, texts, text_count);
}

static void shell_resolve(void *ctx, struct host_port_resolve *port, const char *name,
                          enum host_port_name what, uint64_t timeout_us)
{
    static const enum loop_dns kinds[] = {
        [HOST_NAME_ANY] = LOOP_DNS_ANY,
        [HOST_NAME_IP4] = LOOP_DNS_A,
        [HOST_NAME_IP6] = LOOP_DNS_AAAA,
        [HOST_NAME_TXT] = LOOP_DNS_TXT,
    };
    struct shell *sh = ctx;
    struct shell_resolve *r = MEM_NEW(struct shell_resolve);
    r->loop.done = resolved;
    r->port = port;
    list_append(&sh->resolves, &r->link);
    port->maker = r;
    loop_resolve(sh->loop, &r->loop, name, kinds[what], timeout_us);
}

static void shell_resolve_cancel(void *ctx, struct host_port_resolve *port)
{
    struct shell *sh = ctx;
    struct shell_resolve *r = port->maker;
    loop_resolve_cancel(sh->loop, &r->loop);
}

static size_t shell_interfaces(void *ctx, struct net_addr *out, size_t max)
{
    struct shell *sh = ctx;
    return loop_interfaces(sh->loop, out, max);
}

static void shell_free(void *ctx)
{
    struct shell *sh = ctx;
    LIST_FOREACH_SAFE (&sh->dials, it) {
        struct shell_dial *d = LIST_ENTRY(it, struct shell_dial, link);
        list_remove(it);
        d->port = NULL;
        loop_dial_cancel(sh->loop, &d->loop);
    }
    LIST_FOREACH_SAFE (&sh->resolves, it) {
        struct shell_resolve *r = LIST_ENTRY(it, struct shell_resolve, link);
        list_remove(it);
        r->port = NULL;
        loop_resolve_cancel(sh->loop, &r->loop);
    }
    free(sh);
}

static const struct host_port shell_port = {
    .dial = shell_dial,
    .dial_cancel = shell_dial_cancel,
    .listen = shell_listen,
    .unlisten = shell_unlisten,
    .resolve = shell_resolve,
    .resolve_cancel = shell_resolve_cancel,
    .interfaces = shell_interfaces,
    .free = shell_free,
};

struct p2p_host *p2p_host_new(const struct p2p_host_cfg *cfg, struct loop *loop)
{
    struct shell *sh = MEM_NEW(struct shell);
    sh->loop = loop;
    list_init(&sh->dials);
    list_init(&sh->resolves);
    return p2p_host_new_on(cfg, loop_sched(loop), loop_rng(loop), &shell_port, sh);
}
