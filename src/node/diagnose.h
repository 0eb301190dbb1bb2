// SPDX-License-Identifier: MIT
/* Why a peer can, or cannot, be reached: step by step, address by address, which layer refused.
 *
 *   target --parse--> FIND (address book, DHT) -> RESOLVE (names) -> PROBE (each address, layer by layer)
 *          -> CONNECT (as the node itself would) -> IDENTIFY -> HELLO (version, clock) -> verdict
 *
 * Each step is a check of a doctor_report, in order; the last one, "verdict", is the sentence that counts. Once it is
 * connected, an address that failed is a warning; what is wrong with the peer itself (it hangs up, speaks another
 * version, has another time) stays a failure. One run at a time takes half a minute at most. */
#ifndef CONDUIT_NODE_DIAGNOSE_H
#define CONDUIT_NODE_DIAGNOSE_H

#include "node/doctor_report.h"
#include "node/hello.h"

struct node;
struct diagnose;

/* `target`: a peer id, a multiaddr, or host:port. `done` once, from the loop; the report is borrowed for the call
 * and the run is freed after it. */
struct diagnose *diagnose_start(struct node *n, struct bytes target,
                                void (*done)(void *ctx, const struct doctor_report *r), void *ctx);
void diagnose_cancel(struct diagnose *d);

/* What to do about an address that failed in this way: a sentence. `is_private`: with a network key. */
const char *diagnose_remedy(enum p2p_layer layer, int err, bool is_private);

#endif
