// SPDX-License-Identifier: MIT
/* Who holds how much for streams, and who goes when it is too much.
 *
 * A stream is charged  min(unread, 256 KiB) + (window - 256 KiB) + withheld:  never less than what it
 * holds, nothing while it is idle. Windows grow only into three quarters of a budget; unread bytes may use
 * all of it, and what pushes it over costs the greediest stream its life: of this connection when
 * its own budget is over, of the connection that holds most when the shared one is. */
#ifndef CONDUIT_P2P_YAMUX_BUDGET_H
#define CONDUIT_P2P_YAMUX_BUDGET_H

#include "p2p/yamux.h"

void yamux_budget_join(struct yamux *y);
void yamux_budget_leave(struct yamux *y);
/* Brings the stream's charge up to date with its window and unread bytes. */
void yamux_budget_charge(struct yamux_stream *s);
void yamux_budget_discharge(struct yamux_stream *s);
/* May the stream's window grow by `bytes`? */
bool yamux_budget_allows_growth(const struct yamux *y, uint64_t bytes);
/* Resets the stream that holds most, what it queued included: somebody else's limit is passed. False when
 * none holds anything. */
bool yamux_budget_shed(struct yamux *y);
/* Resets streams until both budgets hold. */
void yamux_budget_enforce(struct yamux *y);

#endif
