// SPDX-License-Identifier: MIT
/* One address tried layer by layer, only to see how far it goes: TCP, the first line of libp2p, Noise, who
 * is there. The connection is closed as soon as that is known; nothing of the host changes by it.
 *
 *   dial --err--> TCP        bytes --garbage, end--> SECURITY        handshake --forged--> NOISE
 *     \--stream--> upgrade (the machine that connections use) --secured--> IDENTITY: `who` answered
 */
#include "base/mem.h"
#include "base/trace.h"
#include "p2p/host_impl.h"
#include "p2p/pnet.h"
#include "p2p/upgrade.h"

#include <stdlib.h>

#define PROBE_US (10 * US_PER_S)
enum { PROBE_CHUNK = 4096 };

/* One under way. It outlives its request when that is cancelled while dialling: the port reports every dial. */
struct host_probe {
    struct p2p_probe *p; /* NULL: nobody waits any more */
    struct p2p_host *host;
    struct list link; /* host->probes */
    struct host_port_dial dial;
    bool is_dialling;
    struct timer timer;
    uint64_t since_us;
    struct stream *s; /* and what goes with it: */
    struct upgrade upgrade;
    struct buf in, out;
};

const char *p2p_layer_text(enum p2p_layer layer)
{
    static const char *const words[] = {"tcp", "libp2p", "noise", "identity"};
    return words[layer];
}

static void drop_stream(struct host_probe *r)
{
    if (!r->s)
        return;
    stream_reset(r->s, STREAM_CANCELLED);
    stream_close(r->s);
    upgrade_fini(&r->upgrade);
    buf_fini(&r->in);
    buf_fini(&r->out);
    r->s = NULL;
}

static void probe_free(struct host_probe *r)
{
    drop_stream(r);
    timer_clear(r->host->sched, &r->timer);
    list_remove(&r->link);
    free(r);
}

static enum p2p_layer layer_of(const struct host_probe *r)
{
    if (!r->s)
        return P2P_LAYER_TCP;
    return r->upgrade.stage == UPGRADE_SECURITY ? P2P_LAYER_SECURITY : P2P_LAYER_NOISE;
}

static void finish(struct host_probe *r, enum p2p_layer layer, int err)
{
    struct p2p_probe *p = r->p;
    p->layer = layer;
    p->err = err;
    p->total_us = sched_now(r->host->sched) - r->since_us;
    p->run = NULL;
    probe_free(r);
    p->done(p);
}

/* 0 or the stream's error; what the stream does not take waits. */
static int flush(struct host_probe *r)
{
    while (buf_len(&r->out)) {
        ssize_t n = stream_write(r->s, buf_view(&r->out));
        if (n < 0)
            return (int)n;
        if (n == 0) {
            stream_want_write(r->s, true);
            return 0;
        }
        buf_consume(&r->out, (size_t)n);
    }
    return 0;
}

static bool is_other_network(const struct host_probe *r)
{
    return upgrade_is_other_network(&r->upgrade, buf_view(&r->in), r->host->env.network != NULL);
}

static int feed(struct host_probe *r)
{
    size_t used = 0;
    int err = upgrade_feed_raw(&r->upgrade, buf_view(&r->in), &used, &r->out);
    if (err)
        return err;
    buf_consume(&r->in, used);
    return flush(r);
}

static void readable(void *ctx)
{
    struct host_probe *r = ctx;
    uint8_t chunk[PROBE_CHUNK];
    for (;;) {
        ssize_t n = stream_read(r->s, chunk, sizeof chunk);
        if (n == E_AGAIN)
            return;
        int err = n < 0 ? (int)n : buf_append(&r->in, chunk, (size_t)n);
        if (!err && (err = feed(r)) && is_other_network(r))
            err = E_WRONG_NETWORK;
        else if (err == E_EOF && r->host->env.network && upgrade_is_before_header(&r->upgrade))
            err = E_WRONG_NETWORK; /* rust and js without a key hang up without a word */
        if (!err && !upgrade_is_secured(&r->upgrade))
            continue;
        r->p->has_who = !err;
        r->p->who = r->upgrade.noise.remote;
        finish(r, err ? layer_of(r) : P2P_LAYER_IDENTITY, err);
        return;
    }
}

static void writable(void *ctx)
{
    struct host_probe *r = ctx;
    int err = flush(r);
    if (err)
        finish(r, layer_of(r), err);
}

static void closed(void *ctx, int err)
{
    finish(ctx, layer_of(ctx), err);
}

static const struct stream_events probe_events = {readable, writable, closed};

static void timed_out(struct timer *t)
{
    struct host_probe *r = CONTAINER_OF(t, struct host_probe, timer);
    finish(r, layer_of(r), E_TIMEOUT);
}

static void dialled(struct host_port_dial *d, int err, struct stream *s)
{
    struct host_probe *r = CONTAINER_OF(d, struct host_probe, dial);
    struct p2p_host *h = r->host;
    uint64_t now = sched_now(h->sched);
    r->is_dialling = false;
    if (!r->p) {
        if (!err)
            stream_close(s);
        probe_free(r);
        return;
    }
    if (err) {
        finish(r, P2P_LAYER_TCP, err);
        return;
    }
    r->p->connected_us = now - r->since_us;
    if (h->env.network)
        s = pnet_wrap(s, h->env.network, true, h->sched, h->rng);
    r->s = s;
    buf_init(&r->in, 4 * LIMIT_NOISE_HANDSHAKE);
    buf_init(&r->out, 0);
    timer_set(h->sched, &r->timer, r->since_us + r->p->timeout_us);
    stream_listen(s, &probe_events, r);
    stream_want_read(s, true);
    err = upgrade_init(&r->upgrade, true, &h->self, NULL, h->rng, &r->out);
    if (!err)
        err = flush(r);
    if (err)
        finish(r, P2P_LAYER_SECURITY, err);
}

void p2p_host_probe(struct p2p_host *h, struct p2p_probe *p)
{
    struct host_probe *r = MEM_NEW(struct host_probe);
    if (!p->timeout_us)
        p->timeout_us = PROBE_US;
    p->has_who = false;
    p->connected_us = p->total_us = 0;
    p->run = r;
    *r = (struct host_probe){.p = p, .host = h, .since_us = sched_now(h->sched)};
    timer_init(&r->timer, timed_out);
    list_append(&h->probes, &r->link);
    r->dial.done = dialled;
    r->is_dialling = true;
    h->port->dial(h->port_ctx, &r->dial, &p->at, NULL, p->timeout_us);
}

void p2p_probe_cancel(struct p2p_probe *p)
{
    struct host_probe *r = p->run;
    if (!r)
        return;
    p->run = NULL;
    r->p = NULL;
    if (r->is_dialling)
        r->host->port->dial_cancel(r->host->port_ctx, &r->dial);
    else
        probe_free(r);
}

/* The port is gone, and what it was asked with it. */
void host_probe_free_all(struct p2p_host *h)
{
    LIST_FOREACH_SAFE (&h->probes, it)
        probe_free(LIST_ENTRY(it, struct host_probe, link));
}
