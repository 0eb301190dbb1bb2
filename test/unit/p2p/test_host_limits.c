// SPDX-License-Identifier: MIT
/* Whole hosts in virtual time against peers that take too much: too many connections, pushes, lies
 * in identify, streams beyond the limit. Machines have addresses of their own, so that what counts
 * by IP counts here too. */
#include "host_world.h"

#include "base/rng.h"
#include "codec/envelope.h"
#include "codec/varint.h"
#include "p2p/identify.h"

#define ID_PUSH "/ipfs/id/push/1.0.0"

/* --- connections that say nothing --- */

struct raw {
    struct loop_dial dial;
    struct stream *s;
    int err;
    bool is_done, is_closed;
};

static void raw_readable(void *ctx)
{
    struct raw *r = ctx;
    uint8_t in[64];
    ssize_t n;
    while ((n = stream_read(r->s, in, sizeof in)) > 0)
        ;
    r->is_closed |= n != E_AGAIN;
}

static void raw_writable(void *ctx)
{
}

static void raw_gone(void *ctx, int err)
{
    ((struct raw *)ctx)->is_closed = true;
}

static const struct stream_events raw_events = {raw_readable, raw_writable, raw_gone};

static void raw_dialled(struct loop_dial *d, int err, struct stream *s)
{
    struct raw *r = CONTAINER_OF(d, struct raw, dial);
    r->is_done = true;
    r->err = err;
    r->s = s;
    if (err)
        return;
    stream_listen(s, &raw_events, r);
    stream_want_read(s, true);
}

static void raw_dial(struct raw *r, struct machine *from, const char *ip)
{
    struct net_addr at;
    *r = (struct raw){.dial.done = raw_dialled};
    assert_int_equal(net_addr_parse_ip(ip, 8000, &at), 0);
    loop_dial(from->loop, &r->dial, &at, NULL, 5 * US_PER_S);
}

static int raw_open(const struct raw *r, int n)
{
    int open = 0;
    for (int i = 0; i < n; i++)
        open += r[i].is_done && !r[i].err && !r[i].is_closed;
    return open;
}

static void raw_close(struct raw *r, int n)
{
    for (int i = 0; i < n; i++)
        if (r[i].s)
            stream_close(r[i].s);
}

static void eight_unproved_connections_of_one_address(void **state)
{
    struct hosts h;
    struct raw many[12], other;
    struct asked a;
    hosts_init(&h, 1, 3);
    for (int i = 0; i < 12; i++)
        raw_dial(&many[i], &h.m[0], "10.0.0.2");
    raw_dial(&other, &h.m[2], "10.0.0.2");
    hosts_run(&h, US_PER_S);
    assert_int_equal(raw_open(many, 12), LIMIT_CONNS_PENDING_IP);
    assert_int_equal(raw_open(&other, 1), 1); /* another address is not concerned */
    assert_int_equal(p2p_host_counts(h.m[1].host).refused_limit, 12 - LIMIT_CONNS_PENDING_IP);
    ask_echo(&a, &h.m[2], &h.m[1], ECHO, 100);
    hosts_run(&h, US_PER_S);
    assert_true(a.client.is_complete);
    hosts_run(&h, 6 * US_PER_S); /* five seconds without a word */
    assert_int_equal(raw_open(many, 12), 0);
    assert_int_equal(p2p_host_counts(h.m[1].host).conns_pending, 0);
    raw_close(many, 12);
    raw_close(&other, 1);
    hosts_fini(&h);
}

static void loopback_is_one_address_for_everybody(void **state)
{
    struct hosts h;
    struct raw many[40];
    hosts_init(&h, 2, 1);
    for (int i = 0; i < 40; i++)
        raw_dial(&many[i], &h.m[0], "127.0.0.1");
    hosts_run(&h, US_PER_S);
    assert_int_equal(raw_open(many, 40), 40);
    assert_int_equal(p2p_host_counts(h.m[0].host).refused_limit, 0);
    raw_close(many, 40);
    hosts_run(&h, US_PER_S);
    hosts_fini(&h);
}

static void a_burst_of_twenty_and_then_five_a_second(void **state)
{
    struct hosts h;
    struct raw one;
    int taken = 0;
    hosts_init(&h, 3, 2);
    for (int i = 0; i < 100; i++) { /* one after another: never more than one is pending */
        raw_dial(&one, &h.m[0], "10.0.0.2");
        hosts_run(&h, 5 * US_PER_MS);
        taken += raw_open(&one, 1);
        raw_close(&one, 1);
        hosts_run(&h, 5 * US_PER_MS);
    }
    assert_in_range(taken, LIMIT_ACCEPT_BURST + 4, LIMIT_ACCEPT_BURST + 6); /* it took a second */
    hosts_fini(&h);
}

static void total_of_the_unproved(void **state)
{
    struct hosts h;
    struct raw *many = mem_array(LIMIT_CONNS_PENDING + 10, sizeof *many);
    hosts_init(&h, 4, 1);
    for (int i = 0; i < LIMIT_CONNS_PENDING + 10; i++)
        raw_dial(&many[i], &h.m[0], "127.0.0.1");
    hosts_run(&h, US_PER_S);
    assert_int_equal(raw_open(many, LIMIT_CONNS_PENDING + 10), LIMIT_CONNS_PENDING);
    raw_close(many, LIMIT_CONNS_PENDING + 10);
    hosts_run(&h, US_PER_S);
    free(many);
    hosts_fini(&h);
}

/* --- connections that proved themselves --- */

static void eight_connections_of_one_peer(void **state)
{
    struct hosts h;
    struct conn *c = NULL;
    struct asked a;
    hosts_init(&h, 5, 2);
    for (int i = 0; i < LIMIT_CONNS_PEER + 3; i++) {
        ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
        hosts_run(&h, US_PER_S);
        struct host_peer *p = host_peer_get(h.m[0].host, &h.m[1].key.id);
        LIST_FOREACH (&p->conns, it) { /* pretend that no stream may use them, so that we dial on */
            c = LIST_ENTRY(it, struct conn, by_owner);
            c->is_goaway = true;
            c->busy = 1;
            c->stream_count = 1;
        }
    }
    assert_non_null(c);
    assert_int_equal(host_peer_get(h.m[1].host, &h.m[0].key.id)->conn_count, LIMIT_CONNS_PEER);
    LIST_FOREACH (&host_peer_get(h.m[0].host, &h.m[1].key.id)->conns, it) {
        c = LIST_ENTRY(it, struct conn, by_owner);
        c->busy = c->stream_count = 0;
    }
    hosts_fini(&h);
}

/* rust closes what is idle for 10 s; the user of a stream must not notice, at whatever moment. */
static void who_closes_idle_connections_is_dialled_again(void **state)
{
    for (int at = 9900; at < 16000; at += 97) {
        struct hosts h;
        struct asked a, b;
        hosts_init(&h, 7, 1);
        struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
        cfg.idle_us = 10 * US_PER_S;
        struct machine *rust = hosts_add(&h, &cfg);
        ask_echo(&a, &h.m[0], rust, ECHO, 100);
        hosts_run(&h, (uint64_t)at * US_PER_MS);
        assert_true(a.client.is_complete);
        ask_echo(&b, &h.m[0], rust, ECHO, 100);
        hosts_run(&h, US_PER_S);
        assert_true(b.client.is_complete || b.client.closed_err == E_CLOSED);
        if (at > 15200)
            assert_true(b.client.is_complete);
        hosts_fini(&h);
    }
}

/* --- streams beyond the limit --- */

/* A peer that is no Conduit node gets 400 at a time; the others wait for their turn, or their
 * deadline. No second connection is opened for them. */
static void streams_over_the_limit_wait_with_a_deadline(void **state)
{
    struct hosts h;
    struct asked *a = mem_array(LIMIT_YAMUX_OUTBOUND + 3, sizeof *a);
    hosts_init(&h, 8, 1);
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    cfg.protocol_version = "ipfs/0.1.0";
    cfg.conn.max_inbound_stranger = 1000; /* as js */
    struct machine *other = hosts_add(&h, &cfg);
    ask_echo(&a[0], &h.m[0], other, ECHO, 10);
    hosts_run(&h, US_PER_S);
    for (int i = 0; i < LIMIT_YAMUX_OUTBOUND + 3; i++) {
        ask_echo(&a[i], &h.m[0], other, ECHO, 10);
        a[i].client.holds_finish = true;
    }
    hosts_run(&h, 5 * US_PER_S);
    for (int i = 0; i < LIMIT_YAMUX_OUTBOUND; i++)
        assert_int_equal(a[i].client.got, 10);
    for (int i = 0; i < 3; i++)
        assert_int_equal(a[LIMIT_YAMUX_OUTBOUND + i].done, 0);
    stream_finish(a[7].client.s); /* one ends: the next has its place */
    hosts_run(&h, US_PER_S);
    assert_true(a[7].client.is_complete);
    assert_int_equal(a[LIMIT_YAMUX_OUTBOUND].client.got, 10);
    assert_int_equal(a[LIMIT_YAMUX_OUTBOUND + 1].done, 0);
    hosts_run(&h, 30 * US_PER_S);
    assert_int_equal(a[LIMIT_YAMUX_OUTBOUND + 1].err, E_TIMEOUT);
    assert_int_equal(a[LIMIT_YAMUX_OUTBOUND + 2].err, E_TIMEOUT);
    assert_int_equal(p2p_host_counts(h.m[0].host).conns, 1);
    hosts_fini(&h);
    free(a);
}

/* Conduit nodes give each other 4,096; the next one waits. */
static void conduit_nodes_give_each_other_more(void **state)
{
    struct hosts h;
    struct asked *a = mem_array(LIMIT_YAMUX_PEER + 1, sizeof *a);
    int served = 0;
    hosts_init(&h, 9, 2);
    ask_echo(&a[0], &h.m[0], &h.m[1], ECHO, 1);
    hosts_run(&h, US_PER_S);
    for (int i = 0; i <= LIMIT_YAMUX_PEER; i++) {
        ask_echo(&a[i], &h.m[0], &h.m[1], ECHO, 1);
        a[i].client.holds_finish = true;
    }
    hosts_run(&h, 10 * US_PER_S);
    for (int i = 0; i <= LIMIT_YAMUX_PEER; i++)
        served += a[i].client.got == 1;
    assert_int_equal(served, LIMIT_YAMUX_PEER);
    assert_int_equal(p2p_host_counts(h.m[0].host).conns, 1);
    hosts_fini(&h);
    free(a);
}

/* --- identify --- */

/* Pushes that are begun and not finished: four, and each has ten seconds. */
static void so_many_pushes_under_way(void **state)
{
    struct hosts h;
    struct asked a[LIMIT_IDENTIFY_INBOUND + 3];
    int refused = 0;
    hosts_init(&h, 10, 2);
    ask_connect(&a[0], &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        ask_echo(&a[i], &h.m[0], &h.m[1], ID_PUSH, 0);
        a[i].client.holds_finish = true;
    }
    hosts_run(&h, US_PER_S);
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        refused += a[i].client.closed_err == E_RESET || a[i].err == E_RESET;
    assert_int_equal(refused, 3);
    assert_int_equal(host_peer_get(h.m[1].host, &h.m[0].key.id)->identifies,
                     LIMIT_IDENTIFY_INBOUND);
    hosts_run(&h, 10 * US_PER_S);
    assert_int_equal(host_peer_get(h.m[1].host, &h.m[0].key.id)->identifies, 0);
    hosts_fini(&h);
}

static void identify_is_asked_every_five_minutes(void **state)
{
    struct hosts h;
    struct asked a;
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    hosts_init(&h, 9, 1);
    cfg.protocol_version = "ipfs/0.1.0";
    hosts_add(&h, &cfg);
    for (int i = 0; i < 2; i++)
        p2p_host_protect(h.m[i].host, &h.m[1 - i].key.id, true);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, 60 * US_PER_S);
    assert_int_equal(h.m[0].identified, 1);
    hosts_run(&h, 280 * US_PER_S);
    assert_int_equal(h.m[0].identified, 2);
    hosts_run(&h, 1200 * US_PER_S);
    assert_in_range(h.m[0].identified, 5, 7);
    struct bytes addr;
    assert_int_equal(p2p_host_observed(h.m[0].host, 0, &addr), 1); /* one voice, said often */
    assert_int_equal(p2p_host_observed(h.m[0].host, 1, &addr), 0);
    assert_true(bytes_eq(addr, h.m[0].addr_view)); /* with our listener's port */
    assert_false(p2p_host_is_candidate(h.m[0].host, 0));
    hosts_fini(&h);
}

/* It tells by itself. And on a connection that nobody needs nobody is asked. */
static void a_conduit_node_is_asked_less_often(void **state)
{
    struct hosts h;
    struct asked a[2];
    struct p2p_host_cfg cfg = p2p_host_cfg_default(NULL);
    hosts_init(&h, 9, 2);
    cfg.protocol_version = "ipfs/0.1.0";
    hosts_add(&h, &cfg);
    p2p_host_protect(h.m[0].host, &h.m[1].key.id, true);
    ask_connect(&a[0], &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    ask_connect(&a[1], &h.m[0], &h.m[2].key.id, &h.m[2].addr_view, 1);
    hosts_run(&h, 60 * US_PER_S);
    assert_int_equal(h.m[0].identified, 2);
    hosts_run(&h, 600 * US_PER_S);
    assert_true(p2p_host_is_connected(h.m[0].host, &h.m[2].key.id));
    assert_int_equal(h.m[0].identified, 2);
    hosts_run(&h, 1400 * US_PER_S);
    assert_int_equal(h.m[0].identified, 3);
    hosts_fini(&h);
}

/* Raw bytes on a stream of identify-push. */
struct pusher {
    struct p2p_open open;
    struct buf message;
    int err;
    bool is_done;
};

static void pusher_opened(struct p2p_open *r, int err, struct stream *s)
{
    struct pusher *p = CONTAINER_OF(r, struct pusher, open);
    p->is_done = true;
    p->err = err;
    if (err)
        return;
    assert_int_equal(stream_write(s, buf_view(&p->message)), buf_len(&p->message));
    stream_finish(s);
    stream_close(s);
}

static void push_raw(struct hosts *h, struct machine *from, struct machine *to, struct bytes bytes)
{
    struct pusher p = {
        .open = {.peer = to->key.id,
                 .addrs = &to->addr_view,
                 .addr_count = 1,
                 .protocol = ID_PUSH,
                 .done = pusher_opened},
    };
    buf_init(&p.message, 0);
    buf_append_bytes(&p.message, bytes);
    p2p_host_open(from->host, &p.open);
    hosts_run(h, US_PER_S / 10);
    assert_true(p.is_done && p.err == 0);
    buf_fini(&p.message);
}

static void push(struct hosts *h, struct machine *from, struct machine *to,
                 const struct identify *id)
{
    struct buf out;
    buf_init(&out, 0);
    assert_int_equal(identify_encode(id, &out), 0);
    push_raw(h, from, to, buf_view(&out));
    buf_fini(&out);
}

static void pushes_have_a_rate(void **state)
{
    struct hosts h;
    struct asked a;
    struct identify *id = MEM_NEW(struct identify);
    hosts_init(&h, 10, 2);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    int before = h.m[1].identified;
    id->agent = BYTES_LIT("again");
    for (int i = 0; i < 40; i++)
        push(&h, &h.m[0], &h.m[1], id);
    assert_int_equal(h.m[1].identified - before, LIMIT_PUSH_BURST);
    assert_true(p2p_host_is_connected(h.m[1].host, &h.m[0].key.id));
    hosts_run(&h, 6 * US_PER_S);
    push(&h, &h.m[0], &h.m[1], id);
    assert_int_equal(h.m[1].identified - before, LIMIT_PUSH_BURST + 1);
    free(id);
    hosts_fini(&h);
}

static bool knows(struct machine *m, const struct peer_id *peer, const char *addr)
{
    struct known_peer *k = p2p_host_record(m->host, peer);
    struct multiaddr a;
    assert_int_equal(multiaddr_parse(bytes_str(addr), &a), 0);
    for (size_t i = 0; k && i < k->addr_count; i++)
        if (bytes_eq(bytes_of(k->addrs[i].p, k->addrs[i].n), multiaddr_bytes(&a)))
            return true;
    return false;
}

/* An envelope about `of`, signed by it, with one address. */
static void seal_record(struct buf *out, const struct key_pair *of, uint64_t seq, const char *addr)
{
    struct multiaddr a;
    assert_int_equal(multiaddr_parse(bytes_str(addr), &a), 0);
    struct bytes v = multiaddr_bytes(&a);
    buf_clear(out);
    assert_int_equal(peer_record_seal(of, seq, &v, 1, out), 0);
}

static void signed_records_are_told_and_taken(void **state)
{
    struct hosts h;
    struct asked a;
    struct buf record;
    struct identify *id = MEM_NEW(struct identify);
    const struct key_pair *k0;
    buf_init(&record, 0);
    hosts_init(&h, 11, 2);
    k0 = &h.m[0].key;
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    uint64_t seq = p2p_host_record(h.m[1].host, &k0->id)->record_seq;
    assert_true(seq > UINT64_C(1700000000000000)); /* the wall clock's: grows over restarts */
    assert_true(knows(&h.m[1], &k0->id, "/ip4/10.0.0.1/tcp/8000"));
    struct multiaddr plain;
    assert_int_equal(multiaddr_parse(bytes_str("/ip4/10.9.9.9/tcp/1"), &plain), 0);
    id->addrs[id->addr_count++] = multiaddr_bytes(&plain);
    seal_record(&record, k0, seq + 5, "/ip4/10.1.1.1/tcp/5");
    id->signed_record = buf_view(&record);
    push(&h, &h.m[0], &h.m[1], id);
    assert_true(knows(&h.m[1], &k0->id, "/ip4/10.1.1.1/tcp/5"));
    assert_false(knows(&h.m[1], &k0->id, "/ip4/10.9.9.9/tcp/1")); /* what is signed goes before */
    seal_record(&record, k0, seq + 4, "/ip4/10.2.2.2/tcp/5");     /* older: a replay */
    id->signed_record = buf_view(&record);
    push(&h, &h.m[0], &h.m[1], id);
    assert_false(knows(&h.m[1], &k0->id, "/ip4/10.2.2.2/tcp/5"));
    assert_true(knows(&h.m[1], &k0->id, "/ip4/10.9.9.9/tcp/1"));
    assert_int_equal(p2p_host_record(h.m[1].host, &k0->id)->record_seq, seq + 5);
    buf_fini(&record);
    free(id);
    hosts_fini(&h);
}

/* CVE-2023-40583 / GHSA-gcq9-qqwx-rgj3: go kept signed records of whoever was named, without end.
 * Nothing is kept of a record but its addresses, and only of the peer that is connected. */
static void cve_2023_40583_records_of_others(void **state)
{
    struct hosts h;
    struct asked a;
    struct buf record;
    struct identify *id = MEM_NEW(struct identify);
    struct key_pair other;
    buf_init(&record, 0);
    hosts_init(&h, 12, 2);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    size_t peers = map_count(&h.m[1].host->store.by_id);
    for (int i = 0; i < LIMIT_PUSH_BURST; i++) {
        key_pair_generate(&other, &h.rng);
        seal_record(&record, &other, UINT64_MAX, "/ip4/10.3.3.3/tcp/5");
        id->signed_record = buf_view(&record);
        push(&h, &h.m[0], &h.m[1], id);
        assert_null(p2p_host_record(h.m[1].host, &other.id));
    }
    assert_int_equal(map_count(&h.m[1].host->store.by_id), peers);
    assert_false(knows(&h.m[1], &h.m[0].key.id, "/ip4/10.3.3.3/tcp/5"));
    buf_fini(&record);
    free(id);
    hosts_fini(&h);
}

/* GHSA-xqvc-92cf-94j4 (py): a length prefix that never ends, or claims the whole memory. */
static void ghsa_xqvc_92cf_94j4_unbounded_lengths(void **state)
{
    static const struct bytes lengths[] = {
        BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), /* 2^63 - 1 */
        BYTES_LIT("\xff\xff\xff\xff\x0f"),                 /* 4 GiB */
        BYTES_LIT("\x81\x40 and a byte too much"),         /* 8 KiB and one */
        BYTES_LIT("\x80\x00"),                             /* not minimal */
    };
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct hosts h;
        struct asked a;
        hosts_init(&h, 13 + i, 2);
        ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
        hosts_run(&h, US_PER_S);
        push_raw(&h, &h.m[0], &h.m[1], lengths[i]);
        assert_int_equal(h.m[1].identified, 1);
        assert_true(list_is_empty(&h.m[1].host->identifies)); /* given up at once */
        assert_true(p2p_host_is_connected(h.m[1].host, &h.m[0].key.id));
        hosts_fini(&h);
    }
}

/* --- names --- */

static void a_zone_that_names_itself_ends(void **state)
{
    struct hosts h;
    struct asked a;
    struct machine named = {0};
    hosts_init(&h, 30, 2);
    for (int i = 0; i < 8; i++) {
        char entry[64];
        snprintf(entry, sizeof entry, "dnsaddr=/dnsaddr/%d.evil.example", i);
        loop_virtual_set_text(h.world, "_dnsaddr.evil.example", entry);
        for (int k = 0; k < 8; k++) {
            char name[64];
            snprintf(name, sizeof name, "_dnsaddr.%d.evil.example", k);
            loop_virtual_set_text(h.world, name, entry);
        }
    }
    machine_addr(&named, "/dnsaddr/evil.example");
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &named.addr_view, 1);
    hosts_run(&h, 10 * US_PER_S);
    assert_int_equal(a.done, 1);
    assert_int_not_equal(a.err, 0);
    assert_true(list_is_empty(&h.m[0].host->dials));
    hosts_fini(&h);
}

/* Lists in lists are followed to the fourth, and found there. */
static void lists_may_name_lists(void **state)
{
    for (int depth = 0; depth <= LIMIT_DNS_DEPTH + 1; depth++) {
        struct hosts h;
        struct asked a;
        struct machine named = {0};
        hosts_init(&h, 31, 2);
        for (int i = 0; i <= depth; i++) {
            char name[64], entry[96];
            snprintf(name, sizeof name, "_dnsaddr.l%d.example", i);
            if (i < depth)
                snprintf(entry, sizeof entry, "dnsaddr=/dnsaddr/l%d.example", i + 1);
            else
                snprintf(entry, sizeof entry, "dnsaddr=/ip4/10.0.0.2/tcp/8000");
            loop_virtual_set_text(h.world, name, entry);
        }
        machine_addr(&named, "/dnsaddr/l0.example");
        ask_connect(&a, &h.m[0], &h.m[1].key.id, &named.addr_view, 1);
        hosts_run(&h, 20 * US_PER_S);
        assert_int_equal(a.done, 1);
        assert_int_equal(a.err == 0, depth <= LIMIT_DNS_DEPTH);
        hosts_fini(&h);
    }
}

int main(void)
{
    trace_set_all(getenv("TRACE") ? TRACE_DEBUG : TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_unproved_connections_of_one_address),
        cmocka_unit_test(loopback_is_one_address_for_everybody),
        cmocka_unit_test(a_burst_of_twenty_and_then_five_a_second),
        cmocka_unit_test(total_of_the_unproved),
        cmocka_unit_test(eight_connections_of_one_peer),
        cmocka_unit_test(who_closes_idle_connections_is_dialled_again),
        cmocka_unit_test(streams_over_the_limit_wait_with_a_deadline),
        cmocka_unit_test(conduit_nodes_give_each_other_more),
        cmocka_unit_test(so_many_pushes_under_way),
        cmocka_unit_test(identify_is_asked_every_five_minutes),
        cmocka_unit_test(a_conduit_node_is_asked_less_often),
        cmocka_unit_test(pushes_have_a_rate),
        cmocka_unit_test(signed_records_are_told_and_taken),
        cmocka_unit_test(cve_2023_40583_records_of_others),
        cmocka_unit_test(ghsa_xqvc_92cf_94j4_unbounded_lengths),
        cmocka_unit_test(a_zone_that_names_itself_ends),
        cmocka_unit_test(lists_may_name_lists),
    };
    return cmocka_run_group_tests_name("host limits", tests, NULL, NULL);
}
