// SPDX-License-Identifier: MIT
/* A yamux stream as a struct stream, and the agreement on its protocol before that.
 *
 *   ours:    ASKING (user waits) ----echo----> OPEN            LAZY (user writes) ----echo----> OPEN
 *   theirs:  ASKED  ----agreed, handler called----> OPEN
 *   any:     ----reset, refused, connection lost----> BROKEN
 *   user:    closes in OPEN or LAZY -> LINGERS until what it wrote has left, or linger_us are over
 *
 * In LAZY the FIN is held until the echo has been read, unless the peer is a Conduit node: js-libp2p resets a
 * stream that is half-closed before its handler is attached. Data of the peer follows the echo, so reading
 * waits for it too.
 *
 * Users are told from the connection's task or from its read, never from inside their own calls.
 * While one is being told it may close the stream; then the struct dies after the call returns. */
#ifndef CONDUIT_P2P_CONN_STREAM_H
#define CONDUIT_P2P_CONN_STREAM_H

#include "base/sched.h"
#include "base/stream.h"
#include "p2p/mss.h"
#include "p2p/resource.h"
#include "p2p/yamux.h"

struct conn;
struct conn_open;

enum conn_stream_phase { CS_ASKING, CS_LAZY, CS_ASKED, CS_OPEN, CS_BROKEN };

struct conn_stream {
    struct stream s; /* what the user sees */
    struct yamux_stream y;
    struct conn *conn; /* NULL when the connection is gone */
    struct list link, due;
    struct timer deadline; /* of the negotiation; of lingering */
    struct mss mss;
    struct conn_open *request;
    const char *protocol; /* borrowed by mss while asking */
    enum conn_stream_phase phase;
    int err;                               /* why BROKEN */
    struct resource_scope *protocol_scope; /* held; see conn_scope.h */
    uint8_t has_user : 1, is_told : 1, in_call : 1, holds_fin : 1, has_room : 1, is_busy : 1,
        is_finished : 1, is_lingering : 1;
    uint8_t is_kept : 1, is_brief : 1;
    uint8_t is_inbound : 1, is_counted : 1, in_protocol : 1; /* in the ledger */
};
_Static_assert(sizeof(struct conn_stream) <= 1024, "an idle stream is small");

/* Opens a yamux stream for the request; E_BUSY when there is no room for one now. */
int conn_stream_dial(struct conn *c, struct conn_open *r);
/* Requests that found no room, in the order they came. */
void conn_open_waiting(struct conn *c);
/* Takes the stream that the peer has just opened. */
void conn_stream_accept(struct conn *c);
/* What yamux says of a stream. */
void conn_stream_event(struct conn *c, const struct yamux_event *ev);
/* Tells the users on c->due what waits for them. */
void conn_stream_deliver(struct conn *c);
/* Nobody waits for this stream of ours any more; it was not handed out yet. */
void conn_stream_abandon(struct conn_stream *cs);
/* After a flush: streams that lingered and are done go. */
void conn_stream_sweep(struct conn *c);
/* The connection is lost: every stream breaks, every request fails, and none knows c afterwards. */
void conn_stream_break_all(struct conn *c, int err);

/* We are at work for it, however long nothing comes on it: see p2p_stream_keep. */
void conn_stream_keep(struct stream *s);

static inline bool conn_stream_is_p2p(const struct stream *s)
{
    return s->ops->kind[0] == 'p' && s->ops->kind[1] == '2';
}

#endif
