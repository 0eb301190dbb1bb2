// SPDX-License-Identifier: MIT
/* A search among whole nodes in virtual time, one of which lies: asked who provides a model, it names peers that it
 * made up, and it answers before the others.
 *
 *      boot (a=echo:) <---- provider (m=echo:)        20 ms; who asks follows one provider at a time
 *        ^  ^
 *        |  +-- liar                                   2 ms from the consumer
 *        +----- consumer */
#include "node_world.h"

#include "codec/multiaddr.h"
#include "codec/varint.h"
#include "dht/message.h"
#include "node/kad_port.h"
#include "p2p/host_impl.h"

#define BOOT "/ip4/20.0.0.1/tcp/8000"

struct net {
    struct world w;
    struct machine *boot, *provider, *liar, *consumer;
};

static struct machine *machine_up(struct world *w, const char *ip, const char *backend,
                                  const char *feeds)
{
    struct machine *m = machine_add_at(w, ip);
    if (w->count > 1)
        set(m, "bootstrap", BOOT);
    if (backend)
        set(m, "backend", backend);
    if (feeds)
        set(m, "max_feeds", feeds);
    machine_start(m);
    return m;
}

static void near(struct net *n, uint64_t liar_ms, uint64_t others_ms)
{
    struct loop_virtual_link close = {.delay_us = liar_ms * MS}, far = {.delay_us = others_ms * MS};
    for (int i = 0; i < n->w.count; i++)
        for (int j = 0; j < i; j++)
            loop_virtual_set_link(n->w.v, n->w.m[i].loop, n->w.m[j].loop, &far);
    loop_virtual_set_link(n->w.v, n->liar->loop, n->consumer->loop, &close);
}

/* --- the liar --- */

enum { TALKS_MAX = 64 };

static struct liar {
    struct host_handler was;
    int count; /* of those it makes up; all at one address */
    struct multiaddr addr;
    struct rng rng;
    int asked;
    struct stream *talks[TALKS_MAX];
    int talk_count;
} liar;

static void put_made_up(struct buf *reply)
{
    for (int i = 0; i < liar.count; i++) {
        struct key_pair key;
        struct bytes addr = multiaddr_bytes(&liar.addr);
        key_pair_generate(&key, &liar.rng);
        struct dht_peer p = {key.id, &addr, 1};
        assert_int_equal(dht_message_add(reply, DHT_PROVIDERS, &p, LIMIT_DHT_REPLY), 0);
    }
}

static void lie(struct stream *s, struct bytes message)
{
    struct buf reply, framed;
    struct dht_message m;
    buf_init(&reply, 0);
    buf_init(&framed, 0);
    assert_int_equal(dht_message_decode(message, &m), 0);
    assert_int_equal(dht_message_begin(&reply, (enum dht_type)m.type, m.key), 0);
    if (m.type == DHT_GET_PROVIDERS) {
        put_made_up(&reply);
        liar.asked++;
    }
    (void)varint_append(&framed, buf_len(&reply));
    (void)buf_append_bytes(&framed, buf_view(&reply));
    (void)stream_write(s, buf_view(&framed));
    (void)stream_finish(s);
    buf_fini(&reply);
    buf_fini(&framed);
}

/* A request comes in one piece here. */
static void talk_readable(void *ctx)
{
    struct stream *s = *(struct stream **)ctx;
    uint8_t chunk[4096];
    ssize_t n;
    while ((n = stream_read(s, chunk, sizeof chunk)) > 0) {
        struct cursor cur = cursor_of(bytes_of(chunk, (size_t)n));
        struct bytes message;
        assert_true(cursor_prefixed(&cur, LIMIT_DHT_MESSAGE, &message) > 0);
        lie(s, message);
    }
    if (n == E_EOF)
        stream_want_read(s, false);
}

static void talk_writable(void *ctx)
{
}

static void talk_closed(void *ctx, int err)
{
    struct stream **s = ctx;
    stream_close(*s);
    *s = NULL;
}

static void on_talk(void *ctx, struct stream *s, const struct peer_id *peer)
{
    static const struct stream_events events = {talk_readable, talk_writable, talk_closed};
    assert_true(liar.talk_count < TALKS_MAX);
    struct stream **at = &liar.talks[liar.talk_count++];
    *at = s;
    stream_listen(s, &events, at);
    stream_want_read(s, true);
}

/* In place: identify goes on telling the protocol. */
static struct host_handler *kad_handler(struct node *n)
{
    for (int i = 0; i < HOST_HANDLERS_MAX; i++) {
        struct host_handler *at = &n->host->handlers[i];
        if (at->protocol && strcmp(at->protocol, KAD_PROTOCOL) == 0)
            return at;
    }
    fail_msg("it does not serve the DHT");
    return NULL;
}

static void liar_begin(struct net *n, int count, const char *addr)
{
    struct host_handler *at = kad_handler(n->liar->node);
    liar = (struct liar){.was = *at, .count = count};
    rng_init_seeded(&liar.rng, 1);
    assert_int_equal(multiaddr_parse(bytes_str(addr), &liar.addr), 0);
    at->handler = on_talk;
    at->ctx = NULL;
}

static void liar_end(struct net *n)
{
    struct host_handler *at = kad_handler(n->liar->node);
    at->handler = liar.was.handler;
    at->ctx = liar.was.ctx;
    for (int i = 0; i < liar.talk_count; i++)
        if (liar.talks[i])
            stream_close(liar.talks[i]);
}

/* --- a mute --- */

static struct stream *muted[TALKS_MAX];
static int muted_count;

static void mute_accepted(void *ctx, struct stream *s)
{
    assert_true(muted_count < TALKS_MAX);
    muted[muted_count++] = s;
}

/* --- stories --- */

static void net_up(struct net *n, uint64_t seed)
{
    world_init(&n->w, seed);
    n->boot = machine_up(&n->w, "20.0.0.1", "a=echo:", NULL);
    n->provider = machine_up(&n->w, "21.0.0.1", "m=echo:", NULL);
    n->liar = machine_up(&n->w, "22.0.0.1", NULL, NULL);
    run_for(&n->w, 5 * S);
    n->consumer = machine_up(&n->w, "23.0.0.1", NULL, "1");
    near(n, 1, 10);
    run_for(&n->w, 5 * S);
}

static void is_answered(struct net *n, uint64_t within_us)
{
    struct client c;
    client_ask(&c, n->consumer, "POST", "/v1/chat/completions",
               "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}");
    client_wait(&n->w, &c, 60 * S);
    if (!client_has(&c, "HTTP/1.1 200"))
        fail_msg("%.*s", BYTES_FMT(buf_view(&c.in)));
    assert_true(c.over_us - c.asked_us < within_us);
    client_fini(&c);
}

/* One, where one provider at a time is tried; and more than ever are tried at a time. */
static void made_up_providers_hide_nobody(void **state)
{
    static const int counts[] = {1, 2, 40};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        struct net n;
        net_up(&n, 1 + i);
        liar_begin(&n, counts[i], "/ip4/66.66.1.1/tcp/8000"); /* where nobody is */
        is_answered(&n, 5 * S);
        assert_true(liar.asked > 0); /* it had its say */
        liar_end(&n);
        world_fini(&n.w);
    }
}

/* Where they are said to be, somebody takes connections and never says a word: each try takes five seconds. */
static void nor_do_those_that_take_time(void **state)
{
    struct net n;
    struct loop_listener *ln;
    struct loop_listen_options o = {.accepted = mute_accepted};
    net_up(&n, 7);
    assert_int_equal(net_addr_parse_ip("66.66.1.1", 8000, &o.at), 0);
    struct loop *mute = loop_virtual_machine(n.w.v, &o.at);
    assert_int_equal(loop_listen(mute, &o, &ln), 0);
    liar_begin(&n, 40, "/ip4/66.66.1.1/tcp/8000");
    is_answered(&n, 2 * S);
    assert_true(liar.asked > 0);
    liar_end(&n);
    for (int i = 0; i < muted_count; i++)
        stream_close(muted[i]);
    loop_listener_close(ln);
    world_fini(&n.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_up_providers_hide_nobody),
        cmocka_unit_test(nor_do_those_that_take_time),
    };
    return cmocka_run_group_tests_name("discover", tests, NULL, NULL);
}
