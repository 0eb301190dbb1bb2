// SPDX-License-Identifier: MIT
/* The local HTTP address and the control socket: acceptors that say who is there and hand the stream to the
 * server. */
#include "node/node_impl.h"

#include "base/limits.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Whoever reaches a loopback address or the 0600 socket is the owner. Others must show the key, if there is
 * one (the gateway asks for it), and are told apart by their address. */
static struct principal who_is(const struct node *n, const struct net_addr *remote)
{
    struct principal p = {.kind = n->cfg->access_key ? PRINCIPAL_KEY : PRINCIPAL_NONE};
    struct net_addr host = *remote;
    char text[NET_ADDR_TEXT];
    host.port = 0;
    if (net_addr_is_loopback(remote) || remote->kind == NET_NONE)
        p.kind = PRINCIPAL_OWNER;
    snprintf(p.name, sizeof p.name, "%s",
             p.kind == PRINCIPAL_OWNER ? "owner" : net_addr_format(&host, text));
    return p;
}

static void accepted(const struct node *n, struct http_server *server, struct stream *s)
{
    static const struct http_conn_options options = {.eof_is_cancel = true};
    s->principal = who_is(n, &s->remote);
    http_server_conn_open(server, s, &options);
}

static void on_local(void *ctx, struct stream *s)
{
    const struct node *n = ctx;
    accepted(n, n->local_server, s);
}

static void on_control(void *ctx, struct stream *s)
{
    const struct node *n = ctx;
    s->remote.kind = NET_UNIX;
    accepted(n, n->control_server, s);
}

static int refuse_open_listener(const struct node *n, const struct net_addr *at, char *why)
{
    if (net_addr_is_loopback(at) || n->cfg->access_key || n->cfg->no_auth)
        return 0;
    snprintf(why, CONFIG_WHY,
             "--http-host %s is not loopback: give clients a key with --access-key "
             "(or CONDUIT_ACCESS_KEY), or say --no-auth for a closed network",
             n->cfg->http_host);
    return E_DENIED;
}

static int listen_local(struct node *n, char *why)
{
    struct loop_listen_options opts = {.accepted = on_local, .ctx = n};
    const char *host = n->cfg->http_host ? n->cfg->http_host : "127.0.0.1";
    if (net_addr_parse_ip(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                          (uint16_t)n->cfg->http_port, &opts.at)) {
        snprintf(why, CONFIG_WHY, "--http-host '%s' is not an IP address", host);
        return E_INVALID;
    }
    int err = refuse_open_listener(n, &opts.at, why);
    if (err)
        return err;
    err = loop_listen(n->loop, &opts, &n->local);
    if (err == E_IN_USE)
        snprintf(why, CONFIG_WHY,
                 "port %u is in use; try --http-port 0, or stop what listens there",
                 n->cfg->http_port);
    else if (err)
        snprintf(why, CONFIG_WHY, "cannot listen on %s port %u: %s", host, n->cfg->http_port,
                 err_text(err));
    if (err)
        return err;
    const struct net_addr *at = loop_listener_addr(n->local);
    char text[NET_ADDR_TEXT];
    struct net_addr shown = *at;
    if (net_addr_is_any(at))
        (void)net_addr_parse_ip(at->kind == NET_IP6 ? "::1" : "127.0.0.1", at->port, &shown);
    snprintf(n->api, sizeof n->api, "http://%s/v1", net_addr_format(&shown, text));
    return 0;
}

static int listen_control(struct node *n, char *why)
{
    struct loop_listen_options opts = {.accepted = on_control, .ctx = n, .mode = 0600};
    opts.at.kind = NET_UNIX;
    int len = snprintf(opts.at.path, sizeof opts.at.path, "%s/control.sock", n->dir.path);
    if (len < 0 || (size_t)len >= sizeof opts.at.path) {
        snprintf(why, CONFIG_WHY,
                 "%s: the path is too long for a socket (%zu bytes are allowed); "
                 "choose a shorter --data-dir",
                 n->dir.path, sizeof opts.at.path - sizeof "/control.sock");
        return E_TOO_BIG;
    }
    int err = loop_listen(n->loop, &opts, &n->control);
    if (err)
        snprintf(why, CONFIG_WHY, "cannot listen on %s: %s", opts.at.path, err_text(err));
    return err;
}

/* Clients of the local address may not take the files that peers and engines need. */
static uint32_t most_clients(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur / 4 * 3 > LIMIT_HTTP_CONNS)
        return LIMIT_HTTP_CONNS;
    return (uint32_t)(files.rlim_cur / 4 * 3);
}

int node_listen(struct node *n, char *why)
{
    struct http_server_config cfg = {
        .sched = n->sched,
        .handler = gateway_local_handler(),
        .conn_limit = most_clients(),
        .ctx = n->gateway,
        /* The owner may lower what peers send without being bound by it. */
        .body_limit = n->cfg->max_body > LIMIT_HTTP_BODY ? n->cfg->max_body : LIMIT_HTTP_BODY,
    };
    n->local_server = http_server_new(&cfg);
    n->control_server = http_server_new(&cfg);
    int err = listen_control(n, why);
    return err ? err : listen_local(n, why);
}

void node_unlisten(struct node *n)
{
    if (n->local)
        loop_listener_close(n->local);
    if (n->control)
        loop_listener_close(n->control);
    n->local = n->control = NULL;
}
