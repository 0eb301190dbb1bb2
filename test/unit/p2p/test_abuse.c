// SPDX-License-Identifier: MIT
/* Peers that mean harm, against whole hosts; and where each row of the ledger's table and each advisory
 * that names a libp2p is exceeded. What is not in this file is in the one named.
 *
 *   resource                             exceeded by
 *   -----------------------------------  ---------------------------------------------------------------
 *   unproved connections, all / per IP   test_host_limits: total_of_the_unproved, eight_unproved_…;
 *                                        silent_connections_give_way; test/e2e/test_flood.py with 10,000
 *   time for the upgrade, the hello      test_conn: who_is_slow_…, who_says_nothing_…; test/e2e/test_bad.py
 *   connections, all / per peer / per IP test_host_ledger: connections_of_all, …_of_an_address;
 *                                        test_host_limits: eight_connections_of_one_peer
 *   streams of a connection              test_conn: a_stranger_gets_thirty_two_streams;
 *                                        a_conduit_node_gets_4096_and_no_more
 *   … of a peer, IP, protocol, all       test_host_ledger: streams_of_…
 *   agreement on a protocol, 10 s, 1 KiB a_stream_that_agrees_on_nothing; test_mss: longest_line_…
 *   identify, its parts and its rate     test_identify: a_message_is_bounded; test_host_limits: pushes_…
 *   kad message, streams, rates          test_message: limits; test_kad_port; test_dht: rate_is_…
 *   relay message, circuits              test_relay_message, test_relay_server
 *   HTTP head, body, target              test_http1, test/e2e/test_bad.py
 *   yamux frame body                     test_yamux_abuse: ghsa_vxx9_2994_q338_oversize_syn
 *   unread bytes, connection / all       test_yamux_pair (budgets); test_host_ledger: bytes_that_nobody_…
 *   providers of a key, keys, per peer   test_table: provider_limits, key_limit
 *   address book                         test_identify: addresses_expire_and_are_bounded, the_book_…
 *   accept rate                          test_host_limits: a_burst_of_twenty_and_then_five_a_second
 *
 *   advisory                             what it was, and the test of that name
 *   -----------------------------------  ---------------------------------------------------------------
 *   GHSA-vxx9-2994-q338                  rust-yamux, oversize SYN          test_yamux_abuse
 *   GHSA-4w32-2493-32g7                  rust-yamux, credit overflows      test_yamux_abuse
 *   CVE-2024-32984                       rust-yamux, answers nobody reads  test_yamux_abuse
 *   CVE-2022-23492                       go-libp2p, streams without end    test_yamux_abuse
 *   CVE-2022-23486                       rust-libp2p, connections and streams without end       here
 *   CVE-2023-40583, GHSA-gcq9-qqwx-rgj3  go-libp2p, signed peer records    test_host_limits; here: bulk
 *   GHSA-xqvc-92cf-94j4                  py-libp2p, unbounded lengths      test_host_limits
 *   CVE-2023-26248                       kad, one key's neighbourhood      test/unit/dht/test_abuse.c
 *   GHSA-4f8r-922h-2vgv, CVE-2026-46679  js gossipsub    not applicable: we do not speak gossipsub
 *   GHSA-g3g5-x568-qvqx                  rust gossipsub  not applicable: we do not speak gossipsub
 */
#include "host_world.h"

#include "codec/envelope.h"
#include "p2p/conn_stream.h"
#include "p2p/identify.h"

static void is_well(struct hosts *h, struct machine *honest, struct machine *node)
{
    struct asked a;
    ask_echo(&a, honest, node, ECHO, 20 * 1000);
    hosts_run(h, 3 * US_PER_S);
    assert_true(a.client.is_complete);
    hosts_check(h);
}

/* --- CVE-2022-23486: connections and streams without end --- */

/* A peer that reconnects all the time and opens, on each connection, more streams than it may: what it holds
 * at any moment is what the limits say, and another peer is served as ever. */
static void cve_2022_23486_connections_and_streams_without_end(void **state)
{
    enum { STREAMS = 80, ROUNDS = 25 };
    struct hosts h;
    struct asked *a = mem_array(STREAMS, sizeof *a);
    hosts_init(&h, 1, 2);
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    cfg.protocol_version = "ipfs/0.1.0"; /* a stranger */
    cfg.conn.max_outbound = cfg.conn.max_outbound_unknown = 1000;
    struct machine *bad = hosts_add(&h, &cfg), *node = &h.m[0], *honest = &h.m[1];
    uint64_t most = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < STREAMS; i++) {
            ask_echo(&a[i], bad, node, ECHO, 100);
            a[i].client.holds_finish = true;
            a[i].open.timeout_us = US_PER_S / 2;
        }
        hosts_run(&h, US_PER_S);
        uint64_t in = node->host->ledger.system.count[RESOURCE_IN];
        most = in > most ? in : most;
        assert_true(node->host->ledger.system.memory < 1 * MIB);
        hosts_check(&h);
        p2p_host_disconnect(bad->host, &node->key.id);
        hosts_run(&h, US_PER_S / 10);
        for (int i = 0; i < STREAMS; i++)
            assert_true(a[i].done == 1);
    }
    assert_in_range(most, 20, LIMIT_YAMUX_STRANGER);
    is_well(&h, honest, node);
    hosts_fini(&h);
    free(a);
}

/* --- the streams of a Conduit node --- */

/* It has said that it is one, and opens more than such a one may: the rest is refused, the connection lives. */
static void a_conduit_node_gets_4096_and_no_more(void **state)
{
    enum { MANY = LIMIT_YAMUX_PEER + 200 };
    struct hosts h;
    struct asked *a = mem_array(MANY, sizeof *a);
    int served = 0, refused = 0;
    hosts_init(&h, 2, 2);
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    cfg.conn.max_inbound_peer = 3 * LIMIT_YAMUX_PEER; /* also what it believes that others take */
    cfg.limits.max[RESOURCE_CONN][RESOURCE_OUT] = RESOURCE_NO_LIMIT;
    struct machine *bad = hosts_add(&h, &cfg), *node = &h.m[0];
    ask_echo(&a[0], bad, node, ECHO, 1);
    hosts_run(&h, US_PER_S);
    for (int i = 0; i < MANY; i++) {
        ask_echo(&a[i], bad, node, ECHO, 1);
        a[i].client.holds_finish = true;
    }
    hosts_run(&h, 10 * US_PER_S);
    for (int i = 0; i < MANY; i++) {
        served += a[i].client.got == 1;
        refused += a[i].err == E_RESET || a[i].client.closed_err == E_RESET;
    }
    assert_in_range(served, LIMIT_YAMUX_PEER - 2,
                    LIMIT_YAMUX_PEER); /* an identify may be among them */
    assert_int_equal(served + refused, MANY);
    assert_true(p2p_host_is_connected(node->host, &bad->key.id));
    is_well(&h, &h.m[1], node);
    hosts_fini(&h);
    free(a);
}

/* --- a stream that never agrees on its protocol --- */

/* Streams that say half of a protocol's name and then nothing: ten seconds, and they are gone; the connection
 * stays, for one bad stream is no crime. */
static void a_stream_that_agrees_on_nothing(void **state)
{
    struct hosts h;
    struct asked a;
    struct conn_stream s[20];
    static const uint8_t half[] = "\x13/multistream/1.0.0\n\x40/ipfs/";
    hosts_init(&h, 3, 2);
    ask_echo(&a, &h.m[1], &h.m[0], ECHO, 10);
    hosts_run(&h, US_PER_S);
    struct conn *c = host_peer_conn(host_peer_get(h.m[1].host, &h.m[0].key.id));
    uint32_t before = h.m[0].host->ledger.system.count[RESOURCE_IN];
    memset(s, 0, sizeof s);
    for (size_t i = 0; i < ARRAY_LEN(s); i++) { /* below the host: raw streams of its connection */
        s[i].phase = CS_OPEN;
        s[i].is_lingering = 1; /* what comes back is of no interest */
        assert_int_equal(yamux_open(&c->yamux, &s[i].y), 0);
        assert_true(yamux_write(&s[i].y, bytes_of(half, sizeof half - 1)) > 0);
    }
    conn_mark(c);
    hosts_run(&h, 9 * US_PER_S);
    assert_int_equal(h.m[0].host->ledger.system.count[RESOURCE_IN], before + ARRAY_LEN(s));
    for (size_t i = 0; i < ARRAY_LEN(s); i++)
        yamux_release(&s[i].y); /* the attacker forgets them: no event of theirs reaches its host */
    hosts_run(&h, 2 * US_PER_S);
    assert_int_equal(h.m[0].host->ledger.system.count[RESOURCE_IN], before);
    assert_true(p2p_host_is_connected(h.m[0].host, &h.m[1].key.id));
    is_well(&h, &h.m[1], &h.m[0]);
    hosts_fini(&h);
}

/* --- unproved connections --- */

struct silent {
    struct loop_dial dial;
    struct stream *s;
    bool is_closed, says_hello;
};

static void silent_readable(void *ctx)
{
    struct silent *x = ctx;
    uint8_t in[64];
    ssize_t n;
    while ((n = stream_read(x->s, in, sizeof in)) > 0)
        ;
    x->is_closed |= n != E_AGAIN;
}

static void silent_closed(void *ctx, int err)
{
    ((struct silent *)ctx)->is_closed = true;
}

static void silent_nothing(void *ctx)
{
}

static void silent_dialled(struct loop_dial *d, int err, struct stream *s)
{
    static const struct stream_events events = {silent_readable, silent_nothing, silent_closed};
    struct silent *x = CONTAINER_OF(d, struct silent, dial);
    x->s = s;
    x->is_closed = err != 0;
    if (err)
        return;
    stream_listen(s, &events, x);
    stream_want_read(s, true);
    if (x->says_hello) { /* the first Noise message is any key */
        stream_write(s, BYTES_LIT("\x13/multistream/1.0.0\n\x07/noise\n"));
        stream_write(s, bytes_of((const uint8_t *)"\0\x20"
                                                  "0123456789abcdef0123456789abcdef",
                                 34));
    }
}

/* From this machine itself nobody is limited by address, so 256 silent connections fill all places; renewed
 * as they end. Who comes later and speaks is let in: the one silent for longest gives way. */
static void unproved_connections_give_way(bool says_hello, uint64_t wait_us)
{
    enum { FLOOD = 2000 };
    struct hosts h;
    struct net_addr at;
    struct silent *x = mem_array(FLOOD, sizeof *x);
    struct asked a;
    hosts_init(&h, 4, 2);
    assert_int_equal(net_addr_parse_ip("127.0.0.1", 8000, &at), 0);
    memset(x, 0, FLOOD * sizeof *x);
    for (int i = 0; i < FLOOD; i++) {
        x[i].dial.done = silent_dialled;
        x[i].says_hello = says_hello;
        loop_dial(h.m[0].loop, &x[i].dial, &at, NULL, 5 * US_PER_S);
    }
    hosts_run(&h, 100 * US_PER_MS);
    assert_int_equal(p2p_host_counts(h.m[0].host).conns_pending, LIMIT_CONNS_PENDING);
    hosts_run(&h, wait_us);
    ask_echo(&a, &h.m[1], &h.m[0], ECHO, 1000);
    hosts_run(&h, 300 * US_PER_MS);
    assert_true(a.client.is_complete); /* not after the five seconds that silence is given */
    hosts_check(&h);
    hosts_run(&h, 10 * US_PER_S);
    assert_int_equal(p2p_host_counts(h.m[0].host).conns_pending, 0);
    for (int i = 0; i < FLOOD; i++) {
        assert_true(x[i].is_closed);
        if (x[i].s)
            stream_close(x[i].s);
    }
    hosts_run(&h, US_PER_S);
    free(x);
    hosts_fini(&h);
}

static void silent_connections_give_way(void **state)
{
    unproved_connections_give_way(false, 600 * US_PER_MS);
}

static void those_that_stop_after_the_hello_give_way(void **state)
{
    unproved_connections_give_way(true, 3100 * US_PER_MS);
}

/* --- CVE-2023-40583, GHSA-gcq9-qqwx-rgj3: records without end --- */

static void pushed(struct p2p_open *r, int err, struct stream *s)
{
    struct asked *a = CONTAINER_OF(r, struct asked, open);
    a->done++;
    a->err = err;
    if (err)
        return;
    struct buf *out = (struct buf *)a->client.open.protocol; /* put there by who asks */
    (void)stream_write(s, buf_view(out));
    stream_finish(s);
    stream_close(s);
}

/* A peer pushes signed records with other addresses, as many as fit, again and again: its entry in the book
 * stays within its bounds and is the only one. */
static void ghsa_gcq9_qqwx_rgj3_records_in_bulk(void **state)
{
    struct hosts h;
    struct asked a;
    struct buf record, out;
    struct identify *id = MEM_NEW(struct identify);
    struct multiaddr addrs[LIMIT_PEER_RECORD_ADDRS];
    struct bytes views[LIMIT_PEER_RECORD_ADDRS];
    hosts_init(&h, 5, 2);
    ask_connect(&a, &h.m[1], &h.m[0].key.id, &h.m[0].addr_view, 1);
    hosts_run(&h, US_PER_S);
    struct p2p_host *node = h.m[0].host;
    size_t peers = map_count(&node->store.by_id);
    for (unsigned n = 0; n < 60; n++) {
        char text[64];
        for (unsigned i = 0; i < LIMIT_PEER_RECORD_ADDRS; i++) {
            snprintf(text, sizeof text, "/ip4/8.%u.%u.1/tcp/%u", n, i, 1000 + i);
            assert_int_equal(multiaddr_parse(bytes_str(text), &addrs[i]), 0);
            views[i] = multiaddr_bytes(&addrs[i]);
        }
        buf_init(&record, 0);
        buf_init(&out, 0);
        assert_int_equal(peer_record_seal(&h.m[1].key, UINT64_C(4000000000000000) + n, views,
                                          LIMIT_PEER_RECORD_ADDRS, &record),
                         0);
        id->signed_record = buf_view(&record);
        assert_int_equal(identify_encode(id, &out), 0);
        a = (struct asked){0};
        a.client.open.protocol = (const char *)&out;
        a.open = (struct p2p_open){.peer = h.m[0].key.id,
                                   .protocol = "/ipfs/id/push/1.0.0",
                                   .only_connected = true,
                                   .done = pushed};
        p2p_host_open(h.m[1].host, &a.open);
        hosts_run(&h, 6 * US_PER_S); /* within the rate of pushes */
        assert_int_equal(a.done, 1);
        buf_fini(&record);
        buf_fini(&out);
    }
    const struct known_peer *k = p2p_host_record(node, &h.m[1].key.id);
    assert_true(k->addr_count > LIMIT_PEER_RECORD_ADDRS / 2);
    assert_true(k->addr_count <= LIMIT_PEER_ADDRS);
    assert_int_equal(map_count(&node->store.by_id), peers);
    free(id);
    hosts_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cve_2022_23486_connections_and_streams_without_end),
        cmocka_unit_test(a_conduit_node_gets_4096_and_no_more),
        cmocka_unit_test(a_stream_that_agrees_on_nothing),
        cmocka_unit_test(silent_connections_give_way),
        cmocka_unit_test(those_that_stop_after_the_hello_give_way),
        cmocka_unit_test(ghsa_gcq9_qqwx_rgj3_records_in_bulk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
