// SPDX-License-Identifier: MIT
/* Transport cipher; see noise_cipher.h. */
#include "p2p/noise_cipher.h"

#include "base/err.h"
#include "base/mem.h"

#include <openssl/evp.h>

int noise_cipher_init(struct noise_cipher *c, bool is_sealing, const uint8_t key[static 32])
{
    static const uint8_t zero[12];
    *c = (struct noise_cipher){.is_sealing = is_sealing};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx)
        return E_NO_MEMORY;
    if (EVP_CipherInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, zero, is_sealing) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        return E_NO_MEMORY;
    }
    c->ctx = ctx;
    return 0;
}

void noise_cipher_fini(struct noise_cipher *c)
{
    EVP_CIPHER_CTX_free(c->ctx); /* OpenSSL wipes the key schedule */
    mem_wipe(c, sizeof *c);
}

/* The nonce of the next message; the last value is never used (Noise spec, 5.1). */
static int set_nonce(struct noise_cipher *c)
{
    uint8_t nonce[12] = {0};
    if (c->counter == UINT64_MAX)
        return E_LIMIT;
    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(c->counter >> 8 * i);
    c->counter++;
    return EVP_CipherInit_ex(c->ctx, NULL, NULL, NULL, nonce, -1) == 1 ? 0 : E_BUG;
}

int noise_seal(struct noise_cipher *c, uint8_t *frame, size_t n)
{
    uint8_t *p = frame + NOISE_LENGTH;
    int done = 0, rest = 0;
    if (!c->ctx || !c->is_sealing || n > NOISE_FRAME - NOISE_TAG)
        return E_INVALID;
    int err = set_nonce(c);
    if (err)
        return err;
    if ((n && EVP_EncryptUpdate(c->ctx, p, &done, p, (int)n) != 1) ||
        EVP_EncryptFinal_ex(c->ctx, p + done, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_GET_TAG, NOISE_TAG, p + n) != 1)
        return E_BUG;
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
    uint8_t *p = frame + NOISE_LENGTH;
    int done = 0, rest = 0;
    if (!c->ctx || c->is_sealing || size < NOISE_LENGTH + NOISE_TAG ||
        size > NOISE_LENGTH + NOISE_FRAME)
        return E_INVALID;
    size_t n = size - NOISE_LENGTH - NOISE_TAG;
    int err = set_nonce(c);
    if (err)
        return err;
    if (EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_TAG, NOISE_TAG, p + n) != 1 ||
        (n && EVP_DecryptUpdate(c->ctx, p, &done, p, (int)n) != 1) ||
        EVP_DecryptFinal_ex(c->ctx, p + done, &rest) != 1)
        return E_AUTH;
    return (int)n;
}
