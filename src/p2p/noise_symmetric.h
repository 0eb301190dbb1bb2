// SPDX-License-Identifier: MIT
/* SymmetricState of the Noise specification (5.2), for 25519, ChaChaPoly and SHA256. The names are
 * the specification's. */
#ifndef CONDUIT_P2P_NOISE_SYMMETRIC_H
#define CONDUIT_P2P_NOISE_SYMMETRIC_H

#include "p2p/noise.h"

void noise_initialize(struct noise_symmetric *s); /* protocol name and empty prologue */
void noise_mix_hash(struct noise_symmetric *s, struct bytes data);
/* MixKey(DH(own, theirs)), of our secret and its public key. E_AUTH when the result is all zero: a point of small
 * order. */
int noise_mix_dh(struct noise_symmetric *s, const uint8_t secret[static 32],
                 const uint8_t own[static 32], const uint8_t theirs[static 32]);
/* Appends n bytes, and the tag when there is a key. */
int noise_encrypt_and_hash(struct noise_symmetric *s, struct bytes plain, struct buf *out);
/* Decrypts `sealed` to `plain` (sealed.n - 16 bytes). E_AUTH. */
int noise_decrypt_and_hash(struct noise_symmetric *s, struct bytes sealed, uint8_t *plain);
void noise_split(struct noise_symmetric *s, uint8_t k1[static 32], uint8_t k2[static 32]);

#endif
