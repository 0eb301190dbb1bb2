// SPDX-License-Identifier: MIT
/* The documents of a node as text for people: /v1/models, /conduit/v1/peers, /conduit/v1/status. A
 * field that is missing is left out, since the node may be older or newer than the command. */
#ifndef CONDUIT_NODE_REPORT_H
#define CONDUIT_NODE_REPORT_H

#include "base/buf.h"

/* Each appends to `out`: 0, or E_MALFORMED when it is not the document it should be. */
int report_models(struct bytes json, struct buf *out);
int report_peers(struct bytes json, struct buf *out);
int report_status(struct bytes json, struct buf *out);
int report_limits(struct bytes json, struct buf *out);

/* "4 s", "12 min", "3 h 5 min", "2 d 3 h". Returns out. */
const char *report_duration(uint64_t seconds, char out[static 32]);

#endif
