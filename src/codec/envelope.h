// SPDX-License-Identifier: MIT
/* Signed envelopes (libp2p RFC 0002) and the peer record that travels in one (RFC 0003).
 *
 *   Envelope   { 1 public_key, 2 payload_type, 3 payload, 5 signature }
 *   signed     = len ‖ domain ‖ len ‖ payload_type ‖ len ‖ payload
 *   PeerRecord { 1 peer_id, 2 seq, 3 addresses { 1 multiaddr } }
 *
 * The hard thing: two domains are in use. go and js say "libp2p-peer-record" with type 0301, rust by
 * default "libp2p-routing-state" with "/libp2p/routing-state-record". We write the first and accept
 * both. */
#ifndef CONDUIT_CODEC_ENVELOPE_H
#define CONDUIT_CODEC_ENVELOPE_H

#include "base/limits.h"
#include "codec/key.h"

/* Appends the envelope. */
int envelope_seal(const struct key_pair *k, const char *domain, struct bytes payload_type,
                  struct bytes payload, struct buf *out);

struct envelope {
    struct bytes public_key, payload_type, payload, signature; /* views */
    struct peer_id signer;                                     /* proved, after open */
};
/* Decodes and verifies under `domain`: 0, E_MALFORMED, E_AUTH, E_UNSUPPORTED, E_TOO_BIG. */
int envelope_open(struct bytes in, const char *domain, struct envelope *out);

struct peer_record {
    struct peer_id peer;
    uint64_t seq;
    struct bytes addrs[LIMIT_PEER_RECORD_ADDRS]; /* views; those that do not decode are left out */
    size_t addr_count;
};
/* The envelope of our own record. */
int peer_record_seal(const struct key_pair *k, uint64_t seq, const struct bytes *addrs,
                     size_t addr_count, struct buf *out);
/* E_WRONG_PEER when the record is about another peer than its signer. */
int peer_record_open(struct bytes in, struct peer_record *out);

#endif
