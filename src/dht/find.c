// SPDX-License-Identifier: MIT
/* The kinds of lookup: what is asked, and who is told. How one is carried out is in query.c. */
#include "dht/core.h"

struct dht_query *dht_find_providers(struct dht *d, struct bytes key, int wanted,
                                     dht_on_peer on_provider, dht_on_done done, void *ctx)
{
    struct dht_query *q = dht_query_new(d, DHT_GET_PROVIDERS, key, false);
    q->wanted = wanted;
    q->on_peer = on_provider;
    q->done = done;
    q->ctx = ctx;
    return q;
}

struct dht_query *dht_find_peer(struct dht *d, const struct peer_id *id, dht_on_peer on_peer,
                                dht_on_done done, void *ctx)
{
    struct dht_query *q = dht_query_new(d, DHT_FIND_NODE, peer_id_bytes(id), false);
    q->wants_peer = true;
    q->wanted = 1;
    q->on_peer = on_peer;
    q->done = done;
    q->ctx = ctx;
    return q;
}

struct dht_query *dht_get_value(struct dht *d, struct bytes key, dht_on_value on_value,
                                dht_on_done done, void *ctx)
{
    struct dht_query *q = dht_query_new(d, DHT_GET_VALUE, key, false);
    q->on_value = on_value;
    q->done = done;
    q->ctx = ctx;
    return q;
}

struct dht_query *dht_query_nearest(struct dht *d, struct bytes key,
                                    void (*nearest)(struct dht_query *q, int err), void *ctx)
{
    struct dht_query *q = dht_query_new(d, DHT_FIND_NODE, key, true);
    q->nearest = nearest;
    q->ctx = ctx;
    return q;
}

struct dht_query *dht_query_refresh(struct dht *d, struct bytes key,
                                    void (*nearest)(struct dht_query *q, int err))
{
    struct dht_query *q = dht_query_new(d, DHT_FIND_NODE, key, false);
    q->has_probed = q->is_probe = true;
    q->paths[0].has_region = q->paths[0].asks_all_of_few = false;
    q->paths[0].alpha = DHT_ALPHA_REFRESH;
    q->nearest = nearest;
    return q;
}

void dht_cancel(struct dht *d, struct dht_query *q)
{
    (void)d;
    dht_query_free(q);
}
