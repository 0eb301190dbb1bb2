// SPDX-License-Identifier: MIT
/* The routing table: who may come in, who must leave, who is near. And provider records. */
#include "dht/providers.h"
#include "dht/table.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct peer_id id_of(uint32_t n)
{
    uint8_t b[34] = {0x12,      0x20, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                     (uint8_t)n};
    struct peer_id id;
    peer_id_decode(bytes_of(b, sizeof b), &id);
    return id;
}

struct net {
    uint8_t addr[8];
    struct bytes v;
    struct dht_peer peer;
};

/* Peer `n` at an IPv4 address. */
static struct dht_peer *peer_at(struct net *p, uint32_t n, uint32_t ip)
{
    *p = (struct net){{4, (uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip,
                       6, 0x0f, 0xa1},
                      .v = {NULL, 0}};
    p->v = bytes_of(p->addr, 8);
    p->peer = (struct dht_peer){id_of(n), &p->v, 1};
    return &p->peer;
}

static const uint32_t loopback = 0x7f000001;

static struct dht_table *table_new(void)
{
    struct dht_table *t = MEM_NEW(struct dht_table);
    struct peer_id self = id_of(0);
    dht_table_init(t, &self, 7);
    return t;
}

static void table_free(struct dht_table *t)
{
    dht_table_fini(t);
    free(t);
}

/* The next number from `n` on whose peer falls into bucket `at`. */
static uint32_t next_in_bucket(const struct dht_table *t, uint32_t n, int at)
{
    for (;; n++) {
        struct peer_id id = id_of(n);
        struct dht_key k = dht_key_of(peer_id_bytes(&id));
        if (dht_key_common_bits(&t->self_key, &k) == at)
            return n;
    }
}

static enum dht_table_result seen(struct dht_table *t, uint32_t n, uint32_t ip, uint64_t now,
                                  struct dht_contact **check)
{
    struct net p;
    return dht_table_seen(t, peer_at(&p, n, ip), now, check);
}

static void who_may_not_come_in(void **state)
{
    struct dht_table *t = table_new();
    struct dht_contact *check;
    struct net p;
    assert_int_equal(seen(t, 0, loopback, 1, &check), DHT_TABLE_REFUSED); /* ourselves */
    struct dht_peer *no_addr = peer_at(&p, 5, loopback);
    no_addr->addr_count = 0;
    assert_int_equal(dht_table_seen(t, no_addr, 1, &check), DHT_TABLE_REFUSED);
    assert_int_equal(t->count, 0);
    assert_int_equal(dht_table_deepest(t), -1);
    table_free(t);
}

/* A full bucket keeps who lives; the newcomer gets the place of the oldest only if that is silent. */
static void full_bucket(void **state)
{
    for (int oldest_answers = 0; oldest_answers < 2; oldest_answers++) {
        struct dht_table *t = table_new();
        struct dht_contact *check;
        uint32_t first = next_in_bucket(t, 1, 0), n = first;
        for (int i = 0; i < LIMIT_DHT_BUCKET; i++, n = next_in_bucket(t, n + 1, 0))
            assert_int_equal(seen(t, n, loopback, 10, &check), DHT_TABLE_ADDED);
        uint32_t newcomer = n, second = next_in_bucket(t, n + 1, 0);
        assert_int_equal(seen(t, newcomer, loopback, 20 * US_PER_S, &check), DHT_TABLE_FULL);
        assert_null(check); /* all were heard of within the minute */
        const uint64_t later = 61 * US_PER_S;
        assert_int_equal(seen(t, newcomer, loopback, 20 + later, &check), DHT_TABLE_FULL);
        struct peer_id id = id_of(first), new_id = id_of(newcomer), second_id = id_of(second);
        assert_true(check && peer_id_eq(&check->id, &id));
        assert_int_equal(seen(t, second, loopback, 30 + later, &check), DHT_TABLE_FULL);
        assert_null(check); /* it is being asked already, and the first newcomer waits */
        if (oldest_answers) {
            assert_int_equal(seen(t, first, loopback, 40 + later, &check), DHT_TABLE_KNOWN);
            assert_null(dht_table_find(t, &new_id));
            assert_int_equal(seen(t, newcomer, loopback, 50 + later, &check), DHT_TABLE_FULL);
            assert_false(peer_id_eq(&check->id, &id)); /* now somebody else is oldest */
        } else {
            assert_true(dht_table_failed(t, &id, 40 + later));
            assert_null(dht_table_find(t, &id));
            assert_non_null(dht_table_find(t, &new_id));
        }
        assert_null(dht_table_find(t, &second_id));
        assert_int_equal(t->count, LIMIT_DHT_BUCKET);
        table_free(t);
    }
}

static void newcomer_waits_a_minute_only(void **state)
{
    struct dht_table *t = table_new();
    struct dht_contact *check;
    uint32_t first = next_in_bucket(t, 1, 0), n = first;
    for (int i = 0; i < LIMIT_DHT_BUCKET; i++, n = next_in_bucket(t, n + 1, 0))
        seen(t, n, loopback, 10, &check);
    seen(t, n, loopback, 20, &check);
    struct peer_id id = id_of(first), new_id = id_of(n);
    dht_table_remove(t, &id, 20 + 61 * US_PER_S);
    assert_null(dht_table_find(t, &new_id));
    assert_int_equal(t->count, LIMIT_DHT_BUCKET - 1);
    table_free(t);
}

static void silent_peer_leaves_after_two_failures(void **state)
{
    struct dht_table *t = table_new();
    struct dht_contact *check;
    struct peer_id id = id_of(1);
    seen(t, 1, loopback, 1, &check);
    assert_false(dht_table_failed(t, &id, 2));
    seen(t, 1, loopback, 3, &check); /* a sign of life in between counts */
    assert_false(dht_table_failed(t, &id, 4));
    assert_true(dht_table_failed(t, &id, 5));
    assert_int_equal(t->count, 0);
    assert_false(dht_table_failed(t, &id, 6));
    table_free(t);
}

/* CVE-2023-26248: a flood of identities near a key takes its place in everybody's table. Machines cost
 * more than identities, so networks are counted; that it stays possible for who has many networks is
 * known, and nothing in the DHT is believed beyond being a hint. */
static void diversity(void **state)
{
    struct dht_table *t = table_new();
    struct dht_contact *check;
    uint32_t ip = 0x08080000; /* 8.8.0.0/16 */
    uint32_t a = next_in_bucket(t, 1, 0), b = next_in_bucket(t, a + 1, 0);
    uint32_t c = next_in_bucket(t, b + 1, 0), d = next_in_bucket(t, 1, 1);
    uint32_t e = next_in_bucket(t, 1, 2);
    assert_int_equal(seen(t, a, ip + 1, 1, &check), DHT_TABLE_ADDED);
    assert_int_equal(seen(t, b, ip + 2, 1, &check), DHT_TABLE_ADDED);
    assert_int_equal(seen(t, c, ip + 3, 1, &check), DHT_TABLE_REFUSED);   /* third in the bucket */
    assert_int_equal(seen(t, c, 0x08090003, 1, &check), DHT_TABLE_ADDED); /* another /16 */
    assert_int_equal(seen(t, d, ip + 4, 1, &check), DHT_TABLE_ADDED);     /* third in the table */
    assert_int_equal(seen(t, e, ip + 5, 1, &check), DHT_TABLE_REFUSED);   /* fourth */
    struct peer_id gone = id_of(a);
    dht_table_remove(t, &gone, 2);
    assert_int_equal(seen(t, e, ip + 5, 2, &check), DHT_TABLE_ADDED);
    static const uint32_t exempt[] = {0x7f000001, 0x0a000001, 0xc0a80001, 0xac100001};
    for (size_t i = 0; i < ARRAY_LEN(exempt); i++)
        for (uint32_t k = 0; k < 6; k++)
            assert_int_equal(
                seen(t, next_in_bucket(t, 1000 + 50 * (uint32_t)i + 8 * k, 3 + (int)k % 2),
                     exempt[i], 3, &check) == DHT_TABLE_REFUSED,
                0);
    table_free(t);
}

static void groups(void **state)
{
    struct bytes dns = BYTES_LIT("\x36\x0b"
                                 "example.com\x06\x01\xbb");
    struct bytes a = BYTES_LIT("\x04\x08\x08\x01\x01\x06\x01\xbb"),
                 b = BYTES_LIT("\x04\x08\x08\x02\x02");
    struct bytes six = BYTES_LIT("\x29\x20\x01\x0d\xb9\0\0\0\0\0\0\0\0\0\0\0\1");
    struct bytes two[] = {dns, a}, lan[] = {BYTES_LIT("\x04\xc0\xa8\x01\x01"), a};
    assert_int_equal(dht_addrs_group(&dns, 1), 0);
    assert_true(dht_addrs_group(&a, 1) != 0);
    assert_int_equal(dht_addrs_group(&a, 1), dht_addrs_group(&b, 1));
    assert_int_equal(dht_addrs_group(&a, 1), dht_addrs_group(two, 2));
    assert_int_equal(dht_addrs_group(&a, 1),
                     dht_addrs_group(lan, 2)); /* LAN listed first: no way out */
    assert_true(dht_addrs_group(&six, 1) != 0 &&
                dht_addrs_group(&six, 1) != dht_addrs_group(&a, 1));
}

static int by_distance(const void *a, const void *b, void *target)
{
    const struct peer_id *x = a, *y = b;
    struct dht_key kx = dht_key_of(peer_id_bytes(x)), ky = dht_key_of(peer_id_bytes(y));
    struct dht_key dx = dht_key_distance(&kx, target), dy = dht_key_distance(&ky, target);
    return dht_key_cmp(&dx, &dy);
}

/* Against a plain list, sorted anew each time. */
static void nearest_against_a_model(void **state)
{
    struct dht_table *t = table_new();
    struct rng rng;
    struct peer_id model[2000];
    int count = 0;
    rng_init_seeded(&rng, 5);
    for (int step = 0; step < 3000; step++) {
        struct dht_contact *check;
        uint32_t n = 1 + (uint32_t)rng_below(&rng, 700);
        struct peer_id id = id_of(n);
        int at = 0;
        while (at < count && !peer_id_eq(&model[at], &id))
            at++;
        if (rng_below(&rng, 3)) {
            enum dht_table_result r = seen(t, n, loopback, (uint64_t)step, &check);
            assert_int_equal(r == DHT_TABLE_KNOWN, at < count);
            if (r == DHT_TABLE_ADDED)
                model[count++] = id;
        } else {
            dht_table_remove(t, &id, (uint64_t)step + 100 * US_PER_S); /* nobody waits so long */
            if (at < count)
                model[at] = model[--count];
        }
        assert_int_equal(t->count, count);
        if (step % 50)
            continue;
        struct dht_key target;
        struct dht_contact *near[20];
        rng_fill(&rng, target.b, sizeof target.b);
        qsort_r(model, (size_t)count, sizeof *model, by_distance, &target);
        struct peer_id *except = count > 2 ? &model[1] : NULL;
        int got = dht_table_nearest(t, &target, except, near, 20);
        assert_int_equal(got, count - (except != NULL) < 20 ? count - (except != NULL) : 20);
        for (int i = 0; i < got; i++)
            assert_true(peer_id_eq(&near[i]->id, &model[i + (except && i > 0)]));
    }
    table_free(t);
}

/* --- providers --- */

static int give(struct dht_providers *p, const char *key, uint32_t who, uint64_t now)
{
    struct net n;
    return dht_providers_add(p, bytes_str(key), peer_at(&n, who, loopback), now);
}

static void records_run_out(void **state)
{
    struct dht_providers p;
    const struct dht_provider *out[LIMIT_DHT_PROVIDERS];
    struct bytes addrs[LIMIT_DHT_ADDRS];
    const uint64_t hour = 3600 * US_PER_S;
    dht_providers_init(&p, 1);
    assert_int_equal(give(&p, "k", 1, 0), 0);
    assert_int_equal(give(&p, "k", 2, 1), 0);
    assert_int_equal(dht_providers_get(&p, BYTES_LIT("k"), 2, out), 2);
    struct peer_id two = id_of(2);
    assert_true(peer_id_eq(&out[0]->id, &two)); /* newest first */
    assert_int_equal(dht_provider_addrs(out[0], hour / 2, addrs), 1);
    assert_int_equal(dht_provider_addrs(out[0], hour / 2 + 1, addrs), 0); /* the id alone */
    assert_int_equal(give(&p, "k", 1, hour), 0); /* renewed: the same record */
    assert_int_equal(p.records, 2);
    assert_int_equal(dht_providers_expire(&p, hour), 1 + 2 * hour);
    assert_int_equal(dht_providers_get(&p, BYTES_LIT("k"), 2 * hour + 1, out), 1);
    assert_int_equal(dht_providers_expire(&p, 3 * hour), SCHED_NEVER);
    assert_int_equal(p.records + map_count(&p.keys) + map_count(&p.peers), 0);
    assert_int_equal(give(&p, "", 1, 0), E_INVALID);
    assert_false(dht_providers_remove(&p, BYTES_LIT("k"), &two));
    dht_providers_fini(&p);
}

static void provider_limits(void **state)
{
    struct dht_providers p;
    char key[LIMIT_DHT_KEY + 2];
    dht_providers_init(&p, 1);
    for (uint32_t i = 0; i < LIMIT_DHT_PROVIDERS; i++)
        assert_int_equal(give(&p, "popular", i, 0), 0);
    assert_int_equal(give(&p, "popular", 100, 0), E_LIMIT);
    assert_int_equal(give(&p, "popular", 3, 0), 0); /* who is there may renew */
    for (int i = 0; i < LIMIT_DHT_PEER_KEYS - 1; i++) {
        snprintf(key, sizeof key, "key %d", i);
        assert_int_equal(give(&p, key, 1, 0), 0);
    }
    assert_int_equal(give(&p, "one too many", 1, 0), E_LIMIT);
    assert_int_equal(give(&p, "one too many", 2, 0), 0);
    struct peer_id one = id_of(1);
    assert_true(dht_providers_remove(&p, BYTES_LIT("popular"), &one));
    assert_int_equal(give(&p, "popular", 100, 0), 0);
    memset(key, 'x', sizeof key - 1);
    key[sizeof key - 1] = 0;
    assert_int_equal(give(&p, key, 1, 0), E_INVALID);
    dht_providers_fini(&p);
}

static void key_limit(void **state)
{
    struct dht_providers p;
    dht_providers_init(&p, 1);
    for (uint32_t i = 0; i < LIMIT_DHT_KEYS; i++) {
        struct net n;
        uint8_t key[4] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 1};
        int err = dht_providers_add(&p, bytes_of(key, 4),
                                    peer_at(&n, i / LIMIT_DHT_PEER_KEYS, loopback), 0);
        assert_int_equal(err, 0);
    }
    assert_int_equal(give(&p, "new", 5000, 0), E_LIMIT);
    dht_providers_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_may_not_come_in),
        cmocka_unit_test(full_bucket),
        cmocka_unit_test(newcomer_waits_a_minute_only),
        cmocka_unit_test(silent_peer_leaves_after_two_failures),
        cmocka_unit_test(diversity),
        cmocka_unit_test(groups),
        cmocka_unit_test(nearest_against_a_model),
        cmocka_unit_test(records_run_out),
        cmocka_unit_test(provider_limits),
        cmocka_unit_test(key_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
