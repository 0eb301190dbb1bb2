// SPDX-License-Identifier: MIT
/* X25519 for a process that is all ends of its connections, as the simulator is: 44 us an operation, and a thousand
 * nodes of one process dial each other some hundreds of thousand times. The ephemeral keys are drawn from a small set,
 * and what DH(a, B) gave is remembered, for the other end, DH(b, A), and for whoever draws the same keys again. The
 * handshake, its ciphers and its signatures are as ever. Off unless begun: a node among others has no use for it, draws
 * a fresh key for each handshake, and keeps no secret longer than that. For one thread. */
#ifndef CONDUIT_P2P_NOISE_MEMO_H
#define CONDUIT_P2P_NOISE_MEMO_H

#include <stdbool.h>
#include <stdint.h>

void noise_memo_begin(void);
void noise_memo_end(void); /* wipes it */

/* The ephemeral key pair that the 32 random bytes in `secret` stand for; false when it is off, and nothing is written. */
bool noise_memo_key(uint8_t secret[static 32], uint8_t public_key[static 32]);

/* Between these two X25519 public keys, in either order. */
bool noise_memo_get(const uint8_t a[static 32], const uint8_t b[static 32],
                    uint8_t shared[static 32]);
void noise_memo_put(const uint8_t a[static 32], const uint8_t b[static 32],
                    const uint8_t shared[static 32]);

#endif
