// SPDX-License-Identifier: MIT
/* Which relays hold a place for us: as many as are wanted, the best of those known. A pure machine;
 * relay_client.h carries out what it says.
 *
 *   IDLE --wanted, rank and pause allow--> ASKING --granted--> HELD --2/3 of its time--> ASKING (kept)
 *     ^                                       |                  |
 *     |<------ refused, pause doubles --------+                  |
 *     |<------ the relay is gone, or its time ran out -----------+
 *   HELD --no longer wanted, or a surplus--> RELEASE -> IDLE
 *
 * Everybody knows the same bootstrap nodes, and a relay has few circuits: one place is at one of them, the other with
 * somebody else as long as there is somebody; of equals any.
 *
 * A place that is lost is replaced at once by the next candidate; the lost one is asked again after a
 * pause, 2 s doubling to five minutes, ± 20 %. While a place is refreshed it counts as held. */
#ifndef CONDUIT_P2P_RELAY_CHOICE_H
#define CONDUIT_P2P_RELAY_CHOICE_H

#include "base/limits.h"
#include "base/rng.h"
#include "codec/peer_id.h"

/* Smaller is better. */
enum relay_rank { RELAY_RANK_GIVEN, RELAY_RANK_BOOTSTRAP, RELAY_RANK_CONDUIT, RELAY_RANK_OTHER };
enum relay_place_state { RELAY_IDLE, RELAY_ASKING, RELAY_HELD };

struct relay_candidate {
    struct peer_id id;
    enum relay_rank rank;
    enum relay_place_state state;
    bool is_held; /* ASKING: a refresh */
    uint32_t failures;
    uint64_t at_us;    /* IDLE: not before; HELD: refresh then */
    uint64_t until_us; /* of the place */
};

struct relay_choice {
    struct relay_candidate all[LIMIT_RELAY_CANDIDATES]; /* by rank */
    size_t count;
    uint32_t wanted;
    struct rng *rng;
};

enum relay_act_kind { RELAY_ACT_ASK, RELAY_ACT_RELEASE };
struct relay_act {
    enum relay_act_kind kind;
    struct peer_id relay;
};

void relay_choice_init(struct relay_choice *c, struct rng *rng);
/* How many places; 0: all are released. */
void relay_choice_want(struct relay_choice *c, uint32_t places);
/* Known as a relay: 0, E_EXISTS (its rank may have become better), E_LIMIT. */
int relay_choice_add(struct relay_choice *c, const struct peer_id *relay, enum relay_rank rank);
/* No relay any more; what it holds stays until it is lost. */
void relay_choice_remove(struct relay_choice *c, const struct peer_id *relay);

bool relay_choice_next(struct relay_choice *c, uint64_t now_us, struct relay_act *out);
uint64_t relay_choice_deadline(const struct relay_choice *c);

/* What became of an ASK. */
void relay_choice_granted(struct relay_choice *c, const struct peer_id *relay, uint64_t until_us,
                          uint64_t now_us);
/* True when a place was lost by it. */
bool relay_choice_refused(struct relay_choice *c, const struct peer_id *relay, uint64_t now_us);
/* The connection to it is gone: true when a place was lost. */
bool relay_choice_lost(struct relay_choice *c, const struct peer_id *relay, uint64_t now_us);
bool relay_choice_holds(const struct relay_choice *c, const struct peer_id *relay);
uint32_t relay_choice_held(const struct relay_choice *c);

#endif
