// SPDX-License-Identifier: MIT
/* What is remembered between the two ends of one process, and that it is used once. */
#include "p2p/noise_memo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void fill(uint8_t out[static 32], int with)
{
    memset(out, with, 32);
}

static void off_it_remembers_nothing(void **state)
{
    uint8_t a[32], b[32], s[32];
    fill(a, 1);
    fill(b, 2);
    fill(s, 3);
    noise_memo_put(a, b, s);
    assert_false(noise_memo_take(a, b, s));
    noise_memo_end();
}

static void one_end_puts_and_the_other_takes_once(void **state)
{
    uint8_t a[32], b[32], c[32], s[32], got[32] = {0};
    fill(a, 1);
    fill(b, 2);
    fill(c, 4);
    fill(s, 9);
    noise_memo_begin();
    assert_false(noise_memo_take(a, b, got));
    noise_memo_put(a, b, s);
    assert_false(noise_memo_take(a, c, got));
    assert_true(noise_memo_take(b, a, got));
    assert_memory_equal(got, s, sizeof s);
    assert_false(noise_memo_take(b, a, got));
    noise_memo_end();
}

/* Pairs that fall on one place: the later one is there, and the earlier is not taken for it. */
static void the_later_displaces(void **state)
{
    uint8_t a[32], b[32], c[32], s[32], t[32], got[32];
    fill(a, 0);
    fill(b, 0);
    fill(c, 0);
    b[31] = 1;
    c[31] = 2;
    fill(s, 7);
    fill(t, 8);
    noise_memo_begin();
    noise_memo_put(a, b, s);
    noise_memo_put(a, c, t);
    assert_false(noise_memo_take(a, b, got));
    assert_true(noise_memo_take(a, c, got));
    assert_memory_equal(got, t, sizeof t);
    noise_memo_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_it_remembers_nothing),
        cmocka_unit_test(one_end_puts_and_the_other_takes_once),
        cmocka_unit_test(the_later_displaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
