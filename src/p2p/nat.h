// SPDX-License-Identifier: MIT
/* What stands between us and the world? A pure book: how others see connections that we dialled
 * from our listening port.
 *
 *   seen at an address of our own interfaces                      -> NONE
 *   seen elsewhere, by several observers at the same port         -> ENDPOINT_INDEPENDENT (a cone)
 *   … at different ports                                          -> ENDPOINT_DEPENDENT (symmetric)
 *
 * Only connections from one and the same local port can be compared; others tell no more than
 * whether there is a NAT at all. For `conduit status`, doctor, and whether punching is worth a try. */
#ifndef CONDUIT_P2P_NAT_H
#define CONDUIT_P2P_NAT_H

#include "base/net.h"

enum p2p_nat {
    P2P_NAT_UNKNOWN = 0,
    P2P_NAT_NONE,
    P2P_NAT_SOME, /* there is one; of which kind is not known */
    P2P_NAT_ENDPOINT_INDEPENDENT,
    P2P_NAT_ENDPOINT_DEPENDENT,
};

enum { NAT_VIEWS = 8 };

struct nat_view {
    struct net_addr by;   /* port 0 */
    struct net_addr seen; /* our end, as it says */
    bool is_own, is_from_listener;
    uint64_t at_us;
};

struct nat {
    struct nat_view views[NAT_VIEWS];
    size_t count;
};

/* A public peer at `by` sees a connection of ours come from `seen`, which is (not) an address of our own
 * interfaces, and was (not) dialled from the listening port. Others are not heard. */
void nat_note(struct nat *n, const struct net_addr *by, const struct net_addr *seen, bool is_own,
              bool is_from_listener, uint64_t now_us);
enum p2p_nat nat_kind(const struct nat *n, uint64_t now_us);
const char *nat_text(enum p2p_nat kind); /* "endpoint-independent"; for people and programs */
void nat_forget(struct nat *n);

#endif
