// SPDX-License-Identifier: MIT
/* The ping server: every byte back as it comes, until the other side ends it. At most
 * LIMIT_PING_INBOUND streams of a peer; one that is quiet for a minute is closed. */
#include "base/mem.h"
#include "p2p/host_impl.h"
#include "p2p/ping.h"

#include <stdlib.h>

#define QUIET_US (60 * US_PER_S)

struct host_pong {
    struct p2p_host *host;
    struct host_peer *peer;
    struct list link; /* host->pings */
    struct stream *s;
    struct timer timer;
    uint8_t echo[PING_SIZE * 2];
    size_t at, n; /* of echo: still to be written */
};

static void end(struct host_pong *p)
{
    timer_clear(p->host->sched, &p->timer);
    list_remove(&p->link);
    stream_close(p->s);
    p->peer->pings--;
    host_peer_put(p->peer);
    free(p);
}

static void abort_pong(struct host_pong *p)
{
    stream_reset(p->s, STREAM_PROTOCOL);
    end(p);
}

/* Moves bytes both ways as long as it can; false when the stream is over. */
static bool pump(struct host_pong *p)
{
    for (;;) {
        if (p->at < p->n) {
            ssize_t n = stream_write(p->s, bytes_of(p->echo + p->at, p->n - p->at));
            if (n < 0)
                return false;
            p->at += (size_t)n;
            if (p->at < p->n) {
                stream_want_read(p->s, false);
                stream_want_write(p->s, true);
                return true;
            }
        }
        ssize_t n = stream_read(p->s, p->echo, sizeof p->echo);
        if (n == E_AGAIN)
            return true;
        if (n < 0)
            return false;
        p->at = 0;
        p->n = (size_t)n;
        timer_after(p->host->sched, &p->timer, QUIET_US);
    }
}

static void readable(void *ctx)
{
    if (!pump(ctx))
        end(ctx);
}

static void writable(void *ctx)
{
    struct host_pong *p = ctx;
    stream_want_read(p->s, true);
    readable(ctx);
}

static void closed(void *ctx, int err)
{
    end(ctx);
}

static const struct stream_events pong_events = {readable, writable, closed};

static void quiet(struct timer *t)
{
    abort_pong(CONTAINER_OF(t, struct host_pong, timer));
}

static void pinged(void *ctx, struct stream *s, const struct peer_id *peer)
{
    struct p2p_host *h = ctx;
    struct host_peer *hp = host_peer_get(h, peer);
    if (!hp || hp->pings >= LIMIT_PING_INBOUND) {
        stream_reset(s, STREAM_REFUSED);
        stream_close(s);
        return;
    }
    struct host_pong *p = MEM_NEW(struct host_pong);
    p->host = h;
    p->peer = hp;
    p->s = s;
    hp->pings++;
    list_append(&h->pings, &p->link);
    timer_init(&p->timer, quiet);
    timer_after(h->sched, &p->timer, QUIET_US);
    stream_listen(s, &pong_events, p);
    stream_want_read(s, true);
}

int host_ping_init(struct p2p_host *h)
{
    return p2p_host_handle(h, P2P_PING, pinged, h);
}

void host_ping_end_all(struct p2p_host *h)
{
    while (!list_is_empty(&h->pings))
        end(LIST_ENTRY(h->pings.next, struct host_pong, link));
}
