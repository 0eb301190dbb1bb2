// SPDX-License-Identifier: MIT
/* The look for providers that nobody asked for: a node among libp2p nodes of another kind, which keep the records of
 * providers and tell of none by themselves.
 *
 *      us 10.0.0.1 ----- keeper 10.0.0.2 (a DHT server, no Conduit node) ----- provider 10.0.0.3
 *
 * We and the provider are no servers of the DHT: only the record of `protocol:openai` leads from one to the other. */
#include "unit/p2p/host_world.h"

#include "dht/core.h"
#include "node/discover.h"
#include "node/kad_port.h"

enum { US, KEEPER, PROVIDER, NODES };

struct net {
    struct hosts h;
    struct kad_port kad[NODES];
    struct http_client *client;
    struct catalogue offers;
    struct measures measures;
    struct trust trust;
    struct feeds feeds;
    struct discover discover;
    bool has_joined;
    int told;
};

static bool has_joined(void *ctx)
{
    return ((struct net *)ctx)->has_joined;
}

static bool is_loading(void *ctx, struct bytes model)
{
    return false;
}

static void told(void *ctx, const struct peer_id *peer)
{
    ((struct net *)ctx)->told++;
}

/* As a Conduit node that says nothing more. */
static void serve_http(void *ctx, struct stream *s, const struct peer_id *peer)
{
    stream_close(s);
}

static void connect(struct net *n, int from, int to)
{
    struct asked a;
    ask_connect(&a, &n->h.m[from], &n->h.m[to].key.id, &n->h.m[to].addr_view, 1);
    hosts_run(&n->h, US_PER_S);
    assert_int_equal(a.err, 0);
}

/* All three are there; `keeper_is_conduit`: it serves HTTP too. */
static void net_up(struct net *n, uint64_t seed, bool keeper_is_conduit)
{
    *n = (struct net){.has_joined = true};
    hosts_init(&n->h, seed, NODES);
    for (int i = 0; i < NODES; i++) {
        struct machine *m = &n->h.m[i];
        assert_int_equal(kad_port_init(&n->kad[i], m->host, loop_sched(m->loop), loop_rng(m->loop)),
                         0);
        if (i == PROVIDER || (i == KEEPER && keeper_is_conduit))
            assert_int_equal(p2p_host_handle(m->host, HTTP_PROTOCOL, serve_http, NULL), 0);
    }
    for (int i = 0; i < NODES; i += PROVIDER) { /* clients of the DHT: nobody is told of them */
        p2p_host_unhandle(n->h.m[i].host, KAD_PROTOCOL);
        dht_set_server(n->kad[i].dht, false);
    }
    struct machine *us = &n->h.m[US];
    struct sched *sched = loop_sched(us->loop);
    n->client = http_client_new(sched);
    catalogue_init(&n->offers, seed);
    measures_init(&n->measures, seed);
    trust_init(&n->trust, true, false, seed);
    feeds_init(&n->feeds, us->host, sched, n->client, &n->offers, &n->measures, &n->trust, seed);
    connect(n, PROVIDER, KEEPER);
    connect(n, US, KEEPER);
}

static void provide(struct net *n)
{
    uint8_t key[DHT_KEY_TEXT];
    dht_key_text(BYTES_LIT("protocol:openai"), key);
    assert_int_equal(dht_provide(n->kad[PROVIDER].dht, bytes_of(key, sizeof key)), 0);
    hosts_run(&n->h, US_PER_S);
}

/* From here on it looks. */
static void begin(struct net *n)
{
    discover_init(&n->discover, n->h.m[US].host, n->kad[US].dht, loop_sched(n->h.m[US].loop),
                  &n->feeds, &n->offers, 7);
    n->discover.has_joined = has_joined;
    n->discover.is_loading = is_loading;
    n->discover.told = told;
    n->discover.ctx = n;
}

static void net_down(struct net *n)
{
    discover_fini(&n->discover);
    feeds_fini(&n->feeds);
    http_client_free(n->client);
    for (int i = 0; i < NODES; i++)
        kad_port_fini(&n->kad[i]);
    trust_fini(&n->trust);
    measures_fini(&n->measures);
    catalogue_fini(&n->offers);
    hosts_fini(&n->h);
}

static bool has_found(const struct net *n)
{
    return p2p_host_is_connected(n->h.m[US].host, &n->h.m[PROVIDER].key.id);
}

static void a_provider_is_found_unasked(void **state)
{
    struct net n;
    net_up(&n, 1, false);
    provide(&n);
    assert_false(has_found(&n)); /* nothing else leads there */
    begin(&n);
    hosts_run(&n.h, 1900 * US_PER_MS);
    assert_false(has_found(&n));
    hosts_run(&n.h, US_PER_S);
    assert_true(has_found(&n));
    assert_int_equal(n.told, 1);
    assert_int_equal(map_count(&n.feeds.by_peer), 1); /* whose offers are read */
    hosts_run(&n.h, 60 * US_PER_S);
    assert_int_equal(n.told, 1); /* and that was all */
    net_down(&n);
}

static void one_that_comes_later_is_found_too(void **state)
{
    struct net n;
    net_up(&n, 2, false);
    begin(&n);
    hosts_run(&n.h, 20 * US_PER_S);
    assert_int_equal(n.told, 0);
    provide(&n);
    hosts_run(&n.h, 30 * US_PER_S);
    assert_true(has_found(&n));
    net_down(&n);
}

static void before_the_node_has_joined_it_does_not_look(void **state)
{
    struct net n;
    net_up(&n, 3, false);
    provide(&n);
    n.has_joined = false;
    begin(&n);
    hosts_run(&n.h, 60 * US_PER_S);
    assert_int_equal(n.told, 0);
    n.has_joined = true;
    hosts_run(&n.h, 3 * US_PER_S); /* it has not grown tired meanwhile */
    assert_true(has_found(&n));
    net_down(&n);
}

/* Any Conduit node tells of others by itself. */
static void beside_a_conduit_node_it_does_not_look(void **state)
{
    struct net n;
    net_up(&n, 4, true);
    provide(&n);
    begin(&n);
    hosts_run(&n.h, 60 * US_PER_S);
    assert_int_equal(n.told, 0);
    assert_false(has_found(&n));
    net_down(&n);
}

static void where_nobody_is_it_looks_less_and_less(void **state)
{
    struct net n;
    net_up(&n, 5, false);
    begin(&n);
    uint64_t at = n.discover.browse_us;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(n.discover.browse_us, at);
        hosts_run(&n.h, at + US_PER_MS);
        at = 2 * at;
    }
    hosts_run(&n.h, 3600 * US_PER_S);
    assert_int_equal(n.discover.browse_us, 300 * US_PER_S);
    assert_true(list_is_empty(&n.discover.searches)); /* each has ended */
    net_down(&n);
}

/* --- providers that say nothing --- */

static void held_over(void *ctx, int err)
{
    stream_close(ctx);
}

static void nothing(void *ctx)
{
}

/* Takes the question for its offers and never answers. */
static void hold_http(void *ctx, struct stream *s, const struct peer_id *peer)
{
    static const struct stream_events events = {nothing, nothing, held_over};
    stream_listen(s, &events, s);
}

static void searched(void *ctx, bool is_complete)
{
    ++*(int *)ctx;
}

/* Two that are there and say nothing give us records of theirs, as anybody may; the keeper tells of a third provider.
 * All feeds are taken, two of them by peers who offer nothing, and a search may have two. */
static void who_says_nothing_hides_nobody(void **state)
{
    struct net n;
    uint8_t key[DHT_KEY_TEXT];
    int done = 0;
    net_up(&n, 6, true);
    struct machine *liars[2] = {hosts_add(&n.h, NULL), hosts_add(&n.h, NULL)};
    struct machine *other = hosts_add(&n.h, NULL);
    assert_int_equal(p2p_host_handle(other->host, HTTP_PROTOCOL, serve_http, NULL), 0);
    connect(&n, US, (int)(other - n.h.m));
    begin(&n);
    n.feeds.max = 4;
    dht_key_text(BYTES_LIT("model:m"), key);
    assert_int_equal(dht_provide(n.kad[PROVIDER].dht, bytes_of(key, sizeof key)), 0);
    for (int i = 0; i < 2; i++) {
        struct dht_peer liar = {liars[i]->key.id, &liars[i]->addr_view, 1};
        assert_int_equal(p2p_host_handle(liars[i]->host, HTTP_PROTOCOL, hold_http, NULL), 0);
        assert_int_equal(dht_providers_add(&n.kad[US].dht->providers, bytes_of(key, sizeof key),
                                           &liar, loop_virtual_now(n.h.world)),
                         0);
    }
    hosts_run(&n.h, US_PER_S);
    discover_start(&n.discover, BYTES_LIT("m"), 10 * US_PER_S, searched, &done);
    hosts_run(&n.h, 2 * US_PER_S);
    assert_int_equal(done, 0);
    assert_int_equal(map_count(&n.feeds.by_peer), 4);
    assert_non_null(map_get(&n.feeds.by_peer, peer_id_bytes(&n.h.m[PROVIDER].key.id)));
    hosts_run(&n.h, 10 * US_PER_S);
    assert_int_equal(done, 1);
    net_down(&n);
}

/* Many of one address whose feeds say nothing hold a quarter of the places, until the first word is too late. */
static void one_address_does_not_take_all_feeds(void **state)
{
    struct net n;
    struct asked a;
    int crowd = NODES;
    net_up(&n, 8, false);
    begin(&n);
    n.feeds.max = 8;
    hosts_add(&n.h, NULL);
    while (n.h.count < MACHINES) {
        struct machine *m = &n.h.m[n.h.count++];
        m->loop = n.h.m[crowd].loop;
        key_pair_generate(&m->key, &n.h.rng);
        struct p2p_host_cfg cfg = p2p_host_cfg_default(&m->key);
        m->host = p2p_host_new(&cfg, m->loop);
    }
    for (int i = crowd; i < MACHINES; i++) {
        struct machine *us = &n.h.m[US];
        assert_int_equal(p2p_host_handle(n.h.m[i].host, HTTP_PROTOCOL, hold_http, NULL), 0);
        ask_connect(&a, &n.h.m[i], &us->key.id, &us->addr_view, 1);
        hosts_run(&n.h, US_PER_S);
        assert_int_equal(a.err, 0);
    }
    assert_int_equal(map_count(&n.feeds.by_peer), 2);
    connect(&n, US, PROVIDER);
    assert_int_equal(map_count(&n.feeds.by_peer), 3);
    feeds_want(&n.feeds,
               &n.h.m[MACHINES - 1].key.id); /* searched for: the search has its own bounds */
    assert_int_equal(map_count(&n.feeds.by_peer), 4);
    net_down(&n);
}

/* --- and those whose feed cannot be had --- */

/* Its offers are counted on: its silence must be noticed within 15 s, however seldom its feed is asked for. */
static void who_offers_something_does_not_rest(void **state)
{
    struct net n;
    net_up(&n, 7, false);
    begin(&n);
    connect(&n, US, PROVIDER);
    struct machine *m = &n.h.m[PROVIDER];
    struct offer o = {.peer = m->key.id,
                      .seq = 1,
                      .id = "o1",
                      .protocol = "openai",
                      .model = "m",
                      .abilities = OFFER_CHAT,
                      .expires_ms = UINT64_MAX};
    assert_int_equal(catalogue_put(&n.offers, &o, false), 0);
    for (int s = 0; s < 600; s++) {
        hosts_run(&n.h, US_PER_S);
        struct conn *c = host_peer_conn(host_peer_get(n.h.m[US].host, &m->key.id));
        assert_non_null(catalogue_next(&n.offers, NULL));
        assert_false(c->keepalive.is_resting);
    }
    net_down(&n);
}

int main(void)
{
    trace_set_all(getenv("TRACE") ? TRACE_DEBUG : TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_provider_is_found_unasked),
        cmocka_unit_test(one_that_comes_later_is_found_too),
        cmocka_unit_test(before_the_node_has_joined_it_does_not_look),
        cmocka_unit_test(beside_a_conduit_node_it_does_not_look),
        cmocka_unit_test(where_nobody_is_it_looks_less_and_less),
        cmocka_unit_test(who_says_nothing_hides_nobody),
        cmocka_unit_test(one_address_does_not_take_all_feeds),
        cmocka_unit_test(who_offers_something_does_not_rest),
    };
    return cmocka_run_group_tests_name("discover", tests, NULL, NULL);
}
