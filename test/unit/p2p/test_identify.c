// SPDX-License-Identifier: MIT
/* What is kept of peers: the Identify message, the address book, addresses and names. */
#include "base/err.h"
#include "base/mem.h"
#include "base/sched.h"
#include "base/trace.h"
#include "codec/key.h"
#include "codec/pb.h"
#include "codec/varint.h"
#include "p2p/identify.h"
#include "p2p/peerstore.h"
#include "p2p/resolve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct rng rng;

static struct peer_id an_id(unsigned i)
{
    struct peer_id id = {.len = 38, .b = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20}};
    memcpy(id.b + 6, &i, sizeof i);
    return id;
}

/* --- the message --- */

static struct identify sample(void)
{
    struct identify id = {
        .public_key = BYTES_LIT("\x08\x01\x12\x20"
                                "0123456789abcdef0123456789abcdef"),
        .observed = BYTES_LIT("\x04\x7f\x00\x00\x01\x06\x0f\xa1"),
        .version = BYTES_LIT("/conduit/1.0.0"),
        .agent = BYTES_LIT("conduit/0.1.0"),
        .addr_count = 1,
        .protocol_count = 2,
    };
    id.addrs[0] = BYTES_LIT("\x04\x0a\x00\x00\x01\x06\x0f\xa1");
    id.protocols[0] = BYTES_LIT("/ipfs/id/1.0.0");
    id.protocols[1] = BYTES_LIT("/http/1.1");
    return id;
}

static void a_message_survives_the_wire(void **state)
{
    struct identify in = sample(), *out = MEM_NEW(struct identify);
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(identify_encode(&in, &b), 0);
    assert_int_equal(identify_decode(buf_view(&b), out), 0);
    assert_true(bytes_eq(out->public_key, in.public_key));
    assert_true(bytes_eq(out->observed, in.observed));
    assert_true(bytes_eq(out->version, in.version));
    assert_true(bytes_eq(out->agent, in.agent));
    assert_int_equal(out->addr_count, 1);
    assert_int_equal(out->protocol_count, 2);
    assert_true(bytes_eq_str(out->protocols[1], "/http/1.1"));
    buf_fini(&b);
    free(out);
}

static void every_cut_is_an_error(void **state)
{
    struct identify in = sample(), *out = MEM_NEW(struct identify);
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(identify_encode(&in, &b), 0);
    for (size_t n = 0; n < buf_len(&b); n++)
        assert_int_not_equal(identify_decode(bytes_first(buf_view(&b), n), out), 0);
    buf_fini(&b);
    free(out);
}

static void messages_merge(void **state)
{
    struct identify a = sample(), more = {0}, *out = MEM_NEW(struct identify);
    struct buf b;
    more.agent = BYTES_LIT("later");
    more.protocol_count = 1;
    more.protocols[0] = BYTES_LIT("/third");
    buf_init(&b, 0);
    identify_encode(&a, &b);
    identify_encode(&more, &b);
    assert_int_equal(identify_decode(buf_view(&b), out), 0);
    assert_int_equal(out->protocol_count, 3);
    assert_true(bytes_eq_str(out->agent, "later"));
    assert_true(bytes_eq(out->public_key, a.public_key));
    for (int i = 2; i < LIMIT_IDENTIFY_PARTS; i++)
        identify_encode(&more, &b);
    assert_int_equal(identify_decode(buf_view(&b), out), 0);
    identify_encode(&more, &b);
    assert_int_equal(identify_decode(buf_view(&b), out), E_LIMIT);
    buf_fini(&b);
    free(out);
}

static void a_message_is_bounded(void **state)
{
    struct identify *out = MEM_NEW(struct identify);
    uint8_t head[VARINT_MAX];
    size_t n = varint_encode(LIMIT_IDENTIFY_IN + 1, head);
    assert_int_equal(identify_decode(bytes_of(head, n), out), E_TOO_BIG); /* before it is there */
    free(out);
}

/* Over the limits entries are dropped and the message stays good. */
static void too_many_entries_are_dropped(void **state)
{
    struct identify *out = MEM_NEW(struct identify);
    struct buf b;
    buf_init(&b, 0);
    struct pb_writer w = pb_write(&b);
    size_t mark = pb_frame_begin(&w);
    for (int i = 0; i < 500; i++)
        pb_put_bytes(&w, 2, BYTES_LIT("\x04\x7f\0\0\x01"));
    for (int i = 0; i < 500; i++)
        pb_put_str(&w, 3, "/p");
    pb_frame_end(&w, mark);
    assert_int_equal(identify_decode(buf_view(&b), out), 0);
    assert_int_equal(out->addr_count, LIMIT_PEER_ADDRS);
    assert_int_equal(out->protocol_count, LIMIT_PEER_PROTOCOLS);
    buf_fini(&b);
    free(out);
}

/* rust reads 4096 bytes and no more: first the record goes, then addresses from the end. */
static void ours_fits_what_rust_reads(void **state)
{
    static uint8_t record[2000], addr[100];
    struct identify *in = MEM_NEW(struct identify), *out = MEM_NEW(struct identify);
    struct buf b;
    *in = sample();
    in->signed_record = bytes_of(record, sizeof record);
    in->addr_count = 60;
    for (size_t i = 0; i < in->addr_count; i++)
        in->addrs[i] = bytes_of(addr, sizeof addr);
    buf_init(&b, 0);
    assert_int_equal(identify_encode(in, &b), 0);
    assert_true(buf_len(&b) <= LIMIT_IDENTIFY_OUT);
    assert_int_equal(identify_decode(buf_view(&b), out), 0);
    assert_int_equal(out->signed_record.n, 0);
    assert_in_range(out->addr_count, 35, 40);
    assert_int_equal(out->protocol_count, 2);
    buf_fini(&b);
    free(in);
    free(out);
}

/* --- the address book --- */

static void addresses_expire_and_are_bounded(void **state)
{
    struct peerstore ps;
    peerstore_init(&ps, &rng);
    struct peer_id id = an_id(1);
    struct known_peer *k = peerstore_touch(&ps, &id);
    uint8_t addr[LIMIT_PEER_ADDR + 1] = {0};
    assert_int_equal(known_peer_add_addr(k, bytes_of(addr, sizeof addr), 1, 0), E_TOO_BIG);
    assert_int_equal(known_peer_add_addr(k, bytes_of(addr, 0), 1, 0), E_TOO_BIG);
    for (int i = 0; i < LIMIT_PEER_ADDRS + 10; i++) {
        addr[0] = (uint8_t)i;
        addr[1] = (uint8_t)(i >> 8);
        assert_int_equal(known_peer_add_addr(k, bytes_of(addr, 8), 100 + (uint64_t)i, 0), 0);
    }
    assert_int_equal(k->addr_count, LIMIT_PEER_ADDRS);
    known_peer_expire(k, 109); /* the first ten had made room */
    assert_int_equal(k->addr_count, LIMIT_PEER_ADDRS);
    known_peer_expire(k, 110);
    assert_int_equal(k->addr_count, LIMIT_PEER_ADDRS - 1);
    assert_int_equal(known_peer_add_addr(k, bytes_of(addr, 8), 1000, 0),
                     0); /* known: believed longer */
    known_peer_expire(k, 900);
    assert_int_equal(k->addr_count, 1);
    peerstore_fini(&ps);
}

static void the_book_forgets_the_oldest_unpinned(void **state)
{
    struct peerstore ps;
    peerstore_init(&ps, &rng);
    for (unsigned i = 0; i < LIMIT_PEERS; i++) {
        struct peer_id id = an_id(i);
        assert_non_null(peerstore_touch(&ps, &id));
    }
    struct peer_id first = an_id(0), second = an_id(1), next = an_id(LIMIT_PEERS);
    peerstore_pin(peerstore_get(&ps, &first));
    assert_non_null(peerstore_touch(&ps, &next));
    assert_int_equal(map_count(&ps.by_id), LIMIT_PEERS);
    assert_non_null(peerstore_get(&ps, &first));
    assert_null(peerstore_get(&ps, &second));
    peerstore_unpin(peerstore_get(&ps, &first));
    peerstore_fini(&ps);
}

static void a_book_of_pinned_peers_is_full(void **state)
{
    struct peerstore ps;
    peerstore_init(&ps, &rng);
    for (unsigned i = 0; i < LIMIT_PEERS; i++) {
        struct peer_id id = an_id(i);
        peerstore_pin(peerstore_touch(&ps, &id));
    }
    struct peer_id next = an_id(LIMIT_PEERS);
    assert_null(peerstore_touch(&ps, &next));
    peerstore_fini(&ps);
}

static void protocols_are_kept_as_text(void **state)
{
    struct peerstore ps;
    peerstore_init(&ps, &rng);
    struct peer_id id = an_id(1);
    struct known_peer *k = peerstore_touch(&ps, &id);
    static uint8_t longest[LIMIT_MSS_PROTOCOL + 1];
    memset(longest, 'a', sizeof longest);
    assert_int_equal(known_peer_add_protocol(k, BYTES_LIT("/a")), 0);
    assert_int_equal(known_peer_add_protocol(k, BYTES_LIT("/b")), 0);
    assert_int_equal(known_peer_add_protocol(k, BYTES_LIT("/c\0d")), E_MALFORMED);
    assert_int_equal(known_peer_add_protocol(k, BYTES_LIT("")), E_MALFORMED);
    assert_int_equal(known_peer_add_protocol(k, bytes_of(longest, sizeof longest)), E_MALFORMED);
    assert_true(known_peer_has_protocol(k, "/b"));
    assert_false(known_peer_has_protocol(k, "/"));
    assert_string_equal(known_peer_protocol(k, 1), "/b");
    assert_null(known_peer_protocol(k, 2));
    for (int i = 2; i < LIMIT_PEER_PROTOCOLS; i++)
        assert_int_equal(known_peer_add_protocol(k, BYTES_LIT("/x")), 0);
    assert_int_equal(known_peer_add_protocol(k, BYTES_LIT("/x")), E_LIMIT);
    known_peer_set_agent(k, BYTES_LIT("evil\n\x1b[31magent"));
    assert_string_equal(k->agent, "evil??[31magent");
    known_peer_set_agent(k, bytes_of(longest, sizeof longest));
    assert_int_equal(strlen(k->agent), LIMIT_PEER_AGENT - 1);
    peerstore_fini(&ps);
}

static void failures_put_the_next_try_off(void **state)
{
    struct peerstore ps;
    peerstore_init(&ps, &rng);
    struct peer_id id = an_id(1);
    struct known_peer *k = peerstore_touch(&ps, &id);
    uint64_t last = 0;
    for (int i = 0; i < 12; i++) {
        peerstore_failed(&ps, k, 0);
        assert_in_range(k->retry_us, 800 * US_PER_MS, 72 * US_PER_S);
        if (i < 6)
            assert_true(k->retry_us > last);
        last = k->retry_us;
    }
    known_peer_worked(k);
    assert_int_equal(k->retry_us, 0);
    peerstore_fini(&ps);
}

/* --- addresses and names --- */

static int parse(const char *text, struct p2p_addr *out)
{
    return p2p_addr_parse(bytes_str(text), out);
}

#define RELAY "/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
#define THERE "/p2p/16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY"

static void a_circuit_names_the_relay_and_perhaps_the_peer(void **state)
{
    struct p2p_addr a;
    struct peer_id id;
    char text[512];
    assert_int_equal(parse("/dns4/example.com/tcp/1" RELAY "/p2p-circuit" THERE, &a), 0);
    assert_int_equal(a.kind, P2P_ADDR_CIRCUIT);
    assert_string_equal(multiaddr_text(multiaddr_bytes(&a.relay_addr), text, sizeof text),
                        "/dns4/example.com/tcp/1");
    assert_int_equal(peer_id_parse(bytes_str(&RELAY[5]), &id), 0);
    assert_true(peer_id_eq(&a.relay, &id));
    assert_int_equal(peer_id_parse(bytes_str(&THERE[5]), &id), 0);
    assert_true(a.has_peer && peer_id_eq(&a.peer, &id));
    assert_int_equal(parse(RELAY "/p2p-circuit", &a), 0);
    assert_int_equal(a.relay_addr.n, 0);
    assert_false(a.has_peer);
}

static void an_address_is_dialled_or_looked_up_or_dropped(void **state)
{
    struct p2p_addr a;
    char text[NET_ADDR_TEXT];
    assert_int_equal(parse("/ip4/192.0.2.1/tcp/4001", &a), 0);
    assert_int_equal(a.kind, P2P_ADDR_IP);
    assert_string_equal(net_addr_format(&a.at, text), "192.0.2.1:4001");
    assert_false(a.has_peer);
    assert_int_equal(
        parse("/ip6/::1/tcp/1/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq", &a), 0);
    assert_true(a.has_peer);
    assert_int_equal(parse("/dns6/example.com/tcp/443", &a), 0);
    assert_int_equal(a.kind, P2P_ADDR_NAME);
    assert_int_equal(a.what, HOST_NAME_IP6);
    assert_string_equal(a.name, "example.com");
    assert_int_equal(a.at.port, 443);
    assert_int_equal(parse("/dnsaddr/bootstrap.example", &a), 0);
    assert_int_equal(a.kind, P2P_ADDR_LIST);
    static const char *const not_ours[] = {
        "/ip4/192.0.2.1/udp/4001/quic-v1",
        "/ip4/192.0.2.1/tcp/443/tls/ws",
        "/p2p-circuit", /* over which relay? */
        "/ip4/1.2.3.4/tcp/1/p2p-circuit",
        "/ip4/1.2.3.4/udp/1/quic-v1" RELAY "/p2p-circuit",
        "/ip4/1.2.3.4/tcp/1" RELAY "/p2p-circuit/ip4/1.2.3.4/tcp/2",
        "/ip4/1.2.3.4/tcp/1" RELAY "/p2p-circuit" RELAY "/p2p-circuit", /* relay over relay */
    };
    for (size_t i = 0; i < ARRAY_LEN(not_ours); i++)
        assert_int_equal(parse(not_ours[i], &a), E_UNSUPPORTED);
    assert_int_not_equal(parse("192.0.2.1:80", &a), 0);
}

static bool believes(const char *address, const char *from)
{
    struct multiaddr m;
    struct net_addr at;
    assert_int_equal(multiaddr_parse(bytes_str(address), &m), 0);
    assert_int_equal(net_addr_parse_ip(from, 1, &at), 0);
    return p2p_addr_is_credible(multiaddr_bytes(&m), &at);
}

static void near_addresses_are_believed_from_near(void **state)
{
    assert_true(believes("/ip4/127.0.0.1/tcp/1", "127.0.0.1"));
    assert_false(believes("/ip4/127.0.0.1/tcp/1", "10.0.0.1"));
    assert_false(believes("/ip4/10.0.0.1/tcp/1", "192.0.2.1"));
    assert_true(believes("/ip4/10.0.0.1/tcp/1", "10.0.0.7"));
    assert_true(believes("/ip4/192.0.2.1/tcp/1", "127.0.0.1"));
    assert_false(believes("/ip4/0.0.0.0/tcp/1", "127.0.0.1"));
    assert_true(believes("/ip4/192.0.2.1/tcp/1" RELAY "/p2p-circuit", "198.51.100.1"));
    assert_false(believes("/ip4/10.0.0.1/tcp/1" RELAY "/p2p-circuit", "198.51.100.1"));
    assert_false(
        believes("/ip4/192.0.2.1/tcp/1" RELAY "/p2p-circuit" RELAY "/p2p-circuit", "198.51.100.1"));
}

struct finds {
    int count;
    char last[NET_ADDR_TEXT];
};

static void found(void *ctx, const struct p2p_addr *a)
{
    struct finds *f = ctx;
    f->count++;
    net_addr_format(&a->at, f->last);
}

static void ask(struct resolve *r, const char *text)
{
    struct p2p_addr a;
    assert_int_equal(parse(text, &a), 0);
    resolve_add(r, &a, 0);
}

static void names_become_addresses(void **state)
{
    struct resolve r;
    struct finds f = {0};
    struct net_addr ip;
    char name[264];
    enum host_port_name what;
    resolve_init(&r, found, &f);
    ask(&r, "/dns4/a.example/tcp/77");
    int q = resolve_next(&r, name, &what);
    assert_string_equal(name, "a.example");
    assert_int_equal(what, HOST_NAME_IP4);
    assert_int_equal(resolve_next(&r, name, &what), -1);
    assert_false(resolve_is_done(&r));
    net_addr_parse_ip("192.0.2.9", 0, &ip);
    resolve_answer(&r, q, 0, &ip, 1, NULL, 0);
    assert_true(resolve_is_done(&r));
    assert_int_equal(f.count, 1);
    assert_string_equal(f.last, "192.0.2.9:77");
}

static void a_list_names_addresses_of_that_peer_only(void **state)
{
    static const struct bytes texts[] = {
        BYTES_LIT("dnsaddr=/ip4/192.0.2.1/tcp/1/p2p/"
                  "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"),
        BYTES_LIT("dnsaddr=/ip4/192.0.2.2/tcp/1/p2p/"
                  "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY"),
        BYTES_LIT("dnsaddr=/ip4/192.0.2.3/tcp/1"),
        BYTES_LIT("v=spf1 -all"),
        BYTES_LIT("dnsaddr=garbage"),
    };
    struct resolve r;
    struct finds f = {0};
    char name[264];
    enum host_port_name what;
    resolve_init(&r, found, &f);
    ask(&r, "/dnsaddr/b.example/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq");
    int q = resolve_next(&r, name, &what);
    assert_string_equal(name, "_dnsaddr.b.example");
    assert_int_equal(what, HOST_NAME_TXT);
    resolve_answer(&r, q, 0, NULL, 0, texts, ARRAY_LEN(texts));
    assert_int_equal(f.count, 1);
    assert_string_equal(f.last, "192.0.2.1:1");
}

/* A zone that names itself for ever, eight times in each answer. */
static void a_hostile_zone_costs_little(void **state)
{
    struct bytes texts[8];
    struct resolve r;
    struct finds f = {0};
    char name[264];
    enum host_port_name what;
    int lookups = 0, q;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        texts[i] = BYTES_LIT("dnsaddr=/dnsaddr/evil.example");
    resolve_init(&r, found, &f);
    ask(&r, "/dnsaddr/evil.example");
    while ((q = resolve_next(&r, name, &what)) >= 0) {
        lookups++;
        resolve_answer(&r, q, 0, NULL, 0, texts, ARRAY_LEN(texts));
    }
    assert_int_equal(lookups, LIMIT_DNS_LOOKUPS);
    resolve_init(&r, found, &f);
    ask(&r, "/dnsaddr/evil.example");
    for (lookups = 0; (q = resolve_next(&r, name, &what)) >= 0; lookups++)
        resolve_answer(&r, q, 0, NULL, 0, texts, 1); /* a chain: the depth ends it */
    assert_int_equal(lookups, LIMIT_DNS_DEPTH + 1);
    assert_true(resolve_is_done(&r));
    assert_int_equal(f.count, 0);
}

int main(void)
{
    trace_set_all(TRACE_OFF);
    rng_init_seeded(&rng, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_survives_the_wire),
        cmocka_unit_test(every_cut_is_an_error),
        cmocka_unit_test(messages_merge),
        cmocka_unit_test(a_message_is_bounded),
        cmocka_unit_test(too_many_entries_are_dropped),
        cmocka_unit_test(ours_fits_what_rust_reads),
        cmocka_unit_test(addresses_expire_and_are_bounded),
        cmocka_unit_test(the_book_forgets_the_oldest_unpinned),
        cmocka_unit_test(a_book_of_pinned_peers_is_full),
        cmocka_unit_test(protocols_are_kept_as_text),
        cmocka_unit_test(failures_put_the_next_try_off),
        cmocka_unit_test(an_address_is_dialled_or_looked_up_or_dropped),
        cmocka_unit_test(a_circuit_names_the_relay_and_perhaps_the_peer),
        cmocka_unit_test(near_addresses_are_believed_from_near),
        cmocka_unit_test(names_become_addresses),
        cmocka_unit_test(a_list_names_addresses_of_that_peer_only),
        cmocka_unit_test(a_hostile_zone_costs_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
