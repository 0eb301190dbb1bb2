// SPDX-License-Identifier: MIT
/* What a node says of itself in the DHT, signed, under /conduit/node/<peer id>: found also while the node itself
 * cannot be reached. A hint as everything there: models and load are asked of the node.
 *
 *   body = deterministic CBOR { 1: name, 2: agent, 3: [address: bstr], 4: [model: text] }
 *
 * Put a few seconds after the start and after a change of models, made anew every half hour, good for two. */
#ifndef CONDUIT_NODE_RECORD_H
#define CONDUIT_NODE_RECORD_H

#include "codec/json.h"
#include "dht/record.h"

enum { NODE_RECORD_ADDRS = 8, NODE_RECORD_MODELS = 16 };

struct node_record {
    struct peer_id peer;
    uint64_t seq, expires_ms;
    size_t n;
    uint8_t body[LIMIT_DHT_VALUE];
};

/* Copies a checked record; E_MALFORMED when its body is not of this shape. */
int node_record_read(const struct dht_record *r, struct node_record *out);
void node_record_json(const struct node_record *r, struct json_writer *w);

struct node;
void node_record_init(struct node *n);
void node_record_changed(struct node *n);
void node_record_fini(struct node *n);

#endif
