// SPDX-License-Identifier: MIT
/* An iterative lookup: one table of peers sorted by distance to the target, and the question "whom
 * to ask next?". Pure: no requests, no timers; the caller reports what became of each question.
 *
 *   distance   state                      alpha = 10 questions that are not slow at a time
 *   | 0x01…    ANSWERED                   done when the `beta` nearest of those that have not failed
 *   | 0x03…    ASKED (slow)               have answered: 3 suffice for finding, 20 (k) for storing
 *   | 0x04…    FAILED
 *   | 0x09…    ASKED                      slow: asked, and past the time a live peer takes; it gives
 *   v 0x17…    HEARD   <- next            up its place among the alpha, and a read no longer waits
 *                                         for it; its answer is still welcome
 *
 * A region makes it go on: whoever is heard of within `radius` of the target, where an honest network has k
 * peers, is asked too, up to LIMIT_DHT_REGION of them; so that a few names placed nearest to a key do not hide
 * it. Of the nearest quarter of the radius, where five are to be expected, only LIMIT_DHT_CROWD are kept in mind
 * and half as many asked, however many there are. More than fifteen are a crowd: they may be all that the peers
 * around here tell of, and the caller then brings candidates from beside the key (query.c).
 *
 * Where fewer than k are heard of at all, a read asks each of them: in a network that has just begun, who keeps a
 * record depends on who was there first.
 *
 * Several lookups of one target may be disjoint paths: whom one of them asks is ELSEWHERE for the others, and
 * each hears only from those it asked itself. The caller sees to that. */
#ifndef CONDUIT_DHT_LOOKUP_H
#define CONDUIT_DHT_LOOKUP_H

#include "dht/addrs.h"
#include "dht/key.h"

/* Nobody waits for a refresh, and each question may be a dial. */
enum { DHT_ALPHA = 10, DHT_ALPHA_REFRESH = 3, DHT_BETA_READ = 3, DHT_K = LIMIT_DHT_BUCKET };

enum dht_candidate_state {
    DHT_HEARD = 0,
    DHT_ASKED,
    DHT_ANSWERED,
    DHT_FAILED,    /* did not answer, or cannot be dialled */
    DHT_ELSEWHERE, /* another path asks it */
};

struct dht_candidate {
    struct peer_id id;
    struct dht_key distance;
    struct dht_addrs addrs;
    enum dht_candidate_state state;
    bool is_slow;
    uint8_t version; /* GET_VALUE: which of the best ones it had; 0: none, or a worse one */
    uint8_t hops;    /* how far from our own table it was heard of */
    void *asked;     /* the caller's: the request under way */
};

struct dht_lookup {
    struct dht_key target;
    struct peer_id self;
    struct dht_candidate **sorted; /* nearest first */
    int count;
    int in_flight; /* asked and not slow */
    int slow;
    int alpha, beta;
    int max; /* candidates kept in mind */
    bool has_region;
    struct dht_key radius, quarter;
    bool waits_for_slow;  /* storing: the true nearest matter more than time */
    bool asks_all_of_few; /* of fewer than k that may be alive: a read in a small network */
};

void dht_lookup_init(struct dht_lookup *l, struct bytes target, const struct peer_id *self,
                     int beta, bool waits_for_slow);
void dht_lookup_fini(struct dht_lookup *l);

/* A peer was heard of: NULL when it is ourselves, known already, without address, or too far. */
struct dht_candidate *dht_lookup_add(struct dht_lookup *l, const struct dht_peer *peer, int hops);

/* Whom to ask now; it counts as ASKED from here on. NULL: wait, or done. */
struct dht_candidate *dht_lookup_next(struct dht_lookup *l);
void dht_lookup_answered(struct dht_lookup *l, struct dht_candidate *c);
void dht_lookup_failed(struct dht_lookup *l, struct dht_candidate *c);
void dht_lookup_slow(struct dht_lookup *l, struct dht_candidate *c);
/* Asked by another path, or no longer: `c` is one that dht_lookup_next gave, or was given up so. */
void dht_lookup_leave(struct dht_lookup *l, struct dht_candidate *c);
void dht_lookup_take_back(struct dht_lookup *l, struct dht_candidate *c);
struct dht_candidate *dht_lookup_find(const struct dht_lookup *l, const struct peer_id *id);
void dht_lookup_set_region(struct dht_lookup *l, const struct dht_key *radius);
bool dht_lookup_is_crowded(const struct dht_lookup *l);
bool dht_lookup_is_inside(const struct dht_lookup *l, const struct dht_key *key); /* the region */
bool dht_lookup_is_done(const struct dht_lookup *l);

/* Where a record belongs: the k nearest that answered, and whoever else did within the radius. */
int dht_lookup_region(const struct dht_lookup *l, struct dht_candidate **out, int n);
/* The nearest that answered, at most `n`; how many. */
int dht_lookup_nearest(const struct dht_lookup *l, struct dht_candidate **out, int n);

#endif
