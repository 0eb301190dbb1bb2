// SPDX-License-Identifier: MIT
/* The load that a provider tells every ten seconds, and when it changes, of each of its offers: an event of its feed,
 * written into the measurements. A node hears some of them every second, so where the last one went is remembered. */
#ifndef CONDUIT_NODE_FEED_LOAD_H
#define CONDUIT_NODE_FEED_LOAD_H

#include "codec/json.h"
#include "node/feeds.h"

/* Of one feed; zeroed. */
struct feed_load {
    struct measure *measure; /* of the offer told of last; good as long as these are the same: */
    uint64_t changes, freed; /* the catalogue's, the measurements' */
    char id[OFFER_ID];
    size_t id_len;
};

/* It counts for the offer it names, and only as said by the peer itself over its own connection. */
void feed_load_take(struct feed_load *l, const struct feeds *f, const struct peer_id *peer,
                    const struct json *event);

#endif
