// SPDX-License-Identifier: MIT
/* Kademlia as libp2p speaks it: who is near a key, and who provides it.
 *
 *   dht_find_providers ---> query (one sorted table of peers, "whom to ask next?") ---> port.send
 *   dht_provide -----------> query for the k nearest, ADD_PROVIDER to each, again in 15 minutes
 *   port, on a message ----> dht_serve -> reply
 *   identify --------------> dht_peer_seen, dht_peer_gone -> routing table
 *
 * The room knows no sockets: a port carries requests to peers and brings answers. What the DHT says
 * is a hint about *who*; nothing a peer says in it is believed beyond that.
 *
 * A node is a server (answers, is put into others' tables) or a client (asks only). Only peers whose
 * identify lists the protocol, that is servers, may be given to dht_peer_seen. */
#ifndef CONDUIT_DHT_DHT_H
#define CONDUIT_DHT_DHT_H

#include "base/bytes.h"
#include "base/list.h"
#include "base/net.h"
#include "base/rng.h"
#include "base/sched.h"
#include "codec/peer_id.h"

/* "1220" and the hash of a text such as "model:conduit-tiny": a multihash, as go and js require. */
enum { DHT_KEY_TEXT = 34 };
void dht_key_text(struct bytes text, uint8_t out[static DHT_KEY_TEXT]);

/* A peer as it is passed around: addresses are binary multiaddrs without the peer's own /p2p.
 * Everything is borrowed for the call. */
struct dht_peer {
    struct peer_id id;
    const struct bytes *addrs;
    int addr_count;
};

/* --- the port --- */

/* One request under way. Lives in the DHT until dht_rpc_done or cancel; `port` is the port's. */
struct dht_rpc {
    struct dht_peer peer;
    struct bytes request; /* a Message, without its length prefix */
    bool wants_reply;     /* false: ADD_PROVIDER; done when it is written */
    void (*sent)(struct dht_rpc *rpc);
    void (*done)(struct dht_rpc *rpc, int err, struct bytes reply);
    struct net_addr from; /* of the answer, set by the port before done; NET_NONE: not known */
    void *port;
};

struct dht_port {
    void *ctx;
    /* Connects if it has to, sends, and calls dht_rpc_done exactly once, never inside of this. The
     * DHT has its own timeout and cancels. E_UNREACHABLE and the like when there is no way. */
    void (*send)(void *ctx, struct dht_rpc *rpc);
    /* No dht_rpc_done after this. */
    void (*cancel)(void *ctx, struct dht_rpc *rpc);
    /* May this peer be dialled at all? NULL: whoever has an address. */
    bool (*can_dial)(void *ctx, const struct dht_peer *peer);
    /* May who answered from there know of that address of another's? Nobody out there makes us dial our own
     * loopback or LAN. NULL: everybody may know all. */
    bool (*is_credible)(void *ctx, struct bytes addr, const struct net_addr *from);
    /* The table is empty, and something is about to be asked: whoever is known to be a server goes to
     * dht_peer_seen. Again every half minute while it stays empty. May be NULL. */
    void (*lonely)(void *ctx);
};

/* There is a connection, and the request is on its way: from here on an answer takes one round trip. At most
 * once, before done; may be left out by a port that cannot know. */
static inline void dht_rpc_sent(struct dht_rpc *rpc)
{
    rpc->sent(rpc);
}

static inline void dht_rpc_done(struct dht_rpc *rpc, int err, struct bytes reply)
{
    rpc->done(rpc, err, reply);
}

/* --- the DHT --- */

struct dht_cfg {
    struct peer_id self;
    struct sched *sched;
    struct rng *rng;
    struct dht_port port;
    bool is_server; /* may change: dht_set_server */
    /* Our own addresses, for ADD_PROVIDER; asked when needed. */
    int (*own_addrs)(void *ctx, const struct bytes **addrs);
    uint64_t refresh_us;   /* 10 min; 0: the default, SCHED_NEVER: no refresh */
    uint64_t republish_us; /* 15 min */
};

struct dht;

struct dht *dht_new(const struct dht_cfg *cfg);
void dht_free(
    struct dht *d); /* cancels what is under way; its callbacks are called with E_CANCELLED */

void dht_set_server(struct dht *d, bool is_server);

/* A connected peer speaks our protocol as a server; its addresses. Again: refreshed. */
void dht_peer_seen(struct dht *d, const struct dht_peer *peer);
/* It left, or no longer is a server. Kept in the table when only disconnected (`is_server`). */
void dht_peer_gone(struct dht *d, const struct peer_id *id, bool is_server);
/* Somebody who once was a server: asked when there is nobody else. At most LIMIT_DHT_PAST, the last ones. */
void dht_remember(struct dht *d, const struct dht_peer *peer);
/* Fills the table: a lookup of ourselves, then of those buckets' ranges that need it (refresh.h). Also by itself, at
 * least every refresh_us, and every half minute while the table is empty: those that fell silent are asked then,
 * since the silence may have been ours. Returns at once. */
void dht_bootstrap(struct dht *d);

/* A query under way; freed by the DHT after `done`. */
struct dht_query;
typedef void (*dht_on_peer)(void *ctx, const struct dht_peer *peer);
/* 0, E_TIMEOUT (not complete: ended by the deadline, or most of those we know are silent), E_UNAVAILABLE (nobody to
 * ask), E_CANCELLED. Exactly once, never from inside the call that asked. */
typedef void (*dht_on_done)(void *ctx, int err);

/* Each provider once, as found; ends early after `wanted` of them (0: all). Records kept by
 * ourselves come first; those of whom nobody has an address (any more) last, without one.
 * key: 1..LIMIT_DHT_KEY bytes, else E_INVALID by `done`. */
struct dht_query *dht_find_providers(struct dht *d, struct bytes key, int wanted,
                                     dht_on_peer on_provider, dht_on_done done, void *ctx);
/* Inside on_provider: which of the lookup's sources tells of it, from 1 to LIMIT_DHT_PATHS; 0: our own records. A source
 * is a disjoint path; where there is but one path, every fourth answer. What one liar says comes from one source. */
int dht_query_source(const struct dht_query *q);
/* The addresses of one peer: on_peer at most once. done: E_NOT_FOUND when nobody knows. */
struct dht_query *dht_find_peer(struct dht *d, const struct peer_id *id, dht_on_peer on_peer,
                                dht_on_done done, void *ctx);
/* The best value that anybody has: on_value at most once, when all who matter have answered; those among them
 * who had none, or an older one, are given it. done: E_NOT_FOUND when nobody has one. */
struct dht_record;
typedef void (*dht_on_value)(void *ctx, struct bytes value, const struct dht_record *record);
struct dht_query *dht_get_value(struct dht *d, struct bytes key, dht_on_value on_value,
                                dht_on_done done, void *ctx);
/* No callback after this. */
void dht_cancel(struct dht *d, struct dht_query *q);

/* Announces us as provider: at once, then every republish interval, until withdrawn. Again:
 * harmless. E_LIMIT over LIMIT_DHT_OWN_KEYS, E_INVALID. */
int dht_provide(struct dht *d, struct bytes key);
/* All of it again now: our addresses are others. */
void dht_provide_again(struct dht *d);
/* Leaves a signed value (dht/record.h) with the nearest, at once and then every republish interval, until
 * withdrawn or replaced by another. As dht_provide, and as dht_record_check. */
int dht_put_value(struct dht *d, struct bytes key, struct bytes value);
bool dht_is_provided(const struct dht *d, struct bytes key); /* by us */
/* Stops announcing. Those who were told of us as provider are told that it is over (others' implementations
 * do not understand it: there the record runs out by itself, as values do). E_NOT_FOUND. */
int dht_withdraw(struct dht *d, struct bytes key);

/* A Message from a peer at that address (NULL: not known, and not counted). Appends the reply's Message to `out`, nothing for ADD_PROVIDER. An error
 * means: reset the stream (E_MALFORMED, E_DENIED as client, E_LIMIT rate, or what is wrong with a value). */
struct buf;
int dht_serve(struct dht *d, const struct peer_id *from, const struct net_addr *at,
              struct bytes message, struct buf *out);
/* The same over a relay at that address: many come from there who are not one machine. */
int dht_serve_relayed(struct dht *d, const struct peer_id *from, const struct net_addr *relay_at,
                      struct bytes message, struct buf *out);

struct dht_stats {
    size_t table_peers, buckets, provider_keys, provider_records, own_keys, values, queries;
    uint64_t rpcs_sent, rpcs_failed, served, refused;
};
struct dht_stats dht_stats(const struct dht *d);
/* The table, nearest bucket last; for `status` and for keeping good peers over a restart. */
void dht_each_peer(const struct dht *d, dht_on_peer on_peer, void *ctx);
/* When a peer of the table gave its last sign of life; 0: it is not in it. */
uint64_t dht_last_seen(const struct dht *d, const struct peer_id *id);

#endif
