// SPDX-License-Identifier: MIT
/* See ping.h. */
#include "p2p/ping.h"

#include "base/mem.h"
#include "p2p/host_impl.h"

#define ANSWER_TIMEOUT_US (20 * US_PER_S)

static void finish(struct p2p_ping *p, int err)
{
    uint64_t rtt = sched_now(p->host->sched) - p->sent_us;
    timer_clear(p->host->sched, &p->timer);
    if (p->s)
        stream_close(p->s);
    p->s = NULL;
    p->done(p, err, err ? 0 : rtt);
}

static void readable(void *ctx)
{
    struct p2p_ping *p = ctx;
    while (p->got_n < PING_SIZE) {
        ssize_t n = stream_read(p->s, p->got + p->got_n, PING_SIZE - p->got_n);
        if (n == E_AGAIN)
            return;
        if (n < 0) {
            finish(p, n == E_EOF ? E_PROTO : (int)n);
            return;
        }
        p->got_n += (size_t)n;
    }
    finish(p, memcmp(p->got, p->sent, PING_SIZE) == 0 ? 0 : E_PROTO);
}

static void writable(void *ctx)
{
}

static void closed(void *ctx, int err)
{
    finish(ctx, err);
}

static const struct stream_events ping_events = {readable, writable, closed};

static void timed_out(struct timer *t)
{
    struct p2p_ping *p = CONTAINER_OF(t, struct p2p_ping, timer);
    stream_reset(p->s, STREAM_TIMED_OUT);
    finish(p, E_TIMEOUT);
}

static void opened(struct p2p_open *o, int err, struct stream *s)
{
    struct p2p_ping *p = CONTAINER_OF(o, struct p2p_ping, open);
    p->sent_us = sched_now(p->host->sched);
    if (err) {
        p->done(p, err, 0);
        return;
    }
    p->s = s;
    rng_fill(p->host->rng, p->sent, sizeof p->sent);
    stream_listen(s, &ping_events, p);
    stream_want_read(s, true);
    timer_after(p->host->sched, &p->timer, ANSWER_TIMEOUT_US);
    if (stream_write(s, bytes_of(p->sent, sizeof p->sent)) != PING_SIZE) {
        stream_reset(s, STREAM_INTERNAL);
        finish(p, E_IO);
    }
}

void p2p_host_ping(struct p2p_host *h, struct p2p_ping *p)
{
    p->host = h;
    p->s = NULL;
    p->got_n = 0;
    timer_init(&p->timer, timed_out);
    p->open.protocol = P2P_PING;
    p->open.done = opened;
    p2p_host_open(h, &p->open);
}
