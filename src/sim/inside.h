// SPDX-License-Identifier: MIT
/* What only a simulator may do: look inside of a node. */
#ifndef CONDUIT_SIM_INSIDE_H
#define CONDUIT_SIM_INSIDE_H

#include "codec/peer_id.h"
#include "node/node.h"

#include <stddef.h>

/* Does its catalogue have an offer of that name? */
bool sim_inside_knows(const struct node *n, const char *model);
const struct peer_id *sim_inside_id(const struct node *n);
/* Has it a connection to that peer, or an offer of it? */
bool sim_inside_has(const struct node *n, const struct peer_id *peer);
/* Is its feed of that peer open, so that it is told of all that is new? Is it, or will it be? */
bool sim_inside_watches(const struct node *n, const struct peer_id *peer);
bool sim_inside_follows(const struct node *n, const struct peer_id *peer);
bool sim_inside_has_offer(const struct node *n, const struct peer_id *peer, const char *model);
/* "NAME=URL", while it runs. */
void sim_inside_add_backend(const struct node *n, const char *spec);
/* Of a connected peer, as measured. */
uint64_t sim_inside_rtt(const struct node *n, const struct peer_id *peer);
/* Is the only way to that peer a circuit? */
bool sim_inside_is_relayed(const struct node *n, const struct peer_id *peer);
/* Do the books of its host agree with what there is? NULL, or what does not. */
const char *sim_inside_books(const struct node *n);
/* Its own feed of offers, as it would be sent. */
void sim_inside_feed(const struct node *n, struct buf *out);
/* Each offer of another peer that it believes; each provider record that it keeps for the DHT. */
void sim_inside_offers(const struct node *n,
                       void (*each)(void *ctx, const struct peer_id *peer, const char *model),
                       void *ctx);
void sim_inside_records(const struct node *n,
                        void (*each)(void *ctx, const struct peer_id *peer, struct bytes key),
                        void *ctx);
size_t sim_inside_conns(const struct node *n);

#endif
