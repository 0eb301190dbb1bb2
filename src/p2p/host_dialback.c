// SPDX-License-Identifier: MIT
/* One more connection to a peer, to see whether an address of its can be dialled: AutoNAT's dial back.
 *
 *   DIALLING --transport--> UPGRADING --opened--> done(0, conn); from then on a connection as any other
 *       \---------------------\-- failed, late --> done(err, NULL)
 *
 * It leaves from a new port: from the one that we listen on it would pass a NAT that lets in
 * whatever comes from where its owner connects to. */
#include "base/mem.h"
#include "base/trace.h"
#include "p2p/host_impl.h"

#include <stdlib.h>

struct host_dialback {
    struct host_port_dial port;
    struct p2p_host *host;
    struct list link; /* host->dialbacks */
    struct peer_id peer;
    struct net_addr at;
    struct conn *conn; /* NULL while the transport is being connected */
    struct timer timer;
    bool is_dialling;
    void (*done)(void *ctx, int err, struct conn *c); /* NULL: nobody waits any more */
    void *ctx;
};

static void finish(struct host_dialback *p, int err, struct conn *c)
{
    void (*done)(void *ctx, int err, struct conn *c) = p->done;
    void *ctx = p->ctx;
    char text[NET_ADDR_TEXT];
    TRACE(P2P, DEBUG, "dial back to %s: %s", net_addr_format(&p->at, text),
          err ? err_text(err) : "connected");
    timer_clear(p->host->sched, &p->timer);
    list_remove(&p->link);
    if (p->conn)
        p->conn->dialback = NULL;
    free(p);
    if (done)
        done(ctx, err, c);
}

static void transport_dialled(struct host_port_dial *pd, int err, struct stream *s)
{
    struct host_dialback *p = CONTAINER_OF(pd, struct host_dialback, port);
    struct p2p_host *h = p->host;
    p->is_dialling = false;
    if (!err && (!p->done || h->is_closing)) {
        stream_close(s);
        err = E_CANCELLED;
    }
    if (err) {
        finish(p, err, NULL);
        return;
    }
    s->remote = p->at;
    p->conn = conn_new(&h->env, s, true, &p->peer);
    p->conn->dialback = p;
    list_append(&h->pending, &p->conn->by_owner);
}

/* What is under way reports its end. */
static void abandon(struct host_dialback *p, const char *why)
{
    if (p->conn)
        conn_close(p->conn, E_TIMEOUT, why);
    else if (p->is_dialling)
        p->host->port->dial_cancel(p->host->port_ctx, &p->port);
}

static void timed_out(struct timer *t)
{
    abandon(CONTAINER_OF(t, struct host_dialback, timer), "dial back took too long");
}

struct host_dialback *host_dialback_start(struct p2p_host *h, const struct peer_id *peer,
                                          const struct net_addr *at, uint64_t timeout_us,
                                          void (*done)(void *ctx, int err, struct conn *c),
                                          void *ctx)
{
    struct host_dialback *p = MEM_NEW(struct host_dialback);
    p->port.done = transport_dialled;
    p->host = h;
    p->peer = *peer;
    p->at = *at;
    p->done = done;
    p->ctx = ctx;
    p->is_dialling = true;
    list_append(&h->dialbacks, &p->link);
    timer_init(&p->timer, timed_out);
    timer_after(h->sched, &p->timer, timeout_us);
    h->port->dial(h->port_ctx, &p->port, at, NULL, timeout_us);
    return p;
}

void host_dialback_cancel(struct host_dialback *p)
{
    p->done = NULL;
    abandon(p, "nobody waits for the dial back");
}

void host_dialback_conn_opened(struct conn *c)
{
    if (c->dialback)
        finish(c->dialback, 0, c);
}

bool host_dialback_conn_closed(struct conn *c, int err)
{
    struct host_dialback *p = c->dialback;
    if (!p)
        return false;
    p->conn = NULL;
    finish(p, err, NULL);
    return true;
}

void host_dialback_end_all(struct p2p_host *h)
{
    LIST_FOREACH_SAFE (&h->dialbacks, it)
        abandon(LIST_ENTRY(it, struct host_dialback, link), "we are closing");
}

/* The port is gone: what it was asked will not be answered. Connections are gone already. */
void host_dialback_free_all(struct p2p_host *h)
{
    while (!list_is_empty(&h->dialbacks)) {
        struct host_dialback *p = LIST_ENTRY(h->dialbacks.next, struct host_dialback, link);
        timer_clear(h->sched, &p->timer);
        list_remove(&p->link);
        free(p);
    }
}
