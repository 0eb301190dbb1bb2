// SPDX-License-Identifier: MIT
/* Who says where we are, and when it is worth asking about. */
#include "p2p/observed.h"

#include "base/sched.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct net_addr ip(const char *text, uint16_t port)
{
    struct net_addr a;
    assert_int_equal(net_addr_parse_ip(text, port, &a), 0);
    return a;
}

static void note(struct observed *o, const char *at, const char *by, uint64_t now_us)
{
    struct net_addr a = ip(at, 8000), b = ip(by, 4001);
    observed_note(o, &a, &b, now_us);
}

static void four_networks_make_a_candidate(void **state)
{
    struct observed o = {0};
    uint64_t now = US_PER_S;
    note(&o, "203.0.113.5", "8.8.4.4", now);
    note(&o, "203.0.113.5", "8.8.200.1", now); /* the same /16: says nothing new */
    note(&o, "203.0.113.5", "8.8.4.4", now);
    assert_int_equal(observed_votes(&o, 0, now), 1);
    note(&o, "203.0.113.5", "9.9.9.9", now);
    note(&o, "203.0.113.5", "2606:4700::1", now);
    note(&o, "203.0.113.5", "2606:4700:0:ffff::1", now); /* the same /48 */
    assert_false(observed_is_candidate(&o, 0, now));
    note(&o, "203.0.113.5", "1.1.1.1", now + 60 * US_PER_S);
    assert_true(observed_is_candidate(&o, 0, now + 60 * US_PER_S));
    assert_int_equal(o.count, 1);
    assert_false(observed_is_candidate(&o, 0, now + 3600 * US_PER_S)); /* long ago */
    assert_false(observed_is_candidate(&o, 1, now));
}

/* One observer with many tales does not make us forget what several agree on. */
static void a_liar_does_not_push_out_what_others_agree_on(void **state)
{
    struct observed o = {0};
    char at[32];
    note(&o, "203.0.113.5", "8.8.4.4", 1);
    note(&o, "203.0.113.5", "9.9.9.9", 2);
    for (int i = 1; i <= 3 * LIMIT_OBSERVED; i++) {
        snprintf(at, sizeof at, "198.51.100.%d", i);
        note(&o, at, "1.2.3.4", 100 + (uint64_t)i);
    }
    assert_int_equal(o.count, LIMIT_OBSERVED);
    size_t most = 0;
    for (size_t i = 0; i < o.count; i++)
        most = observed_votes(&o, i, 500) > most ? observed_votes(&o, i, 500) : most;
    assert_int_equal(most, 2);
}

static void neighbours_know_nothing_of_the_world(void **state)
{
    struct observed o = {0};
    char by[32];
    note(&o, "203.0.113.5", "192.168.1.2", 1);
    note(&o, "203.0.113.5", "127.0.0.1", 1);
    assert_int_equal(o.count, 0);
    for (int i = 1; i < 9; i++) {
        snprintf(by, sizeof by, "%d.1.1.1", 10 + i);
        note(&o, "192.168.1.9", by, 1);
    }
    assert_int_equal(observed_votes(&o, 0, 1), OBSERVED_VOTES);
    assert_false(observed_is_candidate(&o, 0, 1)); /* nobody out there can use it */
    note(&o, "0.0.0.0", "8.8.8.8", 1);
    assert_int_equal(o.count, 1);
}

static void the_book_is_bounded(void **state)
{
    struct observed o = {0};
    char at[32], by[32];
    for (int i = 0; i < 10 * LIMIT_OBSERVED; i++) {
        snprintf(at, sizeof at, "203.0.%d.%d", i / 200, i % 200);
        note(&o, at, "8.8.8.8", (uint64_t)i + 1);
    }
    assert_int_equal(o.count, LIMIT_OBSERVED);
    for (int i = 1; i < 200; i++) { /* nor are the votes without end */
        snprintf(by, sizeof by, "%d.5.1.1", i);
        note(&o, at, by, (uint64_t)10000 + i);
    }
    for (size_t i = 0; i < o.count; i++)
        assert_true(observed_votes(&o, i, 10200) <= OBSERVED_VOTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_networks_make_a_candidate),
        cmocka_unit_test(a_liar_does_not_push_out_what_others_agree_on),
        cmocka_unit_test(neighbours_know_nothing_of_the_world),
        cmocka_unit_test(the_book_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
