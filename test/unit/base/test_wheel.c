// SPDX-License-Identifier: MIT
/* Deadlines in grains: when they fire, in one moment, moved, taken, too far, too late. */
#include "base/wheel.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { GRAIN = 10, ITEMS = 64 };

struct item {
    struct list link;
    uint64_t fired_us; /* 0: not yet */
    int count;
    struct item *takes; /* as it fires */
    uint64_t again_us;  /* … puts itself */
};

static struct sched sched;
static struct wheel wheel;
static struct item items[ITEMS];

static void on_fire(struct list *link)
{
    struct item *i = LIST_ENTRY(link, struct item, link);
    assert_true(list_is_empty(link));
    i->fired_us = sched_now(&sched);
    i->count++;
    if (i->takes)
        wheel_take(&wheel, &i->takes->link);
    if (i->again_us)
        wheel_put(&wheel, link, i->again_us);
    i->again_us = 0;
}

static int begin(void **state)
{
    sched_init(&sched, 1000, 0);
    wheel_init(&wheel, &sched, GRAIN, on_fire);
    for (size_t i = 0; i < ITEMS; i++) {
        items[i] = (struct item){0};
        list_init(&items[i].link);
    }
    return 0;
}

static int end(void **state)
{
    for (size_t i = 0; i < ITEMS; i++)
        wheel_take(&wheel, &items[i].link);
    wheel_fini(&wheel);
    sched_fini(&sched);
    return 0;
}

static unsigned turns;

static void run_until(uint64_t at)
{
    uint64_t next;
    while ((next = sched_deadline(&sched)) <= at) {
        sched_set_now(&sched, next, 0);
        sched_run_timers(&sched);
        turns++;
    }
    sched_set_now(&sched, at, 0);
}

static void fires_at_the_first_grain_that_is_not_before(void **state)
{
    wheel_put(&wheel, &items[0].link, 1020);
    wheel_put(&wheel, &items[1].link, 1021);
    wheel_put(&wheel, &items[2].link, 900); /* at the next one at the earliest */
    run_until(2000);
    assert_int_equal(items[0].fired_us, 1020);
    assert_int_equal(items[1].fired_us, 1030);
    assert_int_equal(items[2].fired_us, 1010);
}

static void many_are_one_moment_and_none_is_no_timer(void **state)
{
    assert_int_equal(sched_deadline(&sched), SCHED_NEVER);
    for (size_t i = 0; i < ITEMS; i++)
        wheel_put(&wheel, &items[i].link, 1011 + i % GRAIN);
    assert_int_equal(sched.timers.n, 1);
    turns = 0;
    run_until(2000);
    for (size_t i = 0; i < ITEMS; i++)
        assert_int_equal(items[i].fired_us, 1020);
    assert_int_equal(turns, 1);
    assert_int_equal(sched_deadline(&sched), SCHED_NEVER);
}

static void what_is_put_again_moves_and_what_is_taken_is_gone(void **state)
{
    wheel_put(&wheel, &items[0].link, 1020);
    wheel_put(&wheel, &items[0].link, 1100);
    wheel_put(&wheel, &items[1].link, 1030);
    wheel_put(&wheel, &items[2].link, 1030);
    wheel_take(&wheel, &items[1].link);
    wheel_take(&wheel, &items[1].link);
    assert_int_equal(wheel.count, 2);
    run_until(2000);
    assert_int_equal(items[0].fired_us, 1100);
    assert_int_equal(items[0].count, 1);
    assert_int_equal(items[1].count, 0);
    assert_int_equal(items[2].count, 1);
}

static void too_far_away_fires_early(void **state)
{
    wheel_put(&wheel, &items[0].link, SCHED_NEVER - GRAIN);
    wheel_put(&wheel, &items[1].link, 1000 + (WHEEL_SLOTS - 1) * GRAIN);
    run_until(5000);
    assert_int_equal(items[0].fired_us, 1000 + (WHEEL_SLOTS - 1) * GRAIN);
    assert_int_equal(items[1].fired_us, 1000 + (WHEEL_SLOTS - 1) * GRAIN);
}

/* The process slept: all that was due in between fires, and what is due later keeps its time. */
static void a_late_tick_misses_nothing(void **state)
{
    for (size_t i = 0; i < 20; i++)
        wheel_put(&wheel, &items[i].link, 1010 + i * GRAIN);
    sched_set_now(&sched, 1105, 0);
    sched_run_timers(&sched);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(items[i].fired_us, i < 10 ? 1105 : 0);
    run_until(2000);
    assert_int_equal(items[10].fired_us, 1110);
    assert_int_equal(items[19].fired_us, 1200);
    wheel_put(&wheel, &items[0].link, 2050);
    sched_set_now(&sched, 2000 + 10 * WHEEL_SLOTS * GRAIN, 0); /* more than once round */
    sched_run_timers(&sched);
    assert_int_equal(items[0].count, 2);
}

static void a_callback_may_take_and_put(void **state)
{
    items[0].takes = &items[1]; /* due in the same moment */
    items[0].again_us = 1015;
    wheel_put(&wheel, &items[0].link, 1010);
    wheel_put(&wheel, &items[1].link, 1010);
    wheel_put(&wheel, &items[2].link, 1010);
    run_until(1019);
    assert_int_equal(items[0].count, 1);
    assert_int_equal(items[1].count, 0);
    assert_int_equal(items[2].count, 1);
    run_until(1020);
    assert_int_equal(items[0].count, 2);
}

/* Against a list that is searched: nothing fires before its time (unless it was too far), or a grain too late. */
static void as_a_list_would(void **state)
{
    uint64_t seed = (uint64_t)(uintptr_t)&seed ^ 88172645463325252u, due[ITEMS] = {0};
    struct rng rng;
    rng_init_seeded(&rng, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int step = 0; step < 20000; step++) {
        size_t i = rng_below(&rng, ITEMS);
        uint64_t now = sched_now(&sched);
        if (rng_below(&rng, 4)) {
            due[i] = now + rng_below(&rng, (WHEEL_SLOTS - 2) * GRAIN);
            wheel_put(&wheel, &items[i].link, due[i]);
        } else {
            wheel_take(&wheel, &items[i].link);
            due[i] = 0;
        }
        for (size_t j = 0; j < ITEMS; j++)
            items[j].fired_us = 0;
        run_until(now + rng_below(&rng, 3 * GRAIN));
        for (size_t j = 0; j < ITEMS; j++) {
            bool is_due = due[j] && due[j] + 2 * GRAIN <= sched_now(&sched);
            if (items[j].fired_us)
                assert_true(due[j] && items[j].fired_us >= due[j]);
            else
                assert_false(is_due);
            if (items[j].fired_us)
                due[j] = 0;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fires_at_the_first_grain_that_is_not_before, begin, end),
        cmocka_unit_test_setup_teardown(many_are_one_moment_and_none_is_no_timer, begin, end),
        cmocka_unit_test_setup_teardown(what_is_put_again_moves_and_what_is_taken_is_gone, begin,
                                        end),
        cmocka_unit_test_setup_teardown(too_far_away_fires_early, begin, end),
        cmocka_unit_test_setup_teardown(a_late_tick_misses_nothing, begin, end),
        cmocka_unit_test_setup_teardown(a_callback_may_take_and_put, begin, end),
        cmocka_unit_test_setup_teardown(as_a_list_would, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
