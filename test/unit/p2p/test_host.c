// SPDX-License-Identifier: MIT
/* Whole hosts in virtual time: they connect, identify, ping, echo, are cut off, are refused. */
#include "host_world.h"

static void two_hosts_connect_and_identify(void **state)
{
    struct hosts h;
    struct asked a;
    hosts_init(&h, 1, 2);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    assert_int_equal(a.done, 1);
    assert_int_equal(a.err, 0);
    assert_true(peer_id_eq(&a.who, &h.m[1].key.id));
    for (int i = 0; i < 2; i++) {
        struct machine *m = &h.m[i], *other = &h.m[1 - i];
        struct known_peer *k = p2p_host_record(m->host, &other->key.id);
        assert_int_equal(m->connected, 1);
        assert_int_equal(m->identified, 1);
        assert_true(k->is_identified);
        assert_string_equal(k->agent, "conduit/0.1.0");
        assert_string_equal(k->version, "/conduit/1.0.0");
        assert_true(known_peer_has_protocol(k, ECHO));
        assert_true(known_peer_has_protocol(k, "/ipfs/ping/1.0.0"));
        assert_true(k->addr_count >= 1);
        assert_true(p2p_host_is_connected(m->host, &other->key.id));
    }
    struct bytes seen;
    assert_int_equal(p2p_host_observed(h.m[0].host, 0, &seen), 1);
    hosts_fini(&h);
}

static void an_address_without_an_id_says_who_is_there(void **state)
{
    struct hosts h;
    struct asked a;
    hosts_init(&h, 2, 2);
    ask_connect(&a, &h.m[0], NULL, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    assert_int_equal(a.err, 0);
    assert_true(peer_id_eq(&a.who, &h.m[1].key.id));
    hosts_fini(&h);
}

static void a_wrong_id_is_an_error_that_names_both(void **state)
{
    struct hosts h;
    struct asked a;
    char text[PEER_ID_TEXT];
    hosts_init(&h, 3, 3);
    ask_connect(&a, &h.m[0], &h.m[2].key.id, &h.m[1].addr_view, 1); /* m1 is not m2 */
    hosts_run(&h, US_PER_S);
    assert_int_equal(a.done, 1);
    assert_int_equal(a.err, E_WRONG_PEER);
    assert_non_null(strstr(a.why, peer_id_text(&h.m[1].key.id, text, sizeof text)));
    assert_false(p2p_host_is_connected(h.m[0].host, &h.m[1].key.id));
    hosts_fini(&h);
}

/* A request that fails and is made again from inside its answer, as whoever tries once more does. */
struct stubborn {
    struct p2p_connect connect;
    struct machine *from;
    struct bytes at;
    struct peer_id to;
    int done;
    uint64_t done_us;
};

static void try_once_more(struct p2p_connect *r, int err, const struct peer_id *peer,
                          const char *why)
{
    struct stubborn *a = CONTAINER_OF(r, struct stubborn, connect);
    assert_int_equal(err, E_REFUSED);
    a->done_us = sched_now(loop_sched(a->from->loop));
    if (++a->done > 1)
        return;
    a->connect = (struct p2p_connect){
        .peer = &a->to, .addrs = &a->at, .addr_count = 1, .is_urgent = true, .done = try_once_more};
    p2p_host_connect(a->from->host, &a->connect);
}

static void who_tries_again_from_the_answer_is_answered(void **state)
{
    struct hosts h;
    struct multiaddr nobody;
    hosts_init(&h, 8, 2);
    struct stubborn a = {.from = &h.m[0], .to = h.m[1].key.id};
    assert_int_equal(multiaddr_parse(BYTES_LIT("/ip4/10.0.0.2/tcp/9"), &nobody), 0);
    a.at = multiaddr_bytes(&nobody);
    a.connect =
        (struct p2p_connect){.peer = &a.to, .addrs = &a.at, .addr_count = 1, .done = try_once_more};
    uint64_t begun_us = sched_now(loop_sched(h.m[0].loop));
    p2p_host_connect(h.m[0].host, &a.connect);
    hosts_run(&h, 40 * US_PER_S);
    assert_int_equal(a.done, 2);
    assert_true(a.done_us < begun_us + US_PER_S);
    assert_null(p2p_host_check(h.m[0].host));
    hosts_fini(&h);
}

static void nobody_there_is_said_soon_and_not_asked_again_at_once(void **state)
{
    struct hosts h;
    struct asked a;
    struct machine nowhere = {0};
    hosts_init(&h, 4, 2);
    machine_addr(&nowhere, "/ip4/10.0.0.2/tcp/9999");
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &nowhere.addr_view, 1);
    hosts_run(&h, US_PER_S / 2);
    assert_int_equal(a.err, E_REFUSED);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, 1000);
    assert_int_equal(a.err, E_UNAVAILABLE);
    hosts_run(&h, 2 * US_PER_S);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    assert_int_equal(a.err, 0);
    hosts_fini(&h);
}

static void many_waiters_share_one_dial(void **state)
{
    struct hosts h;
    struct asked a[20];
    hosts_init(&h, 5, 2);
    for (int i = 0; i < 20; i++)
        ask_echo(&a[i], &h.m[0], &h.m[1], ECHO, 1000);
    hosts_run(&h, 5 * US_PER_S);
    for (int i = 0; i < 20; i++)
        assert_true(a[i].client.is_complete);
    assert_int_equal(p2p_host_counts(h.m[0].host).dials, 1);
    assert_int_equal(p2p_host_counts(h.m[0].host).conns, 1);
    hosts_fini(&h);
}

static void sixty_four_streams_of_a_mebibyte(void **state)
{
    struct hosts h;
    struct asked *a = mem_array(64, sizeof *a);
    hosts_init(&h, 6, 2);
    for (int i = 0; i < 64; i++)
        ask_echo(&a[i], &h.m[0], &h.m[1], ECHO, MIB);
    hosts_run(&h, 60 * US_PER_S);
    for (int i = 0; i < 64; i++)
        assert_true(a[i].client.is_complete);
    assert_int_equal(h.m[1].served, 64);
    free(a);
    hosts_fini(&h);
}

static void ping_tells_the_round_trip(void **state)
{
    struct hosts h;
    struct asked a = {0};
    struct loop_virtual_link link = {.delay_us = 20000};
    hosts_init(&h, 7, 2);
    loop_virtual_set_link(h.world, h.m[0].loop, h.m[1].loop, &link);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    a = (struct asked){.ping = {.open = {.peer = h.m[1].key.id}, .done = asked_pinged}};
    p2p_host_ping(h.m[0].host, &a.ping);
    hosts_run(&h, US_PER_S);
    assert_int_equal(a.done, 1);
    assert_int_equal(a.err, 0);
    assert_in_range(a.rtt_us, 40000, 41000); /* lazy: one round trip with the agreement */
    hosts_fini(&h);
}

/* §4.3: rust needs 3 round trips for a connection and a byte. So do we. */
static void the_first_answer_takes_three_round_trips(void **state)
{
    struct hosts h;
    struct asked a;
    struct loop_virtual_link link = {.delay_us = 30000};
    hosts_init(&h, 8, 2);
    loop_virtual_set_link(h.world, h.m[0].loop, h.m[1].loop, &link);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 1);
    a.open.is_lazy = true;
    uint64_t start = loop_virtual_now(h.world);
    while (a.client.got == 0 && loop_virtual_now(h.world) < start + US_PER_S)
        hosts_run(&h, 1000);
    assert_in_range(loop_virtual_now(h.world) - start, 180000, 185000);
    hosts_fini(&h);
}

static void a_dead_process_is_noticed_at_once(void **state)
{
    struct hosts h;
    struct asked a;
    hosts_init(&h, 9, 2);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 1000);
    a.client.holds_finish = true;
    hosts_run(&h, US_PER_S);
    assert_int_equal(a.client.got, 1000);
    loop_virtual_crash(h.world, h.m[1].loop, true);
    hosts_run(&h, US_PER_S / 2);
    assert_int_equal(a.client.closed_err, E_CLOSED);
    assert_int_equal(h.m[0].disconnected, 1);
    hosts_fini(&h);
}

static void a_silent_host_is_noticed_within_a_second(void **state)
{
    struct hosts h;
    struct asked a;
    struct loop_virtual_link cut = {.delay_us = 1000, .is_cut = true};
    hosts_init(&h, 10, 2);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 1000);
    a.client.holds_finish = true;
    hosts_run(&h, US_PER_S);
    loop_virtual_set_link(h.world, h.m[0].loop, h.m[1].loop, &cut);
    hosts_run(&h, US_PER_S);
    assert_int_equal(a.client.closed_err, E_TIMEOUT);
    hosts_run(&h, 15 * US_PER_S); /* the other side was idle, and notices too */
    assert_int_equal(h.m[1].disconnected, 1);
    hosts_fini(&h);
}

/* What one connection finds out counts for all of them, for those that rest too. */
static void a_silent_host_is_soon_gone_with_all_its_connections(void **state)
{
    struct hosts h;
    struct asked a, b;
    struct loop_virtual_link cut = {.is_cut = true};
    hosts_init(&h, 22, 2);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    ask_connect(&b, &h.m[1], &h.m[0].key.id, &h.m[0].addr_view, 1);
    hosts_run(&h, 85 * US_PER_S);
    assert_int_equal(host_peer_get(h.m[0].host, &h.m[1].key.id)->conn_count, 2);
    loop_virtual_set_link(h.world, h.m[0].loop, h.m[1].loop, &cut);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 1000);
    hosts_run(&h, 5 * US_PER_S); /* one for the request, three of doubt */
    assert_int_equal(h.m[0].disconnected, 1);
    hosts_fini(&h);
}

static void both_dial_at_once(void **state)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct hosts h;
        struct asked a, b;
        hosts_init(&h, 100 + seed, 2);
        ask_echo(&a, &h.m[0], &h.m[1], ECHO, 100);
        ask_echo(&b, &h.m[1], &h.m[0], ECHO, 100);
        hosts_run(&h, 5 * US_PER_S);
        assert_true(a.client.is_complete && b.client.is_complete);
        struct host_peer *p = host_peer_get(h.m[0].host, &h.m[1].key.id);
        struct host_peer *q = host_peer_get(h.m[1].host, &h.m[0].key.id);
        assert_int_equal(p->conn_count, q->conn_count);
        if (p->conn_count == 2) /* both sides prefer the same one */
            assert_true(host_peer_conn(p)->is_dialer != host_peer_conn(q)->is_dialer);
        hosts_fini(&h);
    }
}

static void a_protocol_of_ours_is_pushed(void **state)
{
    struct hosts h;
    struct asked a;
    hosts_init(&h, 11, 2);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    assert_int_equal(p2p_host_handle(h.m[1].host, "/new/1", serve_echo, &h.m[1]), 0);
    assert_int_equal(p2p_host_handle(h.m[1].host, "/new/1", serve_echo, &h.m[1]), E_EXISTS);
    hosts_run(&h, US_PER_S);
    struct known_peer *k = p2p_host_record(h.m[0].host, &h.m[1].key.id);
    assert_int_equal(h.m[0].identified, 2);
    assert_true(known_peer_has_protocol(k, "/new/1"));
    p2p_host_unhandle(h.m[1].host, "/new/1");
    hosts_run(&h, US_PER_S);
    assert_false(known_peer_has_protocol(p2p_host_record(h.m[0].host, &h.m[1].key.id), "/new/1"));
    hosts_fini(&h);
}

static bool nobody(void *ctx, const struct peer_id *peer, const struct net_addr *from)
{
    return false;
}

static void the_gate_keeps_peers_out(void **state)
{
    struct hosts h;
    struct asked a;
    hosts_init(&h, 12, 2);
    p2p_host_gate(h.m[1].host, nobody, NULL);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 10);
    hosts_run(&h, 40 * US_PER_S);
    assert_int_not_equal(a.err + a.client.closed_err, 0);
    assert_int_equal(h.m[1].connected, 0);
    assert_int_equal(h.m[1].served, 0);
    hosts_fini(&h);
}

static void a_peer_that_is_not_admitted_is_not_dialled(void **state)
{
    struct hosts h;
    struct asked a;
    hosts_init(&h, 12, 2);
    p2p_host_gate(h.m[0].host, nobody, NULL);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    assert_true(a.done == 1 && a.err == E_DENIED);
    assert_non_null(strstr(a.why, "not admitted"));
    assert_int_equal(p2p_host_counts(h.m[0].host).dials, 0);
    /* Of an address alone nobody knows who is there before it has said so: then it is closed. */
    ask_connect(&a, &h.m[0], NULL, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    assert_int_equal(a.done, 1);
    assert_int_not_equal(a.err, 0);
    assert_int_equal(h.m[0].connected, 0);
    hosts_fini(&h);
}

static void idle_connections_are_closed_but_not_protected_ones(void **state)
{
    struct hosts h;
    struct asked a, b;
    hosts_init(&h, 13, 3);
    for (int i = 1; i < 3; i++)
        p2p_host_protect(h.m[i].host, &h.m[0].key.id, true);
    p2p_host_protect(h.m[0].host, &h.m[2].key.id, true);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    ask_connect(&b, &h.m[0], &h.m[2].key.id, &h.m[2].addr_view, 1);
    hosts_run(&h, 19 * 60 * US_PER_S);
    assert_true(p2p_host_is_connected(h.m[0].host, &h.m[1].key.id));
    hosts_run(&h, 80 * US_PER_S);
    assert_false(p2p_host_is_connected(h.m[0].host, &h.m[1].key.id));
    assert_true(p2p_host_is_connected(h.m[0].host, &h.m[2].key.id));
    hosts_fini(&h);
}

/* Whoever was dialled leaves it to the dialler to say that the connection is of no use. */
static void who_was_dialled_does_not_hang_up(void **state)
{
    struct hosts h;
    struct asked a;
    hosts_init(&h, 13, 2);
    p2p_host_protect(h.m[0].host, &h.m[1].key.id, true);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, 4 * 3600 * US_PER_S);
    assert_true(p2p_host_is_connected(h.m[1].host, &h.m[0].key.id));
    assert_int_equal(h.m[0].connected, 1);
    p2p_host_protect(h.m[0].host, &h.m[1].key.id, false);
    hosts_run(&h, 40 * 60 * US_PER_S);
    assert_false(p2p_host_is_connected(h.m[1].host, &h.m[0].key.id));
    hosts_fini(&h);
}

/* Unused, it rests: a ping every other minute instead of eleven; a stream or protection wakes it. */
static void unused_connections_rest(void **state)
{
    struct hosts h;
    struct asked a;
    hosts_init(&h, 13, 2);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, 50 * US_PER_S);
    struct conn *c = host_peer_conn(host_peer_get(h.m[0].host, &h.m[1].key.id));
    assert_false(c->keepalive.is_resting);
    hosts_run(&h, 30 * US_PER_S);
    assert_true(c->keepalive.is_resting);
    uint64_t frames = c->env->counts.frames_out;
    hosts_run(&h, 600 * US_PER_S);
    assert_in_range(c->env->counts.frames_out - frames, 4, 6);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 10);
    hosts_run(&h, US_PER_S);
    assert_true(a.client.is_complete);
    assert_false(c->keepalive.is_resting);
    hosts_run(&h, 60 * US_PER_S);
    assert_true(c->keepalive.is_resting);
    p2p_host_protect(h.m[0].host, &h.m[1].key.id, true);
    assert_false(c->keepalive.is_resting);
    hosts_run(&h, 60 * US_PER_S);
    assert_false(c->keepalive.is_resting);
    hosts_fini(&h);
}

/* A question with a deadline of its own asks along whether the peer is there, and the rest goes on at both ends; who
 * keeps a stream open watches over it, and the other end may rest. */
static void a_rest_outlives_brief_questions_and_the_streams_of_the_other(void **state)
{
    struct hosts h;
    struct asked a, b;
    hosts_init(&h, 14, 2);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, 100 * US_PER_S);
    struct conn *c = host_peer_conn(host_peer_get(h.m[0].host, &h.m[1].key.id));
    struct conn *other = host_peer_conn(host_peer_get(h.m[1].host, &h.m[0].key.id));
    assert_true(c->keepalive.is_resting && other->keepalive.is_resting);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 10);
    a.open.is_background = a.open.is_brief = true;
    hosts_run(&h, US_PER_S);
    assert_true(a.client.is_complete);
    assert_true(c->keepalive.is_resting && other->keepalive.is_resting);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 10);
    a.client.holds_finish = true;
    hosts_run(&h, 60 * US_PER_S);
    assert_false(c->keepalive.is_resting);
    assert_true(other->keepalive.is_resting);
    a.client.holds_finish = false;
    client_write(&a.client);
    hosts_run(&h, 90 * US_PER_S);
    assert_true(c->keepalive.is_resting);
    loop_virtual_crash(h.world, h.m[1].loop, false);
    ask_echo(&b, &h.m[0], &h.m[1], ECHO, 10);
    b.open.is_background = b.open.is_brief = true;
    hosts_run(&h, 4 * US_PER_S);
    assert_false(p2p_host_is_connected(h.m[0].host, &h.m[1].key.id));
    hosts_fini(&h);
}

/* A connection that does not rest asks by itself, and a question in between puts nothing off: 15 s, whatever else goes on. */
static void a_brief_question_puts_no_death_off(void **state)
{
    struct hosts h;
    struct asked a, b;
    hosts_init(&h, 15, 2);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 10);
    a.client.holds_finish = true;
    a.open.is_background = true;
    hosts_run(&h, 100 * US_PER_S);
    assert_int_equal(a.err, 0);
    loop_virtual_crash(h.world, h.m[1].loop, false);
    hosts_run(&h, 12 * US_PER_S);
    ask_echo(&b, &h.m[0], &h.m[1], ECHO, 10);
    b.open.is_background = b.open.is_brief = true;
    hosts_run(&h, 3 * US_PER_S);
    assert_false(p2p_host_is_connected(h.m[0].host, &h.m[1].key.id));
    hosts_fini(&h);
}

/* The first request after a rest, answered slowly by a peer that lives: not one moment is it taken for dead. */
static void a_slow_answer_after_a_rest(void **state)
{
    struct hosts h;
    struct asked a;
    hosts_init(&h, 17, 2);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, 100 * US_PER_S);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 10);
    a.client.holds_finish = true;
    hosts_run(&h, 20 * US_PER_S);
    assert_int_equal(h.m[0].disconnected, 0);
    assert_int_equal(a.client.closed_err, 0);
    hosts_fini(&h);
}

/* Who asks for something is watched over from the moment that we are at work for it. */
static void at_work_for_the_peer_it_does_not_rest(void **state)
{
    struct hosts h;
    struct asked a;
    hosts_init(&h, 16, 2);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, 100 * US_PER_S);
    struct conn *c = host_peer_conn(host_peer_get(h.m[1].host, &h.m[0].key.id));
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 10);
    a.client.holds_finish = true;
    hosts_run(&h, US_PER_S);
    assert_true(c->keepalive.is_resting);
    assert_false(list_is_empty(&c->streams));
    conn_stream_keep(&LIST_ENTRY(c->streams.next, struct conn_stream, link)->s);
    assert_false(c->keepalive.is_resting);
    hosts_run(&h, 60 * US_PER_S);
    assert_false(c->keepalive.is_resting);
    hosts_fini(&h);
}

static void the_best_address_wins_and_dead_ones_cost_little(void **state)
{
    struct hosts h;
    struct asked a;
    struct machine dead = {0}, black = {0};
    hosts_init(&h, 14, 3);
    struct loop_virtual_link cut = {.is_cut = true};
    loop_virtual_set_link(h.world, h.m[0].loop, h.m[2].loop, &cut);
    machine_addr(&dead, "/ip4/10.0.0.2/tcp/9999");  /* refuses */
    machine_addr(&black, "/ip4/10.0.0.3/tcp/8000"); /* says nothing */
    struct bytes addrs[] = {dead.addr_view, black.addr_view, h.m[1].addr_view};
    uint64_t start = loop_virtual_now(h.world);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, addrs, 3);
    while (!a.done && loop_virtual_now(h.world) < start + 20 * US_PER_S)
        hosts_run(&h, 1000);
    assert_int_equal(a.err, 0);
    assert_true(loop_virtual_now(h.world) - start < 60 * US_PER_MS);
    hosts_run(&h, 20 * US_PER_S);
    assert_true(list_is_empty(&h.m[0].host->dials));
    hosts_fini(&h);
}

static void a_request_times_out_and_can_be_taken_back(void **state)
{
    struct hosts h;
    struct asked a, b;
    struct loop_virtual_link cut = {.is_cut = true};
    hosts_init(&h, 15, 2);
    loop_virtual_set_link(h.world, h.m[0].loop, h.m[1].loop, &cut);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 10);
    ask_echo(&b, &h.m[0], &h.m[1], ECHO, 10);
    hosts_run(&h, US_PER_S);
    p2p_open_cancel(&b.open);
    hosts_run(&h, 60 * US_PER_S);
    assert_int_equal(a.done, 1);
    assert_int_equal(a.err, E_TIMEOUT);
    assert_int_equal(b.done, 0);
    hosts_fini(&h);
}

static void connecting_to_oneself_is_a_mistake(void **state)
{
    struct hosts h;
    struct asked a;
    hosts_init(&h, 16, 1);
    ask_connect(&a, &h.m[0], &h.m[0].key.id, &h.m[0].addr_view, 1);
    hosts_run(&h, US_PER_S);
    assert_int_equal(a.err, E_INVALID);
    ask_connect(&a, &h.m[0], NULL, &h.m[0].addr_view, 1); /* nor by an address alone */
    hosts_run(&h, US_PER_S);
    assert_int_not_equal(a.err, 0);
    hosts_fini(&h);
}

static void names_are_looked_up(void **state)
{
    struct hosts h;
    struct asked a;
    struct machine named = {0};
    hosts_init(&h, 17, 2);
    machine_addr(&named, "/dns4/nowhere.invalid/tcp/8000");
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &named.addr_view, 1);
    hosts_run(&h, 10 * US_PER_S);
    assert_int_equal(a.done, 1);
    assert_int_equal(a.err, E_DNS);
    assert_non_null(strstr(a.why, "nowhere.invalid"));
    hosts_fini(&h);
}

static void strangers_and_connections_are_counted(void **state)
{
    struct hosts h;
    struct p2p_host_cfg cfg;
    struct asked a, b;
    hosts_init(&h, 18, 2);
    cfg = p2p_host_cfg_default(NULL);
    cfg.connmgr.max_total = 1;
    struct machine *small = hosts_add(&h, &cfg);
    ask_connect(&a, &h.m[0], &small->key.id, &small->addr_view, 1);
    hosts_run(&h, US_PER_S);
    ask_connect(&b, &h.m[1], &small->key.id, &small->addr_view, 1);
    hosts_run(&h, 20 * US_PER_S);
    assert_int_equal(a.err, 0);
    assert_int_not_equal(b.err, 0);
    assert_int_equal(p2p_host_counts(small->host).refused_limit, 1);
    hosts_fini(&h);
}

static int closings;

static void on_closed(void *ctx)
{
    closings++;
}

static void closing_lets_streams_finish(void **state)
{
    struct hosts h;
    struct asked a, late;
    struct loop_virtual_link slow = {.delay_us = 50000};
    hosts_init(&h, 19, 2);
    loop_virtual_set_link(h.world, h.m[0].loop, h.m[1].loop, &slow);
    ask_echo(&a, &h.m[0], &h.m[1], ECHO, 200000);
    hosts_run(&h, 300000);
    closings = 0;
    assert_int_equal(a.done, 1);
    assert_false(a.client.is_complete);
    p2p_host_close(h.m[0].host, 10 * US_PER_S, on_closed, NULL);
    ask_echo(&late, &h.m[0], &h.m[1], ECHO, 10);
    hosts_run(&h, 20 * US_PER_S);
    assert_int_equal(closings, 1);
    assert_true(a.client.is_complete);
    assert_int_equal(late.err, E_CANCELLED);
    assert_int_equal(h.m[1].disconnected, 1);
    hosts_fini(&h);
}

static void peers_can_be_listed(void **state)
{
    struct hosts h;
    struct asked a[3];
    struct p2p_peer_view v;
    void *cursor = NULL;
    int seen = 0;
    hosts_init(&h, 20, 4);
    for (int i = 0; i < 3; i++)
        ask_connect(&a[i], &h.m[0], &h.m[i + 1].key.id, &h.m[i + 1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    while (p2p_host_peers(h.m[0].host, &cursor, &v)) {
        assert_false(v.is_inbound);
        assert_true(v.is_conduit);
        assert_int_equal(v.conns, 1);
        seen++;
    }
    assert_int_equal(seen, 3);
    p2p_host_disconnect(h.m[0].host, &h.m[1].key.id);
    hosts_run(&h, US_PER_S);
    assert_int_equal(h.m[0].disconnected, 1);
    assert_int_equal(h.m[1].disconnected, 1);
    hosts_fini(&h);
}

static void addresses_are_written_out(void **state)
{
    struct hosts h;
    const struct bytes *addrs;
    char text[200], want[200], id[PEER_ID_TEXT];
    struct multiaddr mine;
    hosts_init(&h, 21, 1);
    assert_int_equal(p2p_host_addrs(h.m[0].host, &addrs), 1);
    snprintf(want, sizeof want, "/ip4/10.0.0.1/tcp/8000/p2p/%s",
             peer_id_text(&h.m[0].key.id, id, sizeof id));
    assert_string_equal(p2p_host_addr_text(h.m[0].host, 0, text, sizeof text), want);
    assert_string_equal(p2p_host_addr_text(h.m[0].host, 1, text, sizeof text), "");
    assert_int_equal(multiaddr_parse(bytes_str("/dns/home.example/tcp/8000"), &mine), 0);
    assert_int_equal(p2p_host_add_addr(h.m[0].host, multiaddr_bytes(&mine)), 0);
    assert_int_equal(p2p_host_addrs(h.m[0].host, &addrs), 2);
    assert_true(bytes_eq(addrs[0], multiaddr_bytes(&mine))); /* the most useful first */
    p2p_host_remove_addr(h.m[0].host, multiaddr_bytes(&mine));
    assert_int_equal(p2p_host_addrs(h.m[0].host, &addrs), 1);
    assert_int_equal(p2p_host_listen(h.m[0].host, "/ip4/10.0.0.1/tcp/8000"), E_IN_USE);
    assert_int_equal(p2p_host_listen(h.m[0].host, "/ip4/10.0.0.1/udp/8000/quic-v1"), E_UNSUPPORTED);
    assert_int_equal(p2p_host_listen(h.m[0].host, "10.0.0.1:8000"), E_MALFORMED);
    hosts_fini(&h);
}

/* --- limits --- */

static void a_peer_gets_two_ping_streams(void **state)
{
    struct hosts h;
    struct asked a[4];
    int open = 0, refused = 0;
    hosts_init(&h, 30, 2);
    for (int i = 0; i < 4; i++) {
        ask_echo(&a[i], &h.m[0], &h.m[1], P2P_PING, 32);
        a[i].client.holds_finish = true;
    }
    hosts_run(&h, 5 * US_PER_S);
    for (int i = 0; i < 4; i++) {
        open += a[i].client.got == 32;
        refused += a[i].client.closed_err == E_RESET || a[i].err == E_RESET;
    }
    assert_int_equal(open, LIMIT_PING_INBOUND);
    assert_int_equal(refused, 4 - LIMIT_PING_INBOUND);
    hosts_run(&h, 70 * US_PER_S); /* and quiet ones are ended */
    assert_true(list_is_empty(&h.m[1].host->pings));
    hosts_fini(&h);
}

static void so_many_dials_and_no_more(void **state)
{
    struct hosts h;
    struct asked *a = mem_array(LIMIT_DIALS + 1, sizeof *a);
    struct key_pair key;
    struct loop_virtual_link cut = {.is_cut = true};
    hosts_init(&h, 31, 2);
    loop_virtual_set_link(h.world, h.m[0].loop, h.m[1].loop, &cut);
    for (int i = 0; i <= LIMIT_DIALS; i++) {
        key_pair_generate(&key, &h.rng);
        ask_connect(&a[i], &h.m[0], &key.id, &h.m[1].addr_view, 1);
    }
    hosts_run(&h, US_PER_S);
    assert_int_equal(a[0].done, 0);
    assert_int_equal(a[LIMIT_DIALS].err, E_BUSY);
    hosts_run(&h, 20 * US_PER_S);
    assert_int_equal(a[0].err, E_TIMEOUT);
    assert_int_equal(h.m[0].host->dial_count, 0);
    free(a);
    hosts_fini(&h);
}

static void so_many_protocols_and_no_more(void **state)
{
    struct hosts h;
    char name[32];
    int taken = 0;
    hosts_init(&h, 32, 1);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "/test/%d", i);
        taken += p2p_host_handle(h.m[0].host, name, serve_echo, &h.m[0]) == 0;
    }
    assert_int_equal(taken, HOST_HANDLERS_MAX - 4); /* identify, push, ping, echo */
    hosts_fini(&h);
}

static void freeing_in_the_middle_leaves_nothing(void **state)
{
    for (uint64_t at = 0; at < 8000; at += 500) {
        struct hosts h;
        struct asked a, b;
        struct machine named = {0};
        hosts_init(&h, 33, 2);
        machine_addr(&named, "/dns4/slow.example/tcp/8000");
        ask_echo(&a, &h.m[0], &h.m[1], ECHO, 100000);
        ask_connect(&b, &h.m[0], NULL, &named.addr_view, 1);
        hosts_run(&h, at);
        p2p_host_free(h.m[0].host);
        h.m[0].host = NULL;
        hosts_run(&h, 20 * US_PER_S);
        hosts_fini(&h);
    }
}

int main(void)
{
    trace_set_all(getenv("TRACE") ? TRACE_DEBUG : TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hosts_connect_and_identify),
        cmocka_unit_test(an_address_without_an_id_says_who_is_there),
        cmocka_unit_test(a_wrong_id_is_an_error_that_names_both),
        cmocka_unit_test(who_tries_again_from_the_answer_is_answered),
        cmocka_unit_test(nobody_there_is_said_soon_and_not_asked_again_at_once),
        cmocka_unit_test(many_waiters_share_one_dial),
        cmocka_unit_test(sixty_four_streams_of_a_mebibyte),
        cmocka_unit_test(ping_tells_the_round_trip),
        cmocka_unit_test(the_first_answer_takes_three_round_trips),
        cmocka_unit_test(a_dead_process_is_noticed_at_once),
        cmocka_unit_test(a_silent_host_is_noticed_within_a_second),
        cmocka_unit_test(a_silent_host_is_soon_gone_with_all_its_connections),
        cmocka_unit_test(both_dial_at_once),
        cmocka_unit_test(a_protocol_of_ours_is_pushed),
        cmocka_unit_test(the_gate_keeps_peers_out),
        cmocka_unit_test(a_peer_that_is_not_admitted_is_not_dialled),
        cmocka_unit_test(idle_connections_are_closed_but_not_protected_ones),
        cmocka_unit_test(who_was_dialled_does_not_hang_up),
        cmocka_unit_test(unused_connections_rest),
        cmocka_unit_test(a_slow_answer_after_a_rest),
        cmocka_unit_test(a_brief_question_puts_no_death_off),
        cmocka_unit_test(at_work_for_the_peer_it_does_not_rest),
        cmocka_unit_test(a_rest_outlives_brief_questions_and_the_streams_of_the_other),
        cmocka_unit_test(the_best_address_wins_and_dead_ones_cost_little),
        cmocka_unit_test(a_request_times_out_and_can_be_taken_back),
        cmocka_unit_test(connecting_to_oneself_is_a_mistake),
        cmocka_unit_test(names_are_looked_up),
        cmocka_unit_test(strangers_and_connections_are_counted),
        cmocka_unit_test(closing_lets_streams_finish),
        cmocka_unit_test(peers_can_be_listed),
        cmocka_unit_test(addresses_are_written_out),
        cmocka_unit_test(a_peer_gets_two_ping_streams),
        cmocka_unit_test(so_many_dials_and_no_more),
        cmocka_unit_test(so_many_protocols_and_no_more),
        cmocka_unit_test(freeing_in_the_middle_leaves_nothing),
    };
    return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
