// SPDX-License-Identifier: MIT
/* Why a peer may be used (gets our prompts) and served. A pure book of reasons, one entry per peer:
 *
 *   found by mDNS, or dialled us from the LAN     LAN        listed, no more
 *   … and says that it names us (or an invite)    NAMED_US   served; still not used
 *   named with --bootstrap                        BOOTSTRAP  ┐
 *   invited, or the one who invited us            INVITE     │
 *   on the owner's list                           ALLOWED    ├ used and served
 *   of the network we joined: told by its DHT,    NETWORK    │
 *     or came from the internet                              │
 *   on this machine, over loopback                LOCAL      ┘
 *
 * and for everybody at once: --open, and a private network (who has no key is not even connected).
 *
 * The hard thing is the café: a stranger on the LAN may dial us, say whatever it likes, and fill our DHT with its
 * own records. So what comes from the LAN by itself never makes a reason to be used; what a DHT says counts only
 * while we are connected to somebody we trust for another reason; and of a peer of our LAN it counts only when
 * those say it themselves (node/confirm), since our own DHT may have it from the stranger.
 * A provider cannot tell how a consumer found it; honest ones say so (docs/PROTOCOL-HTTP.md). */
#ifndef CONDUIT_GUARD_TRUST_H
#define CONDUIT_GUARD_TRUST_H

#include "base/limits.h"
#include "base/map.h"
#include "codec/peer_id.h"

enum trust_reason {
    TRUST_LAN = 1 << 0,
    TRUST_NAMED_US = 1 << 1,
    TRUST_BOOTSTRAP = 1 << 2,
    TRUST_INVITE = 1 << 3,
    TRUST_ALLOWED = 1 << 4,
    TRUST_NETWORK = 1 << 5,
    TRUST_LOCAL = 1 << 6,
};

/* Where a connection came from. */
enum trust_path { TRUST_FROM_SELF, TRUST_FROM_LAN, TRUST_FROM_AFAR };

struct trust {
    struct map peers;  /* peer id -> private record */
    bool is_open;      /* --open */
    bool is_private;   /* --psk: whoever is connected has the key */
    bool names_others; /* we joined somebody: --bootstrap, an invite */
};

void trust_init(struct trust *t, bool is_open, bool is_private, uint64_t seed);
void trust_fini(struct trust *t);

/* One more reason, or one less. At most LIMIT_TRUST_PEERS are remembered: the oldest that is not connected and
 * was not named by the owner makes room. */
void trust_add(struct trust *t, const struct peer_id *peer, enum trust_reason why);
void trust_remove(struct trust *t, const struct peer_id *peer, enum trust_reason why);
void trust_connected(struct trust *t, const struct peer_id *peer, enum trust_path path,
                     bool is_inbound);
void trust_disconnected(struct trust *t, const struct peer_id *peer);
/* It asked us something, and said that it knows us from the LAN only, or did not. */
void trust_heard(struct trust *t, const struct peer_id *peer, bool says_lan);
/* The DHT names it as a provider: a reason, unless it is of our LAN. */
void trust_told(struct trust *t, const struct peer_id *peer);
/* Somebody we trust does, asked for it: a reason in any case. */
void trust_confirmed(struct trust *t, const struct peer_id *peer);
/* It said (or no longer says) that it does not serve us. */
void trust_refuses(struct trust *t, const struct peer_id *peer, bool refuses);

/* All reasons together; 0: not known. */
unsigned trust_reasons(const struct trust *t, const struct peer_id *peer);
/* Is there a reason of its own to use it, --open left aside? */
bool trust_is_known(const struct trust *t, const struct peer_id *peer);
/* May we send it prompts? */
bool trust_may_use(const struct trust *t, const struct peer_id *peer);
bool trust_does_refuse(const struct trust *t, const struct peer_id *peer);
/* Do we serve it? */
bool trust_may_serve(const struct trust *t, const struct peer_id *peer, bool says_lan);
/* Do we know it from the LAN only? Then our requests say so. */
bool trust_is_from_lan(const struct trust *t, const struct peer_id *peer);
/* And is it to be kept out of our DHT? Not when all is open, nor when it names us and we name nobody. */
bool trust_is_stranger(const struct trust *t, const struct peer_id *peer);
/* Are we in a network: connected to somebody we trust for a reason of our own? */
bool trust_has_network(const struct trust *t);

/* For people: the best reason in one word ("bootstrap", "lan", …), and what follows from it ("used and served",
 * "listed", …). Borrowed for ever. */
const char *trust_source(const struct trust *t, const struct peer_id *peer);
const char *trust_verdict(const struct trust *t, const struct peer_id *peer);

#endif
