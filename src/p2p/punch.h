// SPDX-License-Identifier: MIT
/* Hole punching: relayed connections become direct ones. Serves /libp2p/dcutr on a host and begins
 * it for connections that came in over a relay; dcutr.h says what happens when.
 *
 * Once per relayed connection. What is running on it stays there; new streams go over the direct one,
 * and the relayed one is left until nothing is on it. */
#ifndef CONDUIT_P2P_PUNCH_H
#define CONDUIT_P2P_PUNCH_H

#include "p2p/host.h"

struct punch; /* opaque */

/* NULL when dcutr is served already. */
struct punch *punch_new(struct p2p_host *h);
/* Not from inside a callback of its. */
void punch_free(struct punch *p);

struct punch_view {
    uint32_t running;
    uint64_t begun, succeeded, failed;
};
struct punch_view punch_look(const struct punch *p);

#endif
