// SPDX-License-Identifier: MIT
/* Verification through libsecp256k1 and OpenSSL; see key_verify.h. */
#include "codec/key_verify.h"

#include "codec/sha256.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <secp256k1.h>

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192 };

int key_verify_secp256k1(struct bytes key, struct bytes message, struct bytes sig)
{
    const secp256k1_context *ctx = secp256k1_context_static;
    secp256k1_pubkey point;
    secp256k1_ecdsa_signature s;
    uint8_t digest[SHA256_SIZE];
    if (key.n != 33 || !secp256k1_ec_pubkey_parse(ctx, &point, key.p, key.n))
        return E_MALFORMED;
    if (!secp256k1_ecdsa_signature_parse_der(ctx, &s, sig.p, sig.n))
        return E_AUTH;
    secp256k1_ecdsa_signature_normalize(ctx, &s, &s); /* others do not write low S */
    sha256(message, digest);
    return secp256k1_ecdsa_verify(ctx, &s, digest, &point) ? 0 : E_AUTH;
}

/* All of `spki` as a key of `type`; NULL otherwise. */
static EVP_PKEY *parse_spki(struct bytes spki, int type)
{
    const unsigned char *at = spki.p;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.n);
    if (key && at == spki.p + spki.n && EVP_PKEY_get_base_id(key) == type)
        return key;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return NULL;
}

/* Takes the key. With RSA the default padding is PKCS #1 v1.5. */
static int verify_sha256(EVP_PKEY *key, struct bytes message, struct bytes sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(ctx, sig.p, sig.n, message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok ? 0 : E_AUTH;
}

int key_verify_rsa(struct bytes spki, struct bytes message, struct bytes sig)
{
    EVP_PKEY *key = parse_spki(spki, EVP_PKEY_RSA);
    if (!key)
        return E_MALFORMED;
    int bits = EVP_PKEY_get_bits(key);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) {
        EVP_PKEY_free(key);
        return E_MALFORMED;
    }
    return verify_sha256(key, message, sig);
}

int key_verify_ecdsa(struct bytes spki, struct bytes message, struct bytes sig)
{
    EVP_PKEY *key = parse_spki(spki, EVP_PKEY_EC);
    return key ? verify_sha256(key, message, sig) : E_MALFORMED;
}
