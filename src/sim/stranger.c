// SPDX-License-Identifier: MIT
/* See stranger.h. */
#include "sim/stranger.h"

#include "base/mem.h"
#include "codec/multiaddr.h"
#include "codec/varint.h"
#include "dht/message.h"
#include "node/feeds.h"
#include "node/kad_port.h"
#include "p2p/host.h"
#include "sim/inside.h"
#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORGE_US (20 * US_PER_S) /* between two forged records told to somebody */
enum { P2P_PORT = 8000, MADE_UP = 4 };

struct liar {
    struct list link;
    struct sim *sim;
    struct loop *loop;
    struct key_pair key;
    struct p2p_host *host;
    struct p2p_connect connect;
    bool is_connecting;
    struct list talks;
    struct timer forge;
    struct p2p_open open;
    bool is_opening;
};

struct mute {
    struct list link;
    struct loop *loop;
    struct loop_listener *ln;
    struct stream *held[256];
    size_t held_count;
};

/* --- poison --- */

/* An address of a mute, of an honest node, or of nobody. */
static void poison_addr(struct liar *l, struct multiaddr *out)
{
    struct sim *s = l->sim;
    struct rng *r = loop_rng(l->loop);
    struct net_addr at = {.kind = NET_IP4, .ip = {66, 66, 1, 1}};
    uint64_t luck = rng_below(r, 3);
    if (luck == 0 && s->strangers.mute_count)
        at = s->strangers.mute_at[rng_below(r, s->strangers.mute_count)];
    else if (luck == 1)
        at = s->boxes[rng_below(r, s->box_count)].ip;
    at.port = P2P_PORT;
    (void)multiaddr_from_net(&at, out);
}

static void made_up_peer(struct liar *l, struct peer_id *out)
{
    struct key_pair key;
    key_pair_generate(&key, loop_rng(l->loop));
    *out = key.id;
}

static void add_poison(struct liar *l, struct buf *out, enum dht_field field)
{
    for (int i = 0; i < MADE_UP; i++) {
        struct multiaddr addr;
        struct dht_peer p = {.addr_count = 1};
        made_up_peer(l, &p.id);
        poison_addr(l, &addr);
        struct bytes view = multiaddr_bytes(&addr);
        p.addrs = &view;
        (void)dht_message_add(out, field, &p, LIMIT_DHT_REPLY);
    }
}

/* --- a stream of somebody who asks --- */

struct talk {
    struct list link;
    struct liar *l;
    struct stream *s;
    struct buf in;
    bool is_http;
};

static void talk_end(struct talk *t)
{
    stream_close(t->s);
    list_remove(&t->link);
    buf_fini(&t->in);
    free(t);
}

static void answer_kad(struct talk *t)
{
    struct cursor cur = cursor_of(buf_view(&t->in));
    struct dht_message m;
    struct bytes message;
    struct buf reply, framed;
    ssize_t used = cursor_prefixed(&cur, LIMIT_DHT_MESSAGE, &message);
    if (used <= 0)
        return;
    buf_init(&reply, 0);
    buf_init(&framed, 0);
    if (rng_below(loop_rng(t->l->loop), 4) == 0) {
        uint8_t noise[64];
        rng_fill(loop_rng(t->l->loop), noise, sizeof noise);
        (void)buf_append(&reply, noise, sizeof noise);
    } else if (dht_message_decode(message, &m) == 0 &&
               dht_message_begin(&reply, (enum dht_type)m.type, m.key) == 0) {
        if (m.type == DHT_GET_PROVIDERS)
            add_poison(t->l, &reply, DHT_PROVIDERS);
        add_poison(t->l, &reply, DHT_CLOSER);
    }
    (void)varint_append(&framed, buf_len(&reply));
    (void)buf_append_bytes(&framed, buf_view(&reply));
    (void)stream_write(t->s, buf_view(&framed));
    buf_consume(&t->in, (size_t)used);
    buf_fini(&reply);
    buf_fini(&framed);
}

/* Somebody's feed, as it is or with one character of a signed offer changed. */
static void answer_http(struct talk *t)
{
    static const char head[] =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    struct sim *s = t->l->sim;
    struct rng *r = loop_rng(t->l->loop);
    struct sim_box *b = &s->boxes[rng_below(r, s->box_count)];
    struct buf out;
    buf_clear(&t->in);
    buf_init(&out, 0);
    (void)buf_append_str(&out, head);
    size_t body = buf_len(&out);
    if (b->state == SIM_BOX_UP)
        sim_inside_feed(b->node, &out);
    if (buf_len(&out) > body + 200 && rng_below(r, 2)) {
        uint8_t *p = out.base + out.head + body + 60 + rng_below(r, 100);
        *p = *p == 'A' ? 'B' : 'A';
    }
    (void)stream_write(t->s, buf_view(&out));
    s->tally.lies++;
    buf_fini(&out);
}

static void talk_readable(void *ctx)
{
    struct talk *t = ctx;
    uint8_t chunk[2048];
    ssize_t n;
    while ((n = stream_read(t->s, chunk, sizeof chunk)) > 0)
        (void)buf_append(&t->in, chunk, (size_t)n);
    if (n != E_AGAIN && n != E_EOF) {
        talk_end(t);
        return;
    }
    t->l->sim->tally.lies++;
    if (!t->is_http)
        answer_kad(t);
    else if (buf_len(&t->in) > 4)
        answer_http(t);
    if (n == E_EOF)
        talk_end(t);
}

static void talk_writable(void *ctx)
{
}

static void talk_closed(void *ctx, int err)
{
    talk_end(ctx);
}

static const struct stream_events talk_events = {talk_readable, talk_writable, talk_closed};

static void talk_begin(struct liar *l, struct stream *s, bool is_http)
{
    struct talk *t = MEM_NEW(struct talk);
    t->l = l;
    t->s = s;
    t->is_http = is_http;
    buf_init(&t->in, LIMIT_DHT_MESSAGE);
    list_append(&l->talks, &t->link);
    stream_listen(s, &talk_events, t);
    stream_want_read(s, true);
}

static void on_kad(void *ctx, struct stream *s, const struct peer_id *peer)
{
    talk_begin(ctx, s, false);
}

static void on_http(void *ctx, struct stream *s, const struct peer_id *peer)
{
    talk_begin(ctx, s, true);
}

/* --- forged records --- */

static void on_forge_opened(struct p2p_open *r, int err, struct stream *s)
{
    struct liar *l = CONTAINER_OF(r, struct liar, open);
    struct rng *rng = loop_rng(l->loop);
    uint8_t key[DHT_KEY_TEXT];
    char text[64], name[32];
    struct buf message, framed;
    struct dht_peer victim = {.addr_count = 1};
    struct multiaddr addr;
    l->is_opening = false;
    if (err)
        return;
    snprintf(text, sizeof text, "model:%s",
             sim_model_name((unsigned)rng_below(rng, l->sim->models), name));
    dht_key_text(bytes_str(text), key);
    made_up_peer(l, &victim.id);
    poison_addr(l, &addr);
    struct bytes view = multiaddr_bytes(&addr);
    victim.addrs = &view;
    buf_init(&message, 0);
    buf_init(&framed, 0);
    if (dht_message_begin(&message, DHT_ADD_PROVIDER, bytes_of(key, sizeof key)) == 0 &&
        dht_message_add(&message, DHT_PROVIDERS, &victim, LIMIT_DHT_REPLY) == 0) {
        (void)varint_append(&framed, buf_len(&message));
        (void)buf_append_bytes(&framed, buf_view(&message));
        (void)stream_write(s, buf_view(&framed));
        l->sim->tally.lies++;
    }
    buf_fini(&message);
    buf_fini(&framed);
    stream_close(s);
}

static void on_forge(struct timer *t)
{
    struct liar *l = CONTAINER_OF(t, struct liar, forge);
    void *cursor = NULL;
    struct p2p_peer_view v;
    uint64_t skip = rng_below(loop_rng(l->loop), 8);
    timer_after(loop_sched(l->loop), t, FORGE_US);
    while (!l->is_opening && p2p_host_peers(l->host, &cursor, &v)) {
        if (skip--)
            continue;
        l->is_opening = true;
        l->open =
            (struct p2p_open){.peer = *v.id, .protocol = KAD_PROTOCOL, .done = on_forge_opened};
        p2p_host_open(l->host, &l->open);
        break;
    }
}

/* --- coming --- */

static void on_connected(struct p2p_connect *r, int err, const struct peer_id *peer,
                         const char *why)
{
    CONTAINER_OF(r, struct liar, connect)->is_connecting = false;
}

static void liar_start(struct sim *s, struct liar *l, const struct net_addr *ip)
{
    struct multiaddr to;
    struct net_addr at = s->boxes[0].ip;
    l->sim = s;
    l->loop = loop_virtual_machine(s->world, ip);
    list_init(&l->talks);
    key_pair_generate(&l->key, loop_rng(l->loop));
    struct p2p_host_cfg cfg = p2p_host_cfg_default(&l->key);
    l->host = p2p_host_new(&cfg, l->loop);
    (void)p2p_host_handle(l->host, KAD_PROTOCOL, on_kad, l);
    (void)p2p_host_handle(l->host, HTTP_PROTOCOL, on_http, l);
    (void)p2p_host_listen(l->host, "/ip4/0.0.0.0/tcp/8000");
    at.port = P2P_PORT;
    (void)multiaddr_from_net(&at, &to);
    struct bytes addr = multiaddr_bytes(&to);
    l->is_connecting = true;
    l->connect = (struct p2p_connect){.addrs = &addr, .addr_count = 1, .done = on_connected};
    p2p_host_connect(l->host, &l->connect);
    timer_init(&l->forge, on_forge);
    timer_after(loop_sched(l->loop), &l->forge, FORGE_US);
}

static void mute_accepted(void *ctx, struct stream *s)
{
    struct mute *m = ctx;
    if (m->held_count < ARRAY_LEN(m->held))
        m->held[m->held_count++] = s;
    else
        stream_close(s);
}

static void mute_start(struct sim *s, struct mute *m, const struct net_addr *ip)
{
    m->loop = loop_virtual_machine(s->world, ip);
    struct loop_listen_options o = {.at = *ip, .accepted = mute_accepted, .ctx = m};
    o.at.port = P2P_PORT;
    (void)loop_listen(m->loop, &o, &m->ln);
}

void sim_strangers_start(struct sim *s)
{
    struct sim_strangers *x = &s->strangers;
    struct net_addr ip = {.kind = NET_IP4, .ip = {101, 0, 0, 1}};
    x->mute_at = mem_array(s->opts.mutes + 1, sizeof *x->mute_at);
    for (uint64_t i = 0; i < s->opts.mutes; i++) {
        struct mute *m = MEM_NEW(struct mute);
        ip.ip[1] = (uint8_t)(i % 256);
        ip.ip[2] = (uint8_t)(i / 256);
        list_append(&x->mutes, &m->link);
        mute_start(s, m, &ip);
        x->mute_at[x->mute_count++] = ip;
    }
    for (uint64_t i = 0; i < s->opts.liars + s->opts.sybils; i++) {
        struct liar *l = MEM_NEW(struct liar);
        bool is_sybil = i >= s->opts.liars;
        uint64_t n = is_sybil ? i - s->opts.liars : i;
        ip = (struct net_addr){.kind = NET_IP4, .ip = {is_sybil ? 103 : 102, 0, 0, 1}};
        ip.ip[is_sybil ? 3 : 1] = (uint8_t)(1 + n % 250);
        list_append(&x->liars, &l->link);
        liar_start(s, l, &ip);
        x->liar_count++;
    }
    sim_note(s, NULL, "strangers: %zu liars, %zu mutes", x->liar_count, x->mute_count);
}

void sim_strangers_init(struct sim *s)
{
    list_init(&s->strangers.liars);
    list_init(&s->strangers.mutes);
}

static void liar_free(struct liar *l)
{
    timer_clear(loop_sched(l->loop), &l->forge);
    while (!list_is_empty(&l->talks))
        talk_end(LIST_ENTRY(l->talks.next, struct talk, link));
    if (l->is_connecting)
        p2p_connect_cancel(&l->connect);
    if (l->is_opening)
        p2p_open_cancel(&l->open);
    p2p_host_free(l->host);
    loop_free(l->loop);
    list_remove(&l->link);
    free(l);
}

void sim_strangers_fini(struct sim *s)
{
    LIST_FOREACH_SAFE (&s->strangers.liars, it)
        liar_free(LIST_ENTRY(it, struct liar, link));
    LIST_FOREACH_SAFE (&s->strangers.mutes, it) {
        struct mute *m = LIST_ENTRY(it, struct mute, link);
        for (size_t i = 0; i < m->held_count; i++)
            stream_close(m->held[i]);
        loop_listener_close(m->ln);
        loop_free(m->loop);
        list_remove(it);
        free(m);
    }
    free(s->strangers.mute_at);
}
