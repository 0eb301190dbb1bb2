// SPDX-License-Identifier: MIT
/* A stream to a peer, connected first where needed.
 *
 *   START --no connection--> CONNECTING --> OPENING --> done
 *      \--connected-------------------------/   \--the connection died meanwhile: once more--/
 *
 * A connection may die between being chosen and carrying the stream (rust closes idle ones after
 * 10 s); one more try hides that from the user. The deadline is one for all of it. */
#include "base/mem.h"
#include "p2p/host_impl.h"

#define OPEN_TIMEOUT_US (30 * US_PER_S)

enum { OPEN_START, OPEN_CONNECTING, OPEN_OPENING, OPEN_ANSWER };
enum { OPEN_RETRIED = 0x10 };

static int phase_of(const struct p2p_open *r)
{
    return r->phase & 0x0f;
}

static void set_phase(struct p2p_open *r, int phase)
{
    r->phase = (uint8_t)((r->phase & OPEN_RETRIED) | phase);
}

static void leave(struct p2p_open *r)
{
    timer_clear(r->host->sched, &r->timer);
    task_cancel(&r->task);
    list_remove(&r->link);
}

static void finish(struct p2p_open *r, int err, struct stream *s)
{
    leave(r);
    r->done(r, err, s);
}

static void opened(struct conn_open *o, int err, struct stream *s)
{
    struct p2p_open *r = CONTAINER_OF(o, struct p2p_open, open);
    bool is_lost = err == E_CLOSED || err == E_TIMEOUT;
    if (is_lost && !(r->phase & OPEN_RETRIED)) {
        r->phase = OPEN_RETRIED | OPEN_START;
        task_defer(r->host->sched, &r->task);
        return;
    }
    finish(r, err, s);
}

static bool is_known_to_have(struct p2p_open *r)
{
    struct known_peer *rec = peerstore_get(&r->host->store, &r->peer);
    return rec && rec->is_identified && known_peer_has_protocol(rec, r->protocol);
}

static void open_on(struct p2p_open *r, struct conn *c)
{
    set_phase(r, OPEN_OPENING);
    r->open = (struct conn_open){
        .protocol = r->protocol,
        .is_lazy = r->is_lazy || is_known_to_have(r),
        .is_background = r->is_background,
        .is_brief = r->is_brief,
        .done = opened,
    };
    conn_open_stream(c, &r->open);
}

static struct conn *conn_of(struct p2p_open *r)
{
    struct host_peer *p = host_peer_get(r->host, &r->peer);
    if (!p)
        return NULL;
    return r->is_direct ? host_peer_direct(p) : host_peer_conn(p);
}

static void connected(struct p2p_connect *cn, int err, const struct peer_id *peer, const char *why)
{
    struct p2p_open *r = CONTAINER_OF(cn, struct p2p_open, connect);
    struct conn *c = err ? NULL : conn_of(r);
    if (c)
        open_on(r, c);
    else
        finish(r, err ? err : E_CLOSED, NULL);
}

static void start(struct task *t)
{
    struct p2p_open *r = CONTAINER_OF(t, struct p2p_open, task);
    if (phase_of(r) == OPEN_ANSWER) {
        finish(r, r->err, NULL);
        return;
    }
    struct conn *c = conn_of(r);
    if (c) {
        open_on(r, c);
        return;
    }
    if (r->only_connected) {
        finish(r, E_UNAVAILABLE, NULL);
        return;
    }
    set_phase(r, OPEN_CONNECTING);
    r->connect = (struct p2p_connect){
        .peer = &r->peer,
        .addrs = r->addrs,
        .addr_count = r->addr_count,
        .timeout_us = r->timeout_us ? r->timeout_us : OPEN_TIMEOUT_US,
        .is_urgent = r->is_urgent,
        .is_direct = r->is_direct,
        .done = connected,
    };
    p2p_host_connect(r->host, &r->connect);
}

static void timed_out(struct timer *t)
{
    struct p2p_open *r = CONTAINER_OF(t, struct p2p_open, timer);
    p2p_open_cancel(r);
    r->done(r, E_TIMEOUT, NULL);
}

void p2p_host_open(struct p2p_host *h, struct p2p_open *r)
{
    r->host = h;
    r->phase = OPEN_START;
    r->err = 0;
    list_init(&r->link);
    task_init(&r->task, start);
    timer_init(&r->timer, timed_out);
    list_append(&h->opens, &r->link);
    if (h->is_closing) {
        r->phase = OPEN_ANSWER;
        r->err = E_CANCELLED;
    }
    timer_after(h->sched, &r->timer, r->timeout_us ? r->timeout_us : OPEN_TIMEOUT_US);
    /* The hints are borrowed for this call only, so they go to the address book or a dial now. */
    if (r->phase == OPEN_START && !conn_of(r) && !r->only_connected && r->addr_count)
        p2p_host_learn(h, &r->peer, r->addrs, r->addr_count, PEER_ADDR_TTL_HEARD);
    r->addrs = NULL;
    r->addr_count = 0;
    task_defer(h->sched, &r->task);
}

void p2p_open_cancel(struct p2p_open *r)
{
    if (phase_of(r) == OPEN_CONNECTING)
        p2p_connect_cancel(&r->connect);
    else if (phase_of(r) == OPEN_OPENING)
        conn_open_cancel(&r->open);
    leave(r);
}

void host_open_end_all(struct p2p_host *h, int err, bool tell)
{
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &h->opens);
    while (!list_is_empty(&batch)) {
        struct p2p_open *r = LIST_ENTRY(batch.next, struct p2p_open, link);
        p2p_open_cancel(r);
        if (tell)
            r->done(r, err, NULL);
    }
}
