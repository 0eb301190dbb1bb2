// SPDX-License-Identifier: MIT
/* AutoNAT's messages, both versions: "dial me, and say whether it worked".
 *
 *   v1  /libp2p/autonat/1.0.0           Message{ type, dial{peer{id, addrs}}, dialResponse{…} }
 *   v2  /libp2p/autonat/2/dial-request  Message{ one of dialRequest, dialResponse,
 *                                                dialDataRequest, dialDataResponse }
 *       /libp2p/autonat/2/dial-back     DialBack{ nonce } -> DialBackResponse{ status }
 *
 * Each travels behind its varint length (framed.h); encoders put the length, decoders are given the
 * message without it. Views point into what was decoded. */
#ifndef CONDUIT_P2P_AUTONAT_MESSAGE_H
#define CONDUIT_P2P_AUTONAT_MESSAGE_H

#include "base/buf.h"
#include "base/limits.h"

#define AUTONAT_V1      "/libp2p/autonat/1.0.0"
#define AUTONAT_V2      "/libp2p/autonat/2/dial-request"
#define AUTONAT_V2_BACK "/libp2p/autonat/2/dial-back"

enum autonat_v1_kind { AUTONAT_DIAL = 0, AUTONAT_DIAL_RESPONSE = 1 };
enum autonat_v1_status {
    AUTONAT_V1_OK = 0,
    AUTONAT_V1_DIAL_ERROR = 100,
    AUTONAT_V1_REFUSED = 101,
    AUTONAT_V1_BAD_REQUEST = 200,
    AUTONAT_V1_INTERNAL = 300,
};

struct autonat_v1 {
    enum autonat_v1_kind kind;
    struct bytes peer;                       /* DIAL: who is to be dialled; empty: whoever asks */
    struct bytes addrs[LIMIT_AUTONAT_ADDRS]; /* DIAL; what is over the limit is left out */
    size_t addr_count;
    uint32_t status; /* DIAL_RESPONSE */
    struct bytes text, addr;
};
int autonat_v1_encode(const struct autonat_v1 *m, struct buf *out);
/* 0, E_MALFORMED: no type, or one that is not known, or its part is missing. */
int autonat_v1_decode(struct bytes message, struct autonat_v1 *out);

enum autonat_v2_kind {
    AUTONAT_DIAL_REQUEST = 1,
    AUTONAT_DIAL_ANSWER = 2,
    AUTONAT_DATA_REQUEST = 3,
    AUTONAT_DATA = 4,
};
enum autonat_v2_status {
    AUTONAT_V2_INTERNAL = 0,
    AUTONAT_V2_REJECTED = 100,
    AUTONAT_V2_DIAL_REFUSED = 101,
    AUTONAT_V2_OK = 200,
};
enum autonat_v2_dial {
    AUTONAT_DIAL_UNUSED = 0,
    AUTONAT_DIAL_ERROR = 100,
    AUTONAT_DIAL_BACK_ERROR = 101,
    AUTONAT_DIAL_OK = 200,
};

struct autonat_v2 {
    enum autonat_v2_kind kind;
    struct bytes addrs[LIMIT_AUTONAT_ADDRS]; /* DIAL_REQUEST */
    size_t addr_count;
    uint64_t nonce;
    uint32_t status, dial; /* DIAL_ANSWER */
    uint32_t addr_index;   /* DIAL_ANSWER, DATA_REQUEST */
    uint64_t data_bytes;   /* DATA_REQUEST */
    struct bytes data;     /* DATA */
};
int autonat_v2_encode(const struct autonat_v2 *m, struct buf *out);
/* 0, E_MALFORMED: none or two of the four. */
int autonat_v2_decode(struct bytes message, struct autonat_v2 *out);

int autonat_back_encode(uint64_t nonce, struct buf *out);
int autonat_back_decode(struct bytes message, uint64_t *nonce);
int autonat_back_answer_encode(struct buf *out); /* status OK */
int autonat_back_answer_decode(struct bytes message, uint32_t *status);

#endif
