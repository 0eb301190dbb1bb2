// SPDX-License-Identifier: MIT
/* AutoNAT between whole hosts in virtual time: version 2 and 1, both sides, liars and the greedy. */
#include "p2p/autonat_impl.h"
#include "relay_world.h"

/* Public addresses; [0] asks. */
struct scene {
    struct hosts h;
    struct autonat_host *ah[MACHINES];
};

static const char *const places[MACHINES] = {"203.0.113.5", "198.51.100.1", "192.0.2.1",
                                             "8.8.8.8",     "9.9.9.9",      "203.0.113.6"};

static void scene_add(struct scene *s, const char *listen, const struct autonat_cfg *cfg)
{
    int i = s->h.count;
    struct autonat_cfg def = autonat_cfg_default();
    hosts_add_at(&s->h, NULL, places[i], listen);
    s->ah[i] = autonat_host_new(s->h.m[i].host, cfg ? cfg : &def);
}

static void scene_init(struct scene *s, uint64_t seed, const char *asker_listens)
{
    *s = (struct scene){0};
    s->h.world = loop_virtual_new(seed);
    rng_init_seeded(&s->h.rng, seed);
    scene_add(s, asker_listens, NULL);
}

static void scene_fini(struct scene *s)
{
    for (int i = 0; i < s->h.count; i++)
        autonat_host_free(s->ah[i]);
    hosts_fini(&s->h);
}

static void connect_to(struct scene *s, int i)
{
    struct asked a;
    ask_connect(&a, &s->h.m[0], &s->h.m[i].key.id, &s->h.m[i].addr_view, 1);
    hosts_run(&s->h, US_PER_S / 2);
    assert_int_equal(a.err, 0);
}

static enum p2p_reach reach(struct scene *s)
{
    return p2p_host_reach(s->h.m[0].host);
}

static void nobody_to_ask(void **state)
{
    struct scene s;
    scene_init(&s, 1, "/ip4/0.0.0.0/tcp/8000");
    hosts_run(&s.h, 60 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_UNKNOWN);
    scene_fini(&s);
}

static void one_server_of_version_2_proves_it(void **state)
{
    struct scene s;
    struct bytes addr;
    char text[64];
    scene_init(&s, 2, "/ip4/0.0.0.0/tcp/8000");
    scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
    connect_to(&s, 1);
    hosts_run(&s.h, 3 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_PUBLIC);
    assert_true(autonat_host_confirmed(s.ah[0], 0, &addr));
    assert_string_equal(multiaddr_text(addr, text, sizeof text), "/ip4/203.0.113.5/tcp/8000");
    assert_int_equal(autonat_host_counts(s.ah[1]).served, 1);
    enum autonat_result last;
    assert_true(autonat_host_last(s.ah[0], &last, &addr));
    assert_int_equal(last, AUTONAT_REACHED); /* we had dialled it */
    assert_int_equal(p2p_host_nat(s.h.m[0].host), P2P_NAT_NONE);
    scene_fini(&s);
}

/* [0] behind a NAT of this kind, [1] a server. */
static void scene_init_behind(struct scene *s, uint64_t seed, enum loop_virtual_nat_kind kind)
{
    struct net_addr box;
    struct autonat_cfg cfg = autonat_cfg_default();
    *s = (struct scene){0};
    s->h.world = loop_virtual_new(seed);
    rng_init_seeded(&s->h.rng, seed);
    hosts_add_at(&s->h, NULL, "10.9.0.2", "/ip4/0.0.0.0/tcp/8000");
    assert_int_equal(net_addr_parse_ip("203.0.113.77", 0, &box), 0);
    loop_virtual_set_nat(s->h.m[0].loop,
                         loop_virtual_nat_new(s->h.world, &box, kind, 600 * US_PER_S));
    s->ah[0] = autonat_host_new(s->h.m[0].host, &cfg);
    scene_add(s, "/ip4/0.0.0.0/tcp/8000", NULL);
    connect_to(s, 1);
}

/* Whom we dialled gets in, so what he says is half the truth; the next one we dial from another port. */
static void a_nat_that_lets_in_whom_we_dialled(void **state)
{
    struct scene s;
    struct bytes addr;
    char text[64];
    scene_init_behind(&s, 50, LOOP_NAT_ADDRESS_RESTRICTED);
    hosts_run(&s.h, 30 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_LIKELY);
    assert_true(
        autonat_host_confirmed(s.ah[0], 0, &addr)); /* told to others, as long as it may be so */
    assert_string_equal(multiaddr_text(addr, text, sizeof text), "/ip4/203.0.113.77/tcp/50000");
    hosts_run(&s.h, 11 * 60 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_LIKELY);
    for (int i = 2; i < 5; i++) {
        scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
        connect_to(&s, i);
    }
    hosts_run(&s.h, 60 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_PRIVATE);
    assert_false(autonat_host_confirmed(s.ah[0], 0, &addr));
    scene_fini(&s);
}

static void a_nat_that_lets_in_everybody(void **state)
{
    struct scene s;
    scene_init_behind(&s, 51, LOOP_NAT_FULL_CONE);
    hosts_run(&s.h, 30 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_LIKELY);
    scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
    connect_to(&s, 2);
    hosts_run(&s.h, 5 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_PUBLIC);
    scene_fini(&s);
}

static void a_nat_that_lets_in_answers_only(void **state)
{
    struct scene s;
    scene_init_behind(&s, 52, LOOP_NAT_RESTRICTED);
    hosts_run(&s.h, 15 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_PRIVATE);
    scene_fini(&s);
}

static void who_cannot_be_dialled_is_private(void **state)
{
    struct scene s;
    struct bytes addr;
    scene_init(&s, 3, "/ip4/127.0.0.1/tcp/8000"); /* as behind a NAT without a rule */
    scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
    connect_to(&s, 1);
    hosts_run(&s.h, 5 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_PRIVATE);
    assert_false(autonat_host_confirmed(s.ah[0], 0, &addr));
    /* and it no longer offers to dial others back */
    struct known_peer *k = p2p_host_record(s.h.m[1].host, &s.h.m[0].key.id);
    assert_false(known_peer_has_protocol(k, AUTONAT_V2));
    assert_true(known_peer_has_protocol(k, AUTONAT_V2_BACK));
    scene_fini(&s);
}

static void three_servers_of_version_1_are_enough(void **state)
{
    struct scene s;
    scene_init(&s, 4, "/ip4/0.0.0.0/tcp/8000");
    for (int i = 1; i < 4; i++) {
        scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
        p2p_host_unhandle(s.h.m[i].host, AUTONAT_V2);
    }
    for (int i = 1; i < 4; i++)
        connect_to(&s, i);
    hosts_run(&s.h, 5 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_PUBLIC);
    assert_int_equal(autonat_host_counts(s.ah[0]).answered, 3);
    scene_fini(&s);
}

static void version_1_finds_out_what_is_private(void **state)
{
    struct scene s;
    scene_init(&s, 5, "/ip4/127.0.0.1/tcp/8000");
    scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
    p2p_host_unhandle(s.h.m[1].host, AUTONAT_V2);
    connect_to(&s, 1);
    hosts_run(&s.h, 6 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_PRIVATE);
    scene_fini(&s);
}

static void silent_dials_end_by_the_servers_deadline(void **state)
{
    struct scene s;
    struct loop_virtual_link cut = {.is_cut = true};
    scene_init(&s, 6, "/ip4/127.0.0.1/tcp/8000");
    scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
    connect_to(&s, 1);
    loop_virtual_set_link(s.h.world, s.h.m[0].loop, s.h.m[1].loop, &cut);
    hosts_run(&s.h, 120 * US_PER_S); /* nothing hangs: the free at the end finds no leak */
    assert_int_equal(reach(&s), P2P_REACH_UNKNOWN);
    assert_int_equal(s.ah[1]->served_count, 0);
    assert_false(s.ah[0]->asking.is_on);
    scene_fini(&s);
}

static void an_address_that_was_lost_is_withdrawn(void **state)
{
    struct scene s;
    struct bytes addr;
    scene_init(&s, 7, "/ip4/0.0.0.0/tcp/8000");
    scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
    connect_to(&s, 1);
    hosts_run(&s.h, 3 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_PUBLIC);
    host_listen_end_all(s.h.m[0].host); /* the forwarding is gone */
    p2p_host_listen(s.h.m[0].host, "/ip4/127.0.0.1/tcp/8000");
    p2p_host_protect(s.h.m[0].host, &s.h.m[1].key.id, true);
    p2p_host_protect(s.h.m[1].host, &s.h.m[0].key.id, true);
    hosts_run(&s.h, 20 * 60 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_PRIVATE);
    assert_false(autonat_host_confirmed(s.ah[0], 0, &addr));
    scene_fini(&s);
}

static void a_server_that_goes_meanwhile_is_no_answer(void **state)
{
    struct scene s;
    scene_init(&s, 8, "/ip4/0.0.0.0/tcp/8000");
    scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
    connect_to(&s, 1);
    while (!s.ah[0]->asking.is_on)
        hosts_run(&s.h, 1000);
    autonat_host_free(s.ah[1]);
    s.ah[1] = NULL;
    p2p_host_free(s.h.m[1].host);
    s.h.m[1].host = NULL;
    hosts_run(&s.h, 60 * US_PER_S);
    assert_int_equal(reach(&s), P2P_REACH_UNKNOWN);
    assert_int_equal(s.ah[0]->core.server_count, 0);
    scene_fini(&s);
}

static void freed_in_the_middle_nothing_is_left(void **state)
{
    for (uint64_t us = 0; us < 80; us++) {
        struct scene s;
        scene_init(&s, 100 + us, "/ip4/0.0.0.0/tcp/8000");
        scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
        connect_to(&s, 1);
        while (!s.ah[0]->asking.is_on)
            hosts_run(&s.h, 1000);
        hosts_run(&s.h, us * 200);
        autonat_host_free(s.ah[us % 2]);
        s.ah[us % 2] = NULL;
        hosts_run(&s.h, us % 3 * 100);
        scene_fini(&s);
    }
}

/* --- a client of our own making, for what ours never asks --- */

struct raw_ask {
    struct p2p_open open;
    struct framed io;
    struct buf send;
    bool has_stream;
    int ended, answers;
    struct autonat_v1 v1;
    struct autonat_v2 v2;
    bool is_v2, echo_data;
    size_t chunk;
    uint64_t data_asked;
};

static bool raw_message(struct framed *f, struct bytes message)
{
    struct raw_ask *r = CONTAINER_OF(f, struct raw_ask, io);
    static uint8_t zeros[4096];
    r->answers++;
    if (!r->is_v2) {
        assert_int_equal(autonat_v1_decode(message, &r->v1), 0);
        return true;
    }
    assert_int_equal(autonat_v2_decode(message, &r->v2), 0);
    if (r->v2.kind == AUTONAT_DATA_REQUEST) {
        r->data_asked = r->v2.data_bytes;
        for (uint64_t n = 0; r->echo_data && n < r->data_asked; n += r->chunk) {
            struct autonat_v2 m = {.kind = AUTONAT_DATA, .data = bytes_of(zeros, r->chunk)};
            struct buf b;
            buf_init(&b, 0);
            autonat_v2_encode(&m, &b);
            framed_send(f, buf_view(&b));
            buf_fini(&b);
        }
    }
    return true;
}

static void raw_ended(struct framed *f, int err)
{
    struct raw_ask *r = CONTAINER_OF(f, struct raw_ask, io);
    r->ended = err;
    r->has_stream = false;
    framed_close(f);
}

static const struct framed_events raw_events = {raw_message, raw_ended};

static void raw_open(struct p2p_open *o, int err, struct stream *s)
{
    struct raw_ask *r = CONTAINER_OF(o, struct raw_ask, open);
    r->ended = err;
    if (err)
        return;
    r->has_stream = true;
    framed_open(&r->io, o->host->sched, s, LIMIT_AUTONAT_MESSAGE, 600 * US_PER_S, &raw_events);
    framed_send(&r->io, buf_view(&r->send));
}

static void raw_ask(struct raw_ask *r, struct machine *from, struct machine *of,
                    const struct autonat_v1 *v1, const struct autonat_v2 *v2)
{
    *r = (struct raw_ask){.is_v2 = v2 != NULL, .chunk = 4096, .echo_data = true};
    buf_init(&r->send, 0);
    assert_int_equal(v1 ? autonat_v1_encode(v1, &r->send) : autonat_v2_encode(v2, &r->send), 0);
    r->open = (struct p2p_open){.peer = of->key.id,
                                .protocol = v2 ? AUTONAT_V2 : AUTONAT_V1,
                                .only_connected = true,
                                .done = raw_open};
    p2p_host_open(from->host, &r->open);
}

static void raw_start(struct raw_ask *r, struct scene *s, const struct autonat_v1 *v1,
                      const struct autonat_v2 *v2)
{
    raw_ask(r, &s->h.m[0], &s->h.m[1], v1, v2);
}

static void raw_fini(struct raw_ask *r)
{
    if (r->has_stream)
        framed_close(&r->io);
    buf_fini(&r->send);
}

/* The asker does not ask by itself. */
static void scene_server(struct scene *s, uint64_t seed)
{
    static const struct autonat_cfg quiet = {.serves = false, .asks = false};
    *s = (struct scene){0};
    s->h.world = loop_virtual_new(seed);
    rng_init_seeded(&s->h.rng, seed);
    scene_add(s, "/ip4/0.0.0.0/tcp/8000", &quiet);
    scene_add(s, "/ip4/0.0.0.0/tcp/8000", NULL);
    connect_to(s, 1);
}

/* Another peer on the machine of the i-th. */
static void scene_beside(struct scene *s, int i)
{
    struct machine *m = &s->h.m[s->h.count++];
    m->loop = s->h.m[i].loop;
    key_pair_generate(&m->key, &s->h.rng);
    struct p2p_host_cfg cfg = p2p_host_cfg_default(&m->key);
    m->host = p2p_host_new(&cfg, m->loop);
    assert_non_null(m->host);
}

static struct bytes addr_of(struct multiaddr *m, const char *text)
{
    assert_int_equal(multiaddr_parse(bytes_str(text), m), 0);
    return multiaddr_bytes(m);
}

static void another_ip_costs_data_first(void **state)
{
    struct scene s;
    struct raw_ask r;
    struct multiaddr m;
    scene_server(&s, 20);
    struct autonat_v2 q = {.kind = AUTONAT_DIAL_REQUEST,
                           .addrs = {addr_of(&m, "/ip4/9.9.9.9/tcp/8000")},
                           .addr_count = 1,
                           .nonce = 7};
    raw_start(&r, &s, NULL, &q);
    r.echo_data = false;
    uint64_t dials = p2p_host_counts(s.h.m[1].host).dials;
    hosts_run(&s.h, 5 * US_PER_S);
    assert_true(r.data_asked >= LIMIT_AUTONAT_DATA_MIN && r.data_asked <= LIMIT_AUTONAT_DATA_MAX);
    assert_int_equal(s.ah[1]->served_count, 1);
    assert_true(list_is_empty(&s.h.m[1].host->dialbacks)); /* not dialled for nothing */
    hosts_run(&s.h, 15 * US_PER_S);
    assert_int_equal(s.ah[1]->served_count, 0); /* and it does not wait for ever */
    assert_int_equal(p2p_host_counts(s.h.m[1].host).dials, dials);
    raw_fini(&r);
    raw_start(&r, &s, NULL, &q);
    hosts_run(&s.h, 10 * US_PER_S);
    assert_int_equal(r.answers, 2);
    assert_int_equal(r.v2.kind, AUTONAT_DIAL_ANSWER);
    assert_int_equal(r.v2.status, AUTONAT_V2_OK);
    assert_int_equal(r.v2.dial, AUTONAT_DIAL_ERROR); /* nobody is there */
    raw_fini(&r);
    scene_fini(&s);
}

static void empty_data_is_no_data(void **state)
{
    struct scene s;
    struct raw_ask r;
    struct multiaddr m;
    scene_server(&s, 21);
    struct autonat_v2 q = {.kind = AUTONAT_DIAL_REQUEST,
                           .addrs = {addr_of(&m, "/ip4/9.9.9.9/tcp/8000")},
                           .addr_count = 1};
    raw_start(&r, &s, NULL, &q);
    r.echo_data = false;
    hosts_run(&s.h, US_PER_S);
    struct autonat_v2 nothing = {.kind = AUTONAT_DATA};
    struct buf b;
    buf_init(&b, 0);
    autonat_v2_encode(&nothing, &b);
    framed_send(&r.io, buf_view(&b));
    buf_fini(&b);
    hosts_run(&s.h, US_PER_S);
    assert_int_equal(s.ah[1]->served_count, 0);
    assert_int_equal(r.ended, E_RESET);
    raw_fini(&r);
    scene_fini(&s);
}

static void data_in_crumbs_is_no_data(void **state)
{
    struct scene s;
    struct raw_ask r;
    struct multiaddr m;
    scene_server(&s, 45);
    struct autonat_v2 q = {.kind = AUTONAT_DIAL_REQUEST,
                           .addrs = {addr_of(&m, "/ip4/9.9.9.9/tcp/8000")},
                           .addr_count = 1};
    for (int i = 0; i < 2; i++) {
        raw_start(&r, &s, NULL, &q);
        r.chunk = i ? LIMIT_AUTONAT_DATA_CHUNK : LIMIT_AUTONAT_DATA_CHUNK - 1;
        hosts_run(&s.h, 5 * US_PER_S);
        assert_int_equal(r.ended, i ? E_EOF : E_RESET);
        raw_fini(&r);
    }
    scene_fini(&s);
}

static void only_fair_addresses_are_dialled(void **state)
{
    struct scene s;
    struct raw_ask r;
    struct multiaddr m[5];
    scene_server(&s, 22);
    struct autonat_v2 q = {.kind = AUTONAT_DIAL_REQUEST,
                           .addrs = {addr_of(&m[0], "/ip4/127.0.0.1/tcp/22"),
                                     addr_of(&m[1], "/ip4/192.168.1.1/tcp/80"),
                                     addr_of(&m[2], "/ip4/203.0.113.5/tcp/0"),
                                     addr_of(&m[3], "/dns4/example.com/tcp/80"),
                                     addr_of(&m[4], "/ip6/fd00::1/tcp/80")},
                           .addr_count = 5};
    raw_start(&r, &s, NULL, &q);
    hosts_run(&s.h, US_PER_S);
    assert_int_equal(r.v2.kind, AUTONAT_DIAL_ANSWER);
    assert_int_equal(r.v2.status, AUTONAT_V2_DIAL_REFUSED);
    raw_fini(&r);
    /* version 1: another IP than the one it comes from, public or not */
    struct autonat_v1 q1 = {
        .kind = AUTONAT_DIAL, .addrs = {addr_of(&m[0], "/ip4/9.9.9.9/tcp/8000")}, .addr_count = 1};
    raw_start(&r, &s, &q1, NULL);
    hosts_run(&s.h, US_PER_S);
    assert_int_equal(r.v1.status, AUTONAT_V1_REFUSED);
    raw_fini(&r);
    scene_fini(&s);
}

/* Elsewhere we dial nobody's mail or name server, whoever pays for it; at its own IP it may listen where
 * it likes. */
static void elsewhere_only_likely_ports_are_dialled(void **state)
{
    static const struct {
        const char *addr;
        uint32_t status;
        bool costs_data;
    } rows[] = {
        {"/ip4/9.9.9.9/tcp/25", AUTONAT_V2_DIAL_REFUSED, false},
        {"/ip4/9.9.9.9/tcp/53", AUTONAT_V2_DIAL_REFUSED, false},
        {"/ip4/9.9.9.9/tcp/1023", AUTONAT_V2_DIAL_REFUSED, false},
        {"/ip4/9.9.9.9/tcp/80", AUTONAT_V2_OK, true},
        {"/ip4/9.9.9.9/tcp/443", AUTONAT_V2_OK, true},
        {"/ip4/9.9.9.9/tcp/1024", AUTONAT_V2_OK, true},
        {"/ip4/203.0.113.5/tcp/25", AUTONAT_V2_OK, false},
    };
    struct scene s;
    scene_server(&s, 41);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct raw_ask r;
        struct multiaddr m;
        struct autonat_v2 q = {
            .kind = AUTONAT_DIAL_REQUEST, .addrs = {addr_of(&m, rows[i].addr)}, .addr_count = 1};
        raw_start(&r, &s, NULL, &q);
        hosts_run(&s.h, 10 * US_PER_S);
        assert_int_equal(r.v2.kind, AUTONAT_DIAL_ANSWER);
        assert_int_equal(r.v2.status, rows[i].status);
        assert_int_equal(r.data_asked != 0, rows[i].costs_data);
        raw_fini(&r);
    }
    scene_fini(&s);
}

/* Many who ask many at once would have the same place dialled at the same moment. */
static void a_dial_elsewhere_waits_a_while(void **state)
{
    uint64_t first = UINT64_MAX, last = 0;
    for (uint64_t i = 0; i < 12; i++) {
        struct scene s;
        struct raw_ask r;
        struct multiaddr m;
        struct loop_virtual_link slow = {.delay_us = US_PER_S};
        scene_server(&s, 420 + i);
        scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
        loop_virtual_set_link(s.h.world, s.h.m[2].loop, s.h.m[1].loop, &slow);
        struct autonat_v2 q = {.kind = AUTONAT_DIAL_REQUEST,
                               .addrs = {addr_of(&m, "/ip4/192.0.2.1/tcp/8000")},
                               .addr_count = 1};
        raw_start(&r, &s, NULL, &q);
        uint64_t start = loop_virtual_now(s.h.world);
        while (list_is_empty(&s.h.m[1].host->dialbacks) &&
               loop_virtual_now(s.h.world) < start + 10 * US_PER_S)
            hosts_run(&s.h, 1000);
        uint64_t took = loop_virtual_now(s.h.world) - start;
        first = took < first ? took : first;
        last = took > last ? took : last;
        raw_fini(&r);
        scene_fini(&s);
    }
    assert_true(last < 4 * US_PER_S);
    assert_true(last > first + US_PER_S);
}

static int ask_often(struct scene *s, int i, int times, const char *addr)
{
    int served = 0;
    for (int k = 0; k < times; k++) {
        struct raw_ask r;
        struct multiaddr m;
        struct autonat_v1 q = {.kind = AUTONAT_DIAL, .addrs = {addr_of(&m, addr)}, .addr_count = 1};
        raw_ask(&r, &s->h.m[i], &s->h.m[1], &q, NULL);
        hosts_run(&s->h, US_PER_S / 10);
        assert_int_equal(r.answers, 1);
        served += r.v1.status != AUTONAT_V1_REFUSED;
        raw_fini(&r);
    }
    return served;
}

/* However many peers it calls itself, one place has its share and leaves theirs to the others. */
static void one_place_has_its_share_of_the_rate(void **state)
{
    struct scene s;
    int served = 0;
    scene_server(&s, 43);
    for (int i = 2; i < 5; i++)
        scene_beside(&s, 0);
    scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
    for (int i = 2; i < s.h.count; i++) {
        struct asked a;
        ask_connect(&a, &s.h.m[i], &s.h.m[1].key.id, &s.h.m[1].addr_view, 1);
        hosts_run(&s.h, US_PER_S / 10);
        assert_int_equal(a.err, 0);
    }
    for (int i = 0; i < 5; i++)
        if (i != 1)
            served += ask_often(&s, i, LIMIT_AUTONAT_PEER_BURST, "/ip4/203.0.113.5/tcp/9");
    assert_true(served >= LIMIT_AUTONAT_GROUP_BURST && served <= LIMIT_AUTONAT_GROUP_BURST + 1);
    assert_int_equal(ask_often(&s, 5, 2, "/ip4/203.0.113.6/tcp/9"), 2);
    scene_fini(&s);
}

/* Data paid for or not: elsewhere is dialled so often and no more; who asks about itself does not feel it. */
static void dials_elsewhere_have_a_rate_of_their_own(void **state)
{
    struct scene s;
    struct multiaddr m;
    struct raw_ask r;
    int taken = 0;
    scene_server(&s, 44);
    while (rates_take(&s.ah[1]->far_rates, BYTES_LIT("all"), loop_virtual_now(s.h.world)))
        taken++;
    assert_int_equal(taken, LIMIT_AUTONAT_FAR_BURST);
    struct autonat_v2 q = {.kind = AUTONAT_DIAL_REQUEST,
                           .addrs = {addr_of(&m, "/ip4/9.9.9.9/tcp/8000")},
                           .addr_count = 1};
    raw_start(&r, &s, NULL, &q);
    hosts_run(&s.h, US_PER_S);
    assert_int_equal(r.v2.status, AUTONAT_V2_REJECTED);
    assert_int_equal(r.data_asked, 0);
    raw_fini(&r);
    q.addrs[0] = addr_of(&m, "/ip4/203.0.113.5/tcp/9");
    raw_start(&r, &s, NULL, &q);
    hosts_run(&s.h, US_PER_S);
    assert_int_equal(r.v2.status, AUTONAT_V2_OK);
    raw_fini(&r);
    scene_fini(&s);
}

static void version_1_about_somebody_else_is_a_bad_request(void **state)
{
    struct scene s;
    struct raw_ask r;
    struct multiaddr m;
    scene_server(&s, 23);
    struct autonat_v1 q = {.kind = AUTONAT_DIAL,
                           .peer = peer_id_bytes(&s.h.m[1].key.id),
                           .addrs = {addr_of(&m, "/ip4/203.0.113.5/tcp/8000")},
                           .addr_count = 1};
    raw_start(&r, &s, &q, NULL);
    hosts_run(&s.h, US_PER_S);
    assert_int_equal(r.v1.status, AUTONAT_V1_BAD_REQUEST);
    raw_fini(&r);
    scene_fini(&s);
}

/* Over its rate a peer is told so. A stream that is reset instead has rust-libp2p ask again at once, and
 * on and on: thousands of questions a second, until the connection is closed as flooded and what was
 * being answered is lost. */
static void one_peer_may_not_ask_for_ever(void **state)
{
    struct scene s;
    struct raw_ask r;
    struct multiaddr m;
    int refused = 0;
    scene_server(&s, 24);
    struct autonat_v1 q = {
        .kind = AUTONAT_DIAL, .addrs = {addr_of(&m, "/ip4/203.0.113.5/tcp/9")}, .addr_count = 1};
    for (int i = 0; i < LIMIT_AUTONAT_PEER_BURST + 4; i++) {
        raw_start(&r, &s, &q, NULL);
        hosts_run(&s.h, US_PER_S / 4);
        assert_int_equal(r.answers, 1);
        assert_int_equal(r.ended, E_EOF);
        if (r.v1.status == AUTONAT_V1_REFUSED)
            refused++;
        else
            assert_int_equal(r.v1.status, AUTONAT_V1_DIAL_ERROR);
        raw_fini(&r);
    }
    assert_int_equal(refused, 4);
    struct autonat_v2 q2 = {.kind = AUTONAT_DIAL_REQUEST, .addrs = {q.addrs[0]}, .addr_count = 1};
    raw_start(&r, &s, NULL, &q2);
    hosts_run(&s.h, US_PER_S / 4);
    assert_int_equal(r.v2.kind, AUTONAT_DIAL_ANSWER);
    assert_int_equal(r.v2.status, AUTONAT_V2_REJECTED);
    assert_int_equal(r.ended, E_EOF);
    raw_fini(&r);
    assert_int_equal(autonat_host_counts(s.ah[1]).served, LIMIT_AUTONAT_PEER_BURST);
    assert_int_equal(autonat_host_counts(s.ah[1]).refused, 5);
    scene_fini(&s);
}

/* As rust-libp2p behind a NAT does, every half second, while the first dial is still swallowed. */
static void who_asks_on_while_it_is_dialled_is_told_to_wait(void **state)
{
    enum { ASKS = 6 };
    struct scene s;
    struct raw_ask r[ASKS];
    struct multiaddr m;
    int errors = 0, refused = 0;
    scene_server(&s, 26);
    scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL); /* where nobody gets through to */
    struct loop_virtual_link cut = {.is_cut = true};
    loop_virtual_set_link(s.h.world, s.h.m[2].loop, s.h.m[1].loop, &cut);
    struct autonat_v2 q = {.kind = AUTONAT_DIAL_REQUEST,
                           .addrs = {addr_of(&m, "/ip4/192.0.2.1/tcp/8000")},
                           .addr_count = 1};
    for (int i = 0; i < ASKS; i++) {
        raw_start(&r[i], &s, NULL, &q);
        hosts_run(&s.h, US_PER_S / 10);
    }
    hosts_run(&s.h, 10 * US_PER_S);
    for (int i = 0; i < ASKS; i++) {
        assert_int_equal(r[i].ended, E_EOF);
        errors += r[i].v2.status == AUTONAT_V2_OK && r[i].v2.dial == AUTONAT_DIAL_ERROR;
        refused += r[i].v2.status == AUTONAT_V2_REJECTED;
        raw_fini(&r[i]);
    }
    assert_int_equal(errors, LIMIT_AUTONAT_PEER_DIALS);
    assert_int_equal(refused, ASKS - LIMIT_AUTONAT_PEER_DIALS);
    /* and those that were refused used up nothing */
    raw_start(&r[0], &s, NULL, &q);
    hosts_run(&s.h, 10 * US_PER_S);
    assert_int_equal(r[0].v2.status, AUTONAT_V2_OK);
    raw_fini(&r[0]);
    scene_fini(&s);
}

/* As rust-libp2p does before identify has told it how it is seen. */
static void a_question_that_is_not_dialled_for_costs_nothing(void **state)
{
    struct scene s;
    struct raw_ask r;
    struct multiaddr m;
    scene_server(&s, 27);
    struct autonat_v1 q = {
        .kind = AUTONAT_DIAL, .addrs = {addr_of(&m, "/ip4/10.1.0.2/tcp/9")}, .addr_count = 1};
    for (int i = 0; i < 2 * LIMIT_AUTONAT_PEER_BURST; i++) {
        raw_start(&r, &s, &q, NULL);
        hosts_run(&s.h, US_PER_S / 20);
        assert_int_equal(r.v1.status, AUTONAT_V1_REFUSED);
        raw_fini(&r);
    }
    q.addrs[0] = addr_of(&m, "/ip4/203.0.113.5/tcp/9");
    raw_start(&r, &s, &q, NULL);
    hosts_run(&s.h, US_PER_S);
    assert_int_equal(r.v1.status, AUTONAT_V1_DIAL_ERROR);
    raw_fini(&r);
    scene_fini(&s);
}

/* Streams on which nothing is asked take a few places of their own, not everybody's. */
static void half_said_questions_of_one_peer_are_bounded(void **state)
{
    struct scene s;
    struct raw_ask r[LIMIT_AUTONAT_PEER_ONCE + 3];
    struct autonat_v2 q = {.kind = AUTONAT_DIAL_REQUEST};
    size_t reset = 0;
    scene_server(&s, 28);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        raw_start(&r[i], &s, NULL, &q);
        buf_clear(&r[i].send);
    }
    hosts_run(&s.h, US_PER_S);
    assert_int_equal(s.ah[1]->served_count, LIMIT_AUTONAT_PEER_ONCE);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        reset += r[i].ended == E_RESET;
        raw_fini(&r[i]);
    }
    assert_int_equal(reset, 3);
    scene_fini(&s);
}

/* However many peers it calls itself: the places of the others stay free. */
static void half_said_questions_of_one_place_are_bounded(void **state)
{
    struct scene s;
    struct raw_ask r[4 * LIMIT_AUTONAT_PEER_ONCE];
    struct autonat_v2 q = {.kind = AUTONAT_DIAL_REQUEST};
    scene_server(&s, 45);
    for (int i = 2; i < 5; i++) {
        struct asked a;
        scene_beside(&s, 0);
        ask_connect(&a, &s.h.m[i], &s.h.m[1].key.id, &s.h.m[1].addr_view, 1);
        hosts_run(&s.h, US_PER_S / 2);
        assert_int_equal(a.err, 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        size_t k = i / LIMIT_AUTONAT_PEER_ONCE;
        raw_ask(&r[i], &s.h.m[k ? k + 1 : 0], &s.h.m[1], NULL, &q);
        buf_clear(&r[i].send);
    }
    hosts_run(&s.h, US_PER_S);
    assert_int_equal(s.ah[1]->served_count, LIMIT_AUTONAT_GROUP_ONCE);
    for (size_t i = 0; i < ARRAY_LEN(r); i++)
        raw_fini(&r[i]);
    scene_fini(&s);
}

/* Its address is the relay's: nobody is dialled, and it is told so. */
static void over_a_relay_nobody_is_dialled(void **state)
{
    struct relays w;
    struct asked a;
    struct raw_ask r;
    struct multiaddr m;
    struct autonat_cfg cfg = autonat_cfg_default();
    relays_init(&w, 29, true, 1);
    struct autonat_host *ah = autonat_host_new(w.h.m[PROVIDER].host, &cfg);
    struct bytes way = relayed_addr(&w, FIRST, PROVIDER, &m);
    ask_connect(&a, &w.h.m[CONSUMER], &w.h.m[PROVIDER].key.id, &way, 1);
    hosts_run(&w.h, 2 * US_PER_S);
    assert_int_equal(a.err, 0);
    struct autonat_v1 q = {
        .kind = AUTONAT_DIAL, .addrs = {addr_of(&m, "/ip4/10.0.0.3/tcp/8000")}, .addr_count = 1};
    raw_ask(&r, &w.h.m[CONSUMER], &w.h.m[PROVIDER], &q, NULL);
    hosts_run(&w.h, US_PER_S);
    assert_int_equal(r.answers, 1);
    assert_int_equal(r.v1.status, AUTONAT_V1_REFUSED);
    raw_fini(&r);
    struct autonat_v2 q2 = {.kind = AUTONAT_DIAL_REQUEST,
                            .addrs = {addr_of(&m, "/ip4/9.9.9.9/tcp/8000")},
                            .addr_count = 1};
    raw_ask(&r, &w.h.m[CONSUMER], &w.h.m[PROVIDER], NULL, &q2);
    hosts_run(&w.h, US_PER_S);
    assert_int_equal(r.answers, 1);
    assert_int_equal(r.v2.status, AUTONAT_V2_DIAL_REFUSED);
    raw_fini(&r);
    autonat_host_free(ah);
    relays_fini(&w);
}

static void garbage_and_silence_end(void **state)
{
    struct scene s;
    struct raw_ask r;
    scene_server(&s, 25);
    struct autonat_v2 wrong = {.kind = AUTONAT_DIAL_ANSWER};
    raw_start(&r, &s, NULL, &wrong);
    hosts_run(&s.h, US_PER_S);
    assert_int_equal(r.ended, E_RESET);
    raw_fini(&r);
    raw_start(&r, &s, NULL, &wrong);
    buf_clear(&r.send);
    buf_append(&r.send, "\xff\xff\xff\x7f", 4); /* a message of 256 MiB */
    hosts_run(&s.h, US_PER_S);
    assert_int_equal(r.ended, E_RESET);
    raw_fini(&r);
    raw_start(&r, &s, NULL, &wrong);
    buf_clear(&r.send);
    hosts_run(&s.h, US_PER_S);
    assert_int_equal(s.ah[1]->served_count, 1);
    hosts_run(&s.h, 10 * US_PER_S);
    assert_int_equal(s.ah[1]->served_count, 0);
    raw_fini(&r);
    scene_fini(&s);
}

/* --- a server that lies --- */

static void lie(void *ctx, struct stream *st, const struct peer_id *peer)
{
    struct buf b;
    struct autonat_v2 m = {
        .kind = AUTONAT_DIAL_ANSWER, .status = AUTONAT_V2_OK, .dial = AUTONAT_DIAL_OK};
    buf_init(&b, 0);
    autonat_v2_encode(&m, &b);
    stream_write(st, buf_view(&b));
    stream_finish(st);
    stream_close(st);
    buf_fini(&b);
}

static void a_yes_without_the_nonce_is_no_answer(void **state)
{
    struct scene s;
    scene_init(&s, 30, "/ip4/127.0.0.1/tcp/8000");
    scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
    p2p_host_unhandle(s.h.m[1].host, AUTONAT_V2);
    p2p_host_unhandle(s.h.m[1].host, AUTONAT_V1);
    assert_int_equal(p2p_host_handle(s.h.m[1].host, AUTONAT_V2, lie, &s), 0);
    connect_to(&s, 1);
    hosts_run(&s.h, 30 * US_PER_S);
    assert_true(autonat_host_counts(s.ah[0]).asked >= 1);
    assert_int_equal(autonat_host_counts(s.ah[0]).answered, 0);
    assert_int_equal(reach(&s), P2P_REACH_UNKNOWN);
    p2p_host_unhandle(s.h.m[1].host, AUTONAT_V2);
    scene_fini(&s);
}

/* Sends the nonce over the connection that is there already. */
static struct p2p_open cheat_open;
static uint64_t cheat_nonce;
static void cheat_opened(struct p2p_open *o, int err, struct stream *st)
{
    struct buf b;
    if (err)
        return;
    buf_init(&b, 0);
    autonat_back_encode(cheat_nonce, &b);
    stream_write(st, buf_view(&b));
    stream_finish(st);
    stream_close(st);
    buf_fini(&b);
}

static void a_nonce_over_the_old_connection_proves_nothing(void **state)
{
    struct scene s;
    scene_init(&s, 31, "/ip4/127.0.0.1/tcp/8000");
    scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
    connect_to(&s, 1);
    while (!s.ah[0]->asking.is_on)
        hosts_run(&s.h, 1000);
    cheat_nonce = s.ah[0]->asking.nonce;
    cheat_open = (struct p2p_open){.peer = s.h.m[0].key.id,
                                   .protocol = AUTONAT_V2_BACK,
                                   .only_connected = true,
                                   .is_lazy = true,
                                   .done = cheat_opened};
    p2p_host_open(s.h.m[1].host, &cheat_open);
    while (s.ah[0]->asking.is_on && !s.ah[0]->asking.is_proved)
        hosts_run(&s.h, 1000);
    assert_false(s.ah[0]->asking.is_proved);
    scene_fini(&s);
}

/* Who comes first and says nothing does not keep the proof away. */
static void silent_dial_backs_keep_no_answer_away(void **state)
{
    struct scene s;
    struct asked silent[6];
    scene_init(&s, 32, "/ip4/0.0.0.0/tcp/8000");
    scene_add(&s, "/ip4/0.0.0.0/tcp/8000", NULL);
    hosts_add_at(&s.h, NULL, places[2], "/ip4/0.0.0.0/tcp/8000");
    connect_to(&s, 2);
    struct loop_virtual_link far = {.delay_us = 100 * US_PER_MS};
    loop_virtual_set_link(s.h.world, s.h.m[0].loop, s.h.m[1].loop, &far);
    ask_connect(&silent[0], &s.h.m[0], &s.h.m[1].key.id, &s.h.m[1].addr_view, 1);
    while (!s.ah[0]->asking.is_on)
        hosts_run(&s.h, 1000);
    for (size_t i = 0; i < ARRAY_LEN(silent); i++) {
        ask_echo(&silent[i], &s.h.m[2], &s.h.m[0], AUTONAT_V2_BACK, 0);
        silent[i].client.holds_finish = true;
    }
    while (s.ah[0]->asking.is_on)
        hosts_run(&s.h, 1000);
    assert_int_equal(reach(&s), P2P_REACH_PUBLIC);
    hosts_run(&s.h, 20 * US_PER_S);
    scene_fini(&s);
}

static void neighbours_are_dialled_back_as_neighbours(void **state)
{
    struct hosts h;
    struct asked a;
    struct bytes addr;
    struct autonat_cfg cfg = autonat_cfg_default(), local = cfg;
    local.also_local = true;
    hosts_init(&h, 40, 3); /* 10.0.0.x */
    struct autonat_host *asks = autonat_host_new(h.m[0].host, &local),
                        *serves = autonat_host_new(h.m[1].host, &cfg),
                        *plain = autonat_host_new(h.m[2].host, &cfg);
    ask_connect(&a, &h.m[0], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, US_PER_S);
    ask_connect(&a, &h.m[2], &h.m[1].key.id, &h.m[1].addr_view, 1);
    hosts_run(&h, 5 * US_PER_S);
    assert_true(autonat_host_confirmed(asks, 0, &addr));
    assert_int_equal(autonat_host_counts(plain).asked, 0); /* a LAN says nothing of the world */
    assert_int_equal(p2p_host_reach(h.m[2].host), P2P_REACH_UNKNOWN);
    autonat_host_free(asks);
    autonat_host_free(serves);
    autonat_host_free(plain);
    hosts_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_to_ask),
        cmocka_unit_test(one_server_of_version_2_proves_it),
        cmocka_unit_test(a_nat_that_lets_in_whom_we_dialled),
        cmocka_unit_test(a_nat_that_lets_in_everybody),
        cmocka_unit_test(a_nat_that_lets_in_answers_only),
        cmocka_unit_test(who_cannot_be_dialled_is_private),
        cmocka_unit_test(three_servers_of_version_1_are_enough),
        cmocka_unit_test(version_1_finds_out_what_is_private),
        cmocka_unit_test(silent_dials_end_by_the_servers_deadline),
        cmocka_unit_test(an_address_that_was_lost_is_withdrawn),
        cmocka_unit_test(a_server_that_goes_meanwhile_is_no_answer),
        cmocka_unit_test(freed_in_the_middle_nothing_is_left),
        cmocka_unit_test(another_ip_costs_data_first),
        cmocka_unit_test(empty_data_is_no_data),
        cmocka_unit_test(data_in_crumbs_is_no_data),
        cmocka_unit_test(only_fair_addresses_are_dialled),
        cmocka_unit_test(elsewhere_only_likely_ports_are_dialled),
        cmocka_unit_test(a_dial_elsewhere_waits_a_while),
        cmocka_unit_test(one_place_has_its_share_of_the_rate),
        cmocka_unit_test(dials_elsewhere_have_a_rate_of_their_own),
        cmocka_unit_test(version_1_about_somebody_else_is_a_bad_request),
        cmocka_unit_test(one_peer_may_not_ask_for_ever),
        cmocka_unit_test(who_asks_on_while_it_is_dialled_is_told_to_wait),
        cmocka_unit_test(a_question_that_is_not_dialled_for_costs_nothing),
        cmocka_unit_test(half_said_questions_of_one_peer_are_bounded),
        cmocka_unit_test(half_said_questions_of_one_place_are_bounded),
        cmocka_unit_test(over_a_relay_nobody_is_dialled),
        cmocka_unit_test(garbage_and_silence_end),
        cmocka_unit_test(a_yes_without_the_nonce_is_no_answer),
        cmocka_unit_test(a_nonce_over_the_old_connection_proves_nothing),
        cmocka_unit_test(silent_dial_backs_keep_no_answer_away),
        cmocka_unit_test(neighbours_are_dialled_back_as_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
