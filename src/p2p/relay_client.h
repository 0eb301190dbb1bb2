// SPDX-License-Identifier: MIT
/* Being reachable through relays: places at relays, the addresses that follow from them, and the
 * circuits that arrive.
 *
 *   identified, serves hop -> a candidate        p2p_relay_want(2) -> RESERVE at the best, kept, replaced
 *   a place is granted -> /…/p2p/RELAY/p2p-circuit is one of our addresses (identify, DHT)
 *   stop stream from a relay that holds a place for us -> STATUS 100 -> an inbound connection
 *
 * Whom to prefer is said by `rank`; which relays serve and when to ask again is relay_choice.h. */
#ifndef CONDUIT_P2P_RELAY_CLIENT_H
#define CONDUIT_P2P_RELAY_CLIENT_H

#include "p2p/host.h"
#include "p2p/relay_choice.h"
#include "p2p/relay_message.h"

struct relay_client; /* opaque */

struct relay_client_cfg {
    /* How good a relay this peer would be, once it is known to serve hop; < 0: not to be used. NULL:
     * Conduit nodes before others. */
    int (*rank)(void *ctx, const struct peer_id *peer, bool is_conduit);
    void (*changed)(void *ctx); /* places were won or lost; from the loop; may be NULL */
    void *ctx;
};

/* Serves stop on the host; until `want` nothing is asked for. NULL when stop is served already. */
struct relay_client *relay_client_new(struct p2p_host *h, const struct relay_client_cfg *cfg);
/* Not from inside a callback of its. The host lives on; places are left to run out. */
void relay_client_free(struct relay_client *c);

/* How many places to keep; 0 gives them back. */
void relay_client_want(struct relay_client *c, uint32_t places);
/* This peer, before all others, whether it was identified or not. */
void relay_client_use(struct relay_client *c, const struct peer_id *relay);

/* The i-th place held; false past the end. */
struct relay_held_view {
    struct peer_id relay;
    uint64_t until_us;
    struct relay_limit limit;
    size_t addr_count; /* of our addresses that lead over it */
};
bool relay_client_look(const struct relay_client *c, size_t i, struct relay_held_view *out);
size_t relay_client_known(const struct relay_client *c); /* relays known */

#endif
