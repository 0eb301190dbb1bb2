// SPDX-License-Identifier: MIT
/* The inside of the host, shared by its files and nobody else.
 *
 *   host.c           life, protocols, looking
 *   host_trim.c      too many connections: which of them go
 *   host_listen.c    listeners and our own addresses
 *   host_peer.c      connections become peers: admitted, opened, gone
 *   host_dial.c      one dial per peer: resolving, racing
 *   host_attempt.c   one attempt of it: a transport or a circuit, upgraded
 *   host_open.c      a stream, connected first where needed
 *   host_dialback.c  one more connection to a peer, to see whether it can be dialled
 *   host_identify.c  who we are, who they are
 *   host_ping.c      the ping server
 *   host_probe.c     one address tried layer by layer, to say why it fails
 *   host_limits.c    every limit in one view; do the books agree?
 *   host_moved.c     this machine woke up, or is elsewhere
 *   host_watch.c     who is told what happens
 *
 * Who owns what: the host its connections (until `closed`), peers (while they have a connection, a
 * protection or inbound work), dials (while somebody waits or an attempt is not yet reported). */
#ifndef CONDUIT_P2P_HOST_IMPL_H
#define CONDUIT_P2P_HOST_IMPL_H

#include "base/rates.h"
#include "p2p/addr.h"
#include "p2p/host.h"
#include "p2p/nat.h"
#include "p2p/observed.h"
#include "p2p/resolve.h"
#include "p2p/sent.h"

enum { HOST_HANDLERS_MAX = 40, HOST_LISTENERS_MAX = 16, HOST_ADDRS_MAX = 24 };

/* A peer with at least one connection, or protected. */
struct host_peer {
    struct p2p_host *host;
    struct list link;                        /* host->peers, oldest first */
    struct list conns;                       /* conn.by_owner */
    uint32_t conn_count, protections, holds; /* holds: of callbacks that run */
    bool is_conduit, is_announced;
    uint64_t ask_us;            /* identify again */
    struct known_peer *record;  /* pinned */
    uint32_t pings, identifies; /* inbound streams of these now */
    struct peer_id id;
    struct resource_scope scope;
    struct multiaddr observed; /* of us, by it */
};

struct host_listener {
    struct host_port_listener port;
    struct p2p_host *host;
    struct list link;
};

struct host_handler {
    char *protocol; /* NULL: free place */
    p2p_handler handler;
    void *ctx;
};

struct p2p_host {
    struct p2p_host_cfg cfg;
    struct sched *sched;
    struct rng *rng;
    const struct host_port *port;
    void *port_ctx;
    struct peer_id id;
    char id_text[80];
    struct noise_self self;
    struct pnet_key network; /* when cfg.network */
    struct yamux_budget budget;
    struct resource_ledger ledger;
    struct conn_env env;
    struct connmgr connmgr;
    struct peerstore store;
    struct map peers_by_id;
    struct list peers, pending; /* host_peer.link; conn.by_owner of those not yet proved */
    struct list dials, opens, watches, walks, listeners, identifies, pings, probes, dialbacks;
    struct host_handler handlers[HOST_HANDLERS_MAX];
    /* own addresses */
    struct multiaddr addrs[HOST_ADDRS_MAX];
    struct bytes addr_views[HOST_ADDRS_MAX];
    size_t addr_count;
    struct multiaddr extra[HOST_ADDRS_MAX];
    size_t extra_count;
    enum p2p_reach reach;
    struct task reach_task; /* the watchers are told */
    struct observed observed;
    struct nat nat;
    struct sent sent; /* from the listening port; with host_sent_to */
    uint64_t changed_us;
    uint64_t record_seq; /* of our signed record: grows, also over a restart */
    struct host_sealed { /* it, for different views of our addresses; an empty buffer: none */
        uint8_t of[32];  /* hash of the addresses in it */
        struct buf record;
    } sealed[3];
    unsigned sealed_next;
    struct rates pushes;     /* of others, by where they come from */
    struct timer push_timer; /* what we are has changed: tell, once things are quiet */
    struct timer tend_timer; /* idle connections */
    unsigned tends;          /* how often it fired */
    uint32_t crowd_most;     /* connections of the largest crowd; good until: */
    uint64_t crowd_until_us;
    bool (*may)(void *ctx, const struct peer_id *peer, const struct net_addr *from);
    void *may_ctx;
    bool is_closing;
    uint64_t close_by_us;
    struct timer close_timer;
    struct task close_task;
    void (*closed)(void *ctx);
    void *closed_ctx;
    uint32_t dial_count;
    uint64_t dialled, dials_failed, dials_refused, accepted, upgrade_failed;
    uint64_t gave_way; /* silent unproved connections, closed for newcomers */
};

/* host_peer.c */
extern const struct conn_events host_conn_events;
struct host_peer *host_peer_get(struct p2p_host *h, const struct peer_id *id); /* or NULL */
struct host_peer *host_peer_make(struct p2p_host *h, const struct peer_id *id);
void host_peer_put(struct host_peer *p); /* frees it when nothing needs it */
/* The connection for a new stream, or NULL: open, takes streams, the preferred direction first. */
struct conn *host_peer_conn(struct host_peer *p);
/* The same, but never a relayed one. */
struct conn *host_peer_direct(struct host_peer *p);
void host_take_inbound(struct p2p_host *h, struct stream *s);
/* A circuit that a relay with a place for us opened, from whom it names. Takes the stream. */
void host_take_relayed(struct p2p_host *h, struct stream *s, const struct peer_id *named,
                       bool is_limited);
static inline struct host_peer *host_peer_of(const struct conn *c)
{
    return c->owner;
}

/* Has somebody there been sent to from our listening port, or is connected so still? */
enum sent_to host_sent_to(const struct p2p_host *h, const struct net_addr *who);

/* host_dial.c */
void host_dial_conn_opened(struct p2p_host *h, struct conn *c);
/* True when the connection was a dial's. */
bool host_dial_conn_closed(struct p2p_host *h, struct conn *c, int err, const char *why);
/* Who must be at the other end of a dial's connection; NULL: anybody. */
const struct peer_id *host_dial_peer(const struct host_attempt *a);
/* The peer at whose address we are punching as A, when somebody comes from there; else NULL. */
const struct peer_id *host_dial_punched(struct p2p_host *h, const struct net_addr *from);
void host_dial_end_all(struct p2p_host *h, int err, bool tell);
void host_dial_free_all(struct p2p_host *h); /* at the very end, when no connection is left */

/* host_dialback.c: a connection of its own to one address of a peer, from a new port, though others to
 * it may be open; `done` once, never from inside. The connection is the host's, like any other. */
struct host_dialback;
struct host_dialback *host_dialback_start(struct p2p_host *h, const struct peer_id *peer,
                                          const struct net_addr *at, uint64_t timeout_us,
                                          void (*done)(void *ctx, int err, struct conn *c),
                                          void *ctx);
void host_dialback_cancel(struct host_dialback *p); /* no `done` after it */
void host_dialback_conn_opened(struct conn *c);
/* True when the connection was a dial back. */
bool host_dialback_conn_closed(struct conn *c, int err);
void host_dialback_end_all(struct p2p_host *h);
void host_dialback_free_all(struct p2p_host *h);

/* host_open.c */
void host_open_end_all(struct p2p_host *h, int err, bool tell);

/* host_identify.c */
int host_identify_init(struct p2p_host *h);
void host_identify_start(struct p2p_host *h, struct conn *c);
void host_identify_conn_gone(struct p2p_host *h, struct conn *c);
void host_identify_tend(struct p2p_host *h, struct host_peer *p);
void host_identify_changed(struct p2p_host *h); /* protocols or addresses of ours */
void host_identify_end_all(struct p2p_host *h);

/* host_ping.c */
int host_ping_init(struct p2p_host *h);
void host_ping_end_all(struct p2p_host *h);

/* host_probe.c */
void host_probe_free_all(struct p2p_host *h);

/* host_listen.c */
void host_listen_end_all(struct p2p_host *h);

/* host.c */
void host_tend(struct p2p_host *h);
void host_step_close(struct p2p_host *h);

/* host_trim.c */
void host_trim(struct p2p_host *h); /* now and then */
/* Every place is taken: one of the largest crowd goes for the newcomer, which has proved itself, if that crowd is much
 * larger than its own. Its place is free at once. */
void host_make_place(struct p2p_host *h, const struct conn *newcomer);

/* host_watch.c: one telling of news; watchers may leave in its course. */
struct host_walk {
    struct list link; /* host->walks */
    struct list *next;
};
void host_walk_begin(struct p2p_host *h, struct host_walk *walk);
/* Whom to tell next; NULL: that was all, and the walk is over. */
struct p2p_watch *host_walk_next(struct p2p_host *h, struct host_walk *walk);

#define HOST_WATCH(h, what, ...)                                                                   \
    do {                                                                                           \
        struct host_walk walk;                                                                     \
        host_walk_begin(h, &walk);                                                                 \
        for (struct p2p_watch * watch; (watch = host_walk_next(h, &walk));)                        \
            if (watch->what)                                                                       \
                watch->what(watch, ##__VA_ARGS__);                                                 \
    } while (0)

#endif
