// SPDX-License-Identifier: MIT
/* `conduit doctor`, the node's part: what stands between this node and its job, named, with the remedy.
 *
 *   GET /conduit/v1/doctor           the checks below, after waiting for what has only just begun
 *   GET /conduit/v1/doctor?peer=X    why that peer can or cannot be reached (diagnose.h)
 *
 * What can be seen without a node (ports, files, the clock) is doctor_local.h. */
#ifndef CONDUIT_NODE_DOCTOR_H
#define CONDUIT_NODE_DOCTOR_H

#include "http/router.h"
#include "http/server.h"
#include "node/doctor_report.h"
#include "node/hello.h"

struct node;

/* The route's handler. */
void doctor_serve(void *node, struct http_exchange *x, const struct http_head *head,
                  const struct router_match *match, struct bytes body);

/* --- single checks --- */
/* The peer's clock against ours: one of the two is wrong. */
void doctor_clock_skew(struct doctor_report *r, const char *name, const struct hello *h);
/* The clocks of several: ours is the wrong one only where most of those that answered say so. */
void doctor_clocks(struct doctor_report *r, const struct hello *v, size_t count);
/* Which conduit (or other program) the peer is, and whether it speaks our protocols. */
void doctor_version(struct doctor_report *r, const char *name, const struct node *n,
                    const struct known_peer *peer);

#endif
