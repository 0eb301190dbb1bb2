// SPDX-License-Identifier: MIT
/* Own offers; see announce.h. */
#include "node/announce.h"

#include "base/mem.h"
#include "base/trace.h"
#include "codec/json.h"
#include "codec/multibase.h"
#include "http/sse.h"
#include "route/choose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIFETIME_MS (UINT64_C(2) * 3600 * 1000)
#define RENEW_MS    (UINT64_C(3600) * 1000)
#define LOAD_GAP_US (100 * US_PER_MS)

struct own_offer {
    struct list link;
    struct offer offer;
    struct buf signed_form; /* empty: not shared */
    uint64_t signed_ms;
    bool is_seen; /* in this pass */
};

/* --- what is shared --- */

static bool is_listed(const struct strlist *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], name) == 0)
            return true;
    return false;
}

bool announce_is_shared(const struct announce *a, const struct engine_model *m)
{
    const struct strlist *share = &a->config->share;
    if (share->n == 0)
        return m->is_shareable;
    return is_listed(share, m->name) || is_listed(share, m->alias) ||
           (m->unit_name && is_listed(share, m->unit_name));
}

static uint32_t abilities_of(unsigned engine)
{
    static const struct {
        unsigned from;
        uint32_t to;
    } map[] = {
        {ENGINE_CHAT, OFFER_CHAT},
        {ENGINE_COMPLETION, OFFER_COMPLETION},
        {ENGINE_EMBEDDINGS, OFFER_EMBEDDINGS},
        {ENGINE_TOOLS, OFFER_TOOLS},
        {ENGINE_VISION, OFFER_VISION},
        {ENGINE_JSON_SCHEMA, OFFER_JSON_SCHEMA},
        {ENGINE_REASONING, OFFER_REASONING},
    };
    uint32_t out = 0;
    for (size_t i = 0; i < ARRAY_LEN(map); i++)
        if (engine & map[i].from)
            out |= map[i].to;
    return out;
}

static void describe(const struct announce *a, const struct engine_model *m, struct offer *o)
{
    *o = (struct offer){.peer = a->key->id, .context = m->ctx};
    uint8_t digest[32];
    snprintf(o->protocol, sizeof o->protocol, "openai");
    snprintf(o->model, sizeof o->model, "%s", m->name);
    if (*m->alias && strcmp(m->alias, m->name) != 0)
        snprintf(o->alias[0], sizeof o->alias[0], "%s", m->alias);
    snprintf(o->quant, sizeof o->quant, "%s", m->quant);
    o->abilities = abilities_of(m->abilities);
    o->max_concurrent = m->slots;
    o->requests_per_minute = a->config->requests_per_minute;
    if (*m->digest && hex_parse(bytes_str(m->digest), digest, sizeof digest) == 0) {
        memcpy(o->digest, digest, sizeof digest);
        o->has_digest = true;
    }
    /* The id: short, stable, and the same for the same name. */
    uint64_t h = 1469598103934665603u;
    for (const char *p = m->name; *p; p++)
        h = (h ^ (uint8_t)*p) * 1099511628211u;
    snprintf(o->id, sizeof o->id, "m-%016llx", (unsigned long long)h);
}

static bool is_same(const struct offer *a, const struct offer *b)
{
    return strcmp(a->model, b->model) == 0 && strcmp(a->alias[0], b->alias[0]) == 0 &&
           strcmp(a->quant, b->quant) == 0 && a->context == b->context &&
           a->abilities == b->abilities && a->has_digest == b->has_digest &&
           memcmp(a->digest, b->digest, sizeof a->digest) == 0 &&
           a->max_concurrent == b->max_concurrent;
}

/* --- telling --- */

static void put_event(struct buf *out, const char *name, struct buf *json)
{
    (void)sse_append(out, bytes_str(name), buf_view(json));
    buf_clear(json);
}

static void put_offer(const struct own_offer *o, struct buf *out)
{
    struct buf json, text;
    buf_init(&json, 0);
    buf_init(&text, 0);
    (void)base_encode(BASE_64URL, buf_view(&o->signed_form), &text);
    (void)buf_printf(&json, "{\"offer\":\"%.*s\"}", BYTES_FMT(buf_view(&text)));
    put_event(out, "offer", &json);
    buf_fini(&json);
    buf_fini(&text);
}

static void put_load(const struct announce *a, const struct own_offer *o, struct buf *out)
{
    uint32_t busy, queued;
    struct buf json;
    buf_init(&json, 0);
    ways_load(a->ways, o->offer.model, &busy, &queued);
    const struct engine_model *m = engine_model_find(a->engine, bytes_str(o->offer.model));
    uint32_t slots = engine_model_slots(a->engine, bytes_str(o->offer.model));
    if (m && m->busy > busy)
        busy = m->busy;
    struct route_key key;
    const struct measure *own = measures_peek(a->measures, route_key_of(&o->offer, &key));
    struct json_writer w = json_write(&json);
    json_open_object(&w);
    json_member_str(&w, "offer", o->offer.id);
    json_member_u64(&w, "slots", slots ? slots : a->ways->default_slots);
    json_member_u64(&w, "busy", busy);
    json_member_u64(&w, "queued", queued);
    if (own && own->tokens_per_s > 0)
        json_member_double(&w, "tokens_per_s", own->tokens_per_s);
    json_member_u64(&w, "uptime_s", (sched_now(a->sched) - a->started_us) / US_PER_S);
    json_close_object(&w);
    put_event(out, "load", &json);
    buf_fini(&json);
}

static void put_withdrawal(const struct own_offer *o, struct buf *out)
{
    struct buf json;
    buf_init(&json, 0);
    (void)buf_printf(&json, "{\"offer\":\"%s\"}", o->offer.id);
    put_event(out, "withdraw", &json);
    buf_fini(&json);
}

static void tell(struct announce *a, void (*put)(const struct own_offer *, struct buf *),
                 const struct own_offer *o)
{
    struct buf b;
    buf_init(&b, 0);
    put(o, &b);
    if (a->gateway)
        gateway_feed(a->gateway, buf_view(&b), &o->offer);
    buf_fini(&b);
}

/* Shared, and with this principal. */
static bool is_for(const struct announce *a, const struct own_offer *o, const struct principal *who)
{
    return buf_len(&o->signed_form) &&
           guard_may_use(a->guard, who, &o->offer, sched_wall_ms(a->sched) / 1000);
}

int announce_snapshot(const struct announce *a, const struct principal *who, struct buf *out)
{
    LIST_FOREACH ((struct list *)&a->own, it) {
        const struct own_offer *o = LIST_ENTRY(it, struct own_offer, link);
        if (!is_for(a, o, who))
            continue;
        put_offer(o, out);
        put_load(a, o, out);
    }
    return sse_append(out, BYTES_LIT("snapshot"), BYTES_LIT("{}"));
}

int announce_json(const struct announce *a, const struct principal *who, struct buf *out)
{
    bool comma = false;
    (void)buf_append_str(out, "{\"offers\":[");
    LIST_FOREACH ((struct list *)&a->own, it) {
        const struct own_offer *o = LIST_ENTRY(it, struct own_offer, link);
        if (!is_for(a, o, who))
            continue;
        if (comma)
            (void)buf_append_byte(out, ',');
        comma = true;
        (void)offer_json(&o->offer, out);
    }
    return buf_append_str(out, "]}");
}

/* --- the DHT --- */

static void dht_text(struct announce *a, bool provide, const char *prefix, const char *name)
{
    char text[OFFER_NAME + 16];
    uint8_t key[DHT_KEY_TEXT];
    snprintf(text, sizeof text, "%s%s", prefix, name);
    dht_key_text(bytes_str(text), key);
    if (provide)
        (void)dht_provide(a->dht, bytes_of(key, sizeof key));
    else
        (void)dht_withdraw(a->dht, bytes_of(key, sizeof key));
}

static bool is_name_shared(const struct announce *a, const char *name)
{
    LIST_FOREACH ((struct list *)&a->own, it) {
        const struct own_offer *o = LIST_ENTRY(it, struct own_offer, link);
        if (buf_len(&o->signed_form) &&
            (strcmp(o->offer.model, name) == 0 || strcmp(o->offer.alias[0], name) == 0))
            return true;
    }
    return false;
}

static bool shares_anything(const struct announce *a)
{
    LIST_FOREACH ((struct list *)&a->own, it)
        if (buf_len(&LIST_ENTRY(it, struct own_offer, link)->signed_form))
            return true;
    return false;
}

/* Keys that no shared offer has any more. */
static void withdraw_keys(struct announce *a, const struct offer *o)
{
    if (!is_name_shared(a, o->model))
        dht_text(a, false, "model:", o->model);
    if (*o->alias[0] && !is_name_shared(a, o->alias[0]))
        dht_text(a, false, "model:", o->alias[0]);
    if (!shares_anything(a)) {
        dht_text(a, false, "protocol:", "openai");
        dht_text(a, false, "all_nodes", "");
    }
}

/* --- one offer --- */

static void share(struct announce *a, struct own_offer *o)
{
    buf_clear(&o->signed_form);
    o->signed_ms = sched_wall_ms(a->sched);
    if (offer_sign(&o->offer, a->key, &o->signed_form)) {
        TRACE(NODE, ERROR, "the offer of %s could not be signed -> not shared", o->offer.model);
        buf_clear(&o->signed_form);
        return;
    }
    TRACE(NODE, INFO, "offer of %s, seq %llu -> shared", o->offer.model,
          (unsigned long long)o->offer.seq);
    tell(a, put_offer, o);
    dht_text(a, true, "model:", o->offer.model);
    if (*o->offer.alias[0])
        dht_text(a, true, "model:", o->offer.alias[0]);
    dht_text(a, true, "protocol:", "openai");
    dht_text(a, true, "all_nodes", "");
}

static void unshare(struct announce *a, struct own_offer *o)
{
    if (!buf_len(&o->signed_form))
        return;
    buf_clear(&o->signed_form);
    TRACE(NODE, INFO, "offer of %s -> withdrawn", o->offer.model);
    tell(a, put_withdrawal, o);
    withdraw_keys(a, &o->offer);
}

static void remove_offer(struct announce *a, struct own_offer *o)
{
    unshare(a, o);
    (void)catalogue_withdraw(a->offers, &o->offer.peer, o->offer.id);
    list_remove(&o->link);
    buf_fini(&o->signed_form);
    free(o);
}

static struct own_offer *own_by_id(struct announce *a, const char *id)
{
    LIST_FOREACH (&a->own, it) {
        struct own_offer *o = LIST_ENTRY(it, struct own_offer, link);
        if (strcmp(o->offer.id, id) == 0)
            return o;
    }
    return NULL;
}

/* The offer of this model, new or renewed. */
static void follow(struct announce *a, const struct engine_model *m, bool is_open)
{
    uint64_t now_ms = sched_wall_ms(a->sched);
    struct offer fresh;
    describe(a, m, &fresh);
    struct own_offer *o = own_by_id(a, fresh.id);
    if (o && o->is_seen)
        return; /* two engines have a model of this name: one offer, and either serves it */
    bool is_shared = is_open && announce_is_shared(a, m);
    bool is_changed = !o || !is_same(&o->offer, &fresh) || now_ms - o->signed_ms > RENEW_MS;
    /* Shared again: as a new one, since those who saw it withdrawn do not take it back. */
    is_changed |= o && is_shared && !buf_len(&o->signed_form);
    if (!o) {
        o = MEM_NEW(struct own_offer);
        buf_init(&o->signed_form, LIMIT_OFFER);
        list_append(&a->own, &o->link);
    }
    o->is_seen = true;
    if (is_changed) {
        a->last_seq = now_ms > a->last_seq ? now_ms : a->last_seq + 1;
        fresh.seq = a->last_seq;
        fresh.expires_ms = now_ms + LIFETIME_MS;
        o->offer = fresh;
        o->signed_ms = now_ms;
        (void)catalogue_put(a->offers, &fresh, true);
    }
    (void)catalogue_set_private(a->offers, &o->offer.peer, o->offer.id, !is_shared);
    if (!is_shared)
        unshare(a, o);
    else if (is_changed || !buf_len(&o->signed_form))
        share(a, o);
}

static void refresh(struct announce *a)
{
    bool is_open = !a->is_stopping && guard_is_open(a->guard, a->minute_of_day(a->ctx));
    LIST_FOREACH (&a->own, it)
        LIST_ENTRY(it, struct own_offer, link)->is_seen = false;
    for (size_t i = 0; i < engine_model_count(a->engine); i++) {
        const struct engine_model *m = engine_model_at(a->engine, i);
        if (m->is_ready)
            follow(a, m, is_open);
    }
    LIST_FOREACH_SAFE (&a->own, it) {
        struct own_offer *o = LIST_ENTRY(it, struct own_offer, link);
        if (!o->is_seen)
            remove_offer(a, o);
    }
}

/* To all at once. */
static void tell_load_together(struct announce *a)
{
    struct buf b;
    buf_init(&b, 0);
    LIST_FOREACH (&a->own, it) {
        const struct own_offer *o = LIST_ENTRY(it, struct own_offer, link);
        if (buf_len(&o->signed_form))
            put_load(a, o, &b);
    }
    if (!buf_len(&b))
        (void)buf_append_str(&b, ": nothing shared\n\n"); /* a sign of life */
    gateway_feed(a->gateway, buf_view(&b), NULL);
    buf_fini(&b);
}

/* There are guests, who may not know of all offers. */
static void tell_load_apart(struct announce *a)
{
    struct buf b;
    buf_init(&b, 0);
    gateway_feed(a->gateway, BYTES_LIT(": load\n\n"), NULL); /* a sign of life */
    LIST_FOREACH (&a->own, it) {
        const struct own_offer *o = LIST_ENTRY(it, struct own_offer, link);
        buf_clear(&b);
        if (buf_len(&o->signed_form)) {
            put_load(a, o, &b);
            gateway_feed(a->gateway, buf_view(&b), &o->offer);
        }
    }
    buf_fini(&b);
}

static void tell_load(struct announce *a)
{
    if (a->gateway && a->guard->invites && a->guard->invites->count)
        tell_load_apart(a);
    else if (a->gateway)
        tell_load_together(a);
    a->told_load_us = sched_now(a->sched);
}

/* --- when --- */

static void on_changed(struct task *t)
{
    refresh(CONTAINER_OF(t, struct announce, changed));
}

static void on_load(struct task *t)
{
    struct announce *a = CONTAINER_OF(t, struct announce, load);
    if (sched_now(a->sched) - a->told_load_us >= LOAD_GAP_US)
        tell_load(a);
    else
        timer_set(a->sched, &a->tick, a->told_load_us + LOAD_GAP_US);
}

/* Watchers take a feed that is silent for 45 s for dead. */
static uint64_t tick_us(const struct announce *a)
{
    uint64_t s = a->config->heartbeat_interval;
    return (s < 1 ? 1 : s > 15 ? 15 : s) * US_PER_S;
}

static void on_hours(struct timer *t)
{
    struct announce *a = CONTAINER_OF(t, struct announce, hours);
    task_defer(a->sched, &a->changed);
    timer_after(a->sched, t, US_PER_S);
}

static void on_tick(struct timer *t)
{
    struct announce *a = CONTAINER_OF(t, struct announce, tick);
    refresh(a);
    (void)catalogue_expire(a->offers, sched_wall_ms(a->sched));
    tell_load(a);
    timer_after(a->sched, &a->tick, tick_us(a));
}

void announce_init(struct announce *a)
{
    list_init(&a->own);
    timer_init(&a->tick, on_tick);
    timer_init(&a->hours, on_hours);
    if (a->config->schedule_start)
        timer_after(a->sched, &a->hours, US_PER_S);
    task_init(&a->changed, on_changed);
    task_init(&a->load, on_load);
    timer_after(a->sched, &a->tick, tick_us(a));
}

void announce_changed(struct announce *a)
{
    if (a->is_over)
        return;
    task_defer(a->sched, &a->changed);
}

void announce_load_changed(struct announce *a)
{
    if (a->is_over)
        return;
    task_defer(a->sched, &a->load);
}

void announce_withdraw_all(struct announce *a)
{
    a->is_stopping = true;
    LIST_FOREACH_SAFE (&a->own, it)
        unshare(a, LIST_ENTRY(it, struct own_offer, link));
}

void announce_fini(struct announce *a)
{
    a->is_over = true;
    timer_clear(a->sched, &a->tick);
    timer_clear(a->sched, &a->hours);
    task_cancel(&a->changed);
    task_cancel(&a->load);
    LIST_FOREACH_SAFE (&a->own, it) {
        struct own_offer *o = LIST_ENTRY(it, struct own_offer, link);
        list_remove(&o->link);
        buf_fini(&o->signed_form);
        free(o);
    }
}
