// SPDX-License-Identifier: MIT
/* What a relay has promised and what it carries: places held for peers that nobody can dial, and
 * circuits between two peers. A pure book; relay_serve.h does the talking.
 *
 *   RESERVE -> a place (total, per IP group, rate) -> refreshed -> expired, or the peer is gone
 *   CONNECT -> a circuit (total, per peer, per IP group, rate; the target must have a place)
 *           -> started -> bytes pass, each way counted -> over: bytes, time, or an end
 *
 * Strangers get the limits of go and rust: enough to find each other and punch a hole. One's own (a
 * peer the owner named, or everybody with is_unlimited) get circuits without a limit, in a pool of
 * their own, so that strangers cannot take it up. A circuit is one's own when either end is. How often and
 * from where one may ask is bounded for all but those named.
 *
 * The bandwidth of all circuits together is a token bucket of one second. */
#ifndef CONDUIT_P2P_RELAY_SERVER_H
#define CONDUIT_P2P_RELAY_SERVER_H

#include "base/list.h"
#include "base/net.h"
#include "base/rates.h"
#include "base/rng.h"
#include "p2p/relay_message.h"

struct relay_server_cfg {
    uint32_t max_reservations, max_per_ip;
    uint32_t max_circuits, max_circuits_peer, max_circuits_ip; /* of strangers */
    uint32_t max_own_circuits, max_own_circuits_peer, max_own_circuits_ip;
    uint64_t ttl_us;
    struct relay_limit limit; /* of a stranger's circuit */
    uint32_t rate;            /* times what strangers may ask; 1 */
    uint64_t bytes_per_s;     /* all circuits together; 0: as fast as it goes */
    bool is_unlimited;        /* everybody is one's own */
};
struct relay_server_cfg relay_server_cfg_default(void); /* of limits.h */

struct relay_server {
    struct relay_server_cfg cfg;
    struct map places; /* by peer id: struct relay_place */
    struct list circuits;
    uint32_t strangers, owns; /* circuits of either kind */
    struct rates peers, groups;
    double tokens; /* of the bandwidth */
    uint64_t filled_us;
    struct {
        uint64_t reserved, refused, opened, cut; /* cut: by bytes or time */
        uint64_t refused_places;                 /* of `refused` */
        uint64_t bytes;
    } counts;
};

/* Where somebody asks from, as limits per address count it. */
struct relay_group {
    uint8_t b[8];
    uint8_t n; /* 0: loopback, not counted */
};

/* Embedded by whoever carries the bytes. */
struct relay_circuit {
    struct relay_server *server;
    struct list link;
    struct peer_id from, to;
    struct relay_group group; /* of `from`; empty of those named */
    bool is_own;
    uint64_t passed[2]; /* from -> to, to -> from */
    uint64_t until_us;  /* SCHED_NEVER: no limit, or not started */
};

void relay_server_init(struct relay_server *s, const struct relay_server_cfg *cfg, struct rng *rng);
/* No circuit is left. */
void relay_server_fini(struct relay_server *s);

/* A place, or the same for longer: RELAY_OK and until when, or why not. */
enum relay_status relay_server_reserve(struct relay_server *s, const struct peer_id *peer,
                                       const struct net_addr *at, bool is_own, uint64_t now_us,
                                       uint64_t *until_us);
bool relay_server_has_place(struct relay_server *s, const struct peer_id *peer, uint64_t now_us);
/* The peer is gone, and its place with it. */
void relay_server_drop(struct relay_server *s, const struct peer_id *peer);
size_t relay_server_places(struct relay_server *s, uint64_t now_us);

/* RELAY_OK: `c` is in the book until relay_circuit_end. */
enum relay_status relay_server_connect(struct relay_server *s, struct relay_circuit *c,
                                       const struct peer_id *from, const struct net_addr *at,
                                       const struct peer_id *to, bool is_own, uint64_t now_us);
/* What its ends are told. */
struct relay_limit relay_circuit_limit(const struct relay_circuit *c);
/* Both ends are there: its time begins. */
void relay_circuit_start(struct relay_circuit *c, uint64_t now_us);
/* How many of `want` bytes may pass that way now (0, 1). 0: at relay_circuit_again there may be
 * more; or it is over. */
size_t relay_circuit_allow(struct relay_circuit *c, int way, size_t want, uint64_t now_us);
uint64_t relay_circuit_again(const struct relay_circuit *c, uint64_t now_us);
void relay_circuit_passed(struct relay_circuit *c, int way, size_t n);
bool relay_circuit_is_over(const struct relay_circuit *c, uint64_t now_us);
void relay_circuit_end(struct relay_circuit *c, bool is_cut);

#endif
