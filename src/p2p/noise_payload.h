// SPDX-License-Identifier: MIT
/* The payload of the Noise handshake: who stands behind a static key, and which muxers it speaks.
 *
 *   1 identity_key bytes   2 identity_sig bytes   4 extensions { 2 stream_muxers string, repeated }
 *
 * Unknown fields are skipped (old peers send data = 3). */
#ifndef CONDUIT_P2P_NOISE_PAYLOAD_H
#define CONDUIT_P2P_NOISE_PAYLOAD_H

#include "base/buf.h"
#include "codec/key.h"
#include "codec/peer_id.h"

struct noise_claim {
    struct peer_id peer;
    bool lists_muxers; /* at least one */
    bool lists_ours;
};

int noise_payload_encode(const struct key_pair *identity, const uint8_t static_key[static 32],
                         const char *muxer, struct buf *out);
/* Decodes and verifies. E_MALFORMED, E_AUTH (the signature), E_LIMIT (too many muxers), E_UNSUPPORTED
 * (a kind of key we do not know). */
int noise_payload_verify(struct bytes payload, const uint8_t static_key[static 32],
                         const char *muxer, struct noise_claim *claim);

#endif
