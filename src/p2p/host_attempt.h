// SPDX-License-Identifier: MIT
/* One attempt of a dial: a transport to one address, or a circuit over one relay, and the connection on
 * it. Shared by host_dial.c, where the race is, and host_attempt.c.
 *
 *   start -> port->dial, from the listening port where that is worth it   -> transport -> conn_new
 *         -> or relay_dial: hop stream, CONNECT                           -> circuit   -> conn_new
 *   failed, or the connection closed before it was open -> told to the race, freed */
#ifndef CONDUIT_P2P_HOST_ATTEMPT_H
#define CONDUIT_P2P_HOST_ATTEMPT_H

#include "p2p/host_impl.h"
#include "p2p/relay_dial.h"

struct host_dial {
    struct list link; /* host->dials */
    struct p2p_host *host;
    bool has_peer, is_over, is_direct;
    enum p2p_dial_role role;
    struct peer_id peer;
    struct dial race;
    struct timer timer;
    struct task task;    /* steps the race; buries the dial */
    struct list waiters; /* p2p_connect.link */
    struct list attempts, lookups;
    struct resolve *resolve; /* only where there are names */
    char why[160];
};

struct host_attempt {
    struct host_port_dial port;
    struct host_dial *dial;
    struct list link;
    struct dial_target to;
    struct relay_dial *relay; /* the circuit that is asked for; NULL: a dial of the port */
    struct conn *conn;        /* NULL while the transport is being connected */
    bool is_plain;            /* not from the listening port, whatever speaks for it */
};

void host_attempt_start(struct host_dial *d, const struct dial_target *to);
/* It is reported as failed, later. */
void host_attempt_cancel(struct host_dial *d, const struct dial_target *to);
void host_attempt_failed(struct host_attempt *a, int err, const char *why);
void host_attempt_free(struct host_attempt *a);
/* Its connection failed in the upgrade. Both sides may have dialled each other at once and met in the
 * middle, both as diallers: from another port they cannot. True: that is tried now. */
bool host_attempt_again(struct host_attempt *a, int err);

#endif
