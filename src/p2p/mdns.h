// SPDX-License-Identifier: MIT
/* Multicast DNS: who else is on this LAN (libp2p's discovery/mdns spec over RFC 6762). A pure machine; the
 * shell (mdns_shell.h) gives it sockets.
 *
 *   link up ──> announcement, question; the question again after 0.5 s, 1 s, 2 s … 5 min
 *   question of others ──20..120 ms, at most one answer a second and link──> answer, always multicast:
 *        PTR  _p2p._udp.local -> <name>._p2p._udp.local        (answers)
 *        TXT  <name>._p2p._udp.local  dnsaddr=<multiaddr>/p2p/<id>   (additionals, one per address)
 *        SRV  <name>._p2p._udp.local -> <name>.local, with its A and AAAA: go and Avahi ask no further
 *                                                                     only when they have these
 *   answer of others ──> found(peer) … not renewed within its time to live ──> lost(peer)
 *
 * A link is one interface and IP version. Nothing that is heard is proved: who a peer is shows when it is
 * dialled. Therefore: addresses that are not on this LAN are not kept (nobody makes us dial elsewhere), one
 * address of the LAN may tell of few peers, and when the book is full the oldest peer that was never met
 * (mdns_met) makes room. */
#ifndef CONDUIT_P2P_MDNS_H
#define CONDUIT_P2P_MDNS_H

#include "base/map.h"
#include "base/rates.h"
#include "base/rng.h"
#include "base/sched.h"
#include "codec/multiaddr.h"
#include "p2p/dns_message.h"

enum { MDNS_PORT = 5353, MDNS_TTL_S = 120 };

struct mdns_peer {
    struct peer_id id;
    struct multiaddr addrs[LIMIT_MDNS_ADDRS]; /* without /p2p */
    size_t addr_count;
    uint64_t found_us, heard_us, expires_us;
    struct net_addr from; /* who told last */
    struct dns_name name; /* its instance */
    bool is_met;
    uint8_t asked; /* questions to renew it, since it was heard */
};

struct mdns_port {
    /* One datagram to the group, out of this link. Never calls back from inside. */
    void (*send)(void *ctx, uint32_t link, struct bytes datagram);
    /* Addresses of ours that can be dialled from there: multiaddrs without /p2p, at most `max`. */
    size_t (*addrs)(void *ctx, uint32_t link, struct multiaddr *out, size_t max);
    /* New, or with other addresses (`is_news`); or only heard again. Borrowed for the call. */
    void (*found)(void *ctx, const struct mdns_peer *peer, bool is_news);
    /* Its time ran out or it said goodbye. */
    void (*lost)(void *ctx, const struct mdns_peer *peer);
};

struct mdns_link {
    uint32_t key; /* the shell's name of it */
    bool is_up;
    struct net_addr addrs[LIMIT_MDNS_ADDRS]; /* ours on that interface */
    size_t addr_count;
    uint64_t query_us, interval_us; /* the next question, and how long after it the one after */
    uint64_t answer_us, answered_us;
    uint16_t answer_id, query_id;
    unsigned announcements; /* still to be made */
};

struct mdns_counts {
    uint64_t queries, answers, packets, refused_rate, malformed, refused_addrs, refused_peers,
        refused_far; /* from another network */
};

struct mdns {
    struct peer_id self;
    struct sched *sched;
    struct rng *rng;
    const struct mdns_port *port;
    void *ctx;
    struct dns_name service, instance, host;
    struct mdns_link links[LIMIT_MDNS_LINKS];
    struct map peers; /* peer id -> struct mdns_peer, oldest first */
    struct rates rates;
    uint64_t renewed_us;
    struct timer timer;
    struct mdns_counts counts;
};

/* `network`: the fingerprint of the private network's key as text (pnet_fingerprint); NULL: the public name. */
void mdns_init(struct mdns *m, const struct peer_id *self, const char *network, struct sched *sched,
               struct rng *rng, const struct mdns_port *port, void *ctx);
/* Says goodbye on every link and forgets all; calls neither found nor lost. */
void mdns_fini(struct mdns *m);
/* A link appeared, or has other addresses. E_LIMIT. */
int mdns_link_up(struct mdns *m, uint32_t link, const struct net_addr *addrs, size_t addr_count);
void mdns_link_down(struct mdns *m, uint32_t link);
/* Our own addresses changed: tells the LAN. */
void mdns_changed(struct mdns *m);
void mdns_heard(struct mdns *m, uint32_t link, const struct net_addr *from, struct bytes datagram);
/* It was dialled and is who it says: it does not make room for others. */
void mdns_met(struct mdns *m, const struct peer_id *peer);
const struct mdns_peer *mdns_peer(const struct mdns *m, const struct peer_id *peer); /* or NULL */
/* The next one after `at` (NULL: the first), oldest first. Nothing may change between. */
const struct mdns_peer *mdns_next(const struct mdns *m, struct map_entry **at);

#endif
