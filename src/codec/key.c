// SPDX-License-Identifier: MIT
/* Our Ed25519 key, and the encoding of everybody's; see key.h. The other kinds' verification is in
 * key_verify.c. */
#include "codec/key.h"

#include "base/limits.h"
#include "base/mem.h"
#include "codec/key_memo.h"
#include "codec/key_verify.h"
#include "codec/pb.h"
#include "codec/varint.h"

#include <sodium.h>

void key_pair_from_seed(struct key_pair *k, const uint8_t seed[static 32])
{
    uint8_t message[KEY_PUBLIC_MESSAGE];
    crypto_sign_seed_keypair(k->public_key, k->secret, seed);
    key_pair_public_message(k, message);
    peer_id_from_key(bytes_of(message, sizeof message), &k->id);
}

void key_pair_generate(struct key_pair *k, struct rng *rng)
{
    uint8_t seed[32];
    rng_fill(rng, seed, sizeof seed);
    key_pair_from_seed(k, seed);
    mem_wipe(seed, sizeof seed);
}

void key_pair_fini(struct key_pair *k)
{
    mem_wipe(k, sizeof *k);
}

void key_sign(const struct key_pair *k, struct bytes message, uint8_t sig[static KEY_SIG_SIZE])
{
    crypto_sign_detached(sig, NULL, message.p, message.n, k->secret);
}

void key_pair_public_message(const struct key_pair *k, uint8_t out[static KEY_PUBLIC_MESSAGE])
{
    memcpy(out, "\x08\x01\x12\x20", 4);
    memcpy(out + 4, k->public_key, 32);
}

void key_pair_private_message(const struct key_pair *k, uint8_t out[static KEY_PRIVATE_MESSAGE])
{
    memcpy(out, "\x08\x01\x12\x40", 4);
    memcpy(out + 4, k->secret, 64);
}

/* Both key messages: 08 kind 12 length data, and nothing else. */
static int decode_message(struct bytes in, uint64_t *kind, struct bytes *data)
{
    struct cursor c = cursor_of(in);
    uint8_t tag;
    if (in.n > LIMIT_KEY_MESSAGE)
        return E_TOO_BIG;
    if (cursor_u8(&c, &tag) <= 0 || tag != 0x08 || cursor_varint(&c, kind) <= 0 ||
        cursor_u8(&c, &tag) <= 0 || tag != 0x12 || cursor_prefixed(&c, in.n, data) <= 0 ||
        cursor_left(&c) != 0)
        return E_MALFORMED;
    return 0;
}

int key_pair_decode(struct bytes in, struct key_pair *out)
{
    uint64_t kind;
    struct bytes data;
    int err = decode_message(in, &kind, &data);
    if (err)
        return err;
    if (kind != KEY_ED25519)
        return kind <= KEY_ECDSA ? E_UNSUPPORTED : E_MALFORMED;
    if (data.n != 64 && data.n != 96)
        return E_MALFORMED;
    key_pair_from_seed(out, data.p);
    bool is_same = memcmp(out->public_key, data.p + 32, 32) == 0 &&
                   (data.n == 64 || memcmp(out->public_key, data.p + 64, 32) == 0);
    if (!is_same)
        key_pair_fini(out);
    return is_same ? 0 : E_AUTH;
}

int key_public_decode(struct bytes message, struct key_public *out)
{
    uint64_t kind;
    int err = decode_message(message, &kind, &out->data);
    if (err)
        return err;
    if (kind > KEY_ECDSA)
        return E_UNSUPPORTED;
    out->kind = (enum key_kind)kind;
    if ((kind == KEY_ED25519 && out->data.n != 32) || (kind == KEY_SECP256K1 && out->data.n != 33))
        return E_MALFORMED;
    return out->data.n ? 0 : E_MALFORMED;
}

static int verify_ed25519(struct bytes key, struct bytes message, struct bytes sig)
{
    struct key_memo at;
    if (sig.n != crypto_sign_BYTES)
        return E_AUTH;
    if (key_memo_has(key.p, sig.p, message, &at))
        return 0;
    if (crypto_sign_verify_detached(sig.p, message.p, message.n, key.p) != 0)
        return E_AUTH;
    key_memo_keep(&at);
    return 0;
}

int key_verify(const struct key_public *k, struct bytes message, struct bytes sig)
{
    switch (k->kind) {
    case KEY_ED25519:
        return verify_ed25519(k->data, message, sig);
    case KEY_SECP256K1:
        return key_verify_secp256k1(k->data, message, sig);
    case KEY_RSA:
        return key_verify_rsa(k->data, message, sig);
    case KEY_ECDSA:
        return key_verify_ecdsa(k->data, message, sig);
    }
    return E_UNSUPPORTED;
}

int key_verify_message(struct bytes public_message, struct bytes message, struct bytes sig,
                       struct peer_id *signer)
{
    struct key_public k;
    int err = key_public_decode(public_message, &k);
    if (!err)
        err = key_verify(&k, message, sig);
    if (!err)
        err = peer_id_from_key(public_message, signer);
    return err;
}
