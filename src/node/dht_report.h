// SPDX-License-Identifier: MIT
/* The documents of /conduit/v1/dht as text for people. */
#ifndef CONDUIT_NODE_DHT_REPORT_H
#define CONDUIT_NODE_DHT_REPORT_H

#include "base/buf.h"

/* Each appends to `out`: 0, or E_MALFORMED when it is not the document it should be. */
int report_dht_get(struct bytes json, struct buf *out);
int report_dht_status(struct bytes json, struct buf *out);

#endif
