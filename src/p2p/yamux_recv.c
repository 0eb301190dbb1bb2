// SPDX-License-Identifier: MIT
/* Receiving half; see yamux_recv.h. */
#include "p2p/yamux_recv.h"

#include "base/err.h"
#include "base/limits.h"
#include "p2p/yamux_budget.h"
#include "p2p/yamux_table.h"

#include <assert.h>

enum { CREDIT_LUMP = 128 * 1024 };

int yamux_recv_reserve(struct yamux_stream *s, uint32_t n)
{
    if (n > s->recv.credit)
        return E_TOO_BIG;
    s->recv.credit -= n;
    return 0;
}

/* Doubles the window when the user took half of it inside two round trips. */
static void tune(struct yamux_stream *s, uint32_t n)
{
    struct yamux *y = s->session;
    struct yamux_recv *r = &s->recv;
    r->epoch_bytes += n;
    if (r->epoch_bytes < r->window / 2)
        return;
    uint64_t now = sched_now(y->cfg.clock), took = now - r->epoch_us;
    r->epoch_bytes = 0;
    r->epoch_us = now;
    if (!y->rtt_us || took >= 2 * y->rtt_us || r->window >= y->cfg.max_window)
        return;
    uint32_t extra = y->cfg.max_window - r->window;
    extra = extra < r->window ? extra : r->window;
    if (!yamux_budget_allows_growth(y, extra))
        return;
    r->window += extra;
    r->owed += extra;
    yamux_budget_charge(s);
}

static void give_back(struct yamux_stream *s, uint32_t n)
{
    struct yamux_recv *r = &s->recv;
    r->owed += n;
    tune(s, n);
    if (!r->has_fin && (r->owed >= CREDIT_LUMP || r->owed >= r->window / 2) &&
        list_is_empty(&s->credit_due))
        list_append(&s->session->credit_due, &s->credit_due);
}

bool yamux_recv_arrive(struct yamux_stream *s, struct bytes part)
{
    if (s->recv.is_shut) {
        give_back(s, (uint32_t)part.n);
        return false;
    }
    s->session->slice = part;
    s->session->slice_to = s;
    return true;
}

void yamux_recv_stash(struct yamux *y)
{
    struct yamux_stream *s = y->slice_to;
    y->slice_to = NULL;
    if (!s || !y->slice.n)
        return;
    if (buf_append_bytes(&s->recv.unread, y->slice) != 0) {
        yamux_abort(s, E_NO_MEMORY);
        return;
    }
    yamux_budget_charge(s);
    yamux_budget_enforce(y);
}

uint32_t yamux_recv_take_owed(struct yamux_stream *s)
{
    uint32_t delta = s->recv.owed;
    s->recv.credit += delta;
    s->recv.owed = 0;
    return delta;
}

void yamux_recv_fin(struct yamux_stream *s)
{
    if (s->recv.has_fin)
        return;
    s->recv.has_fin = true;
    list_remove(&s->credit_due); /* there is nobody left to give credit to */
    yamux_note(s, YAMUX_ENDED);
}

struct bytes yamux_peek(const struct yamux_stream *s)
{
    const struct yamux *y = s->session;
    if (buf_len(&s->recv.unread) || !y || y->slice_to != s)
        return buf_view(&s->recv.unread);
    return y->slice;
}

void yamux_consume(struct yamux_stream *s, size_t n)
{
    struct yamux *y = s->session;
    struct buf *unread = &s->recv.unread;
    if (!y || n == 0)
        return;
    if (buf_len(unread)) {
        assert(n <= buf_len(unread));
        buf_consume(unread, n);
        buf_trim(unread);
        yamux_budget_charge(s);
    } else {
        assert(y->slice_to == s && n <= y->slice.n);
        y->slice = bytes_skip(y->slice, n);
    }
    give_back(s, (uint32_t)n);
}

ssize_t yamux_read(struct yamux_stream *s, void *p, size_t n)
{
    size_t got = 0;
    if (!s->session)
        return E_CLOSED;
    if (s->is_reset)
        return s->reset_err;
    while (got < n) {
        struct bytes part = bytes_first(yamux_peek(s), n - got);
        if (!part.n)
            break;
        memcpy((uint8_t *)p + got, part.p, part.n);
        got += part.n;
        yamux_consume(s, part.n);
    }
    if (got)
        return (ssize_t)got;
    return s->recv.has_fin || s->recv.is_shut ? E_EOF : E_AGAIN;
}

void yamux_shut_read(struct yamux_stream *s)
{
    if (!s->session || s->is_reset)
        return;
    s->recv.is_shut = true;
    for (struct bytes rest; (rest = yamux_peek(s)).n;)
        yamux_consume(s, rest.n);
}
