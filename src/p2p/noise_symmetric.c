// SPDX-License-Identifier: MIT
/* SymmetricState; see noise_symmetric.h. */
#include "p2p/noise_symmetric.h"

#include "base/err.h"
#include "base/mem.h"
#include "p2p/noise_memo.h"

#include <assert.h>
#include <sodium.h>

/* Exactly 32 bytes, so it is the first hash as it stands (5.2, InitializeSymmetric). */
static const char protocol_name[] = "Noise_XX_25519_ChaChaPoly_SHA256";

void noise_mix_hash(struct noise_symmetric *s, struct bytes data)
{
    crypto_hash_sha256_state st;
    crypto_hash_sha256_init(&st);
    crypto_hash_sha256_update(&st, s->h, sizeof s->h);
    crypto_hash_sha256_update(&st, data.p, data.n);
    crypto_hash_sha256_final(&st, s->h);
}

void noise_initialize(struct noise_symmetric *s)
{
    static_assert(sizeof protocol_name - 1 == 32, "h is the name itself");
    *s = (struct noise_symmetric){0};
    memcpy(s->h, protocol_name, 32);
    memcpy(s->ck, protocol_name, 32);
    noise_mix_hash(s, BYTES_LIT("")); /* the prologue */
}

static void hmac(uint8_t out[static 32], const uint8_t key[static 32], struct bytes a, uint8_t last)
{
    crypto_auth_hmacsha256_state st;
    crypto_auth_hmacsha256_init(&st, key, 32);
    crypto_auth_hmacsha256_update(&st, a.p, a.n);
    if (last)
        crypto_auth_hmacsha256_update(&st, &last, 1);
    crypto_auth_hmacsha256_final(&st, out);
    mem_wipe(&st, sizeof st);
}

/* HKDF with two outputs (4.3). */
static void hkdf(const uint8_t ck[static 32], struct bytes ikm, uint8_t o1[static 32],
                 uint8_t o2[static 32])
{
    uint8_t temp[32], first[32];
    hmac(temp, ck, ikm, 0);
    hmac(first, temp, BYTES_LIT(""), 1);
    hmac(o2, temp, bytes_of(first, sizeof first), 2);
    memcpy(o1, first, sizeof first);
    mem_wipe(temp, sizeof temp);
    mem_wipe(first, sizeof first);
}

int noise_mix_dh(struct noise_symmetric *s, const uint8_t secret[static 32],
                 const uint8_t own[static 32], const uint8_t theirs[static 32])
{
    uint8_t dh[32];
    if (!noise_memo_get(own, theirs, dh)) {
        /* libsodium says no to an all-zero result by itself; so it is for every contributory point */
        if (crypto_scalarmult(dh, secret, theirs) != 0)
            return E_AUTH;
        noise_memo_put(own, theirs, dh);
    }
    hkdf(s->ck, bytes_of(dh, sizeof dh), s->ck, s->k);
    s->n = 0;
    s->has_key = true;
    mem_wipe(dh, sizeof dh);
    return 0;
}

static void next_nonce(struct noise_symmetric *s, uint8_t nonce[static 12])
{
    memset(nonce, 0, 12);
    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(s->n >> 8 * i);
    s->n++;
}

int noise_encrypt_and_hash(struct noise_symmetric *s, struct bytes plain, struct buf *out)
{
    uint8_t nonce[12], *at;
    size_t n = plain.n + (s->has_key ? NOISE_TAG : 0);
    int err = buf_reserve(out, n, &at);
    if (err)
        return err;
    if (s->has_key) {
        next_nonce(s, nonce);
        crypto_aead_chacha20poly1305_ietf_encrypt(at, NULL, plain.p, plain.n, s->h, sizeof s->h,
                                                  NULL, nonce, s->k);
    } else if (plain.n) {
        memcpy(at, plain.p, plain.n);
    }
    noise_mix_hash(s, bytes_of(at, n));
    buf_commit(out, n);
    return 0;
}

int noise_decrypt_and_hash(struct noise_symmetric *s, struct bytes sealed, uint8_t *plain)
{
    uint8_t nonce[12];
    assert(s->has_key);
    if (sealed.n < NOISE_TAG)
        return E_MALFORMED;
    next_nonce(s, nonce);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(plain, NULL, NULL, sealed.p, sealed.n, s->h,
                                                  sizeof s->h, nonce, s->k) != 0)
        return E_AUTH;
    noise_mix_hash(s, sealed);
    return 0;
}

void noise_split(struct noise_symmetric *s, uint8_t k1[static 32], uint8_t k2[static 32])
{
    hkdf(s->ck, BYTES_LIT(""), k1, k2);
    mem_wipe(s, sizeof *s);
}
