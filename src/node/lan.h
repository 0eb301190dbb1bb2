// SPDX-License-Identifier: MIT
/* The LAN: nodes found by mDNS are dialled (few of them), told apart from those we know otherwise (guard/trust.h),
 * and listed. Also the one place where a connection is looked at for where it comes from. */
#ifndef CONDUIT_NODE_LAN_H
#define CONDUIT_NODE_LAN_H

#include "guard/trust.h"
#include "loop/loop.h"
#include "p2p/host.h"
#include "p2p/mdns_shell.h"

struct lan_cfg {
    struct loop *loop;
    struct p2p_host *host;
    struct trust *trust;
    bool has_mdns;
    const char
        *network; /* fingerprint of the private network's key, or NULL; borrowed for lan_init */
    /* More is known of a peer: whether it is used may have changed. */
    void (*learnt)(void *ctx, const struct peer_id *peer);
    void *ctx;
};

struct lan {
    struct lan_cfg cfg;
    struct p2p_host *host;
    struct sched *sched;
    struct trust *trust;
    struct mdns_shell *mdns; /* NULL: --no-mdns */
    struct list dials;       /* struct lan_dial */
    struct timer sweep;      /* those that are not connected are dialled again */
    struct peer_id swept;    /* the last one that had its turn */
    struct map connected;    /* peers of the LAN that we dialled; values mean nothing */
    struct p2p_watch watch;
};

void lan_init(struct lan *l, const struct lan_cfg *cfg);
/* Says goodbye. Again: harmless. */
void lan_fini(struct lan *l);
/* The interfaces it speaks on, as "eth0, wlan0"; "" when it has none, or is off. */
const char *lan_interfaces(const struct lan *l, char *out, size_t size);
/* How many messages were heard, our own included, and how many peers are known; false when it is off. */
bool lan_counts(const struct lan *l, uint64_t *messages, size_t *peers);
/* Those whom mDNS knows, one after another: as mdns_next. */
const struct mdns_peer *lan_next(const struct lan *l, struct map_entry **at);

#endif
