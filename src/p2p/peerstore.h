// SPDX-License-Identifier: MIT
/* The address book: what we know of peers, met and unmet. A pure book.
 *
 * Per peer: addresses with where they came from and until when they are believed, the protocols and
 * names it told by identify, and how dialling it went. A peer is identified only by itself; its
 * addresses may come from anybody and are mere hints.
 *
 * Full books forget the peer that was touched longest ago and is not pinned (connected peers are);
 * full entries forget the address that expires first. */
#ifndef CONDUIT_P2P_PEERSTORE_H
#define CONDUIT_P2P_PEERSTORE_H

#include "base/bytes.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "codec/peer_id.h"

/* How long an address is believed, by its source: µs. */
#define PEER_ADDR_TTL_GIVEN      (UINT64_C(365) * 86400 * 1000000) /* by the user */
#define PEER_ADDR_TTL_IDENTIFIED (UINT64_C(48) * 3600 * 1000000)   /* by the peer itself */
#define PEER_ADDR_TTL_HEARD      (UINT64_C(30) * 60 * 1000000)     /* from others */

struct peer_addr {
    uint8_t *p; /* binary multiaddr, without /p2p */
    uint16_t n;
    uint64_t expires_us;
};

struct known_peer {
    struct list by_use; /* oldest first */
    struct peer_id id;
    uint32_t pins;
    struct peer_addr *addrs;
    uint16_t addr_count;
    /* identify */
    bool is_identified;
    uint64_t record_seq; /* of the newest signed record it told */
    char agent[LIMIT_PEER_AGENT], version[LIMIT_PEER_AGENT];
    char *protocols; /* NUL-separated, one after another */
    size_t protocols_size;
    uint16_t protocol_count;
    /* dialling */
    uint32_t failures; /* in a row */
    uint64_t retry_us; /* not before */
};

struct peerstore {
    struct map by_id;
    struct list by_use;
    struct rng *rng;
    size_t max; /* peers; LIMIT_PEERS unless raised */
};

void peerstore_init(struct peerstore *ps, struct rng *rng);
void peerstore_fini(struct peerstore *ps);
/* Borrowed until the peer is forgotten; pinned records are not. */
struct known_peer *peerstore_get(struct peerstore *ps, const struct peer_id *id); /* or NULL */
/* Makes it when absent; NULL when the book is full of pinned peers. */
struct known_peer *peerstore_touch(struct peerstore *ps, const struct peer_id *id);
void peerstore_pin(struct known_peer *r);
void peerstore_unpin(struct known_peer *r);

/* An address: E_TOO_BIG over LIMIT_PEER_ADDR; else 0, kept until now + ttl at least. A new one may be
 * tried at once, whatever became of the others. */
int known_peer_add_addr(struct known_peer *r, struct bytes addr, uint64_t ttl_us, uint64_t now_us);
/* Drops what is no longer believed. */
void known_peer_expire(struct known_peer *r, uint64_t now_us);
void known_peer_clear_protocols(struct known_peer *r);
int known_peer_add_protocol(struct known_peer *r, struct bytes protocol); /* E_LIMIT */
bool known_peer_has_protocol(const struct known_peer *r, const char *protocol);
/* The i-th protocol as text, or NULL. */
const char *known_peer_protocol(const struct known_peer *r, size_t i);
/* Set from a stranger's bytes: printable, cut. */
void known_peer_set_agent(struct known_peer *r, struct bytes agent);
void known_peer_set_version(struct known_peer *r, struct bytes version);

/* Dialling failed: the next try is put off, 1 s doubling to 60 s, ± 20 %. */
void peerstore_failed(struct peerstore *ps, struct known_peer *r, uint64_t now_us);
void known_peer_worked(struct known_peer *r);
/* The fault was ours, or the network is another one: all may be tried at once. */
void peerstore_forgive(struct peerstore *ps);

#endif
