// SPDX-License-Identifier: MIT
/* A world in virtual time: machines, the paths between them, one clock. Private to this room.
 *
 *   world ── net: a scheduler for what is under way (packets, handshakes, answers of DNS)
 *     ├── machine (a struct loop each) ── streams, listeners, datagram sockets, requests
 *     └── links: the paths that were set; all others follow the model, or are the default
 *
 * Nothing here looks at a real clock or at the system's randomness: one seed gives one run. User
 * callbacks run only from a machine's own timers and tasks, with its clock set to the world's.
 * A machine is *ready* when something was put into its tasks or timers from outside. */
#ifndef CONDUIT_LOOP_VIRTUAL_H
#define CONDUIT_LOOP_VIRTUAL_H

#include "base/buf.h"
#include "base/heap.h"
#include "base/map.h"
#include "loop/maker.h"

struct loop_virtual {
    struct sched net;
    struct rng rng; /* of the network: jitter */
    uint64_t seed;
    struct list machines;
    size_t machine_count, next_index;
    struct heap sleepers; /* machines by their next deadline */
    struct list ready;
    struct map by_ip; /* address -> the machine that came last with it */
    struct map links; /* ordered pair of machines -> struct virtual_path */
    struct map names; /* host name -> struct virtual_name */
    struct list nats;
    struct loop_virtual_model model;
    bool has_model;
    struct virtual_machine *running; /* whose callbacks are being called */
    struct loop_virtual_counts counts;
};

enum virtual_death { ALIVE = 0, DEAD_TELLING, DEAD_SILENT };

struct virtual_machine {
    struct loop base;
    struct loop_virtual *world;
    size_t index;
    struct net_addr ip;
    struct list of_world, ready;
    struct heap_node sleep;
    enum virtual_death death;
    bool is_stopped;
    struct loop_virtual_nat *nat; /* it is behind; or NULL */
    unsigned side;                /* of a partition */
    int64_t wall_offset_ms;       /* its clock on the wall, as against the world's */
    int32_t drift_ppm;
    uint64_t suspended_us;
    uint64_t drift_since_us;
    uint64_t busy_until_us[2]; /* its access link under a model: out, in */
    uint16_t next_port;
    uint32_t lan; /* the segment it is plugged into; 0: none */
    struct list streams, listeners, udps, requests;
};

/* One direction matters for the queue on the wire: [0] from the lower index to the higher. */
struct virtual_path {
    struct loop_virtual_link link;
    uint64_t busy_until_us[2];
};

struct virtual_listener {
    struct loop_listener base;
    struct list of_machine;
    struct list backlog; /* streams that came while paused */
    bool is_paused;
};

enum packet_kind { PACKET_OPEN, PACKET_DATA, PACKET_ACK, PACKET_FIN, PACKET_RST, PACKET_DATAGRAM };

struct virtual_stream {
    struct stream base;
    struct virtual_machine *m;
    struct virtual_stream *peer;       /* NULL once it is gone */
    const struct virtual_machine *far; /* where the peer is or was; only to compare */
    struct list of_machine, backlog;
    struct virtual_listener *listener; /* until it is accepted */
    struct list inbox;                 /* struct packet, in the order they will arrive */
    struct timer arrival;              /* of the first of them, on the world's net */
    uint64_t inbox_end_us;             /* when the last of them arrives */
    struct timer linger;               /* closed, but the other side has not ended yet */
    size_t dropped;                    /* what came since */
    struct buf in;                     /* arrived and not read */
    uint64_t delay_us;                 /* of the path, under a model; 0: not looked up */
    uint64_t nat_epoch, nat_used_us;   /* of the mapping at this end */
    size_t unacked;                    /* read, and not yet told to the other side */
    size_t outstanding;                /* written and, as far as we know, not read over there */
    struct task wake;
    int broken;
    bool is_open;   /* the handshake is over at this end */
    bool is_orphan; /* one end has another address now: nothing passes, nobody is told */
    bool is_given;  /* to a user: a dialler or an acceptor has it */
    bool is_ended, is_eof_read, is_finished, is_told, is_closed, is_in_callback;
};

/* First in each pending request, so that the machine's end can free it. */
struct virtual_request {
    struct list link;
    void (*discard)(struct virtual_request *r);
};

static inline struct virtual_machine *virtual_of(struct loop *l)
{
    return CONTAINER_OF(l, struct virtual_machine, base);
}

/* virtual.c */
void virtual_ready(struct virtual_machine *m);
void virtual_defer(struct virtual_machine *m, struct task *t); /* and makes it ready */
extern const struct loop_ops virtual_ops;

/* virtual_link.c */
struct virtual_path *virtual_path(struct loop_virtual *w, const struct virtual_machine *a,
                                  const struct virtual_machine *b);
/* When `n` bytes sent now arrive; SCHED_NEVER when the path is cut or the target silent. */
uint64_t virtual_arrival(struct virtual_machine *from, struct virtual_machine *to, size_t n);
/* The same for a packet of a stream: lost ones are sent again. *delay_us keeps what the model says
 * of the pair, 0 at first. */
uint64_t virtual_stream_arrival(struct virtual_machine *from, struct virtual_machine *to, size_t n,
                                uint64_t *delay_us);
/* Is a datagram lost on that path? */
bool virtual_is_lost(struct virtual_machine *from, struct virtual_machine *to);
struct virtual_machine *virtual_find(struct virtual_machine *from, const struct net_addr *to);
/* One thing more has happened on the network: for the counts and their hash. */
void virtual_count(const struct virtual_machine *from, const struct virtual_machine *to,
                   unsigned kind, size_t n, uint64_t at_us);

/* virtual_nat.c */
/* Where a first packet to `to` comes to, and how its sender is seen there. */
struct virtual_route {
    struct virtual_machine *there;
    uint16_t port;
    struct net_addr seen;
};
/* 0; E_UNREACHABLE: nobody has that address; E_AGAIN: dropped on the way without a word. */
int virtual_route(struct virtual_machine *from, uint16_t port, const struct net_addr *to,
                  struct virtual_route *out);
void virtual_nat_begin(struct virtual_stream *s);
bool virtual_nat_passes(struct virtual_stream *s, const struct virtual_machine *far);
void virtual_nats_fini(struct loop_virtual *w);

/* virtual_stream.c */
struct virtual_stream *virtual_stream_new(struct virtual_machine *m, const struct net_addr *remote);
void virtual_stream_pair(struct virtual_stream *a, struct virtual_stream *b);
void virtual_stream_send(struct virtual_stream *from, enum packet_kind kind, const void *p,
                         size_t n);
void virtual_stream_free(struct virtual_stream *s);
/* What was stuck on the path from there is on its way again. */
void virtual_stream_healed(struct virtual_stream *s, struct virtual_machine *from);
void virtual_stream_orphan(struct virtual_stream *s);
void virtual_stream_crashed(struct virtual_stream *s, bool tells);

/* virtual_dial.c */
void virtual_dial(struct loop *l, struct loop_dial *d, const struct net_addr *to,
                  const struct net_addr *from, uint64_t timeout_us);
void virtual_dial_cancel(struct loop *l, struct loop_dial *d);
int virtual_listen(struct loop *l, const struct loop_listen_options *opts,
                   struct loop_listener **out);
void virtual_listener_pause(struct loop_listener *ln, bool pause);
void virtual_listener_close(struct loop_listener *ln);
void virtual_accept(struct virtual_stream *s); /* PACKET_OPEN has arrived */

/* virtual_names.c */
void virtual_names_fini(struct loop_virtual *w);
int virtual_resolve_servers(struct loop *l, const char *servers);
void virtual_resolve(struct loop *l, struct loop_resolve *r, const char *name, enum loop_dns what,
                     uint64_t timeout_us);
void virtual_resolve_cancel(struct loop *l, struct loop_resolve *r);

/* virtual_misc.c */
void virtual_work(struct loop *l, struct loop_work *w);
void virtual_work_cancel(struct loop *l, struct loop_work *w);
int virtual_spawn(struct loop *l, const struct loop_spawn_options *opts, struct loop_child **out);
int virtual_signal(struct loop *l, int signum, void (*caught)(void *ctx, int signum), void *ctx,
                   struct loop_signal **out);
void virtual_signal_close(struct loop_signal *s);
int virtual_udp_open(struct loop *l, const struct loop_udp_options *opts, struct loop_udp **out);
int virtual_udp_send(struct loop_udp *u, const struct net_addr *to, struct bytes datagram);
void virtual_udp_close(struct loop_udp *u);
struct loop_udp *virtual_first_udp(struct virtual_machine *m); /* NULL when none is open */
size_t virtual_interfaces(struct loop *l, struct net_addr *out, size_t max);
size_t virtual_interface_list(struct loop *l, struct loop_interface *out, size_t max);

#endif
