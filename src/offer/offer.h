// SPDX-License-Identifier: MIT
/* An offer: "this peer serves this, on these terms", signed by the peer.
 *
 * On the wire it is deterministic CBOR under the signature prefix "conduit/offer/v1\0"
 * (docs/PROTOCOL-OFFER.md). Load, queue and speed are not part of it: they are events, believed because
 * of the connection they come over. In memory it is this struct: fixed-size text, so that an offer is a
 * value, may be copied, and costs the same whatever a stranger writes into it. */
#ifndef CONDUIT_OFFER_OFFER_H
#define CONDUIT_OFFER_OFFER_H

#include "base/buf.h"
#include "codec/key.h"
#include "codec/peer_id.h"

enum offer_ability {
    OFFER_CHAT = 1 << 0,
    OFFER_COMPLETION = 1 << 1,
    OFFER_EMBEDDINGS = 1 << 2,
    OFFER_TOOLS = 1 << 3,
    OFFER_VISION = 1 << 4,
    OFFER_JSON_SCHEMA = 1 << 5,
    OFFER_RERANK = 1 << 6,
    OFFER_AUDIO = 1 << 7,
    OFFER_REASONING = 1 << 8,
};

enum { OFFER_ALIASES = 4, OFFER_NAME = 192, OFFER_ID = 48 };

struct offer {
    struct peer_id peer;
    char id[OFFER_ID]; /* names the offer at its peer; NUL-terminated, as all texts here */
    uint64_t seq;      /* a newer one of the same peer and id replaces the older */
    char protocol[64]; /* "openai"; others are carried without being understood */
    /* payload of protocol "openai" */
    char model[OFFER_NAME];
    char alias[OFFER_ALIASES][OFFER_NAME]; /* "" ends the list */
    uint8_t digest[32];                    /* sha256 of the weights; zeros: not known */
    bool has_digest;
    char quant[24];   /* "Q4_K_M", "F16"; "" not known */
    uint32_t context; /* served per request, in tokens; 0 not known */
    uint32_t abilities;
    /* terms */
    uint32_t max_concurrent, requests_per_minute; /* 0: not said */
    uint64_t price_in_micro, price_out_micro;     /* per million tokens; 0: free */
    uint16_t hours_start, hours_end;              /* minutes of the UTC day; equal: always */
    char region[16];
    uint64_t expires_ms; /* Unix time */
};

/* Appends the signed form. The offer's peer must be the key's. 0 or an error. */
int offer_sign(const struct offer *o, const struct key_pair *key, struct buf *out);
/* Reads a signed offer and checks everything: form, signature, that it speaks for `from` (the peer it came
 * from; NULL: any), not expired at now_ms, texts and numbers in bounds. 0, or E_MALFORMED, E_AUTH,
 * E_WRONG_PEER, E_EXPIRED, E_LIMIT. */
int offer_verify(struct bytes in, const struct peer_id *from, uint64_t now_ms, struct offer *out);
/* The view for people, appended as a JSON object. */
int offer_json(const struct offer *o, struct buf *out);

#endif
