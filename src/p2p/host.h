// SPDX-License-Identifier: MIT
/* The host: this node in the network. It listens, dials, keeps connections, and gives streams.
 *
 *   p2p_open(peer, protocol) --connected?--no--> p2p_connect (one dial per peer, many waiters)
 *          |                        |yes                 | resolve names, race addresses, upgrade
 *          +------------------------+<-------------------+
 *          v
 *   stream to its user            handler <-- protocol agreed <-- stream opened by a peer
 *
 * One host per node, on the loop's thread. The rest of the node sees peers by their ids and streams
 * as `struct stream`; connections stay inside. Addresses are binary multiaddrs: TCP ones can be dialled,
 * and /p2p-circuit ones over a relay. The host itself serves identify, identify-push and ping.
 *
 * Requests are embedded by the caller and complete exactly once, never inside the submitting call;
 * after p2p_…_cancel they do not complete. */
#ifndef CONDUIT_P2P_HOST_H
#define CONDUIT_P2P_HOST_H

#include "base/list.h"
#include "base/sched.h"
#include "base/stream.h"
#include "codec/key.h"
#include "codec/peer_id.h"
#include "p2p/conn.h"
#include "p2p/connmgr.h"
#include "p2p/dial.h"
#include "p2p/host_port.h"
#include "p2p/nat.h"
#include "p2p/peerstore.h"
#include "p2p/resource.h"

struct p2p_host;
struct loop;

struct p2p_host_cfg {
    const struct key_pair *key;     /* borrowed while the host lives */
    const struct pnet_key *network; /* of a private network; NULL: none; copied */
    const char *agent;              /* "conduit/0.1.0" */
    const char *protocol_version;   /* "/conduit/1.0.0": who says the same is a Conduit node */
    struct conn_cfg conn;
    struct connmgr_cfg connmgr;
    struct dial_cfg dial;
    size_t max_peers;              /* in the address book */
    struct resource_limits limits; /* of the ledger; what connmgr has a figure for follows that */
    uint64_t stream_budget;        /* bytes all connections' streams may hold together */
    uint64_t
        idle_us; /* a connection without streams is closed after, or twice that when accepted; 0: never */
};
/* The defaults of limits.h. */
struct p2p_host_cfg p2p_host_cfg_default(const struct key_pair *key);

/* More connections, or fewer: what depends on their number follows. */
void p2p_host_cfg_connections(struct p2p_host_cfg *cfg, uint32_t most);

/* On a loop (host_shell.c); on any other network (tests, the simulator) p2p_host_new_on. NULL when
 * the key cannot sign. */
struct p2p_host *p2p_host_new(const struct p2p_host_cfg *cfg, struct loop *loop);
struct p2p_host *p2p_host_new_on(const struct p2p_host_cfg *cfg, struct sched *sched,
                                 struct rng *rng, const struct host_port *port, void *port_ctx);
/* Stops accepting and dialling, lets streams finish for up to `grace_us`, says goodbye, closes all;
 * then `closed`. Requests still waiting complete with E_CANCELLED. */
void p2p_host_close(struct p2p_host *h, uint64_t grace_us, void (*closed)(void *ctx), void *ctx);
/* Everything at once, without a word to anybody; not from inside a callback of the host's. */
void p2p_host_free(struct p2p_host *h);

/* --- listening --- */
/* "/ip4/0.0.0.0/tcp/8000", "/ip6/::/tcp/0": 0, or E_MALFORMED, E_UNSUPPORTED, E_IN_USE, E_DENIED. */
int p2p_host_listen(struct p2p_host *h, const char *multiaddr);
/* Addresses to reach this node, most useful first: those added, listeners with interfaces expanded, those
 * over relays, loopback. Binary multiaddrs without /p2p, borrowed until the next call. */
size_t p2p_host_addrs(struct p2p_host *h, const struct bytes **out);
/* Text of address i with /p2p/<id>, as printed for people; "" past the end. */
const char *p2p_host_addr_text(struct p2p_host *h, size_t i, char *out, size_t size);
/* An address that others can use (port forwarding, AutoNAT, relay); or no longer. */
int p2p_host_add_addr(struct p2p_host *h, struct bytes multiaddr);
void p2p_host_remove_addr(struct p2p_host *h, struct bytes multiaddr);
const struct peer_id *p2p_host_id(const struct p2p_host *h);

/* Can strangers dial us? Whoever finds out (AutoNAT; the owner's own word) says so here; who acts on it
 * (relay reservations, the DHT's mode) watches. */
enum p2p_reach {
    P2P_REACH_UNKNOWN = 0,
    P2P_REACH_PUBLIC,
    P2P_REACH_PRIVATE,
    P2P_REACH_LIKELY, /* those whom we dialled dial us; no stranger was there to try */
};
enum p2p_reach p2p_host_reach(const struct p2p_host *h);
void p2p_host_set_reach(struct p2p_host *h, enum p2p_reach reach);
/* What stands between us and the world, as far as connections from the listening port tell. */
enum p2p_nat p2p_host_nat(const struct p2p_host *h);
/* This machine woke up, or has other addresses: peers are told, back-offs are over, each connection
 * has to show within seconds that it still works, and what others saw of us no longer counts. */
void p2p_host_moved(struct p2p_host *h);

/* --- protocols we serve --- */
typedef void (*p2p_handler)(void *ctx, struct stream *s, const struct peer_id *peer);
/* `protocol` is copied. Listed in identify, and pushed when it changes. E_EXISTS, E_LIMIT. The
 * stream is the handler's; its principal says who is there. */
int p2p_host_handle(struct p2p_host *h, const char *protocol, p2p_handler handler, void *ctx);
void p2p_host_unhandle(struct p2p_host *h, const char *protocol);
/* A peer's stream that we are at work for: its connection is not trimmed while the stream is open, though nothing comes on it. */
void p2p_stream_keep(struct stream *s);
/* Whether a stream of ours comes over a relay. */
bool p2p_stream_is_relayed(const struct stream *s);

/* --- connecting --- */
/* A dial from the listening port at the moment the other does the same (DCUtR): A is the dialler on the
 * connection that comes of it, B the listener. */
enum p2p_dial_role { P2P_DIAL_ORDINARY = 0, P2P_DIAL_PUNCH_A, P2P_DIAL_PUNCH_B };

struct p2p_connect {
    const struct peer_id *peer; /* NULL: whoever answers; the result says who */
    const struct bytes
        *addrs;              /* binary multiaddrs, borrowed for the call; /p2p in them is checked */
    size_t addr_count;       /* 0: those of the address book */
    uint64_t timeout_us;     /* 0: 30 s */
    bool is_urgent;          /* a user asked: do not honour the back-off after failures */
    bool is_direct;          /* not over a relay, also when connected over one */
    enum p2p_dial_role role; /* punching: is_direct, all of `addrs` at once and no others */
    /* err 0: connected, `peer` is who (borrowed for the call). E_WRONG_PEER, E_UNAVAILABLE (failed a
     * moment ago), E_DENIED (the gate), E_NOT_FOUND (no address), E_TIMEOUT, E_REFUSED, …; `why` is a sentence. */
    void (*done)(struct p2p_connect *r, int err, const struct peer_id *peer, const char *why);
    struct list link; /* private from here */
    struct timer timer;
    struct host_dial *dial;
    struct p2p_host *host;
    int err;
    struct peer_id who;
};
void p2p_host_connect(struct p2p_host *h, struct p2p_connect *r);
void p2p_connect_cancel(struct p2p_connect *r);

/* Opens a stream; connects first where needed. Over what the peer takes at a time (400 streams, of a
 * Conduit node 4,096) requests wait for their turn on the one connection, until their timeout. */
struct p2p_open {
    struct peer_id peer;
    const struct bytes *addrs; /* as above: hints */
    size_t addr_count;
    const char *protocol; /* borrowed until done */
    uint64_t timeout_us;  /* 0: 30 s; connecting and agreeing together */
    bool is_urgent;
    bool is_lazy;        /* sure that the peer has it; else known from identify, or asked */
    bool is_background;  /* a stream that nobody waits on: see conn.h */
    bool is_brief;       /* one question and its answer: see conn.h */
    bool only_connected; /* E_UNAVAILABLE rather than dial */
    bool is_direct;      /* not over a relay */
    void (*done)(struct p2p_open *r, int err, struct stream *s);
    struct p2p_connect connect; /* private from here */
    struct conn_open open;
    struct timer timer;
    struct task task;
    struct p2p_host *host;
    struct list link;
    uint8_t phase;
    int err;
};
/* Direct connections are preferred to relayed ones, those without a limit to those with one. */
void p2p_host_open(struct p2p_host *h, struct p2p_open *r);
void p2p_open_cancel(struct p2p_open *r);

/* How far one address goes, layer by layer; for telling people why a connection fails. Nothing of the host
 * changes by it, and whoever answers is welcome. Embedded; completes once. */
enum p2p_layer {
    P2P_LAYER_TCP,      /* nothing answered, or it refused */
    P2P_LAYER_SECURITY, /* connected, but it does not speak libp2p (or not with our network key) */
    P2P_LAYER_NOISE,    /* it broke off the handshake, or could not prove who it is */
    P2P_LAYER_IDENTITY, /* all is well: `who` is there */
};
const char *p2p_layer_text(enum p2p_layer layer);
struct p2p_probe {
    struct net_addr at;
    uint64_t timeout_us; /* of all of it; 0: 10 s */
    void (*done)(struct p2p_probe *p);
    /* the result */
    enum p2p_layer layer; /* where it ended */
    int err;
    bool has_who;
    struct peer_id who;
    uint64_t connected_us, total_us; /* since the start; connected_us 0: never */
    void *run;                       /* private */
};
void p2p_host_probe(struct p2p_host *h, struct p2p_probe *p);
void p2p_probe_cancel(struct p2p_probe *p);

/* Closes all connections to a peer. */
void p2p_host_disconnect(struct p2p_host *h, const struct peer_id *peer);
bool p2p_host_is_connected(struct p2p_host *h, const struct peer_id *peer);
/* Connections to a protected peer are not trimmed when idle; counted. */
void p2p_host_protect(struct p2p_host *h, const struct peer_id *peer, bool protect);
/* Hints of somebody (DHT, mDNS, an invite) about a peer's addresses. */
void p2p_host_learn(struct p2p_host *h, const struct peer_id *peer, const struct bytes *addrs,
                    size_t addr_count, uint64_t ttl_us);
/* May everybody connect? NULL: yes. False closes the connection once the peer proved who it is, before any
 * stream; and a peer that is named is not even dialled (`from` is NULL then): E_DENIED. */
void p2p_host_gate(struct p2p_host *h,
                   bool (*may)(void *ctx, const struct peer_id *peer, const struct net_addr *from),
                   void *ctx);

/* --- what happens --- */
struct p2p_watch {
    /* First connection to a peer, last one gone, and identify's news (also after a push). Any may be
     * NULL. Never called from inside a call on the host. */
    void (*connected)(struct p2p_watch *w, const struct peer_id *peer);
    void (*disconnected)(struct p2p_watch *w, const struct peer_id *peer, int err);
    void (*identified)(struct p2p_watch *w, const struct known_peer *peer);
    void (*addrs_changed)(struct p2p_watch *w); /* our own */
    void (*reach_changed)(struct p2p_watch *w, enum p2p_reach reach);
    struct list link; /* private from here */
    struct p2p_host *host;
};
void p2p_host_watch(struct p2p_host *h, struct p2p_watch *w);
/* Also from inside any watcher, of itself or another; twice is harmless. */
void p2p_host_unwatch(struct p2p_watch *w);

/* --- looking --- */
struct p2p_peer_view {
    const struct peer_id *id;
    const struct known_peer *record; /* may be NULL */
    uint32_t conns, streams;
    uint64_t rtt_us, since_us;
    struct net_addr remote;
    bool is_inbound, is_conduit, is_protected;
    bool is_relayed;        /* no direct connection; `remote` is the relay's */
    bool is_limited;        /* and the relay will cut it: bytes or time */
    uint32_t relayed_conns; /* of conns */
    struct bytes observed;  /* our address as it told it; empty until identified */
};
/* One connected peer; false when it is not. */
bool p2p_host_peer(struct p2p_host *h, const struct peer_id *peer, struct p2p_peer_view *out);
/* Connected peers, oldest first; NULL cursor starts; false at the end. Nothing may change between. */
bool p2p_host_peers(struct p2p_host *h, void **cursor, struct p2p_peer_view *out);
struct known_peer *p2p_host_record(struct p2p_host *h, const struct peer_id *peer);
/* The i-th of our addresses as others see it, with how many networks (/16, /48) said so lately. */
size_t p2p_host_observed(struct p2p_host *h, size_t i, struct bytes *addr);
/* Enough of them, and a public one: worth finding out whether it can be dialled. */
bool p2p_host_is_candidate(struct p2p_host *h, size_t i);

struct p2p_counts {
    uint64_t peers, conns, conns_pending, streams_in, streams_out, bytes_in, bytes_out;
    uint64_t dials, dials_failed, accepted, refused_limit, upgrade_failed, trimmed;
};
/* Every limit of the host with what is used of it: at most `max` rows, in a fixed order (system, IP group,
 * peer, connection, protocols). */
size_t p2p_host_limits(struct p2p_host *h, struct resource_row *out, size_t max);
/* Do the books agree with what there is? NULL, or a sentence about the first thing that does not. For
 * tests and the simulator, at any moment between two calls. */
const char *p2p_host_check(struct p2p_host *h);

struct p2p_counts p2p_host_counts(const struct p2p_host *h);

#endif
