// SPDX-License-Identifier: MIT
/* The messages of circuit relay v2, hop (to the relay) and stop (from it), and the voucher.
 *
 *   hop   { 1 type: RESERVE 0, CONNECT 1, STATUS 2; 2 peer; 3 reservation; 4 limit; 5 status }
 *   stop  { 1 type: CONNECT 0, STATUS 1;            2 peer; 3 limit;       4 status }
 *   peer  { 1 id, 2 addrs rep }     reservation { 1 expire (Unix seconds), 2 addrs rep, 3 voucher }
 *   limit { 1 duration (s), 2 data (bytes each way) }       0 or absent: none
 *
 * Each behind a varint length, at most LIMIT_RELAY_MESSAGE bytes. The type is always written, also 0:
 * in the proto2 of older peers it is required. Entries over a limit are dropped, the message stays
 * good; addresses are not looked into here. */
#ifndef CONDUIT_P2P_RELAY_MESSAGE_H
#define CONDUIT_P2P_RELAY_MESSAGE_H

#include "base/buf.h"
#include "base/limits.h"
#include "codec/key.h"
#include "codec/peer_id.h"

#define RELAY_HOP  "/libp2p/circuit/relay/0.2.0/hop"
#define RELAY_STOP "/libp2p/circuit/relay/0.2.0/stop"

enum relay_type { RELAY_RESERVE, RELAY_CONNECT, RELAY_STATUS };

enum relay_status {
    RELAY_UNUSED = 0, /* absent */
    RELAY_OK = 100,
    RELAY_REFUSED = 200,
    RELAY_RESOURCE_LIMIT = 201,
    RELAY_DENIED = 202,
    RELAY_CONNECTION_FAILED = 203,
    RELAY_NO_RESERVATION = 204,
    RELAY_MALFORMED = 400,
    RELAY_UNEXPECTED = 401,
};
/* A sentence; "the relay said something unknown" for a number not in the list. */
const char *relay_status_text(uint32_t status);

struct relay_limit {
    uint32_t duration_s; /* 0: none */
    uint64_t bytes;      /* each way; 0: none */
};
static inline bool relay_limit_is_any(const struct relay_limit *l)
{
    return l->duration_s || l->bytes;
}

struct relay_message {
    enum relay_type type;
    bool has_peer, has_reservation;
    struct peer_id peer; /* hop: to whom; stop: from whom */
    struct relay_limit limit;
    uint32_t status;
    /* reservation */
    uint64_t expires_s; /* Unix */
    struct bytes addrs[LIMIT_RELAY_ADDRS];
    size_t addr_count;
    struct bytes voucher; /* an envelope; empty: none */
};

/* Varint length and message. E_TOO_BIG over LIMIT_RELAY_MESSAGE, E_INVALID for a stop RESERVE. */
int relay_hop_encode(const struct relay_message *m, struct buf *out);
int relay_stop_encode(const struct relay_message *m, struct buf *out);
/* One message, without its length; views point into it. E_MALFORMED: not protobuf, no type or an
 * unknown one, a peer that is no peer id, a CONNECT without a peer. E_TOO_BIG. */
int relay_hop_decode(struct bytes in, struct relay_message *out);
int relay_stop_decode(struct bytes in, struct relay_message *out);

/* A relay's word, in a signed envelope, that it holds a place for a peer. */
struct relay_voucher {
    struct peer_id relay, peer;
    uint64_t expires_s;
};
int relay_voucher_seal(const struct key_pair *relay, const struct peer_id *peer, uint64_t expires_s,
                       struct buf *out);
/* E_WRONG_PEER: signed by another than the relay it names. */
int relay_voucher_open(struct bytes envelope, struct relay_voucher *out);

#endif
