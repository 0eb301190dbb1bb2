// SPDX-License-Identifier: MIT
/* Whole nodes on the internet, in virtual time: no node is one that the others cannot do without; what is offered is seen
 * within a second and gone as quickly; what the DHT knows is asked of the peers themselves.
 *
 *      boot <---- provider        each 20 ms from the other; provider and consumer are told of boot alone
 *        ^
 *        +------- consumer
 */
#include "node_world.h"

#include "base/trace.h"
#include "dht/core.h"
#include "route/choose.h"

#include <sys/stat.h>

#define BOOT "/ip4/20.0.0.1/tcp/8000"

struct net {
    struct world w;
    struct machine *boot, *provider, *consumer;
};

static const char question[] =
    "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
    "\"What is the capital of France?\"}]}";

/* Each in a network of its own: 20.0.0.1, 21.0.0.1, … */
static void plug_in(struct world *w, struct machine *m)
{
    struct net_addr at;
    char ip[32];
    struct loop_virtual_link link = {.delay_us = 10 * MS};
    snprintf(ip, sizeof ip, "%d.0.0.1", 20 + (int)(m - w->m));
    assert_int_equal(net_addr_parse_ip(ip, 0, &at), 0);
    m->loop = loop_virtual_machine(w->v, &at);
    for (int i = 0; i < w->count; i++)
        if (&w->m[i] != m)
            loop_virtual_set_link(w->v, w->m[i].loop, m->loop, &link);
    set(m, "p2p_host", ip);
}

static struct machine *machine_up(struct world *w, const char *bootstrap, const char *backend)
{
    struct machine *m = &w->m[w->count++];
    snprintf(m->dir, sizeof m->dir, "/tmp/conduit-world-XXXXXX");
    assert_non_null(mkdtemp(m->dir));
    config_init(&m->cfg);
    plug_in(w, m);
    set(m, "data_dir", m->dir);
    if (bootstrap)
        set(m, "bootstrap", bootstrap);
    if (backend)
        set(m, "backend", backend);
    machine_start(m);
    return m;
}

static void net_up(struct net *n, uint64_t seed)
{
    world_init(&n->w, seed);
    n->boot = machine_up(&n->w, NULL, NULL);
    run_for(&n->w, S);
    n->provider = machine_up(&n->w, BOOT, "m=echo:");
    n->consumer = machine_up(&n->w, BOOT, NULL);
    run_for(&n->w, 10 * S);
}

/* Power fails; the disk stays. */
static void die(struct world *w, struct machine *m)
{
    loop_virtual_crash(w->v, m->loop, true);
    node_free(m->node);
    m->node = NULL;
}

/* On another machine with the same address, as after a reboot: the old one is never heard of again. */
static void back(struct world *w, struct machine *m)
{
    loop_free(m->loop);
    plug_in(w, m);
    machine_start(m);
}

static void is_answered(struct world *w, struct machine *at)
{
    struct client c;
    client_ask(&c, at, "POST", "/v1/chat/completions", question);
    client_wait(w, &c, 20 * S);
    if (!client_has(&c, "HTTP/1.1 200") || !client_has(&c, "[DONE]"))
        fail_msg("%.*s", BYTES_FMT(buf_view(&c.in)));
    client_fini(&c);
}

static size_t offers_at(const struct machine *at)
{
    size_t n = 0;
    for (const struct catalogue_offer *o = catalogue_next(&at->node->offers, NULL); o;
         o = catalogue_next(&at->node->offers, o))
        n++;
    return n;
}

/* --- no node is indispensable --- */

static void the_bootstrap_node_may_die(void **state)
{
    struct net n;
    net_up(&n, 1);
    is_answered(&n.w, n.consumer);
    die(&n.w, n.boot);
    run_for(&n.w, 5 * S);
    is_answered(&n.w, n.consumer);
    /* somebody new comes in by any other address, and finds the provider */
    struct machine *late = machine_up(&n.w, "/ip4/22.0.0.1/tcp/8000", NULL);
    run_for(&n.w, 5 * S);
    is_answered(&n.w, late);
    /* and a new provider is found by all who were there */
    struct machine *fresh = machine_up(&n.w, "/ip4/22.0.0.1/tcp/8000", "m=echo:");
    die(&n.w, n.provider);
    run_for(&n.w, 5 * S);
    is_answered(&n.w, n.consumer);
    is_answered(&n.w, late);
    (void)fresh;
    world_fini(&n.w);
}

static void it_comes_back_and_is_one_of_them(void **state)
{
    struct net n;
    net_up(&n, 2);
    die(&n.w, n.boot);
    run_for(&n.w, 120 * S);
    back(&n.w, n.boot);
    run_for(&n.w, 65 * S); /* they ask for it once a minute at least */
    assert_true(p2p_host_is_connected(n.consumer->node->host, &n.boot->node->key.id));
    assert_true(p2p_host_is_connected(n.provider->node->host, &n.boot->node->key.id));
    assert_int_equal(dht_stats(n.boot->node->kad.dht).table_peers, 2);
    is_answered(&n.w, n.boot);
    world_fini(&n.w);
}

/* All but the disk is lost, and the one address it was told of is dead: the peers it knew are enough. */
static void good_peers_are_kept_over_a_restart(void **state)
{
    struct net n;
    char path[128];
    struct stat st;
    net_up(&n, 3);
    run_for(&n.w, 61 * S); /* written after a minute */
    snprintf(path, sizeof path, "%s/peers", n.consumer->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    die(&n.w, n.consumer);
    die(&n.w, n.boot);
    run_for(&n.w, 30 * S);
    back(&n.w, n.consumer);
    run_for(&n.w, 10 * S);
    assert_true(p2p_host_is_connected(n.consumer->node->host, &n.provider->node->key.id));
    is_answered(&n.w, n.consumer);
    world_fini(&n.w);
}

/* --- what is offered --- */

static void engine_model_gone(struct net *n, bool is_gone)
{
    n->provider->node->guard.is_paused = is_gone;
    announce_changed(&n->provider->node->announce);
}

static uint64_t until_offers(struct net *n, size_t count, uint64_t limit)
{
    uint64_t start = loop_virtual_now(n->w.v);
    while (offers_at(n->consumer) != count && loop_virtual_now(n->w.v) - start < limit)
        run_for(&n->w, MS);
    return loop_virtual_now(n->w.v) - start;
}

static void an_offer_is_seen_within_a_second_and_gone_at_once(void **state)
{
    struct net n;
    net_up(&n, 4);
    is_answered(&n.w, n.consumer); /* it watches the provider from here on */
    assert_int_equal(offers_at(n.consumer), 1);
    uint64_t seq = catalogue_next(&n.consumer->node->offers, NULL)->offer.seq;
    for (int i = 0; i < 3; i++) {
        engine_model_gone(&n, true);
        assert_true(until_offers(&n, 0, 2 * S) < 100 * MS);
        run_for(&n.w, S);
        engine_model_gone(&n, false); /* there again, as a new one: the old one is not taken */
        assert_true(until_offers(&n, 1, 2 * S) < 100 * MS);
        uint64_t again = catalogue_next(&n.consumer->node->offers, NULL)->offer.seq;
        assert_true(again > seq);
        seq = again;
    }
    is_answered(&n.w, n.consumer);
    world_fini(&n.w);
}

/* From nothing: a provider starts, and a consumer that never heard of it has its offer a second later. */
static void a_new_provider_is_seen_within_a_second(void **state)
{
    struct net n;
    world_init(&n.w, 5);
    n.boot = machine_up(&n.w, NULL, NULL);
    n.consumer = machine_up(&n.w, BOOT, NULL);
    run_for(&n.w, 10 * S);
    n.provider = machine_up(&n.w, "/ip4/21.0.0.1/tcp/8000", "m=echo:");
    assert_true(until_offers(&n, 1, 5 * S) < S);
    world_fini(&n.w);
}

static const struct measure *told(const struct net *n)
{
    struct route_key key;
    const struct catalogue_offer *o = catalogue_next(&n->consumer->node->offers, NULL);
    return o ? measures_peek(&n->consumer->node->measures, route_key_of(&o->offer, &key)) : NULL;
}

static void load_is_pushed_when_it_changes_and_every_ten_seconds(void **state)
{
    struct net n;
    struct client c;
    world_init(&n.w, 6);
    n.boot = machine_up(&n.w, NULL, NULL);
    n.provider = machine_up(&n.w, BOOT, "m=echo:?delay_ms=100&tokens=40");
    n.consumer = machine_up(&n.w, BOOT, NULL);
    struct machine *other = machine_up(&n.w, BOOT, NULL);
    run_for(&n.w, 10 * S);
    is_answered(&n.w, n.consumer);
    run_for(&n.w, 2 * S);
    for (int i = 0; i < 5; i++) { /* nothing happens, and it is told all the same */
        uint64_t before = told(&n)->load_at_us;
        run_for(&n.w, 10 * S + 100 * MS);
        assert_true(told(&n)->load_at_us > before);
        assert_int_equal(told(&n)->busy, 0);
    }
    assert_in_range(told(&n)->told_uptime_s, 60, 80);
    assert_true(told(&n)->told_tokens_per_s > 1);
    client_ask(&c, other, "POST", "/v1/chat/completions", question);
    run_for(&n.w, 1500 * MS); /* somebody else's request */
    assert_int_equal(told(&n)->busy, 1);
    client_wait(&n.w, &c, 20 * S);
    client_fini(&c);
    run_for(&n.w, 300 * MS);
    assert_int_equal(told(&n)->busy, 0);
    world_fini(&n.w);
}

/* --- what the DHT knows --- */

/* Over the control socket there: the answer has all these parts. How long it took. */
static uint64_t look_up(struct net *n, struct machine *at, const char *key,
                        const char *const *parts)
{
    struct client c = {.loop = at->loop, .dial.done = client_dialled};
    struct net_addr to = {.kind = NET_UNIX};
    snprintf(to.path, sizeof to.path, "%s/control.sock", at->dir);
    buf_init(&c.out, 0);
    buf_init(&c.in, 0);
    (void)buf_printf(&c.out,
                     "GET /conduit/v1/dht/%s HTTP/1.1\r\nHost: localhost\r\n"
                     "Connection: close\r\n\r\n",
                     key);
    c.asked_us = sched_now(loop_sched(c.loop));
    loop_dial(c.loop, &c.dial, &to, NULL, 5 * S);
    client_wait(&n->w, &c, 20 * S);
    for (; *parts; parts++)
        if (!client_has(&c, *parts))
            fail_msg("%s: no %s in %.*s", key, *parts, BYTES_FMT(buf_view(&c.in)));
    client_fini(&c);
    return c.over_us - c.asked_us;
}
#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void what_stands_behind_a_key(void **state)
{
    struct net n;
    char node[128], peer[128];
    net_up(&n, 7);
    snprintf(node, sizeof node, "get?key=node:%s", node_peer(n.provider->node));
    snprintf(peer, sizeof peer, "\"peer\":\"%s\"", node_peer(n.provider->node));
    static const char *const keys[] = {"get?key=model:m", "get?key=all_nodes",
                                       "get?key=protocol:openai"};
    struct machine *at[] = {n.consumer, n.boot, n.provider};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 3; j++)
            (void)look_up(&n, at[j], keys[i],
                          PARTS("200 OK", peer, "\"model\":\"m\"", "\"load\":0", "\"slots\":",
                                "\"uptime_s\":", "\"last_seen_ms\":", "\"complete\":true"));
    look_up(&n, n.consumer, node,
            PARTS("200 OK", peer, "\"record\":{\"seq\":", "\"models\":[\"m\"]", "/tcp/8000"));
    look_up(&n, n.consumer, "get?key=model:nonesuch",
            PARTS("200 OK", "\"peers\":[]", "\"complete\":true"));
    look_up(&n, n.consumer, "get?key=nonsense", PARTS("400 ", "bad_key"));
    look_up(&n, n.consumer, "get?key=node:nobody", PARTS("400 ", "bad_key"));
    look_up(&n, n.consumer, "get", PARTS("400 ", "bad_key"));
    look_up(&n, n.consumer, "status", PARTS("200 OK", "\"peers\":2", "\"server\":true"));
    /* the provider dies: its record is still there, and says who it was; it is not called connected */
    die(&n.w, n.provider);
    run_for(&n.w, 10 * S);
    look_up(&n, n.consumer, "get?key=model:m",
            PARTS("200 OK", peer, "\"offers\":[]", "\"not reached\""));
    look_up(&n, n.consumer, node, PARTS("\"models\":[\"m\"]"));
    world_fini(&n.w);
}

/* A node that is alone says so, at once; that others did not answer would be another thing. */
static void alone_there_is_nobody_to_ask(void **state)
{
    struct net n = {0};
    world_init(&n.w, 9);
    struct machine *m = machine_up(&n.w, NULL, "m=echo:");
    run_for(&n.w, 5 * S);
    uint64_t us = look_up(&n, m, "get?key=all_nodes",
                          PARTS("200 OK", node_peer(m->node), "\"this node\"", "\"complete\":false",
                                "\"why\":\"nobody_to_ask\""));
    assert_in_range(us, 0, S);
    (void)look_up(&n, m, "get?key=model:nonesuch",
                  PARTS("200 OK", "\"peers\":[]", "\"why\":\"nobody_to_ask\""));
    world_fini(&n.w);
}

/* One server answers first, and names more than a list holds; what another one says is in it all the same. */
static void a_liar_does_not_fill_the_list(void **state)
{
    struct net n;
    struct loop_virtual_link late = {.delay_us = 150 * MS};
    struct multiaddr m;
    char peer[PEER_ID_TEXT];
    uint8_t key[DHT_KEY_TEXT];
    net_up(&n, 11);
    struct peer_id honest = {0};
    dht_key_text(BYTES_LIT("model:x"), key);
    for (int i = 0; i <= 60; i++) {
        struct key_pair k;
        key_pair_generate(&k, loop_rng(n.boot->loop));
        honest = k.id; /* the last one */
        assert_int_equal(multiaddr_parse(BYTES_LIT("/ip4/99.0.0.1/tcp/1"), &m), 0);
        struct bytes addr = multiaddr_bytes(&m);
        struct dht_peer p = {k.id, &addr, 1};
        struct machine *at = i < 60 ? n.boot : n.provider;
        assert_int_equal(dht_providers_add(&at->node->kad.dht->providers, bytes_of(key, sizeof key),
                                           &p, loop_virtual_now(n.w.v)),
                         0);
    }
    loop_virtual_set_link(n.w.v, n.provider->loop, n.consumer->loop, &late);
    (void)look_up(&n, n.consumer, "get?key=model:x",
                  PARTS("200 OK", peer_id_text(&honest, peer, sizeof peer), "\"complete\":true"));
    world_fini(&n.w);
}

/* A libp2p node of another kind that speaks our Kademlia. */
struct other {
    struct key_pair key;
    struct p2p_host *host;
    struct kad_port kad;
    struct p2p_connect connect;
    char peer[PEER_ID_TEXT];
};

static void other_connected(struct p2p_connect *c, int err, const struct peer_id *peer,
                            const char *why)
{
    assert_int_equal(err, 0);
}

static void other_up(struct net *n, struct other *o, const char *provides)
{
    struct machine *m = &n->w.m[n->w.count++];
    struct rng *rng;
    uint8_t key[DHT_KEY_TEXT];
    struct multiaddr boot;
    snprintf(m->dir, sizeof m->dir, "/tmp/conduit-world-XXXXXX");
    assert_non_null(mkdtemp(m->dir));
    config_init(&m->cfg);
    plug_in(&n->w, m);
    rng = loop_rng(m->loop);
    key_pair_generate(&o->key, rng);
    peer_id_text(&o->key.id, o->peer, sizeof o->peer);
    struct p2p_host_cfg cfg = p2p_host_cfg_default(&o->key);
    cfg.agent = "other/1";
    cfg.protocol_version = "/other/1.0.0";
    o->host = p2p_host_new(&cfg, m->loop);
    assert_int_equal(kad_port_init(&o->kad, o->host, loop_sched(m->loop), rng), 0);
    assert_int_equal(p2p_host_listen(o->host, "/ip4/0.0.0.0/tcp/8000"), 0);
    assert_int_equal(multiaddr_parse(bytes_str(BOOT), &boot), 0);
    struct bytes addr = multiaddr_bytes(&boot);
    o->connect = (struct p2p_connect){.peer = &n->boot->node->key.id,
                                      .addrs = &addr,
                                      .addr_count = 1,
                                      .timeout_us = 5 * S,
                                      .done = other_connected};
    p2p_host_connect(o->host, &o->connect);
    run_for(&n->w, S);
    dht_key_text(bytes_str(provides), key);
    assert_int_equal(dht_provide(o->kad.dht, bytes_of(key, sizeof key)), 0);
    run_for(&n->w, S);
}

static void other_down(struct other *o)
{
    kad_port_fini(&o->kad);
    p2p_host_free(o->host);
}

/* Such a provider has no offers, and is not waited for: neither by who looks, nor by a request for its model. */
static void who_is_no_conduit_node_is_not_waited_for(void **state)
{
    struct net n = {0};
    struct other o;
    char peer[128];
    struct client c;
    static const char ask[] = "{\"model\":\"x\",\"messages\":[]}";
    world_init(&n.w, 10);
    n.boot = machine_up(&n.w, NULL, NULL);
    run_for(&n.w, S);
    other_up(&n, &o, "model:x");
    n.consumer = machine_up(&n.w, BOOT, NULL);
    run_for(&n.w, 5 * S);
    p2p_host_disconnect(n.consumer->node->host, &o.key.id); /* the table had it; it is met anew */
    run_for(&n.w, S);
    snprintf(peer, sizeof peer, "\"peer\":\"%s\"", o.peer);
    uint64_t us = look_up(&n, n.consumer, "get?key=model:x",
                          PARTS("200 OK", peer, "\"offers\":[]", "\"complete\":true",
                                "\"agent\":\"other/1\"", "\"why\":\"it is no Conduit node\""));
    assert_in_range(us, 0, S);
    client_ask(&c, n.consumer, "POST", "/v1/chat/completions", ask);
    client_wait(&n.w, &c, 20 * S);
    assert_true(client_has(&c, "model_not_found"));
    assert_in_range(c.over_us - c.asked_us, 0, S);
    client_fini(&c);
    other_down(&o);
    world_fini(&n.w);
}

/* A stop in order: nobody has it in the DHT a second later, though records live for two hours. */
static void who_stops_in_order_is_withdrawn(void **state)
{
    struct net n;
    net_up(&n, 8);
    assert_true(dht_stats(n.boot->node->kad.dht).provider_records >= 3);
    announce_withdraw_all(&n.provider->node->announce);
    run_for(&n.w, S);
    assert_int_equal(dht_stats(n.boot->node->kad.dht).provider_records, 0);
    assert_int_equal(dht_stats(n.consumer->node->kad.dht).provider_records, 0);
    assert_int_equal(offers_at(n.consumer), 0);
    world_fini(&n.w);
}

int main(void)
{
    trace_set_all(getenv("TRACE") ? TRACE_DEBUG : TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bootstrap_node_may_die),
        cmocka_unit_test(it_comes_back_and_is_one_of_them),
        cmocka_unit_test(good_peers_are_kept_over_a_restart),
        cmocka_unit_test(an_offer_is_seen_within_a_second_and_gone_at_once),
        cmocka_unit_test(a_new_provider_is_seen_within_a_second),
        cmocka_unit_test(load_is_pushed_when_it_changes_and_every_ten_seconds),
        cmocka_unit_test(what_stands_behind_a_key),
        cmocka_unit_test(a_liar_does_not_fill_the_list),
        cmocka_unit_test(alone_there_is_nobody_to_ask),
        cmocka_unit_test(who_is_no_conduit_node_is_not_waited_for),
        cmocka_unit_test(who_stops_in_order_is_withdrawn),
    };
    return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
