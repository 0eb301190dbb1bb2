// SPDX-License-Identifier: MIT
/* See conn_negotiate.h. */
#include "p2p/conn_negotiate.h"

#include "base/mem.h"
#include "base/trace.h"
#include "p2p/conn.h"
#include "p2p/conn_scope.h"

#include <stdlib.h>

static int accept_protocol(void *ctx, struct bytes protocol)
{
    struct conn_stream *cs = ctx;
    struct conn *c = cs->conn;
    int handler = c->env->on->protocol(c->env->ctx, c, protocol);
    if (handler >= 0 && c->scope.ledger)
        cs->protocol_scope = resource_hold(c->scope.ledger, RESOURCE_PROTOCOL, protocol);
    if (handler < 0)
        TRACE(P2P, DEBUG, "stream from %s: %.*s is not served -> na", c->principal.name,
              BYTES_FMT(bytes_first(protocol, 64)));
    return handler;
}

/* Sends what mss has to say; it is short, and the queue of a new stream is empty. */
static int say(struct conn_stream *cs, struct buf *out)
{
    struct bytes v = buf_view(out);
    int err = 0;
    if (v.n) {
        ssize_t n = yamux_write(&cs->y, v);
        err = n < 0 ? (int)n : (size_t)n < v.n ? E_LIMIT : 0;
        conn_mark(cs->conn);
    }
    buf_fini(out);
    return err;
}

int conn_stream_dial(struct conn *c, struct conn_open *r)
{
    struct resource_scope *protocol;
    if (c->yamux.outbound >= c->yamux.cfg.max_outbound)
        return E_BUSY; /* its turn comes; what the ledger refuses is an error */
    int err = conn_scope_stream(c, false, bytes_str(r->protocol), &protocol);
    if (err)
        return err;
    struct conn_stream *cs = conn_stream_new(c, false, protocol);
    err = yamux_open(&c->yamux, &cs->y);
    if (err) { /* it never was: nothing to release, and no reason for the task to look again */
        conn_scope_stream_end(cs);
        list_remove(&cs->link);
        free(cs);
        return err;
    }
    struct buf out;
    buf_init(&out, 0);
    cs->protocol = r->protocol;
    cs->request = r;
    cs->is_brief = r->is_brief;
    conn_wanted(c, r->is_brief);
    r->stream = cs;
    cs->phase = r->is_lazy ? CS_LAZY : CS_ASKING;
    err = mss_dial(&cs->mss, &cs->protocol, 1, &out);
    err = err ? err : say(cs, &out);
    c->env->counts.streams_out++;
    timer_after(c->env->sched, &cs->deadline, c->env->cfg.negotiate_us);
    if (err) {
        yamux_reset(&cs->y, YAMUX_CODE_NONE);
        conn_stream_break(cs, err);
    } else if (r->is_lazy) {
        conn_stream_due(cs);
    }
    return 0;
}

void conn_stream_accept(struct conn *c)
{
    struct resource_scope *none;
    if (conn_scope_stream(c, true, (struct bytes){0}, &none) != 0) {
        c->env->counts.streams_denied++;
        return; /* not accepted: yamux refuses it */
    }
    struct conn_stream *cs = conn_stream_new(c, true, NULL);
    yamux_accept(&c->yamux, &cs->y);
    cs->phase = CS_ASKED;
    mss_listen(&cs->mss, accept_protocol, cs);
    c->env->counts.streams_in++;
    timer_after(c->env->sched, &cs->deadline, c->env->cfg.negotiate_us);
}

/* Feeds mss from the stream: its verdict. */
static int feed(struct conn_stream *cs)
{
    int err = MSS_MORE;
    while (err == MSS_MORE) {
        struct bytes in = yamux_peek(&cs->y);
        struct buf out;
        size_t used = 0;
        if (in.n == 0)
            return cs->y.recv.has_fin ? E_EOF : MSS_MORE;
        buf_init(&out, 0);
        err = mss_feed(&cs->mss, in, &used, &out);
        yamux_consume(&cs->y, used);
        int said = say(cs, &out);
        err = said ? said : err;
    }
    return err;
}

static void agreed(struct conn_stream *cs)
{
    struct conn *c = cs->conn;
    enum conn_stream_phase was = cs->phase;
    int handler = cs->mss.chosen;
    mss_fini(&cs->mss);
    cs->mss = (struct mss){0};
    cs->phase = CS_OPEN;
    cs->protocol = NULL;
    if (!cs->is_lingering)
        timer_clear(c->env->sched, &cs->deadline);
    if (cs->holds_fin) {
        cs->holds_fin = false;
        yamux_finish(&cs->y);
    }
    if (cs->is_lingering)
        yamux_shut_read(&cs->y);
    conn_mark(c);
    if (was == CS_ASKED) {
        conn_stream_give(cs, false);
        cs->in_call = true; /* a handler that closes at once finds the struct alive below */
        c->env->on->accepted(c->env->ctx, c, handler, &cs->s);
        cs->in_call = false;
    } else if (was == CS_ASKING) {
        conn_stream_due(cs);
    }
}

static bool refuse(struct conn_stream *cs, int err)
{
    TRACE(P2P, DEBUG, "stream of %s: %s: %s -> reset", cs->conn->principal.name,
          cs->protocol ? cs->protocol : "inbound", err_text(err));
    yamux_reset(&cs->y, YAMUX_CODE_NONE);
    conn_mark(cs->conn);
    conn_stream_break(cs, err);
    return false;
}

bool conn_negotiate_step(struct conn_stream *cs)
{
    if (cs->phase == CS_BROKEN)
        return false;
    int r = feed(cs);
    if (r == MSS_AGREED) {
        if (cs->phase == CS_ASKED && conn_scope_protocol(cs) != 0)
            return refuse(cs, E_LIMIT);
        agreed(cs);
        if (cs->phase == CS_BROKEN && !cs->has_user && !cs->request) {
            conn_stream_free(cs);
            return false;
        }
        return cs->phase == CS_OPEN;
    }
    if (r == MSS_MORE)
        return false;
    return refuse(cs, r);
}

void conn_negotiate_report(struct conn_stream *cs)
{
    struct conn_open *r = cs->request;
    int err = cs->phase == CS_BROKEN ? cs->err : 0;
    cs->request = NULL;
    r->stream = NULL;
    if (err) {
        conn_stream_free(cs);
        r->done(r, err, NULL);
        return;
    }
    conn_stream_give(cs, !r->is_background);
    cs->in_call = true;
    r->done(r, 0, &cs->s);
    cs->in_call = false;
    if (!cs->has_user && (cs->phase == CS_BROKEN || !cs->conn))
        conn_stream_free(cs);
    else
        conn_stream_due(cs); /* what the echo brought along */
}

/* --- requests for streams --- */

void conn_open_stream(struct conn *c, struct conn_open *r)
{
    r->conn = c;
    r->stream = NULL;
    list_init(&r->link);
    list_append(&c->waiting, &r->link);
    conn_mark(c);
}

void conn_open_cancel(struct conn_open *r)
{
    list_remove(&r->link);
    r->conn = NULL;
    if (!r->stream)
        return;
    struct conn_stream *cs = r->stream;
    r->stream = NULL;
    conn_stream_abandon(cs);
}

/* Requests that found no room, in the order they came. */
void conn_open_waiting(struct conn *c)
{
    while (!list_is_empty(&c->waiting)) {
        struct conn_open *r = LIST_ENTRY(c->waiting.next, struct conn_open, link);
        int err = conn_stream_dial(c, r);
        if (err == E_BUSY)
            return;
        list_remove(&r->link);
        if (err) {
            r->conn = NULL;
            r->done(r, err, NULL);
        }
    }
}
