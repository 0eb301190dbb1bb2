// SPDX-License-Identifier: MIT
/* The ledger: all or nothing, every limit exceeded, names that come and go, and a random life against a
 * naive count of the same. */
#include "base/err.h"
#include "base/limits.h"
#include "base/rng.h"
#include "p2p/resource.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static void begin(struct resource_ledger *l, uint64_t max)
{
    struct resource_limits limits;
    for (int s = 0; s < RESOURCE_SCOPES; s++)
        for (int k = 0; k < RESOURCE_KINDS; k++)
            limits.max[s][k] = max;
    resource_init(l, &limits, 7);
}

static void a_reservation_counts_in_all_scopes_or_in_none(void **state)
{
    struct resource_ledger l;
    begin(&l, 10);
    struct resource_scope conn, peer, other;
    resource_scope_init(&conn, RESOURCE_CONN);
    resource_scope_init(&other, RESOURCE_CONN);
    resource_scope_init(&peer, RESOURCE_PEER);
    struct resource_scope *proto = resource_hold(&l, RESOURCE_PROTOCOL, BYTES_LIT("/http/1.1"));
    struct resource_set a = {{&conn, &peer, NULL, proto}}, b = {{&other, &peer}};
    assert_int_equal(resource_reserve(&l, &a, RESOURCE_IN, 8), 0);
    assert_int_equal(resource_reserve(&l, &b, RESOURCE_IN, 3), E_LIMIT); /* the peer has eight */
    assert_int_equal(resource_used(&other, RESOURCE_IN), 0);
    assert_int_equal(resource_used(&l.system, RESOURCE_IN), 8);
    assert_int_equal(l.refused[RESOURCE_PEER][RESOURCE_IN], 1);
    assert_int_equal(l.refused[RESOURCE_CONN][RESOURCE_IN], 0);
    assert_int_equal(resource_reserve(&l, &b, RESOURCE_IN, 2), 0);
    assert_int_equal(resource_used(&peer, RESOURCE_IN), 10);
    assert_int_equal(resource_used(proto, RESOURCE_IN), 8);
    assert_false(resource_is_zero(&l));
    resource_release(&l, &a, RESOURCE_IN, 8);
    resource_release(&l, &b, RESOURCE_IN, 2);
    assert_false(resource_is_zero(&l)); /* the name is held */
    resource_drop(&l, proto);
    assert_true(resource_is_zero(&l));
    resource_fini(&l);
}

/* Every row of the table is reached and not passed; what has no limit has none. */
static void every_limit_holds(void **state)
{
    struct resource_limits limits = resource_limits_default();
    unsigned bounded = 0;
    for (int s = 0; s < RESOURCE_SCOPES; s++)
        for (int k = 0; k < RESOURCE_KINDS; k++) {
            struct resource_ledger l;
            struct resource_scope scope;
            uint64_t max = limits.max[s][k];
            begin(&l, RESOURCE_NO_LIMIT);
            l.limits.max[s][k] = max;
            resource_scope_init(&scope, s);
            struct resource_set set = {{s == RESOURCE_SYSTEM ? NULL : &scope}};
            if (max == RESOURCE_NO_LIMIT) {
                assert_int_equal(resource_reserve(&l, &set, k, 1u << 31), 0);
                resource_release(&l, &set, k, 1u << 31);
            } else {
                bounded++;
                assert_int_equal(resource_reserve(&l, &set, k, max), 0);
                assert_int_equal(resource_reserve(&l, &set, k, 1), E_LIMIT);
                assert_int_equal(l.refused[s][k], 1);
                resource_release(&l, &set, k, max);
            }
            assert_true(resource_is_zero(&l));
            resource_fini(&l);
        }
    assert_int_equal(bounded, 24);
}

static void no_sum_overflows(void **state)
{
    struct resource_ledger l;
    begin(&l, RESOURCE_NO_LIMIT);
    struct resource_set none = {{NULL}};
    assert_int_equal(resource_reserve(&l, &none, RESOURCE_IN, UINT32_MAX), 0);
    assert_int_equal(resource_reserve(&l, &none, RESOURCE_IN, 1), E_LIMIT);
    assert_int_equal(resource_reserve(&l, &none, RESOURCE_MEMORY, UINT64_MAX), 0);
    assert_int_equal(resource_reserve(&l, &none, RESOURCE_MEMORY, 1), E_LIMIT);
    resource_fini(&l);
}

static void memory_is_charged_and_said_to_be_over(void **state)
{
    struct resource_ledger l;
    begin(&l, 1000);
    struct resource_scope conn;
    resource_scope_init(&conn, RESOURCE_CONN);
    struct resource_set set = {{&conn}};
    l.limits.max[RESOURCE_SYSTEM][RESOURCE_MEMORY] = 2000;
    assert_true(resource_has_room(&l, &set, RESOURCE_MEMORY, 750));
    assert_false(resource_has_room(&l, &set, RESOURCE_MEMORY, 751));
    resource_charge(&l, &set, 0, 1001);
    assert_true(resource_is_over(&l, &set));
    assert_int_equal(l.refused[RESOURCE_CONN][RESOURCE_MEMORY], 1);
    resource_charge(&l, &set, 1001, 1000);
    assert_false(resource_is_over(&l, &set));
    assert_int_equal(resource_reserve(&l, &set, RESOURCE_MEMORY, 1), E_LIMIT);
    resource_charge(&l, &set, 1000, 0);
    assert_true(resource_is_zero(&l));
    resource_fini(&l);
}

static void names_are_bounded_and_forgotten(void **state)
{
    struct resource_ledger l;
    begin(&l, 10);
    static struct resource_scope *held[LIMIT_SCOPES];
    for (uint32_t i = 0; i < LIMIT_SCOPES; i++)
        assert_non_null(held[i] = resource_hold(&l, i % 2 ? RESOURCE_IP : RESOURCE_PROTOCOL,
                                                bytes_of(&i, sizeof i)));
    uint32_t more = LIMIT_SCOPES, old = 5;
    assert_null(resource_hold(&l, RESOURCE_IP, bytes_of(&more, sizeof more)));
    assert_int_equal(l.refused_names, 1);
    assert_ptr_equal(resource_hold(&l, RESOURCE_IP, bytes_of(&old, sizeof old)), held[5]);
    resource_drop(&l, held[5]);
    for (uint32_t i = 0; i < LIMIT_SCOPES; i++)
        resource_drop(&l, held[i]);
    assert_true(resource_is_zero(&l));
    resource_fini(&l);
}

/* --- a random life --- */

enum { CONNS = 12, PEERS = 4, IPS = 3, PROTOCOLS = 3, LIVE = 200 };

struct life {
    struct resource_ledger l;
    struct rng rng;
    struct resource_scope conn[CONNS], peer[PEERS];
    struct {
        struct resource_set set;
        enum resource_kind kind;
        uint64_t amount;
    } live[LIVE]; /* amount 0: free */
};

static uint64_t naive(const struct life *w, const struct resource_scope *s, enum resource_kind kind)
{
    uint64_t sum = 0;
    for (int i = 0; i < LIVE; i++)
        for (int j = 0; w->live[i].amount && w->live[i].kind == kind && j <= RESOURCE_SET; j++)
            if ((j < RESOURCE_SET ? w->live[i].set.of[j] : &w->l.system) == s)
                sum += w->live[i].amount;
    return sum;
}

static void end_one(struct life *w, int i)
{
    struct resource_set *set = &w->live[i].set;
    if (w->live[i].amount)
        resource_release(&w->l, set, w->live[i].kind, w->live[i].amount);
    w->live[i].amount = 0;
    for (int j = 2; j < RESOURCE_SET; j++)
        if (set->of[j])
            resource_drop(&w->l, set->of[j]);
    *set = (struct resource_set){{NULL}};
}

static void begin_one(struct life *w, int i)
{
    uint8_t ip = (uint8_t)rng_below(&w->rng, IPS),
            protocol = (uint8_t)rng_below(&w->rng, PROTOCOLS);
    unsigned c = (unsigned)rng_below(&w->rng, CONNS);
    struct resource_set set = {{&w->conn[c], &w->peer[c % PEERS],
                                resource_hold(&w->l, RESOURCE_IP, bytes_of(&ip, 1)),
                                resource_hold(&w->l, RESOURCE_PROTOCOL, bytes_of(&protocol, 1))}};
    enum resource_kind kind = (enum resource_kind)rng_below(&w->rng, RESOURCE_KINDS);
    uint64_t amount = 1 + rng_below(&w->rng, 40);
    bool would = true;
    for (int j = 0; j <= RESOURCE_SET; j++) {
        const struct resource_scope *s = j < RESOURCE_SET ? set.of[j] : &w->l.system;
        would &= naive(w, s, kind) + amount <= w->l.limits.max[s->kind][kind];
    }
    int err = resource_reserve(&w->l, &set, kind, amount);
    assert_int_equal(err, would ? 0 : E_LIMIT);
    w->live[i].set = set;
    w->live[i].kind = kind;
    w->live[i].amount = err ? 0 : amount;
}

static void check_all(const struct life *w)
{
    for (int k = 0; k < RESOURCE_KINDS; k++) {
        assert_int_equal(resource_used(&w->l.system, k), naive(w, &w->l.system, k));
        for (int i = 0; i < CONNS; i++)
            assert_int_equal(resource_used(&w->conn[i], k), naive(w, &w->conn[i], k));
        for (int i = 0; i < PEERS; i++)
            assert_int_equal(resource_used(&w->peer[i], k), naive(w, &w->peer[i], k));
    }
}

static void a_random_life_ends_at_zero(void **state)
{
    const char *given = getenv("SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    struct life *w = calloc(1, sizeof *w);
    print_message("seed %llu; repeat with SEED=%llu\n", (unsigned long long)seed,
                  (unsigned long long)seed);
    rng_init_seeded(&w->rng, seed);
    begin(&w->l, 0);
    for (int s = 0; s < RESOURCE_SCOPES; s++)
        for (int k = 0; k < RESOURCE_KINDS; k++)
            w->l.limits.max[s][k] = 50 + rng_below(&w->rng, 1500);
    for (int i = 0; i < CONNS; i++)
        resource_scope_init(&w->conn[i], RESOURCE_CONN);
    for (int i = 0; i < PEERS; i++)
        resource_scope_init(&w->peer[i], RESOURCE_PEER);
    for (int n = 0; n < 20000; n++) {
        int i = (int)rng_below(&w->rng, LIVE);
        if (w->live[i].set.of[0])
            end_one(w, i);
        else
            begin_one(w, i);
        if (n % 100 == 0)
            check_all(w);
    }
    for (int i = 0; i < LIVE; i++)
        end_one(w, i);
    check_all(w);
    assert_true(resource_is_zero(&w->l));
    resource_fini(&w->l);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reservation_counts_in_all_scopes_or_in_none),
        cmocka_unit_test(every_limit_holds),
        cmocka_unit_test(no_sum_overflows),
        cmocka_unit_test(memory_is_charged_and_said_to_be_over),
        cmocka_unit_test(names_are_bounded_and_forgotten),
        cmocka_unit_test(a_random_life_ends_at_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
