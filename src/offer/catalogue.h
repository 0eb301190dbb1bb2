// SPDX-License-Identifier: MIT
/* All offers this node knows, its own and others': by peer, and by model name.
 *
 *   peers (least recently used first out) --> entries by offer id --> names (model and aliases)
 *
 * What keeps it honest: an offer is taken only from the peer that signed it, over its own connection;
 * its seq never goes back, also after it was withdrawn (the entry stays as a tombstone until the
 * offer would have expired); it expires. Own offers count against no limit of others. Entries are
 * visited in order of peers and offers as they came, so that one run is like another. Pointers to
 * entries are borrowed until the next change. */
#ifndef CONDUIT_OFFER_CATALOGUE_H
#define CONDUIT_OFFER_CATALOGUE_H

#include "base/list.h"
#include "base/map.h"
#include "offer/model_ref.h"
#include "offer/offer.h"

struct catalogue;

struct catalogue_entry {
    struct offer offer;   /* views into `encoded` */
    struct bytes encoded; /* the signed form, to pass on */
    bool is_own;
    bool is_withdrawn;    /* a tombstone; never found, never visited */
    uint64_t seen_ms;     /* wall time of the last put */
};

struct catalogue *catalogue_new(const struct peer_id *self, uint64_t map_seed);
void catalogue_free(struct catalogue *c);

/* A signed offer that came over a connection with `from` (our own id for own ones). Copies it.
 * 0: taken, or known already; E_EXPIRED, E_DENIED (an older seq than known, or the same seq with
 * other bytes: a replay), E_WRONG_PEER (not from's), E_LIMIT (too many of this peer), and what
 * offer_open says. */
int catalogue_put(struct catalogue *c, struct bytes signed_offer, const struct peer_id *from,
                  uint64_t wall_ms);
/* `from` no longer serves it: 0 or E_NOT_FOUND. */
int catalogue_withdraw(struct catalogue *c, const struct peer_id *from, struct bytes offer_id);
/* The peer is gone or banned: forgets all its offers. A dropped peer may come again. */
void catalogue_drop_peer(struct catalogue *c, const struct peer_id *peer);
/* Removes what expired; how many. Call it at catalogue_next_expiry. */
size_t catalogue_expire(struct catalogue *c, uint64_t wall_ms);
uint64_t catalogue_next_expiry(const struct catalogue *c); /* wall ms; UINT64_MAX: none */
/* Grows with every change; a listener compares. */
uint64_t catalogue_version(const struct catalogue *c);
size_t catalogue_count(const struct catalogue *c); /* without tombstones */

/* In order; NULL at the end. `after` NULL: the first. */
const struct catalogue_entry *catalogue_next(const struct catalogue *c,
                                             const struct catalogue_entry *after);
const struct catalogue_entry *catalogue_get(const struct catalogue *c, const struct peer_id *peer,
                                            struct bytes offer_id);
/* OpenAI offers that a reference means, in order; up to `max` are stored, all are counted. */
size_t catalogue_find(const struct catalogue *c, const struct model_ref *ref,
                      const struct catalogue_entry **out, size_t max);

/* One row of /v1/models: offers of one name. Views borrowed until the next change. */
struct catalogue_model {
    struct bytes name;
    uint32_t abilities;    /* of any variant */
    uint64_t context;      /* the largest served */
    uint64_t created_s;    /* the oldest; 0 unknown */
    size_t offers, peers;  /* how many serve it */
    bool is_own;           /* we do, too */
    const struct catalogue_entry *first;
};
/* Rows by name; an array of *count rows, yours to free(). */
struct catalogue_model *catalogue_models(const struct catalogue *c, size_t *count);

#endif
