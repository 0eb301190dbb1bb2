// SPDX-License-Identifier: MIT
/* GET /conduit/v1/dht/get?key=KEY (control socket): who stands behind a key of the DHT, and how it is there now.
 *
 *   model:NAME  protocol:ID  all_nodes     ask the DHT for providers -> connect -> wait for their offers and load
 *   node:PEER-ID                           find the peer, and its signed record
 *
 * The DHT only says who. What is shown comes from the peers themselves: their offers are signed, load, speed and
 * uptime are events on their own connections. Whoever could not be reached is shown as such. "complete":false has a
 * "why": timeout, nobody_to_ask (no other node is known), nobody_answered.
 *
 * GET /conduit/v1/dht/status: the table, and what is kept and announced. */
#ifndef CONDUIT_NODE_DHT_GET_H
#define CONDUIT_NODE_DHT_GET_H

#include "gateway/gateway.h"

void dht_get_serve(void *node, struct http_exchange *x, const struct http_head *head,
                   const struct router_match *match, struct bytes body);
void dht_status_serve(void *node, struct http_exchange *x, const struct http_head *head,
                      const struct router_match *match, struct bytes body);
/* Running ones are answered that the node stops. */
struct node;
void dht_get_end_all(struct node *n);

#endif
