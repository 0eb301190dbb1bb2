// SPDX-License-Identifier: MIT
/* The numbers of an offer's encoding, for its writer and its reader: docs/PROTOCOL-OFFER.md. */
#ifndef CONDUIT_OFFER_OFFER_WIRE_H
#define CONDUIT_OFFER_OFFER_WIRE_H

#include "base/buf.h"

#define OFFER_PREFIX "conduit/offer/v1" /* signed with its terminating NUL */
#define OFFER_OPENAI "openai"

enum offer_key {
    OFFER_KEY_PEER = 1,
    OFFER_KEY_ID = 2,
    OFFER_KEY_SEQ = 3,
    OFFER_KEY_EXPIRES = 4,
    OFFER_KEY_PROTOCOL = 5,
    OFFER_KEY_PAYLOAD = 6,
    OFFER_KEY_LIMITS = 7, /* {1: requests a minute, 2: concurrent} */
    OFFER_KEY_PRICE = 8,  /* {1: in, 2: out}, micro-units per million tokens */
    OFFER_KEY_HOURS = 9,  /* [from, to], minutes of the UTC day */
    OFFER_KEY_REGION = 10,
};

enum openai_key {
    OPENAI_MODEL = 1,
    OPENAI_DIGEST = 2,
    OPENAI_QUANT = 3,
    OPENAI_CONTEXT = 4,
    OPENAI_ABILITIES = 5,
    OPENAI_ALIASES = 6,
};

/* The prefix and the encoded offer: what is signed. */
int offer_signed_bytes(struct bytes offer, struct buf *out);

#endif
