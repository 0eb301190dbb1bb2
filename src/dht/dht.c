// SPDX-License-Identifier: MIT
/* The DHT's life: peers that come and go, liveness checks, refresh. See dht.h and core.h. */
#include "dht/dht.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/trace.h"
#include "dht/core.h"

#include <stdlib.h>

#define REFRESH_US   (10 * 60 * US_PER_S)
#define REPUBLISH_US (15 * 60 * US_PER_S)
#define CHECK_US     (60 * US_PER_S)
#define QUIET_US     (5 * CHECK_US) /* heard of since: no sign of life is needed */
#define LONELY_US    (30 * US_PER_S)

enum {
    CHECKED = 2
}; /* peers asked for a sign of life every minute: those unheard of for longest */

static void on_refresh(struct timer *t);
static void on_check(struct timer *t);

struct dht *dht_new(const struct dht_cfg *cfg)
{
    struct dht *d = MEM_NEW(struct dht);
    d->cfg = *cfg;
    if (!d->cfg.refresh_us)
        d->cfg.refresh_us = REFRESH_US;
    if (!d->cfg.republish_us)
        d->cfg.republish_us = REPUBLISH_US;
    dht_table_init(&d->table, &cfg->self, rng_u64(cfg->rng));
    dht_providers_init(&d->providers, rng_u64(cfg->rng));
    dht_values_init(&d->values, &d->table.self_key, rng_u64(cfg->rng));
    map_init(&d->own, rng_u64(cfg->rng));
    map_init(&d->rates, rng_u64(cfg->rng));
    rates_init(&d->ip_rates, LIMIT_DHT_RATE_IP, LIMIT_DHT_RATE_IP, LIMIT_DHT_RATED,
               rng_u64(cfg->rng));
    rates_init(&d->relay_rates, LIMIT_DHT_RATE_RELAY, LIMIT_DHT_RATE_RELAY, LIMIT_DHT_RATED,
               d->ip_rates.buckets.seed + 1);
    dht_past_init(&d->past);
    dht_refresh_init(&d->ranges, d->cfg.refresh_us);
    list_init(&d->asks);
    list_init(&d->queries);
    timer_init(&d->refresh, on_refresh);
    timer_init(&d->check, on_check);
    timer_after(cfg->sched, &d->check, rng_jitter(cfg->rng, CHECK_US, 0.1));
    return d;
}

void dht_free(struct dht *d)
{
    if (!d)
        return;
    dht_publish_fini(d);
    while (!list_is_empty(&d->queries)) {
        struct dht_query *q = LIST_ENTRY(d->queries.next, struct dht_query, link);
        q->nearest = NULL;
        dht_query_finish(q, E_CANCELLED);
    }
    while (!list_is_empty(&d->asks))
        dht_ask_cancel(LIST_ENTRY(d->asks.next, struct dht_ask, link));
    timer_clear(d->cfg.sched, &d->refresh);
    timer_clear(d->cfg.sched, &d->check);
    dht_table_fini(&d->table);
    dht_providers_fini(&d->providers);
    dht_values_fini(&d->values);
    dht_rates_fini(d);
    dht_past_fini(&d->past);
    free(d);
}

void dht_set_server(struct dht *d, bool is_server)
{
    d->cfg.is_server = is_server;
}

struct dht_peer dht_contact_peer(const struct dht_contact *c,
                                 struct bytes addrs[static LIMIT_DHT_ADDRS])
{
    return (struct dht_peer){c->id, addrs, dht_addrs_get(&c->addrs, addrs)};
}

/* --- signs of life --- */

static void on_checked(struct dht_ask *a, int err, struct bytes reply)
{
    struct dht *d = a->d;
    if (!err)
        dht_heard_from(d, &a->rpc.peer);
    else if (dht_silent(d, &a->rpc.peer.id, err))
        TRACE(DHT, DEBUG, "a peer of the table is silent -> out");
}

/* When to look again for somebody. */
static void arm_refresh(struct dht *d)
{
    uint64_t us = d->table.count ? dht_refresh_step_us(&d->ranges) : LONELY_US;
    if (d->cfg.refresh_us != SCHED_NEVER)
        timer_after(d->cfg.sched, &d->refresh, rng_jitter(d->cfg.rng, us, 0.1));
}

bool dht_silent(struct dht *d, const struct peer_id *id, int err)
{
    struct dht_contact *c = dht_table_find(&d->table, id);
    if (err == E_CANCELLED || (err <= E_LIMIT && err > E_CANCELLED) || err == E_BUSY) {
        if (c)
            c->is_checked = false; /* we could not ask; another time */
        return false;
    }
    struct dht_addrs addrs = {0};
    struct bytes v[LIMIT_DHT_ADDRS];
    struct peer_id who = *id; /* it may be the contact's own */
    if (c)
        dht_addrs_set(&addrs, v, dht_addrs_get(&c->addrs, v));
    bool is_out = dht_table_failed(&d->table, &who, sched_now(d->cfg.sched));
    if (is_out)
        dht_past_keep(&d->past, &who, &addrs);
    dht_addrs_fini(&addrs);
    if (is_out && d->table.count == 0) {
        TRACE(DHT, INFO, "the last peer of the table is silent -> looking for those it had");
        arm_refresh(d);
    }
    return is_out;
}

/* PING is answered and never sent (spec): who is asked for himself shows life as well. */
static void check_contact(struct dht *d, struct dht_contact *c)
{
    struct bytes addrs[LIMIT_DHT_ADDRS];
    struct dht_peer peer = dht_contact_peer(c, addrs);
    struct buf request;
    c->is_checked = true;
    buf_init(&request, 0);
    dht_message_begin(&request, DHT_FIND_NODE, peer_id_bytes(&d->cfg.self));
    dht_ask_send(d, &peer, buf_view(&request), true, on_checked, NULL, NULL);
    buf_fini(&request);
}

/* Of the buckets' oldest, the one unheard of for longest; NULL: all have been heard of lately. */
static struct dht_contact *quietest(struct dht *d, uint64_t now)
{
    struct dht_contact *found = NULL;
    for (int i = dht_table_deepest(&d->table); i >= 0; i--) {
        struct dht_bucket *b = &d->table.buckets[i];
        if (!b->count)
            continue;
        struct dht_contact *c = LIST_ENTRY(b->contacts.next, struct dht_contact, link);
        if (!c->is_checked && now - c->seen_us >= QUIET_US &&
            (!found || c->seen_us < found->seen_us))
            found = c;
    }
    return found;
}

static void on_check(struct timer *t)
{
    struct dht *d = CONTAINER_OF(t, struct dht, check);
    uint64_t now = sched_now(d->cfg.sched);
    struct dht_contact *c;
    for (int left = CHECKED; left && (c = quietest(d, now)); left--)
        check_contact(d, c);
    dht_providers_expire(&d->providers, now);
    dht_values_expire(&d->values, sched_wall_ms(d->cfg.sched));
    timer_after(d->cfg.sched, t, rng_jitter(d->cfg.rng, CHECK_US, 0.1));
}

void dht_heard_from(struct dht *d, const struct dht_peer *peer)
{
    struct dht_contact *check;
    bool was_empty = d->table.count == 0;
    enum dht_table_result r = dht_table_seen(&d->table, peer, sched_now(d->cfg.sched), &check);
    if (r == DHT_TABLE_FULL && check)
        check_contact(d, check);
    if (r == DHT_TABLE_ADDED || r == DHT_TABLE_KNOWN)
        dht_past_drop(&d->past, &peer->id);
    if (r == DHT_TABLE_ADDED && was_empty) { /* somebody to ask, at last */
        dht_bootstrap(d);
        dht_publish_kick(d);
    }
}

void dht_peer_seen(struct dht *d, const struct dht_peer *peer)
{
    dht_heard_from(d, peer);
}

void dht_peer_gone(struct dht *d, const struct peer_id *id, bool is_server)
{
    if (is_server)
        return;
    dht_table_remove(&d->table, id, sched_now(d->cfg.sched));
    dht_past_drop(&d->past, id);
}

void dht_remember(struct dht *d, const struct dht_peer *peer)
{
    struct dht_addrs addrs = {0};
    if (dht_table_find(&d->table, &peer->id) || peer_id_eq(&peer->id, &d->cfg.self))
        return;
    dht_addrs_set(&addrs, peer->addrs, peer->addr_count);
    if (addrs.count)
        dht_past_keep(&d->past, &peer->id, &addrs);
    dht_addrs_fini(&addrs);
}

/* --- refresh --- */

/* A key that falls into bucket `at`: any 1220-multihash will do, found by trying. Deep buckets would
 * take too long to hit; they are near us, and our own lookup fills them. */
static void key_in_bucket(struct dht *d, int at, uint8_t out[static DHT_KEY_TEXT])
{
    struct dht_key k;
    do {
        uint8_t random[32];
        rng_fill(d->cfg.rng, random, sizeof random);
        dht_key_text(bytes_of(random, sizeof random), out);
        k = dht_key_of(bytes_of(out, DHT_KEY_TEXT));
    } while (dht_key_common_bits(&d->table.self_key, &k) != at);
}

static void refresh_buckets(struct dht *d);

static void on_refreshed(struct dht_query *q, int err)
{
    q->d->is_filling = false;
    refresh_buckets(q->d);
}

/* One after the other: the lookup for one fills others as well. */
static void refresh_buckets(struct dht *d)
{
    int deepest = dht_table_deepest(&d->table);
    for (int i = 0; i <= deepest && i < DHT_REFRESHED && !d->is_filling; i++) {
        uint8_t key[DHT_KEY_TEXT];
        if (!dht_refresh_take_bucket(&d->ranges, &d->table, i, sched_now(d->cfg.sched)))
            continue;
        key_in_bucket(d, i, key);
        d->is_filling = true;
        dht_query_refresh(d, bytes_of(key, sizeof key), on_refreshed);
    }
}

static void on_self_found(struct dht_query *q, int err)
{
    struct dht *d = q->d;
    d->is_refreshing = false;
    TRACE(DHT, DEBUG, "bootstrap: %zu peers in the table", d->table.count);
    refresh_buckets(d);
}

static void look_for_ourselves(struct dht *d)
{
    d->is_refreshing = true;
    dht_query_nearest(d, peer_id_bytes(&d->cfg.self), on_self_found, NULL);
}

void dht_bootstrap(struct dht *d)
{
    const struct dht_port *port = &d->cfg.port;
    if (!d->is_refreshing && d->table.count == 0 && port->lonely)
        port->lonely(port->ctx); /* the first who is seen begins this anew */
    if (d->is_refreshing)
        return;
    dht_refresh_anew(&d->ranges);
    (void)dht_refresh_take_self(&d->ranges, sched_now(d->cfg.sched));
    look_for_ourselves(d);
    arm_refresh(d);
}

static void on_refresh(struct timer *t)
{
    struct dht *d = CONTAINER_OF(t, struct dht, refresh);
    if (d->table.count == 0)
        dht_bootstrap(d);
    else if (!d->is_refreshing && dht_refresh_take_self(&d->ranges, sched_now(d->cfg.sched)))
        look_for_ourselves(d);
    else if (!d->is_refreshing)
        refresh_buckets(d);
    arm_refresh(d);
}

/* --- looking in --- */

struct dht_stats dht_stats(const struct dht *d)
{
    struct dht_stats s = {
        .table_peers = d->table.count,
        .provider_keys = map_count(&d->providers.keys),
        .provider_records = d->providers.records,
        .own_keys = map_count(&d->own),
        .values = map_count(&d->values.by_key),
        .queries = d->query_count,
        .rpcs_sent = d->rpcs_sent,
        .rpcs_failed = d->rpcs_failed,
        .served = d->served,
        .refused = d->refused,
    };
    for (int i = 0; i < DHT_BUCKETS; i++)
        s.buckets += d->table.buckets[i].count > 0;
    return s;
}

uint64_t dht_last_seen(const struct dht *d, const struct peer_id *id)
{
    const struct dht_contact *c = dht_table_find(&d->table, id);
    return c ? c->seen_us : 0;
}

void dht_each_peer(const struct dht *d, dht_on_peer on_peer, void *ctx)
{
    for (int i = 0; i < DHT_BUCKETS; i++) {
        LIST_FOREACH (&d->table.buckets[i].contacts, it) {
            struct bytes addrs[LIMIT_DHT_ADDRS];
            const struct dht_contact *c = LIST_ENTRY(it, struct dht_contact, link);
            struct dht_peer peer = dht_contact_peer(c, addrs);
            on_peer(ctx, &peer);
        }
    }
}
