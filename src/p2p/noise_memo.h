// SPDX-License-Identifier: MIT
/* Diffie-Hellman results for the other end. A process that is both ends of its connections, as the simulator is,
 * works each out once instead of twice, and sees the same bytes: DH(a, B) = DH(b, A). Off unless begun; a node that is
 * one end has no use for it, and keeps no secret longer than a handshake. For one thread. */
#ifndef CONDUIT_P2P_NOISE_MEMO_H
#define CONDUIT_P2P_NOISE_MEMO_H

#include <stdbool.h>
#include <stdint.h>

void noise_memo_begin(void);
void noise_memo_end(void); /* wipes it */

/* Between these two X25519 public keys, in either order. Once: what was taken is there no longer. */
bool noise_memo_take(const uint8_t a[static 32], const uint8_t b[static 32],
                     uint8_t shared[static 32]);
void noise_memo_put(const uint8_t a[static 32], const uint8_t b[static 32],
                    const uint8_t shared[static 32]);

#endif
