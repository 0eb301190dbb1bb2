// SPDX-License-Identifier: MIT
/* The Noise handshake: two machines against each other, every split, every byte tampered with, and
 * what a peer must not get away with. The bytes of the cipher are in test_noise_symmetric.c. */
#include "p2p/noise.h"
#include "p2p/noise_payload.h"
#include "p2p/noise_symmetric.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/pb.h"
#include "codec/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <secp256k1.h>

enum { I = 0, R = 1 };

struct fixture {
    struct rng rng;
    struct key_pair key[2];
    struct noise_self self[2];
    struct noise n[2];
    struct buf out[2]; /* what each said */
};

static struct fixture *f_new(const char *muxer_i, const char *muxer_r,
                             const struct peer_id *expected)
{
    struct fixture *f = MEM_NEW(struct fixture);
    rng_init_seeded(&f->rng, 42);
    for (int i = 0; i < 2; i++) {
        key_pair_generate(&f->key[i], &f->rng);
        assert_int_equal(
            noise_self_init(&f->self[i], &f->key[i], i == I ? muxer_i : muxer_r, &f->rng), 0);
        buf_init(&f->out[i], 0);
    }
    noise_init(&f->n[I], true, &f->self[I], expected, &f->rng);
    noise_init(&f->n[R], false, &f->self[R], NULL, &f->rng);
    return f;
}

static void f_free(struct fixture *f)
{
    for (int i = 0; i < 2; i++) {
        noise_fini(&f->n[i]);
        noise_self_fini(&f->self[i]);
        key_pair_fini(&f->key[i]);
        buf_fini(&f->out[i]);
    }
    free(f);
}

/* Gives what the other side said to `to`, in steps of `step` bytes; what is left stays. */
static int hear(struct fixture *f, int to, size_t step)
{
    struct buf *from = &f->out[!to];
    int r = NOISE_MORE;
    while (r == NOISE_MORE && buf_len(from)) {
        size_t used;
        struct bytes in = bytes_first(buf_view(from), step);
        r = noise_feed(&f->n[to], in, &used, &f->out[to]);
        assert_true(used <= in.n);
        if (r == NOISE_MORE)
            assert_int_equal(used, in.n);
        buf_consume(from, used);
    }
    return r;
}

static void run(struct fixture *f, size_t step)
{
    assert_int_equal(noise_start(&f->n[I], &f->out[I]), 0);
    assert_int_equal(hear(f, R, step), NOISE_MORE);
    assert_int_equal(hear(f, I, step), NOISE_DONE);
    buf_append_str(&f->out[I], "next layer");
    assert_int_equal(hear(f, R, 1000), NOISE_DONE);
    assert_int_equal(buf_len(&f->out[I]), 10); /* trailing bytes are not taken */
}

static void handshake_in_any_pieces(void **state)
{
    for (size_t step = 1; step < 260; step += step < 8 ? 1 : 37) {
        struct fixture *f = f_new("/yamux/1.0.0", "/yamux/1.0.0", NULL);
        struct noise_cipher c[2][2];
        uint8_t frame[NOISE_LENGTH + 5 + NOISE_TAG] = "..hello";
        run(f, step);
        for (int i = 0; i < 2; i++) {
            assert_true(peer_id_eq(&f->n[i].remote, &f->key[!i].id));
            assert_true(f->n[i].is_muxer_settled);
            noise_take_ciphers(&f->n[i], &c[i][0], &c[i][1]);
        }
        for (int i = 0; i < 2; i++) {
            int size = noise_seal(&c[i][0], frame, 5);
            assert_int_equal(noise_open(&c[!i][1], frame, (size_t)size), 5);
            assert_memory_equal(frame + 2, "hello", 5);
        }
        for (int i = 0; i < 4; i++)
            noise_cipher_fini(&c[i / 2][i % 2]);
        f_free(f);
    }
}

/* The sizes that were measured against js: 32, 216 and 184 with the muxer, 200 and 168 without. */
static void message_sizes(void **state)
{
    static const size_t sizes[2][3] = {{32, 200, 168}, {32, 216, 184}};
    for (int ext = 0; ext < 2; ext++) {
        const char *muxer = ext ? "/yamux/1.0.0" : NULL;
        struct fixture *f = f_new(muxer, muxer, NULL);
        noise_start(&f->n[I], &f->out[I]);
        assert_int_equal(buf_len(&f->out[I]), 2 + sizes[ext][0]);
        assert_int_equal(hear(f, R, 9999), NOISE_MORE);
        assert_int_equal(buf_len(&f->out[R]), 2 + sizes[ext][1]);
        assert_int_equal(hear(f, I, 9999), NOISE_DONE);
        assert_int_equal(buf_len(&f->out[I]), 2 + sizes[ext][2]);
        assert_int_equal(f->n[I].is_muxer_settled, ext);
        f_free(f);
    }
}

/* rust neither lists nor reads muxers: multistream-select decides then. */
static void muxer_is_settled_only_by_both(void **state)
{
    struct fixture *f = f_new("/yamux/1.0.0", NULL, NULL);
    run(f, 9999);
    assert_false(f->n[I].is_muxer_settled || f->n[R].is_muxer_settled);
    f_free(f);
    f = f_new("/mplex/6.7.0", "/yamux/1.0.0", NULL); /* both list, nothing in common */
    noise_start(&f->n[I], &f->out[I]);
    hear(f, R, 9999);
    assert_int_equal(hear(f, I, 9999), NOISE_DONE); /* as offering one it hears of yamux: fine */
    assert_int_equal(hear(f, R, 9999), E_UNSUPPORTED);
    f_free(f);
}

static void wrong_peer_hears_nothing_more(void **state)
{
    struct fixture *other = f_new(NULL, NULL, NULL);
    struct key_pair third;
    key_pair_generate(&third, &other->rng);
    struct fixture *f = f_new("/yamux/1.0.0", "/yamux/1.0.0", &third.id);
    noise_start(&f->n[I], &f->out[I]);
    hear(f, R, 9999);
    assert_int_equal(hear(f, I, 9999), E_WRONG_PEER);
    assert_int_equal(buf_len(&f->out[I]), 0); /* msg 3 is not sent */
    size_t used;
    assert_int_equal(noise_feed(&f->n[I], BYTES_LIT("x"), &used, &f->out[I]), E_CLOSED);
    f_free(f);
    f_free(other);
}

static void expected_peer_is_taken(void **state)
{
    struct fixture *probe = f_new(NULL, NULL, NULL);
    struct fixture *f = f_new(NULL, NULL, &probe->key[R].id); /* the same seed: the same keys */
    run(f, 9999);
    f_free(f);
    f_free(probe);
}

/* Each byte of each message, length fields included, flipped: nobody ends up READY with the other. */
static void tampering(void **state)
{
    for (int which = 0; which < 3; which++) {
        size_t total = which == 0 ? 34 : which == 1 ? 218 : 186;
        for (size_t at = 0; at < total; at++) {
            struct fixture *f = f_new("/yamux/1.0.0", "/yamux/1.0.0", NULL);
            int r = 0;
            noise_start(&f->n[I], &f->out[I]);
            for (int m = 0; m <= which && r == 0; m++) {
                int from = m == 1 ? R : I;
                if (m == which)
                    f->out[from].base[f->out[from].head + at] ^= 0x40;
                r = hear(f, !from, 9999);
                if (m == 1 && which == 2)
                    r = NOISE_MORE; /* the initiator is done; its msg 3 is what is changed */
            }
            if (which == 0 && r == NOISE_MORE && f->n[R].state == NOISE_WAIT_3)
                r = hear(f, I, 9999); /* a changed ephemeral shows one message later */
            assert_true(r != NOISE_DONE);
            assert_true(r < 0 || at < 2); /* a longer length only waits for more */
            f_free(f);
        }
    }
}

static void first_message_has_no_payload(void **state)
{
    struct fixture *f = f_new(NULL, NULL, NULL);
    uint8_t msg[2 + 33] = {0, 33, 9};
    buf_append(&f->out[I], msg, sizeof msg);
    assert_int_equal(hear(f, R, 9999), E_MALFORMED);
    assert_int_equal(buf_len(&f->out[R]), 0);
    f_free(f);
}

static void zero_dh_is_refused(void **state)
{
    struct fixture *f = f_new(NULL, NULL, NULL);
    uint8_t msg[2 + 32] = {0, 32};
    buf_append(&f->out[I], msg, sizeof msg);
    assert_int_equal(hear(f, R, 9999), E_AUTH);
    assert_int_equal(buf_len(&f->out[R]), 0); /* not half a message either */
    f_free(f);
}

static void oversize_is_refused_by_its_length(void **state)
{
    struct fixture *f = f_new(NULL, NULL, NULL);
    uint8_t msg[2] = {(LIMIT_NOISE_HANDSHAKE + 1) >> 8, (LIMIT_NOISE_HANDSHAKE + 1) & 0xff};
    buf_append(&f->out[I], msg, sizeof msg);
    assert_int_equal(hear(f, R, 9999), E_TOO_BIG);
    assert_true(f->n[R].partial.cap < 256);
    f_free(f);
}

/* A recorded handshake said again is of no use against a fresh ephemeral key. */
static void replay_is_refused(void **state)
{
    struct fixture *f = f_new(NULL, NULL, NULL);
    struct buf tape;
    buf_init(&tape, 0);
    noise_start(&f->n[I], &f->out[I]);
    buf_append_bytes(&tape, buf_view(&f->out[I]));
    hear(f, R, 9999);
    hear(f, I, 9999);
    buf_append_bytes(&tape, buf_view(&f->out[I]));
    noise_fini(&f->n[R]);
    noise_init(&f->n[R], false, &f->self[R], NULL, &f->rng);
    buf_clear(&f->out[I]);
    buf_append_bytes(&f->out[I], buf_view(&tape));
    assert_int_equal(hear(f, R, 9999), E_AUTH);
    buf_fini(&tape);
    f_free(f);
}

/* --- the payload --- */

static void payload_is_what_the_spec_says(void **state)
{
    struct rng rng;
    struct key_pair k;
    struct buf b;
    struct noise_claim claim;
    uint8_t static_key[32] = {7};
    rng_init_seeded(&rng, 1);
    key_pair_generate(&k, &rng);
    buf_init(&b, 0);
    assert_int_equal(noise_payload_encode(&k, static_key, "/yamux/1.0.0", &b), 0);
    assert_int_equal(buf_len(&b), 120);
    assert_memory_equal(buf_view(&b).p, "\x0a\x24\x08\x01\x12\x20", 6);
    assert_memory_equal(buf_view(&b).p + 6 + 32, "\x12\x40", 2);
    assert_memory_equal(buf_view(&b).p + 104, "\x22\x0e\x12\x0c/yamux/1.0.0", 16);
    assert_int_equal(noise_payload_verify(buf_view(&b), static_key, "/yamux/1.0.0", &claim), 0);
    assert_true(peer_id_eq(&claim.peer, &k.id) && claim.lists_muxers && claim.lists_ours);
    buf_append(&b, "\x1a\x03old\xfa\x7f\x01z", 9); /* data = 3, and a number nobody gave out */
    assert_int_equal(noise_payload_verify(buf_view(&b), static_key, "/x", &claim), 0);
    assert_true(claim.lists_muxers && !claim.lists_ours);
    static_key[0] ^= 1; /* signed for another static key */
    assert_int_equal(noise_payload_verify(buf_view(&b), static_key, "/x", &claim), E_AUTH);
    buf_fini(&b);
}

static void payload_without_prefix_is_refused(void **state)
{
    struct rng rng;
    struct key_pair k;
    struct buf b;
    struct noise_claim claim;
    uint8_t static_key[32] = {7}, sig[KEY_SIG_SIZE], key[KEY_PUBLIC_MESSAGE];
    rng_init_seeded(&rng, 1);
    key_pair_generate(&k, &rng);
    key_sign(&k, bytes_of(static_key, 32), sig);
    key_pair_public_message(&k, key);
    buf_init(&b, 0);
    struct pb_writer w = pb_write(&b);
    pb_put_bytes(&w, 1, bytes_of(key, sizeof key));
    assert_int_equal(noise_payload_verify(buf_view(&b), static_key, "/x", &claim), E_MALFORMED);
    pb_put_bytes(&w, 2, bytes_of(sig, sizeof sig));
    assert_int_equal(noise_payload_verify(buf_view(&b), static_key, "/x", &claim), E_AUTH);
    assert_true(noise_payload_verify(BYTES_LIT("\x0a\xff"), static_key, "/x", &claim) < 0);
    assert_int_equal(noise_payload_verify(BYTES_LIT(""), static_key, "/x", &claim), E_MALFORMED);
    buf_fini(&b);
}

/* A payload of key (type, data) and signature, verified; whose it is comes back in `claim`. */
static int verify_as(uint8_t type, struct bytes data, struct bytes sig,
                     const uint8_t static_key[static 32], struct noise_claim *claim)
{
    struct buf key, payload;
    buf_init(&key, 0);
    buf_init(&payload, 0);
    struct pb_writer k = pb_write(&key), p = pb_write(&payload);
    pb_put_u64(&k, 1, type);
    pb_put_bytes(&k, 2, data);
    pb_put_bytes(&p, 1, buf_view(&key));
    pb_put_bytes(&p, 2, sig);
    int err = noise_payload_verify(buf_view(&payload), static_key, "/x", claim);
    buf_fini(&key);
    buf_fini(&payload);
    return err;
}

static void secp256k1_identity(void **state)
{
    static const uint8_t secret[32] = {1, 2, 3};
    uint8_t static_key[32] = {7}, message[24 + 32] = "noise-libp2p-static-key:", hash[32];
    uint8_t pub[33], der[80];
    size_t pub_n = sizeof pub, der_n = sizeof der;
    secp256k1_context *ctx = secp256k1_context_create(SECP256K1_CONTEXT_SIGN);
    secp256k1_pubkey key;
    secp256k1_ecdsa_signature sig;
    struct noise_claim claim;
    memcpy(message + 24, static_key, 32);
    sha256(bytes_of(message, sizeof message), hash);
    assert_int_equal(secp256k1_ec_pubkey_create(ctx, &key, secret), 1);
    assert_int_equal(secp256k1_ecdsa_sign(ctx, &sig, hash, secret, NULL, NULL), 1);
    secp256k1_ec_pubkey_serialize(ctx, pub, &pub_n, &key, SECP256K1_EC_COMPRESSED);
    secp256k1_ecdsa_signature_serialize_der(ctx, der, &der_n, &sig);
    struct bytes k = bytes_of(pub, pub_n), d = bytes_of(der, der_n);
    assert_int_equal(verify_as(2, k, d, static_key, &claim), 0);
    assert_int_equal(claim.peer.len, 39);
    static_key[31] ^= 1;
    assert_int_equal(verify_as(2, k, d, static_key, &claim), E_AUTH);
    secp256k1_context_destroy(ctx);
}

/* RSA and ECDSA sign the same bytes; their keys go as SubjectPublicKeyInfo. */
static void openssl_identity(uint8_t type, EVP_PKEY *key)
{
    uint8_t static_key[32] = {7}, message[24 + 32] = "noise-libp2p-static-key:", sig[512];
    size_t sig_n = sizeof sig;
    uint8_t *spki = NULL;
    struct noise_claim claim;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    memcpy(message + 24, static_key, 32);
    assert_int_equal(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(md, sig, &sig_n, message, sizeof message), 1);
    int spki_n = i2d_PUBKEY(key, &spki);
    assert_true(spki_n > 0);
    struct bytes k = bytes_of(spki, (size_t)spki_n), s = bytes_of(sig, sig_n);
    assert_int_equal(verify_as(type, k, s, static_key, &claim), 0);
    assert_int_equal(claim.peer.len, 34); /* too long to stand in the id itself */
    static_key[31] ^= 1;
    assert_int_equal(verify_as(type, k, s, static_key, &claim), E_AUTH);
    EVP_MD_CTX_free(md);
    OPENSSL_free(spki);
    EVP_PKEY_free(key);
}

static void rsa_and_ecdsa_identities(void **state)
{
    openssl_identity(0, EVP_RSA_gen(2048));
    openssl_identity(3, EVP_EC_gen("P-256"));
}

static void too_many_muxers(void **state)
{
    struct rng rng;
    struct key_pair k;
    struct buf b;
    struct noise_claim claim;
    uint8_t static_key[32] = {7};
    rng_init_seeded(&rng, 1);
    key_pair_generate(&k, &rng);
    buf_init(&b, 0);
    noise_payload_encode(&k, static_key, NULL, &b);
    struct pb_writer w = pb_write(&b);
    for (int i = 0; i < LIMIT_NOISE_MUXERS; i++) { /* in several extensions fields, as one */
        size_t mark = pb_begin(&w, 4);
        pb_put_str(&w, 2, "/m");
        pb_end(&w, mark);
    }
    assert_int_equal(noise_payload_verify(buf_view(&b), static_key, "/x", &claim), 0);
    size_t mark = pb_begin(&w, 4);
    pb_put_str(&w, 2, "/m");
    pb_end(&w, mark);
    assert_int_equal(noise_payload_verify(buf_view(&b), static_key, "/x", &claim), E_LIMIT);
    buf_fini(&b);
}

static void secrets_are_wiped(void **state)
{
    struct fixture *f = f_new(NULL, NULL, NULL);
    struct noise_cipher send, recv;
    static const uint8_t zero[32];
    run(f, 9999);
    assert_memory_equal(f->n[I].e_secret, zero, 32);
    assert_memory_equal(f->n[I].sym.ck, zero, 32);
    noise_take_ciphers(&f->n[I], &send, &recv);
    assert_memory_equal(f->n[I].send_key, zero, 32);
    assert_memory_equal(f->n[I].recv_key, zero, 32);
    noise_cipher_fini(&send);
    noise_cipher_fini(&recv);
    f_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_in_any_pieces),
        cmocka_unit_test(message_sizes),
        cmocka_unit_test(muxer_is_settled_only_by_both),
        cmocka_unit_test(wrong_peer_hears_nothing_more),
        cmocka_unit_test(expected_peer_is_taken),
        cmocka_unit_test(tampering),
        cmocka_unit_test(first_message_has_no_payload),
        cmocka_unit_test(zero_dh_is_refused),
        cmocka_unit_test(oversize_is_refused_by_its_length),
        cmocka_unit_test(replay_is_refused),
        cmocka_unit_test(payload_is_what_the_spec_says),
        cmocka_unit_test(payload_without_prefix_is_refused),
        cmocka_unit_test(secp256k1_identity),
        cmocka_unit_test(rsa_and_ecdsa_identities),
        cmocka_unit_test(too_many_muxers),
        cmocka_unit_test(secrets_are_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
