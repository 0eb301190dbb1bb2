// SPDX-License-Identifier: MIT
/* See feed_load.h. */
#include "node/feed_load.h"

#include "route/choose.h"

#include <string.h>

enum { LOADS_A_RTT = 8 }; /* how far away the peer is changes seldom */

static uint32_t number(const struct json *event, const char *key)
{
    uint64_t v = 0;
    (void)json_u64(json_get(event, key), &v);
    return v > 1000000 ? 1000000 : (uint32_t)v;
}

/* The last one's, which as a rule is this one's too; NULL: look. */
static struct measure *again(const struct feed_load *l, const struct feeds *f, struct bytes id)
{
    bool is_there =
        l->measure && l->changes == f->offers->changes && l->freed == f->measures->freed;
    return is_there && bytes_eq(id, bytes_of(l->id, l->id_len)) ? l->measure : NULL;
}

static struct measure *find(struct feed_load *l, const struct feeds *f, const struct peer_id *peer,
                            struct bytes id)
{
    const struct catalogue_peer *p = map_get(&f->offers->peers, peer_id_bytes(peer));
    for (const struct list *it = p ? p->offers.next : NULL; it && it != &p->offers; it = it->next) {
        const struct catalogue_offer *o = LIST_ENTRY(it, const struct catalogue_offer, link);
        struct route_key key;
        if (!bytes_eq_str(id, o->offer.id))
            continue;
        l->measure = measures_of(f->measures, route_key_of(&o->offer, &key));
        l->changes = f->offers->changes;
        l->freed = f->measures->freed;
        l->id_len = id.n;
        memcpy(l->id, id.p, id.n);
        return l->measure;
    }
    return NULL;
}

void feed_load_take(struct feed_load *l, const struct feeds *f, const struct peer_id *peer,
                    const struct json *event)
{
    struct bytes id = json_get_str(event, "offer");
    struct p2p_peer_view view;
    uint64_t uptime = 0;
    struct measure *m = again(l, f, id);
    m = m ? m : find(l, f, peer, id);
    if (!m)
        return;
    measure_told(m, number(event, "slots"), number(event, "busy"), number(event, "queued"),
                 json_number(json_get(event, "tokens_per_s"), 0), sched_now(f->sched));
    (void)json_u64(json_get(event, "uptime_s"), &uptime);
    m->told_uptime_s = uptime > UINT32_MAX ? UINT32_MAX : (uint32_t)uptime;
    if (m->rtt_us == 0 || m->loads++ % LOADS_A_RTT == 0)
        m->rtt_us = p2p_host_peer(f->host, peer, &view) ? (double)view.rtt_us : 0;
}
