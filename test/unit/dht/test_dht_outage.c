// SPDX-License-Identifier: MIT
/* What a DHT node does when its network was away, and what one machine with many names may ask. */
#include "dht_world.h"

#include "base/net.h"

/* --- our own network goes down --- */

/* Node 0 loses its network for `us`, and asks in vain meanwhile. */
static void outage(struct world *w, uint64_t us)
{
    struct told t = {0};
    w->nodes[0].is_silent = true;
    for (uint64_t at = 0; at < us; at += 10 * US_PER_S) {
        dht_find_providers(w->nodes[0].d, BYTES_LIT("k"), 0, NULL, on_done, &t);
        run_for(w, 10 * US_PER_S);
    }
    assert_int_equal(dht_stats(w->nodes[0].d).table_peers, 0);
    w->nodes[0].is_silent = false;
}

static void known_peers_are_asked_again_after_an_outage(void **state)
{
    struct world *w = world_new(12, 1);
    struct told t = {0};
    for (int i = 1; i < 12; i++)
        meet(&w->nodes[0], &w->nodes[i]);
    run_for(w, 10 * US_PER_S);
    w->nodes[0].is_silent = true; /* it is not told, and has to ask */
    dht_provide(w->nodes[3].d, BYTES_LIT("k"));
    outage(w, 300 * US_PER_S);
    run_for(w, 40 * US_PER_S);
    assert_true(dht_stats(w->nodes[0].d).table_peers >= 10);
    assert_int_equal(w->nodes[0].d->past.count, 0);
    dht_find_providers(w->nodes[0].d, BYTES_LIT("k"), 1, on_peer, on_done, &t);
    run_for(w, 5 * US_PER_S);
    assert_int_equal(t.peers, 1);
    assert_int_equal(t.err, 0);
    world_free(w);
}

/* How a search for what nobody provides ends, when so many of those we know do not answer. */
static int end_of_search(int silent)
{
    enum { KNOWN = 15 };
    struct world *w = world_new(1 + KNOWN, 3);
    struct told t = {0};
    w->fixed_rtt_us = 40000;
    for (int i = 1; i <= KNOWN; i++)
        meet(&w->nodes[0], &w->nodes[i]);
    run_for(w, 10 * US_PER_S);
    for (int i = 1; i <= silent; i++)
        w->nodes[i].is_silent = true;
    dht_find_providers(w->nodes[0].d, BYTES_LIT("k"), 0, on_peer, on_done, &t);
    run_for(w, 15 * US_PER_S);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.peers, 0);
    world_free(w);
    return t.err;
}

/* That nobody has it is known when those who would know have been heard. */
static void where_most_are_silent_nothing_is_known(void **state)
{
    assert_int_equal(end_of_search(0), 0);
    assert_int_equal(end_of_search(5), 0);
    assert_int_equal(end_of_search(11), E_TIMEOUT);
    assert_int_equal(end_of_search(14), E_TIMEOUT);
}

/* A user's question need not wait for the half minute. */
static void a_question_after_an_outage_is_answered_at_once(void **state)
{
    struct world *w = world_new(5, 2);
    struct told t = {0};
    for (int i = 1; i < 5; i++)
        meet(&w->nodes[0], &w->nodes[i]);
    run_for(w, 10 * US_PER_S);
    w->nodes[0].is_silent = true; /* it is not told, and has to ask */
    dht_provide(w->nodes[3].d, BYTES_LIT("k"));
    outage(w, 100 * US_PER_S);
    dht_find_providers(w->nodes[0].d, BYTES_LIT("k"), 1, on_peer, on_done, &t);
    run_for(w, 3 * US_PER_S);
    assert_int_equal(t.peers, 1);
    world_free(w);
}

static int lonely_calls;

static void lonely(void *ctx)
{
    struct node *n = ctx;
    struct dht_peer friend = peer_of(&n->w->nodes[1]);
    lonely_calls++;
    if (n->w->nodes[1].number)
        dht_peer_seen(n->d, &friend);
}

static void the_node_is_asked_for_whom_it_knows(void **state)
{
    struct world *w = world_new(3, 3);
    lonely_calls = 0;
    w->nodes[0].d->cfg.port.lonely = lonely;
    w->nodes[1].number = 0; /* it knows nobody yet */
    dht_bootstrap(w->nodes[0].d);
    run_for(w, 100 * US_PER_S);
    assert_in_range(lonely_calls, 3, 5); /* every half minute */
    assert_int_equal(dht_stats(w->nodes[0].d).table_peers, 0);
    w->nodes[1].number = 1;
    run_for(w, 40 * US_PER_S);
    assert_int_equal(dht_stats(w->nodes[0].d).table_peers, 1);
    int calls = lonely_calls;
    run_for(w, 3600 * US_PER_S); /* and no more */
    assert_int_equal(lonely_calls, calls);
    world_free(w);
}

static void so_many_silent_peers_are_remembered(void **state)
{
    struct dht_past p;
    struct dht_addrs addrs = {0};
    struct bytes v = BYTES_LIT("\x04\x0a\x00\x00\x01\x06\x0f\xa1");
    struct peer_id id = {0};
    dht_past_init(&p);
    dht_addrs_set(&addrs, &v, 1);
    for (int i = 0; i < 3 * LIMIT_DHT_PAST; i++) {
        uint8_t raw[34] = {0x12, 0x20, (uint8_t)i};
        peer_id_decode(bytes_of(raw, sizeof raw), &id);
        dht_past_keep(&p, &id, &addrs);
        dht_past_keep(&p, &id, &addrs); /* again: no second place */
    }
    assert_int_equal(p.count, LIMIT_DHT_PAST);
    assert_true(peer_id_eq(&LIST_ENTRY(p.peers.next, struct dht_past_peer, link)->id, &id));
    dht_past_drop(&p, &id);
    assert_int_equal(p.count, LIMIT_DHT_PAST - 1);
    dht_past_fini(&p);
    dht_addrs_fini(&addrs);
}

/* Who says that it is no server any more is not asked again. */
static void who_left_of_its_own_will_is_forgotten(void **state)
{
    struct world *w = world_new(2, 4);
    meet(&w->nodes[0], &w->nodes[1]);
    run_for(w, US_PER_S);
    outage(w, 100 * US_PER_S);
    assert_int_equal(w->nodes[0].d->past.count, 1);
    dht_peer_gone(w->nodes[0].d, &w->nodes[1].id, false);
    assert_int_equal(w->nodes[0].d->past.count, 0);
    world_free(w);
}

/* --- one machine, many names --- */

static int ask_from(struct node *me, uint32_t name, const char *ip)
{
    struct peer_id id;
    struct net_addr at;
    struct buf request, reply;
    uint8_t raw[34] = {0x12, 0x20, 0xbb, (uint8_t)(name >> 8), (uint8_t)name};
    peer_id_decode(bytes_of(raw, sizeof raw), &id);
    assert_int_equal(net_addr_parse_ip(ip, 4001, &at), 0);
    buf_init(&request, 0);
    buf_init(&reply, 0);
    dht_message_begin(&request, DHT_PING, BYTES_LIT(""));
    int err = dht_serve(me->d, &id, &at, buf_view(&request), &reply);
    buf_fini(&request);
    buf_fini(&reply);
    return err;
}

static void rate_is_limited_per_address(void **state)
{
    struct world *w = world_new(1, 1);
    struct node *me = &w->nodes[0];
    uint32_t name = 0;
    for (; name < LIMIT_DHT_RATE_IP; name++)
        assert_int_equal(ask_from(me, name, "203.0.113.7"), 0);
    assert_int_equal(ask_from(me, name, "203.0.113.7"), E_LIMIT);
    assert_int_equal(ask_from(me, name, "203.0.113.8"), 0);
    for (int i = 0; i < LIMIT_DHT_RATE_IP; i++)
        assert_int_equal(ask_from(me, name++, "2001:db8:0:1::1"), 0);
    assert_int_equal(ask_from(me, name, "2001:db8:0:1ff::1"), 0); /* another /56 */
    assert_int_equal(ask_from(me, name, "2001:db8:0:2::9"), E_LIMIT);
    for (int i = 0; i < 2 * LIMIT_DHT_RATE_IP; i++)
        assert_int_equal(ask_from(me, name++, "127.0.0.1"), 0);
    run_for(w, US_PER_S);
    assert_int_equal(ask_from(me, 1, "203.0.113.7"), 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_peers_are_asked_again_after_an_outage),
        cmocka_unit_test(where_most_are_silent_nothing_is_known),
        cmocka_unit_test(a_question_after_an_outage_is_answered_at_once),
        cmocka_unit_test(the_node_is_asked_for_whom_it_knows),
        cmocka_unit_test(so_many_silent_peers_are_remembered),
        cmocka_unit_test(who_left_of_its_own_will_is_forgotten),
        cmocka_unit_test(rate_is_limited_per_address),
    };
    return cmocka_run_group_tests_name("dht outage", tests, NULL, NULL);
}
