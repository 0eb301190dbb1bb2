// SPDX-License-Identifier: MIT
/* Servers that left the routing table because they fell silent: whom to ask when nobody else is left.
 *
 * The silence may be ours. A network that goes down for a minute empties the table, peer by peer, and
 * what was learned in days would be lost. So the last ones are remembered, the newest first; they are
 * asked only while the table is empty, and told to nobody. */
#ifndef CONDUIT_DHT_PAST_H
#define CONDUIT_DHT_PAST_H

#include "dht/addrs.h"

struct dht_past {
    struct list peers; /* struct dht_past_peer, newest first */
    int count;
};

struct dht_past_peer {
    struct list link;
    struct peer_id id;
    struct dht_addrs addrs;
};

void dht_past_init(struct dht_past *p);
void dht_past_fini(struct dht_past *p);
/* At most LIMIT_DHT_PAST; the oldest leaves. Again: the newest now. */
void dht_past_keep(struct dht_past *p, const struct peer_id *id, const struct dht_addrs *addrs);
void dht_past_drop(struct dht_past *p, const struct peer_id *id); /* it lives, or is none of us */

#endif
