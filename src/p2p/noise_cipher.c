// SPDX-License-Identifier: MIT
/* Transport cipher; see noise_cipher.h. */
#include "p2p/noise_cipher.h"

#include "base/err.h"
#include "base/mem.h"

#include <openssl/evp.h>
#include <sodium.h>

enum { SHORT = 192, NONCE = 12 }; /* bytes of plaintext up to which libsodium is the faster one */

/* One per thread and direction; it has the key of the cipher with this serial. */
struct context {
    EVP_CIPHER_CTX *evp;
    uint64_t serial;
};

static _Thread_local struct context contexts[2];
static _Atomic uint64_t serials;

static struct context *context_of(const struct noise_cipher *c)
{
    return &contexts[c->is_sealing];
}

static void drop(struct context *x)
{
    EVP_CIPHER_CTX_free(x->evp); /* OpenSSL wipes the key schedule */
    *x = (struct context){0};
}

void noise_cipher_init(struct noise_cipher *c, bool is_sealing, const uint8_t key[static 32])
{
    *c = (struct noise_cipher){.is_sealing = is_sealing, .has_key = true};
    memcpy(c->key, key, sizeof c->key);
}

void noise_cipher_fini(struct noise_cipher *c)
{
    struct context *x = context_of(c);
    if (c->serial && x->serial == c->serial)
        drop(x);
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

/* Long frames: the context, with our key and this nonce. NULL: no memory. */
static EVP_CIPHER_CTX *prepare(struct noise_cipher *c, const uint8_t nonce[static NONCE])
{
    struct context *x = context_of(c);
    bool is_new = !x->evp;
    if (!c->serial)
        c->serial = ++serials;
    if (is_new && !(x->evp = EVP_CIPHER_CTX_new()))
        return NULL;
    if (EVP_CipherInit_ex(x->evp, is_new ? EVP_chacha20_poly1305() : NULL, NULL,
                          x->serial == c->serial ? NULL : c->key, nonce, c->is_sealing) != 1)
        drop(x);
    else
        x->serial = c->serial;
    return x->evp;
}

static int seal_long(struct noise_cipher *c, const uint8_t *nonce, uint8_t *p, size_t n)
{
    int done = 0, rest = 0;
    EVP_CIPHER_CTX *x = prepare(c, nonce);
    if (!x)
        return E_NO_MEMORY;
    bool is_good = EVP_EncryptUpdate(x, p, &done, p, (int)n) == 1 &&
                   EVP_EncryptFinal_ex(x, p + done, &rest) == 1 &&
                   EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_GET_TAG, NOISE_TAG, p + n) == 1;
    return is_good ? 0 : E_BUG;
}

static int open_long(struct noise_cipher *c, const uint8_t *nonce, uint8_t *p, size_t n)
{
    int done = 0, rest = 0;
    EVP_CIPHER_CTX *x = prepare(c, nonce);
    if (!x)
        return E_NO_MEMORY;
    bool is_good = EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_SET_TAG, NOISE_TAG, p + n) == 1 &&
                   EVP_DecryptUpdate(x, p, &done, p, (int)n) == 1 &&
                   EVP_DecryptFinal_ex(x, p + done, &rest) == 1;
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
