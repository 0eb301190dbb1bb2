// SPDX-License-Identifier: MIT
/* An invite: "who shows this to me first may use so much of what I have". One short text, signed by the
 * node that made it (docs/PROTOCOL-INVITE.md):
 *
 *   conduit1:<base64url>      of   payload (deterministic CBOR) ‖ Ed25519 signature ‖ CRC-32
 *
 * The signature is over "conduit/invite/v1\0" ‖ payload and makes it a capability; the sum makes a slip of
 * the pen a slip of the pen: any single changed character is found by it with certainty, and is said to be
 * one. The text holds a secret (whoever shows it first is the guest; perhaps a network's key): it is never
 * traced, and wiped where it lies: by invite_text and invite_read, by who makes, prints, reads and shows it. Not wiped
 * are what a transport has queued and libyaml read ahead, the environment, and the copy of a guest that runs. */
#ifndef CONDUIT_GUARD_INVITE_H
#define CONDUIT_GUARD_INVITE_H

#include "base/buf.h"
#include "base/rng.h"
#include "codec/key.h"
#include "codec/multiaddr.h"
#include "guard/schedule.h"
#include "offer/offer.h"

enum {
    INVITE_ID = 16,
    INVITE_ID_TEXT = 2 * INVITE_ID + 1,
    INVITE_NAME = 48, /* with its NUL */
    INVITE_ADDRS = 4,
    INVITE_MODELS = 8,
    INVITE_NETWORK = 32,
};

/* What the guest may use. 0, and no models, is "no limit of the invite's own". */
struct invite_terms {
    char models[INVITE_MODELS]
               [OFFER_NAME]; /* names or aliases; "" ends the list; none: all shared ones */
    uint64_t requests_per_day, tokens_per_day; /* prompt and answer together */
    uint32_t concurrent;
    struct schedule hours; /* of the issuer's local day */
};

struct invite {
    struct peer_id issuer;
    uint8_t id[INVITE_ID];
    char name[INVITE_NAME]; /* for people */
    uint64_t expires_s;     /* Unix time, by the issuer's clock */
    struct multiaddr addrs[INVITE_ADDRS];
    size_t addr_count;
    bool has_network;
    uint8_t network[INVITE_NETWORK]; /* the key of the private network */
    struct invite_terms terms;
};

/* Appends the payload alone: what a book keeps. 0, or E_INVALID for an invite that could not be read again. */
int invite_encode(const struct invite *v, struct buf *out);
/* 0, E_MALFORMED, E_LIMIT (too many or too long parts), E_UNSUPPORTED (a field of a newer version: what
 * it restricts is not known, so nothing is given). */
int invite_decode(struct bytes payload, struct invite *out);

/* Appends the text. The issuer must be the key's. 0, E_INVALID. */
int invite_text(const struct invite *v, const struct key_pair *key, struct buf *out);
/* Reads a text, with spaces and line breaks anywhere in it. Everything is checked but the time, which is
 * the issuer's to judge. 0, or with a sentence in *why: E_MALFORMED (not an invite, or not as it was
 * made), E_AUTH (the signature is another's), E_UNSUPPORTED, E_LIMIT. */
int invite_read(struct bytes text, struct invite *out, const char **why);
/* Does it look like one (or is it the name of a file)? */
bool invite_is_text(struct bytes text);

void invite_fini(struct invite *v); /* wipes it */
char *invite_id_text(const uint8_t id[static INVITE_ID], char out[static INVITE_ID_TEXT]);
/* One of the names in the terms, or there are none. */
bool invite_allows_model(const struct invite_terms *t, const struct offer *o);

#endif
