// SPDX-License-Identifier: MIT
/* The message of DCUtR, "direct connection upgrade through relay".
 *
 *   HolePunch { 1 type: CONNECT 100, SYNC 300; 2 ObsAddrs rep bytes }   behind a varint length
 *
 * At most LIMIT_RELAY_MESSAGE bytes. Addresses over LIMIT_PUNCH_ADDRS are dropped: each is dialled. */
#ifndef CONDUIT_P2P_DCUTR_MESSAGE_H
#define CONDUIT_P2P_DCUTR_MESSAGE_H

#include "base/buf.h"
#include "base/limits.h"

#define DCUTR_PROTOCOL "/libp2p/dcutr"

enum dcutr_type { DCUTR_CONNECT = 100, DCUTR_SYNC = 300 };

struct dcutr_message {
    enum dcutr_type type;
    struct bytes addrs[LIMIT_PUNCH_ADDRS]; /* views */
    size_t addr_count;
};

/* Varint length and message; addresses from the end are left out when it gets too long. */
int dcutr_encode(const struct dcutr_message *m, struct buf *out);
/* Without the length: E_MALFORMED (also: no type or an unknown one), E_TOO_BIG. */
int dcutr_decode(struct bytes in, struct dcutr_message *out);

#endif
