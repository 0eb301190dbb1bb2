// SPDX-License-Identifier: MIT
/* What address others say we have. A pure book of votes.
 *
 *   identify's observedAddr, by whom --> one vote per address and observer's network (/16, /48)
 *   LIMIT_OBSERVERS networks agree, on a public address, not long ago --> a candidate, no more
 *
 * Anybody may say anything, and who has many addresses in one network may say it often: so networks
 * count, not peers. A candidate is worth asking AutoNAT about; it is never announced by itself. */
#ifndef CONDUIT_P2P_OBSERVED_H
#define CONDUIT_P2P_OBSERVED_H

#include "base/limits.h"
#include "base/net.h"
#include "codec/multiaddr.h"

enum { OBSERVED_VOTES = 2 * LIMIT_OBSERVERS };

struct observed_vote {
    uint8_t net[8]; /* kind and prefix of the observer */
    uint64_t at_us;
};

struct observed_addr {
    struct multiaddr addr;
    struct net_addr at;
    struct observed_vote votes[OBSERVED_VOTES];
    size_t vote_count;
    uint64_t at_us; /* of the latest vote */
};

struct observed {
    struct observed_addr addrs[LIMIT_OBSERVED];
    size_t count;
};

/* `by` says that we are at `at`. What a private peer says of a public address is not heard. */
void observed_note(struct observed *o, const struct net_addr *at, const struct net_addr *by,
                   uint64_t now_us);
/* How many networks say so, of the i-th address; 0 past the end. */
size_t observed_votes(const struct observed *o, size_t i, uint64_t now_us);
bool observed_is_candidate(const struct observed *o, size_t i, uint64_t now_us);

#endif
