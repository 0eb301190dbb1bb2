// SPDX-License-Identifier: MIT
/* A node: everything together, on one loop.
 *
 *   node_start -> serving -> node_stop (offers withdrawn, running answers finished, engine stopped) -> stopped
 *
 * It is the one place that knows all rooms, and does nothing itself but connect them. */
#ifndef CONDUIT_NODE_NODE_H
#define CONDUIT_NODE_NODE_H

#include "node/config.h"

struct node;
struct loop;

/* Makes everything and starts listening. The configuration is borrowed while the node lives. 0, or an error with
 * a sentence that says what to do. */
int node_start(struct loop *l, const struct config *cfg, char *const *env, const char *version,
               struct node **out, char why[static CONFIG_WHY]);
/* Gracefully: `stopped` from the loop when everything has ended, at the latest after the configured shutdown
 * timeout. A second call: at once. */
void node_stop(struct node *n, void (*stopped)(void *ctx), void *ctx);
/* After `stopped`, or instead of it. */
void node_free(struct node *n);

const char *node_peer(const struct node *n); /* "12D3KooW…" */
const char *node_api(const struct node *n);  /* "http://127.0.0.1:8888/v1" */
/* The i-th address for people, most useful first; "" past the end. */
const char *node_address(struct node *n, size_t i, char *out, size_t size);
/* What it does on its LAN, as a line for people; "" when mDNS is off. */
const char *node_lan(const struct node *n, char *out, size_t size);
/* Names of models being shared, or why none, one line each. */
void node_describe(struct node *n, void (*line)(void *ctx, const char *text), void *ctx);

#endif
