// SPDX-License-Identifier: MIT
/* Every offer this node knows: its own, and those of at most LIMIT_CATALOGUE_PEERS peers, the least
 * recently used peer leaving first. It answers by model, in a stable order, and counts its changes so that
 * whoever shows a list knows when to look again.
 *
 * A name asked for is `NAME[:QUANT][@sha256:HEX]`; NAME is the model's name or an alias (case matters). */
#ifndef CONDUIT_OFFER_CATALOGUE_H
#define CONDUIT_OFFER_CATALOGUE_H

#include "base/list.h"
#include "base/map.h"
#include "offer/offer.h"

/* Why the offers of a peer are known and listed, but not used. */
enum catalogue_bar {
    CATALOGUE_USED = 0,
    CATALOGUE_STRANGER, /* we do not trust it: found on the LAN only */
    CATALOGUE_REFUSES,  /* it does not serve us */
};

struct catalogue_peer {
    struct list link; /* by use: the least recently used first */
    struct peer_id id;
    char text[64]; /* the peer id as text */
    bool is_own;
    bool
        is_limited; /* reached over a circuit only that its relay will cut: the last choice of equals */
    enum catalogue_bar bar;
    struct list offers;
    size_t offer_count;
};

struct catalogue_offer {
    struct list link;
    struct catalogue_peer *peer;
    struct offer offer;
    bool is_private; /* an own one that is not shared: there for the owner, not for peers */
};

struct catalogue {
    struct map peers; /* peer id bytes -> struct catalogue_peer */
    struct list by_use;
    struct map gone; /* peer id and offer id -> the sequence it was withdrawn with */
    uint64_t changes;
    uint64_t expiry_ms, expiry_changes; /* nothing expires before, as of these changes */
    /* Asked for each peer that comes, and by catalogue_review; NULL: all are used. */
    enum catalogue_bar (*bar)(void *ctx, const struct peer_id *peer);
    void *ctx;
};

void catalogue_init(struct catalogue *c, uint64_t seed);
void catalogue_fini(struct catalogue *c);

/* Adds or replaces. 0; E_DUPLICATE when the known one is as new or newer; E_LIMIT when the peer has
 * LIMIT_OFFERS_PER_PEER. One that was withdrawn is known as well: an old one does not come back. `is_own`: this node's; its peer is never evicted and has no limit. */
int catalogue_put(struct catalogue *c, const struct offer *o, bool is_own);
/* Whether an offer of this node is for its owner alone. E_NOT_FOUND when there is none. */
int catalogue_set_private(struct catalogue *c, const struct peer_id *peer, const char *offer_id,
                          bool is_private);
/* Its peer took it back; its sequence is remembered. E_NOT_FOUND when there is none. */
int catalogue_withdraw(struct catalogue *c, const struct peer_id *peer, const char *offer_id);
void catalogue_drop_peer(struct catalogue *c, const struct peer_id *peer);
/* Drops what has expired; returns the Unix time of the next expiry, UINT64_MAX for none. */
uint64_t catalogue_expire(struct catalogue *c, uint64_t now_ms);
void catalogue_touch(struct catalogue *c, const struct peer_id *peer); /* it was used */
/* Something is known of this peer that may lift its bar, or set one. */
void catalogue_review(struct catalogue *c, const struct peer_id *peer);
/* How it is reached now; nothing where it offers nothing. */
void catalogue_set_limited(struct catalogue *c, const struct peer_id *peer, bool is_limited);
size_t catalogue_peer_count(const struct catalogue *c);

/* Walks all offers, own first, then peers by age in the catalogue: NULL starts, NULL ends. */
const struct catalogue_offer *catalogue_next(const struct catalogue *c,
                                             const struct catalogue_offer *after);
/* Does this offer answer to that name? */
bool catalogue_is_named(const struct offer *o, struct bytes name);
/* "", "auto", "llamanet": any chat model. */
bool catalogue_is_any(struct bytes name);

#endif
