// SPDX-License-Identifier: MIT
/* Which of a node's own addresses go into an invite: a text that is to be short, for a guest who may be anywhere. Pure. */
#ifndef CONDUIT_NODE_INVITE_ADDRS_H
#define CONDUIT_NODE_INVITE_ADDRS_H

#include "guard/invite.h"

/* The first of each kind before the second of any: public ones, circuits, those of the LAN; loopback only when there is
 * nothing else. `own`: most useful first, as p2p_host_addrs tells them. Returns how many were taken. */
size_t invite_addrs_pick(const struct bytes *own, size_t n,
                         struct multiaddr out[static INVITE_ADDRS]);
/* A guest who is elsewhere can come to none of them. */
bool invite_addrs_are_local(const struct multiaddr *v, size_t n);

#endif
