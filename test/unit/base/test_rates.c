// SPDX-License-Identifier: MIT
/* Token buckets by key: the burst, the refill, and a flood of keys. */
#include "base/rates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S UINT64_C(1000000)

static int take_all(struct rates *r, const char *key, uint64_t now)
{
    int n = 0;
    while (rates_take(r, bytes_str(key), now))
        n++;
    return n;
}

static void a_burst_and_then_the_rate(void **state)
{
    struct rates r;
    rates_init(&r, 0.5, 4, 8, 1);
    assert_int_equal(take_all(&r, "a", S), 4);
    assert_int_equal(take_all(&r, "a", 2 * S), 0);
    assert_int_equal(take_all(&r, "a", 3 * S), 1);
    assert_int_equal(take_all(&r, "a", 7 * S), 2);
    assert_int_equal(take_all(&r, "b", 7 * S), 4);    /* each has its own */
    assert_int_equal(take_all(&r, "a", 1000 * S), 4); /* never more than a burst */
    rates_fini(&r);
}

static void a_flood_of_keys_is_refused_and_forgotten(void **state)
{
    struct rates r;
    uint32_t key = 0;
    rates_init(&r, 1, 2, 100, 1);
    for (; key < 100; key++)
        assert_true(rates_take(&r, bytes_of(&key, sizeof key), S));
    for (; key < 1000; key++)
        assert_false(rates_take(&r, bytes_of(&key, sizeof key), S));
    assert_int_equal(map_count(&r.buckets), 100);
    key = 5; /* who is remembered is served */
    assert_true(rates_take(&r, bytes_of(&key, sizeof key), S));
    key = 2000;
    assert_true(rates_take(&r, bytes_of(&key, sizeof key), 3 * S + 1)); /* the full ones went */
    assert_int_equal(map_count(&r.buckets), 1);
    rates_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_and_then_the_rate),
        cmocka_unit_test(a_flood_of_keys_is_refused_and_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
