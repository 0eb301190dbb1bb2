// SPDX-License-Identifier: MIT
/* Noise XX as libp2p speaks it: Noise_XX_25519_ChaChaPoly_SHA256, both roles, as a byte machine.
 *
 *   initiator                                         responder
 *     e                                      ---->                        msg 1, empty payload
 *                                            <----    e, ee, s, es, {id}  msg 2
 *     s, se, {id}                            ---->                        msg 3
 *
 * Each message goes as u16 BE length and bytes. {id} is a protobuf: the identity's public key, its
 * signature over "noise-libp2p-static-key:" and the static X25519 key, and extensions, of which the
 * list of muxers is ours: when both sides list one the muxer is settled here, a round trip earlier.
 * rust-libp2p neither sends nor reads it; then the muxer is negotiated by multistream-select.
 *
 * Nothing of the peer is believed before its payload verified. The static key is made per process
 * and never stored; its signature is made once. After any error the machine is dead, and the
 * connection is closed without a further word. */
#ifndef CONDUIT_P2P_NOISE_H
#define CONDUIT_P2P_NOISE_H

#include "base/buf.h"
#include "base/rng.h"
#include "codec/key.h"
#include "codec/peer_id.h"
#include "p2p/noise_cipher.h"

enum { NOISE_MORE = 0, NOISE_DONE = 1 };
enum { NOISE_PAYLOAD_MAX = 192 }; /* ours: an Ed25519 identity and one muxer take 120 */

/* Our half: lives as long as the process, borrowed by every handshake. */
struct noise_self {
    uint8_t secret[32], public_key[32];
    uint8_t payload[NOISE_PAYLOAD_MAX];
    size_t payload_n;
    bool offers_muxer;
};

/* Makes a static key from `rng` and signs it with the identity. `muxer` ("/yamux/1.0.0") is listed
 * in the extensions; NULL for none. 0 or E_INVALID. */
int noise_self_init(struct noise_self *self, const struct key_pair *identity, const char *muxer,
                    struct rng *rng);
void noise_self_fini(struct noise_self *self); /* wipes */

/* The hash and the keys of a handshake (Noise spec, 5.2: SymmetricState). */
struct noise_symmetric {
    uint8_t h[32], ck[32], k[32];
    uint64_t n;
    bool has_key;
};

enum noise_state { NOISE_WAIT_1, NOISE_WAIT_2, NOISE_WAIT_3, NOISE_READY, NOISE_FAILED };

struct noise {
    const struct noise_self *self;
    struct rng *rng;
    enum noise_state state;
    bool is_initiator;
    bool has_expected;
    struct peer_id expected;
    struct noise_symmetric sym;
    uint8_t e_secret[32], e_public[32]; /* ours */
    uint8_t re[32], rs[32];             /* theirs: ephemeral, static */
    uint8_t send_key[32], recv_key[32]; /* after NOISE_DONE, until noise_take_ciphers */
    struct buf partial;                 /* a frame that came in pieces */
    /* what came out of it, after NOISE_DONE */
    struct peer_id remote;
    bool is_muxer_settled; /* both listed ours: no multistream-select for it */
};

/* The initiator's `expected` is who was dialled; NULL takes anybody (a bootstrap address without
 * id, and every responder). */
void noise_init(struct noise *n, bool is_initiator, const struct noise_self *self,
                const struct peer_id *expected, struct rng *rng);
void noise_fini(struct noise *n); /* wipes */

/* Initiator: appends msg 1. */
int noise_start(struct noise *n, struct buf *out);

/* Takes bytes; *used says how many were the handshake's, the rest are transport frames. Answers are
 * appended to `out`. NOISE_MORE, NOISE_DONE, or E_MALFORMED, E_TOO_BIG, E_AUTH (does not decrypt,
 * zero DH, bad signature), E_WRONG_PEER, E_UNSUPPORTED (no muxer in common). The initiator may send
 * at once after NOISE_DONE, the responder too. */
int noise_feed(struct noise *n, struct bytes in, size_t *used, struct buf *out);

/* After NOISE_DONE, once: the two transport ciphers; the keys here are wiped. */
void noise_take_ciphers(struct noise *n, struct noise_cipher *send, struct noise_cipher *recv);

#endif
