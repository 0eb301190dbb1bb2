// SPDX-License-Identifier: MIT
/* What was found good is remembered, and nothing that differs from it by a bit. */
#include "codec/key_memo.h"

#include "base/err.h"
#include "codec/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

struct signing {
    uint8_t key[32], secret[64], sig[64], message[100];
};

static void make(struct signing *s, uint8_t n)
{
    uint8_t seed[32] = {n};
    crypto_sign_seed_keypair(s->key, s->secret, seed);
    memset(s->message, n, sizeof s->message);
    crypto_sign_detached(s->sig, NULL, s->message, sizeof s->message, s->secret);
}

static bool is_known(const struct signing *s)
{
    struct key_memo at;
    return key_memo_has(s->key, s->sig, bytes_of(s->message, sizeof s->message), &at);
}

static int verify(const struct signing *s)
{
    struct key_public k = {.kind = KEY_ED25519, .data = bytes_of(s->key, 32)};
    return key_verify(&k, bytes_of(s->message, sizeof s->message), bytes_of(s->sig, 64));
}

static void a_good_one_is_remembered(void **state)
{
    struct signing s;
    make(&s, 1);
    assert_false(is_known(&s));
    assert_int_equal(verify(&s), 0);
    assert_true(is_known(&s));
    assert_int_equal(verify(&s), 0);
}

static void a_bad_one_is_not(void **state)
{
    struct signing s;
    make(&s, 2);
    s.sig[5] ^= 1;
    assert_int_equal(verify(&s), E_AUTH);
    assert_false(is_known(&s));
    assert_int_equal(verify(&s), E_AUTH);
}

/* Any bit of the key, the signature or the message, once the true one is remembered. */
static void no_other_passes_for_it(void **state)
{
    struct signing s, other;
    make(&s, 3);
    assert_int_equal(verify(&s), 0);
    uint8_t *parts[] = {other.key, other.sig, other.message};
    size_t sizes[] = {sizeof s.key, sizeof s.sig, sizeof s.message};
    for (size_t p = 0; p < 3; p++)
        for (size_t bit = 0; bit < 8 * sizes[p]; bit++) {
            other = s;
            parts[p][bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(is_known(&other));
            assert_int_equal(verify(&other), E_AUTH);
        }
    struct key_memo at; /* nor a shorter message */
    assert_false(key_memo_has(s.key, s.sig, bytes_of(s.message, 99), &at));
}

/* The oldest of a row go; whoever was forgotten is verified again. */
static void a_full_memo_forgets(void **state)
{
    struct signing s;
    make(&s, 4);
    assert_int_equal(verify(&s), 0);
    for (uint32_t i = 0; i < 400000; i++) {
        struct key_memo at;
        uint8_t sig[64] = {0};
        memcpy(sig, &i, sizeof i);
        if (!key_memo_has(s.key, sig, BYTES_LIT("x"), &at))
            key_memo_keep(&at);
    }
    assert_false(is_known(&s)); /* twelve times its size came by */
    assert_int_equal(verify(&s), 0);
    assert_true(is_known(&s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_one_is_remembered),
        cmocka_unit_test(a_bad_one_is_not),
        cmocka_unit_test(no_other_passes_for_it),
        cmocka_unit_test(a_full_memo_forgets),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
