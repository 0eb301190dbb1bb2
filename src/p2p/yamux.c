// SPDX-License-Identifier: MIT
/* The session: frames in, events out, and what is said on behalf of the whole connection.
 *
 *   yamux_next:   noted events -> rest of a body -> a header -> what it means -> ...
 *
 * A frame is judged by its header alone, before anything is kept of its body: version, type, parity
 * of a new id, length against the window. Whoever fails hears GoAway and nothing more. */
#include "p2p/yamux.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/trace.h"
#include "p2p/yamux_budget.h"
#include "p2p/yamux_recv.h"
#include "p2p/yamux_send.h"
#include "p2p/yamux_table.h"

#include <assert.h>
#include <stdlib.h>

enum { NO_OFFER = 0xff, GOAWAY_PROTOCOL = 1, GOAWAY_INTERNAL = 2 };
enum { PING_EVERY_US = 10 * 1000 * 1000 };
enum { MORE = 0, EVENT = 1 };

struct yamux_cfg yamux_cfg_default(bool is_client, const struct sched *clock, struct rng *rng)
{
    return (struct yamux_cfg){
        .is_client = is_client,
        .clock = clock,
        .rng = rng,
        .max_inbound = LIMIT_YAMUX_STRANGER,
        .max_outbound = LIMIT_YAMUX_OUTBOUND,
        .max_window = LIMIT_YAMUX_WINDOW,
        .send_queue = LIMIT_YAMUX_SEND_QUEUE,
        .conn_budget = LIMIT_YAMUX_CONN,
    };
}

void yamux_init(struct yamux *y, const struct yamux_cfg *cfg)
{
    assert(cfg->clock && cfg->send_queue > 0);
    *y = (struct yamux){.cfg = *cfg, .next_id = cfg->is_client ? 1 : 2};
    list_init(&y->streams);
    list_init(&y->ready_small);
    list_init(&y->ready_bulk);
    list_init(&y->credit_due);
    list_init(&y->noted);
    buf_init(&y->control, LIMIT_YAMUX_CONTROL);
    y->slot_seed = cfg->rng ? (uint32_t)rng_u64(cfg->rng) : 1;
    y->offered.type = NO_OFFER;
    y->ping_due_us = sched_now(cfg->clock);
    yamux_budget_join(y);
}

void yamux_fini(struct yamux *y)
{
    while (!list_is_empty(&y->streams))
        yamux_forget(LIST_ENTRY(y->streams.next, struct yamux_stream, all));
    yamux_budget_leave(y);
    buf_fini(&y->control);
    free(y->slots);
    y->slots = NULL;
    y->slot_count = 0;
}

/* The session ends: all that may still be said is why. */
static int die(struct yamux *y, int err)
{
    uint32_t code = err == E_LIMIT ? GOAWAY_INTERNAL : GOAWAY_PROTOCOL;
    TRACE(P2P, DEBUG, "yamux: %s -> goaway %u", err_text(err), code);
    buf_clear(&y->control);
    yamux_control(y, YAMUX_T_GOAWAY, 0, 0, code);
    y->is_dead = true;
    return err;
}

/* --- going out --- */

int yamux_open(struct yamux *y, struct yamux_stream *s)
{
    if (y->is_dead || y->goaway_seen)
        return E_CLOSED;
    if (y->outbound >= y->cfg.max_outbound || y->unacked >= LIMIT_YAMUX_UNACKED)
        return E_BUSY;
    if (y->next_id > UINT32_MAX - 2)
        return E_LIMIT;
    int err = yamux_control(y, YAMUX_T_WINDOW, YAMUX_F_SYN, y->next_id, 0);
    if (err)
        return err;
    yamux_enter(y, s, y->next_id);
    y->next_id += 2;
    y->outbound++;
    y->unacked++;
    return 0;
}

void yamux_accept(struct yamux *y, struct yamux_stream *s)
{
    assert(y->offered.type != NO_OFFER && !yamux_find(y, y->offered.id));
    yamux_enter(y, s, y->offered.id);
    s->is_inbound = s->is_acked = true;
    y->inbound++;
    if (yamux_control(y, YAMUX_T_WINDOW, YAMUX_F_ACK, s->id, 0) == E_LIMIT)
        y->is_flooded = true;
}

void yamux_reset(struct yamux_stream *s, uint32_t code)
{
    if (!s->session || yamux_is_done(s))
        return;
    if (yamux_control(s->session, YAMUX_T_WINDOW, YAMUX_F_RST, s->id, code) == E_LIMIT)
        s->session->is_flooded = true;
    yamux_kill(s, E_CANCELLED, code);
}

bool yamux_is_done(const struct yamux_stream *s)
{
    return s->is_reset || (s->recv.has_fin && s->send.fin_sent);
}

void yamux_release(struct yamux_stream *s)
{
    if (!s->session)
        return;
    yamux_reset(s, YAMUX_CODE_NONE);
    yamux_forget(s);
}

int yamux_ping(struct yamux *y)
{
    if (y->ping_sent_us)
        return E_BUSY;
    int err = yamux_control(y, YAMUX_T_PING, YAMUX_F_SYN, 0, y->ping_value);
    if (err)
        return err;
    uint64_t now = sched_now(y->cfg.clock);
    y->ping_sent_us = now ? now : 1;
    y->ping_due_us = now + PING_EVERY_US;
    return 0;
}

uint64_t yamux_ping_age_us(const struct yamux *y)
{
    return y->ping_sent_us ? sched_now(y->cfg.clock) - y->ping_sent_us : 0;
}

void yamux_goaway(struct yamux *y, uint32_t code)
{
    if (y->goaway_sent || y->is_dead)
        return;
    y->goaway_sent = true;
    yamux_control(y, YAMUX_T_GOAWAY, 0, 0, code);
}

bool yamux_has_output(const struct yamux *y)
{
    if (buf_len(&y->control))
        return true;
    return !y->is_dead && !(list_is_empty(&y->credit_due) && list_is_empty(&y->ready_small) &&
                            list_is_empty(&y->ready_bulk));
}

static size_t drain_control(struct yamux *y, uint8_t *out, size_t room)
{
    struct bytes part = bytes_first(buf_view(&y->control), room / YAMUX_HEAD * YAMUX_HEAD);
    memcpy(out, part.p, part.n);
    buf_consume(&y->control, part.n);
    buf_trim(&y->control);
    return part.n;
}

static size_t drain_credit(struct yamux *y, uint8_t *out, size_t room)
{
    size_t at = 0;
    while (room - at >= YAMUX_HEAD && !list_is_empty(&y->credit_due)) {
        struct yamux_stream *s = LIST_ENTRY(y->credit_due.next, struct yamux_stream, credit_due);
        list_remove(&s->credit_due);
        uint32_t delta = yamux_recv_take_owed(s);
        yamux_frame_encode(out + at, (struct yamux_frame){0, YAMUX_T_WINDOW, 0, s->id, delta});
        at += YAMUX_HEAD;
    }
    return at;
}

/* The path is measured once, when it is first used, and then while so much passes that windows should follow it. */
static bool wants_measure(const struct yamux *y)
{
    bool is_bulk = !list_is_empty(&y->credit_due) || !list_is_empty(&y->ready_bulk);
    return (is_bulk || (y->rtt_us == 0 && !list_is_empty(&y->ready_small))) &&
           sched_now(y->cfg.clock) >= y->ping_due_us;
}

size_t yamux_drain(struct yamux *y, uint8_t *out, size_t room)
{
    assert(room >= YAMUX_DRAIN_MIN);
    if (wants_measure(y))
        yamux_ping(y);
    size_t at = drain_control(y, out, room);
    if (y->is_dead)
        return at;
    at += drain_credit(y, out + at, room - at);
    return at + yamux_send_drain(y, out + at, room - at);
}

/* --- coming in --- */

static bool is_theirs(const struct yamux *y, uint32_t id)
{
    return id && (id & 1) != (y->cfg.is_client ? 1 : 0);
}

/* SYN: whether there is such a stream is the user's to say, so the frame waits for the answer. */
static int take_syn(struct yamux *y, const struct yamux_frame *f, struct yamux_event *ev)
{
    if (!is_theirs(y, f->id) || yamux_find(y, f->id))
        return E_PROTO;
    if (f->type == YAMUX_T_DATA && f->length > YAMUX_INITIAL_WINDOW)
        return E_TOO_BIG;
    y->offered = *f;
    if (y->goaway_sent || y->inbound >= y->cfg.max_inbound || f->flags & YAMUX_F_RST)
        return MORE; /* refused by finish_syn, as if the user had not wanted it */
    *ev = (struct yamux_event){.kind = YAMUX_INBOUND, .id = f->id};
    return EVENT;
}

static void ack(struct yamux_stream *s)
{
    if (s->is_inbound || s->is_acked)
        return;
    s->is_acked = true;
    s->session->unacked--;
    yamux_note(s, YAMUX_ACKED);
}

static void take_rst(struct yamux_stream *s, uint32_t code)
{
    yamux_kill(s, E_RESET, code);
    yamux_note(s, YAMUX_RESET);
}

/* The header of a Data frame; its body follows, and is dropped when there is nobody for it. */
static int take_data(struct yamux *y, const struct yamux_frame *f, struct yamux_stream *s)
{
    if (f->length > LIMIT_YAMUX_FRAME)
        return E_TOO_BIG;
    bool is_alive = s && !s->is_reset && !s->recv.has_fin;
    if (s && !s->is_reset && f->flags & YAMUX_F_ACK)
        ack(s);
    if (s && !s->is_reset && f->flags & YAMUX_F_RST) {
        take_rst(s, YAMUX_CODE_NONE);
        is_alive = false;
    } else if (!is_alive) {
        y->counts.ignored_frames++;
    } else if (yamux_recv_reserve(s, f->length) != 0) {
        return E_TOO_BIG;
    }
    y->body_left = f->length;
    y->body_flags = f->flags;
    y->body_to = is_alive ? s : NULL;
    if (is_alive && !f->length && f->flags & YAMUX_F_FIN)
        yamux_recv_fin(s);
    return MORE;
}

static int take_window(struct yamux *y, const struct yamux_frame *f, struct yamux_stream *s)
{
    if (!s || s->is_reset) {
        y->counts.ignored_frames++;
        return MORE;
    }
    if (f->flags & YAMUX_F_ACK)
        ack(s);
    if (f->flags & YAMUX_F_RST) {
        take_rst(s, f->length); /* an error code here, not credit */
        return MORE;
    }
    yamux_send_credit(s, f->length);
    if (f->flags & YAMUX_F_FIN)
        yamux_recv_fin(s);
    return MORE;
}

static int take_stream_frame(struct yamux *y, const struct yamux_frame *f)
{
    struct yamux_stream *s = yamux_find(y, f->id);
    return f->type == YAMUX_T_DATA ? take_data(y, f, s) : take_window(y, f, s);
}

/* After INBOUND: accepted or not, the frame that opened the stream goes its way. */
static int finish_syn(struct yamux *y)
{
    struct yamux_frame f = y->offered;
    y->offered.type = NO_OFFER;
    bool is_refused = !yamux_find(y, f.id);
    if (is_refused)
        yamux_churned(y);
    if (is_refused && !(f.flags & YAMUX_F_RST)) {
        y->counts.refused_streams++;
        int err = yamux_control(y, YAMUX_T_WINDOW, YAMUX_F_RST, f.id, YAMUX_CODE_NONE);
        if (err)
            return err;
    }
    return take_stream_frame(y, &f);
}

static int take_ping(struct yamux *y, const struct yamux_frame *f, struct yamux_event *ev)
{
    if (f->flags & YAMUX_F_SYN) /* answered exactly once: rust hangs up on one too many */
        return yamux_control(y, YAMUX_T_PING, YAMUX_F_ACK, 0, f->length);
    if (!(f->flags & YAMUX_F_ACK) || !y->ping_sent_us || f->length != y->ping_value) {
        y->counts.ignored_pongs++;
        return MORE;
    }
    uint64_t rtt = yamux_ping_age_us(y);
    rtt = rtt ? rtt : 1;
    y->rtt_us = y->rtt_us ? (3 * y->rtt_us + rtt) / 4 : rtt;
    y->ping_sent_us = 0;
    y->ping_value++;
    *ev = (struct yamux_event){.kind = YAMUX_PONG, .rtt_us = rtt};
    return EVENT;
}

static int take_goaway(struct yamux *y, const struct yamux_frame *f, struct yamux_event *ev)
{
    if (y->goaway_seen)
        return MORE;
    y->goaway_seen = true;
    *ev = (struct yamux_event){.kind = YAMUX_GOAWAY, .code = f->length};
    return EVENT;
}

static int take_frame(struct yamux *y, const struct yamux_frame *f, struct yamux_event *ev)
{
    if (f->version != 0)
        return E_PROTO;
    switch (f->type) {
    case YAMUX_T_DATA:
    case YAMUX_T_WINDOW:
        if (f->id == 0)
            return E_PROTO;
        return f->flags & YAMUX_F_SYN ? take_syn(y, f, ev) : take_stream_frame(y, f);
    case YAMUX_T_PING:
        return take_ping(y, f, ev);
    case YAMUX_T_GOAWAY:
        return take_goaway(y, f, ev);
    default:
        return E_PROTO;
    }
}

/* Some of the body that is being read. */
static int take_body(struct yamux *y, struct bytes *in, struct yamux_event *ev)
{
    struct yamux_stream *s = y->body_to;
    struct bytes part = bytes_first(*in, y->body_left);
    *in = bytes_skip(*in, part.n);
    y->body_left -= (uint32_t)part.n;
    if (!s)
        return MORE;
    bool tell = yamux_recv_arrive(s, part);
    if (!y->body_left) {
        y->body_to = NULL;
        if (y->body_flags & YAMUX_F_FIN)
            yamux_recv_fin(s);
    }
    if (!tell)
        return MORE;
    *ev = (struct yamux_event){.kind = YAMUX_DATA, .stream = s, .id = s->id};
    return EVENT;
}

/* Collects a header: true when y->head is whole. */
static bool take_head(struct yamux *y, struct bytes *in)
{
    struct bytes part = bytes_first(*in, YAMUX_HEAD - y->head_len);
    if (part.n)
        memcpy(y->head + y->head_len, part.p, part.n);
    y->head_len += (uint8_t)part.n;
    *in = bytes_skip(*in, part.n);
    return y->head_len == YAMUX_HEAD;
}

int yamux_next(struct yamux *y, struct bytes *in, struct yamux_event *ev)
{
    int r = MORE;
    yamux_recv_stash(y);
    while (r == MORE) {
        if (y->is_dead)
            return E_CLOSED;
        if (y->is_flooded) {
            r = E_LIMIT;
        } else if (y->offered.type != NO_OFFER) {
            r = finish_syn(y);
        } else if (yamux_take_noted(y, ev)) {
            r = EVENT;
        } else if (in->n == 0) {
            return MORE;
        } else if (y->body_left) {
            r = take_body(y, in, ev);
        } else if (take_head(y, in)) {
            struct yamux_frame f = yamux_frame_decode(y->head);
            y->head_len = 0;
            r = take_frame(y, &f, ev);
        }
    }
    return r < 0 ? die(y, r) : r;
}
