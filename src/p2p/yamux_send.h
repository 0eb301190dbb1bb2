// SPDX-License-Identifier: MIT
/* The sending half of a stream, and whose turn it is.
 *
 * A stream stands in one of two rings while it has something that may be sent: `small` when little
 * is queued (a token, a request), else `bulk`. Small goes first, but after 16 KiB of it bulk gets
 * one frame, so that neither starves the other. */
#ifndef CONDUIT_P2P_YAMUX_SEND_H
#define CONDUIT_P2P_YAMUX_SEND_H

#include "p2p/yamux.h"

/* The peer gave `delta` bytes of credit; saturates. */
void yamux_send_credit(struct yamux_stream *s, uint32_t delta);
/* Data and FIN frames of all streams into `out`. */
size_t yamux_send_drain(struct yamux *y, uint8_t *out, size_t room);

#endif
