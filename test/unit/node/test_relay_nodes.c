// SPDX-License-Identifier: MIT
/* Seed Conduit's case: the plain node on a rented server routes for two behind NAT. Three whole nodes in
 * virtual time; nothing passes between provider and consumer directly.
 *
 *   provider 10.0.0.1 (echo:, private) -- 20 ms -- vps 10.0.0.3 -- 20 ms -- consumer 10.0.0.2 (private)
 *           \--------------------------------- cut -----------------------------------/
 */
#include "node_world.h"

enum { VPS, PROVIDER, CONSUMER, OTHER_VPS }; /* in the order in which they come */

/* `options`: "key=value" and so on, NULL at the end. */
static void machine_up(struct world *w, int which, const char *ip, const char *const *options)
{
    char key[64];
    struct machine *m = machine_add_at(w, ip);
    assert_ptr_equal(m, &w->m[which]);
    for (; *options; options++) {
        const char *eq = strchr(*options, '=');
        snprintf(key, sizeof key, "%.*s", (int)(eq - *options), *options);
        set(m, key, eq + 1);
    }
    machine_start(m);
}

static void set_link(struct world *w, int a, int b, bool is_cut)
{
    struct loop_virtual_link link = {.delay_us = 20 * MS, .is_cut = is_cut};
    loop_virtual_set_link(w->v, w->m[a].loop, w->m[b].loop, &link);
}

/* All three are there: the VPS can be reached, the others reach nobody but it. */
static void routes_up(struct world *w)
{
    set_link(w, VPS, PROVIDER, false);
    set_link(w, VPS, CONSUMER, false);
    set_link(w, PROVIDER, CONSUMER, true);
    p2p_host_set_reach(w->m[VPS].node->host, P2P_REACH_PUBLIC);
    p2p_host_set_reach(w->m[PROVIDER].node->host, P2P_REACH_PRIVATE);
    p2p_host_set_reach(w->m[CONSUMER].node->host, P2P_REACH_PRIVATE);
}

static void world_up(struct world *w, uint64_t seed, const char *relay)
{
    const char *vps[] = {relay, NULL};
    const char *provider[] = {"backend=echo:", "bootstrap=10.0.0.3:8000", NULL};
    const char *consumer[] = {"bootstrap=10.0.0.3:8000", NULL};
    world_init(w, seed);
    machine_up(w, VPS, "10.0.0.3", vps);
    machine_up(w, PROVIDER, "10.0.0.1", provider);
    machine_up(w, CONSUMER, "10.0.0.2", consumer);
    routes_up(w);
}

/* The whole response as text, heap. */
static char *ask(struct world *w, int where, const char *method, const char *path, const char *body)
{
    return call(w, &w->m[where], method, path, "", body, 60 * S);
}

static void ask_for(struct world *w, int where, const char *path, const char *part)
{
    char *r = ask(w, where, "GET", path, "");
    if (!strstr(r, part))
        fail_msg("no %s in %s", part, r);
    free(r);
}

static const char question[] = "{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":"
                               "\"What is the capital of France?\"}]}";

static void assert_answered(struct world *w)
{
    char *r = ask(w, CONSUMER, "POST", "/v1/chat/completions", question);
    if (!strstr(r, "HTTP/1.1 200") || !strstr(r, "What is the capital of France?"))
        fail_msg("%s", r);
    assert_non_null(strstr(r, node_peer(w->m[PROVIDER].node)));
    free(r);
}

/* --- stories --- */

static void the_vps_routes_for_two_behind_nat(void **state)
{
    struct world w;
    struct p2p_peer_view v;
    world_up(&w, 1, "relay=limited"); /* what a node does that was told nothing */
    run_for(&w, 5 * S);
    assert_answered(&w);
    const struct peer_id *provider = p2p_host_id(w.m[PROVIDER].node->host);
    assert_true(p2p_host_peer(w.m[CONSUMER].node->host, provider, &v));
    assert_true(v.is_relayed && v.is_limited);
    ask_for(&w, PROVIDER, "/conduit/v1/status", "\"reach\":\"private\"");
    ask_for(&w, PROVIDER, "/conduit/v1/status", node_peer(w.m[VPS].node));
    ask_for(&w, VPS, "/conduit/v1/status", "\"serving\":\"limited\",\"reservations\":2");
    ask_for(&w, CONSUMER, "/conduit/v1/peers", "\"relayed\":true,\"limited\":true");
    ask_for(&w, VPS, "/conduit/v1/limits",
            "\"scope\":\"relay\",\"resource\":\"places\",\"used\":2,\"limit\":128,\"refused\":0");
    ask_for(&w, VPS, "/conduit/v1/limits",
            "\"scope\":\"relay\",\"resource\":\"circuits\",\"used\":1,\"limit\":16");
    ask_for(&w, VPS, "/metrics", "conduit_limit_used{scope=\"relay\",resource=\"places\"} 2");
    ask_for(&w, VPS, "/metrics", "conduit_limit{scope=\"relay\",resource=\"own_circuits\"} 1024");
    char *answer = ask(&w, CONSUMER, "POST", "/v1/chat/completions", question);
    assert_non_null(strstr(answer, "; over a limited relay"));
    free(answer);
    for (int i = 0; i < 300; i++) { /* circuits of two minutes come and go */
        run_for(&w, 1 * S);
        ask_for(&w, CONSUMER, "/v1/models", "\"id\":\"echo\"");
        if (i % 40 == 0)
            assert_answered(&w);
    }
    loop_virtual_crash(w.v, w.m[PROVIDER].loop, true); /* and one who is gone is gone */
    run_for(&w, 15 * S);
    char *r = ask(&w, CONSUMER, "GET", "/v1/models", "");
    assert_null(strstr(r, "\"id\":\"echo\""));
    free(r);
    world_fini(&w);
}

struct news {
    struct feeds_waiter waiter;
    int count;
};

static void on_news(struct feeds_waiter *w, const struct peer_id *peer)
{
    CONTAINER_OF(w, struct news, waiter)->count++;
}

static bool wants_nobody(struct feeds_waiter *w, const struct peer_id *peer)
{
    return false;
}

static void on_connected(struct p2p_connect *c, int err, const struct peer_id *peer,
                         const char *why)
{
    assert_int_equal(err, 0);
}

/* Who offers nothing is not worth a stranger's circuit: it is asked, and asked again when somebody searches for it. */
static void an_empty_feed_holds_no_circuit(void **state)
{
    static const char *const options[] = {"bootstrap=10.0.0.3:8000", NULL};
    static const char *const vps[] = {"relay=limited", NULL};
    struct world w;
    struct multiaddr addr;
    char text[256];
    struct news news = {.waiter = {.news = on_news, .wants = wants_nobody}};
    world_init(&w, 12);
    machine_up(&w, VPS, "10.0.0.3", vps);
    machine_up(&w, PROVIDER, "10.0.0.1", options);
    machine_up(&w, CONSUMER, "10.0.0.2", options);
    routes_up(&w);
    run_for(&w, 5 * S);
    struct feeds *feeds = &w.m[CONSUMER].node->feeds;
    const struct peer_id *peer = p2p_host_id(w.m[PROVIDER].node->host);
    snprintf(text, sizeof text, "/ip4/10.0.0.3/tcp/8000/p2p/%s/p2p-circuit",
             node_peer(w.m[VPS].node));
    assert_int_equal(multiaddr_parse(bytes_str(text), &addr), 0);
    struct bytes view = multiaddr_bytes(&addr);
    struct p2p_connect c = {
        .peer = peer, .addrs = &view, .addr_count = 1, .timeout_us = 5 * S, .done = on_connected};
    p2p_host_connect(w.m[CONSUMER].node->host, &c);
    run_for(&w, 3 * S);
    ask_for(&w, VPS, "/conduit/v1/limits", "\"resource\":\"circuits\",\"used\":1");
    assert_true(feeds_are_known(feeds));
    assert_false(feeds_is_open(feeds, peer));
    assert_false(feeds_is_known(feeds, peer)); /* whoever searches for it asks again */
    feeds_wait(feeds, &news.waiter);
    feeds_want(feeds, peer);
    run_for(&w, S);
    assert_int_equal(news.count, 1);
    assert_false(feeds_is_open(feeds, peer));
    feeds_unwait(&news.waiter);
    run_for(&w, 60 * S);
    ask_for(&w, VPS, "/conduit/v1/limits", "\"resource\":\"circuits\",\"used\":0");
    world_fini(&w);
}

static char *long_question(size_t bytes)
{
    struct buf b;
    buf_init(&b, 0);
    (void)buf_append_str(&b, "{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"");
    for (size_t i = 0; i < bytes; i += 8)
        (void)buf_append_str(&b, "seldom, ");
    (void)buf_append_str(&b, "\"}]}");
    return buf_take_str(&b);
}

static void what_a_circuit_does_not_carry_ends_clearly(void **state)
{
    struct world w;
    world_up(&w, 2, "relay=limited");
    run_for(&w, 5 * S);
    assert_answered(&w);
    char *q = long_question(300000);
    char *r = ask(&w, CONSUMER, "POST", "/v1/chat/completions", q);
    assert_null(strstr(r, "HTTP/1.1 200"));
    assert_non_null(strstr(r, "\"error\""));
    free(r);
    free(q);
    run_for(&w, 10 * S);
    assert_answered(&w); /* the next one has a circuit of its own */
    world_fini(&w);
}

static void ones_own_relay_carries_it(void **state)
{
    struct world w;
    world_up(&w, 3, "relay=unlimited");
    run_for(&w, 5 * S);
    char *q = long_question(300000);
    char *r = ask(&w, CONSUMER, "POST", "/v1/chat/completions", q);
    if (!strstr(r, "HTTP/1.1 200"))
        fail_msg("%.2000s", r);
    free(r);
    free(q);
    ask_for(&w, VPS, "/conduit/v1/status", "\"serving\":\"unlimited\"");
    world_fini(&w);
}

static void a_node_that_relays_for_nobody(void **state)
{
    struct world w;
    world_up(&w, 4, "no_relay=true");
    run_for(&w, 5 * S);
    char *r = ask(&w, CONSUMER, "POST", "/v1/chat/completions", question);
    assert_null(strstr(r, "HTTP/1.1 200"));
    free(r);
    ask_for(&w, VPS, "/conduit/v1/status", "\"serving\":\"nobody\"");
    world_fini(&w);
}

static void another_relay_takes_over(void **state)
{
    struct world w;
    const char *options[] = {"bootstrap=10.0.0.3:8000", NULL};
    world_up(&w, 5, "relay=unlimited");
    machine_up(&w, OTHER_VPS, "10.0.0.4", options);
    p2p_host_set_reach(w.m[OTHER_VPS].node->host, P2P_REACH_PUBLIC);
    run_for(&w, 30 * S);
    assert_answered(&w);
    struct relay_held_view v;
    assert_true(relay_client_look(w.m[PROVIDER].node->relay.client, 1, &v)); /* two places */
    loop_virtual_crash(w.v, w.m[VPS].loop, true);
    run_for(&w, 20 * S);
    assert_answered(&w);
    world_fini(&w);
}

/* With the relay goes the circuit, while the question is on its way: the user is told at once, and not by silence. */
static void a_relay_that_dies_in_the_middle(void **state)
{
    struct world w;
    struct client c;
    world_up(&w, 8, "relay=unlimited");
    run_for(&w, 5 * S);
    assert_answered(&w);
    client_ask_with(&c, &w.m[CONSUMER], "POST", "/v1/chat/completions", "", question);
    run_for(&w, 50 * MS);
    assert_int_equal(buf_len(&c.in), 0);
    loop_virtual_crash(w.v, w.m[VPS].loop, true);
    uint64_t from = loop_virtual_now(w.v);
    client_wait(&w, &c, 30 * S);
    char *r = buf_take_str(&c.in);
    if (strncmp(r, "HTTP/1.1 50", 11) != 0 || !strstr(r, "\"error\""))
        fail_msg("%s", r);
    assert_true(loop_virtual_now(w.v) - from < 6 * S);
    free(r);
    client_fini(&c);
    world_fini(&w);
}

static size_t places_of(const struct machine *m)
{
    struct relay_held_view v;
    size_t n = 0;
    while (relay_client_look(m->node->relay.client, n, &v))
        n++;
    return n;
}

/* A relay has sixteen circuits for all whom it serves: a provider that many use asks for a place elsewhere. */
static void who_is_used_by_many_has_more_places(void **state)
{
    enum { FIRST_RELAY = 3, FIRST_CONSUMER = FIRST_RELAY + 3, CONSUMERS = RELAY_PER_PLACE };
    const char *options[] = {"bootstrap=10.0.0.3:8000", NULL};
    struct world w;
    world_up(&w, 10, "relay=limited");
    for (int i = FIRST_RELAY; i < FIRST_CONSUMER + CONSUMERS - 1; i++) {
        char ip[32];
        bool is_relay = i < FIRST_CONSUMER;
        snprintf(ip, sizeof ip, "10.0.0.%d", i + 1);
        machine_up(&w, i, ip, options);
        p2p_host_set_reach(w.m[i].node->host, is_relay ? P2P_REACH_PUBLIC : P2P_REACH_PRIVATE);
        for (int other = PROVIDER; other < i; other++)
            set_link(&w, i, other, !is_relay && (other == PROVIDER || other == CONSUMER));
    }
    run_for(&w, 30 * S);
    assert_int_equal(places_of(&w.m[PROVIDER]), RELAY_PLACES);
    assert_answered(&w);
    for (int i = FIRST_CONSUMER; i < w.count; i++) {
        char *r = ask(&w, i, "POST", "/v1/chat/completions", question);
        assert_non_null(strstr(r, "HTTP/1.1 200"));
        free(r);
    }
    run_for(&w, 5 * S);
    assert_int_equal(places_of(&w.m[PROVIDER]), RELAY_PLACES + 1);
    assert_int_equal(places_of(&w.m[CONSUMER]), RELAY_PLACES);
    world_fini(&w);
}

/* Those relays that it knew first everybody knew first: with many known it takes one place more. */
static void who_knows_many_relays_uses_one_more(void **state)
{
    const char *options[] = {"bootstrap=10.0.0.3:8000", NULL};
    struct world w;
    world_up(&w, 11, "relay=limited");
    for (int known = 2; known <= RELAY_MANY; known++) { /* the VPS is the first */
        char ip[32];
        snprintf(ip, sizeof ip, "10.0.0.%d", known + 2);
        machine_up(&w, known + 1, ip, options);
        p2p_host_set_reach(w.m[known + 1].node->host, P2P_REACH_PUBLIC);
        if (known == RELAY_MANY - 1) {
            run_for(&w, 300 * S); /* it meets them when it announces itself again */
            assert_int_equal(places_of(&w.m[PROVIDER]), RELAY_PLACES);
        }
    }
    run_for(&w, 600 * S);
    assert_int_equal(places_of(&w.m[PROVIDER]), RELAY_PLACES + 1);
    world_fini(&w);
}

/* With a hole punched nothing is left on the circuit, also what was begun on it and does not end. */
static void a_punched_hole_frees_the_relay(void **state)
{
    struct world w;
    struct p2p_peer_view v;
    world_up(&w, 9, "relay=unlimited");
    run_for(&w, 5 * S);
    assert_answered(&w);
    set_link(&w, PROVIDER, CONSUMER, false); /* the next punch will do */
    run_for(&w, 20 * S);
    const struct peer_id *provider = p2p_host_id(w.m[PROVIDER].node->host);
    assert_true(p2p_host_peer(w.m[CONSUMER].node->host, provider, &v));
    assert_false(v.is_relayed);
    for (int i = 0; i < 20; i++) {
        run_for(&w, 10 * S);
        assert_answered(&w);
    }
    assert_true(p2p_host_peer(w.m[CONSUMER].node->host, provider, &v));
    assert_int_equal(v.relayed_conns, 0);
    ask_for(&w, VPS, "/conduit/v1/status", "\"circuits\":0");
    ask_for(&w, CONSUMER, "/v1/models", "\"id\":\"echo\"");
    world_fini(&w);
}

/* As the reach changes, so does the part a node plays. */
static void the_part_follows_the_reach(void **state)
{
    struct world w;
    struct relay_held_view v;
    world_up(&w, 6, "relay=unlimited");
    run_for(&w, 5 * S);
    struct node *n = w.m[PROVIDER].node;
    assert_null(n->relay.serve);
    assert_true(relay_client_look(n->relay.client, 0, &v));
    p2p_host_set_reach(n->host, P2P_REACH_PUBLIC);
    run_for(&w, S);
    assert_non_null(n->relay.serve);
    assert_false(relay_client_look(n->relay.client, 0, &v));
    p2p_host_set_reach(n->host, P2P_REACH_LIKELY); /* both, until a stranger has tried */
    run_for(&w, 3 * S);
    assert_non_null(n->relay.serve);
    assert_true(relay_client_look(n->relay.client, 0, &v));
    ask_for(&w, PROVIDER, "/conduit/v1/status", "\"reach\":\"likely\"");
    p2p_host_set_reach(n->host, P2P_REACH_PRIVATE);
    run_for(&w, 3 * S);
    assert_null(n->relay.serve);
    assert_true(relay_client_look(n->relay.client, 0, &v));
    world_fini(&w);
}

static void wrong_options_are_said(void **state)
{
    static const char *const wrong[][3] = {
        {"relay", "sometimes", "relay: 'sometimes' is neither limited nor unlimited"},
        {"relay_for", "bob", "relay_for: 'bob' is not a peer id such as 12D3KooW…"},
    };
    for (size_t i = 0; i < 2; i++) {
        static char *const no_env[] = {"HOME=/nonexistent", NULL};
        struct world w;
        char why[CONFIG_WHY];
        world_init(&w, 7);
        struct machine *m = machine_add(&w);
        set(m, wrong[i][0], wrong[i][1]);
        assert_int_not_equal(node_start(m->loop, &m->cfg, no_env, "0", &m->node, why), 0);
        assert_string_equal(why, wrong[i][2]);
        world_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vps_routes_for_two_behind_nat),
        cmocka_unit_test(an_empty_feed_holds_no_circuit),
        cmocka_unit_test(what_a_circuit_does_not_carry_ends_clearly),
        cmocka_unit_test(ones_own_relay_carries_it),
        cmocka_unit_test(a_node_that_relays_for_nobody),
        cmocka_unit_test(another_relay_takes_over),
        cmocka_unit_test(a_relay_that_dies_in_the_middle),
        cmocka_unit_test(who_is_used_by_many_has_more_places),
        cmocka_unit_test(who_knows_many_relays_uses_one_more),
        cmocka_unit_test(a_punched_hole_frees_the_relay),
        cmocka_unit_test(the_part_follows_the_reach),
        cmocka_unit_test(wrong_options_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
