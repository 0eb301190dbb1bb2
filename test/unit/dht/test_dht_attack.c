// SPDX-License-Identifier: MIT
/* Peers that lie: each misleads its own path of a lookup only; names placed nearest to a key do not hide what is
 * provided under it (CVE-2023-26248); forged records are not kept, and a flood of them stays bounded. */
#include "dht_world.h"

#include "base/net.h"

/* --- disjoint paths --- */

enum { FAKES = 20 };

static void fake_peer(int i, struct dht_peer *p)
{
    static struct bytes addr = BYTES_LIT("\x04\x0a\xff\x00\x01\x06\x0f\xa1");
    uint8_t id[34] = {0x12, 0x20, 0xfe, (uint8_t)i};
    *p = (struct dht_peer){.addrs = &addr, .addr_count = 1};
    peer_id_decode(bytes_of(id, sizeof id), &p->id);
}

static int tells_of_nobody(struct node *n, const struct dht_message *m, struct buf *reply)
{
    struct dht_peer p;
    dht_message_begin(reply, (enum dht_type)m->type, m->key);
    for (int i = 0; i < FAKES; i++) {
        fake_peer(i, &p);
        dht_message_add(reply, DHT_CLOSER, &p, LIMIT_DHT_REPLY);
    }
    return 0;
}

static void what_a_liar_says_stays_on_its_path(void **state)
{
    struct world *w = world_new(60, 3);
    struct told t = {0};
    int with_fakes = 0;
    w->fixed_rtt_us = 40000;
    for (int i = 1; i < 17; i++)
        meet(&w->nodes[0], &w->nodes[i]);
    run_for(w, 5 * US_PER_S);
    for (int i = 1; i < 60; i++)
        if (i == 5)
            w->nodes[i].lie = tells_of_nobody;
    struct dht_query *q =
        dht_find_providers(w->nodes[0].d, BYTES_LIT("k"), 0, on_peer, on_done, &t);
    run_for(w, 45 * US_PER_MS); /* the first answers are in */
    assert_int_equal(q->path_count, LIMIT_DHT_PATHS);
    for (int p = 0; p < q->path_count; p++) {
        int fakes = 0;
        for (int i = 0; i < FAKES; i++) {
            struct dht_peer f;
            fake_peer(i, &f);
            fakes += dht_lookup_find(&q->paths[p], &f.id) != NULL;
        }
        with_fakes += fakes > 0;
    }
    assert_int_equal(with_fakes, 1);
    LIST_FOREACH (&w->flights, a) /* and nobody is asked by two of them */
        LIST_FOREACH (&w->flights, b) {
            struct flight *x = LIST_ENTRY(a, struct flight, link);
            struct flight *y = LIST_ENTRY(b, struct flight, link);
            assert_true(x == y || x->from != &w->nodes[0] || y->from != &w->nodes[0] ||
                        !peer_id_eq(&x->rpc->peer.id, &y->rpc->peer.id));
        }
    run_for(w, 20 * US_PER_S);
    assert_int_equal(t.done, 1);
    world_free(w);
}

static int made_up;

/* Each time others, and as many as are read of one answer. */
static int names_made_up_providers(struct node *n, const struct dht_message *m, struct buf *reply)
{
    dht_message_begin(reply, (enum dht_type)m->type, m->key);
    for (int i = 0; i < LIMIT_DHT_PROVIDERS; i++) {
        struct dht_peer p;
        uint8_t id[34] = {0x12, 0x20, 0xfd, (uint8_t)(made_up >> 8), (uint8_t)made_up};
        fake_peer(0, &p);
        peer_id_decode(bytes_of(id, sizeof id), &p.id);
        dht_message_add(reply, DHT_PROVIDERS, &p, LIMIT_DHT_REPLY);
        made_up++;
    }
    return 0;
}

struct named {
    struct peer_id wanted;
    int sources[LIMIT_DHT_PATHS + 1], found_on;
    struct dht_query *q;
};

static void on_named(void *ctx, const struct dht_peer *p)
{
    struct named *t = ctx;
    int source = dht_query_source(t->q);
    assert_in_range(source, 0, LIMIT_DHT_PATHS);
    t->sources[source]++;
    if (peer_id_eq(&p->id, &t->wanted))
        t->found_on = source;
}

/* Of four paths only `at` has no liar on it, and there the last one asked has the record. */
static void flood(struct bytes key, int at)
{
    struct world *w = world_new(18, 3);
    struct node *asker = &w->nodes[0], *provider = &w->nodes[17];
    struct dht_contact *near[DHT_K];
    struct named t = {.wanted = provider->id, .found_on = -1};
    struct dht_key target = dht_key_of(key);
    struct dht_peer p = peer_of(provider);
    w->fixed_rtt_us = 40000;
    for (int i = 1; i < 17; i++)
        meet(asker, &w->nodes[i]);
    run_for(w, 5 * US_PER_S);
    assert_int_equal(dht_table_nearest(&asker->d->table, &target, NULL, near, DHT_K), 16);
    for (int i = 0; i < 16; i++) {
        struct node *n = map_get(&w->by_id, peer_id_bytes(&near[i]->id));
        if (i % LIMIT_DHT_PATHS != at)
            n->lie = names_made_up_providers;
        else if (i >= 12)
            dht_providers_add(&n->d->providers, key, &p, w->s.now_us);
    }
    t.q = dht_find_providers(asker->d, key, 0, on_named, NULL, &t);
    run_for(w, 10 * US_PER_S);
    assert_int_equal(t.found_on, 1 + at);
    for (int i = 1; i <= LIMIT_DHT_PATHS; i++)
        assert_in_range(t.sources[i], 1, LIMIT_DHT_CANDIDATES / LIMIT_DHT_PATHS);
    world_free(w);
}

static void each_path_names_its_share(void **state)
{
    for (int at = 0; at < LIMIT_DHT_PATHS; at++)
        flood(BYTES_LIT("k"), at);
}

static void few_peers_make_few_paths(void **state)
{
    static const struct {
        int peers, paths;
    } cases[] = {{1, 1}, {7, 1}, {8, 2}, {12, 3}, {16, 4}, {25, 4}};
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct world *w = world_new(30, 1);
        struct told t = {0};
        struct dht *d = w->nodes[0].d;
        for (int i = 1; i <= cases[c].peers; i++) {
            struct dht_peer p = peer_of(&w->nodes[i]);
            dht_peer_seen(d, &p);
        }
        int n = (int)dht_stats(d).table_peers; /* a bucket may have been full */
        struct dht_query *q = dht_find_providers(d, BYTES_LIT("k"), 0, on_peer, on_done, &t);
        sched_run_tasks(&w->s);
        assert_int_equal(q->path_count, n < 20 ? cases[c].paths : LIMIT_DHT_PATHS);
        int begun = 0;
        for (int p = 0; p < q->path_count; p++) {
            begun += q->paths[p].count;
            assert_in_range(q->paths[p].in_flight, 1, DHT_ALPHA);
        }
        assert_int_equal(begun, n < 20 ? n : 20);
        world_free(w);
    }
}

/* --- names placed nearest to a key --- */

enum { HONEST = 100, SYBILS = 30, FINDERS = 40 };

static struct world *censored;

static int tells_of_its_own_kind(struct node *n, const struct dht_message *m, struct buf *reply)
{
    if (m->type == DHT_ADD_PROVIDER)
        return 0; /* and keeps nothing */
    dht_message_begin(reply, (enum dht_type)m->type, m->key);
    for (int i = 0; i < 20; i++) {
        int at = HONEST + (int)rng_below(&censored->rng, SYBILS);
        struct dht_peer p = peer_of(&censored->nodes[at]);
        dht_message_add(reply, DHT_CLOSER, &p, LIMIT_DHT_REPLY);
    }
    return 0;
}

/* Nearer to the key than any honest node is. */
static void move_near(struct world *w, struct node *n, struct bytes key)
{
    struct dht_key target = dht_key_of(key), k;
    uint8_t id[34] = {0x12, 0x20, 0xbb};
    struct peer_id found;
    do {
        uint64_t r = rng_u64(&w->rng);
        memcpy(id + 3, &r, sizeof r);
        peer_id_decode(bytes_of(id, sizeof id), &found);
        k = dht_key_of(peer_id_bytes(&found));
    } while (dht_key_common_bits(&target, &k) < 10);
    (void)map_take(&w->by_id, peer_id_bytes(&n->id));
    n->id = found;
    map_put(&w->by_id, peer_id_bytes(&n->id), n);
    n->lie = tells_of_its_own_kind;
}

static void names_nearest_to_a_key_do_not_hide_it(void **state)
{
    struct world *w = censored = world_new(HONEST + SYBILS, 5);
    struct bytes key = BYTES_LIT("\x12\x20the key of a model somebody dislikes");
    int found = 0;
    for (int i = 1; i < HONEST; i++) {
        meet(&w->nodes[i], &w->nodes[rng_below(&w->rng, (uint64_t)i)]);
        run_for(w, 100 * US_PER_MS);
    }
    for (int i = HONEST; i < HONEST + SYBILS; i++) {
        move_near(w, &w->nodes[i], key);
        for (int j = 0; j < HONEST; j++) { /* it makes itself known to all */
            struct dht_peer p = peer_of(&w->nodes[i]);
            dht_peer_seen(w->nodes[j].d, &p);
        }
    }
    run_for(w, 60 * US_PER_S);
    assert_int_equal(dht_provide(w->nodes[7].d, key), 0);
    run_for(w, 30 * US_PER_S);
    for (int i = 0; i < FINDERS; i++) {
        struct told t = {0};
        dht_find_providers(w->nodes[20 + i].d, key, 1, on_peer, on_done, &t);
        run_for(w, 20 * US_PER_S);
        assert_int_equal(t.done, 1);
        found += t.peers == 1;
    }
    print_message("%d Sybils nearest to the key, %d honest: %d of %d found it\n", SYBILS, HONEST,
                  found, FINDERS);
    assert_true(found >= FINDERS * 95 / 100);
    world_free(w);
}

/* A crowd is asked beside once, with three lookups at most, and their end is the lookup's. */
static void probes_are_few_and_end_with_their_lookup(void **state)
{
    struct world *w = censored = world_new(HONEST + SYBILS, 6);
    struct bytes key = BYTES_LIT("\x12\x20the key of a model somebody dislikes");
    struct told t = {0};
    size_t most = 0;
    for (int i = 1; i < HONEST; i++) {
        meet(&w->nodes[i], &w->nodes[rng_below(&w->rng, (uint64_t)i)]);
        run_for(w, 100 * US_PER_MS);
    }
    for (int i = HONEST; i < HONEST + SYBILS; i++) {
        move_near(w, &w->nodes[i], key);
        for (int j = 0; j < HONEST; j++) {
            struct dht_peer p = peer_of(&w->nodes[i]);
            dht_peer_seen(w->nodes[j].d, &p);
        }
    }
    run_for(w, 60 * US_PER_S);
    struct dht *d = w->nodes[40].d;
    struct dht_query *q = dht_find_providers(d, key, 0, on_peer, on_done, &t);
    while (!t.done) {
        size_t now = dht_stats(d).queries;
        most = now > most ? now : most;
        run_for(w, 10 * US_PER_MS);
    }
    assert_int_equal(most, 1 + LIMIT_DHT_PROBES);
    assert_int_equal(dht_stats(d).queries, 0);
    t = (struct told){0}; /* and when it is cancelled meanwhile */
    q = dht_find_providers(d, key, 0, on_peer, on_done, &t);
    while (dht_stats(d).queries < 2)
        run_for(w, 10 * US_PER_MS);
    dht_cancel(d, q);
    assert_int_equal(dht_stats(d).queries, 0);
    assert_int_equal(t.done, 0);
    world_free(w);
}

/* --- small networks --- */

enum { FEW = 12, SMALL_KEYS = 20 };

static struct node *farthest(struct world *w, struct bytes key)
{
    struct dht_key target = dht_key_of(key), most = {0};
    struct node *found = NULL;
    for (int i = 1; i < w->n; i++) {
        struct dht_key k = dht_key_of(peer_id_bytes(&w->nodes[i].id));
        struct dht_key distance = dht_key_distance(&k, &target);
        if (!found || dht_key_cmp(&distance, &most) > 0) {
            most = distance;
            found = &w->nodes[i];
        }
    }
    return found;
}

/* Fewer than k: everybody is asked, so that it does not matter who of them was there to keep the record. */
static void what_one_of_few_keeps_is_found(void **state)
{
    struct world *w = world_new(FEW, 8);
    w->fixed_rtt_us = 40000; /* nobody is slow: a read would go on without him */
    for (int i = 0; i < FEW; i++)
        for (int j = 0; j < i; j++)
            meet(&w->nodes[i], &w->nodes[j]);
    run_for(w, 10 * US_PER_S);
    for (int i = 0; i < SMALL_KEYS; i++) {
        char text[16];
        struct told t = {0};
        struct dht_peer provider = peer_of(&w->nodes[1]);
        snprintf(text, sizeof text, "key %d", i);
        struct node *keeper = farthest(w, bytes_str(text));
        dht_providers_add(&keeper->d->providers, bytes_str(text), &provider, w->s.now_us);
        uint64_t sent = dht_stats(w->nodes[0].d).rpcs_sent;
        dht_find_providers(w->nodes[0].d, bytes_str(text), 0, on_peer, on_done, &t);
        run_for(w, 5 * US_PER_S);
        assert_int_equal(t.done, 1);
        assert_int_equal(t.peers, 1);
        assert_in_range(dht_stats(w->nodes[0].d).rpcs_sent - sent, FEW - 1, FEW + 1);
    }
    world_free(w);
}

/* Ten thousand names from one net: three places in the table. */
static void a_net_full_of_names_gets_three_places(void **state)
{
    struct world *w = world_new(20, 1);
    struct dht *d = w->nodes[0].d;
    for (int i = 1; i < 20; i++)
        meet(&w->nodes[0], &w->nodes[i]);
    run_for(w, 5 * US_PER_S);
    size_t before = dht_stats(d).table_peers;
    for (uint32_t i = 0; i < 10000; i++) {
        uint8_t id[34] = {0x12, 0x20, 0xab, (uint8_t)(i >> 8), (uint8_t)i};
        uint8_t raw[8] = {4, 66, 6, (uint8_t)(i >> 8), (uint8_t)i, 6, 0x0f, 0xa1};
        struct bytes addr = bytes_of(raw, sizeof raw);
        struct dht_peer p = {.addrs = &addr, .addr_count = 1};
        peer_id_decode(bytes_of(id, sizeof id), &p.id);
        dht_peer_seen(d, &p);
    }
    assert_int_equal(dht_stats(d).table_peers, before + LIMIT_DHT_GROUP);
    run_for(w, 5 * US_PER_S); /* they are nobody's: out again, and the honest stay */
    for (int i = 0; i < 5; i++) {
        struct told t = {0};
        dht_find_providers(d, BYTES_LIT("k"), 0, on_peer, on_done, &t);
        run_for(w, 10 * US_PER_S);
    }
    assert_int_equal(dht_stats(d).table_peers, before);
    world_free(w);
}

/* --- forged records, and floods of them --- */

static void add_provider(struct buf *out, struct bytes key, const struct dht_peer *p)
{
    buf_clear(out);
    dht_message_begin(out, DHT_ADD_PROVIDER, key);
    dht_message_add(out, DHT_PROVIDERS, p, LIMIT_DHT_REPLY);
}

static void nothing_forged_is_kept(void **state)
{
    struct world *w = world_new(2, 1);
    struct node *me = &w->nodes[0];
    struct buf m, reply;
    buf_init(&m, 0);
    buf_init(&reply, 0);
    /* A million messages: 245 records, each in the name of another and told 4,096 times. */
    for (uint32_t i = 0; i < 1000000; i++) {
        struct dht_peer forged;
        uint8_t id[34] = {0x12, 0x20, 0xcc, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        fake_peer((int)i, &forged);
        peer_id_decode(bytes_of(id, sizeof id), &forged.id);
        if (i % 4096 == 0)
            add_provider(&m, BYTES_LIT("k"), &forged);
        sched_set_now(&w->s, w->s.now_us + 20000, 0);
        assert_int_equal(dht_serve(me->d, &w->nodes[1].id, NULL, buf_view(&m), &reply), 0);
    }
    assert_int_equal(dht_stats(me->d).provider_records, 0);
    buf_fini(&m);
    buf_fini(&reply);
    world_free(w);
}

/* One machine with many names: what its net may ask bounds what it may leave. */
static void a_flood_leaves_room_for_who_keeps_announcing(void **state)
{
    struct world *w = world_new(2, 1);
    struct node *me = &w->nodes[0];
    struct dht_peer honest = peer_of(&w->nodes[1]);
    struct buf m, reply;
    size_t refused = 0;
    buf_init(&m, 0);
    buf_init(&reply, 0);
    add_provider(&m, BYTES_LIT("honest"), &honest);
    assert_int_equal(dht_serve(me->d, &honest.id, NULL, buf_view(&m), &reply), 0);
    for (uint32_t i = 0; i < 200000; i++) {
        struct dht_peer p;
        uint8_t id[34] = {0x12, 0x20, 0xdd, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        struct net_addr at = {.kind = NET_IP4, .ip = {66, 6, 6, 6}};
        fake_peer(0, &p);
        peer_id_decode(bytes_of(id, sizeof id), &p.id);
        add_provider(&m, bytes_of(&i, sizeof i), &p);
        refused += dht_serve(me->d, &p.id, &at, buf_view(&m), &reply) == E_LIMIT;
        sched_set_now(&w->s, w->s.now_us + 1000, 0); /* 1,000 a second, for 200 s */
    }
    assert_true(refused > 150000);
    assert_true(dht_stats(me->d).provider_records <= 1 + 201 * LIMIT_DHT_RATE_IP);
    assert_true(dht_stats(me->d).provider_keys <= LIMIT_DHT_KEYS);
    assert_int_equal(serve(me, &w->nodes[1], DHT_GET_PROVIDERS, BYTES_LIT("honest"), &reply), 0);
    struct dht_message_peer got;
    struct bytes rest = buf_view(&reply);
    assert_true(dht_message_next(DHT_PROVIDERS, &rest, &got)); /* still there */
    add_provider(&m, BYTES_LIT("honest"), &honest);
    assert_int_equal(dht_serve(me->d, &honest.id, NULL, buf_view(&m), &reply), 0); /* and renewed */
    buf_fini(&m);
    buf_fini(&reply);
    world_free(w);
}

/* Pings in the name of the n-th, as many as it likes within one moment: so many are answered. */
static int ping(struct world *w, uint32_t n, bool is_relayed, int count)
{
    uint8_t id[34] = {0x12, 0x20, 0xee, (uint8_t)(n >> 8), (uint8_t)n};
    struct net_addr at = {.kind = NET_IP4, .ip = {66, 6, 6, 6}};
    struct peer_id peer;
    struct buf m, reply;
    int answered = 0;
    buf_init(&m, 0);
    buf_init(&reply, 0);
    peer_id_decode(bytes_of(id, sizeof id), &peer);
    assert_int_equal(dht_message_begin(&m, DHT_PING, (struct bytes){0}), 0);
    while (count-- > 0)
        answered += (is_relayed ? dht_serve_relayed : dht_serve)(w->nodes[0].d, &peer, &at,
                                                                 buf_view(&m), &reply) == 0;
    buf_fini(&m);
    buf_fini(&reply);
    return answered;
}

/* What one peer asks too often takes nothing from the others at its address. */
static void one_that_asks_too_much_leaves_the_others_their_turn(void **state)
{
    struct world *w = world_new(1, 1);
    assert_int_equal(ping(w, 1, false, 10000), LIMIT_DHT_RATE);
    assert_int_equal(ping(w, 2, false, 10), 10);
    assert_int_equal(ping(w, 3, false, 10000), LIMIT_DHT_RATE);
    for (uint32_t n = 4; n < 100; n++)
        ping(w, n, false, LIMIT_DHT_RATE);
    assert_int_equal(ping(w, 100, false, 10), 0); /* all of them together: the address */
    world_free(w);
}

/* All over one relay are not one machine, nor are they at the relay's. */
static void who_comes_over_a_relay_has_a_rate_of_its_own(void **state)
{
    struct world *w = world_new(1, 1);
    assert_int_equal(ping(w, 1, true, 10000), LIMIT_DHT_RATE);
    int answered = LIMIT_DHT_RATE;
    for (uint32_t n = 2; n < 100; n++)
        answered += ping(w, n, true, LIMIT_DHT_RATE);
    assert_int_equal(answered, LIMIT_DHT_RATE_RELAY);
    assert_int_equal(ping(w, 100, false, 10), 10); /* the relay itself */
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_liar_says_stays_on_its_path),
        cmocka_unit_test(each_path_names_its_share),
        cmocka_unit_test(few_peers_make_few_paths),
        cmocka_unit_test(names_nearest_to_a_key_do_not_hide_it),
        cmocka_unit_test(probes_are_few_and_end_with_their_lookup),
        cmocka_unit_test(what_one_of_few_keeps_is_found),
        cmocka_unit_test(a_net_full_of_names_gets_three_places),
        cmocka_unit_test(nothing_forged_is_kept),
        cmocka_unit_test(a_flood_leaves_room_for_who_keeps_announcing),
        cmocka_unit_test(one_that_asks_too_much_leaves_the_others_their_turn),
        cmocka_unit_test(who_comes_over_a_relay_has_a_rate_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
