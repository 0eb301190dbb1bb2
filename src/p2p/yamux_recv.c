// SPDX-License-Identifier: MIT
/* Receiving half; see yamux_recv.h. */
#include "p2p/yamux_recv.h"

#include "base/err.h"
#include "base/limits.h"
#include "p2p/yamux_budget.h"
#include "p2p/yamux_table.h"

#include <assert.h>

enum { CREDIT_LUMP = 128 * 1024, SHRINK_AFTER_US = 10 * 1000 * 1000 };

int yamux_recv_reserve(struct yamux_stream *s, uint32_t n)
{
    if (n > s->recv.credit)
        return E_TOO_BIG;
    s->recv.credit -= n;
    return 0;
}

/* Half of what the window grew by, asked back; it is paid by pay_back. */
static void shrink(struct yamux_stream *s)
{
    struct yamux_recv *r = &s->recv;
    uint32_t less = (r->window - YAMUX_INITIAL_WINDOW + 1) / 2;
    if (r->window - less < 2 * YAMUX_INITIAL_WINDOW)
        less = r->window - YAMUX_INITIAL_WINDOW;
    r->window -= less;
    r->withheld += less;
}

static void pay_back(struct yamux_stream *s)
{
    struct yamux_recv *r = &s->recv;
    uint32_t part = r->owed < r->withheld ? r->owed : r->withheld;
    if (!part)
        return;
    r->owed -= part;
    r->withheld -= part;
    yamux_budget_charge(s);
}

static void enlarge(struct yamux_stream *s)
{
    struct yamux *y = s->session;
    struct yamux_recv *r = &s->recv;
    uint32_t extra = y->cfg.max_window - r->window;
    extra = extra < r->window ? extra : r->window;
    uint32_t have = extra < r->withheld ? extra : r->withheld; /* the peer has this much already */
    if (!yamux_budget_allows_growth(y, extra - have))
        return;
    r->window += extra;
    r->withheld -= have;
    r->owed += extra - have;
    yamux_budget_charge(s);
}

/* Doubles the window when the user took half of it inside two round trips; halves it when it took
 * less than that in a long while. */
static void tune(struct yamux_stream *s, uint32_t n)
{
    struct yamux *y = s->session;
    struct yamux_recv *r = &s->recv;
    uint64_t now = sched_now(y->cfg.clock), took = now - r->epoch_us;
    r->epoch_bytes += n;
    bool is_used = r->epoch_bytes >= r->window / 2;
    if (!is_used && took < SHRINK_AFTER_US)
        return;
    r->epoch_bytes = 0;
    r->epoch_us = now;
    if (!is_used && r->window > YAMUX_INITIAL_WINDOW)
        shrink(s);
    else if (is_used && y->rtt_us && took < 2 * y->rtt_us && r->window < y->cfg.max_window)
        enlarge(s);
}

static void give_back(struct yamux_stream *s, uint32_t n)
{
    struct yamux_recv *r = &s->recv;
    r->owed += n;
    tune(s, n);
    pay_back(s);
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
