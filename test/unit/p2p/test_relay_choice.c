// SPDX-License-Identifier: MIT
/* Which relays hold places for us, in the test's own time. */
#include "base/err.h"
#include "base/sched.h"
#include "base/trace.h"
#include "p2p/relay_choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define S US_PER_S

static struct rng rng;
static struct relay_choice c;

static struct peer_id id(uint8_t i)
{
    return (struct peer_id){.len = 3, .b = {0, 1, i}};
}

static int add(uint8_t i, enum relay_rank rank)
{
    struct peer_id p = id(i);
    return relay_choice_add(&c, &p, rank);
}

/* "ask 3", "release 3", or "-". */
static const char *next(uint64_t now)
{
    static char text[32];
    struct relay_act act;
    if (!relay_choice_next(&c, now, &act))
        return "-";
    snprintf(text, sizeof text, "%s %d", act.kind == RELAY_ACT_ASK ? "ask" : "release",
             act.relay.b[2]);
    return text;
}

static void granted(uint8_t i, uint64_t until, uint64_t now)
{
    struct peer_id p = id(i);
    relay_choice_granted(&c, &p, until, now);
}

static bool refused(uint8_t i, uint64_t now)
{
    struct peer_id p = id(i);
    return relay_choice_refused(&c, &p, now);
}

static bool lost(uint8_t i, uint64_t now)
{
    struct peer_id p = id(i);
    return relay_choice_lost(&c, &p, now);
}

static bool holds(uint8_t i)
{
    struct peer_id p = id(i);
    return relay_choice_holds(&c, &p);
}

static int setup(void **state)
{
    rng_init_seeded(&rng, 1);
    relay_choice_init(&c, &rng);
    return 0;
}

static void the_best_are_asked_and_no_more_than_wanted(void **state)
{
    add(1, RELAY_RANK_OTHER);
    add(2, RELAY_RANK_CONDUIT);
    add(3, RELAY_RANK_BOOTSTRAP);
    assert_string_equal(next(0), "-"); /* nothing is wanted */
    relay_choice_want(&c, 2);
    assert_string_equal(next(0), "ask 3");
    assert_string_equal(next(0), "ask 2");
    assert_string_equal(next(0), "-");
    add(4, RELAY_RANK_CONDUIT);
    granted(3, 3600 * S, 0);
    assert_false(refused(2, 0));
    assert_string_equal(next(0), "ask 4"); /* at once: another */
    granted(4, 3600 * S, 0);
    assert_string_equal(next(1000 * S), "-");
    assert_int_equal(relay_choice_held(&c), 2);
    relay_choice_want(&c, 1);
    assert_string_equal(next(1000 * S), "release 4");
    relay_choice_want(&c, 0);
    assert_string_equal(next(1000 * S), "release 3");
    assert_string_equal(next(1000 * S), "-");
    assert_int_equal(relay_choice_deadline(&c), SCHED_NEVER);
}

/* One at a bootstrap node, one with somebody else, and each of them as likely as the other: a relay has few circuits,
 * and everybody knows the same bootstrap nodes. */
static void places_are_spread(void **state)
{
    int times[6] = {0};
    for (int i = 0; i < 300; i++) {
        relay_choice_init(&c, &rng);
        for (uint8_t r = 0; r < 6; r++)
            add(r, r < 3 ? RELAY_RANK_BOOTSTRAP : RELAY_RANK_CONDUIT);
        relay_choice_want(&c, 2);
        int first = next(0)[4] - '0', second = next(0)[4] - '0';
        assert_in_range(first, 0, 2);
        assert_in_range(second, 3, 5);
        times[first]++;
        times[second]++;
    }
    for (int r = 0; r < 6; r++)
        assert_in_range(times[r], 60, 140);
}

/* Nobody else is there, or they refuse. */
static void two_bootstrap_nodes_are_better_than_one(void **state)
{
    add(1, RELAY_RANK_BOOTSTRAP);
    add(2, RELAY_RANK_BOOTSTRAP);
    add(3, RELAY_RANK_CONDUIT);
    relay_choice_want(&c, 2);
    int first = next(0)[4] - '0';
    granted((uint8_t)first, 3600 * S, 0);
    assert_string_equal(next(0), "ask 3");
    assert_false(refused(3, 0));
    assert_string_equal(next(0), first == 1 ? "ask 2" : "ask 1");
}

static void a_place_is_refreshed_at_two_thirds(void **state)
{
    add(1, RELAY_RANK_OTHER);
    relay_choice_want(&c, 1);
    next(0);
    granted(1, 3600 * S, 0);
    assert_int_equal(relay_choice_deadline(&c), 2400 * S);
    assert_string_equal(next(2399 * S), "-");
    assert_string_equal(next(2400 * S), "ask 1");
    assert_true(holds(1)); /* meanwhile */
    granted(1, 6000 * S, 2400 * S);
    assert_int_equal(relay_choice_deadline(&c), 4800 * S);
    granted(1, 0, 4800 * S); /* out of turn: nothing */
    assert_true(holds(1));
}

static void a_refresh_that_fails_is_tried_until_the_time_is_up(void **state)
{
    add(1, RELAY_RANK_OTHER);
    relay_choice_want(&c, 1);
    next(0);
    granted(1, 90 * S, 0);
    uint64_t now = 60 * S;
    int asked = 0;
    for (; now < 200 * S && holds(1); asked++) {
        now = relay_choice_deadline(&c) > now ? relay_choice_deadline(&c) : now;
        assert_string_equal(next(now), "ask 1");
        bool was_lost = refused(1, now);
        assert_int_equal(was_lost, !holds(1));
    }
    assert_in_range(asked, 3, 8);
    assert_true(now <= 90 * S);
    assert_int_equal(relay_choice_held(&c), 0);
}

static void a_lost_one_is_replaced_and_asked_later(void **state)
{
    add(1, RELAY_RANK_BOOTSTRAP);
    add(2, RELAY_RANK_OTHER);
    relay_choice_want(&c, 1);
    next(0);
    granted(1, 3600 * S, 0);
    assert_true(lost(1, 10 * S));
    assert_false(lost(1, 10 * S));
    assert_false(lost(2, 10 * S));
    assert_string_equal(next(10 * S), "ask 2");
    assert_false(refused(2, 10 * S));
    uint64_t at = relay_choice_deadline(&c);
    assert_in_range(at, 10 * S + 1600000, 10 * S + 2400000); /* 2 s ± 20 % */
    assert_string_equal(next(13 * S), "ask 1");
}

static void pauses_double_to_five_minutes(void **state)
{
    uint64_t now = 0, last = 0;
    add(1, RELAY_RANK_OTHER);
    relay_choice_want(&c, 1);
    for (int i = 0; i < 12; i++) {
        assert_string_equal(next(now), "ask 1");
        assert_false(refused(1, now));
        last = relay_choice_deadline(&c) - now;
        now += last;
    }
    assert_in_range(last, 240 * S, 360 * S);
    assert_in_range(now, 1000 * S, 3000 * S);
}

static void a_relay_lost_during_its_refresh(void **state)
{
    add(1, RELAY_RANK_OTHER);
    relay_choice_want(&c, 1);
    next(0);
    granted(1, 3600 * S, 0);
    next(2400 * S);
    assert_true(lost(1, 2400 * S));
    assert_false(holds(1));
    assert_false(refused(1, 2400 * S));
    assert_string_equal(next(2400 * S), "-");
}

static void the_book_is_bounded_and_better_ones_displace(void **state)
{
    for (unsigned i = 0; i < LIMIT_RELAY_CANDIDATES; i++)
        assert_int_equal(add((uint8_t)i, RELAY_RANK_OTHER), 0);
    assert_int_equal(add(200, RELAY_RANK_OTHER), E_LIMIT);
    assert_int_equal(add(3, RELAY_RANK_OTHER), E_EXISTS);
    assert_int_equal(add(201, RELAY_RANK_GIVEN), 0);
    assert_int_equal(c.count, LIMIT_RELAY_CANDIDATES);
    add(5, RELAY_RANK_BOOTSTRAP);
    relay_choice_want(&c, 2);
    assert_string_equal(next(0), "ask 201");
    assert_string_equal(next(0), "ask 5");
    struct peer_id p = id(7);
    relay_choice_remove(&c, &p);
    assert_int_equal(c.count, LIMIT_RELAY_CANDIDATES - 1);
    p = id(5);
    relay_choice_remove(&c, &p); /* it is being asked */
    assert_int_equal(c.count, LIMIT_RELAY_CANDIDATES - 1);
}

int main(void)
{
    trace_set_all(TRACE_OFF);
    rng_init_seeded(&rng, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_best_are_asked_and_no_more_than_wanted, setup),
        cmocka_unit_test_setup(places_are_spread, setup),
        cmocka_unit_test_setup(two_bootstrap_nodes_are_better_than_one, setup),
        cmocka_unit_test_setup(a_place_is_refreshed_at_two_thirds, setup),
        cmocka_unit_test_setup(a_refresh_that_fails_is_tried_until_the_time_is_up, setup),
        cmocka_unit_test_setup(a_lost_one_is_replaced_and_asked_later, setup),
        cmocka_unit_test_setup(pauses_double_to_five_minutes, setup),
        cmocka_unit_test_setup(a_relay_lost_during_its_refresh, setup),
        cmocka_unit_test_setup(the_book_is_bounded_and_better_ones_displace, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
