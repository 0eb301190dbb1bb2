// SPDX-License-Identifier: MIT
/* Kademlia over two hosts in virtual time: what a peer may do on its streams to us, and that the
 * table is filled from connected peers whenever it is empty. The asker plays its part by hand. */
#include "unit/p2p/host_world.h"

#include "codec/varint.h"
#include "dht/message.h"
#include "node/kad_port.h"

struct nodes {
    struct hosts h;
    struct kad_port kad[2];
};

static void nodes_up(struct nodes *n, uint64_t seed)
{
    struct asked a;
    hosts_init(&n->h, seed, 2);
    for (int i = 0; i < 2; i++) {
        struct machine *m = &n->h.m[i];
        assert_int_equal(kad_port_init(&n->kad[i], m->host, loop_sched(m->loop), loop_rng(m->loop)),
                         0);
    }
    ask_connect(&a, &n->h.m[0], &n->h.m[1].key.id, &n->h.m[1].addr_view, 1);
    hosts_run(&n->h, US_PER_S);
    assert_int_equal(a.err, 0);
}

static void nodes_down(struct nodes *n)
{
    for (int i = 0; i < 2; i++)
        kad_port_fini(&n->kad[i]);
    hosts_fini(&n->h);
}

/* A stream of Kademlia to machine 1, opened by machine 0. */
struct talk {
    struct p2p_open open;
    struct stream *s;
    struct buf in;
    int err, closed_err;
    bool is_done, is_over;
};

static void talk_readable(void *ctx)
{
    struct talk *t = ctx;
    uint8_t in[4096];
    ssize_t n;
    while ((n = stream_read(t->s, in, sizeof in)) > 0)
        buf_append(&t->in, in, (size_t)n);
    if (n == E_AGAIN)
        return;
    t->is_over = true;
    stream_want_read(t->s, false);
}

static void talk_writable(void *ctx)
{
}

static void talk_closed(void *ctx, int err)
{
    struct talk *t = ctx;
    t->is_over = true;
    t->closed_err = err;
}

static const struct stream_events talk_events = {talk_readable, talk_writable, talk_closed};

static void talk_opened(struct p2p_open *r, int err, struct stream *s)
{
    struct talk *t = CONTAINER_OF(r, struct talk, open);
    t->is_done = true;
    t->err = err;
    t->s = s;
    if (err)
        return;
    stream_listen(s, &talk_events, t);
    stream_want_read(s, true);
}

static void talk_begin(struct nodes *n, struct talk *t)
{
    *t = (struct talk){.open = {.peer = n->h.m[1].key.id,
                                .protocol = KAD_PROTOCOL,
                                .is_lazy = true,
                                .done = talk_opened}};
    buf_init(&t->in, 0);
    p2p_host_open(n->h.m[0].host, &t->open);
    hosts_run(&n->h, 50 * US_PER_MS);
    assert_int_equal(t->err, 0);
    assert_non_null(t->s);
}

static void talk_end(struct talk *t)
{
    if (t->s)
        stream_close(t->s);
    buf_fini(&t->in);
}

static void say(struct talk *t, struct bytes bytes)
{
    if (bytes.n)
        assert_int_equal(stream_write(t->s, bytes), bytes.n);
}

/* A whole request with its prefix. */
static void put_request(struct buf *out, enum dht_type type, struct bytes key)
{
    struct buf m;
    buf_init(&m, 0);
    dht_message_begin(&m, type, key);
    varint_append(out, buf_len(&m));
    buf_append_bytes(out, buf_view(&m));
    buf_fini(&m);
}

static int count_replies(struct talk *t)
{
    struct cursor c = cursor_of(buf_view(&t->in));
    struct bytes message;
    int n = 0;
    while (cursor_prefixed(&c, LIMIT_DHT_MESSAGE, &message) > 0)
        n++;
    assert_int_equal(cursor_left(&c), 0);
    return n;
}

static void requests_in_any_pieces(void **state)
{
    struct nodes n;
    struct buf two;
    nodes_up(&n, 1);
    buf_init(&two, 0);
    put_request(&two, DHT_FIND_NODE, peer_id_bytes(&n.h.m[0].key.id));
    put_request(&two, DHT_PING, BYTES_LIT(""));
    for (size_t cut = 0; cut <= buf_len(&two); cut++) {
        struct talk t;
        talk_begin(&n, &t);
        say(&t, bytes_first(buf_view(&two), cut));
        hosts_run(&n.h, 50 * US_PER_MS);
        say(&t, bytes_skip(buf_view(&two), cut));
        hosts_run(&n.h, 50 * US_PER_MS);
        assert_int_equal(count_replies(&t), 2);
        assert_false(t.is_over);
        talk_end(&t);
        hosts_run(&n.h, 50 * US_PER_MS);
        assert_int_equal(n.kad[1].served_count, 0);
    }
    buf_fini(&two);
    nodes_down(&n);
}

static void lengths_that_lie(void **state)
{
    static const struct bytes bad[] = {
        BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), /* no varint at all */
        BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),         /* 2^63 - 1 */
        BYTES_LIT("\x81\x80\x04"),                                 /* 64 KiB and one */
        BYTES_LIT("\x80\x00"),                                     /* not minimal */
        BYTES_LIT("\x02\x08\xff"),                                 /* no message */
        BYTES_LIT("\x02\x08\x00"),                                 /* PUT_VALUE */
        BYTES_LIT("\x02\x08\x09"),                                 /* no type that we know */
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct nodes n;
        struct talk t;
        nodes_up(&n, 10 + i);
        talk_begin(&n, &t);
        say(&t, bad[i]);
        hosts_run(&n.h, 100 * US_PER_MS);
        assert_true(t.is_over);
        assert_int_equal(t.closed_err, E_RESET);
        assert_int_equal(n.kad[1].served_count, 0);
        assert_true(p2p_host_is_connected(n.h.m[1].host, &n.h.m[0].key.id));
        talk_end(&t);
        nodes_down(&n);
    }
}

static void a_peer_gets_so_many_streams(void **state)
{
    struct nodes n;
    struct talk t[LIMIT_DHT_STREAMS + 2];
    int open = 0;
    nodes_up(&n, 2);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        talk_begin(&n, &t[i]);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        open += !t[i].is_over;
    assert_int_equal(open, LIMIT_DHT_STREAMS);
    assert_int_equal(n.kad[1].served_count, LIMIT_DHT_STREAMS);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        talk_end(&t[i]);
    hosts_run(&n.h, US_PER_S);
    talk_begin(&n, &t[0]); /* there is room again */
    assert_false(t[0].is_over);
    talk_end(&t[0]);
    nodes_down(&n);
}

static void a_request_has_a_minute(void **state)
{
    struct nodes n;
    struct talk t;
    nodes_up(&n, 3);
    talk_begin(&n, &t);
    say(&t, BYTES_LIT("\x20"));
    for (int i = 0; i < 9 && !t.is_over; i++) { /* a byte now and then is no progress */
        hosts_run(&n.h, 10 * US_PER_S);
        if (!t.is_over)
            say(&t, BYTES_LIT("\x08"));
    }
    assert_true(t.is_over);
    talk_end(&t);
    nodes_down(&n);
}

static void who_asks_too_much_is_cut_off(void **state)
{
    struct nodes n;
    struct talk t;
    struct buf many;
    nodes_up(&n, 4);
    talk_begin(&n, &t);
    buf_init(&many, 0);
    for (int i = 0; i < 2 * LIMIT_DHT_RATE; i++)
        put_request(&many, DHT_PING, BYTES_LIT(""));
    say(&t, buf_view(&many));
    hosts_run(&n.h, 100 * US_PER_MS);
    assert_true(t.is_over);
    assert_int_equal(t.closed_err, E_RESET);
    buf_fini(&many);
    talk_end(&t);
    nodes_down(&n);
}

static void note_found(void *ctx, const struct dht_peer *peer)
{
    struct dht_peer *found = ctx;
    assert_true(found->addr_count < 0); /* once */
    found->addr_count = peer->addr_count;
    if (peer->addr_count)
        assert_true(bytes_eq(peer->addrs[0], found->addrs[0]));
}

static void note_done(void *ctx, int err)
{
}

struct question {
    struct dht_rpc rpc;
    struct buf request;
    struct sched *sched;
    uint64_t answered_us;
    int err;
};

static void question_sent(struct dht_rpc *rpc)
{
}

static void question_done(struct dht_rpc *rpc, int err, struct bytes reply)
{
    struct question *q = CONTAINER_OF(rpc, struct question, rpc);
    q->answered_us = sched_now(q->sched);
    q->err = err;
}

/* Whoever is asked is known as a server: to a peer never met a question costs the handshakes of TCP and of Noise
 * and its own round trip, and none to ask whether Kademlia is spoken there. */
static void a_server_never_met_answers_in_three_round_trips(void **state)
{
    enum { RTT_US = 100000 };
    struct nodes n;
    struct loop_virtual_link far = {.delay_us = RTT_US / 2};
    hosts_init(&n.h, 22, 2);
    for (int i = 0; i < 2; i++) {
        struct machine *m = &n.h.m[i];
        assert_int_equal(kad_port_init(&n.kad[i], m->host, loop_sched(m->loop), loop_rng(m->loop)),
                         0);
    }
    loop_virtual_set_link(n.h.world, n.h.m[0].loop, n.h.m[1].loop, &far);
    struct question q = {
        .rpc = {.peer = {.id = n.h.m[1].key.id, .addrs = &n.h.m[1].addr_view, .addr_count = 1},
                .wants_reply = true,
                .sent = question_sent,
                .done = question_done},
        .sched = loop_sched(n.h.m[0].loop),
    };
    buf_init(&q.request, 0);
    dht_message_begin(&q.request, DHT_FIND_NODE, peer_id_bytes(&n.h.m[0].key.id));
    q.rpc.request = buf_view(&q.request);
    uint64_t asked_us = sched_now(q.sched);
    kad_port_send(&n.kad[0], &q.rpc);
    hosts_run(&n.h, US_PER_S);
    assert_int_equal(q.err, 0);
    assert_in_range(q.answered_us - asked_us, 3 * RTT_US, 3 * RTT_US + RTT_US / 4);
    buf_fini(&q.request);
    nodes_down(&n);
}

/* One that does not speak it after all: an error, and the connection stays. */
static void who_does_not_speak_it_is_an_error(void **state)
{
    struct nodes n;
    hosts_init(&n.h, 23, 2);
    struct machine *m = n.h.m;
    assert_int_equal(
        kad_port_init(&n.kad[0], m[0].host, loop_sched(m[0].loop), loop_rng(m[0].loop)), 0);
    struct question q = {
        .rpc = {.peer = {.id = m[1].key.id, .addrs = &m[1].addr_view, .addr_count = 1},
                .wants_reply = true,
                .sent = question_sent,
                .done = question_done},
        .sched = loop_sched(m[0].loop),
    };
    buf_init(&q.request, 0);
    dht_message_begin(&q.request, DHT_FIND_NODE, peer_id_bytes(&m[0].key.id));
    q.rpc.request = buf_view(&q.request);
    kad_port_send(&n.kad[0], &q.rpc);
    hosts_run(&n.h, US_PER_S);
    assert_int_not_equal(q.answered_us, 0);
    assert_int_not_equal(q.err, 0);
    assert_true(p2p_host_is_connected(m[0].host, &m[1].key.id));
    buf_fini(&q.request);
    kad_port_fini(&n.kad[0]);
    hosts_fini(&n.h);
}

/* A server that names our own loopback as another's address does not make us dial it. What lies on its own
 * network it may know. */
static void a_server_does_not_send_us_to_ourselves(void **state)
{
    struct nodes n;
    struct multiaddr m[3];
    struct bytes addrs[3];
    static const char *const said[] = {"/ip4/127.0.0.1/tcp/22", "/ip6/::ffff:0.0.0.0/tcp/22",
                                       "/ip4/10.0.0.9/tcp/9"};
    nodes_up(&n, 21);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(multiaddr_parse(bytes_str(said[i]), &m[i]), 0);
        addrs[i] = multiaddr_bytes(&m[i]);
    }
    struct dht_peer bogus = {.addrs = addrs, .addr_count = 3};
    struct key_pair key;
    key_pair_generate(&key, &n.h.rng);
    bogus.id = key.id;
    dht_peer_seen(n.kad[1].dht, &bogus);
    struct dht_peer found = {.addrs = &addrs[2], .addr_count = -1};
    dht_find_peer(n.kad[0].dht, &bogus.id, note_found, note_done, &found);
    hosts_run(&n.h, 5 * US_PER_S);
    assert_int_equal(found.addr_count, 1);
    struct known_peer *k = p2p_host_record(n.h.m[0].host, &bogus.id);
    for (int i = 0; k && i < k->addr_count; i++)
        assert_true(bytes_eq(bytes_of(k->addrs[i].p, k->addrs[i].n), addrs[2]));
    nodes_down(&n);
}

static void an_empty_table_is_filled_from_connected_peers(void **state)
{
    struct nodes n;
    nodes_up(&n, 5);
    struct dht *d = n.kad[0].dht;
    assert_int_equal(dht_stats(d).table_peers, 1);
    dht_peer_gone(d, &n.h.m[1].key.id, false);
    assert_int_equal(dht_stats(d).table_peers, 0);
    dht_bootstrap(d);
    hosts_run(&n.h, US_PER_S);
    assert_int_equal(dht_stats(d).table_peers, 1);
    nodes_down(&n);
}

int main(void)
{
    trace_set_all(getenv("TRACE") ? TRACE_DEBUG : TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_in_any_pieces),
        cmocka_unit_test(lengths_that_lie),
        cmocka_unit_test(a_peer_gets_so_many_streams),
        cmocka_unit_test(a_request_has_a_minute),
        cmocka_unit_test(who_asks_too_much_is_cut_off),
        cmocka_unit_test(a_server_never_met_answers_in_three_round_trips),
        cmocka_unit_test(who_does_not_speak_it_is_an_error),
        cmocka_unit_test(a_server_does_not_send_us_to_ourselves),
        cmocka_unit_test(an_empty_table_is_filled_from_connected_peers),
    };
    return cmocka_run_group_tests_name("kad port", tests, NULL, NULL);
}
