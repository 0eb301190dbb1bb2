// SPDX-License-Identifier: MIT
/* See relay_dial.h. */
#include "p2p/relay_dial.h"

#include "p2p/host_impl.h"

static void leave(struct relay_dial *d)
{
    timer_clear(d->host->sched, &d->timer);
    if (d->is_opening)
        p2p_open_cancel(&d->open);
    d->is_opening = false;
}

void relay_dial_forget(struct relay_dial *d)
{
    leave(d);
    if (!d->s)
        return;
    stream_reset(d->s, STREAM_CANCELLED);
    stream_close(d->s);
    d->s = NULL;
}

static void fail(struct relay_dial *d, int err, const char *why)
{
    relay_dial_forget(d);
    d->done(d, err, why, NULL, NULL);
}

/* What a refusal means to the race for the peer. */
static int err_of(uint32_t status)
{
    switch (status) {
    case RELAY_RESOURCE_LIMIT:
        return E_LIMIT;
    case RELAY_DENIED:
        return E_DENIED;
    case RELAY_CONNECTION_FAILED:
        return E_UNREACHABLE;
    case RELAY_NO_RESERVATION:
    case RELAY_REFUSED:
        return E_UNAVAILABLE;
    default:
        return E_PROTO;
    }
}

static void take_answer(struct relay_dial *d, struct bytes answer)
{
    struct relay_message m;
    if (relay_hop_decode(answer, &m) != 0 || m.type != RELAY_STATUS) {
        fail(d, E_PROTO, "the relay's answer is no answer");
    } else if (m.status != RELAY_OK) {
        fail(d, err_of(m.status), relay_status_text(m.status));
    } else {
        struct stream *s = d->s;
        d->s = NULL;
        leave(d);
        stream_want_read(s, false);
        d->done(d, 0, "", s, &m.limit);
    }
}

static void readable(void *ctx)
{
    struct relay_dial *d = ctx;
    struct bytes answer;
    int err = message_read_step(&d->in, d->s, &answer);
    if (err == E_AGAIN)
        return;
    if (err)
        fail(d, err == E_EOF ? E_CLOSED : err, "the relay hung up");
    else
        take_answer(d, answer);
}

static void nothing_writable(void *ctx)
{
}

static void closed(void *ctx, int err)
{
    fail(ctx, err, "the relay broke off");
}

static const struct stream_events dial_events = {readable, nothing_writable, closed};

static void opened(struct p2p_open *o, int err, struct stream *s)
{
    struct relay_dial *d = CONTAINER_OF(o, struct relay_dial, open);
    struct relay_message m = {.type = RELAY_CONNECT, .has_peer = true, .peer = d->to};
    struct buf out;
    d->is_opening = false;
    if (err) {
        fail(d, err, err == E_UNSUPPORTED ? "it is no relay" : "the relay cannot be reached");
        return;
    }
    d->s = s;
    stream_listen(s, &dial_events, d);
    buf_init(&out, 0);
    err = relay_hop_encode(&m, &out);
    ssize_t n = err ? err : stream_write(s, buf_view(&out));
    bool is_short = n >= 0 && (size_t)n < buf_len(&out);
    buf_fini(&out);
    if (n < 0 || is_short)
        fail(d, n < 0 ? (int)n : E_LIMIT, "the relay takes no bytes");
    else
        stream_want_read(s, true);
}

static void timer_fired(struct timer *t)
{
    struct relay_dial *d = CONTAINER_OF(t, struct relay_dial, timer);
    if (!d->s && !d->is_opening)
        fail(d, E_CANCELLED, "cancelled");
    else
        fail(d, E_TIMEOUT, "the relay did not answer in time");
}

void relay_dial_start(struct relay_dial *d, struct p2p_host *h, const struct peer_id *relay,
                      const struct peer_id *to, uint64_t timeout_us)
{
    d->host = h;
    d->to = *to;
    d->s = NULL;
    d->is_opening = true;
    message_read_init(&d->in);
    timer_init(&d->timer, timer_fired);
    timer_after(h->sched, &d->timer, timeout_us);
    d->open = (struct p2p_open){
        .peer = *relay,
        .protocol = RELAY_HOP,
        .timeout_us = timeout_us,
        .is_urgent = true, /* the relay is not to blame for our haste */
        .is_direct = true,
        .is_background = true, /* the connection inside has a keep-alive of its own */
        .done = opened,
    };
    p2p_host_open(h, &d->open);
}

void relay_dial_cancel(struct relay_dial *d)
{
    relay_dial_forget(d);
    timer_after(d->host->sched, &d->timer, 0);
}
