// SPDX-License-Identifier: MIT
/* What a node needs of the outside: time, sockets, names, child processes, slow work. One
 * interface, two makers: libuv for life, virtual time for tests and the simulator. Only files named
 * `*_shell.c`, `node/` and `cmd/` include it.
 *
 * Rules (all makers): one thread; a callback never comes from inside the call that asked for it;
 * each request completes exactly once, cancelled ones with E_CANCELLED; request structs are
 * embedded by the caller and must live until then. */
#ifndef CONDUIT_LOOP_LOOP_H
#define CONDUIT_LOOP_LOOP_H

#include "base/net.h"
#include "base/rng.h"
#include "base/sched.h"
#include "base/stream.h"

struct loop; /* opaque; begins with its struct sched */

/* --- life --- */
/* A loop on libuv, real time, the system's randomness. NULL when the system gives no files. */
struct loop *loop_uv_new(void);
/* Runs until loop_stop, or until nothing is left that could happen. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* Closes what is left and frees. Children are killed; pending requests are forgotten without their
 * callback, but work that has begun is waited for. */
void loop_free(struct loop *l);
struct sched *loop_sched(struct loop *l);
struct rng *loop_rng(struct loop *l);

/* Streams of sockets, beside what base/stream.h says: after close what was written still arrives,
 * while unread bytes of the other side are dropped for up to two seconds (LIMIT_LOOP_LINGER_…); a
 * reset is RST on TCP, and on a unix socket, where the kernel knows none, it reaches a reader as an
 * end unless bytes lay unread here. */

/* --- dial: a connected stream, or why not --- */
struct loop_dial {
    void (*done)(struct loop_dial *d, int err, struct stream *s); /* s is yours when err is 0 */
    void *maker;                                                  /* private */
};
/* TCP (TCP_NODELAY set) or unix. `from` binds the local end (port reuse) or is NULL. */
void loop_dial(struct loop *l, struct loop_dial *d, const struct net_addr *to,
               const struct net_addr *from, uint64_t timeout_us);
void loop_dial_cancel(struct loop *l, struct loop_dial *d);

/* --- listen --- */
struct loop_listener; /* opaque */
struct loop_listen_options {
    struct net_addr at; /* port 0: a free one, see loop_listener_addr */
    uint32_t mode;      /* unix: permissions of the socket, as 0600; 0 keeps the umask's */
    bool reuse_port;    /* may be dialled from (`from`); a port in use is E_IN_USE all the same */
    /* Called per connection; the stream is yours. s->remote is set. */
    void (*accepted)(void *ctx, struct stream *s);
    void *ctx;
};
/* 0, E_IN_USE, E_DENIED, E_UNREACHABLE, … A stale unix socket nobody answers on is replaced. When
 * files run out, accepting pauses 100 ms instead of spinning. */
int loop_listen(struct loop *l, const struct loop_listen_options *opts, struct loop_listener **out);
const struct net_addr *loop_listener_addr(const struct loop_listener *ln);
void loop_listener_pause(struct loop_listener *ln, bool pause); /* stop/resume accepting */
void loop_listener_close(struct loop_listener *ln);

/* --- names --- */
enum loop_dns { LOOP_DNS_ANY = 0, LOOP_DNS_A, LOOP_DNS_AAAA, LOOP_DNS_TXT };
struct loop_resolve {
    /* addrs: port 0; texts: TXT strings, joined per record. Borrowed for the call. */
    void (*done)(struct loop_resolve *r, int err, const struct net_addr *addrs, size_t addr_count,
                 const struct bytes *texts, size_t text_count);
    void *maker;
};
/* At most LOOP_RESOLVE_MAX results. "localhost" and IP literals never leave the machine. */
enum { LOOP_RESOLVE_MAX = 32 };
void loop_resolve(struct loop *l, struct loop_resolve *r, const char *name, enum loop_dns what,
                  uint64_t timeout_us);
void loop_resolve_cancel(struct loop *l, struct loop_resolve *r);
/* Asks these servers ("192.0.2.1:53,…") instead of the system's: 0 or E_INVALID. */
int loop_resolve_servers(struct loop *l, const char *servers);

/* --- slow work, off the loop's thread --- */
struct loop_work {
    void (*run)(struct loop_work *w);           /* on a worker thread: touches only what it owns */
    void (*done)(struct loop_work *w, int err); /* on the loop: 0 or E_CANCELLED */
    void *maker;
};
void loop_work(struct loop *l, struct loop_work *w);
void loop_work_cancel(struct loop *l, struct loop_work *w); /* if not started yet */

/* --- child processes --- */
struct loop_child; /* opaque */
struct loop_spawn_options {
    const char *file;        /* path or name in PATH */
    const char *const *argv; /* NULL-terminated, argv[0] included */
    const char *const *env;  /* NULL-terminated "K=V"; NULL inherits */
    const char *cwd;         /* or NULL */
    int out_fd;              /* stdout and stderr go to this open file; -1: /dev/null */
    void (*exited)(void *ctx, int64_t status, int signal);
    void *ctx;
};
int loop_spawn(struct loop *l, const struct loop_spawn_options *opts, struct loop_child **out);
int loop_child_pid(const struct loop_child *c);
void loop_child_kill(struct loop_child *c, int signal);
/* Hands off: `exited` will not be called any more; the child is killed if it still runs. */
void loop_child_close(struct loop_child *c);

/* --- signals of our own process --- */
struct loop_signal; /* opaque */
int loop_signal(struct loop *l, int signum, void (*caught)(void *ctx, int signum), void *ctx,
                struct loop_signal **out);
void loop_signal_close(struct loop_signal *s);

/* --- this machine --- */
/* Addresses of its interfaces that are up: at most `max`; returns how many. */
size_t loop_interfaces(struct loop *l, struct net_addr *out, size_t max);
/* The same with all that tells a LAN from a tunnel: one row per address, those that are down too. */
struct loop_interface {
    char name[16];
    uint32_t index;       /* the kernel's number of it */
    struct net_addr addr; /* port 0; a link-local IPv6 address has the index as scope_id */
    bool is_up;           /* and has a carrier */
    bool is_loopback, is_multicast, is_point_to_point;
};
size_t loop_interface_list(struct loop *l, struct loop_interface *out, size_t max);

/* How long it was suspended since it started, where the loop's clock stands still meanwhile; 0 where it runs on, or
 * nobody tells. Unlike the clock on the wall this is nothing that people set. */
uint64_t loop_suspended_us(struct loop *l);

/* --- datagrams (mDNS; hole punching over QUIC) --- */
struct loop_udp; /* opaque */
struct loop_udp_options {
    struct net_addr at;
    bool reuse; /* SO_REUSEADDR + SO_REUSEPORT */
    /* A multicast group, joined on one interface: what it hears was sent to the group and came in there,
     * nothing else; what it sends to the group leaves there, also to other sockets of this machine. NULL:
     * none. Both borrowed for the call. */
    const struct net_addr *group;
    const struct loop_interface *on;
    void (*received)(void *ctx, const struct net_addr *from, struct bytes datagram);
    void *ctx;
};
int loop_udp_open(struct loop *l, const struct loop_udp_options *opts, struct loop_udp **out);
int loop_udp_send(struct loop_udp *u, const struct net_addr *to, struct bytes datagram);
const struct net_addr *loop_udp_addr(const struct loop_udp *u);
void loop_udp_close(struct loop_udp *u);

/* --- virtual time (loop/virtual.c) --- */
struct loop_virtual; /* a world in which several loops share one clock and one network */
struct loop_virtual *loop_virtual_new(uint64_t seed);
void loop_virtual_free(struct loop_virtual *w);
/* A machine of that world with its own address; unix paths are private to it. */
struct loop *loop_virtual_machine(struct loop_virtual *w, const struct net_addr *ip);
/* Runs everything until virtual `until_us`, or until `stop` (may be NULL) says so; returns the
 * time. Start is 1 s; wall time starts at 2026-01-01. */
uint64_t loop_virtual_run(struct loop_virtual *w, uint64_t until_us, bool (*stop)(void *ctx),
                          void *ctx);
uint64_t loop_virtual_now(const struct loop_virtual *w);
/* One-way delay and loss of the path between two machines (both ways); default 1 ms, no limit. */
struct loop_virtual_link {
    uint64_t delay_us, jitter_us;
    uint64_t bytes_per_s; /* 0: no limit */
    double loss; /* share of packets: a stream's come later, as sent again; datagrams are gone */
    bool is_cut; /* nothing passes; neither side is told */
};
void loop_virtual_set_link(struct loop_virtual *w, struct loop *a, struct loop *b,
                           const struct loop_virtual_link *link);
/* The machine is plugged into LAN segment `lan`; 0, as it begins: into none. Multicast reaches the machines
 * of a segment after their links' delays. Pulling the plug leaves its one interface down. */
void loop_virtual_set_lan(struct loop_virtual *w, struct loop *l, uint32_t lan);
/* Instead of that default: paths derived from the seed and the two addresses, so that a thousand
 * machines need no table. A pair's round trip is lognormal around a median; `bytes_per_s` is what
 * each machine's own access link takes, each way. */
struct loop_virtual_model {
    uint64_t rtt_us; /* median */
    double sigma, loss;
    uint64_t jitter_us, bytes_per_s;
};
void loop_virtual_set_model(struct loop_virtual *w, const struct loop_virtual_model *model);
/* A partition: machines of different sides do not hear each other; all begin on side 0. What is
 * under way waits, as on a cut path, until they are on one side again. */
void loop_virtual_set_side(struct loop_virtual *w, struct loop *l, unsigned side);
/* The machine's clock on the wall goes wrong by so much, and from now on by so many millionths. */
void loop_virtual_set_clock(struct loop_virtual *w, struct loop *l, int64_t offset_ms,
                            int32_t drift_ppm);
/* The machine was suspended for so long; its other clocks are as before. */
void loop_virtual_suspended(struct loop *l, uint64_t us);
/* A NAT with its address, and the machines behind it, whose own addresses are theirs alone in the world. */
enum loop_virtual_nat_kind {
    LOOP_NAT_FULL_CONE,
    LOOP_NAT_RESTRICTED, /* by address and port */
    LOOP_NAT_SYMMETRIC,
    LOOP_NAT_ADDRESS_RESTRICTED,
};
struct loop_virtual_nat; /* freed with the world */
struct loop_virtual_nat *loop_virtual_nat_new(struct loop_virtual *w, const struct net_addr *ip,
                                              enum loop_virtual_nat_kind kind, uint64_t idle_us);
void loop_virtual_set_nat(struct loop *l, struct loop_virtual_nat *nat);
/* It loses its table: connections through it are dead, and nobody is told. */
void loop_virtual_nat_forget(struct loop_virtual_nat *nat);
/* What has happened. `hash` is over all of it: who sent how much to whom, and when it arrived. */
struct loop_virtual_counts {
    uint64_t turns, packets, bytes, lost, hash;
};
struct loop_virtual_counts loop_virtual_count(const struct loop_virtual *w);
/* What is still held on a machine: open streams, listeners, datagram sockets, timers and tasks. When
 * all that lived on it was freed this is zero, or somebody forgot something. */
struct loop_virtual_held {
    size_t streams, listeners, udps, timers, tasks;
};
struct loop_virtual_held loop_virtual_held(const struct loop *l);
/* The machine whose callback is being called; NULL outside of any. */
struct loop *loop_virtual_running(const struct loop_virtual *w);
/* The machine gets another address: its streams hear no more and are not heard, those that listen on all
 * addresses do so at the new one. */
void loop_virtual_set_ip(struct loop_virtual *w, struct loop *l, const struct net_addr *ip);
/* What names resolve to in that world; may be called several times for one name. */
void loop_virtual_set_name(struct loop_virtual *w, const char *name, const struct net_addr *addr);
void loop_virtual_set_text(struct loop_virtual *w, const char *name, const char *text);
/* The machine loses power: its sockets are reset for the others (RST when `tells`), silent else. */
void loop_virtual_crash(struct loop_virtual *w, struct loop *l, bool tells);

/* --- streams made by the loop room --- */
/* Two ends of an in-process pipe with `window` bytes each way: for tests and built-in backends. */
void loop_pipe(struct loop *l, size_t window, struct stream **a, struct stream **b);

/* TLS over any stream (OpenSSL, memory BIOs). The inner stream becomes owned by the TLS one. */
struct loop_tls_context; /* certificates and settings; shared by connections */
struct loop_tls_options {
    const char *cert_file, *key_file; /* server; NULL for a client */
    const char *ca_file;              /* client: NULL means the system's CAs */
};
int loop_tls_context_new(const struct loop_tls_options *opts, struct loop_tls_context **out,
                         char why[static 256]);
void loop_tls_context_free(struct loop_tls_context *c);
/* Client when `server_name` is given (SNI and certificate check), else server. The stream may be
 * written to at once; a failed handshake arrives as closed(E_AUTH). */
struct stream *loop_tls_new(struct loop *l, struct loop_tls_context *c, struct stream *inner,
                            const char *server_name);

#endif
