// SPDX-License-Identifier: MIT
/* The Kademlia message, a protobuf (libp2p/specs kad-dht, "RPC messages"):
 *
 *   Message { 1 type  2 key  3 record  8 closerPeers*  9 providerPeers*  10 clusterLevelRaw }
 *   Record  { 1 key  2 value }
 *   Peer    { 1 id  2 addrs*  3 connection: 0 not, 1 connected, 2 can, 3 cannot }
 *
 * Decoding validates the outer message and leaves the peers where they lie, to be walked: nothing
 * is allocated for what a stranger sends. A peer whose id is no peer id is left out, not an error;
 * so are addresses that are too long, and those beyond the eighth. */
#ifndef CONDUIT_DHT_MESSAGE_H
#define CONDUIT_DHT_MESSAGE_H

#include "base/buf.h"
#include "base/limits.h"
#include "dht/dht.h"

enum dht_type {
    DHT_PUT_VALUE = 0,
    DHT_GET_VALUE = 1,
    DHT_ADD_PROVIDER = 2,
    DHT_GET_PROVIDERS = 3,
    DHT_FIND_NODE = 4,
    DHT_PING = 5,
    DHT_WITHDRAW_PROVIDER =
        64, /* ours: as ADD_PROVIDER, and the opposite; others reset the stream */
};

enum dht_field { DHT_CLOSER = 8, DHT_PROVIDERS = 9 };

struct dht_message {
    uint64_t type;
    struct bytes key;
    struct bytes record; /* undecoded; p NULL: none */
    struct bytes whole;
};

/* E_MALFORMED, E_TOO_BIG over LIMIT_DHT_MESSAGE. A type we do not know is not an error here. */
int dht_message_decode(struct bytes in, struct dht_message *m);

struct dht_message_peer {
    struct dht_peer peer; /* peer.addrs == addrs */
    struct bytes addrs[LIMIT_DHT_ADDRS];
};

/* The next peer of one of the two lists; *rest starts as m->whole. False at the end. */
bool dht_message_next(enum dht_field field, struct bytes *rest, struct dht_message_peer *out);

/* The value of the message's record; E_NOT_FOUND (none), E_MALFORMED (for another key than the message's). */
int dht_message_value(const struct dht_message *m, struct bytes *value);

/* Building: type and key, then peers; `out` holds one message alone. */
int dht_message_begin(struct buf *out, enum dht_type type, struct bytes key);
int dht_message_put_value(struct buf *out, struct bytes key, struct bytes value);
/* E_TOO_BIG, and nothing appended, when the message would grow over `limit` bytes. */
int dht_message_add(struct buf *out, enum dht_field field, const struct dht_peer *peer,
                    size_t limit);

#endif
