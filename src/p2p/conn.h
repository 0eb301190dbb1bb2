// SPDX-License-Identifier: MIT
/* One connection to one peer: a transport stream (TCP mostly) made secure and cut into streams.
 *
 *   transport --conn_io--> frames --noise--> plaintext --yamux--> events --conn_stream--> users
 *
 *   life:   UPGRADING --(identity proved, muxer agreed)--> OPEN --> CLOSED (reported, then freed)
 *                \------------ deadline, wrong peer, garbage -------/
 *
 * The parts have files of their own: `upgrade` (mss, Noise, muxer as one machine over bytes),
 * `conn_io` (frames in and out), `conn_stream` (a yamux stream as a struct stream), `keepalive`.
 * Here is only what ties them: who is there, the deadlines, and the end.
 *
 * The hard thing is re-entrance: users are called from the middle of a read and may open, write,
 * reset and close anything then. So every effect is put off: writing marks the connection dirty,
 * and its task, once a turn of the loop, delivers what waits, coalesces frames into Noise messages
 * and writes them at once; closing only marks, and the task buries the connection. */
#ifndef CONDUIT_P2P_CONN_H
#define CONDUIT_P2P_CONN_H

#include "base/list.h"
#include "base/stream.h"
#include "base/wheel.h"
#include "codec/peer_id.h"
#include "p2p/conn_io.h"
#include "p2p/conn_scope.h"
#include "p2p/keepalive.h"
#include "p2p/pnet_key.h"
#include "p2p/upgrade.h"
#include "p2p/yamux.h"

struct conn;

/* What happens to connections; called from the loop, never from inside a call on the connection. */
struct conn_events {
    /* The peer has proved who it is: 0, or a limit's error, which closes the connection. */
    int (*secured)(void *ctx, struct conn *c);
    void (*opened)(void *ctx, struct conn *c);
    /* Last word, once per connection; c is freed after it returns. `why` is a sentence. */
    void (*closed)(void *ctx, struct conn *c, int err, const char *why);
    /* The peer opens a stream: index of the handler for this protocol, or negative. */
    int (*protocol)(void *ctx, struct conn *c, struct bytes protocol);
    void (*accepted)(void *ctx, struct conn *c, int handler, struct stream *s);
};

struct conn_cfg {
    uint64_t upgrade_us;   /* whole upgrade */
    uint64_t hello_us;     /* listener: until the first Noise message */
    uint64_t negotiate_us; /* one stream's protocol */
    uint64_t linger_us;    /* bytes of a closed stream may take so long to leave */
    struct keepalive_cfg keepalive;
    uint32_t max_inbound_stranger, max_inbound_peer; /* streams */
    uint32_t max_outbound_unknown, max_outbound;     /* before identify; towards others than us */
};
struct conn_cfg conn_cfg_default(void);

/* What all connections of a host share. */
struct conn_env {
    struct sched *sched;
    struct rng *rng;
    const struct noise_self *self;
    const struct pnet_key *network; /* of the private network; NULL: everybody's */
    struct yamux_budget *budget;
    struct resource_ledger *ledger; /* NULL: nothing is counted */
    struct conn_scratch scratch;
    struct wheel rest; /* the deadlines of connections at rest */
    struct conn_cfg cfg;
    const struct conn_events *on;
    void *ctx;
    struct {
        uint64_t bytes_in, bytes_out, frames_in, frames_out, streams_in, streams_out;
        uint64_t streams_refused, streams_shed; /* by yamux, on connections that are gone */
        uint64_t streams_denied;                /* of the refused: by the ledger */
    } counts;
};

/* After what is above `scratch` is set, and when its connections are gone. */
void conn_env_begin(struct conn_env *env);
void conn_env_end(struct conn_env *env);

enum conn_state { CONN_UPGRADING, CONN_OPEN, CONN_CLOSED };

/* What is looked at with every frame, or of every connection now and then, comes first: an idle host has hundreds, all
 * of them cold. */
struct conn {
    struct conn_env *env;
    struct stream *transport;
    enum conn_state state;
    bool is_dialer;
    bool is_goaway;    /* the peer takes no more streams */
    bool is_accepted;  /* counted as pending until it is secured or gone */
    bool is_relayed;   /* over a circuit; `remote` is the relay's */
    bool is_conduit;   /* it said so */
    bool is_limited;   /* the relay will cut it: bytes or time */
    bool is_punched;   /* relayed: a direct connection was tried for it */
    bool gave_way;     /* its place is counted no longer: it was displaced */
    bool is_from_port; /* dialled from the listening port: what the peer sees is our mapping */
    bool is_peer_known, has_yamux;
    uint32_t stream_count; /* streams with users, both ways */
    uint32_t busy;         /* of them, those that a user waits for */
    uint32_t kept;         /* of the peer's, those that we are at work for */
    uint64_t since_us;     /* opened */
    uint64_t used_us;      /* last stream opened or closed */
    uint64_t needed_us;    /* … that was more than brief, and ours */
    uint64_t moved_us;     /* last time something came on a stream */
    struct list by_owner;  /* the host's list */
    void *owner;           /* the host's own record of the peer */
    struct list waiting;   /* conn_open.link: no room for the stream yet */
    struct list lingering; /* closed by their users, still leaving */
    struct list due;       /* conn_stream.due: something to tell a user */
    struct task task;
    struct timer timer;  /* upgrade deadline, then keepalive */
    struct list at_rest; /* … that has time: in env->rest */
    struct keepalive keepalive;
    struct conn_scope scope;
    struct list streams; /* conn_stream.link, but for those in lingering */
    struct conn_io io;
    struct yamux yamux;
    struct upgrade *upgrade;        /* gone when open */
    struct host_attempt *attempt;   /* the dial it belongs to, until it is open */
    struct host_dialback *dialback; /* the same of a dial back */
    struct net_addr remote;
    struct peer_id peer; /* proved; or expected, while upgrading as dialer */
    struct principal principal;
    int close_err;
    char why[160];
};

/* Takes the transport, a relayed one too, and hides it in the private network when there is one (as
 * go and js do, which have no way around it). `expect` (dialer): the peer that must be there, or NULL for anybody. */
/* The peer id of the relay over whose circuit it runs; empty: it is direct. */
struct bytes conn_relay(const struct conn *c);
struct conn *conn_new(struct conn_env *env, struct stream *transport, bool is_dialer,
                      const struct peer_id *expect);
/* Marks; `closed` follows from the task. The first reason given stands. */
void conn_close(struct conn *c, int err, const char *why);
/* The same at once and without events, for the end of the host. */
void conn_free(struct conn *c);
/* The peer turned out to be a Conduit node, or something else: streams are bounded accordingly. */
void conn_set_known(struct conn *c, bool is_conduit);
uint64_t conn_rtt_us(const struct conn *c); /* 0 unknown */
/* Nobody has needed it for a while, and it is kept: few pings. The next stream of ours ends that, and asks; a brief
 * one only asks. */
void conn_rest(struct conn *c, bool is_resting);
/* It may have died without a word (sleep, another address, a second connection): asked at once, closed when silent. */
void conn_doubt(struct conn *c);

/* A stream to be opened; embedded by the caller. */
struct conn_open {
    const char *protocol; /* borrowed until done */
    bool is_lazy;         /* the peer is known to have it: no round trip is spent on asking */
    bool is_background;   /* nobody waits for it: a silent peer need not be noticed in a second */
    bool
        is_brief; /* one question with a deadline of its own: a connection that rests goes on resting */
    /* Once, never from inside conn_open_stream: s is yours when err is 0. */
    void (*done)(struct conn_open *r, int err, struct stream *s);
    struct list link;           /* private */
    struct conn_stream *stream; /* private */
    struct conn *conn;          /* private */
};
void conn_open_stream(struct conn *c, struct conn_open *r);
/* Forgets the request; done is not called. */
void conn_open_cancel(struct conn_open *r);

/* --- between the parts of a connection --- */
void conn_mark(struct conn *c); /* something to do before the loop sleeps */
void conn_busy_changed(struct conn *c, int delta);
void conn_wanted(struct conn *c, bool is_brief); /* a stream of ours is to be opened */

#endif
