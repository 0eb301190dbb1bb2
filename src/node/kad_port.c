// SPDX-License-Identifier: MIT
/* The DHT's requests as streams, and the streams of others; see kad_port.h. */
#include "node/kad_port.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/trace.h"
#include "codec/sha256.h"
#include "codec/varint.h"
#include "p2p/addr.h"

#include <stdlib.h>
#include <string.h>

#define SERVED_IDLE_US (60 * US_PER_S)
enum { SERVED_MAX = 1024, PREFIX = VARINT_MAX };

/* --- our requests --- */

struct call {
    struct list link;
    struct kad_port *k;
    struct dht_rpc *rpc;
    struct p2p_open open;
    bool is_opening;
    struct stream *s;
    struct buf out, in;
};

static void call_end(struct call *c, bool is_good)
{
    if (c->is_opening)
        p2p_open_cancel(&c->open);
    if (c->s) {
        if (!is_good)
            stream_reset(c->s, STREAM_CANCELLED);
        stream_close(c->s);
    }
    list_remove(&c->link);
    buf_fini(&c->out);
    buf_fini(&c->in);
    free(c);
}

static void call_finish(struct call *c, int err, struct bytes reply)
{
    struct dht_rpc *rpc = c->rpc;
    struct buf kept = c->in; /* the reply lies in it */
    buf_init(&c->in, LIMIT_DHT_MESSAGE + PREFIX);
    if (c->s)
        rpc->from = c->s->remote;
    call_end(c, err == 0);
    dht_rpc_done(rpc, err, reply);
    buf_fini(&kept);
}

static void call_flush(struct call *c)
{
    while (buf_len(&c->out)) {
        ssize_t n = stream_write(c->s, buf_view(&c->out));
        if (n < 0) {
            call_finish(c, (int)n, (struct bytes){0});
            return;
        }
        if (n == 0) {
            stream_want_write(c->s, true);
            return;
        }
        buf_consume(&c->out, (size_t)n);
    }
    (void)stream_finish(c->s);
    if (!c->rpc->wants_reply)
        call_finish(c, 0, (struct bytes){0});
}

static void call_readable(void *ctx)
{
    struct call *c = ctx;
    uint8_t chunk[4096];
    for (;;) {
        ssize_t n = stream_read(c->s, chunk, sizeof chunk);
        if (n == E_AGAIN)
            return;
        if (n < 0 || buf_append(&c->in, chunk, (size_t)n)) {
            call_finish(c, n < 0 ? (int)n : E_TOO_BIG, (struct bytes){0});
            return;
        }
        struct cursor cur = cursor_of(buf_view(&c->in));
        struct bytes message;
        ssize_t used = cursor_prefixed(&cur, LIMIT_DHT_MESSAGE, &message);
        if (used != 0) {
            call_finish(c, used < 0 ? (int)used : 0, used < 0 ? (struct bytes){0} : message);
            return;
        }
    }
}

static void call_writable(void *ctx)
{
    call_flush(ctx);
}

static void call_closed(void *ctx, int err)
{
    call_finish(ctx, err, (struct bytes){0});
}

static const struct stream_events call_events = {call_readable, call_writable, call_closed};

static void call_opened(struct p2p_open *r, int err, struct stream *s)
{
    struct call *c = CONTAINER_OF(r, struct call, open);
    c->is_opening = false;
    if (err) {
        call_finish(c, err, (struct bytes){0});
        return;
    }
    c->s = s;
    stream_listen(s, &call_events, c);
    stream_want_read(s, true);
    dht_rpc_sent(c->rpc);
    call_flush(c);
}

static void port_send(void *ctx, struct dht_rpc *rpc)
{
    struct kad_port *k = ctx;
    struct call *c = MEM_NEW(struct call);
    c->k = k;
    c->rpc = rpc;
    rpc->port = c;
    list_append(&k->calls, &c->link);
    buf_init(&c->in, LIMIT_DHT_MESSAGE + PREFIX);
    buf_init(&c->out, 0);
    (void)varint_append(&c->out, rpc->request.n);
    (void)buf_append_bytes(&c->out, rpc->request);
    c->is_opening = true;
    c->open = (struct p2p_open){
        .peer = rpc->peer.id,
        .addrs = rpc->peer.addrs,
        .addr_count = (size_t)rpc->peer.addr_count,
        .protocol = KAD_PROTOCOL,
        .timeout_us = 10 * US_PER_S,
        .is_lazy = true, /* only servers are told of, and kept in the table */
        .is_background = true,
        .is_brief = true,
        .done = call_opened,
    };
    p2p_host_open(k->host, &c->open);
}

static void port_cancel(void *ctx, struct dht_rpc *rpc)
{
    call_end(rpc->port, false);
}

void kad_port_send(struct kad_port *k, struct dht_rpc *rpc)
{
    port_send(k, rpc);
}

void kad_port_cancel(struct kad_port *k, struct dht_rpc *rpc)
{
    port_cancel(k, rpc);
}

/* --- streams of others --- */

struct served {
    struct list link;
    struct kad_port *k;
    struct stream *s;
    struct peer_id peer;
    struct buf in, out;
    struct timer idle;
    bool is_over; /* the peer has said all: what is in `out`, and the end */
};

static void served_end(struct served *v, bool is_good)
{
    timer_clear(v->k->sched, &v->idle);
    if (!is_good)
        stream_reset(v->s, STREAM_PROTOCOL);
    stream_close(v->s);
    list_remove(&v->link);
    v->k->served_count--;
    buf_fini(&v->in);
    buf_fini(&v->out);
    free(v);
}

/* 0, or the stream is gone. */
static int served_flush(struct served *v)
{
    while (buf_len(&v->out)) {
        ssize_t n = stream_write(v->s, buf_view(&v->out));
        if (n < 0) {
            served_end(v, false);
            return E_CLOSED;
        }
        if (n == 0) {
            stream_want_write(v->s, true);
            return 0;
        }
        buf_consume(&v->out, (size_t)n);
    }
    if (!v->is_over)
        return 0;
    (void)stream_finish(v->s);
    served_end(v, true);
    return E_CLOSED;
}

static int served_ask(struct served *v, struct bytes message, struct buf *reply)
{
    struct dht *d = v->k->dht;
    const struct net_addr *at = &v->s->remote;
    return p2p_stream_is_relayed(v->s) ? dht_serve_relayed(d, &v->peer, at, message, reply)
                                       : dht_serve(d, &v->peer, at, message, reply);
}

/* Answers every whole message in `in`; after each the peer has a minute for the next. */
static int served_answer(struct served *v)
{
    for (;;) {
        struct cursor cur = cursor_of(buf_view(&v->in));
        struct bytes message;
        ssize_t used = cursor_prefixed(&cur, LIMIT_DHT_MESSAGE, &message);
        if (used == 0)
            return 0;
        struct buf reply;
        buf_init(&reply, 0);
        int err = used < 0 ? (int)used : served_ask(v, message, &reply);
        if (!err && buf_len(&reply)) {
            (void)varint_append(&v->out, buf_len(&reply));
            err = buf_append_bytes(&v->out, buf_view(&reply));
        }
        buf_fini(&reply);
        if (err)
            return err;
        buf_consume(&v->in, (size_t)used);
        timer_after(v->k->sched, &v->idle, SERVED_IDLE_US);
    }
}

static void served_readable(void *ctx)
{
    struct served *v = ctx;
    uint8_t chunk[4096];
    for (;;) {
        ssize_t n = stream_read(v->s, chunk, sizeof chunk);
        if (n == E_AGAIN)
            break;
        if (n == E_EOF) {
            v->is_over = true;
            stream_want_read(v->s, false);
            (void)served_flush(v);
            return;
        }
        if (n < 0 || buf_append(&v->in, chunk, (size_t)n) || served_answer(v)) {
            served_end(v, false);
            return;
        }
        if (served_flush(v))
            return;
    }
}

static void served_writable(void *ctx)
{
    (void)served_flush(ctx);
}

static void served_closed(void *ctx, int err)
{
    served_end(ctx, true);
}

static void served_idle(struct timer *t)
{
    served_end(CONTAINER_OF(t, struct served, idle), true);
}

static const struct stream_events served_events = {served_readable, served_writable, served_closed};

static bool has_enough(const struct kad_port *k, const struct peer_id *peer)
{
    unsigned n = 0;
    LIST_FOREACH ((struct list *)&k->served, it)
        n += peer_id_eq(&LIST_ENTRY(it, struct served, link)->peer, peer);
    return n >= LIMIT_DHT_STREAMS;
}

static void on_stream(void *ctx, struct stream *s, const struct peer_id *peer)
{
    struct kad_port *k = ctx;
    if (k->served_count >= SERVED_MAX || has_enough(k, peer)) {
        stream_reset(s, STREAM_REFUSED);
        stream_close(s);
        return;
    }
    struct served *v = MEM_NEW(struct served);
    v->k = k;
    v->s = s;
    v->peer = *peer;
    buf_init(&v->in, LIMIT_DHT_MESSAGE + PREFIX);
    buf_init(&v->out, 16 * LIMIT_DHT_MESSAGE);
    timer_init(&v->idle, served_idle);
    timer_after(k->sched, &v->idle, SERVED_IDLE_US);
    list_append(&k->served, &v->link);
    k->served_count++;
    stream_listen(s, &served_events, v);
    stream_want_read(s, true);
}

/* --- the routing table --- */

/* A server, if it says so. */
static void take_peer(struct kad_port *k, const struct known_peer *peer)
{
    struct bytes addrs[LIMIT_PEER_ADDRS];
    int n = 0;
    if (!known_peer_has_protocol(peer, KAD_PROTOCOL) ||
        (k->is_stranger && k->is_stranger(k->ctx, &peer->id)))
        return;
    for (; n < peer->addr_count; n++)
        addrs[n] = bytes_of(peer->addrs[n].p, peer->addrs[n].n);
    struct dht_peer p = {peer->id, addrs, n};
    dht_peer_seen(k->dht, &p);
}

static void on_identified(struct p2p_watch *w, const struct known_peer *peer)
{
    take_peer(CONTAINER_OF(w, struct kad_port, watch), peer);
}

void kad_port_review(struct kad_port *k, const struct peer_id *peer)
{
    const struct known_peer *record = p2p_host_record(k->host, peer);
    if (record && record->is_identified && p2p_host_is_connected(k->host, peer))
        take_peer(k, record);
}

/* The table ran empty, though we may well be connected: bootstrap nodes first of all. */
static void lonely(void *ctx)
{
    struct kad_port *k = ctx;
    struct p2p_peer_view v;
    void *cursor = NULL;
    while (p2p_host_peers(k->host, &cursor, &v))
        if (v.record && v.record->is_identified)
            take_peer(k, v.record);
}

static void on_disconnected(struct p2p_watch *w, const struct peer_id *peer, int err)
{
    struct kad_port *k = CONTAINER_OF(w, struct kad_port, watch);
    dht_peer_gone(k->dht, peer, true);
}

/* Who cannot be dialled only asks; as long as nobody knows, a listening node answers. */
static void on_reach(struct p2p_watch *w, enum p2p_reach reach)
{
    struct kad_port *k = CONTAINER_OF(w, struct kad_port, watch);
    bool is_server = reach != P2P_REACH_PRIVATE;
    if (is_server == k->is_server)
        return;
    k->is_server = is_server;
    dht_set_server(k->dht, is_server);
    if (is_server)
        (void)p2p_host_handle(k->host, KAD_PROTOCOL, on_stream, k);
    else
        p2p_host_unhandle(k->host, KAD_PROTOCOL);
}

/* Behind a NAT the first addresses are of no use to others: whoever looks us up has to find those that came
 * later, of AutoNAT or a relay. */
static void on_addrs(struct p2p_watch *w)
{
    struct kad_port *k = CONTAINER_OF(w, struct kad_port, watch);
    const struct bytes *addrs;
    size_t n = p2p_host_addrs(k->host, &addrs);
    struct buf all;
    uint8_t hash[32];
    buf_init(&all, 0);
    for (size_t i = 0; i < n; i++)
        (void)buf_append_bytes(&all, addrs[i]);
    sha256(buf_view(&all), hash);
    buf_fini(&all);
    if (memcmp(hash, k->told, sizeof hash) == 0)
        return;
    memcpy(k->told, hash, sizeof hash);
    dht_provide_again(k->dht);
}

static bool is_credible(void *ctx, struct bytes addr, const struct net_addr *from)
{
    return p2p_addr_is_credible(addr, from);
}

static int own_addrs(void *ctx, const struct bytes **addrs)
{
    struct kad_port *k = ctx;
    return (int)p2p_host_addrs(k->host, addrs);
}

int kad_port_init(struct kad_port *k, struct p2p_host *host, struct sched *sched, struct rng *rng)
{
    *k = (struct kad_port){.host = host, .sched = sched, .is_server = true};
    list_init(&k->calls);
    list_init(&k->served);
    struct dht_cfg cfg = {
        .self = *p2p_host_id(host),
        .sched = sched,
        .rng = rng,
        .port = {.ctx = k,
                 .send = port_send,
                 .cancel = port_cancel,
                 .lonely = lonely,
                 .is_credible = is_credible},
        .is_server = true,
        .own_addrs = own_addrs,
    };
    k->dht = dht_new(&cfg);
    k->watch = (struct p2p_watch){.disconnected = on_disconnected,
                                  .identified = on_identified,
                                  .addrs_changed = on_addrs,
                                  .reach_changed = on_reach};
    p2p_host_watch(host, &k->watch);
    return p2p_host_handle(host, KAD_PROTOCOL, on_stream, k);
}

void kad_port_fini(struct kad_port *k)
{
    p2p_host_unhandle(k->host, KAD_PROTOCOL);
    p2p_host_unwatch(&k->watch);
    dht_free(k->dht);
    LIST_FOREACH_SAFE (&k->calls, it)
        call_end(LIST_ENTRY(it, struct call, link), false);
    LIST_FOREACH_SAFE (&k->served, it)
        served_end(LIST_ENTRY(it, struct served, link), true);
}
