// SPDX-License-Identifier: MIT
/* What the host can do with a multiaddr: dial it, look a name up first, or nothing.
 *
 *   /ip4|ip6/A/tcp/P [/p2p/ID]          -> P2P_ADDR_IP
 *   /dns|dns4|dns6/N/tcp/P [/p2p/ID]    -> P2P_ADDR_NAME
 *   /dnsaddr/N [/p2p/ID]                -> P2P_ADDR_LIST: a TXT record lists multiaddrs
 *   [ADDR]/p2p/RELAY/p2p-circuit[/p2p/ID] -> P2P_ADDR_CIRCUIT: ADDR leads to the relay; may be empty
 *   anything else                       -> E_UNSUPPORTED; that one address is dropped, no more */
#ifndef CONDUIT_P2P_ADDR_H
#define CONDUIT_P2P_ADDR_H

#include "codec/multiaddr.h"
#include "p2p/host_port.h"

enum p2p_addr_kind { P2P_ADDR_IP, P2P_ADDR_NAME, P2P_ADDR_LIST, P2P_ADDR_CIRCUIT };

struct p2p_addr {
    enum p2p_addr_kind kind;
    struct net_addr at;       /* IP: where; NAME: only the port */
    char name[254];           /* NAME, LIST */
    enum host_port_name what; /* NAME: which addresses of it */
    bool has_peer;
    struct peer_id peer;
    struct peer_id relay;        /* CIRCUIT */
    struct multiaddr relay_addr; /* CIRCUIT: without /p2p; n 0: the address book knows */
};

int p2p_addr_decode(struct bytes multiaddr, struct p2p_addr *out);
int p2p_addr_parse(struct bytes text, struct p2p_addr *out);

/* Whether an address told by `from` makes sense to us: loopback and private ones only from peers
 * that are as near (rust tells all its listeners to everybody); of a circuit the relay's counts. */
bool p2p_addr_is_credible(struct bytes multiaddr, const struct net_addr *from);

#endif
