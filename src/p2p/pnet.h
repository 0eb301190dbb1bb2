// SPDX-License-Identifier: MIT
/* A private network: everything on a transport hidden under a key that all its nodes share, before
 * multistream-select has said a word (libp2p pnet, Private-Networks-PSK-V1).
 *
 *   write:  24 random bytes in clear, then bytes ⊕ XSalsa20(key, own nonce)
 *   read:   24 bytes of theirs,       then bytes ⊕ XSalsa20(key, their nonce)
 *
 * A filter over any stream. It keeps no bytes: what the inner stream did not take is hidden anew the
 * next time, since the keystream depends on nothing but the position. It is only a gate: there is no
 * integrity in it, Noise still runs inside.
 *
 * What is written first travels with the nonce in one piece by the dialer; a listener sends its
 * nonce at once, because js and rust wait for it before they speak. */
#ifndef CONDUIT_P2P_PNET_H
#define CONDUIT_P2P_PNET_H

#include "base/rng.h"
#include "base/sched.h"
#include "base/stream.h"
#include "p2p/pnet_key.h"

enum { PNET_NONCE = 24 };

/* Takes `inner`; the result is the caller's. Besides the errors of `inner` there is E_WRONG_NETWORK:
 * the other side speaks in clear, or hangs up after its nonce. That it has another key shows only
 * above, where what it says makes no sense. The key is copied, and wiped with the stream. */
struct stream *pnet_wrap(struct stream *inner, const struct pnet_key *key, bool is_dialer,
                         struct sched *sched, struct rng *rng);

#endif
