// SPDX-License-Identifier: MIT
/* The receiving half of a stream: unread bytes and the credit the peer has.
 *
 * Invariant:  credit + owed + unread + (body still to come, slice not yet read) = window
 *
 * Credit is given back in lumps: when half a window, or 128 KiB, is owed. The window doubles when
 * half of it was consumed within two round trips, for then the path, not the user, is the
 * bottleneck; unless the budgets say no. */
#ifndef CONDUIT_P2P_YAMUX_RECV_H
#define CONDUIT_P2P_YAMUX_RECV_H

#include "p2p/yamux.h"

/* A Data header of `n` bytes came: takes its credit. E_TOO_BIG over it. */
int yamux_recv_reserve(struct yamux_stream *s, uint32_t n);
/* Part of a body came. True: the user should be told; y->slice holds it. */
bool yamux_recv_arrive(struct yamux_stream *s, struct bytes part);
/* Keeps what the user left of the slice, so that the caller's buffer can go. */
void yamux_recv_stash(struct yamux *y);
/* The credit now owed, as a WindowUpdate's length; the caller sends it. */
uint32_t yamux_recv_take_owed(struct yamux_stream *s);
void yamux_recv_fin(struct yamux_stream *s);

#endif
