// SPDX-License-Identifier: MIT
/* Looking for providers of a model; see discover.h. */
#include "node/discover.h"

#include "base/mem.h"
#include "base/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MISSING_US (3 * US_PER_S)
enum { FOUND_MAX = 16, MISSING_MAX = 256 };

struct found {
    struct discover_search *s;
    struct peer_id peer;
    struct p2p_connect connect;
    bool is_connecting, is_heard;
};

struct discover_search {
    struct list link;
    struct discover *d;
    char model[OFFER_NAME];
    discover_done done;
    void *ctx;
    struct dht_query *query;
    bool is_asked;    /* the DHT has nothing more to say */
    bool is_complete; /* … and it said all */
    struct feeds_waiter waiter;
    struct timer deadline;
    struct task task;
    struct found found[FOUND_MAX];
    size_t found_count;
};

static void search_free(struct discover_search *s)
{
    if (s->query)
        dht_cancel(s->d->dht, s->query);
    for (size_t i = 0; i < s->found_count; i++)
        if (s->found[i].is_connecting)
            p2p_connect_cancel(&s->found[i].connect);
    feeds_unwait(&s->waiter);
    timer_clear(s->d->sched, &s->deadline);
    task_cancel(&s->task);
    list_remove(&s->link);
    free(s);
}

static void remember_missing(struct discover *d, const char *model)
{
    uint64_t *until = map_get(&d->missing, bytes_str(model));
    if (!until) {
        if (map_count(&d->missing) >= MISSING_MAX)
            free(map_take(&d->missing, map_key(map_first(&d->missing))));
        until = MEM_NEW(uint64_t);
        (void)map_put(&d->missing, bytes_str(model), until);
    }
    *until = sched_now(d->sched) + MISSING_US;
}

static bool is_known(const struct discover_search *s)
{
    struct bytes model = bytes_str(s->model);
    bool any = catalogue_is_any(model);
    for (const struct catalogue_offer *o = catalogue_next(s->d->offers, NULL); o;
         o = catalogue_next(s->d->offers, o))
        if (any ? (o->offer.abilities & OFFER_CHAT) != 0 : catalogue_is_named(&o->offer, model))
            return true;
    return false;
}

static void finish(struct discover_search *s, bool is_complete)
{
    discover_done done = s->done;
    void *ctx = s->ctx;
    bool found = is_known(s);
    if (is_complete && !found)
        remember_missing(s->d, s->model);
    TRACE(NODE, DEBUG, "search for %s: %zu providers -> %s", s->model, s->found_count,
          found ? "found" : is_complete ? "nobody has it" : "not finished in time");
    search_free(s);
    done(ctx, is_complete);
}

/* Is there anything left to wait for? */
static void look(struct discover_search *s)
{
    bool waiting = !s->is_asked || s->d->is_loading(s->d->ctx, bytes_str(s->model));
    if (is_known(s)) {
        finish(s, true);
        return;
    }
    for (size_t i = 0; i < s->found_count; i++)
        waiting |= s->found[i].is_connecting || !s->found[i].is_heard;
    if (!waiting)
        finish(s, s->is_complete && s->d->has_joined(s->d->ctx));
}

static void look_soon(struct discover_search *s)
{
    task_defer(s->d->sched, &s->task);
}

static void on_task(struct task *t)
{
    look(CONTAINER_OF(t, struct discover_search, task));
}

static void on_news(struct feeds_waiter *w, const struct peer_id *peer)
{
    struct discover_search *s = CONTAINER_OF(w, struct discover_search, waiter);
    for (size_t i = 0; i < s->found_count; i++)
        if (peer_id_eq(&s->found[i].peer, peer) && !s->found[i].is_connecting)
            s->found[i].is_heard = true;
    look_soon(s);
}

static void on_connected(struct p2p_connect *r, int err, const struct peer_id *peer,
                         const char *why)
{
    struct found *f = CONTAINER_OF(r, struct found, connect);
    f->is_connecting = false;
    /* Connected: its offers come with the feed. Failed: nothing will come. */
    f->is_heard = err != 0 || feeds_is_known(f->s->d->feeds, &f->peer);
    if (!f->is_heard)
        feeds_want(f->s->d->feeds, &f->peer);
    look_soon(f->s);
}

static void on_provider(void *ctx, const struct dht_peer *peer)
{
    struct discover_search *s = ctx;
    struct discover *d = s->d;
    if (s->found_count == FOUND_MAX || peer_id_eq(&peer->id, p2p_host_id(d->host)))
        return;
    struct found *f = &s->found[s->found_count++];
    f->s = s;
    f->peer = peer->id;
    if (feeds_is_known(d->feeds, &peer->id)) {
        f->is_heard = true;
        return;
    }
    f->is_connecting = true;
    f->connect = (struct p2p_connect){
        .peer = &f->peer,
        .addrs = peer->addrs,
        .addr_count = (size_t)peer->addr_count,
        .timeout_us = 5 * US_PER_S,
        .done = on_connected,
    };
    p2p_host_connect(d->host, &f->connect);
}

static void on_asked(void *ctx, int err)
{
    struct discover_search *s = ctx;
    s->query = NULL;
    s->is_asked = true;
    s->is_complete = err == 0 || err == E_UNAVAILABLE || err == E_NOT_FOUND;
    look_soon(s);
}

static void on_deadline(struct timer *t)
{
    finish(CONTAINER_OF(t, struct discover_search, deadline), false);
}

struct discover_search *discover_start(struct discover *d, struct bytes model, uint64_t timeout_us,
                                       discover_done done, void *ctx)
{
    struct discover_search *s = MEM_NEW(struct discover_search);
    char text[OFFER_NAME + 16];
    uint8_t key[DHT_KEY_TEXT];
    *s = (struct discover_search){.d = d, .done = done, .ctx = ctx, .waiter.news = on_news};
    snprintf(s->model, sizeof s->model, "%.*s", BYTES_FMT(model));
    list_append(&d->searches, &s->link);
    feeds_wait(d->feeds, &s->waiter);
    timer_init(&s->deadline, on_deadline);
    timer_after(d->sched, &s->deadline, timeout_us);
    task_init(&s->task, on_task);
    uint64_t *missing = map_get(&d->missing, bytes_str(s->model));
    if (missing && *missing > sched_now(d->sched)) {
        s->is_asked = s->is_complete = true;
        look_soon(s);
        return s;
    }
    /* A variant is provided under the name in front of it. */
    struct bytes name = bytes_first(bytes_str(s->model), strcspn(s->model, "@"));
    if (catalogue_is_any(bytes_str(s->model)))
        snprintf(text, sizeof text, "protocol:openai");
    else
        snprintf(text, sizeof text, "model:%.*s", BYTES_FMT(name));
    dht_key_text(bytes_str(text), key);
    s->query = dht_find_providers(d->dht, bytes_of(key, sizeof key), FOUND_MAX, on_provider,
                                  on_asked, s);
    return s;
}

void discover_cancel(struct discover_search *s)
{
    search_free(s);
}

void discover_poke(struct discover *d)
{
    LIST_FOREACH(&d->searches, it)
        look_soon(LIST_ENTRY(it, struct discover_search, link));
}

void discover_init(struct discover *d, struct p2p_host *host, struct dht *dht, struct sched *sched,
                   struct feeds *feeds, struct catalogue *offers, uint64_t seed)
{
    *d = (struct discover){
        .host = host, .dht = dht, .sched = sched, .feeds = feeds, .offers = offers};
    list_init(&d->searches);
    map_init(&d->missing, seed);
}

void discover_fini(struct discover *d)
{
    LIST_FOREACH_SAFE(&d->searches, it)
        search_free(LIST_ENTRY(it, struct discover_search, link));
    for (struct map_entry *e = map_first(&d->missing); e; e = map_next(&d->missing, e))
        free(e->value);
    map_fini(&d->missing);
}
