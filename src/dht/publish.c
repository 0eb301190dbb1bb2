// SPDX-License-Identifier: MIT
/* What we announce: that we provide something, or a signed value. Each key has its own round: look up the k
 * nearest servers and the region around the key, tell each, sleep a quarter of an hour (give or take a
 * tenth, so that nodes do not march in step), again. The first rounds come after one minute and four: a node that has
 * just joined knows few others, and where all have just joined, those nearest to the key may not be there yet.
 *
 *   PROVIDE --> lookup --told somebody--> sleep 15 min --+
 *      ^           \---- nobody there ----> sleep 30 s --+
 *      +-------------------------------------------------+   kick: the first peer has come, go now */
#include "dht/core.h"

#include "base/mem.h"
#include "base/trace.h"

#include <stdlib.h>

#define YOUNG_US (60 * US_PER_S)

enum {
    YOUNG_ROUNDS = 2,
    RETRY_US = 30 * 1000 * 1000,
    PACE_US = 80 * 1000, /* between two rounds: what peers answer us in a second is limited */
};

struct dht_own {
    struct dht *d;
    struct timer timer;
    struct dht_query *query; /* the lookup under way */
    bool was_told;           /* the last round reached somebody */
    unsigned rounds;         /* that did */
    bool has_turn;           /* the timer is set to this round's place in the line */
    uint8_t key[LIMIT_DHT_KEY];
    size_t key_len;
    uint8_t *value; /* NULL: we are a provider */
    size_t value_n;
    struct list told; /* holder: who has our record, so that it can be taken back */
};

struct holder {
    struct list link;
    struct peer_id id;
    struct dht_addrs addrs;
};

static void forget_told(struct dht_own *o)
{
    LIST_FOREACH_SAFE (&o->told, it) {
        struct holder *h = LIST_ENTRY(it, struct holder, link);
        list_remove(&h->link);
        dht_addrs_fini(&h->addrs);
        free(h);
    }
}

static void remember_told(struct dht_own *o, const struct dht_peer *peer)
{
    struct holder *h = MEM_NEW(struct holder);
    h->id = peer->id;
    dht_addrs_set(&h->addrs, peer->addrs, peer->addr_count);
    list_append(&o->told, &h->link);
}

static void sleep_until_next(struct dht_own *o)
{
    struct dht *d = o->d;
    uint64_t us = o->was_told ? d->cfg.republish_us : RETRY_US;
    if (o->was_told && o->rounds < YOUNG_ROUNDS && us > YOUNG_US << 2 * o->rounds)
        us = YOUNG_US << 2 * o->rounds;
    o->rounds += o->was_told;
    if (us != SCHED_NEVER)
        timer_after(d->cfg.sched, &o->timer, rng_jitter(d->cfg.rng, us, 0.1));
}

static int own_peer(struct dht *d, struct dht_peer *self)
{
    *self = (struct dht_peer){.id = d->cfg.self};
    if (d->cfg.own_addrs)
        self->addr_count = d->cfg.own_addrs(d->cfg.port.ctx, &self->addrs);
    return self->addr_count;
}

/* The port took it to the peer, or did not; the next round will see. */
static void on_told(struct dht_ask *a, int err, struct bytes reply)
{
    if (err)
        dht_silent(a->d, &a->rpc.peer.id, err);
}

static void on_put(struct dht_ask *a, int err, struct bytes reply)
{
}

void dht_push_value(struct dht *d, const struct dht_peer *peer, struct bytes key,
                    struct bytes value)
{
    struct buf message;
    buf_init(&message, 0);
    if (dht_message_begin(&message, DHT_PUT_VALUE, key) == 0 &&
        dht_message_put_value(&message, key, value) == 0)
        dht_ask_send(d, peer, buf_view(&message), true, on_put, NULL, NULL);
    buf_fini(&message);
}

/* False when there is nothing to say: we have no address. */
static bool make_message(struct dht_own *o, struct buf *out)
{
    struct dht_peer self;
    struct bytes key = bytes_of(o->key, o->key_len);
    if (o->value)
        return dht_message_begin(out, DHT_PUT_VALUE, key) == 0 &&
               dht_message_put_value(out, key, bytes_of(o->value, o->value_n)) == 0;
    return own_peer(o->d, &self) > 0 && dht_message_begin(out, DHT_ADD_PROVIDER, key) == 0 &&
           dht_message_add(out, DHT_PROVIDERS, &self, LIMIT_DHT_REPLY) == 0;
}

static void on_nearest(struct dht_query *q, int err)
{
    struct dht_own *o = q->ctx;
    struct dht *d = o->d;
    struct dht_candidate *near[LIMIT_DHT_REGION];
    struct buf message;
    int n = dht_lookup_region(&q->paths[0], near, ARRAY_LEN(near));
    o->query = NULL;
    buf_init(&message, LIMIT_DHT_REPLY);
    o->was_told = n > 0 && make_message(o, &message);
    if (o->was_told)
        forget_told(o);
    for (int i = 0; i < n && o->was_told; i++) {
        struct bytes addrs[LIMIT_DHT_ADDRS];
        struct dht_peer peer = {near[i]->id, addrs, dht_addrs_get(&near[i]->addrs, addrs)};
        dht_ask_send(d, &peer, buf_view(&message), o->value != NULL, o->value ? on_put : on_told,
                     NULL, NULL);
        if (!o->value)
            remember_told(o, &peer);
    }
    TRACE(DHT, DEBUG, "announcing: %d nearest servers -> %s", n,
          o->was_told ? "told" : "again in a while");
    buf_fini(&message);
    sleep_until_next(o);
}

/* Rounds that come due together line up, each with its own moment. */
static bool is_my_turn(struct dht_own *o)
{
    struct dht *d = o->d;
    uint64_t now = sched_now(d->cfg.sched);
    if (!o->has_turn && d->next_round_us > now) {
        o->has_turn = true;
        timer_set(d->cfg.sched, &o->timer, d->next_round_us);
        d->next_round_us += PACE_US;
        return false;
    }
    if (!o->has_turn)
        d->next_round_us = now + PACE_US;
    o->has_turn = false;
    return true;
}

static void begin_round(struct timer *t)
{
    struct dht_own *o = CONTAINER_OF(t, struct dht_own, timer);
    struct dht *d = o->d;
    struct dht_peer self;
    struct bytes key = bytes_of(o->key, o->key_len);
    own_peer(d, &self); /* those who ask us are told too */
    if (o->value)
        (void)dht_values_put(&d->values, key, bytes_of(o->value, o->value_n),
                             sched_wall_ms(d->cfg.sched));
    else
        dht_providers_add(&d->providers, key, &self, sched_now(d->cfg.sched));
    if (o->query || !is_my_turn(o))
        return;
    o->query = dht_query_nearest(d, key, on_nearest, o);
}

static int own_new(struct dht *d, struct bytes key, struct dht_own **out)
{
    if (map_count(&d->own) >= LIMIT_DHT_OWN_KEYS)
        return E_LIMIT;
    struct dht_own *o = MEM_NEW(struct dht_own);
    o->d = d;
    o->key_len = key.n;
    memcpy(o->key, key.p, key.n);
    list_init(&o->told);
    timer_init(&o->timer, begin_round);
    map_put(&d->own, key, o);
    timer_after(d->cfg.sched, &o->timer, 0);
    *out = o;
    return 0;
}

bool dht_is_provided(const struct dht *d, struct bytes key)
{
    const struct dht_own *o = map_get(&d->own, key);
    return o && !o->value;
}

int dht_provide(struct dht *d, struct bytes key)
{
    struct dht_own *o;
    if (key.n < 1 || key.n > LIMIT_DHT_KEY)
        return E_INVALID;
    return map_get(&d->own, key) ? 0 : own_new(d, key, &o);
}

int dht_put_value(struct dht *d, struct bytes key, struct bytes value)
{
    struct dht_record r;
    int err = dht_record_check(key, value, sched_wall_ms(d->cfg.sched), &r);
    struct dht_own *o = map_get(&d->own, key);
    if (!err && !o)
        err = own_new(d, key, &o);
    if (err)
        return err;
    free(o->value);
    o->value = mem_new(value.n);
    o->value_n = value.n;
    memcpy(o->value, value.p, value.n);
    o->was_told = false; /* of this one */
    if (!o->query && !o->has_turn)
        timer_after(d->cfg.sched, &o->timer, 0);
    return 0;
}

static void own_free(struct dht_own *o)
{
    timer_clear(o->d->cfg.sched, &o->timer);
    if (o->query)
        dht_query_free(o->query);
    forget_told(o);
    free(o->value);
    free(o);
}

/* Whoever has our record is told that it is over; the request outlives what it is about. Within a budget: who has a
 * thousand keys does not send twenty thousand requests at once. */
static void take_back(struct dht_own *o)
{
    struct dht *d = o->d;
    struct dht_peer self = {.id = d->cfg.self};
    struct buf message;
    buf_init(&message, 0);
    if (dht_message_begin(&message, DHT_WITHDRAW_PROVIDER, bytes_of(o->key, o->key_len)) == 0 &&
        dht_message_add(&message, DHT_PROVIDERS, &self, LIMIT_DHT_REPLY) == 0)
        LIST_FOREACH (&o->told, it) {
            if (d->ask_count >= LIMIT_DHT_ASKS)
                break; /* there it runs out */
            struct bytes addrs[LIMIT_DHT_ADDRS];
            const struct holder *h = LIST_ENTRY(it, struct holder, link);
            struct dht_peer peer = {h->id, addrs, dht_addrs_get(&h->addrs, addrs)};
            dht_ask_send(d, &peer, buf_view(&message), false, on_put, NULL, NULL);
        }
    buf_fini(&message);
}

int dht_withdraw(struct dht *d, struct bytes key)
{
    struct dht_own *o = map_take(&d->own, key);
    if (!o)
        return E_NOT_FOUND;
    if (o->value)
        dht_values_remove(&d->values, key);
    else
        dht_providers_remove(&d->providers, key, &d->cfg.self);
    take_back(o);
    own_free(o);
    return 0;
}

void dht_provide_again(struct dht *d)
{
    for (struct map_entry *e = map_first(&d->own); e; e = map_next(&d->own, e))
        ((struct dht_own *)e->value)->was_told = false;
    dht_publish_kick(d);
}

void dht_publish_kick(struct dht *d)
{
    for (struct map_entry *e = map_first(&d->own); e; e = map_next(&d->own, e)) {
        struct dht_own *o = e->value;
        if (!o->was_told && !o->query && !o->has_turn)
            timer_after(d->cfg.sched, &o->timer, 0);
    }
}

void dht_publish_fini(struct dht *d)
{
    for (struct map_entry *e = map_first(&d->own); e; e = map_next(&d->own, e))
        own_free(e->value);
    map_fini(&d->own);
}
