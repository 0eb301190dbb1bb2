// SPDX-License-Identifier: MIT
/* The routing table: servers we know, in buckets by how many leading bits their key shares with
 * ours; k = 20 a bucket, least recently heard of first.
 *
 *   bucket 0   half of the network          oldest ... newest   (+ one waiting for a place)
 *   bucket 1   a quarter
 *   ...
 *   bucket b   those nearest to us
 *
 * Who is in stays in while it lives: a full bucket's oldest is asked for a sign of life, unless it gave one within the
 * minute, and only if it gives none does the newcomer, which waits for a minute, take its place. So a flood of new
 * identities does not push out peers that work. At most 3 peers of one IPv4 /16 (IPv6 /32) are in the
 * table and 2 in one bucket; private networks and loopback are exempt. */
#ifndef CONDUIT_DHT_TABLE_H
#define CONDUIT_DHT_TABLE_H

#include "base/map.h"
#include "dht/addrs.h"
#include "dht/key.h"
#include "dht/pace.h"

enum { DHT_BUCKETS = 256 };

struct dht_contact {
    struct list link; /* in its bucket */
    struct peer_id id;
    struct dht_key key;
    struct dht_addrs addrs;
    uint64_t group;
    struct dht_pace pace; /* of its answers */
    uint64_t seen_us;     /* last sign of life */
    uint8_t failures;     /* in a row */
    bool is_checked;      /* a liveness check is under way */
};

/* The beginning of a contact's key, first byte most significant: most comparisons need no more, and so do not touch the
 * contact. */
struct dht_slot {
    uint64_t head;
    struct dht_contact *contact;
};

struct dht_bucket {
    struct list contacts; /* oldest sign of life first */
    int count;
    struct dht_slot
        *slots; /* the same contacts in no order; LIMIT_DHT_BUCKET, or NULL before the first */
    struct dht_contact *waiting; /* newcomer, until waiting_until_us */
    uint64_t waiting_until_us;
};

struct dht_table {
    struct peer_id self;
    struct dht_key self_key;
    struct dht_bucket buckets[DHT_BUCKETS];
    struct map by_id;
    struct map groups; /* group -> how many of it are in the table, as a number */
    size_t count;
};

enum dht_table_result {
    DHT_TABLE_ADDED,
    DHT_TABLE_KNOWN, /* was in; heard of again */
    DHT_TABLE_FULL, /* waits; *check is to be asked for a sign of life (NULL: need not be, or is) */
    DHT_TABLE_REFUSED, /* ourselves, no address, or too many of its net */
};

void dht_table_init(struct dht_table *t, const struct peer_id *self, uint64_t seed);
void dht_table_fini(struct dht_table *t);

/* A server gave a sign of life. */
enum dht_table_result dht_table_seen(struct dht_table *t, const struct dht_peer *peer, uint64_t now,
                                     struct dht_contact **check);
/* It did not answer: out after the second time in a row, at once when somebody waits for its place,
 * who then has it. True when it is out. */
bool dht_table_failed(struct dht_table *t, const struct peer_id *id, uint64_t now);
void dht_table_remove(struct dht_table *t, const struct peer_id *id, uint64_t now);
struct dht_contact *dht_table_find(const struct dht_table *t, const struct peer_id *id);

/* The `n` nearest to a key, nearest first; how many there are. `except` may be NULL. */
int dht_table_nearest(const struct dht_table *t, const struct dht_key *key,
                      const struct peer_id *except, struct dht_contact **out, int n);
/* How far from a key the k nearest servers reach, judged by those around ourselves; false while the network is
 * too small to tell. */
bool dht_table_radius(const struct dht_table *t, struct dht_key *radius);
/* Index of the deepest bucket with somebody in it; -1 when the table is empty. */
int dht_table_deepest(const struct dht_table *t);

#endif
