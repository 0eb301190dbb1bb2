// SPDX-License-Identifier: MIT
/* The DHT's inside: one object, whose parts each have a file. Only this room includes it.
 *
 *   dht.c      life, peers coming and going, refresh
 *   ask.c      one request to one peer, with its timeouts
 *   query.c    a lookup carried out: asks, answers, results
 *   find.c     the kinds of lookup
 *   publish.c  what we announce, again and again
 *   serve.c    answering others */
#ifndef CONDUIT_DHT_CORE_H
#define CONDUIT_DHT_CORE_H

#include "base/buf.h"
#include "base/rates.h"
#include "dht/lookup.h"
#include "dht/message.h"
#include "dht/past.h"
#include "dht/providers.h"
#include "dht/refresh.h"
#include "dht/table.h"
#include "dht/told.h"
#include "dht/values.h"

struct dht {
    struct dht_cfg cfg;
    struct dht_table table;
    struct dht_providers providers;
    struct dht_values values;
    struct list asks; /* every request under way */
    size_t ask_count;
    struct list queries;
    size_t query_count;
    struct map own;           /* key -> dht_own */
    uint64_t next_round_us;   /* of announcing: rounds keep a distance */
    struct map rates;         /* peer id -> dht_rate */
    struct rates ip_rates;    /* of requests, by where they come from … */
    struct rates relay_rates; /* … and by the relay's address */
    struct dht_past past;
    struct dht_pace whole;  /* what a request takes, dialling included */
    struct dht_pace answer; /* … and once it is sent */
    struct dht_refresh ranges;
    struct timer refresh, check;
    bool is_refreshing; /* a lookup of ourselves is under way */
    bool is_filling;    /* … one for a bucket */
    uint64_t rpcs_sent, rpcs_failed, served, refused;
};

/* --- ask.c --- */

/* A request and who waits for its end: exactly one `done`, E_TIMEOUT included, unless cancelled.
 * `slow` once, when a live peer would have answered by now. */
struct dht_ask {
    struct dht_rpc rpc;
    struct list link;
    struct dht *d;
    struct dht_addrs addrs;
    struct bytes addr_v[LIMIT_DHT_ADDRS];
    struct buf request;
    struct timer timer;
    uint64_t asked_us;
    uint64_t sent_us; /* 0: not yet, or not said */
    uint64_t hard_us; /* given up then */
    bool is_slow;
    void (*slow)(struct dht_ask *a);
    void (*done)(struct dht_ask *a, int err, struct bytes reply);
    void *ctx;
};

struct dht_ask *dht_ask_send(struct dht *d, const struct dht_peer *peer, struct bytes request,
                             bool wants_reply,
                             void (*done)(struct dht_ask *a, int err, struct bytes reply),
                             void (*slow)(struct dht_ask *a), void *ctx);
void dht_ask_cancel(struct dht_ask *a);

/* --- dht.c --- */

/* A server proved that it lives. */
void dht_heard_from(struct dht *d, const struct dht_peer *peer);
/* It did not answer, and it was not our own fault. True when it left the table. */
bool dht_silent(struct dht *d, const struct peer_id *id, int err);
struct dht_peer dht_contact_peer(const struct dht_contact *c,
                                 struct bytes addrs[static LIMIT_DHT_ADDRS]);

/* --- query.c --- */

struct dht_query {
    struct list link;
    struct dht *d;
    struct dht_lookup paths[LIMIT_DHT_PATHS]; /* disjoint; storing: one */
    int path_count;
    struct dht_query *probes[LIMIT_DHT_PROBES]; /* beside the key, when it is crowded */
    bool has_probed;                            /* or is a probe itself */
    bool is_probe;
    enum dht_type type; /* GET_PROVIDERS, GET_VALUE or FIND_NODE */
    uint8_t key[LIMIT_DHT_KEY];
    size_t key_len;
    struct buf request;
    struct timer deadline;
    struct task step;
    struct dht_told told;
    int source; /* that tells now */
    unsigned answers;
    int wanted, found;
    uint8_t hops;  /* of the answer that told last: questions one after another */
    int early_err; /* found out before the first question */
    int busy;      /* inside of a callback: freeing waits */
    bool is_over;
    bool wants_peer; /* find_peer: the target itself */
    uint8_t *value;  /* GET_VALUE: the best so far */
    size_t value_n;
    struct dht_record record;
    uint8_t value_version; /* counts the best ones; candidates remember which they told */
    dht_on_value on_value;
    dht_on_peer on_peer;
    dht_on_done done;
    void (*nearest)(struct dht_query *q, int err); /* ours: instead of done */
    void *ctx;
};

/* Begins with the next turn of the loop. Storing goes along one path, to the true nearest. */
struct dht_query *dht_query_new(struct dht *d, enum dht_type type, struct bytes key, bool is_store);
/* The k nearest servers to a key and its region; `nearest` looks at q->paths[0], then the query is freed. */
struct dht_query *dht_query_nearest(struct dht *d, struct bytes key,
                                    void (*nearest)(struct dht_query *q, int err), void *ctx);
/* Meets those around a key, to fill a bucket: as a read, since nobody needs all of the nearest. */
struct dht_query *dht_query_refresh(struct dht *d, struct bytes key,
                                    void (*nearest)(struct dht_query *q, int err));
void dht_query_free(struct dht_query *q); /* without a word */
void dht_query_finish(struct dht_query *q, int err);

/* --- publish.c --- */

/* Gives a value to one peer. */
void dht_push_value(struct dht *d, const struct dht_peer *peer, struct bytes key,
                    struct bytes value);
void dht_publish_kick(struct dht *d); /* there is somebody to tell now */
void dht_publish_fini(struct dht *d);

/* --- serve.c --- */

void dht_rates_fini(struct dht *d);

#endif
