// SPDX-License-Identifier: MIT
/* The session's own book of its streams: found by id, noted for events, aborted. Shared by the
 * halves of yamux.c; nothing outside of the machine needs it. */
#ifndef CONDUIT_P2P_YAMUX_TABLE_H
#define CONDUIT_P2P_YAMUX_TABLE_H

#include "p2p/yamux.h"

struct yamux_stream *yamux_find(const struct yamux *y, uint32_t id);
void yamux_enter(struct yamux *y, struct yamux_stream *s, uint32_t id);
void yamux_forget(struct yamux_stream *s); /* the struct is the caller's again */

/* An event to be returned by yamux_next when nothing else is. */
void yamux_note(struct yamux_stream *s, enum yamux_event_kind kind);
/* The next noted event; false when there is none. */
bool yamux_take_noted(struct yamux *y, struct yamux_event *ev);

/* Queues a header. E_LIMIT when the peer makes us say more than it reads: the session is over. */
int yamux_control(struct yamux *y, uint8_t type, uint16_t flags, uint32_t id, uint32_t length);

/* A stream of the peer's ended by reset, or never began: each is within every limit, and costs us a
 * stream's making all the same. More than LIMIT_YAMUX_CHURN a second, once a burst is used up, end
 * the session. */
void yamux_churned(struct yamux *y);

/* Dead from now on: drops what is queued and unread. */
void yamux_kill(struct yamux_stream *s, int err, uint32_t code);
/* Kills and tells both the peer (RST) and the user (YAMUX_RESET with err). */
void yamux_abort(struct yamux_stream *s, int err);

#endif
