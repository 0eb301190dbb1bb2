// SPDX-License-Identifier: MIT
/* The agreement on a stream's protocol: multistream-select over a yamux stream. See the phases in
 * conn_stream.h. Parts of one object: only conn_stream.c and this know each other's functions. */
#ifndef CONDUIT_P2P_CONN_NEGOTIATE_H
#define CONDUIT_P2P_CONN_NEGOTIATE_H

#include "p2p/conn_stream.h"

/* Bytes or the end came in while not OPEN. False when the stream is broken (and perhaps freed). */
bool conn_negotiate_step(struct conn_stream *cs);
/* Answers the request of a stream of ours: it is ready, or failed. */
void conn_negotiate_report(struct conn_stream *cs);

/* of conn_stream.c */
/* Counted in the ledger before (conn_scope_stream); `protocol` is held, or NULL. */
struct conn_stream *conn_stream_new(struct conn *c, bool is_inbound,
                                    struct resource_scope *protocol);
void conn_stream_free(struct conn_stream *cs);
void conn_stream_break(struct conn_stream *cs, int err);
void conn_stream_due(struct conn_stream *cs);
void conn_stream_give(struct conn_stream *cs, bool is_busy);

#endif
