// SPDX-License-Identifier: MIT
/* Answering others. A server tells whom it knows near a key, and who said that they provide it; it
 * keeps what peers say of *themselves*: that they provide something, or no longer, and values of our own
 * namespaces that they signed. A value that cannot be checked is refused. */
#include "dht/core.h"

#include "base/mem.h"
#include "base/net.h"
#include "base/trace.h"

#include <stdlib.h>

enum { PROVIDERS_BYTES = LIMIT_DHT_REPLY / 2 }; /* the other half is left for nearer peers */

/* Requests a peer may still make now; refilled as time passes. */
struct dht_rate {
    uint64_t at_us;
    uint64_t tokens_us; /* in microseconds of waiting: one request costs 1 s / LIMIT_DHT_RATE */
};

void dht_rates_fini(struct dht *d)
{
    for (struct map_entry *e = map_first(&d->rates); e; e = map_next(&d->rates, e))
        free(e->value);
    map_fini(&d->rates);
    rates_fini(&d->ip_rates);
    rates_fini(&d->relay_rates);
}

/* A bucket of one second's worth; a peer we forgot starts with a full one. */
static bool may_ask(struct dht *d, const struct peer_id *from)
{
    const uint64_t cost = US_PER_S / LIMIT_DHT_RATE;
    uint64_t now = sched_now(d->cfg.sched);
    struct dht_rate *r = map_get(&d->rates, peer_id_bytes(from));
    if (!r) {
        if (map_count(&d->rates) >= LIMIT_DHT_RATED) {
            struct map_entry *oldest = map_first(&d->rates);
            free(map_take(&d->rates, map_key(oldest)));
        }
        r = MEM_NEW(struct dht_rate);
        *r = (struct dht_rate){now, US_PER_S};
        map_put(&d->rates, peer_id_bytes(from), r);
    }
    r->tokens_us += now - r->at_us;
    r->tokens_us = r->tokens_us < US_PER_S ? r->tokens_us : US_PER_S;
    r->at_us = now;
    if (r->tokens_us < cost)
        return false;
    r->tokens_us -= cost;
    return true;
}

/* The k nearest to the key, without who asks: it knows itself. */
static void add_closer(struct dht *d, const struct dht_message *m, const struct peer_id *from,
                       struct buf *out)
{
    struct dht_key key = dht_key_of(m->key);
    struct dht_contact *near[DHT_K];
    int n = dht_table_nearest(&d->table, &key, from, near, DHT_K);
    for (int i = 0; i < n; i++) /* all at a time, as far as the processor likes */
        __builtin_prefetch(near[i]->addrs.packed);
    for (int i = 0; i < n; i++) {
        struct bytes addrs[LIMIT_DHT_ADDRS];
        struct dht_peer peer = dht_contact_peer(near[i], addrs);
        if (dht_message_add(out, DHT_CLOSER, &peer, LIMIT_DHT_REPLY) != 0)
            return;
    }
}

static void add_providers(struct dht *d, const struct dht_message *m, struct buf *out)
{
    const struct dht_provider *records[LIMIT_DHT_PROVIDERS];
    uint64_t now = sched_now(d->cfg.sched);
    int n = dht_providers_get(&d->providers, m->key, now, records);
    for (int i = 0; i < n; i++) {
        struct bytes addrs[LIMIT_DHT_ADDRS];
        struct dht_peer peer = {records[i]->id, addrs, 0};
        peer.addr_count = dht_provider_addrs(records[i], now, addrs);
        if (dht_message_add(out, DHT_PROVIDERS, &peer, PROVIDERS_BYTES) != 0)
            return;
    }
}

/* A peer speaks for itself only, and must be reachable. */
static int take_providers(struct dht *d, const struct dht_message *m, const struct peer_id *from)
{
    struct dht_message_peer p;
    int left = LIMIT_DHT_BUCKET;
    for (struct bytes rest = m->whole; left-- && dht_message_next(DHT_PROVIDERS, &rest, &p);) {
        if (!peer_id_eq(&p.peer.id, from) || p.peer.addr_count == 0)
            continue;
        return dht_providers_add(&d->providers, m->key, &p.peer, sched_now(d->cfg.sched));
    }
    return 0;
}

/* Of itself only; what it did not leave here, it cannot take away. */
static int withdraw_provider(struct dht *d, const struct dht_message *m, const struct peer_id *from)
{
    (void)dht_providers_remove(&d->providers, m->key, from);
    return 0;
}

/* Checked by its validator, kept when it is the best so far, and the request is the answer. */
static int take_value(struct dht *d, const struct dht_message *m, struct buf *out)
{
    struct bytes value;
    if (dht_message_value(m, &value) != 0)
        return E_MALFORMED;
    int err = dht_values_put(&d->values, m->key, value, sched_wall_ms(d->cfg.sched));
    if (!err)
        err = dht_message_begin(out, DHT_PUT_VALUE, m->key);
    return err ? err : dht_message_put_value(out, m->key, value);
}

static void add_value(struct dht *d, const struct dht_message *m, struct buf *out)
{
    const struct dht_value *v = dht_values_get(&d->values, m->key, sched_wall_ms(d->cfg.sched));
    if (v)
        (void)dht_message_put_value(out, m->key, bytes_of(v->value, v->n));
}

static int answer(struct dht *d, const struct dht_message *m, const struct peer_id *from,
                  struct buf *out)
{
    bool has_key = m->key.n >= 1 && m->key.n <= LIMIT_DHT_KEY;
    if (m->type != DHT_PING && !has_key)
        return E_MALFORMED;
    switch (m->type) {
    case DHT_ADD_PROVIDER:
        return take_providers(d, m, from);
    case DHT_WITHDRAW_PROVIDER:
        return withdraw_provider(d, m, from);
    case DHT_PUT_VALUE:
        return take_value(d, m, out);
    case DHT_PING:
    case DHT_GET_VALUE:
    case DHT_FIND_NODE:
    case DHT_GET_PROVIDERS:
        break;
    default:
        return E_UNSUPPORTED;
    }
    int err = dht_message_begin(out, (enum dht_type)m->type, m->key);
    if (!err && m->type == DHT_GET_VALUE)
        add_value(d, m, out);
    if (!err && m->type == DHT_GET_PROVIDERS)
        add_providers(d, m, out);
    if (!err && m->type != DHT_PING)
        add_closer(d, m, from, out);
    return err;
}

/* One machine may have many identities; on loopback everybody is one address. */
static bool may_ask_from(struct dht *d, struct rates *rates, const struct net_addr *at)
{
    uint8_t key[8];
    if (!at || net_addr_is_loopback(at))
        return true;
    return rates_take(rates, bytes_of(key, net_addr_group(at, key)), sched_now(d->cfg.sched));
}

static int serve(struct dht *d, const struct peer_id *from, struct rates *rates,
                 const struct net_addr *at, struct bytes message, struct buf *out)
{
    struct dht_message m;
    int err = d->cfg.is_server ? 0 : E_DENIED;
    /* Its own rate first: who is over that takes nothing from the others there. */
    if (!err && !(may_ask(d, from) && may_ask_from(d, rates, at)))
        err = E_LIMIT;
    if (!err)
        err = dht_message_decode(message, &m);
    if (!err)
        err = answer(d, &m, from, out);
    if (err)
        d->refused++;
    else
        d->served++;
    return err;
}

int dht_serve(struct dht *d, const struct peer_id *from, const struct net_addr *at,
              struct bytes message, struct buf *out)
{
    return serve(d, from, &d->ip_rates, at, message, out);
}

int dht_serve_relayed(struct dht *d, const struct peer_id *from, const struct net_addr *relay_at,
                      struct bytes message, struct buf *out)
{
    return serve(d, from, &d->relay_rates, relay_at, message, out);
}
