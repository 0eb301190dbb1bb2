// SPDX-License-Identifier: MIT
/* Dialling an origin; see client_shell.h.
 *
 *   RESOLVE --> CONNECT (address after address) --> TUNNEL (through a proxy) --> TLS --> done
 *
 * One deadline covers it all. The loop completes each request exactly once, also a cancelled one,
 * so a dial that is given up lives on until the loop has said its last word. A TLS handshake is not
 * waited for: the request is queued behind it, and a failed one arrives as closed(E_AUTH). */
#include "http/client_shell.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/trace.h"
#include "http/proxy.h"
#include "loop/loop.h"

#include <stdio.h>
#include <stdlib.h>

/* One address may not use up the time of the others. */
enum { ADDRESS_US = 3000000 };

struct http_net {
    struct loop *loop;
    bool has_proxy;
    struct proxy proxy;
    char *no_proxy, *ca_file;
    struct loop_tls_context *tls; /* made when first needed: the system's CAs cost megabytes */
    struct list dials;
    bool is_freed;
};

struct net_dial {
    struct http_net *net;
    struct http_dial *dial; /* NULL once given up */
    const struct http_origin *to;
    struct list link;
    struct timer timer;
    uint64_t until_us;
    bool via_proxy;
    bool in_loop; /* a request of the loop's is under way */
    struct loop_resolve resolve;
    struct loop_dial connect;
    struct proxy_tunnel *tunnel;
    struct net_addr *addrs; /* as many as there are; most have one */
    size_t addr_count, addr_at;
    int last_err;
};

static void dial_next(struct net_dial *nd);

static void net_destroy(struct http_net *n)
{
    free(n->no_proxy);
    free(n->ca_file);
    if (n->tls)
        loop_tls_context_free(n->tls);
    free(n);
}

static void dial_free(struct net_dial *nd)
{
    struct http_net *n = nd->net;
    timer_clear(loop_sched(n->loop), &nd->timer);
    if (nd->tunnel)
        proxy_tunnel_cancel(nd->tunnel);
    list_remove(&nd->link);
    free(nd->addrs);
    free(nd);
    if (n->is_freed && list_is_empty(&n->dials))
        net_destroy(n);
}

static void dial_end(struct net_dial *nd, int err, struct stream *s)
{
    struct http_dial *d = nd->dial;
    dial_free(nd);
    if (d)
        d->done(d, err, s);
    else if (s)
        stream_close(s);
}

/* --- TLS --- */

static int tls_context(struct http_net *n)
{
    char why[256];
    struct loop_tls_options o = {.ca_file = n->ca_file};
    if (n->tls)
        return 0;
    int err = loop_tls_context_new(&o, &n->tls, why);
    if (err)
        TRACE(HTTP, WARN, "no TLS: %s -> https backends cannot be reached", why);
    return err;
}

/* The stream reaches the origin, in the clear. */
static void dial_reached(struct net_dial *nd, struct stream *s)
{
    if (!nd->to->is_tls) {
        dial_end(nd, 0, s);
        return;
    }
    if (tls_context(nd->net)) {
        stream_close(s);
        dial_end(nd, E_UNAVAILABLE, NULL);
        return;
    }
    dial_end(nd, 0, loop_tls_new(nd->net->loop, nd->net->tls, s, nd->to->host));
}

/* --- proxy --- */

static void tunnel_done(void *ctx, int err, int status, struct stream *s)
{
    struct net_dial *nd = ctx;
    nd->tunnel = NULL;
    if (!err) {
        dial_reached(nd, s);
        return;
    }
    TRACE(HTTP, WARN, "the proxy %s:%u did not open a tunnel to %s (status %d) -> %s",
          nd->net->proxy.at.host, nd->net->proxy.at.port, nd->to->host, status, err_text(err));
    dial_end(nd, err, NULL);
}

/* --- addresses --- */

static void connect_done(struct loop_dial *d, int err, struct stream *s)
{
    struct net_dial *nd = CONTAINER_OF(d, struct net_dial, connect);
    nd->in_loop = false;
    if (!nd->dial) {
        dial_end(nd, E_CANCELLED, err ? NULL : s);
        return;
    }
    if (err) {
        nd->last_err = err;
        dial_next(nd);
    } else if (nd->via_proxy)
        nd->tunnel = proxy_tunnel_open(&nd->net->proxy, s, nd->to, tunnel_done, nd);
    else
        dial_reached(nd, s);
}

static void dial_next(struct net_dial *nd)
{
    uint64_t now = sched_now(loop_sched(nd->net->loop));
    if (nd->addr_at == nd->addr_count || now >= nd->until_us) {
        dial_end(nd, nd->last_err ? nd->last_err : E_TIMEOUT, NULL);
        return;
    }
    uint64_t left = nd->until_us - now;
    if (nd->addr_at + 1 < nd->addr_count && left > ADDRESS_US)
        left = ADDRESS_US;
    nd->in_loop = true;
    loop_dial(nd->net->loop, &nd->connect, &nd->addrs[nd->addr_at++], NULL, left);
}

static void take_addrs(struct net_dial *nd, const struct net_addr *addrs, size_t count,
                       uint16_t port)
{
    nd->addr_count = count < LOOP_RESOLVE_MAX ? count : LOOP_RESOLVE_MAX;
    nd->addrs = mem_array(nd->addr_count, sizeof *nd->addrs);
    for (size_t i = 0; i < nd->addr_count; i++) {
        nd->addrs[i] = addrs[i];
        nd->addrs[i].port = port;
    }
}

static void resolved(struct loop_resolve *r, int err, const struct net_addr *addrs,
                     size_t addr_count, const struct bytes *texts, size_t text_count)
{
    struct net_dial *nd = CONTAINER_OF(r, struct net_dial, resolve);
    const struct http_origin *at = nd->via_proxy ? &nd->net->proxy.at : nd->to;
    nd->in_loop = false;
    if (!nd->dial || err || !addr_count) {
        if (nd->dial)
            TRACE(HTTP, DEBUG, "%s -> %s", at->host, err_text(err ? err : E_DNS));
        dial_end(nd, err ? err : E_DNS, NULL);
        return;
    }
    take_addrs(nd, addrs, addr_count, at->port);
    dial_next(nd);
}

/* --- the port --- */

static void dial_expired(struct timer *t)
{
    struct net_dial *nd = CONTAINER_OF(t, struct net_dial, timer);
    if (nd->tunnel) {
        dial_end(nd, E_TIMEOUT, NULL);
        return;
    }
    nd->until_us = 0; /* the loop's own deadline is at hand; no further address then */
}

/* An origin that needs no resolving: a unix socket, an IP address. */
static bool is_literal(const struct http_origin *at, struct net_addr *out)
{
    *out = (struct net_addr){.kind = NET_UNIX};
    if (!at->is_unix)
        return !net_addr_parse_ip(at->host, at->port, out);
    snprintf(out->path, sizeof out->path, "%.103s", at->host);
    return true;
}

static void net_dial(void *ctx, struct http_dial *d, const struct http_origin *to,
                     uint64_t timeout_us)
{
    struct http_net *n = ctx;
    struct net_dial *nd = MEM_NEW(struct net_dial);
    struct sched *sched = loop_sched(n->loop);
    nd->net = n;
    nd->dial = d;
    nd->to = to;
    nd->until_us = sched_now(sched) + timeout_us;
    nd->connect.done = connect_done;
    nd->resolve.done = resolved;
    nd->via_proxy = n->has_proxy && to->is_tls && !proxy_is_bypassed(n->no_proxy, to);
    d->port = nd;
    list_append(&n->dials, &nd->link);
    timer_init(&nd->timer, dial_expired);
    timer_after(sched, &nd->timer, timeout_us);
    const struct http_origin *at = nd->via_proxy ? &n->proxy.at : to;
    struct net_addr literal;
    if (is_literal(at, &literal)) {
        take_addrs(nd, &literal, 1, at->port);
        dial_next(nd);
    } else {
        nd->in_loop = true;
        loop_resolve(n->loop, &nd->resolve, at->host, LOOP_DNS_ANY, timeout_us);
    }
}

static void net_cancel(void *ctx, struct http_dial *d)
{
    struct net_dial *nd = d->port;
    nd->dial = NULL;
    if (!nd->in_loop) {
        dial_free(nd);
        return;
    }
    if (nd->addr_at)
        loop_dial_cancel(nd->net->loop, &nd->connect);
    else
        loop_resolve_cancel(nd->net->loop, &nd->resolve);
}

static const struct http_dialer net_dialer = {.dial = net_dial, .cancel = net_cancel};

const struct http_dialer *http_net_dialer(void)
{
    return &net_dialer;
}

/* --- life --- */

int http_net_new(struct loop *l, const struct http_net_options *opts, struct http_net **out,
                 char why[static 256])
{
    struct http_net *n = MEM_NEW(struct http_net);
    int err = 0;
    n->loop = l;
    list_init(&n->dials);
    why[0] = 0;
    if (opts->https_proxy && opts->https_proxy[0]) {
        err = proxy_parse(opts->https_proxy, &n->proxy, why);
        n->has_proxy = !err;
    }
    if (!err && opts->ca_file) {
        n->ca_file = mem_strdup(opts->ca_file);
        struct loop_tls_options o = {.ca_file = n->ca_file};
        err = loop_tls_context_new(&o, &n->tls, why);
    }
    if (err) {
        net_destroy(n);
        return err;
    }
    if (opts->no_proxy)
        n->no_proxy = mem_strdup(opts->no_proxy);
    *out = n;
    return 0;
}

/* Every call is done or cancelled by now; cancelled dials that the loop still holds free it later.
 */
void http_net_free(struct http_net *n)
{
    n->is_freed = true;
    if (list_is_empty(&n->dials))
        net_destroy(n);
}
