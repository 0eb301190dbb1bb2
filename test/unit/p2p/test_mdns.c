// SPDX-License-Identifier: MIT
/* The mDNS machine: its clock-work, what it believes, and what a LAN full of liars can do to it. Two kinds of
 * stage: one machine with a loose wire (what it sends is looked at), and two on virtual machines with sockets. */
#include "base/err.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "p2p/mdns_links.h"
#include "p2p/mdns_shell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LINK = 4 };

/* --- one machine --- */

struct sent {
    uint64_t at_us;
    uint32_t link;
    size_t n;
    uint8_t b[2048];
};

struct desk {
    struct sched sched;
    struct rng rng;
    struct mdns m;
    struct multiaddr own[16];
    size_t own_count;
    struct sent sent[64];
    size_t sent_count, total;
    struct peer_id last;
    size_t found, news, lost;
};

static struct peer_id id_of(unsigned n)
{
    uint8_t key[36] = {8, 1, 18, 32, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), 7};
    struct peer_id id;
    assert_int_equal(peer_id_from_key(bytes_of(key, sizeof key), &id), 0);
    return id;
}

static void on_send(void *ctx, uint32_t link, struct bytes datagram)
{
    struct desk *d = ctx;
    assert_true(datagram.n <= sizeof d->sent[0].b);
    d->total++;
    if (d->sent_count == 64)
        return;
    struct sent *s = &d->sent[d->sent_count++];
    s->at_us = d->sched.now_us;
    s->link = link;
    s->n = datagram.n;
    memcpy(s->b, datagram.p, datagram.n);
}

static size_t on_addrs(void *ctx, uint32_t link, struct multiaddr *out, size_t max)
{
    struct desk *d = ctx;
    size_t n = d->own_count < max ? d->own_count : max;
    memcpy(out, d->own, n * sizeof *out);
    return n;
}

static void on_found(void *ctx, const struct mdns_peer *peer, bool is_news)
{
    struct desk *d = ctx;
    d->last = peer->id;
    d->found++;
    d->news += is_news;
}

static void on_lost(void *ctx, const struct mdns_peer *peer)
{
    ((struct desk *)ctx)->lost++;
}

static const struct mdns_port port = {on_send, on_addrs, on_found, on_lost};

static void own_addr(struct desk *d, const char *text)
{
    assert_int_equal(multiaddr_parse(bytes_str(text), &d->own[d->own_count++]), 0);
}

static struct net_addr net(const char *ip)
{
    struct net_addr a;
    assert_int_equal(net_addr_parse_ip(ip, MDNS_PORT, &a), 0);
    return a;
}

static void run_to(struct desk *d, uint64_t us)
{
    for (;;) {
        uint64_t at = sched_deadline(&d->sched);
        if (at > us)
            break;
        sched_set_now(&d->sched, at > d->sched.now_us ? at : d->sched.now_us, 0);
        sched_run_timers(&d->sched);
    }
    sched_set_now(&d->sched, us, 0);
}

static struct desk *desk_new(const char *network)
{
    struct desk *d = MEM_NEW(struct desk);
    struct peer_id self = id_of(0);
    struct net_addr at[2] = {net("192.168.1.2"), net("2001:db8:1::2")};
    sched_init(&d->sched, US_PER_S, 0);
    rng_init_seeded(&d->rng, 7);
    own_addr(d, "/ip4/192.168.1.2/tcp/8000");
    mdns_init(&d->m, &self, network, &d->sched, &d->rng, &port, d);
    assert_int_equal(mdns_link_up(&d->m, LINK, at, 2), 0);
    return d;
}

static void desk_free(struct desk *d)
{
    mdns_fini(&d->m);
    sched_fini(&d->sched);
    free(d);
}

static int setup(void **state)
{
    *state = desk_new(NULL);
    return 0;
}

static int teardown(void **state)
{
    desk_free(*state);
    return 0;
}

/* What another peer says. */
struct says {
    unsigned who;
    const char *name; /* NULL: of `who` */
    const char *service;
    uint32_t ttl_s;
    const char *addrs[12];
    bool in_answers;
};

static void peer_says(struct desk *d, const struct says *v, const char *from)
{
    uint8_t b[LIMIT_MDNS_PACKET];
    char text[512], id[PEER_ID_TEXT], name[128];
    struct dns_writer w;
    struct dns_name service, instance;
    struct peer_id peer = id_of(v->who);
    struct net_addr at = net(from);
    const char *s = v->service ? v->service : "_p2p._udp.local";
    snprintf(name, sizeof name, "peer%u.%s", v->who, s);
    assert_int_equal(dns_name_parse(bytes_str(s), &service), 0);
    assert_int_equal(dns_name_parse(bytes_str(v->name ? v->name : name), &instance), 0);
    dns_write(&w, b, sizeof b, 0, DNS_FLAG_RESPONSE | DNS_FLAG_AUTHORITATIVE);
    dns_put_ptr(&w, DNS_ANSWER, &service, v->ttl_s, &instance);
    for (size_t i = 0; i < 12 && v->addrs[i]; i++) {
        snprintf(text, sizeof text, "dnsaddr=%s/p2p/%s", v->addrs[i],
                 peer_id_text(&peer, id, sizeof id));
        dns_put_txt(&w, v->in_answers ? DNS_ANSWER : DNS_ADDITIONAL, &instance, v->ttl_s,
                    bytes_str(text));
    }
    assert_false(w.is_full);
    mdns_heard(&d->m, LINK, &at, dns_written(&w));
}

static void ask(struct desk *d, const char *name, uint16_t type, uint16_t id, const char *from,
                uint16_t from_port)
{
    uint8_t b[512];
    struct dns_writer w;
    struct dns_name n;
    struct net_addr at = net(from);
    at.port = from_port;
    assert_int_equal(dns_name_parse(bytes_str(name), &n), 0);
    dns_write(&w, b, sizeof b, id, 0);
    dns_put_question(&w, &n, type);
    mdns_heard(&d->m, LINK, &at, dns_written(&w));
}

static bool is_query(const struct sent *s)
{
    return !(s->b[2] & 0x80);
}

static size_t answers(const struct desk *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->sent_count; i++)
        n += !is_query(&d->sent[i]);
    return n;
}

static const struct mdns_peer *peer_of(struct desk *d, unsigned n)
{
    struct peer_id id = id_of(n);
    return mdns_peer(&d->m, &id);
}

/* --- what it says --- */

static void questions_double_up_to_minutes(void **state)
{
    struct desk *d = *state;
    double expected = 0.5;
    uint64_t last = 0;
    run_to(d, 3600 * US_PER_S);
    size_t queries = 0;
    for (size_t i = 0; i < d->sent_count; i++) {
        if (!is_query(&d->sent[i]))
            continue;
        double gap = (double)(d->sent[i].at_us - last) / US_PER_S;
        if (queries++ == 0) {
            assert_int_equal(d->sent[i].at_us, US_PER_S); /* at once */
        } else {
            assert_true(gap >= expected * 0.89 && gap <= expected * 1.11);
            expected = expected * 2 < 300 ? expected * 2 : 300;
        }
        last = d->sent[i].at_us;
    }
    assert_in_range(queries, 19, 25);
}

/* Byte by byte: what rust and js read. */
static void the_answer_as_it_lies_on_the_wire(void **state)
{
    struct desk *d = *state;
    struct dns_reader r;
    struct dns_record rec;
    struct dns_name service, target;
    struct bytes label, text;
    struct dns_name rest;
    char expected[256], id[PEER_ID_TEXT];
    size_t at = 0;
    own_addr(d, "/ip4/192.168.1.2/tcp/8001");
    run_to(d, 5 * US_PER_S);
    d->sent_count = 0;
    ask(d, "_p2p._udp.local", DNS_TYPE_PTR, 0xbeef, "192.168.1.9", 40123);
    run_to(d, 6 * US_PER_S);
    assert_int_equal(answers(d), 1);
    const struct sent *s = &d->sent[0];
    assert_int_equal(s->link, LINK);
    assert_memory_equal(s->b, "\xbe\xef\x84\0\0\0\0\1\0\0\0\5", 12);
    assert_int_equal(dns_name_parse(BYTES_LIT("_p2p._udp.local"), &service), 0);
    assert_int_equal(dns_read(&r, bytes_of(s->b, s->n)), 0);
    assert_int_equal(dns_read_record(&r, &rec), 1);
    assert_true(dns_name_eq(&rec.name, &service));
    assert_int_equal(rec.ttl_s, 120);
    assert_int_equal(dns_record_target(&r, &rec, &target), 0);
    assert_true(dns_name_split(&target, &label, &rest));
    assert_true(dns_name_eq(&rest, &service));
    assert_in_range(label.n, 32, 63);
    for (size_t i = 0; i < label.n; i++)
        assert_non_null(strchr("abcdefghijklmnopqrstuvwxyz0123456789", label.p[i]));
    assert_int_equal(dns_read_record(&r, &rec), 1);
    assert_int_equal(rec.section, DNS_ADDITIONAL);
    assert_true(dns_name_eq(&rec.name, &target));
    assert_int_equal(dns_next_string(rec.data, &at, &text), 1);
    snprintf(expected, sizeof expected, "dnsaddr=/ip4/192.168.1.2/tcp/8000/p2p/%s",
             peer_id_text(&d->m.self, id, sizeof id));
    assert_true(bytes_eq_str(text, expected));
    assert_int_equal(dns_read_record(&r, &rec), 1);
    /* SRV and the addresses, for those who want a host. */
    assert_int_equal(dns_read_record(&r, &rec), 1);
    assert_int_equal(rec.type, DNS_TYPE_SRV);
    assert_true(dns_name_eq(&rec.name, &target));
    assert_memory_equal(rec.data.p, "\0\0\0\0\x1f\x40", 6); /* 8000 */
    assert_memory_equal(rec.data.p + 6, target.b, target.b[0] + 1);
    assert_memory_equal(rec.data.p + rec.data.n - 7, "\5local", 7);
    assert_int_equal(dns_read_record(&r, &rec), 1);
    assert_int_equal(rec.type, DNS_TYPE_A);
    assert_int_equal(rec.data.n, 4);
    assert_memory_equal(rec.data.p, "\xc0\xa8\1\2", 4);
    assert_int_equal(dns_read_record(&r, &rec), 1);
    assert_int_equal(rec.type, DNS_TYPE_AAAA);
    assert_int_equal(rec.data.n, 16);
    assert_memory_equal(rec.data.p, "\x20\1\x0d\xb8", 4);
    assert_int_equal(dns_read_record(&r, &rec), 0);
}

static void at_most_eight_addresses_are_told(void **state)
{
    struct desk *d = *state;
    for (int i = 0; i < 12; i++) {
        char text[64];
        snprintf(text, sizeof text, "/ip4/192.168.1.2/tcp/%d", 9000 + i);
        own_addr(d, text);
    }
    run_to(d, 2 * US_PER_S);
    assert_true(answers(d) > 0);
    for (size_t i = 0; i < d->sent_count; i++)
        if (!is_query(&d->sent[i])) {
            assert_int_equal(d->sent[i].b[11], LIMIT_MDNS_ADDRS + 3);
            assert_true(d->sent[i].n <= 1440);
        }
}

static void a_flood_of_questions_gets_one_answer_a_second(void **state)
{
    struct desk *d = *state;
    char from[32];
    run_to(d, 10 * US_PER_S);
    d->sent_count = d->total = 0;
    for (unsigned i = 0; i < 5000; i++) { /* for five seconds */
        snprintf(from, sizeof from, "192.168.1.%u", 3 + i % 200);
        ask(d, "_p2p._udp.local", DNS_TYPE_PTR, (uint16_t)(i + 1), from, MDNS_PORT);
        run_to(d, 10 * US_PER_S + i * 1000);
    }
    run_to(d, 20 * US_PER_S);
    assert_in_range(answers(d), 5, 6);
    d->sent_count = 0;
    for (unsigned i = 0; i < 1000; i++)
        ask(d, "_services._dns-sd._udp.local", DNS_TYPE_PTR, 1, "192.168.1.9", MDNS_PORT);
    assert_int_equal(answers(d), 1);
    assert_true(d->m.counts.refused_rate >= 800);
}

static void the_meta_query_names_the_service(void **state)
{
    struct desk *d = *state;
    struct dns_reader r;
    struct dns_record rec;
    struct dns_name target, all;
    run_to(d, 10 * US_PER_S);
    d->sent_count = 0;
    ask(d, "_services._dns-sd._udp.local", DNS_TYPE_PTR, 77, "192.168.1.9", MDNS_PORT);
    assert_int_equal(answers(d), 1);
    assert_int_equal(dns_read(&r, bytes_of(d->sent[0].b, d->sent[0].n)), 0);
    assert_int_equal(r.id, 77);
    assert_int_equal(dns_read_record(&r, &rec), 1);
    assert_int_equal(dns_name_parse(BYTES_LIT("_services._dns-sd._udp.local"), &all), 0);
    assert_true(dns_name_eq(&rec.name, &all));
    assert_int_equal(dns_record_target(&r, &rec, &target), 0);
    assert_true(dns_name_eq(&target, &d->m.service));
}

static void other_questions_are_not_ours(void **state)
{
    struct desk *d = *state;
    run_to(d, 10 * US_PER_S);
    d->sent_count = 0;
    ask(d, "_ipp._tcp.local", DNS_TYPE_PTR, 1, "192.168.1.9", MDNS_PORT);
    ask(d, "_p2p._udp.local", DNS_TYPE_A, 1, "192.168.1.9", MDNS_PORT);
    ask(d, "_p2p-00._udp.local", DNS_TYPE_PTR, 1, "192.168.1.9", MDNS_PORT);
    run_to(d, 14 * US_PER_S);
    assert_int_equal(answers(d), 0);
    ask(d, "_P2P._UDP.local", DNS_TYPE_ANY, 1, "192.168.1.9", MDNS_PORT);
    run_to(d, 15 * US_PER_S);
    assert_int_equal(answers(d), 1);
}

static void known_answers_need_no_answer(void **state)
{
    struct desk *d = *state;
    struct net_addr from = net("192.168.1.9");
    run_to(d, 10 * US_PER_S);
    for (int fresh = 0; fresh < 2; fresh++) {
        uint8_t b[512];
        struct dns_writer w;
        d->sent_count = 0;
        dns_write(&w, b, sizeof b, 5, 0);
        dns_put_question(&w, &d->m.service, DNS_TYPE_PTR);
        dns_put_ptr(&w, DNS_ANSWER, &d->m.service, fresh ? 60 : 59, &d->m.instance);
        mdns_heard(&d->m, LINK, &from, dns_written(&w));
        run_to(d, (12 + 2 * (unsigned)fresh) * US_PER_S);
        assert_int_equal(answers(d), fresh ? 0 : 1);
    }
    /* And ours tell whom we know. */
    peer_says(d, &(struct says){.who = 1, .ttl_s = 120, .addrs = {"/ip4/192.168.1.9/tcp/1"}},
              "192.168.1.9");
    d->sent_count = 0;
    run_to(d, 30 * US_PER_S);
    assert_true(d->sent_count > 0 && is_query(&d->sent[0]));
    assert_int_equal(d->sent[0].b[7], 1);
}

static void our_own_question_is_not_answered(void **state)
{
    struct desk *d = *state;
    struct net_addr here = net("192.168.1.2"), other = net("192.168.1.3");
    run_to(d, 10 * US_PER_S);
    struct sent q = {0};
    for (size_t i = 0; i < d->sent_count; i++)
        if (is_query(&d->sent[i]))
            q = d->sent[i]; /* the last one */
    d->sent_count = 0;
    mdns_heard(&d->m, LINK, &here, bytes_of(q.b, q.n));
    run_to(d, 12 * US_PER_S);
    assert_int_equal(answers(d), 0);
    q.b[0] ^= 1; /* another process of this machine */
    mdns_heard(&d->m, LINK, &here, bytes_of(q.b, q.n));
    run_to(d, 14 * US_PER_S);
    assert_int_equal(answers(d), 1);
    q.b[0] ^= 1;
    mdns_heard(&d->m, LINK, &other, bytes_of(q.b, q.n));
    run_to(d, 15 * US_PER_S);
    assert_int_equal(answers(d), 2);
}

static void nothing_to_dial_is_not_told(void **state)
{
    struct desk *d = *state;
    d->own_count = 0;
    run_to(d, 10 * US_PER_S);
    ask(d, "_p2p._udp.local", DNS_TYPE_PTR, 1, "192.168.1.9", MDNS_PORT);
    run_to(d, 12 * US_PER_S);
    assert_int_equal(answers(d), 0);
}

static void stopping_says_goodbye(void **state)
{
    struct desk *d = *state, *other = desk_new(NULL);
    struct net_addr from = net("192.168.1.2");
    run_to(d, 10 * US_PER_S);
    run_to(other, 10 * US_PER_S);
    other->m.self = id_of(99);
    for (size_t i = 0; i < d->sent_count; i++) /* the other hears it all */
        mdns_heard(&other->m, LINK, &from, bytes_of(d->sent[i].b, d->sent[i].n));
    assert_int_equal(other->news, 0); /* names were drawn from the same seed: its own, it thinks */
    desk_free(other);
    struct rng rng;
    other = MEM_NEW(struct desk);
    rng_init_seeded(&rng, 8);
    sched_init(&other->sched, US_PER_S, 0);
    struct peer_id self = id_of(99);
    mdns_init(&other->m, &self, NULL, &other->sched, &rng, &port, other);
    assert_int_equal(mdns_link_up(&other->m, LINK, &from, 1), 0);
    for (size_t i = 0; i < d->sent_count; i++)
        mdns_heard(&other->m, LINK, &from, bytes_of(d->sent[i].b, d->sent[i].n));
    assert_int_equal(other->news, 1);
    d->sent_count = 0;
    mdns_fini(&d->m);
    assert_int_equal(answers(d), 1);
    mdns_heard(&other->m, LINK, &from, bytes_of(d->sent[0].b, d->sent[0].n));
    run_to(other, other->sched.now_us + 2 * US_PER_S);
    assert_int_equal(other->lost, 1);
    desk_free(other);
    mdns_init(&d->m, &self, NULL, &d->sched, &d->rng, &port, d); /* for the teardown */
}

static void private_networks_have_a_name_of_their_own(void **state)
{
    struct desk *d = desk_new("001fa0000000000000000000000000ff");
    char text[DNS_NAME_TEXT];
    assert_string_equal(dns_name_text(&d->m.service, text, sizeof text),
                        "_p2p-001fa0000000000000000000000000ff._udp.local.");
    run_to(d, 10 * US_PER_S);
    d->sent_count = 0;
    ask(d, "_p2p._udp.local", DNS_TYPE_PTR, 1, "192.168.1.9", MDNS_PORT);
    run_to(d, 12 * US_PER_S);
    assert_int_equal(answers(d), 0);
    peer_says(d, &(struct says){.who = 1, .ttl_s = 120, .addrs = {"/ip4/192.168.1.9/tcp/1"}},
              "192.168.1.9");
    assert_int_equal(d->found, 0);
    peer_says(d,
              &(struct says){.who = 1,
                             .ttl_s = 120,
                             .service = "_p2p-001fa0000000000000000000000000ff._udp.local",
                             .addrs = {"/ip4/192.168.1.9/tcp/1"}},
              "192.168.1.9");
    assert_int_equal(d->found, 1);
    desk_free(d);
}

/* --- what it believes --- */

static void a_peer_is_found_renewed_and_lost(void **state)
{
    struct desk *d = *state;
    struct says v = {.who = 1, .ttl_s = 120, .addrs = {"/ip4/192.168.1.9/tcp/8000"}};
    peer_says(d, &v, "192.168.1.9");
    assert_int_equal(d->news, 1);
    assert_int_equal(peer_of(d, 1)->addr_count, 1);
    peer_says(d, &v, "192.168.1.9");
    assert_int_equal(d->found, 2);
    assert_int_equal(d->news, 1);
    v.addrs[0] = "/ip4/192.168.1.9/tcp/8001";
    peer_says(d, &v, "192.168.1.9");
    assert_int_equal(d->news, 2);
    assert_int_equal(peer_of(d, 1)->addr_count, 1);
    uint64_t heard = d->sched.now_us;
    run_to(d, heard + 95 * US_PER_S);
    d->sent_count = 0;
    run_to(d, heard + 119 * US_PER_S); /* asked for at 96, 108 and 114 s */
    size_t queries = 0;
    for (size_t i = 0; i < d->sent_count; i++)
        queries += is_query(&d->sent[i]);
    assert_in_range(queries, 3, 4);
    assert_int_equal(d->lost, 0);
    run_to(d, heard + 121 * US_PER_S);
    assert_int_equal(d->lost, 1);
    assert_null(peer_of(d, 1));
}

static void texts_among_the_answers_are_read_too(void **state)
{
    struct desk *d = *state;
    struct says v = {
        .who = 1, .ttl_s = 120, .addrs = {"/ip4/192.168.1.9/tcp/8000"}, .in_answers = true};
    peer_says(d, &v, "192.168.1.9");
    assert_int_equal(d->news, 1);
    v = (struct says){.who = 2,
                      .name = "nosuffix",
                      .ttl_s = 360, /* as rust */
                      .addrs = {"/ip4/192.168.1.8/tcp/8000"}};
    peer_says(d, &v, "192.168.1.8");
    assert_int_equal(d->news, 2);
}

static void a_goodbye_counts_within_a_second(void **state)
{
    struct desk *d = *state;
    struct says v = {.who = 1, .ttl_s = 120, .addrs = {"/ip4/192.168.1.9/tcp/8000"}};
    peer_says(d, &v, "192.168.1.9");
    v.ttl_s = 0;
    peer_says(d, &v, "192.168.1.9");
    run_to(d, d->sched.now_us + 1100 * US_PER_MS);
    assert_int_equal(d->lost, 1);
}

static void nothing_is_believed_for_longer_than_the_limit(void **state)
{
    struct desk *d = *state;
    peer_says(d,
              &(struct says){.who = 1, .ttl_s = UINT32_MAX, .addrs = {"/ip4/192.168.1.9/tcp/8000"}},
              "192.168.1.9");
    assert_int_equal(peer_of(d, 1)->expires_us, d->sched.now_us + LIMIT_MDNS_TTL_S * US_PER_S);
}

/* Nobody makes us dial the rest of the world, ourselves, or nothing. */
static void poisoned_addresses_are_dropped(void **state)
{
    struct desk *d = *state;
    static const char *const bad[] = {"/ip4/8.8.8.8/tcp/443",    "/ip4/127.0.0.1/tcp/22",
                                      "/ip4/0.0.0.0/tcp/8000",   "/ip4/192.168.1.9/tcp/0",
                                      "/ip6/::1/tcp/22",         "/ip6/2a00:1450::1/tcp/443",
                                      "/ip6/fe80::1/tcp/8000",   "/dns4/victim.example/tcp/1",
                                      "/dnsaddr/victim.example", "/ip4/192.168.1.9/udp/1/quic-v1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        peer_says(d, &(struct says){.who = 1, .ttl_s = 120, .addrs = {bad[i]}}, "192.168.1.9");
        assert_int_equal(d->found, 0);
    }
    assert_int_equal(map_count(&d->m.peers), 0);
    /* Its own public source, our /64, our /16: on a LAN all may be. A private one of elsewhere (a VPN's) not. */
    struct net_addr ours[3] = {net("192.168.1.2"), net("2001:db8:1::2"), net("203.0.113.2")};
    assert_int_equal(mdns_link_up(&d->m, LINK, ours, 3), 0);
    peer_says(d,
              &(struct says){.who = 1,
                             .ttl_s = 120,
                             .addrs = {"/ip4/203.0.113.7/tcp/1", "/ip6/2001:db8:1::9/tcp/2",
                                       "/ip4/192.168.77.3/tcp/3", "/ip4/10.1.2.3/tcp/3",
                                       "/ip4/8.8.8.8/tcp/4"}},
              "203.0.113.7");
    assert_int_equal(peer_of(d, 1)->addr_count, 3);
}

static void names_that_are_not_the_texts_owner(void **state)
{
    struct desk *d = *state;
    uint8_t b[512];
    struct dns_writer w;
    struct dns_name instance, other;
    struct net_addr from = net("192.168.1.9");
    char text[256], id[PEER_ID_TEXT];
    struct peer_id peer = id_of(1);
    (void)dns_name_parse(BYTES_LIT("one._p2p._udp.local"), &instance);
    (void)dns_name_parse(BYTES_LIT("two._p2p._udp.local"), &other);
    dns_write(&w, b, sizeof b, 0, DNS_FLAG_RESPONSE);
    dns_put_ptr(&w, DNS_ANSWER, &d->m.service, 120, &instance);
    snprintf(text, sizeof text, "dnsaddr=/ip4/192.168.1.9/tcp/1/p2p/%s",
             peer_id_text(&peer, id, sizeof id));
    dns_put_txt(&w, DNS_ADDITIONAL, &other, 120, bytes_str(text));
    mdns_heard(&d->m, LINK, &from, dns_written(&w));
    assert_int_equal(d->found, 0);
}

static void ourselves_are_nobody(void **state)
{
    struct desk *d = *state;
    peer_says(d, &(struct says){.who = 0, .ttl_s = 120, .addrs = {"/ip4/192.168.1.9/tcp/8000"}},
              "192.168.1.9");
    run_to(d, 10 * US_PER_S);
    struct net_addr here = net("192.168.1.2");
    for (size_t i = 0, n = d->sent_count; i < n; i++)
        mdns_heard(&d->m, LINK, &here, bytes_of(d->sent[i].b, d->sent[i].n));
    assert_int_equal(d->found, 0);
}

/* Over IPv4 and IPv6 one peer tells different addresses; a liar's do not push out those of a peer that was met. */
static void sources_do_not_unsay_each_other(void **state)
{
    struct desk *d = *state;
    struct says v = {.who = 1, .ttl_s = 120, .addrs = {"/ip4/192.168.1.9/tcp/8000"}};
    peer_says(d, &v, "192.168.1.9");
    v.addrs[0] = "/ip6/2001:db8:1::9/tcp/8000";
    peer_says(d, &v, "2001:db8:1::9");
    assert_int_equal(peer_of(d, 1)->addr_count, 2);
    struct peer_id id = id_of(1);
    mdns_met(&d->m, &id);
    struct says lie = {.who = 1, .ttl_s = 120};
    char text[8][64];
    for (int i = 0; i < 8; i++) {
        snprintf(text[i], sizeof text[i], "/ip4/192.168.1.66/tcp/%d", i + 1);
        lie.addrs[i] = text[i];
    }
    peer_says(d, &lie, "192.168.1.66");
    assert_int_equal(peer_of(d, 1)->addr_count, LIMIT_MDNS_ADDRS);
    struct multiaddr real;
    assert_int_equal(multiaddr_parse(BYTES_LIT("/ip4/192.168.1.9/tcp/8000"), &real), 0);
    bool is_there = false;
    for (size_t i = 0; i < peer_of(d, 1)->addr_count; i++)
        is_there |= bytes_eq(multiaddr_bytes(&real), multiaddr_bytes(&peer_of(d, 1)->addrs[i]));
    assert_true(is_there);
}

static bool has_address(struct desk *d, unsigned who, const char *text)
{
    struct multiaddr want;
    const struct mdns_peer *p = peer_of(d, who);
    assert_int_equal(multiaddr_parse(bytes_str(text), &want), 0);
    for (size_t i = 0; p && i < p->addr_count; i++)
        if (bytes_eq(multiaddr_bytes(&want), multiaddr_bytes(&p->addrs[i])))
            return true;
    return false;
}

/* … nor by saying it twice, nor by its goodbye, nor by a short life. */
static void a_liar_who_insists_does_not_take_over_who_was_met(void **state)
{
    struct desk *d = *state;
    struct says v = {.who = 1, .ttl_s = 4000, .addrs = {"/ip4/192.168.1.9/tcp/8000"}};
    struct says lie = {.who = 1, .ttl_s = 2, .addrs = {"/ip4/192.168.1.66/tcp/22"}};
    struct peer_id id = id_of(1);
    peer_says(d, &v, "192.168.1.9");
    mdns_met(&d->m, &id);
    for (int i = 0; i < 3; i++)
        peer_says(d, &lie, "192.168.1.66");
    assert_true(has_address(d, 1, "/ip4/192.168.1.9/tcp/8000"));
    lie.ttl_s = 0;
    peer_says(d, &lie, "192.168.1.66");
    run_to(d, d->sched.now_us + 60 * US_PER_S);
    assert_true(has_address(d, 1, "/ip4/192.168.1.9/tcp/8000"));
    v.ttl_s = 0; /* its own goodbye counts */
    peer_says(d, &v, "192.168.1.9");
    run_to(d, d->sched.now_us + 2 * US_PER_S);
    assert_null(peer_of(d, 1));
}

/* The socket takes what is sent to our address from anywhere; only a LAN speaks mDNS (RFC 6762 §11). */
static void what_comes_from_elsewhere_is_not_heard(void **state)
{
    struct desk *d = *state;
    peer_says(d, &(struct says){.who = 1, .ttl_s = 120, .addrs = {"/ip4/203.0.113.7/tcp/25"}},
              "203.0.113.7");
    peer_says(d, &(struct says){.who = 2, .ttl_s = 120, .addrs = {"/ip6/2001:db8:2::9/tcp/25"}},
              "2001:db8:2::9");
    assert_int_equal(map_count(&d->m.peers), 0);
    assert_int_equal(d->m.counts.refused_far, 2);
    struct net_addr at[2] = {net("203.0.113.2"), net("2001:db8:1::2")};
    assert_int_equal(mdns_link_up(&d->m, LINK, at, 2), 0); /* a LAN of public addresses */
    peer_says(d, &(struct says){.who = 1, .ttl_s = 120, .addrs = {"/ip4/203.0.113.7/tcp/1"}},
              "203.0.113.7");
    peer_says(d, &(struct says){.who = 3, .ttl_s = 120, .addrs = {"/ip6/2001:db8:1::9/tcp/1"}},
              "2001:db8:1::9");
    assert_int_equal(map_count(&d->m.peers), 2);
}

static void ten_thousand_fake_peers(void **state)
{
    struct desk *d = *state;
    struct peer_id real = id_of(1);
    char from[32], addr[64];
    peer_says(d, &(struct says){.who = 1, .ttl_s = 4500, .addrs = {"/ip4/192.168.1.9/tcp/1"}},
              "192.168.1.9");
    mdns_met(&d->m, &real);
    for (unsigned i = 2; i < 10002; i++) {
        snprintf(from, sizeof from, "10.%u.%u.1", i >> 8 & 255, i & 255);
        snprintf(addr, sizeof addr, "/ip4/%s/tcp/1", from);
        peer_says(d, &(struct says){.who = i, .ttl_s = 4500, .addrs = {addr}}, from);
        if (i % 100 == 0)
            run_to(d, d->sched.now_us + 100 * US_PER_MS);
    }
    assert_true(map_count(&d->m.peers) <= LIMIT_MDNS_PEERS);
    assert_non_null(mdns_peer(&d->m, &real));
    assert_true(map_count(&d->m.rates.buckets) <= LIMIT_MDNS_RATED);
    /* A real one that comes during the flood is found: the oldest fake leaves. */
    run_to(d, d->sched.now_us + 60 * US_PER_S);
    peer_says(d, &(struct says){.who = 20000, .ttl_s = 120, .addrs = {"/ip4/192.168.1.8/tcp/1"}},
              "192.168.1.8");
    assert_non_null(peer_of(d, 20000));
    /* Questions stay small. */
    d->sent_count = 0;
    run_to(d, d->sched.now_us + 400 * US_PER_S);
    assert_true(d->sent_count > 0);
    for (size_t i = 0; i < d->sent_count; i++)
        assert_true(d->sent[i].n <= 1440);
}

static void one_address_tells_of_few(void **state)
{
    struct desk *d = *state;
    for (unsigned i = 1; i < 80; i++) {
        peer_says(d, &(struct says){.who = i, .ttl_s = 120, .addrs = {"/ip4/192.168.1.9/tcp/1"}},
                  "192.168.1.9");
        run_to(d, d->sched.now_us + 50 * US_PER_MS);
    }
    assert_int_equal(map_count(&d->m.peers), LIMIT_MDNS_PEERS_SOURCE);
    assert_true(d->m.counts.refused_peers > 0);
}

static void one_peer_has_few_addresses(void **state)
{
    struct desk *d = *state;
    struct says v = {.who = 1, .ttl_s = 120};
    char text[12][64];
    for (int i = 0; i < 12; i++) {
        snprintf(text[i], sizeof text[i], "/ip4/192.168.1.9/tcp/%d", i + 1);
        v.addrs[i] = text[i];
    }
    peer_says(d, &v, "192.168.1.9");
    assert_int_equal(peer_of(d, 1)->addr_count, LIMIT_MDNS_ADDRS);
}

/* Forty peers in one message, each with its TXT, from as many as one source may tell of and beyond. */
static void one_message_names_few(void **state)
{
    struct desk *d = *state;
    uint8_t b[LIMIT_MDNS_PACKET];
    char text[160], id[PEER_ID_TEXT];
    struct dns_writer w;
    struct net_addr from = net("192.168.1.9");
    struct dns_name name[40];
    dns_write(&w, b, sizeof b, 0, DNS_FLAG_RESPONSE);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "p%u._p2p._udp.local", i);
        assert_int_equal(dns_name_parse(bytes_str(text), &name[i]), 0);
        dns_put_ptr(&w, DNS_ANSWER, &d->m.service, 120, &name[i]);
    }
    for (unsigned i = 40; i-- > 0;) { /* the last ones, which are not read, come first */
        struct peer_id peer = id_of(i + 1);
        snprintf(text, sizeof text, "dnsaddr=/ip4/192.168.1.9/tcp/1/p2p/%s",
                 peer_id_text(&peer, id, sizeof id));
        if (i >= LIMIT_MDNS_NAMES || i == 0)
            dns_put_txt(&w, DNS_ADDITIONAL, &name[i], 120, bytes_str(text));
    }
    assert_false(w.is_full);
    mdns_heard(&d->m, LINK, &from, dns_written(&w));
    assert_int_equal(map_count(&d->m.peers), 1);
    assert_non_null(peer_of(d, 1));
}

static void garbage_is_counted(void **state)
{
    struct desk *d = *state;
    struct net_addr from = net("192.168.1.9");
    mdns_heard(&d->m, LINK, &from, BYTES_LIT("short"));
    mdns_heard(&d->m, LINK + 1, &from, BYTES_LIT("no such link"));
    assert_int_equal(d->m.counts.malformed, 1);
}

/* --- links --- */

static void links_have_a_limit(void **state)
{
    struct desk *d = *state;
    struct net_addr at = net("10.0.0.1");
    for (uint32_t i = 1; i < LIMIT_MDNS_LINKS; i++)
        assert_int_equal(mdns_link_up(&d->m, 100 + i, &at, 1), 0);
    assert_int_equal(mdns_link_up(&d->m, 99, &at, 1), E_LIMIT);
    assert_int_equal(mdns_link_up(&d->m, 101, &at, 1), 0);
    mdns_link_down(&d->m, 101);
    assert_int_equal(mdns_link_up(&d->m, 99, &at, 1), 0);
}

static struct mdns_interface row(const char *name, uint32_t index, const char *ip)
{
    struct mdns_interface i = {.index = index, .is_usable = true, .addr = net(ip)};
    snprintf(i.name, sizeof i.name, "%s", name);
    return i;
}

static void interfaces_worth_speaking_on(void **state)
{
    struct mdns_interface v[] = {row("lo", 1, "127.0.0.1"),  row("eth0", 2, "192.168.1.2"),
                                 row("eth0", 2, "fe80::2"),  row("docker0", 3, "172.17.0.1"),
                                 row("veth1", 4, "fe80::4"), row("tun0", 5, "10.8.0.2"),
                                 row("wlan0", 6, "fe80::6"), row("wlan0", 6, "2001:db8::6")};
    struct mdns_pick out[16];
    struct net_addr ip = net("192.168.1.2"), other = net("192.168.1.3");
    v[0].is_usable = v[3].is_usable = v[5].is_usable = false;
    size_t n = mdns_pick_links(v, sizeof v / sizeof *v, out, 16);
    assert_int_equal(n, 3);
    assert_string_equal(out[0].name, "eth0");
    assert_int_equal(out[0].kind, NET_IP4);
    assert_int_equal(out[0].addr_count, 2);
    assert_true(mdns_pick_has(&out[0], &ip));
    assert_false(mdns_pick_has(&out[0], &other));
    assert_string_equal(out[1].name, "eth0");
    assert_int_equal(out[1].kind, NET_IP6);
    assert_true(mdns_pick_same_addrs(&out[0], &out[1]));
    assert_string_equal(out[2].name, "wlan0");
    assert_int_equal(out[2].kind, NET_IP6);
    assert_false(mdns_pick_same_addrs(&out[0], &out[2]));
    assert_true(out[0].key != out[1].key && out[1].key != out[2].key);
    assert_int_equal(mdns_pick_links(v, sizeof v / sizeof *v, out, 2), 2);
}

/* --- two of them, with sockets --- */

struct machine {
    struct loop *loop;
    struct mdns_shell *s;
    struct multiaddr addr;
    struct bytes view;
    unsigned found, lost, links;
    uint64_t found_us;
};

static size_t machine_addrs(void *ctx, const struct bytes **out)
{
    struct machine *m = ctx;
    m->view = multiaddr_bytes(&m->addr);
    *out = &m->view;
    return 1;
}

static void machine_found(void *ctx, const struct mdns_peer *peer, bool is_news)
{
    struct machine *m = ctx;
    m->found += is_news;
    if (is_news)
        m->found_us = sched_now(loop_sched(m->loop));
}

static void machine_lost(void *ctx, const struct mdns_peer *peer)
{
    ((struct machine *)ctx)->lost++;
}

static void machine_links(void *ctx)
{
    ((struct machine *)ctx)->links++;
}

static void machine_up(struct loop_virtual *w, struct machine *m, const char *ip, unsigned id)
{
    struct net_addr at = net(ip);
    *m = (struct machine){.loop = loop_virtual_machine(w, &at)};
    at.port = 8000;
    assert_int_equal(multiaddr_from_net(&at, &m->addr), 0);
    struct mdns_shell_cfg cfg = {.self = id_of(id),
                                 .addrs = machine_addrs,
                                 .found = machine_found,
                                 .lost = machine_lost,
                                 .links_changed = machine_links,
                                 .ctx = m};
    m->s = mdns_open(m->loop, &cfg);
}

static void two_meet_within_milliseconds(void **state)
{
    static const char *const ips[][2] = {{"10.0.0.1", "10.0.0.2"}, {"2001:db8::1", "2001:db8::2"}};
    for (int six = 0; six < 2; six++) {
        struct loop_virtual *w = loop_virtual_new(3);
        struct machine a, b;
        char names[64];
        machine_up(w, &a, ips[six][0], 1);
        machine_up(w, &b, ips[six][1], 2);
        loop_virtual_run(w, 10 * US_PER_S, NULL, NULL);
        assert_int_equal(a.found + b.found, 0); /* plugged into nothing */
        assert_string_equal(mdns_interfaces(a.s, names, sizeof names), "");
        loop_virtual_set_lan(w, a.loop, 1);
        loop_virtual_set_lan(w, b.loop, 1);
        loop_virtual_run(w, 15 * US_PER_S, NULL, NULL); /* the next look is within 3 s */
        assert_int_equal(a.found, 1);
        assert_int_equal(b.found, 1);
        assert_string_equal(mdns_interfaces(a.s, names, sizeof names), "eth0");
        /* One that stops says so; one that is unplugged runs out, and comes back. */
        loop_virtual_set_lan(w, a.loop, 0);
        loop_virtual_run(w, 200 * US_PER_S, NULL, NULL);
        assert_int_equal(b.lost, 1);
        loop_virtual_set_lan(w, a.loop, 1);
        uint64_t plugged = loop_virtual_now(w);
        loop_virtual_run(w, plugged + 5 * US_PER_S, NULL, NULL);
        assert_int_equal(b.found, 2);
        assert_true(b.found_us < plugged + 4 * US_PER_S);
        mdns_close(a.s);
        loop_virtual_run(w, loop_virtual_now(w) + 2 * US_PER_S, NULL, NULL);
        assert_int_equal(b.lost, 2);
        mdns_close(b.s);
        loop_virtual_free(w);
    }
}

static void a_newcomer_is_found_at_once(void **state)
{
    struct loop_virtual *w = loop_virtual_new(4);
    struct machine a, b;
    machine_up(w, &a, "10.0.0.1", 1);
    loop_virtual_set_lan(w, a.loop, 1);
    loop_virtual_run(w, 100 * US_PER_S, NULL, NULL);
    machine_up(w, &b, "10.0.0.2", 2);
    mdns_close(b.s);
    loop_virtual_set_lan(w, b.loop, 1);
    struct mdns_shell_cfg cfg = {.self = id_of(2),
                                 .addrs = machine_addrs,
                                 .found = machine_found,
                                 .lost = machine_lost,
                                 .ctx = &b};
    b.s = mdns_open(b.loop, &cfg);
    loop_virtual_run(w, 100 * US_PER_S + 300 * US_PER_MS, NULL, NULL);
    assert_int_equal(a.found, 1);
    assert_int_equal(b.found, 1);
    mdns_close(a.s);
    mdns_close(b.s);
    loop_virtual_free(w);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(questions_double_up_to_minutes),
        CASE(the_answer_as_it_lies_on_the_wire),
        CASE(at_most_eight_addresses_are_told),
        CASE(a_flood_of_questions_gets_one_answer_a_second),
        CASE(the_meta_query_names_the_service),
        CASE(other_questions_are_not_ours),
        CASE(known_answers_need_no_answer),
        CASE(our_own_question_is_not_answered),
        CASE(nothing_to_dial_is_not_told),
        CASE(stopping_says_goodbye),
        cmocka_unit_test(private_networks_have_a_name_of_their_own),
        CASE(a_peer_is_found_renewed_and_lost),
        CASE(texts_among_the_answers_are_read_too),
        CASE(a_goodbye_counts_within_a_second),
        CASE(nothing_is_believed_for_longer_than_the_limit),
        CASE(poisoned_addresses_are_dropped),
        CASE(names_that_are_not_the_texts_owner),
        CASE(ourselves_are_nobody),
        CASE(sources_do_not_unsay_each_other),
        CASE(a_liar_who_insists_does_not_take_over_who_was_met),
        CASE(what_comes_from_elsewhere_is_not_heard),
        CASE(ten_thousand_fake_peers),
        CASE(one_address_tells_of_few),
        CASE(one_peer_has_few_addresses),
        CASE(one_message_names_few),
        CASE(garbage_is_counted),
        CASE(links_have_a_limit),
        cmocka_unit_test(interfaces_worth_speaking_on),
        cmocka_unit_test(two_meet_within_milliseconds),
        cmocka_unit_test(a_newcomer_is_found_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
