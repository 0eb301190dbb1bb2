// SPDX-License-Identifier: MIT
/* Signatures in the three kinds of key that we do not make ourselves. Each: 0, E_AUTH, or
 * E_MALFORMED for a key that is none. */
#ifndef CONDUIT_CODEC_KEY_VERIFY_H
#define CONDUIT_CODEC_KEY_VERIFY_H

#include "base/bytes.h"
#include "base/err.h"

int key_verify_secp256k1(struct bytes key, struct bytes message,
                         struct bytes sig);                                      /* DER, SHA-256 */
int key_verify_rsa(struct bytes spki, struct bytes message, struct bytes sig);   /* PKCS #1 v1.5 */
int key_verify_ecdsa(struct bytes spki, struct bytes message, struct bytes sig); /* DER, SHA-256 */

#endif
