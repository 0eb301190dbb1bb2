// SPDX-License-Identifier: MIT
/* The Identify message: who a peer is, what it speaks, where it listens, how it sees us.
 *
 *   Identify { 1 publicKey, 2 listenAddrs rep, 3 protocols rep, 4 observedAddr, 5 protocolVersion,
 *              6 agentVersion, 8 signedPeerRecord }       each message behind a varint length
 *
 * Out: one message of at most LIMIT_IDENTIFY_OUT bytes, since rust reads one and no more; the signed
 * record is left out first, then addresses from the end. In: up to LIMIT_IDENTIFY_PARTS messages of
 * LIMIT_IDENTIFY_IN bytes merged, as go sends them: repeated fields append, singular ones overwrite.
 * Entries over a limit are dropped, the message stays good. */
#ifndef CONDUIT_P2P_IDENTIFY_H
#define CONDUIT_P2P_IDENTIFY_H

#include "base/buf.h"
#include "base/limits.h"

struct identify {
    struct bytes public_key, observed, version, agent, signed_record; /* empty: absent */
    struct bytes addrs[LIMIT_PEER_ADDRS];
    struct bytes protocols[LIMIT_PEER_PROTOCOLS];
    size_t addr_count, protocol_count;
};

/* Appends varint length and message. E_TOO_BIG when even the protocols do not fit. */
int identify_encode(const struct identify *id, struct buf *out);
/* All messages in `in`, which the fields then point into: 0, E_MALFORMED (also: cut short), E_TOO_BIG,
 * E_LIMIT (too many messages), E_EOF (nothing at all). */
int identify_decode(struct bytes in, struct identify *out);

#endif
