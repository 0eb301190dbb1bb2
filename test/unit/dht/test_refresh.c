// SPDX-License-Identifier: MIT
/* Which part of the table is due when, without a network. */
#include "dht/refresh.h"

#include "base/sched.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define EVERY (600 * US_PER_S)
#define STEP  (60 * US_PER_S)
#define HOUR  (3600 * US_PER_S)

/* Only the counts matter. */
static void fill(struct dht_table *t, int bucket, int count)
{
    t->buckets[bucket].count = count;
}

/* How often it is looked up in that time, looked at every step. */
static int count_self(struct dht_refresh *r, uint64_t from, uint64_t us)
{
    int n = 0;
    for (uint64_t now = from; now < from + us; now += STEP)
        n += dht_refresh_take_self(r, now);
    return n;
}

static int count_bucket(struct dht_refresh *r, const struct dht_table *t, int bucket, uint64_t from,
                        uint64_t us)
{
    int n = 0;
    for (uint64_t now = from; now < from + us; now += STEP)
        n += dht_refresh_take_bucket(r, t, bucket, now);
    return n;
}

static void ourselves_soon_and_then_every_ten_minutes(void **state)
{
    struct dht_refresh r;
    dht_refresh_init(&r, EVERY);
    assert_int_equal(dht_refresh_step_us(&r), STEP);
    assert_int_equal(count_self(&r, STEP, 16 * STEP), 5); /* 0, 1, 3, 7, 15 minutes on */
    assert_int_equal(count_self(&r, 17 * STEP, HOUR), 6);
    dht_refresh_anew(&r);
    assert_true(dht_refresh_take_self(&r, 100 * STEP));
    assert_false(dht_refresh_take_self(&r, 100 * STEP));
    assert_true(dht_refresh_take_self(&r, 101 * STEP));
}

static void a_bucket_that_does_not_grow_is_asked_ever_less(void **state)
{
    static struct dht_table t;
    struct dht_refresh r;
    memset(&t, 0, sizeof t);
    dht_refresh_init(&r, EVERY);
    fill(&t, 0, 8);
    fill(&t, 1, 15);
    assert_int_equal(count_bucket(&r, &t, 0, STEP, 16 * STEP), 5); /* 0, 1, 3, 7, 15 minutes on */
    assert_int_equal(count_bucket(&r, &t, 0, 17 * STEP, 10 * HOUR), 11);
}

/* Others' lookups fill it as well: growing is no reason to ask sooner. */
static void one_that_grows_is_asked_no_sooner(void **state)
{
    static struct dht_table t;
    struct dht_refresh r;
    int n = 0;
    memset(&t, 0, sizeof t);
    dht_refresh_init(&r, EVERY);
    fill(&t, 1, 15);
    for (int i = 1; i < LIMIT_DHT_BUCKET; i++) {
        fill(&t, 0, i);
        n += dht_refresh_take_bucket(&r, &t, 0, (uint64_t)i * STEP);
    }
    assert_int_equal(n, 4);
}

/* Enough to look with, and there is no hurry about the rest. */
static void a_half_full_one_has_time(void **state)
{
    static struct dht_table t;
    struct dht_refresh r;
    memset(&t, 0, sizeof t);
    dht_refresh_init(&r, EVERY);
    fill(&t, 0, LIMIT_DHT_BUCKET / 2);
    fill(&t, 1, 15);
    assert_int_equal(count_bucket(&r, &t, 0, STEP, EVERY), 0);
    assert_int_equal(count_bucket(&r, &t, 0, STEP + EVERY, STEP), 1);
    assert_in_range(count_bucket(&r, &t, 0, 2 * STEP + EVERY, 10 * HOUR), 10, 20);
    fill(&t, 0, 7); /* they fell silent: soon again, and ever less often */
    assert_int_equal(count_bucket(&r, &t, 0, 2 * STEP + EVERY + 10 * HOUR, 7 * STEP), 3);
}

static void a_full_one_is_asked_by_the_hour(void **state)
{
    static struct dht_table t;
    struct dht_refresh r;
    memset(&t, 0, sizeof t);
    dht_refresh_init(&r, EVERY);
    fill(&t, 0, LIMIT_DHT_BUCKET);
    fill(&t, 1, 10);
    assert_int_equal(count_bucket(&r, &t, 0, STEP, 10 * HOUR), 9);
    fill(&t, 0,
         LIMIT_DHT_BUCKET - 1); /* somebody fell silent: as one that does not grow, from then on */
    assert_in_range(count_bucket(&r, &t, 0, 10 * HOUR + STEP, HOUR), 1, 6);
}

/* Whoever is nearer than the k-th is met by the lookup of ourselves. */
static void what_is_near_is_covered(void **state)
{
    static struct dht_table t;
    struct dht_refresh r;
    memset(&t, 0, sizeof t);
    dht_refresh_init(&r, EVERY);
    fill(&t, 0, 8);
    fill(&t, 1, 6);
    fill(&t, 2, 6);
    for (int i = 0; i < 3; i++)
        assert_int_equal(count_bucket(&r, &t, i, STEP, HOUR), 0);
    fill(&t, 0, 9);
    assert_true(dht_refresh_take_bucket(&r, &t, 0, HOUR + STEP));
    assert_false(dht_refresh_take_bucket(&r, &t, 1, HOUR + STEP));
}

static void never_means_once(void **state)
{
    static struct dht_table t;
    struct dht_refresh r;
    memset(&t, 0, sizeof t);
    dht_refresh_init(&r, SCHED_NEVER);
    fill(&t, 0, 8);
    fill(&t, 1, 18);
    assert_int_equal(count_self(&r, STEP, 100 * HOUR), 1);
    assert_int_equal(count_bucket(&r, &t, 0, STEP, 100 * HOUR), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ourselves_soon_and_then_every_ten_minutes),
        cmocka_unit_test(a_bucket_that_does_not_grow_is_asked_ever_less),
        cmocka_unit_test(one_that_grows_is_asked_no_sooner),
        cmocka_unit_test(a_half_full_one_has_time),
        cmocka_unit_test(a_full_one_is_asked_by_the_hour),
        cmocka_unit_test(what_is_near_is_covered),
        cmocka_unit_test(never_means_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
