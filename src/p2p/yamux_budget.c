// SPDX-License-Identifier: MIT
/* Memory held for streams; see yamux_budget.h. */
#include "p2p/yamux_budget.h"

#include "base/err.h"
#include "base/trace.h"
#include "p2p/yamux_frame.h"
#include "p2p/yamux_table.h"

void yamux_budget_init(struct yamux_budget *b, uint64_t limit_bytes)
{
    *b = (struct yamux_budget){.limit = limit_bytes};
    list_init(&b->sessions);
}

void yamux_budget_join(struct yamux *y)
{
    list_init(&y->in_budget);
    if (y->cfg.budget)
        list_append(&y->cfg.budget->sessions, &y->in_budget);
}

void yamux_budget_leave(struct yamux *y)
{
    list_remove(&y->in_budget);
}

static void set_charge(struct yamux_stream *s, uint64_t charge)
{
    struct yamux *y = s->session;
    y->held += charge - s->recv.charged;
    if (y->cfg.budget)
        y->cfg.budget->used += charge - s->recv.charged;
    s->recv.charged = charge;
}

void yamux_budget_charge(struct yamux_stream *s)
{
    uint64_t unread = buf_len(&s->recv.unread);
    uint64_t grown = (uint64_t)s->recv.window - YAMUX_INITIAL_WINDOW + s->recv.withheld;
    set_charge(s, grown + (unread < YAMUX_INITIAL_WINDOW ? unread : YAMUX_INITIAL_WINDOW));
}

void yamux_budget_discharge(struct yamux_stream *s)
{
    set_charge(s, 0);
}

static bool has_room(uint64_t used, uint64_t limit, uint64_t bytes)
{
    uint64_t growable = limit / 4 * 3;
    return used <= growable && bytes <= growable - used;
}

bool yamux_budget_allows_growth(const struct yamux *y, uint64_t bytes)
{
    const struct yamux_budget *b = y->cfg.budget;
    return has_room(y->held, y->cfg.conn_budget, bytes) &&
           (!b || has_room(b->used, b->limit, bytes)) &&
           (!y->cfg.may_grow || y->cfg.may_grow(y->cfg.wake_ctx, bytes));
}

static struct yamux_stream *greediest_stream(struct yamux *y)
{
    struct yamux_stream *most = NULL;
    LIST_FOREACH (&y->streams, it) {
        struct yamux_stream *s = LIST_ENTRY(it, struct yamux_stream, all);
        if (!s->is_reset && (!most || s->recv.charged > most->recv.charged))
            most = s;
    }
    return most;
}

static struct yamux *greediest_session(struct yamux_budget *b)
{
    struct yamux *most = NULL;
    LIST_FOREACH (&b->sessions, it) {
        struct yamux *y = LIST_ENTRY(it, struct yamux, in_budget);
        if (!most || y->held > most->held)
            most = y;
    }
    return most;
}

static bool evict_from(struct yamux *y)
{
    struct yamux_stream *s = greediest_stream(y);
    if (!s || s->recv.charged == 0)
        return false;
    TRACE(P2P, INFO, "stream %u holds %llu bytes unread, over the budget -> reset", s->id,
          (unsigned long long)s->recv.charged);
    y->counts.resets_over_budget++;
    yamux_abort(s, E_LIMIT);
    return true;
}

bool yamux_budget_shed(struct yamux *y)
{
    struct yamux_stream *most = NULL;
    uint64_t held = 0;
    LIST_FOREACH (&y->streams, it) {
        struct yamux_stream *s = LIST_ENTRY(it, struct yamux_stream, all);
        uint64_t n = s->recv.charged + buf_len(&s->send.queue);
        if (!s->is_reset && n > held) {
            most = s;
            held = n;
        }
    }
    if (!most)
        return false;
    TRACE(P2P, INFO, "stream %u holds %llu bytes, over the limit of its peer -> reset", most->id,
          (unsigned long long)held);
    y->counts.resets_over_budget++;
    yamux_abort(most, E_LIMIT);
    return true;
}

void yamux_budget_enforce(struct yamux *y)
{
    struct yamux_budget *b = y->cfg.budget;
    while (y->held > y->cfg.conn_budget && evict_from(y))
        ;
    while (b && b->used > b->limit) {
        struct yamux *most = greediest_session(b);
        if (!most || !evict_from(most))
            break;
        if (most != y && most->cfg.wake)
            most->cfg.wake(most->cfg.wake_ctx);
    }
}
