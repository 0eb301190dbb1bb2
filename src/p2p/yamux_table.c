// SPDX-License-Identifier: MIT
/* Streams by id, and their pending events; see yamux_table.h.
 *
 * Peers choose ids, so the hash is multiplied by a secret odd number: chains cannot be aimed at. */
#include "p2p/yamux_table.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "p2p/yamux_budget.h"
#include "p2p/yamux_frame.h"

#include <stdlib.h>

static struct yamux_stream **slot_of(const struct yamux *y, uint32_t id)
{
    uint32_t h = id * (y->slot_seed | 1);
    return &y->slots[(h ^ h >> 16) & (y->slot_count - 1)];
}

struct yamux_stream *yamux_find(const struct yamux *y, uint32_t id)
{
    if (!y->slot_count)
        return NULL;
    struct yamux_stream *s = *slot_of(y, id);
    while (s && s->id != id)
        s = s->chain;
    return s;
}

static void grow(struct yamux *y)
{
    free(y->slots);
    y->slot_count = y->slot_count ? 2 * y->slot_count : 8;
    y->slots = mem_array(y->slot_count, sizeof *y->slots);
    LIST_FOREACH (&y->streams, it) {
        struct yamux_stream *s = LIST_ENTRY(it, struct yamux_stream, all);
        struct yamux_stream **at = slot_of(y, s->id);
        s->chain = *at;
        *at = s;
    }
}

void yamux_enter(struct yamux *y, struct yamux_stream *s, uint32_t id)
{
    *s = (struct yamux_stream){.session = y, .id = id};
    list_init(&s->ready);
    list_init(&s->noted);
    list_init(&s->credit_due);
    buf_init(&s->recv.unread, 0);
    buf_init(&s->send.queue, y->cfg.send_queue);
    s->recv.window = s->recv.credit = YAMUX_INITIAL_WINDOW;
    s->send.credit = YAMUX_INITIAL_WINDOW;
    s->recv.epoch_us = sched_now(y->cfg.clock);
    if (y->inbound + y->outbound >= y->slot_count)
        grow(y);
    struct yamux_stream **at = slot_of(y, id);
    s->chain = *at;
    *at = s;
    list_append(&y->streams, &s->all);
}

/* What is still to come of a frame is dropped from here on. */
static void forget_body(struct yamux_stream *s)
{
    struct yamux *y = s->session;
    if (y->body_to == s)
        y->body_to = NULL;
    if (y->slice_to == s)
        y->slice_to = NULL;
}

void yamux_forget(struct yamux_stream *s)
{
    struct yamux *y = s->session;
    struct yamux_stream **at = slot_of(y, s->id);
    while (*at != s)
        at = &(*at)->chain;
    *at = s->chain;
    list_remove(&s->all);
    list_remove(&s->ready);
    list_remove(&s->noted);
    list_remove(&s->credit_due);
    yamux_budget_discharge(s);
    buf_fini(&s->recv.unread);
    buf_fini(&s->send.queue);
    forget_body(s);
    if (s->is_inbound)
        y->inbound--;
    else
        y->outbound--;
    if (!s->is_inbound && !s->is_acked && !s->is_reset)
        y->unacked--;
    s->session = NULL;
}

void yamux_note(struct yamux_stream *s, enum yamux_event_kind kind)
{
    s->pending |= (uint8_t)(1u << kind);
    if (list_is_empty(&s->noted))
        list_append(&s->session->noted, &s->noted);
}

/* In the order in which they make sense to a user; a reset stream has nothing else to say. */
bool yamux_take_noted(struct yamux *y, struct yamux_event *ev)
{
    static const enum yamux_event_kind order[] = {YAMUX_RESET, YAMUX_ACKED, YAMUX_DATA, YAMUX_ENDED,
                                                  YAMUX_WRITABLE};
    if (list_is_empty(&y->noted))
        return false;
    struct yamux_stream *s = LIST_ENTRY(y->noted.next, struct yamux_stream, noted);
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        if (!(s->pending & 1u << order[i]))
            continue;
        s->pending &= (uint8_t) ~(1u << order[i]);
        *ev = (struct yamux_event){.kind = order[i], .stream = s, .id = s->id};
        if (order[i] == YAMUX_RESET) {
            ev->err = s->reset_err;
            ev->code = s->reset_code;
            s->pending = 0;
        }
        break;
    }
    if (!s->pending)
        list_remove(&s->noted);
    return true;
}

int yamux_control(struct yamux *y, uint8_t type, uint16_t flags, uint32_t id, uint32_t length)
{
    uint8_t head[YAMUX_HEAD];
    if (y->is_dead)
        return E_CLOSED;
    yamux_frame_encode(head, (struct yamux_frame){0, type, flags, id, length});
    return buf_append(&y->control, head, sizeof head);
}

void yamux_churned(struct yamux *y)
{
    const uint64_t cost = US_PER_S / LIMIT_YAMUX_CHURN;
    uint64_t now = sched_now(y->cfg.clock);
    y->churn_us = (y->churn_us > now ? y->churn_us : now) + cost;
    if (y->churn_us - now > cost * LIMIT_YAMUX_CHURN_BURST)
        y->is_flooded = true;
}

void yamux_kill(struct yamux_stream *s, int err, uint32_t code)
{
    struct yamux *y = s->session;
    if (s->is_reset)
        return;
    if (!s->is_inbound && !s->is_acked)
        y->unacked--;
    if (s->is_inbound)
        yamux_churned(y);
    s->is_reset = true;
    s->reset_err = err;
    s->reset_code = code;
    s->pending = 0;
    list_remove(&s->noted);
    list_remove(&s->ready);
    list_remove(&s->credit_due);
    forget_body(s);
    s->recv.window = YAMUX_INITIAL_WINDOW;
    s->recv.withheld = 0;
    buf_fini(&s->recv.unread);
    y->queued -= buf_len(&s->send.queue);
    buf_fini(&s->send.queue);
    yamux_budget_discharge(s);
}

void yamux_abort(struct yamux_stream *s, int err)
{
    struct yamux *y = s->session;
    uint32_t id = s->id;
    yamux_kill(s, err, YAMUX_CODE_NONE);
    yamux_note(s, YAMUX_RESET);
    if (yamux_control(y, YAMUX_T_WINDOW, YAMUX_F_RST, id, YAMUX_CODE_NONE) == E_LIMIT)
        y->is_flooded = true;
}
