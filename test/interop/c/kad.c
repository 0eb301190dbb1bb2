// SPDX-License-Identifier: MIT
/* The DHT over the host, and the commands that use it. See peer.h.
 *
 *   asking:   a stream per request: varint length and Message out, the same back, closed
 *   serving:  one stream, many requests, answered in order */
#include "peer.h"

#include "codec/varint.h"
#include "dht/dht.h"

#include <stdlib.h>

enum { MESSAGE_MAX = 65536 };

struct kad {
    struct app *app;
    struct dht *dht;
};

/* One frame out of `in`: > 0 used, 0 more is needed, < 0. */
static ssize_t take_frame(const struct buf *in, struct bytes *message)
{
    struct cursor c = cursor_of(buf_view(in));
    return cursor_prefixed(&c, MESSAGE_MAX, message);
}

static int put_frame(struct buf *out, struct bytes message)
{
    int err = varint_append(out, message.n);
    return err ? err : buf_append_bytes(out, message);
}

/* --- asking --- */

struct ask {
    struct dht_rpc *rpc;
    struct kad *kad;
    struct p2p_open open;
    struct stream *s;
    struct buf in;
};

static void ask_free(struct ask *q)
{
    if (q->s)
        stream_close(q->s);
    buf_fini(&q->in);
    free(q);
}

static void ask_done(struct ask *q, int err, struct bytes reply)
{
    struct dht_rpc *rpc = q->rpc;
    if (err && q->s)
        stream_reset(q->s, STREAM_PROTOCOL);
    rpc->port = NULL;
    dht_rpc_done(rpc, err, reply);
    ask_free(q);
}

static void ask_readable(void *ctx)
{
    struct ask *q = ctx;
    struct bytes message;
    uint8_t *at;
    for (;;) {
        int err = buf_reserve(&q->in, 4096, &at);
        ssize_t n = err ? err : stream_read(q->s, at, 4096);
        if (n == E_AGAIN)
            return;
        if (n < 0) {
            ask_done(q, (int)n, (struct bytes){0});
            return;
        }
        buf_commit(&q->in, (size_t)n);
        ssize_t used = take_frame(&q->in, &message);
        if (used != 0) {
            stream_finish(q->s);
            ask_done(q, used < 0 ? (int)used : 0, message);
            return;
        }
    }
}

static void ask_writable(void *ctx)
{
}

static void ask_closed(void *ctx, int err)
{
    ask_done(ctx, err, (struct bytes){0});
}

static const struct stream_events ask_events = {ask_readable, ask_writable, ask_closed};

static void ask_opened(struct p2p_open *o, int err, struct stream *s)
{
    struct ask *q = CONTAINER_OF(o, struct ask, open);
    struct buf out;
    if (err) {
        ask_done(q, err, (struct bytes){0});
        return;
    }
    q->s = s;
    stream_listen(s, &ask_events, q);
    buf_init(&out, 0);
    err = put_frame(&out, q->rpc->request);
    ssize_t n = err ? err : stream_write(s, buf_view(&out));
    bool is_short = n >= 0 && (size_t)n < buf_len(&out);
    buf_fini(&out);
    if (n < 0 || is_short)
        ask_done(q, n < 0 ? (int)n : E_LIMIT, (struct bytes){0});
    else if (q->rpc->wants_reply)
        stream_want_read(s, true);
    else
        ask_done(q, 0, (struct bytes){0});
}

static void port_send(void *ctx, struct dht_rpc *rpc)
{
    struct kad *k = ctx;
    struct ask *q = MEM_NEW(struct ask);
    q->rpc = rpc;
    q->kad = k;
    rpc->port = q;
    buf_init(&q->in, MESSAGE_MAX + 4096 + VARINT_MAX);
    q->open = (struct p2p_open){
        .peer = rpc->peer.id,
        .addrs = rpc->peer.addrs,
        .addr_count = (size_t)rpc->peer.addr_count,
        .protocol = k->app->kad_protocol,
        .timeout_us = 10 * US_PER_S,
        .is_background = true,
        .done = ask_opened,
    };
    p2p_host_open(k->app->host, &q->open);
}

static void port_cancel(void *ctx, struct dht_rpc *rpc)
{
    struct ask *q = rpc->port;
    if (!q)
        return;
    if (q->s)
        stream_reset(q->s, STREAM_CANCELLED);
    else
        p2p_open_cancel(&q->open);
    rpc->port = NULL;
    ask_free(q);
}

/* --- serving --- */

struct answerer {
    struct kad *kad;
    struct stream *s;
    struct peer_id peer;
    struct buf in, out;
};

static void answerer_end(struct answerer *v)
{
    stream_close(v->s);
    buf_fini(&v->in);
    buf_fini(&v->out);
    free(v);
}

/* False when the stream has to be given up. */
static bool answer_frames(struct answerer *v)
{
    struct bytes message;
    ssize_t used;
    while ((used = take_frame(&v->in, &message)) > 0) {
        struct buf reply;
        buf_init(&reply, 0);
        int err = dht_serve(v->kad->dht, &v->peer, &v->s->remote, message, &reply);
        if (!err && buf_len(&reply))
            err = put_frame(&v->out, buf_view(&reply));
        buf_fini(&reply);
        buf_consume(&v->in, (size_t)used);
        if (err)
            return false;
    }
    return used == 0;
}

static bool flush_answers(struct answerer *v)
{
    if (!buf_len(&v->out))
        return true;
    ssize_t n = stream_write(v->s, buf_view(&v->out));
    if (n < 0)
        return false;
    buf_consume(&v->out, (size_t)n);
    if (buf_len(&v->out))
        stream_want_write(v->s, true);
    return true;
}

static void answerer_step(void *ctx)
{
    struct answerer *v = ctx;
    uint8_t *at;
    while (flush_answers(v) && !buf_len(&v->out)) {
        int err = buf_reserve(&v->in, 4096, &at);
        ssize_t n = err ? err : stream_read(v->s, at, 4096);
        if (n == E_AGAIN)
            return;
        if (n == E_EOF)
            stream_finish(v->s);
        else if (n < 0)
            stream_reset(v->s, STREAM_PROTOCOL);
        if (n < 0) {
            answerer_end(v);
            return;
        }
        buf_commit(&v->in, (size_t)n);
        if (!answer_frames(v)) {
            stream_reset(v->s, STREAM_PROTOCOL);
            answerer_end(v);
            return;
        }
    }
}

static void answerer_closed(void *ctx, int err)
{
    answerer_end(ctx);
}

static const struct stream_events answerer_events = {answerer_step, answerer_step, answerer_closed};

static void serve(void *ctx, struct stream *s, const struct peer_id *peer)
{
    struct answerer *v = MEM_NEW(struct answerer);
    v->kad = ctx;
    v->s = s;
    v->peer = *peer;
    buf_init(&v->in, MESSAGE_MAX + 4096 + VARINT_MAX);
    buf_init(&v->out, 0);
    stream_listen(s, &answerer_events, v);
    stream_want_read(s, true);
}

/* --- wiring --- */

static int own_addrs(void *ctx, const struct bytes **addrs)
{
    struct kad *k = ctx;
    return (int)p2p_host_addrs(k->app->host, addrs);
}

static bool see(struct app *a, const struct known_peer *peer)
{
    struct bytes addrs[LIMIT_PEER_ADDRS];
    if (!known_peer_has_protocol(peer, a->kad_protocol))
        return false;
    for (size_t i = 0; i < peer->addr_count; i++)
        addrs[i] = bytes_of(peer->addrs[i].p, peer->addrs[i].n);
    struct dht_peer p = {peer->id, addrs, peer->addr_count};
    dht_peer_seen(a->kad->dht, &p);
    return true;
}

void kad_identified(struct app *a, const struct known_peer *peer)
{
    if (a->kad)
        see(a, peer);
}

void kad_serve(struct app *a)
{
    struct kad *k = MEM_NEW(struct kad);
    struct dht_cfg cfg = {
        .self = *p2p_host_id(a->host),
        .sched = a->sched,
        .rng = loop_rng(a->loop),
        .port = {.ctx = k, .send = port_send, .cancel = port_cancel},
        .is_server = true,
        .own_addrs = own_addrs,
        .refresh_us = SCHED_NEVER,
    };
    k->app = a;
    k->dht = dht_new(&cfg);
    a->kad = k;
    p2p_host_handle(a->host, a->kad_protocol, serve, k);
}

/* --- commands --- */

struct lookup {
    struct job *job;
    struct buf found; /* JSON of the peers so far */
    struct json_writer w;
    int count;
};

static struct lookup *lookup_new(struct job *j)
{
    struct lookup *l = MEM_NEW(struct lookup);
    l->job = j;
    buf_init(&l->found, MIB);
    l->w = json_write(&l->found);
    json_open_array(&l->w);
    return l;
}

static void put_addrs(struct json_writer *w, const struct dht_peer *p)
{
    char text[512];
    json_open_array(w);
    for (int i = 0; i < p->addr_count; i++)
        json_put_str(w, multiaddr_text(p->addrs[i], text, sizeof text));
    json_close_array(w);
}

static void lookup_end(struct lookup *l)
{
    job_end(l->job);
    buf_fini(&l->found);
    free(l);
}

static void seen_in_table(struct job *j)
{
    if (!see(j->app, p2p_host_record(j->app->host, &j->peer))) {
        job_fail(j, "the peer does not speak %s", j->app->kad_protocol);
        return;
    }
    job_ok(j);
    job_end(j);
}

static void await_identify(struct job *j)
{
    job_wait(j, WAIT_IDENTIFIED, seen_in_table);
}

void cmd_kad_add(struct job *j)
{
    job_connect(j, await_identify);
}

static void node_found(void *ctx, const struct dht_peer *p)
{
    struct lookup *l = ctx;
    l->count++;
    put_addrs(&l->w, p);
}

static void node_done(void *ctx, int err)
{
    struct lookup *l = ctx;
    json_close_array(&l->w);
    struct json_writer *w = job_ok(l->job);
    json_member_bool(w, "found", l->count > 0);
    struct bytes all = buf_view(&l->found); /* [[…]] or [] */
    json_key(w, "addrs");
    json_put_raw(w, l->count ? bytes_of(all.p + 1, all.n - 2) : all);
    lookup_end(l);
}

void cmd_find_node(struct job *j)
{
    struct peer_id id;
    if (peer_id_parse(json_get_str(j->args, "peer"), &id) != 0) {
        job_fail(j, "no peer id");
        return;
    }
    dht_find_peer(j->app->kad->dht, &id, node_found, node_done, lookup_new(j));
}

static void key_of(const struct job *j, uint8_t key[static DHT_KEY_TEXT])
{
    dht_key_text(json_get_str(j->args, "key"), key);
}

static void provided(struct timer *t)
{
    struct job *j = CONTAINER_OF(t, struct job, timer);
    if (dht_stats(j->app->kad->dht).queries) {
        timer_after(j->app->sched, t, 20 * US_PER_MS);
        return;
    }
    job_ok(j);
    job_end(j);
}

/* The DHT does not tell when its records have left; they have when no query is under way. */
void cmd_provide(struct job *j)
{
    uint8_t key[DHT_KEY_TEXT];
    key_of(j, key);
    int err = dht_provide(j->app->kad->dht, bytes_of(key, sizeof key));
    if (err) {
        job_fail(j, "provide: %s", err_text(err));
        return;
    }
    timer_init(&j->timer, provided);
    timer_after(j->app->sched, &j->timer, 200 * US_PER_MS);
}

static void provider_found(void *ctx, const struct dht_peer *p)
{
    struct lookup *l = ctx;
    char text[PEER_ID_TEXT];
    l->count++;
    json_open_object(&l->w);
    json_member_str(&l->w, "peer", peer_id_text(&p->id, text, sizeof text));
    json_key(&l->w, "addrs");
    put_addrs(&l->w, p);
    json_close_object(&l->w);
}

static void providers_done(void *ctx, int err)
{
    struct lookup *l = ctx;
    json_close_array(&l->w);
    struct json_writer *w = job_ok(l->job);
    json_key(w, "providers");
    json_put_raw(w, buf_view(&l->found));
    lookup_end(l);
}

void cmd_find_providers(struct job *j)
{
    uint8_t key[DHT_KEY_TEXT];
    key_of(j, key);
    dht_find_providers(j->app->kad->dht, bytes_of(key, sizeof key), 0, provider_found,
                       providers_done, lookup_new(j));
}
