// SPDX-License-Identifier: MIT
/* The Noise symmetric state and the transport cipher against bytes made by another implementation
 * (the Python package noiseprotocol 0.3.1, fixed keys, empty prologue, payloads as below). */
#include "p2p/noise_memo.h"
#include "p2p/noise_symmetric.h"

#include "base/err.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/crypto.h>
#include <sodium.h>

static const char msg1[] = "605a725d2a4adfeeb1a29e17edd621c1b7593ee8cdbc44ac6c4ab6e2f805d23c";
static const char msg2[] =
    "736845d54e87de09d6bb114aa7042c50a4a015bd9901d1a0026f5956533a1519667db2429918375b26c887f29381"
    "e3007d99343c20e80b8f9a49659e430a0cc27a8a221ca74847ec39a20be5d060f3e08ba59f3544a5fcd75bd655fe"
    "72f2723ac9d1ee4ff856349d25031a086a253e9e8b";
static const char msg3[] =
    "14a739638ce705076faf8b7c145c5616b37a113e2adc1dbe8a255618434047e475837bf01f229c18b87e73bceec9"
    "b1f5d4b7ebc383fb33cebfa28db9a56b7a04d39ab6c12d8f27769bb506e7731edde5a5";
static const char first_from_initiator[] = "dddd5131f61d5507776c34cdf43244b48669ddddfa";
static const char first_from_responder[] = "aba339dc5a6a67fac295e7bbaff4c33ac94b3c0210dc";

struct party {
    struct noise_symmetric sym;
    uint8_t s[32], S[32], e[32], E[32];
};

static void party_init(struct party *p, uint8_t base)
{
    for (int i = 0; i < 32; i++) {
        p->s[i] = (uint8_t)(base + i);
        p->e[i] = (uint8_t)(base + 0x90 + i);
    }
    crypto_scalarmult_base(p->S, p->s);
    crypto_scalarmult_base(p->E, p->e);
    noise_initialize(&p->sym);
}

static void assert_hex(struct bytes v, const char *hex)
{
    char text[1024];
    assert_true(2 * v.n < sizeof text);
    sodium_bin2hex(text, sizeof text, v.p, v.n);
    assert_string_equal(text, hex);
}

static void e(struct noise_symmetric *s, const uint8_t key[32], struct buf *out)
{
    if (out)
        buf_append(out, key, 32);
    noise_mix_hash(s, bytes_of(key, 32));
}

/* Takes an encrypted part of `n` plain bytes at *at of the message and checks it. */
static void heard(struct noise_symmetric *s, struct buf *msg, size_t *at, const void *plain,
                  size_t n)
{
    uint8_t got[64];
    struct bytes part = bytes_first(bytes_skip(buf_view(msg), *at), n + NOISE_TAG);
    assert_int_equal(noise_decrypt_and_hash(s, part, got), 0);
    assert_memory_equal(got, plain, n);
    *at += n + NOISE_TAG;
}

static void transport(struct party *i, struct party *r)
{
    uint8_t ki[2][32], kr[2][32], frame[NOISE_LENGTH + 6 + NOISE_TAG] = "..first";
    struct noise_cipher seal, open;
    noise_split(&i->sym, ki[0], ki[1]);
    noise_split(&r->sym, kr[0], kr[1]);
    assert_memory_equal(ki, kr, sizeof ki);
    noise_cipher_init(&seal, true, ki[0]);
    noise_cipher_init(&open, false, kr[0]);
    assert_int_equal(noise_seal(&seal, frame, 5), 2 + 5 + 16);
    assert_hex(bytes_of(frame, 2), "0015");
    assert_hex(bytes_of(frame + 2, 21), first_from_initiator);
    assert_int_equal(noise_frame_size(bytes_of(frame, sizeof frame)), 23);
    assert_int_equal(noise_open(&open, frame, 23), 5);
    assert_memory_equal(frame + 2, "first", 5);
    noise_cipher_fini(&seal);
    noise_cipher_fini(&open);
    noise_cipher_init(&seal, true, kr[1]);
    memcpy(frame + 2, "second", 6);
    noise_seal(&seal, frame, 6);
    assert_hex(bytes_of(frame + 2, 22), first_from_responder);
    noise_cipher_fini(&seal);
}

static void handshake_vector(void **state)
{
    struct party i, r;
    struct buf m;
    size_t at;
    party_init(&i, 0x10);
    party_init(&r, 0x50);
    buf_init(&m, 0);
    /* -> e */
    e(&i.sym, i.E, &m);
    assert_int_equal(noise_encrypt_and_hash(&i.sym, BYTES_LIT(""), &m), 0);
    assert_hex(buf_view(&m), msg1);
    e(&r.sym, i.E, NULL);
    noise_mix_hash(&r.sym, BYTES_LIT(""));
    /* <- e, ee, s, es */
    buf_clear(&m);
    e(&r.sym, r.E, &m);
    assert_int_equal(noise_mix_dh(&r.sym, r.e, r.E, i.E), 0);
    noise_encrypt_and_hash(&r.sym, bytes_of(r.S, 32), &m);
    noise_mix_dh(&r.sym, r.s, r.S, i.E);
    noise_encrypt_and_hash(&r.sym, BYTES_LIT("responder payload"), &m);
    assert_hex(buf_view(&m), msg2);
    e(&i.sym, r.E, NULL);
    noise_mix_dh(&i.sym, i.e, i.E, r.E);
    at = 32;
    heard(&i.sym, &m, &at, r.S, 32);
    noise_mix_dh(&i.sym, i.e, i.E, r.S);
    heard(&i.sym, &m, &at, "responder payload", 17);
    /* -> s, se */
    buf_clear(&m);
    noise_encrypt_and_hash(&i.sym, bytes_of(i.S, 32), &m);
    noise_mix_dh(&i.sym, i.s, i.S, r.E);
    noise_encrypt_and_hash(&i.sym, BYTES_LIT("initiator payload"), &m);
    assert_hex(buf_view(&m), msg3);
    at = 0;
    heard(&r.sym, &m, &at, i.S, 32);
    noise_mix_dh(&r.sym, r.e, r.E, i.S);
    heard(&r.sym, &m, &at, "initiator payload", 17);
    transport(&i, &r);
    buf_fini(&m);
}

/* Both ends in one process, and each result worked out once: the same bytes. */
static void handshake_vector_with_the_memo(void **state)
{
    noise_memo_begin();
    handshake_vector(state);
    noise_memo_end();
}

/* Points of small order, RFC 7748 section 6.1 and the list everybody tests with. */
static void small_order_points_are_refused(void **state)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    struct party p;
    party_init(&p, 1);
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        uint8_t key[32];
        sodium_hex2bin(key, sizeof key, points[i], 64, NULL, NULL, NULL);
        assert_int_equal(noise_mix_dh(&p.sym, p.e, p.E, key), E_AUTH);
        assert_false(p.sym.has_key);
    }
}

static void pair(struct noise_cipher *seal, struct noise_cipher *open)
{
    uint8_t key[32] = "a key for tests";
    noise_cipher_init(seal, true, key);
    noise_cipher_init(open, false, key);
}

static void fini_pair(struct noise_cipher *seal, struct noise_cipher *open)
{
    noise_cipher_fini(seal);
    noise_cipher_fini(open);
    assert_false(seal->has_key || seal->serial);
    noise_cipher_fini(open);
}

/* The short frames go through one library and the long ones through another. */
static void flip_each_bit(size_t n)
{
    for (size_t bit = 0; bit < 8 * (n + NOISE_TAG); bit++) {
        struct noise_cipher seal, open;
        uint8_t frame[NOISE_LENGTH + 300 + NOISE_TAG] = "..plaintext";
        pair(&seal, &open);
        noise_seal(&seal, frame, n);
        frame[NOISE_LENGTH + bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(noise_open(&open, frame, NOISE_LENGTH + n + NOISE_TAG), E_AUTH);
        fini_pair(&seal, &open);
    }
}

static void every_flipped_bit_is_noticed(void **state)
{
    flip_each_bit(9);
    flip_each_bit(300);
}

/* Every size around where the library changes, one after another on one pair: what libsodium makes of the same
 * plaintext and counter is what is on the wire. */
static void short_and_long_are_one_cipher(void **state)
{
    static uint8_t frame[NOISE_LENGTH + 600 + NOISE_TAG], expect[600 + NOISE_TAG];
    const uint8_t key[32] = "a key for tests";
    struct noise_cipher seal, open;
    pair(&seal, &open);
    for (int i = 0; i < 1200; i++) {
        size_t n = (size_t)(i * 7919 % 600);
        uint8_t nonce[12] = {0, 0, 0, 0, (uint8_t)i, (uint8_t)(i >> 8)};
        memset(frame + NOISE_LENGTH, i, n);
        crypto_aead_chacha20poly1305_ietf_encrypt(expect, NULL, frame + NOISE_LENGTH, n, NULL, 0,
                                                  NULL, nonce, key);
        assert_int_equal(noise_seal(&seal, frame, n), NOISE_LENGTH + n + NOISE_TAG);
        assert_memory_equal(frame + NOISE_LENGTH, expect, n + NOISE_TAG);
        assert_int_equal(noise_open(&open, frame, NOISE_LENGTH + n + NOISE_TAG), n);
        for (size_t j = 0; j < n; j++)
            assert_int_equal(frame[NOISE_LENGTH + j], (uint8_t)i);
    }
    fini_pair(&seal, &open);
}

/* The thread's contexts go from one to the next, with long frames and short ones, and back. */
static void many_share_the_contexts(void **state)
{
    enum { PAIRS = 5, ROUNDS = 40 };
    static uint8_t frame[NOISE_LENGTH + 2000 + NOISE_TAG];
    struct noise_cipher seal[PAIRS], open[PAIRS];
    uint8_t key[32];
    for (int i = 0; i < PAIRS; i++) {
        memset(key, i + 1, sizeof key);
        noise_cipher_init(&seal[i], true, key);
        noise_cipher_init(&open[i], false, key);
    }
    for (int i = 0; i < ROUNDS; i++) {
        int at = i * 7 % PAIRS;
        size_t n = i % 3 ? 1000 + (size_t)i : 100;
        memset(frame + NOISE_LENGTH, i, n);
        int size = noise_seal(&seal[at], frame, n);
        assert_int_equal(size, NOISE_LENGTH + n + NOISE_TAG);
        assert_int_equal(noise_open(&open[at], frame, (size_t)size), n);
        for (size_t b = 0; b < n; b++)
            assert_int_equal(frame[NOISE_LENGTH + b], i);
    }
    noise_cipher_fini(&seal[2]); /* its key is in the context, or another's */
    noise_cipher_fini(&open[2]);
    assert_int_equal(noise_seal(&seal[0], frame, 1500), NOISE_LENGTH + 1500 + NOISE_TAG);
    assert_int_equal(noise_open(&open[1], frame, NOISE_LENGTH + 1500 + NOISE_TAG), E_AUTH);
    for (int i = 0; i < PAIRS; i++) {
        noise_cipher_fini(&seal[i]);
        noise_cipher_fini(&open[i]);
    }
}

static void replay_and_reorder_are_noticed(void **state)
{
    struct noise_cipher seal, open;
    uint8_t a[19] = {0}, again[19], b[19] = {0};
    pair(&seal, &open);
    noise_seal(&seal, a, 1);
    noise_seal(&seal, b, 1);
    memcpy(again, a, sizeof a);
    assert_int_equal(noise_open(&open, a, sizeof a), 1);
    assert_int_equal(noise_open(&open, again, sizeof again), E_AUTH);
    fini_pair(&seal, &open);
    pair(&seal, &open);
    noise_seal(&seal, a, 1);
    noise_seal(&seal, b, 1);
    assert_int_equal(noise_open(&open, b, sizeof b), E_AUTH);
    fini_pair(&seal, &open);
}

static void sizes_and_limits(void **state)
{
    struct noise_cipher seal, open;
    uint8_t *frame = mem_new(NOISE_LENGTH + NOISE_FRAME + 1);
    pair(&seal, &open);
    assert_int_equal(noise_seal(&seal, frame, 0), NOISE_LENGTH + NOISE_TAG);
    assert_int_equal(noise_open(&open, frame, NOISE_LENGTH + NOISE_TAG), 0);
    assert_int_equal(noise_seal(&seal, frame, NOISE_FRAME - NOISE_TAG + 1), E_INVALID);
    assert_int_equal(noise_seal(&seal, frame, NOISE_FRAME - NOISE_TAG), NOISE_LENGTH + NOISE_FRAME);
    assert_int_equal(noise_frame_size(bytes_of(frame, 2)), NOISE_LENGTH + NOISE_FRAME);
    assert_int_equal(noise_open(&open, frame, NOISE_LENGTH + NOISE_FRAME), NOISE_FRAME - NOISE_TAG);
    assert_int_equal(noise_open(&open, frame, 17), E_INVALID);
    assert_int_equal(noise_frame_size(BYTES_LIT("\0")), 0);
    assert_int_equal(noise_frame_size(BYTES_LIT("\0\x0f")), E_MALFORMED);
    assert_int_equal(noise_seal(&open, frame, 1), E_INVALID); /* the wrong way round */
    seal.counter = UINT64_MAX;
    assert_int_equal(noise_seal(&seal, frame, 1), E_LIMIT);
    fini_pair(&seal, &open);
    free(frame);
}

static int allocations;

static void *counted_malloc(size_t n, const char *file, int line)
{
    allocations++;
    return malloc(n);
}

static void *counted_realloc(void *p, size_t n, const char *file, int line)
{
    allocations++;
    return realloc(p, n);
}

static void counted_free(void *p, const char *file, int line)
{
    free(p);
}

static void messages_allocate_nothing(void **state)
{
    struct noise_cipher seal, open;
    uint8_t frame[1018] = {0};
    if (!*(bool *)*state)
        skip();
    pair(&seal, &open);
    int before = allocations;
    noise_seal(&seal, frame, 100);
    assert_int_equal(noise_open(&open, frame, 118), 100);
    assert_int_equal(allocations, before);
    noise_seal(&seal, frame, 1000);
    assert_int_equal(noise_open(&open, frame, 1018), 1000);
    assert_true(allocations > before); /* the counting works */
    before = allocations;
    for (int i = 0; i < 100; i++) {
        noise_seal(&seal, frame, 1000);
        assert_int_equal(noise_open(&open, frame, 1018), 1000);
    }
    assert_int_equal(allocations, before);
    fini_pair(&seal, &open);
}

int main(void)
{
    /* before OpenSSL's first allocation, or it says no */
    static bool is_counting;
    is_counting = CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) == 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_vector),
        cmocka_unit_test(handshake_vector_with_the_memo),
        cmocka_unit_test(small_order_points_are_refused),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(short_and_long_are_one_cipher),
        cmocka_unit_test(many_share_the_contexts),
        cmocka_unit_test(replay_and_reorder_are_noticed),
        cmocka_unit_test(sizes_and_limits),
        cmocka_unit_test_prestate(messages_allocate_nothing, &is_counting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
