// SPDX-License-Identifier: MIT
/* What a client means by a model's name: NAME[:quant][@sha256:hex…].
 *
 * The hard thing: names may contain ':' themselves ("llama3:8b"). So the whole text in front of '@'
 * is tried as a name first, and only then split at its last ':'. */
#ifndef CONDUIT_OFFER_MODEL_REF_H
#define CONDUIT_OFFER_MODEL_REF_H

#include "offer/offer.h"

struct model_ref {
    struct bytes whole;   /* in front of '@' */
    struct bytes name;    /* in front of the last ':', when there is one; else empty */
    struct bytes quant;   /* behind it */
    uint8_t digest[32];
    size_t digest_nibbles; /* how many hex digits were given: a prefix of at least 8, or 0 */
    bool is_any;          /* "", "auto", "llamanet": any chat model */
};

/* 0, E_MALFORMED (bad digest), E_TOO_BIG. Views into `text`. */
int model_ref_parse(struct bytes text, struct model_ref *out);
bool model_ref_matches(const struct model_ref *r, const struct offer_openai *o);

#endif
