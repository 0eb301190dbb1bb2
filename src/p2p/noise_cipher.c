// SPDX-License-Identifier: MIT
/* Transport cipher; see noise_cipher.h. */
#include "p2p/noise_cipher.h"

#include "base/err.h"
#include "base/mem.h"

#include <openssl/evp.h>
#include <sodium.h>

enum { SHORT = 192, NONCE = 12 }; /* bytes of plaintext up to which libsodium is the faster one */

void noise_cipher_init(struct noise_cipher *c, bool is_sealing, const uint8_t key[static 32])
{
    *c = (struct noise_cipher){.is_sealing = is_sealing, .has_key = true};
    memcpy(c->key, key, sizeof c->key);
}

void noise_cipher_fini(struct noise_cipher *c)
{
    EVP_CIPHER_CTX_free(c->ctx); /* OpenSSL wipes the key schedule */
    mem_wipe(c, sizeof *c);
}

/* The nonce of the next message; the last value is never used (Noise spec, 5.1). */
static int next_nonce(struct noise_cipher *c, uint8_t nonce[static NONCE])
{
    if (c->counter == UINT64_MAX)
        return E_LIMIT;
    memset(nonce, 0, NONCE);
    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(c->counter >> 8 * i);
    c->counter++;
    return 0;
}

/* Long frames: the context, with this nonce. */
static int prepare(struct noise_cipher *c, const uint8_t nonce[static NONCE])
{
    bool is_new = !c->ctx;
    if (is_new && !(c->ctx = EVP_CIPHER_CTX_new()))
        return E_NO_MEMORY;
    if (EVP_CipherInit_ex(c->ctx, is_new ? EVP_chacha20_poly1305() : NULL, NULL,
                          is_new ? c->key : NULL, nonce, c->is_sealing) == 1)
        return 0;
    EVP_CIPHER_CTX_free(c->ctx);
    c->ctx = NULL;
    return E_NO_MEMORY;
}

static int seal_long(struct noise_cipher *c, const uint8_t *nonce, uint8_t *p, size_t n)
{
    int done = 0, rest = 0;
    int err = prepare(c, nonce);
    if (err)
        return err;
    bool is_good = EVP_EncryptUpdate(c->ctx, p, &done, p, (int)n) == 1 &&
                   EVP_EncryptFinal_ex(c->ctx, p + done, &rest) == 1 &&
                   EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_GET_TAG, NOISE_TAG, p + n) == 1;
    return is_good ? 0 : E_BUG;
}

static int open_long(struct noise_cipher *c, const uint8_t *nonce, uint8_t *p, size_t n)
{
    int done = 0, rest = 0;
    int err = prepare(c, nonce);
    if (err)
        return err;
    bool is_good = EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_TAG, NOISE_TAG, p + n) == 1 &&
                   EVP_DecryptUpdate(c->ctx, p, &done, p, (int)n) == 1 &&
                   EVP_DecryptFinal_ex(c->ctx, p + done, &rest) == 1;
    return is_good ? 0 : E_AUTH;
}

int noise_seal(struct noise_cipher *c, uint8_t *frame, size_t n)
{
    uint8_t *p = frame + NOISE_LENGTH, nonce[NONCE];
    unsigned long long tag_n;
    if (!c->has_key || !c->is_sealing || n > NOISE_FRAME - NOISE_TAG)
        return E_INVALID;
    int err = next_nonce(c, nonce);
    if (!err && n > SHORT)
        err = seal_long(c, nonce, p, n);
    else if (!err)
        crypto_aead_chacha20poly1305_ietf_encrypt_detached(p, p + n, &tag_n, p, n, NULL, 0, NULL,
                                                           nonce, c->key);
    if (err)
        return err;
    frame[0] = (uint8_t)((n + NOISE_TAG) >> 8);
    frame[1] = (uint8_t)(n + NOISE_TAG);
    return (int)(NOISE_LENGTH + n + NOISE_TAG);
}

int noise_frame_size(struct bytes in)
{
    if (in.n < NOISE_LENGTH)
        return 0;
    int n = in.p[0] << 8 | in.p[1];
    return n < NOISE_TAG ? E_MALFORMED : NOISE_LENGTH + n;
}

int noise_open(struct noise_cipher *c, uint8_t *frame, size_t size)
{
    uint8_t *p = frame + NOISE_LENGTH, nonce[NONCE];
    if (!c->has_key || c->is_sealing || size < NOISE_LENGTH + NOISE_TAG ||
        size > NOISE_LENGTH + NOISE_FRAME)
        return E_INVALID;
    size_t n = size - NOISE_LENGTH - NOISE_TAG;
    int err = next_nonce(c, nonce);
    if (!err && n > SHORT)
        err = open_long(c, nonce, p, n);
    else if (!err && crypto_aead_chacha20poly1305_ietf_decrypt_detached(p, NULL, p, n, p + n, NULL,
                                                                        0, nonce, c->key) != 0)
        err = E_AUTH;
    return err ? err : (int)n;
}
