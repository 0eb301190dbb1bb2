// SPDX-License-Identifier: MIT
/* See relay_serve.h.
 *
 *   life of a call:  ASKED (hop stream, message awaited) -> answered and gone
 *                                     \-> REACHING (stop stream opened, STATUS awaited) -> SPLICED
 *   from any: a stream breaks, the time is over -> told where possible, gone */
#include "p2p/relay_serve.h"

#include "base/mem.h"
#include "base/trace.h"
#include "p2p/host_impl.h"
#include "p2p/message_read.h"
#include "p2p/relay_splice.h"

#include <stdlib.h>

#define ASK_TIMEOUT_US   (10 * US_PER_S)
#define REACH_TIMEOUT_US (15 * US_PER_S)
#define TEND_EVERY_US    (60 * US_PER_S)

/* A connection that is protected for the sake of a place. */
struct held {
    struct list link;
    struct peer_id peer;
};

struct relay_serve {
    struct p2p_host *host;
    struct relay_serve_cfg cfg;
    struct relay_server book;
    struct p2p_watch watch;
    struct list calls, held;
    struct timer tend;
    uint32_t handshakes;
};

struct relay_call {
    struct relay_serve *serve;
    struct list link;
    struct peer_id from;
    struct stream *hop, *stop;
    struct message_read in;
    struct timer timer;
    struct p2p_open open;
    bool is_opening, has_circuit, is_spliced;
    struct relay_circuit circuit;
    struct relay_splice splice;
};

/* --- the end of a call --- */

static void call_free(struct relay_call *c)
{
    struct relay_serve *s = c->serve;
    timer_clear(s->host->sched, &c->timer);
    if (c->is_opening)
        p2p_open_cancel(&c->open);
    if (c->is_spliced)
        relay_splice_abort(&c->splice);
    else if (c->has_circuit)
        relay_circuit_end(&c->circuit, false);
    if (!c->is_spliced) {
        s->handshakes--;
        if (c->hop)
            stream_close(c->hop);
        if (c->stop)
            stream_close(c->stop);
    }
    list_remove(&c->link);
    free(c);
}

static void call_abort(struct relay_call *c)
{
    if (c->hop)
        stream_reset(c->hop, STREAM_PROTOCOL);
    if (c->stop)
        stream_reset(c->stop, STREAM_CANCELLED);
    call_free(c);
}

/* What does not fit into the queue of a young stream is not worth waiting for. */
static bool say(struct stream *s, int (*encode)(const struct relay_message *, struct buf *),
                const struct relay_message *m)
{
    struct buf out;
    buf_init(&out, 0);
    int err = encode(m, &out);
    ssize_t n = err ? err : stream_write(s, buf_view(&out));
    bool is_said = n >= 0 && (size_t)n == buf_len(&out);
    buf_fini(&out);
    return is_said;
}

static void answer(struct relay_call *c, const struct relay_message *m)
{
    if (say(c->hop, relay_hop_encode, m))
        stream_finish(c->hop);
    else
        stream_reset(c->hop, STREAM_INTERNAL);
    if (c->stop)
        stream_reset(c->stop, STREAM_CANCELLED);
    call_free(c);
}

static void refuse(struct relay_call *c, enum relay_status status)
{
    struct relay_message m = {.type = RELAY_STATUS, .status = status};
    char who[PEER_ID_TEXT];
    TRACE(P2P, DEBUG, "relay: %s asks: %s (%d) -> refused", peer_id_text(&c->from, who, sizeof who),
          relay_status_text(status), (int)status);
    answer(c, &m);
}

/* --- places --- */

static struct held *held_of(struct relay_serve *s, const struct peer_id *peer)
{
    LIST_FOREACH (&s->held, it) {
        struct held *h = LIST_ENTRY(it, struct held, link);
        if (peer_id_eq(&h->peer, peer))
            return h;
    }
    return NULL;
}

static void hold(struct relay_serve *s, const struct peer_id *peer)
{
    if (held_of(s, peer))
        return;
    struct held *h = MEM_NEW(struct held);
    h->peer = *peer;
    list_append(&s->held, &h->link);
    p2p_host_protect(s->host, peer, true);
    if (!timer_is_set(&s->tend))
        timer_after(s->host->sched, &s->tend, TEND_EVERY_US);
}

static void let_go(struct relay_serve *s, struct held *h)
{
    p2p_host_protect(s->host, &h->peer, false);
    relay_server_drop(&s->book, &h->peer);
    list_remove(&h->link);
    free(h);
}

static void tend(struct timer *t)
{
    struct relay_serve *s = CONTAINER_OF(t, struct relay_serve, tend);
    LIST_FOREACH_SAFE (&s->held, it) {
        struct held *h = LIST_ENTRY(it, struct held, link);
        if (!relay_server_has_place(&s->book, &h->peer, sched_now(s->host->sched)))
            let_go(s, h);
    }
    if (!list_is_empty(&s->held))
        timer_after(s->host->sched, t, TEND_EVERY_US);
}

static bool is_own(struct relay_serve *s, const struct peer_id *peer)
{
    return s->cfg.is_own && s->cfg.is_own(s->cfg.ctx, peer);
}

/* Our addresses, with our id, that the peer's friends can use: what is near helps only who is near. */
static size_t own_addrs(struct relay_serve *s, const struct net_addr *to, struct multiaddr *out,
                        struct bytes *views)
{
    const struct bytes *addrs;
    size_t n = p2p_host_addrs(s->host, &addrs), count = 0;
    for (size_t i = 0; i < n && count < LIMIT_RELAY_ADDRS; i++) {
        if (multiaddr_is_relayed(addrs[i]) || !p2p_addr_is_credible(addrs[i], to) ||
            multiaddr_with_peer(addrs[i], &s->host->id, &out[count]) != 0)
            continue;
        views[count] = multiaddr_bytes(&out[count]);
        count++;
    }
    return count;
}

static void reserve(struct relay_call *c)
{
    struct relay_serve *s = c->serve;
    struct sched *sched = s->host->sched;
    struct multiaddr addrs[LIMIT_RELAY_ADDRS];
    struct relay_message m = {.type = RELAY_STATUS, .status = RELAY_OK, .has_reservation = true};
    char who[PEER_ID_TEXT];
    struct buf voucher;
    uint64_t until;
    bool own = is_own(s, &c->from);
    enum relay_status status =
        relay_server_reserve(&s->book, &c->from, &c->hop->remote, own, sched_now(sched), &until);
    if (status != RELAY_OK) {
        refuse(c, status);
        return;
    }
    hold(s, &c->from);
    m.expires_s = sched_wall_ms(sched) / 1000 + (until - sched_now(sched)) / US_PER_S;
    m.addr_count = own_addrs(s, &c->hop->remote, addrs, m.addrs);
    if (!own && !s->book.cfg.is_unlimited)
        m.limit = s->book.cfg.limit;
    buf_init(&voucher, 0);
    if (relay_voucher_seal(s->cfg.key, &c->from, m.expires_s, &voucher) == 0)
        m.voucher = buf_view(&voucher);
    TRACE(P2P, INFO, "relay: a place for %s until %llu s from now -> reserved",
          peer_id_text(&c->from, who, sizeof who),
          (unsigned long long)((until - sched_now(sched)) / US_PER_S));
    answer(c, &m);
    buf_fini(&voucher);
}

/* --- circuits --- */

static void splice_over(struct relay_splice *sp)
{
    struct relay_call *c = CONTAINER_OF(sp, struct relay_call, splice);
    char from[PEER_ID_TEXT], to[PEER_ID_TEXT];
    TRACE(P2P, DEBUG, "relay: %s to %s: %llu + %llu bytes -> %s",
          peer_id_text(&c->from, from, sizeof from), peer_id_text(&c->circuit.to, to, sizeof to),
          (unsigned long long)c->circuit.passed[0], (unsigned long long)c->circuit.passed[1],
          sp->is_cut ? "cut at its limit" : "ended");
    call_free(c);
}

static void join(struct relay_call *c)
{
    struct relay_serve *s = c->serve;
    struct relay_message m = {
        .type = RELAY_STATUS, .status = RELAY_OK, .limit = relay_circuit_limit(&c->circuit)};
    if (!say(c->hop, relay_hop_encode, &m)) {
        call_abort(c);
        return;
    }
    timer_clear(s->host->sched, &c->timer);
    c->is_spliced = true;
    s->handshakes--;
    p2p_stream_keep(c->hop);
    relay_splice_start(&c->splice, s->host->sched, &c->circuit, c->hop, c->stop, splice_over);
    c->hop = c->stop = NULL;
}

static void stop_readable(void *ctx)
{
    struct relay_call *c = ctx;
    struct relay_message m;
    struct bytes in;
    int err = message_read_step(&c->in, c->stop, &in);
    if (err == E_AGAIN)
        return;
    if (err || relay_stop_decode(in, &m) != 0 || m.type != RELAY_STATUS || m.status != RELAY_OK)
        refuse(c, RELAY_CONNECTION_FAILED);
    else
        join(c);
}

static void nothing_writable(void *ctx)
{
}

static void stop_closed(void *ctx, int err)
{
    refuse(ctx, RELAY_CONNECTION_FAILED);
}

static const struct stream_events stop_events = {stop_readable, nothing_writable, stop_closed};

static void stop_opened(struct p2p_open *o, int err, struct stream *st)
{
    struct relay_call *c = CONTAINER_OF(o, struct relay_call, open);
    c->is_opening = false;
    if (err) {
        refuse(c, RELAY_CONNECTION_FAILED);
        return;
    }
    struct relay_message m = {.type = RELAY_CONNECT,
                              .has_peer = true,
                              .peer = c->from,
                              .limit = relay_circuit_limit(&c->circuit)};
    c->stop = st;
    message_read_init(&c->in);
    stream_listen(st, &stop_events, c);
    if (!say(st, relay_stop_encode, &m)) {
        refuse(c, RELAY_CONNECTION_FAILED);
        return;
    }
    stream_want_read(st, true);
}

static void reach(struct relay_call *c, const struct relay_message *m)
{
    struct relay_serve *s = c->serve;
    enum relay_status status =
        relay_server_connect(&s->book, &c->circuit, &c->from, &c->hop->remote, &m->peer,
                             is_own(s, &c->from), sched_now(s->host->sched));
    if (status != RELAY_OK) {
        refuse(c, status);
        return;
    }
    c->has_circuit = true;
    c->is_opening = true;
    c->open = (struct p2p_open){
        .peer = m->peer,
        .protocol = RELAY_STOP,
        .timeout_us = REACH_TIMEOUT_US,
        .only_connected = true,
        .is_direct = true,
        .is_background = true,
        .done = stop_opened,
    };
    timer_after(s->host->sched, &c->timer, REACH_TIMEOUT_US);
    p2p_host_open(s->host, &c->open);
}

/* --- the hop stream --- */

static void hop_readable(void *ctx)
{
    struct relay_call *c = ctx;
    struct relay_message m;
    struct bytes in;
    int err = message_read_step(&c->in, c->hop, &in);
    if (err == E_AGAIN)
        return;
    stream_want_read(c->hop, false);
    if (err == E_TOO_BIG || err == E_MALFORMED || (!err && relay_hop_decode(in, &m) != 0))
        refuse(c, RELAY_MALFORMED);
    else if (err)
        call_abort(c);
    else if (m.type == RELAY_RESERVE)
        reserve(c);
    else if (m.type == RELAY_CONNECT)
        reach(c, &m);
    else
        refuse(c, RELAY_UNEXPECTED);
}

static void hop_closed(void *ctx, int err)
{
    call_abort(ctx);
}

static const struct stream_events hop_events = {hop_readable, nothing_writable, hop_closed};

static void too_slow(struct timer *t)
{
    struct relay_call *c = CONTAINER_OF(t, struct relay_call, timer);
    if (c->has_circuit)
        refuse(c, RELAY_CONNECTION_FAILED);
    else
        call_abort(c);
}

static bool is_busy(const struct relay_serve *s, const struct peer_id *peer)
{
    uint32_t n = 0;
    LIST_FOREACH ((struct list *)&s->calls, it) {
        const struct relay_call *c = LIST_ENTRY(it, struct relay_call, link);
        n += !c->is_spliced && peer_id_eq(&c->from, peer);
    }
    return s->handshakes >= LIMIT_RELAY_HANDSHAKES || n >= LIMIT_RELAY_HANDSHAKES_PEER;
}

static void asked(void *ctx, struct stream *st, const struct peer_id *peer)
{
    struct relay_serve *s = ctx;
    if (is_busy(s, peer)) {
        stream_reset(st, STREAM_REFUSED);
        stream_close(st);
        return;
    }
    struct relay_call *c = MEM_NEW(struct relay_call);
    c->serve = s;
    c->from = *peer;
    c->hop = st;
    s->handshakes++;
    list_append(&s->calls, &c->link);
    message_read_init(&c->in);
    timer_init(&c->timer, too_slow);
    timer_after(s->host->sched, &c->timer, ASK_TIMEOUT_US);
    stream_listen(st, &hop_events, c);
    if (p2p_stream_is_relayed(st))
        refuse(c, RELAY_DENIED); /* no relay over a relay */
    else
        stream_want_read(st, true);
}

/* --- life --- */

static void disconnected(struct p2p_watch *w, const struct peer_id *peer, int err)
{
    struct relay_serve *s = CONTAINER_OF(w, struct relay_serve, watch);
    struct held *h = held_of(s, peer);
    if (h)
        let_go(s, h);
}

struct relay_serve *relay_serve_new(struct p2p_host *h, const struct relay_serve_cfg *cfg)
{
    struct relay_serve *s = MEM_NEW(struct relay_serve);
    s->host = h;
    s->cfg = *cfg;
    if (p2p_host_handle(h, RELAY_HOP, asked, s) != 0) {
        free(s);
        return NULL;
    }
    relay_server_init(&s->book, &cfg->server, h->rng);
    list_init(&s->calls);
    list_init(&s->held);
    timer_init(&s->tend, tend);
    s->watch = (struct p2p_watch){.disconnected = disconnected};
    p2p_host_watch(h, &s->watch);
    return s;
}

void relay_serve_free(struct relay_serve *s)
{
    p2p_host_unhandle(s->host, RELAY_HOP);
    p2p_host_unwatch(&s->watch);
    timer_clear(s->host->sched, &s->tend);
    while (!list_is_empty(&s->calls))
        call_abort(LIST_ENTRY(s->calls.next, struct relay_call, link));
    while (!list_is_empty(&s->held))
        let_go(s, LIST_ENTRY(s->held.next, struct held, link));
    relay_server_fini(&s->book);
    free(s);
}

struct relay_serve_view relay_serve_look(struct relay_serve *s)
{
    return (struct relay_serve_view){
        .reservations = relay_server_places(&s->book, sched_now(s->host->sched)),
        .circuits = s->book.strangers + s->book.owns,
        .strangers = s->book.strangers,
        .owns = s->book.owns,
        .max_reservations = s->book.cfg.max_reservations,
        .max_strangers = s->book.cfg.max_circuits,
        .max_owns = s->book.cfg.max_own_circuits,
        .refused_reservations = s->book.counts.refused_places,
        .reserved = s->book.counts.reserved,
        .refused = s->book.counts.refused,
        .opened = s->book.counts.opened,
        .cut = s->book.counts.cut,
        .bytes = s->book.counts.bytes,
    };
}
