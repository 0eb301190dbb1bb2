// SPDX-License-Identifier: MIT
/* Keys of libp2p identities: ours is Ed25519; others' signatures are verified in all four kinds.
 *
 *   PublicKey  { 1 type varint, 2 data bytes }     exactly this: both fields, this order, minimal
 *   PrivateKey { 1 type varint, 2 data bytes }     Ed25519: seed ‖ public (64), or with the public
 *                                                  key twice (96, old go)
 * The hard thing: a key message has one encoding, since its hash is who somebody is. Anything else
 * is refused instead of repaired. */
#ifndef CONDUIT_CODEC_KEY_H
#define CONDUIT_CODEC_KEY_H

#include "base/buf.h"
#include "base/rng.h"
#include "codec/peer_id.h"

enum key_kind { KEY_RSA = 0, KEY_ED25519 = 1, KEY_SECP256K1 = 2, KEY_ECDSA = 3 };
enum { KEY_SIG_SIZE = 64 };       /* of ours */
enum { KEY_PUBLIC_MESSAGE = 36 }; /* of ours: 0801 1220 and the key */
enum { KEY_PRIVATE_MESSAGE = 68 };

/* Our own. Wiped by key_pair_fini. */
struct key_pair {
    uint8_t secret[64]; /* seed ‖ public, libsodium's form */
    uint8_t public_key[32];
    struct peer_id id;
};

/* Anybody's; the data is a view into what was decoded. */
struct key_public {
    enum key_kind kind;
    struct bytes data;
};

void key_pair_generate(struct key_pair *k, struct rng *rng);
void key_pair_from_seed(struct key_pair *k, const uint8_t seed[static 32]);
void key_pair_fini(struct key_pair *k);
void key_sign(const struct key_pair *k, struct bytes message, uint8_t sig[static KEY_SIG_SIZE]);

/* The serialised forms of ours; the private one goes to identity.key. */
void key_pair_public_message(const struct key_pair *k, uint8_t out[static KEY_PUBLIC_MESSAGE]);
void key_pair_private_message(const struct key_pair *k, uint8_t out[static KEY_PRIVATE_MESSAGE]);
/* 0, E_MALFORMED, E_UNSUPPORTED (another kind), E_AUTH (the public half is not the secret's). */
int key_pair_decode(struct bytes private_message, struct key_pair *out);

/* 0, E_MALFORMED (encoding, size, not a point), E_UNSUPPORTED (kind), E_TOO_BIG. */
int key_public_decode(struct bytes message, struct key_public *out);
/* 0, E_AUTH when the signature is not this key's over `message`, E_MALFORMED for a bad key. */
int key_verify(const struct key_public *k, struct bytes message, struct bytes sig);
/* Both in one, with the peer id that follows from the key. */
int key_verify_message(struct bytes public_message, struct bytes message, struct bytes sig,
                       struct peer_id *signer);

#endif
