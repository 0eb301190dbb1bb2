// SPDX-License-Identifier: MIT
/* Hosts and a relay in virtual time: places, circuits, limits, relays that die or lie. */
#include "p2p/relay_dial.h"
#include "relay_world.h"

static void two_that_cannot_reach_each_other_talk_over_a_relay(void **state)
{
    struct relays r;
    struct asked a;
    struct multiaddr m;
    struct p2p_peer_view v;
    relays_init(&r, 1, true, 1);
    struct machine *provider = &r.h.m[PROVIDER], *consumer = &r.h.m[CONSUMER];
    assert_true(relays_holds(&r, PROVIDER, FIRST));
    struct bytes addr = relayed_addr(&r, FIRST, PROVIDER, &m);
    assert_true(lists_addr(provider, relayed_addr(&r, FIRST, -1, &(struct multiaddr){0})));
    ask_echo_at(&a, consumer, provider, addr, MIB);
    hosts_run(&r.h, 10 * US_PER_S);
    assert_int_equal(a.err, 0);
    assert_true(a.client.is_complete);
    assert_true(p2p_host_peer(consumer->host, &provider->key.id, &v));
    assert_true(v.is_relayed);
    assert_false(v.is_limited);
    assert_true(p2p_host_peer(provider->host, &consumer->key.id, &v));
    assert_true(v.is_relayed && v.is_inbound);
    assert_int_equal(relay_serve_look(r.serve[FIRST]).circuits, 1);
    assert_true(relay_serve_look(r.serve[FIRST]).bytes > 2 * MIB);
    assert_int_equal(consumer->identified, 2); /* the relay, and the provider over it */
    relays_fini(&r);
}

/* A relay with too many connections keeps those at the ends of a circuit, though nothing passes. */
static void an_end_of_a_circuit_is_not_trimmed(void **state)
{
    struct relays r;
    struct asked a;
    struct multiaddr m;
    relays_init(&r, 41, true, 1);
    struct machine *provider = &r.h.m[PROVIDER], *consumer = &r.h.m[CONSUMER];
    ask_echo_at(&a, consumer, provider, relayed_addr(&r, FIRST, PROVIDER, &m), 1000);
    a.client.holds_finish = true;
    hosts_run(&r.h, 2 * US_PER_S);
    assert_int_equal(a.client.got, 1000);
    struct connmgr_cfg *cfg = &r.h.m[FIRST].host->connmgr.cfg;
    cfg->high = cfg->low = cfg->grace_us = cfg->silent_us = 0;
    hosts_run(&r.h, 9 * US_PER_S);
    assert_int_equal(relay_serve_look(r.serve[FIRST]).circuits, 1);
    assert_int_equal(p2p_host_counts(r.h.m[FIRST].host).trimmed, 0);
    stream_finish(a.client.s);
    hosts_run(&r.h, US_PER_S);
    assert_true(a.client.is_complete);
    relays_fini(&r);
}

static uint32_t conns_in(const struct map *scopes, struct bytes name)
{
    const struct resource_scope *s = map_get(scopes, name);
    return s ? s->count[RESOURCE_CONNS] : 0;
}

/* Over circuits nobody shares the budget of the relay's address: neither at who is called, nor at who calls. */
static void circuits_count_for_the_relay_not_for_its_address(void **state)
{
    struct relays r;
    struct asked a;
    struct multiaddr m;
    uint8_t group[8];
    struct net_addr relay_at;
    struct resource_row rows[64];
    char relay[PEER_ID_TEXT];
    relays_init(&r, 40, true, 1);
    struct machine *provider = &r.h.m[PROVIDER], *consumer = &r.h.m[CONSUMER];
    struct bytes id = peer_id_bytes(&r.h.m[FIRST].key.id);
    struct bytes addr = relayed_addr(&r, FIRST, PROVIDER, &m);
    ask_echo_at(&a, consumer, provider, addr, 1000);
    hosts_run(&r.h, 10 * US_PER_S);
    assert_int_equal(a.err, 0);
    assert_int_equal(net_addr_parse_ip("10.0.0.1", 0, &relay_at), 0);
    struct bytes address = bytes_of(group, net_addr_group(&relay_at, group));
    for (int i = PROVIDER; i <= CONSUMER; i++) {
        const struct resource_ledger *l = &r.h.m[i].host->ledger;
        assert_int_equal(conns_in(&l->by_ip, address), 1); /* the relay itself */
        assert_int_equal(conns_in(&l->by_relay, id), 1);
        assert_int_equal(l->system.count[RESOURCE_CONNS], 2);
    }
    peer_id_text(&r.h.m[FIRST].key.id, relay, sizeof relay);
    size_t n = p2p_host_limits(provider->host, rows, ARRAY_LEN(rows));
    bool is_shown = false;
    for (size_t i = 0; i < n; i++)
        is_shown |= strcmp(rows[i].scope, "relay") == 0 &&
                    strcmp(rows[i].resource, "connections") == 0 && rows[i].used == 1 &&
                    rows[i].limit == LIMIT_RELAY_CONNS && strcmp(rows[i].name, relay) == 0;
    assert_true(is_shown);
    relays_fini(&r);
}

/* The relayed address is told by identify: to know the relay's other friends is enough. */
static void a_relayed_address_spreads_by_identify(void **state)
{
    struct relays r;
    relays_init(&r, 2, true, 1);
    hosts_run(&r.h, US_PER_S);
    struct multiaddr m;
    struct bytes want = multiaddr_without_peer(relayed_addr(&r, FIRST, PROVIDER, &m));
    struct known_peer *k = p2p_host_record(r.h.m[FIRST].host, &r.h.m[PROVIDER].key.id);
    bool is_there = false;
    for (int i = 0; i < k->addr_count; i++)
        is_there |= bytes_eq(bytes_of(k->addrs[i].p, k->addrs[i].n), want);
    assert_true(is_there);
    relays_fini(&r);
}

static void a_place_is_refreshed_and_given_back(void **state)
{
    struct relays r;
    struct relay_held_view v;
    struct multiaddr m;
    relays_init(&r, 3, false, 1);
    assert_true(relay_client_look(r.client[PROVIDER], 0, &v));
    assert_int_equal(v.limit.bytes, LIMIT_RELAY_DATA);
    uint64_t first = v.until_us;
    hosts_run(&r.h, 45 * 60 * US_PER_S);
    assert_true(relay_client_look(r.client[PROVIDER], 0, &v));
    assert_true(v.until_us > first + 30 * 60 * US_PER_S);
    hosts_run(&r.h, 5 * 3600 * US_PER_S);
    assert_true(relays_holds(&r, PROVIDER, FIRST));
    assert_int_equal(relay_serve_look(r.serve[FIRST]).reservations, 1);
    assert_int_equal(relay_serve_look(r.serve[FIRST]).reserved, 1);
    relay_client_want(r.client[PROVIDER], 0);
    hosts_run(&r.h, US_PER_S);
    assert_false(relays_holds(&r, PROVIDER, FIRST));
    assert_false(lists_addr(&r.h.m[PROVIDER], relayed_addr(&r, FIRST, -1, &m)));
    relays_fini(&r);
}

static void a_dead_relay_is_replaced(void **state)
{
    struct relays r;
    struct asked a;
    struct multiaddr m;
    relays_init(&r, 4, true, 1);
    relays_serve(&r, SECOND, true);
    relays_connect(&r, PROVIDER, SECOND);
    hosts_run(&r.h, US_PER_S);
    assert_false(relays_holds(&r, PROVIDER, SECOND)); /* one was wanted */
    loop_virtual_crash(r.h.world, r.h.m[FIRST].loop, true);
    hosts_run(&r.h, 3 * US_PER_S);
    assert_false(relays_holds(&r, PROVIDER, FIRST));
    assert_true(relays_holds(&r, PROVIDER, SECOND));
    ask_echo_at(&a, &r.h.m[CONSUMER], &r.h.m[PROVIDER], relayed_addr(&r, SECOND, PROVIDER, &m),
                1000);
    hosts_run(&r.h, 5 * US_PER_S);
    assert_true(a.client.is_complete);
    relays_fini(&r);
}

static void two_places_and_either_will_do(void **state)
{
    struct relays r;
    struct asked a;
    struct multiaddr m[2];
    relays_init(&r, 5, true, 2);
    relays_serve(&r, SECOND, true);
    relays_connect(&r, PROVIDER, SECOND);
    hosts_run(&r.h, US_PER_S);
    assert_true(relays_holds(&r, PROVIDER, FIRST) && relays_holds(&r, PROVIDER, SECOND));
    struct bytes both[2] = {relayed_addr(&r, FIRST, PROVIDER, &m[0]),
                            relayed_addr(&r, SECOND, PROVIDER, &m[1])};
    p2p_host_learn(r.h.m[CONSUMER].host, &r.h.m[PROVIDER].key.id, both, 2, PEER_ADDR_TTL_GIVEN);
    loop_virtual_crash(r.h.world, r.h.m[FIRST].loop, false); /* silent: the dial only waits */
    ask_echo_at(&a, &r.h.m[CONSUMER], &r.h.m[PROVIDER], both[0], 1000);
    hosts_run(&r.h, 5 * US_PER_S);
    assert_true(a.client.is_complete);
    relays_fini(&r);
}

static void without_a_place_there_is_no_circuit(void **state)
{
    struct relays r;
    struct asked a;
    struct multiaddr m;
    relays_init(&r, 6, true, 0);
    struct bytes addr = relayed_addr(&r, FIRST, PROVIDER, &m);
    ask_connect(&a, &r.h.m[CONSUMER], &r.h.m[PROVIDER].key.id, &addr, 1);
    hosts_run(&r.h, 5 * US_PER_S);
    assert_int_equal(a.done, 1);
    assert_int_equal(a.err, E_UNAVAILABLE);
    assert_string_equal(a.why, "the peer has no reservation at the relay");
    /* nor at a node that is no relay */
    addr = relayed_addr(&r, SECOND, PROVIDER, &m);
    hosts_run(&r.h, 60 * US_PER_S);
    ask_connect(&a, &r.h.m[CONSUMER], &r.h.m[PROVIDER].key.id, &addr, 1);
    hosts_run(&r.h, 15 * US_PER_S);
    assert_int_equal(a.done, 1);
    assert_int_not_equal(a.err, 0);
    relays_fini(&r);
}

static void a_strangers_circuit_is_cut_in_the_middle_of_a_stream(void **state)
{
    struct relays r;
    struct asked a, b;
    struct multiaddr m;
    struct p2p_peer_view v;
    relays_init(&r, 7, false, 1);
    struct machine *provider = &r.h.m[PROVIDER], *consumer = &r.h.m[CONSUMER];
    struct bytes addr = relayed_addr(&r, FIRST, PROVIDER, &m);
    ask_echo_at(&a, consumer, provider, addr, 20000);
    hosts_run(&r.h, 5 * US_PER_S);
    assert_true(a.client.is_complete);
    assert_true(p2p_host_peer(consumer->host, &provider->key.id, &v));
    assert_true(v.is_relayed && v.is_limited);
    relays_slow(&r, CONSUMER, FIRST, 100000);
    ask_echo_at(&b, consumer, provider, addr, MIB);
    hosts_run(&r.h, 5 * US_PER_S);
    assert_false(b.client.is_complete);
    assert_int_equal(b.client.closed_err, E_CLOSED);
    assert_in_range(b.client.got, 1, LIMIT_RELAY_DATA);
    assert_false(p2p_host_is_connected(consumer->host, &provider->key.id));
    assert_int_equal(relay_serve_look(r.serve[FIRST]).cut, 1);
    assert_int_equal(relay_serve_look(r.serve[FIRST]).circuits, 0);
    ask_echo_at(&a, consumer, provider, addr, 1000); /* the next circuit has its own */
    hosts_run(&r.h, 5 * US_PER_S);
    assert_true(a.client.is_complete);
    hosts_run(&r.h, 115 * US_PER_S); /* and ends by time, or idle */
    hosts_run(&r.h, 10 * US_PER_S);
    assert_int_equal(relay_serve_look(r.serve[FIRST]).circuits, 0);
    relays_fini(&r);
}

static void direct_connections_are_preferred(void **state)
{
    struct relays r;
    struct asked a, b;
    struct multiaddr m;
    struct p2p_peer_view v;
    relays_init(&r, 8, true, 1);
    struct machine *provider = &r.h.m[PROVIDER], *consumer = &r.h.m[CONSUMER];
    struct bytes addr = relayed_addr(&r, FIRST, PROVIDER, &m);
    ask_echo_at(&a, consumer, provider, addr, 1000);
    hosts_run(&r.h, 5 * US_PER_S);
    assert_true(a.client.is_complete);
    uint64_t relayed = relay_serve_look(r.serve[FIRST]).bytes;
    relays_cut(&r, PROVIDER, CONSUMER, false);
    b = (struct asked){0};
    b.connect = (struct p2p_connect){.peer = &provider->key.id,
                                     .addrs = &provider->addr_view,
                                     .addr_count = 1,
                                     .is_direct = true,
                                     .done = asked_connected};
    p2p_host_connect(consumer->host, &b.connect);
    hosts_run(&r.h, US_PER_S);
    assert_int_equal(b.done, 1);
    assert_int_equal(b.err, 0);
    for (int i = 0; i < 2; i++) { /* of both sides */
        struct machine *from = i ? consumer : provider, *to = i ? provider : consumer;
        assert_true(p2p_host_peer(from->host, &to->key.id, &v));
        assert_false(v.is_relayed);
        assert_int_equal(v.conns, 2);
        assert_int_equal(v.relayed_conns, 1);
        ask_echo_at(&a, from, to, to->addr_view, 100000);
        hosts_run(&r.h, 5 * US_PER_S);
        assert_true(a.client.is_complete);
    }
    assert_true(relay_serve_look(r.serve[FIRST]).bytes < relayed + 20000);
    assert_int_equal(provider->connected, 2); /* the relay, and the consumer once */
    hosts_run(&r.h, 150 * US_PER_S);          /* the relayed one is left until idle */
    assert_int_equal(relay_serve_look(r.serve[FIRST]).circuits, 0);
    relays_fini(&r);
}

/* --- who misbehaves --- */

/* A stream of a protocol, bytes written to it, and what came back until it ended. */
struct raw {
    struct p2p_open open;
    struct stream *s;
    struct bytes send;
    uint8_t got[256];
    size_t n;
    int err, over;
};

static void raw_readable(void *ctx)
{
    struct raw *w = ctx;
    ssize_t n;
    while ((n = stream_read(w->s, w->got + w->n, sizeof w->got - w->n)) > 0)
        w->n += (size_t)n;
    w->over |= n == E_EOF;
    if (n != E_AGAIN)
        stream_want_read(w->s, false);
}

static void raw_writable(void *ctx)
{
}

static void raw_closed(void *ctx, int err)
{
    struct raw *w = ctx;
    w->err = err;
    w->over = 1;
}

static const struct stream_events raw_events = {raw_readable, raw_writable, raw_closed};

static void raw_opened(struct p2p_open *o, int err, struct stream *s)
{
    struct raw *w = CONTAINER_OF(o, struct raw, open);
    w->err = err;
    w->over = err != 0;
    if (err)
        return;
    w->s = s;
    stream_listen(s, &raw_events, w);
    stream_want_read(s, true);
    if (w->send.n)
        assert_int_equal(stream_write(s, w->send), w->send.n);
}

static void raw_send(struct raw *w, struct machine *from, struct machine *to, const char *protocol,
                     struct bytes send)
{
    *w = (struct raw){.send = send};
    w->open = (struct p2p_open){.peer = to->key.id,
                                .addrs = &to->addr_view,
                                .addr_count = 1,
                                .protocol = protocol,
                                .is_urgent = true,
                                .done = raw_opened};
    p2p_host_open(from->host, &w->open);
}

static void raw_end(struct raw *w)
{
    if (w->s)
        stream_close(w->s);
    w->s = NULL;
}

static void nonsense_is_answered_and_forgotten(void **state)
{
    static const struct {
        const char *what;
        struct bytes send, answer;
    } cases[] = {
        {"no protobuf", BYTES_LIT("\x02\x08\x80"), BYTES_LIT("\x05\x08\x02\x28\x90\x03")},
        {"a STATUS", BYTES_LIT("\x02\x08\x02"), BYTES_LIT("\x05\x08\x02\x28\x91\x03")},
        {"CONNECT to nobody", BYTES_LIT("\x02\x08\x01"), BYTES_LIT("\x05\x08\x02\x28\x90\x03")},
        {"too long", BYTES_LIT("\x81\x20"), BYTES_LIT("\x05\x08\x02\x28\x90\x03")},
        {"nobody has a place", BYTES_LIT("\x0a\x08\x01\x12\x06\x0a\x04\x00\x02hi"),
         BYTES_LIT("\x05\x08\x02\x28\xcc\x01")},
    };
    struct relays r;
    struct raw w;
    relays_init(&r, 9, true, 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        raw_send(&w, &r.h.m[CONSUMER], &r.h.m[FIRST], RELAY_HOP, cases[i].send);
        hosts_run(&r.h, US_PER_S);
        if (!w.over || w.n != cases[i].answer.n || memcmp(w.got, cases[i].answer.p, w.n) != 0)
            fail_msg("%s: %zu bytes came back", cases[i].what, w.n);
        raw_end(&w);
    }
    raw_send(&w, &r.h.m[CONSUMER], &r.h.m[FIRST], RELAY_HOP, BYTES_LIT("\x20half"));
    hosts_run(&r.h, 9 * US_PER_S);
    assert_false(w.over);
    hosts_run(&r.h, 2 * US_PER_S); /* who does not say what it wants is sent away */
    assert_true(w.over);
    raw_end(&w);
    relays_fini(&r);
}

static void a_circuit_nobody_asked_for_is_refused(void **state)
{
    static const uint8_t refused[] = {0x05, 0x08, 0x01, 0x20, 0xca, 0x01}; /* 202 */
    struct relays r;
    struct raw w;
    struct relay_message m = {.type = RELAY_CONNECT, .has_peer = true};
    struct buf b;
    relays_init(&r, 10, true, 1);
    m.peer = r.h.m[CONSUMER].key.id;
    buf_init(&b, 0);
    assert_int_equal(relay_stop_encode(&m, &b), 0);
    raw_send(&w, &r.h.m[SECOND], &r.h.m[PROVIDER], RELAY_STOP, buf_view(&b));
    hosts_run(&r.h, US_PER_S);
    assert_true(w.over);
    assert_int_equal(w.n, sizeof refused);
    assert_memory_equal(w.got, refused, sizeof refused);
    raw_end(&w);
    raw_send(&w, &r.h.m[SECOND], &r.h.m[PROVIDER], RELAY_STOP, BYTES_LIT("\x02\x08\x07"));
    hosts_run(&r.h, US_PER_S);
    assert_int_equal(w.n, 6);
    assert_int_equal(w.got[4], 0x90); /* 400 */
    raw_end(&w);
    buf_fini(&b);
    relays_fini(&r);
}

/* `n` streams of each of these machines to the relay or provider `to`, that say nothing; how many were refused. */
static int half_say(struct relays *r, struct raw *w, int n, int first, int last, int to,
                    const char *protocol)
{
    int refused = 0, count = 0;
    for (int from = first; from <= last; from++) {
        relays_connect(r, from, to);
        for (int i = 0; i < n; i++)
            raw_send(&w[count++], &r->h.m[from], &r->h.m[to], protocol, (struct bytes){0});
    }
    hosts_run(&r->h, 3 * US_PER_S);
    for (int i = 0; i < count; i++)
        refused += w[i].over;
    return refused;
}

static void end_all(struct raw *w, int n)
{
    for (int i = 0; i < n; i++)
        raw_end(&w[i]);
}

/* One that says half of many questions stands in nobody's way; nor do many. */
static void too_many_half_said_questions_are_refused(void **state)
{
    enum { ASKED = LIMIT_RELAY_HANDSHAKES_PEER + 20 };
    struct raw *w = mem_array(5 * ASKED, sizeof *w), again;
    struct relays r;
    relays_init(&r, 11, true, 0);
    assert_int_equal(half_say(&r, w, ASKED, CONSUMER, CONSUMER, FIRST, RELAY_HOP), 20);
    raw_send(&again, &r.h.m[SECOND], &r.h.m[FIRST], RELAY_HOP, BYTES_LIT("\x02\x08\x00"));
    hosts_run(&r.h, US_PER_S);
    assert_true(again.n > 10); /* a reservation: others are served meanwhile */
    raw_end(&again);
    end_all(w, ASKED);
    hosts_run(&r.h, 11 * US_PER_S);
    int refused =
        half_say(&r, w, LIMIT_RELAY_HANDSHAKES_PEER, PROVIDER, SECOND + 2, FIRST, RELAY_HOP);
    assert_int_equal(refused, 5 * LIMIT_RELAY_HANDSHAKES_PEER - LIMIT_RELAY_HANDSHAKES);
    end_all(w, 5 * LIMIT_RELAY_HANDSHAKES_PEER);
    hosts_run(&r.h, US_PER_S);
    raw_send(&again, &r.h.m[CONSUMER], &r.h.m[FIRST], RELAY_HOP, BYTES_LIT("\x02\x08\x00"));
    hosts_run(&r.h, US_PER_S);
    assert_true(again.n > 10); /* there is room again */
    raw_end(&again);
    free(w);
    relays_fini(&r);
}

/* Who is no relay of ours does not keep the circuits of those that are from arriving. */
static void strangers_do_not_stop_circuits(void **state)
{
    enum { ASKED = LIMIT_RELAY_HANDSHAKES };
    struct raw *w = mem_array(ASKED, sizeof *w);
    struct relays r;
    struct asked a;
    struct multiaddr m;
    relays_init(&r, 14, true, 1);
    assert_int_equal(half_say(&r, w, ASKED, SECOND, SECOND, PROVIDER, RELAY_STOP),
                     ASKED - LIMIT_RELAY_UNINVITED);
    ask_echo_at(&a, &r.h.m[CONSUMER], &r.h.m[PROVIDER], relayed_addr(&r, FIRST, PROVIDER, &m),
                1000);
    hosts_run(&r.h, 2 * US_PER_S);
    assert_true(a.client.is_complete);
    hosts_run(&r.h, 11 * US_PER_S); /* their time is over */
    end_all(w, ASKED);
    assert_int_equal(half_say(&r, w, LIMIT_RELAY_UNINVITED, SECOND, SECOND, PROVIDER, RELAY_STOP),
                     0);
    end_all(w, LIMIT_RELAY_UNINVITED);
    free(w);
    relays_fini(&r);
}

/* A relay that answers everything and then drops, or says what means nothing. */
static void drop(void *ctx, struct stream *s, const struct peer_id *peer)
{
    static const uint8_t ok[] = {0x04, 0x08, 0x02, 0x28, 0x64};
    assert_int_equal(stream_write(s, bytes_of(ok, sizeof ok)), sizeof ok);
    stream_close(s);
}

static void garbage(void *ctx, struct stream *s, const struct peer_id *peer)
{
    (void)stream_write(s, BYTES_LIT("\x03HTTP"));
    stream_close(s);
}

static void relays_that_lie_end_the_dial_soon(void **state)
{
    static const p2p_handler lies[] = {drop, garbage};
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        struct relays r;
        struct asked a;
        struct multiaddr m;
        relays_init(&r, 12, true, 0);
        assert_int_equal(p2p_host_handle(r.h.m[SECOND].host, RELAY_HOP, lies[i], NULL), 0);
        struct bytes addr = relayed_addr(&r, SECOND, PROVIDER, &m);
        ask_connect(&a, &r.h.m[CONSUMER], &r.h.m[PROVIDER].key.id, &addr, 1);
        relays_connect(&r, PROVIDER, SECOND);
        relay_client_want(r.client[PROVIDER], 2);
        hosts_run(&r.h, 5 * US_PER_S);
        assert_int_equal(a.done, 1);
        assert_int_not_equal(a.err, 0);
        assert_true(relays_holds(&r, PROVIDER, FIRST));
        assert_false(relays_holds(&r, PROVIDER, SECOND));
        relays_fini(&r);
    }
}

/* Its STOP is never answered: the asker is told within the time of one attempt. */
static void swallow(void *ctx, struct stream *s, const struct peer_id *peer)
{
    *(struct stream **)ctx = s;
}

struct held_streams {
    struct stream *v[8];
    size_t n;
};

static void swallow_all(void *ctx, struct stream *s, const struct peer_id *peer)
{
    struct held_streams *held = ctx;
    assert_true(held->n < ARRAY_LEN(held->v));
    held->v[held->n++] = s;
}

/* Whoever wants a place there, or to be connected over it, hears nothing: both end in time, and the place is elsewhere. */
static void a_relay_that_never_answers_ends_in_time(void **state)
{
    struct relays r;
    struct asked a;
    struct multiaddr m;
    struct held_streams held = {.n = 0};
    relays_init(&r, 21, true, 0);
    struct p2p_host *mute = r.h.m[SECOND].host;
    assert_int_equal(p2p_host_handle(mute, RELAY_HOP, swallow_all, &held), 0);
    struct bytes addr = relayed_addr(&r, SECOND, PROVIDER, &m);
    ask_connect(&a, &r.h.m[CONSUMER], &r.h.m[PROVIDER].key.id, &addr, 1);
    relays_connect(&r, PROVIDER, SECOND);
    relay_client_want(r.client[PROVIDER], 1);
    hosts_run(&r.h, 5 * US_PER_S);
    assert_true(held.n >= 1);
    hosts_run(&r.h, 15 * US_PER_S);
    assert_int_equal(a.done, 1);
    assert_int_equal(a.err, E_TIMEOUT);
    hosts_run(&r.h, 20 * US_PER_S);
    assert_true(relays_holds(&r, PROVIDER, FIRST));
    assert_false(relays_holds(&r, PROVIDER, SECOND));
    for (size_t i = 0; i < held.n; i++)
        stream_close(held.v[i]);
    relays_fini(&r);
}

static void a_target_that_does_not_answer_ends_in_time(void **state)
{
    struct relays r;
    struct asked a;
    struct multiaddr m;
    struct stream *held = NULL;
    relays_init(&r, 13, true, 1);
    relay_client_free(r.client[PROVIDER]);
    r.client[PROVIDER] = NULL;
    assert_int_equal(p2p_host_handle(r.h.m[PROVIDER].host, RELAY_STOP, swallow, &held), 0);
    struct bytes addr = relayed_addr(&r, FIRST, PROVIDER, &m);
    ask_connect(&a, &r.h.m[CONSUMER], &r.h.m[PROVIDER].key.id, &addr, 1);
    hosts_run(&r.h, 12 * US_PER_S);
    assert_non_null(held);
    assert_int_equal(a.done, 1);
    assert_int_equal(a.err, E_TIMEOUT);
    hosts_run(&r.h, 5 * US_PER_S);
    assert_int_equal(relay_serve_look(r.serve[FIRST]).circuits, 0);
    stream_close(held);
    relays_fini(&r);
}

static void no_relay_over_a_relay(void **state)
{
    struct relays r;
    struct asked a;
    struct raw w;
    struct multiaddr m;
    relays_init(&r, 14, true, 1);
    relays_serve(&r, PROVIDER, true); /* it serves, but is reached over the first only */
    struct machine *provider = &r.h.m[PROVIDER], *consumer = &r.h.m[CONSUMER];
    ask_echo_at(&a, consumer, provider, relayed_addr(&r, FIRST, PROVIDER, &m), 1000);
    hosts_run(&r.h, 5 * US_PER_S);
    assert_true(a.client.is_complete);
    raw_send(&w, consumer, provider, RELAY_HOP, BYTES_LIT("\x02\x08\x00"));
    hosts_run(&r.h, US_PER_S);
    assert_true(w.over);
    assert_int_equal(w.n, 6);
    assert_int_equal(w.got[4], 0xca); /* 202 */
    raw_end(&w);
    relays_fini(&r);
}

static void hosts_may_go_in_the_middle(void **state)
{
    for (int who = 0; who < 3; who++) {
        struct relays r;
        struct asked a, b;
        struct multiaddr m;
        relays_init(&r, 15, true, 1);
        struct machine *provider = &r.h.m[PROVIDER], *consumer = &r.h.m[CONSUMER];
        relays_slow(&r, CONSUMER, FIRST, 1000000);
        ask_echo_at(&a, consumer, provider, relayed_addr(&r, FIRST, PROVIDER, &m), 64 * MIB);
        hosts_run(&r.h, 600 * US_PER_MS);
        assert_true(a.client.got > 0);
        if (r.serve[who])
            relay_serve_free(r.serve[who]);
        if (r.client[who])
            relay_client_free(r.client[who]);
        r.serve[who] = NULL;
        r.client[who] = NULL;
        if (who == CONSUMER && a.client.s)
            stream_close(a.client.s);
        p2p_host_free(r.h.m[who].host);
        r.h.m[who].host = NULL;
        hosts_run(&r.h, 30 * US_PER_S);
        assert_false(a.client.is_complete);
        if (who == FIRST) { /* a dial that is still waiting when everything ends */
            ask_echo_at(&b, consumer, provider, relayed_addr(&r, SECOND, PROVIDER, &m), 10);
            hosts_run(&r.h, 1000);
        }
        relays_fini(&r);
    }
}

/* --- circuits on which nothing is said --- */

struct mute {
    struct relay_dial dial;
    struct stream *s;
};

static void nothing(void *ctx)
{
}

static void mute_closed(void *ctx, int err)
{
    struct mute *x = ctx;
    stream_close(x->s);
    x->s = NULL;
}

static void mute_dialled(struct relay_dial *d, int err, const char *why, struct stream *s,
                         const struct relay_limit *limit)
{
    static const struct stream_events events = {nothing, nothing, mute_closed};
    struct mute *x = CONTAINER_OF(d, struct mute, dial);
    x->s = s;
    if (s)
        stream_listen(s, &events, x);
}

/* Two strangers keep as many circuits waiting for their proof as there may be over the relay. */
static void mute_circuits_give_way_to_others(void **state)
{
    struct relays r;
    struct asked a;
    struct multiaddr m;
    struct mute x[LIMIT_CONNS_PENDING_RELAY + 8] = {0};
    relays_init(&r, 40, true, 1);
    struct p2p_host *provider = r.h.m[PROVIDER].host;
    struct bytes relay = peer_id_bytes(&r.h.m[FIRST].key.id);
    relays_connect(&r, 4, FIRST);
    relays_connect(&r, 5, FIRST);
    for (size_t i = 0; i < ARRAY_LEN(x); i++) {
        x[i].dial.done = mute_dialled;
        relay_dial_start(&x[i].dial, r.h.m[4 + i % 2].host, &r.h.m[FIRST].key.id,
                         &r.h.m[PROVIDER].key.id, 5 * US_PER_S);
        hosts_run(&r.h, 50 * US_PER_MS);
    }
    assert_true(connmgr_is_full(&provider->connmgr, relay));
    ask_echo_at(&a, &r.h.m[CONSUMER], &r.h.m[PROVIDER], relayed_addr(&r, FIRST, PROVIDER, &m), 10);
    hosts_run(&r.h, US_PER_S);
    assert_int_equal(a.err, 0);
    assert_true(a.client.is_complete);
    for (size_t i = 0; i < ARRAY_LEN(x); i++)
        if (x[i].s)
            stream_close(x[i].s);
    relays_fini(&r);
}

int main(void)
{
    trace_set_all(TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_that_cannot_reach_each_other_talk_over_a_relay),
        cmocka_unit_test(an_end_of_a_circuit_is_not_trimmed),
        cmocka_unit_test(circuits_count_for_the_relay_not_for_its_address),
        cmocka_unit_test(a_relayed_address_spreads_by_identify),
        cmocka_unit_test(a_place_is_refreshed_and_given_back),
        cmocka_unit_test(a_dead_relay_is_replaced),
        cmocka_unit_test(two_places_and_either_will_do),
        cmocka_unit_test(without_a_place_there_is_no_circuit),
        cmocka_unit_test(a_strangers_circuit_is_cut_in_the_middle_of_a_stream),
        cmocka_unit_test(direct_connections_are_preferred),
        cmocka_unit_test(nonsense_is_answered_and_forgotten),
        cmocka_unit_test(a_circuit_nobody_asked_for_is_refused),
        cmocka_unit_test(too_many_half_said_questions_are_refused),
        cmocka_unit_test(strangers_do_not_stop_circuits),
        cmocka_unit_test(relays_that_lie_end_the_dial_soon),
        cmocka_unit_test(a_relay_that_never_answers_ends_in_time),
        cmocka_unit_test(a_target_that_does_not_answer_ends_in_time),
        cmocka_unit_test(no_relay_over_a_relay),
        cmocka_unit_test(hosts_may_go_in_the_middle),
        cmocka_unit_test(mute_circuits_give_way_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
