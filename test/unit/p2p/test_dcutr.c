// SPDX-License-Identifier: MIT
/* DCUtR: the message byte by byte, the machine step by step, and hosts whose relayed connection becomes
 * a direct one, or does not. */
#include "codec/pb.h"
#include "p2p/dcutr.h"
#include "p2p/punch.h"
#include "relay_world.h"

#define MS US_PER_MS
#define S  US_PER_S

/* --- the message --- */

static void a_message_byte_by_byte(void **state)
{
    struct dcutr_message m = {.type = DCUTR_CONNECT, .addr_count = 1}, back;
    struct buf b;
    m.addrs[0] = BYTES_LIT("\x04\x01\x02\x03\x04\x06\x0f\xa1");
    struct bytes want = BYTES_LIT("\x0c\x08\x64\x12\x08\x04\x01\x02\x03\x04\x06\x0f\xa1");
    buf_init(&b, 0);
    assert_int_equal(dcutr_encode(&m, &b), 0);
    assert_true(bytes_eq(buf_view(&b), want));
    assert_int_equal(dcutr_decode(bytes_skip(want, 1), &back), 0);
    assert_int_equal(back.type, DCUTR_CONNECT);
    assert_int_equal(back.addr_count, 1);
    assert_true(bytes_eq(back.addrs[0], m.addrs[0]));
    buf_clear(&b);
    m = (struct dcutr_message){.type = DCUTR_SYNC};
    assert_int_equal(dcutr_encode(&m, &b), 0);
    assert_true(bytes_eq(buf_view(&b), BYTES_LIT("\x03\x08\xac\x02")));
    for (size_t n = 0; n < 12; n++) { /* every cut */
        int err = dcutr_decode(bytes_first(bytes_skip(want, 1), n), &back);
        assert_int_equal(err, n == 2 ? 0 : E_MALFORMED);
    }
    buf_fini(&b);
}

static void what_is_no_message_is_refused(void **state)
{
    static uint8_t big[LIMIT_RELAY_MESSAGE + 1];
    static const struct bytes bad[] = {
        BYTES_LIT(""),
        BYTES_LIT("\x08\x00"),
        BYTES_LIT("\x08\x65"),
        BYTES_LIT("\x12\x00"),
        BYTES_LIT("\x08\x64\x0b"),
        BYTES_LIT("\x08\xe4\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    };
    struct dcutr_message m;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(dcutr_decode(bad[i], &m), E_MALFORMED);
    assert_int_equal(dcutr_decode(bytes_of(big, sizeof big), &m), E_TOO_BIG);
    struct buf b;
    buf_init(&b, 0);
    struct pb_writer w = pb_write(&b);
    pb_put_u64(&w, 1, DCUTR_CONNECT);
    for (int i = 0; i < 100; i++)
        pb_put_bytes(&w, 2, bytes_of(big, 10));
    assert_int_equal(dcutr_decode(buf_view(&b), &m), 0);
    assert_int_equal(m.addr_count, LIMIT_PUNCH_ADDRS);
    m = (struct dcutr_message){.type = DCUTR_CONNECT, .addr_count = 3};
    for (int i = 0; i < 3; i++)
        m.addrs[i] = bytes_of(big, 2000);
    buf_clear(&b);
    assert_int_equal(dcutr_encode(&m, &b), 0); /* what does not fit is left out */
    assert_int_equal(dcutr_decode(bytes_skip(buf_view(&b), 2), &m), 0);
    assert_int_equal(m.addr_count, 2);
    buf_fini(&b);
}

/* --- the machine --- */

static void b_punches_half_a_round_trip_after_sync(void **state)
{
    struct dcutr d;
    dcutr_begin(&d, false, S);
    assert_int_equal(dcutr_next(&d, S), DCUTR_DO_OPEN);
    assert_int_equal(dcutr_next(&d, S), DCUTR_DO_NOTHING);
    dcutr_opened(&d, S + 10 * MS);
    assert_int_equal(dcutr_next(&d, S + 10 * MS), DCUTR_DO_CONNECT);
    dcutr_received(&d, DCUTR_CONNECT, S + 90 * MS);
    assert_int_equal(dcutr_next(&d, S + 90 * MS), DCUTR_DO_SYNC);
    assert_int_equal(d.rtt_us, 80 * MS);
    assert_int_equal(dcutr_next(&d, S + 90 * MS), DCUTR_DO_NOTHING);
    assert_int_equal(dcutr_deadline(&d), S + 130 * MS);
    assert_int_equal(dcutr_next(&d, S + 130 * MS), DCUTR_DO_PUNCH);
    dcutr_connected(&d);
    assert_int_equal(dcutr_next(&d, S + 200 * MS), DCUTR_DO_END);
    assert_int_equal(d.err, 0);
    assert_int_equal(dcutr_deadline(&d), SCHED_NEVER);
}

static void a_punches_when_it_hears_sync(void **state)
{
    struct dcutr d;
    dcutr_accept(&d, 0);
    assert_int_equal(dcutr_next(&d, 0), DCUTR_DO_NOTHING);
    dcutr_received(&d, DCUTR_CONNECT, MS);
    assert_int_equal(dcutr_next(&d, MS), DCUTR_DO_CONNECT);
    dcutr_received(&d, DCUTR_SYNC, 80 * MS);
    assert_int_equal(dcutr_next(&d, 80 * MS), DCUTR_DO_PUNCH);
    dcutr_stream_lost(&d, E_CLOSED, 90 * MS); /* B is done with it */
    assert_int_equal(dcutr_next(&d, 90 * MS), DCUTR_DO_NOTHING);
    dcutr_dial_failed(&d, E_TIMEOUT, 5 * S);
    assert_int_equal(dcutr_next(&d, 5 * S), DCUTR_DO_END);
    assert_int_equal(d.err, E_TIMEOUT);
}

static void b_tries_three_times_and_no_more(void **state)
{
    struct dcutr d;
    uint64_t now = 0;
    dcutr_begin(&d, true, now);
    assert_int_equal(dcutr_next(&d, now), DCUTR_DO_DIAL);
    dcutr_dial_failed(&d, E_REFUSED, now);
    for (int i = 0; i < DCUTR_ATTEMPTS; i++) {
        assert_int_equal(dcutr_next(&d, now), DCUTR_DO_OPEN);
        dcutr_opened(&d, now);
        assert_int_equal(dcutr_next(&d, now), DCUTR_DO_CONNECT);
        dcutr_received(&d, DCUTR_CONNECT, now += 10 * MS);
        assert_int_equal(dcutr_next(&d, now), DCUTR_DO_SYNC);
        assert_int_equal(dcutr_next(&d, now += 5 * MS), DCUTR_DO_PUNCH);
        if (i == 1)
            dcutr_dial_failed(&d, E_REFUSED, now);
        else
            now += 5 * S; /* nothing comes of it */
    }
    assert_int_equal(dcutr_next(&d, now), DCUTR_DO_END);
    assert_int_equal(d.err, E_TIMEOUT);
}

static void what_comes_out_of_turn_ends_it(void **state)
{
    struct dcutr d;
    dcutr_begin(&d, false, 0);
    dcutr_next(&d, 0);
    dcutr_opened(&d, 0);
    dcutr_next(&d, 0);
    dcutr_received(&d, DCUTR_SYNC, 0); /* B says it, not A */
    assert_int_equal(dcutr_next(&d, 0), DCUTR_DO_END);
    assert_int_equal(d.err, E_PROTO);
    dcutr_accept(&d, 0);
    dcutr_received(&d, DCUTR_SYNC, 0);
    assert_int_equal(dcutr_next(&d, 0), DCUTR_DO_END);
    dcutr_accept(&d, 0);
    dcutr_received(&d, DCUTR_CONNECT, 0);
    dcutr_received(&d, DCUTR_CONNECT, 0);
    assert_int_equal(dcutr_next(&d, 0), DCUTR_DO_END);
}

static void each_step_has_its_time(void **state)
{
    struct dcutr d;
    dcutr_begin(&d, true, 0); /* nobody answers the dial */
    assert_int_equal(dcutr_next(&d, 0), DCUTR_DO_DIAL);
    assert_int_equal(dcutr_next(&d, 5 * S), DCUTR_DO_OPEN);
    assert_int_equal(dcutr_next(&d, 15 * S), DCUTR_DO_END); /* nor is a stream opened */
    assert_int_equal(d.err, E_TIMEOUT);
    dcutr_begin(&d, false, 0);
    dcutr_next(&d, 0);
    dcutr_opened(&d, 0);
    dcutr_next(&d, 0);
    assert_int_equal(dcutr_next(&d, 10 * S), DCUTR_DO_END);
    dcutr_accept(&d, 0);
    assert_int_equal(dcutr_next(&d, 10 * S), DCUTR_DO_END);
    dcutr_accept(&d, 0);
    dcutr_received(&d, DCUTR_CONNECT, 0);
    dcutr_next(&d, 0);
    assert_int_equal(dcutr_next(&d, 10 * S), DCUTR_DO_END);
    dcutr_accept(&d, 0);
    dcutr_stream_lost(&d, E_RESET, 0);
    assert_int_equal(dcutr_next(&d, 0), DCUTR_DO_END);
    assert_int_equal(d.err, E_RESET);
}

/* --- hosts --- */

struct punchers {
    struct relays r;
    struct punch *a, *b; /* consumer, provider */
    struct asked echo;
};

/* A relayed connection, and an echo over it. */
static void punchers_init(struct punchers *p, uint64_t seed)
{
    struct multiaddr m;
    relays_init(&p->r, seed, true, 1);
    p->a = punch_new(p->r.h.m[CONSUMER].host);
    p->b = punch_new(p->r.h.m[PROVIDER].host);
    ask_echo_at(&p->echo, &p->r.h.m[CONSUMER], &p->r.h.m[PROVIDER],
                relayed_addr(&p->r, FIRST, PROVIDER, &m), 1000);
    hosts_run(&p->r.h, 500 * MS);
    assert_true(p->echo.client.is_complete);
}

static void punchers_fini(struct punchers *p)
{
    punch_free(p->a);
    punch_free(p->b);
    relays_fini(&p->r);
}

static void assert_direct(struct punchers *p, bool is_direct)
{
    struct p2p_peer_view v;
    struct machine *a = &p->r.h.m[CONSUMER], *b = &p->r.h.m[PROVIDER];
    assert_true(p2p_host_peer(a->host, &b->key.id, &v));
    assert_int_equal(v.is_relayed, !is_direct);
    assert_true(p2p_host_peer(b->host, &a->key.id, &v));
    assert_int_equal(v.is_relayed, !is_direct);
}

/* The path opens only after B's dial of A's addresses has failed: what follows is the punch, and B's
 * dial and A's meet at the listeners of both. */
static void both_dial_and_are_connected(void **state)
{
    struct punchers p;
    punchers_init(&p, 21);
    assert_direct(&p, false);
    assert_int_equal(punch_look(p.b).running, 1);
    hosts_run(&p.r.h, 4 * S + 400 * MS); /* B's direct dial is given up after five seconds */
    assert_int_equal(punch_look(p.a).running, 0);
    while (punch_look(p.a).running == 0)
        hosts_run(&p.r.h, MS);
    relays_cut(&p.r, PROVIDER, CONSUMER, false);
    hosts_run(&p.r.h, 3 * S);
    assert_direct(&p, true);
    assert_int_equal(punch_look(p.a).succeeded, 1);
    assert_int_equal(punch_look(p.b).succeeded, 1);
    assert_int_equal(punch_look(p.a).running + punch_look(p.b).running, 0);
    struct asked a;
    uint64_t before = relay_serve_look(p.r.serve[FIRST]).bytes;
    ask_echo(&a, &p.r.h.m[CONSUMER], &p.r.h.m[PROVIDER], ECHO, MIB);
    hosts_run(&p.r.h, 5 * S);
    assert_true(a.client.is_complete);
    assert_true(relay_serve_look(p.r.serve[FIRST]).bytes < before + 10000);
    punchers_fini(&p);
}

static void who_can_be_dialled_is_dialled(void **state)
{
    struct punchers p;
    punchers_init(&p, 22);
    relays_cut(&p.r, PROVIDER, CONSUMER, false); /* while B dials A's own addresses */
    hosts_run(&p.r.h, 3 * S);
    assert_direct(&p, true);
    assert_int_equal(punch_look(p.b).succeeded, 1);
    assert_int_equal(punch_look(p.a).begun, 0);
    punchers_fini(&p);
}

static void where_it_cannot_be_done_the_relay_stays(void **state)
{
    struct punchers p;
    struct asked a;
    punchers_init(&p, 23);
    hosts_run(&p.r.h, 40 * S);
    assert_direct(&p, false);
    assert_int_equal(punch_look(p.b).failed, 1);
    assert_int_equal(punch_look(p.b).begun, 1);
    assert_int_equal(punch_look(p.a).begun, DCUTR_ATTEMPTS);
    assert_int_equal(punch_look(p.a).running + punch_look(p.b).running, 0);
    ask_echo(&a, &p.r.h.m[CONSUMER], &p.r.h.m[PROVIDER], ECHO, 1000);
    hosts_run(&p.r.h, 5 * S);
    assert_true(a.client.is_complete);
    hosts_run(&p.r.h, 60 * S); /* nor is it tried again on that connection */
    assert_int_equal(punch_look(p.b).begun, 1);
    punchers_fini(&p);
}

static void a_relay_that_dies_meanwhile(void **state)
{
    struct punchers p;
    punchers_init(&p, 24);
    hosts_run(&p.r.h, 5 * S);
    loop_virtual_crash(p.r.h.world, p.r.h.m[FIRST].loop, true);
    hosts_run(&p.r.h, 20 * S);
    assert_int_equal(punch_look(p.a).running + punch_look(p.b).running, 0);
    assert_false(p2p_host_is_connected(p.r.h.m[CONSUMER].host, &p.r.h.m[PROVIDER].key.id));
    punchers_fini(&p);
}

static void nonsense(void *ctx, struct stream *s, const struct peer_id *peer)
{
    (void)stream_write(s, BYTES_LIT("\x04what"));
    stream_close(s);
}

static void nonsense_ends_it(void **state)
{
    struct relays r;
    struct asked a;
    struct multiaddr m;
    relays_init(&r, 25, true, 1);
    struct punch *b = punch_new(r.h.m[PROVIDER].host);
    assert_int_equal(p2p_host_handle(r.h.m[CONSUMER].host, DCUTR_PROTOCOL, nonsense, NULL), 0);
    ask_echo_at(&a, &r.h.m[CONSUMER], &r.h.m[PROVIDER], relayed_addr(&r, FIRST, PROVIDER, &m), 10);
    hosts_run(&r.h, 10 * S);
    assert_true(a.client.is_complete);
    assert_int_equal(punch_look(b).failed, 1);
    assert_int_equal(punch_look(b).running, 0);
    punch_free(b);
    relays_fini(&r);
}

/* Each question is eight dials at addresses of the asker's choice: there is an end to them. */
static void who_asks_without_end_is_refused(void **state)
{
    enum { ASKED = 5 * LIMIT_PUNCH_BURST };
    struct relays r;
    struct multiaddr m;
    struct asked *a = mem_array(ASKED + 1, sizeof *a);
    relays_init(&r, 27, true, 1);
    struct punch *p = punch_new(r.h.m[CONSUMER].host);
    ask_echo_at(&a[ASKED], &r.h.m[CONSUMER], &r.h.m[PROVIDER],
                relayed_addr(&r, FIRST, PROVIDER, &m), 1000);
    hosts_run(&r.h, S);
    assert_true(a[ASKED].client.is_complete);
    for (int i = 0; i < ASKED; i++) {
        ask_echo(&a[i], &r.h.m[PROVIDER], &r.h.m[CONSUMER], DCUTR_PROTOCOL, 4);
        hosts_run(&r.h, 100 * MS);
    }
    assert_in_range(punch_look(p).begun, LIMIT_PUNCH_BURST, LIMIT_PUNCH_BURST + 1);
    hosts_run(&r.h, 5 * 60 * S);
    uint64_t before = punch_look(p).begun;
    ask_echo_at(&a[0], &r.h.m[CONSUMER], &r.h.m[PROVIDER], relayed_addr(&r, FIRST, PROVIDER, &m),
                10);
    hosts_run(&r.h, S);
    ask_echo(&a[1], &r.h.m[PROVIDER], &r.h.m[CONSUMER], DCUTR_PROTOCOL, 4);
    hosts_run(&r.h, S);
    assert_int_equal(punch_look(p).begun, before + 1); /* and later it may try again */
    assert_int_equal(punch_look(p).running, 0);
    punch_free(p);
    relays_fini(&r);
    free(a);
}

/* Over a direct connection there is nothing to do for it, whoever asks. */
static void over_a_direct_connection_it_is_refused(void **state)
{
    struct hosts h;
    struct asked a;
    hosts_init(&h, 26, 2);
    struct punch *p = punch_new(h.m[1].host);
    ask_echo(&a, &h.m[0], &h.m[1], DCUTR_PROTOCOL, 4);
    hosts_run(&h, S);
    assert_int_equal(a.err, E_RESET);
    assert_int_equal(punch_look(p).begun, 0);
    punch_free(p);
    hosts_fini(&h);
}

/* --- dialling from the listening port --- */

/* The far end of a TCP simultaneous open: it speaks as a dialler, once; then it listens no more. */
struct mirror {
    struct loop_listener *ln;
    struct stream *held[4];
    uint16_t ports[4];
    int count;
};

static void mirrored(void *ctx, struct stream *s)
{
    static const uint8_t hello[] = "\x13/multistream/1.0.0\n\x07/noise\n\x00\x20"
                                   "0123456789abcdef0123456789abcdef";
    struct mirror *m = ctx;
    m->ports[m->count] = s->remote.port;
    m->held[m->count++] = s;
    (void)stream_write(s, bytes_of(hello, sizeof hello - 1));
}

static void who_meets_a_dialler_tries_from_another_port(void **state)
{
    struct hosts h;
    struct asked a;
    struct mirror m = {0};
    struct loop_listen_options o = {.accepted = mirrored, .ctx = &m};
    struct p2p_host_cfg cfg;
    struct key_pair key;
    struct machine nowhere = {0};
    struct net_addr ip;
    hosts_init(&h, 27, 0);
    net_addr_parse_ip("198.51.100.1", 0, &ip);
    struct loop *near = loop_virtual_machine(h.world, &ip);
    net_addr_parse_ip("198.51.100.2", 8000, &o.at);
    ip = o.at;
    ip.port = 0;
    struct loop *far = loop_virtual_machine(h.world, &ip);
    assert_int_equal(loop_listen(far, &o, &m.ln), 0);
    key_pair_generate(&key, &h.rng);
    cfg = p2p_host_cfg_default(&key);
    struct p2p_host *host = p2p_host_new(&cfg, near);
    assert_int_equal(p2p_host_listen(host, "/ip4/0.0.0.0/tcp/8000"), 0);
    machine_addr(&nowhere, "/ip4/198.51.100.2/tcp/8000");
    a = (struct asked){.connect = {.addrs = &nowhere.addr_view,
                                   .addr_count = 1,
                                   .timeout_us = S,
                                   .done = asked_connected}};
    p2p_host_connect(host, &a.connect);
    hosts_run(&h, 2 * S);
    assert_int_equal(a.done, 1);
    assert_int_not_equal(a.err, 0);
    assert_int_equal(m.count, 2);
    assert_int_equal(m.ports[0], 8000);
    assert_int_not_equal(m.ports[1], 8000);
    for (int i = 0; i < m.count; i++)
        stream_close(m.held[i]);
    loop_listener_close(m.ln);
    p2p_host_free(host);
    hosts_fini(&h);
}

/* Who is known to be reachable needs no mapping, and on the own network there is none. */
static void near_ones_are_dialled_from_any_port(void **state)
{
    struct hosts h;
    struct asked a;
    struct p2p_peer_view v;
    hosts_init(&h, 28, 2);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, S);
    assert_true(p2p_host_peer(h.m[1].host, &h.m[0].key.id, &v));
    assert_int_not_equal(v.remote.port, 8000);
    hosts_fini(&h);
}

int main(void)
{
    trace_set_all(TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_byte_by_byte),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(b_punches_half_a_round_trip_after_sync),
        cmocka_unit_test(a_punches_when_it_hears_sync),
        cmocka_unit_test(b_tries_three_times_and_no_more),
        cmocka_unit_test(what_comes_out_of_turn_ends_it),
        cmocka_unit_test(each_step_has_its_time),
        cmocka_unit_test(both_dial_and_are_connected),
        cmocka_unit_test(who_can_be_dialled_is_dialled),
        cmocka_unit_test(where_it_cannot_be_done_the_relay_stays),
        cmocka_unit_test(a_relay_that_dies_meanwhile),
        cmocka_unit_test(nonsense_ends_it),
        cmocka_unit_test(who_asks_without_end_is_refused),
        cmocka_unit_test(over_a_direct_connection_it_is_refused),
        cmocka_unit_test(who_meets_a_dialler_tries_from_another_port),
        cmocka_unit_test(near_ones_are_dialled_from_any_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
