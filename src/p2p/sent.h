// SPDX-License-Identifier: MIT
/* Where we have sent to from our listening port, not long ago. A pure book.
 *
 * Many a NAT lets into a mapping whoever its owner has sent to from there, and nobody else: some by the
 * address and port (port-restricted), some by the address alone (address-restricted). So who is in this
 * book and reaches us has not shown that a stranger could.
 *
 * A NAT forgets in minutes what is no longer used; KEPT is more than that. When the book is full the oldest
 * makes room, and until it would have been forgotten anyway everybody may be one whom we have sent to. */
#ifndef CONDUIT_P2P_SENT_H
#define CONDUIT_P2P_SENT_H

#include "base/map.h"
#include "base/net.h"

enum sent_to { SENT_TO_NOBODY = 0, SENT_TO_IP, SENT_TO_PORT };

struct sent {
    struct map places;   /* IP and port -> struct place, oldest first */
    struct map machines; /* IP -> struct machine */
    uint64_t unsure_until_us;
};

void sent_init(struct sent *s, uint64_t seed);
void sent_fini(struct sent *s);
void sent_note(struct sent *s, const struct net_addr *to, uint64_t now_us);
/* Have we sent to that IP, to that very port of it? */
enum sent_to sent_look(const struct sent *s, const struct net_addr *who, uint64_t now_us);
#endif
