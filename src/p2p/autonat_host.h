// SPDX-License-Identifier: MIT
/* AutoNAT on a host: asks peers whether they can dial us (autonat_client.c), and dials back who asks
 * us (autonat_server.c). The decisions are autonat.h's.
 *
 *   listeners' public addresses + what others observe -> candidates -> questions -> answers
 *   confirmed -> p2p_host_add_addr; lost -> removed; together -> p2p_host_set_reach
 *
 * Only peers that see us from outside are asked: a neighbour on the LAN knows nothing of the world.
 * A node with a public address and nobody to ask stays UNKNOWN, which counts as a server.
 *
 * As a server: version 1 is dialled back only at the IP we see it at; version 2 at another one only after
 * it has sent more than the dial costs, and there at no port below 1024 but 80 and 443. Loopback and
 * private addresses are dialled only for who comes from one itself. A peer, an IP group, and all together
 * have rates. A node that knows to be PRIVATE does not serve. */
#ifndef CONDUIT_P2P_AUTONAT_HOST_H
#define CONDUIT_P2P_AUTONAT_HOST_H

#include "p2p/autonat.h"
#include "p2p/host.h"

struct autonat_cfg {
    bool serves;
    bool asks;
    bool also_local;  /* private and loopback addresses are candidates too: tests on one machine */
    int only_version; /* asks only servers of version 1, or 2; 0: any, 2 where there is a choice */
    uint64_t dial_us; /* how long one dial back may take */
};
struct autonat_cfg autonat_cfg_default(void);

struct autonat_host;
/* Before the host is freed: autonat_host_free, also for hosts that are closing. */
struct autonat_host *autonat_host_new(struct p2p_host *h, const struct autonat_cfg *cfg);
void autonat_host_free(struct autonat_host *ah);
/* The machine is elsewhere now. */
void autonat_host_forget(struct autonat_host *ah);
/* The i-th address that others reached us at, as text; false past the end. */
bool autonat_host_confirmed(struct autonat_host *ah, size_t i, struct bytes *addr);
/* What the last server that could tell told, and about which address; false when none did yet. */
bool autonat_host_last(const struct autonat_host *ah, enum autonat_result *result,
                       struct bytes *addr);
struct autonat_counts {
    uint64_t asked, answered, served, refused;
};
struct autonat_counts autonat_host_counts(const struct autonat_host *ah);

#endif
