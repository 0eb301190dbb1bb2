// SPDX-License-Identifier: MIT
/* What is remembered between the ends of one process, and the few ephemeral keys they draw from. */
#include "p2p/noise_memo.h"

#include <setjmp.h>
#include <sodium.h>
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
    assert_false(noise_memo_get(a, b, s));
    noise_memo_end();
}

static void one_end_puts_and_the_other_gets(void **state)
{
    uint8_t a[32], b[32], c[32], s[32], got[32] = {0};
    fill(a, 1);
    fill(b, 2);
    fill(c, 4);
    fill(s, 9);
    noise_memo_begin();
    assert_false(noise_memo_get(a, b, got));
    noise_memo_put(a, b, s);
    assert_false(noise_memo_get(a, c, got));
    assert_true(noise_memo_get(b, a, got));
    assert_memory_equal(got, s, sizeof s);
    assert_true(noise_memo_get(a, b, got)); /* again, for the next handshake with the same keys */
    noise_memo_end();
    noise_memo_begin();
    assert_false(noise_memo_get(a, b, got));
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
    assert_false(noise_memo_get(a, b, got));
    assert_true(noise_memo_get(a, c, got));
    assert_memory_equal(got, t, sizeof t);
    noise_memo_end();
}

/* The place that a key with itself falls on is everybody's. */
static void a_key_with_itself_is_not_kept(void **state)
{
    uint8_t a[32], s[32], got[32];
    fill(a, 5);
    fill(s, 9);
    noise_memo_begin();
    noise_memo_put(a, a, s);
    assert_false(noise_memo_get(a, a, got));
    noise_memo_end();
}

static void ephemeral_keys_are_pairs_out_of_a_small_set(void **state)
{
    uint8_t first[32], again[32], made[32], public_key[32], other[32];
    fill(first, 16);
    assert_false(noise_memo_key(first, public_key));
    noise_memo_begin();
    assert_true(noise_memo_key(first, public_key));
    assert_int_equal(crypto_scalarmult_base(made, first), 0);
    assert_memory_equal(public_key, made, sizeof made);
    fill(again, 32); /* other bytes, the same key */
    assert_true(noise_memo_key(again, other));
    assert_memory_equal(again, first, sizeof first);
    assert_memory_equal(other, public_key, sizeof other);
    fill(again, 17);
    assert_true(noise_memo_key(again, other));
    assert_memory_not_equal(other, public_key, sizeof other);
    noise_memo_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_it_remembers_nothing),
        cmocka_unit_test(one_end_puts_and_the_other_gets),
        cmocka_unit_test(the_later_displaces),
        cmocka_unit_test(a_key_with_itself_is_not_kept),
        cmocka_unit_test(ephemeral_keys_are_pairs_out_of_a_small_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
