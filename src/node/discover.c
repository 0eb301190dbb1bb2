// SPDX-License-Identifier: MIT
/* Looking for providers of a model; see discover.h. */
#include "node/discover.h"

#include "base/mem.h"
#include "base/trace.h"
#include "dht/addrs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MISSING_US (3 * US_PER_S)
#define NEW_US     (3 * US_PER_S) /* who has not identified itself by then is no Conduit node */
#define AGAIN_US   (20 * US_PER_MS)
#define BROWSE_US  (2 * US_PER_S) /* the first time unasked; then twice as long, up to: */
#define BROWSE_MAX (5 * 60 * US_PER_S)
enum {
    TRIED_MAX = 16, /* connections made at a time, and feeds opened at most */
    NAMED_MAX = LIMIT_DHT_CANDIDATES,
    SOURCES = LIMIT_DHT_PATHS + 1,
    SOURCE_MAX = TRIED_MAX / LIMIT_DHT_PATHS,
    MISSING_MAX = 256,
};

/* Somebody whom the DHT names as a provider: it may not exist, or offer something else. Few are dialled at a time, and
 * fewer are followed; whoever was of no use makes room for the next.
 *
 *   NAMED --> CONNECTING --> CONNECTED --its feed may have a place--> LISTENING --> OVER
 *                   \---- not reached, or followed already ----------------------> */
enum found_state { NAMED, CONNECTING, CONNECTED, LISTENING, OVER };
struct found {
    struct list link;
    struct discover_search *s;
    struct peer_id peer;
    struct dht_addrs addrs; /* while NAMED */
    int source;             /* of the lookup, that told of it */
    enum found_state state;
    bool has_listened;
    struct p2p_connect connect;
};

struct discover_search {
    struct list link;
    struct discover *d;
    char model[OFFER_NAME];
    discover_done done;
    void *ctx;
    struct dht_query *query;
    bool is_variant;    /* NAME:QUANT: asked for as it is, and, when nobody has that, as NAME */
    bool is_base;       /* … which is the question now */
    bool is_unasked;    /* to be asked again in a moment */
    bool is_asked;      /* the DHT has nothing more to say */
    bool is_complete;   /* … and it said all */
    bool is_remembered; /* it was not asked: nobody had it a moment ago */
    struct feeds_waiter waiter;
    struct timer deadline, again;
    struct task task;
    struct list found; /* in the order they were named */
    size_t found_count;
    unsigned dialled[SOURCES], dialling[SOURCES];   /* of those that each told of; so far, now */
    unsigned listened[SOURCES], listening[SOURCES]; /* the same */
};

static void found_free(struct found *f)
{
    if (f->state == CONNECTING)
        p2p_connect_cancel(&f->connect);
    dht_addrs_fini(&f->addrs);
    list_remove(&f->link);
    free(f);
}

static void search_free(struct discover_search *s)
{
    if (s->query)
        dht_cancel(s->d->dht, s->query);
    LIST_FOREACH_SAFE (&s->found, it)
        found_free(LIST_ENTRY(it, struct found, link));
    feeds_unwait(&s->waiter);
    timer_clear(s->d->sched, &s->deadline);
    timer_clear(s->d->sched, &s->again);
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
        if (o->peer->bar == CATALOGUE_USED &&
            (any ? (o->offer.abilities & OFFER_CHAT) != 0 : catalogue_is_named(&o->offer, model)))
            return true;
    return false;
}

/* Not what was only remembered, or whoever asks every second would never search again; nor while somebody
 * has it and could not be reached: he may be, at another address, in a moment. */
static bool may_remember(struct discover_search *s)
{
    bool yes = !s->is_remembered;
    LIST_FOREACH (&s->found, it)
        yes &= feeds_is_known(s->d->feeds, &LIST_ENTRY(it, struct found, link)->peer);
    return yes;
}

static void finish(struct discover_search *s, bool is_complete)
{
    discover_done done = s->done;
    void *ctx = s->ctx;
    bool found = is_known(s);
    if (is_complete && !found && may_remember(s))
        remember_missing(s->d, s->model);
    TRACE(NODE, DEBUG, "search for %s: %zu providers -> %s", s->model, s->found_count,
          found         ? "found"
          : is_complete ? "nobody has it"
                        : "not finished in time");
    search_free(s);
    done(ctx, is_complete);
}

/* Somebody came a moment ago and has not said yet who it is, or what it offers: the bootstrap node itself, when
 * the first question comes right after the start. */
static bool is_somebody_new(const struct discover *d)
{
    struct p2p_peer_view v;
    void *cursor = NULL;
    if (!feeds_are_known(d->feeds))
        return true;
    while (p2p_host_peers(d->host, &cursor, &v))
        if ((!v.record || !*v.record->version) && sched_now(d->sched) - v.since_us < NEW_US)
            return true;
    return false;
}

/* Too early to say that nobody has it. */
static bool is_early(const struct discover *d)
{
    bool is_joining = !d->has_joined(d->ctx) && sched_now(d->sched) - d->started_us < NEW_US;
    return is_joining || is_somebody_new(d);
}

/* --- those who were named --- */

static void on_connected(struct p2p_connect *r, int err, const struct peer_id *peer,
                         const char *why);

static size_t count_in(struct discover_search *s, enum found_state state)
{
    size_t n = 0;
    LIST_FOREACH (&s->found, it)
        n += LIST_ENTRY(it, struct found, link)->state == state;
    return n;
}

/* The next to dial. The sources of the lookup take turns, and while it goes on each has its share of the dials: who
 * lies is one of them, and however many peers he names that do not answer, those whom the others tell of do not
 * wait for them. */
static struct found *next_named(struct discover_search *s)
{
    struct found *next = NULL;
    LIST_FOREACH (&s->found, it) {
        struct found *f = LIST_ENTRY(it, struct found, link);
        bool may =
            f->state == NAMED && (s->is_asked || !f->source || s->dialling[f->source] < SOURCE_MAX);
        if (may && (!next || s->dialled[f->source] < s->dialled[next->source]))
            next = f;
    }
    return next;
}

static void dial(struct found *f)
{
    struct discover *d = f->s->d;
    struct bytes addrs[LIMIT_DHT_ADDRS];
    size_t n = (size_t)dht_addrs_get(&f->addrs, addrs);
    f->s->dialled[f->source]++;
    f->s->dialling[f->source]++;
    f->state = CONNECTING;
    p2p_host_learn(d->host, &f->peer, addrs, n, PEER_ADDR_TTL_HEARD);
    f->connect = (struct p2p_connect){
        .peer = &f->peer,
        .addrs = addrs,
        .addr_count = n,
        .timeout_us = 5 * US_PER_S,
        .done = on_connected,
    };
    p2p_host_connect(d->host, &f->connect);
    dht_addrs_fini(&f->addrs);
}

static void dial_more(struct discover_search *s)
{
    struct found *f;
    for (size_t n = count_in(s, CONNECTING); n < TRIED_MAX && (f = next_named(s)); n++)
        dial(f);
}

/* No search may fill all places that feeds have. */
static size_t listened_max(const struct discover *d)
{
    size_t n = 1 + d->feeds->max / 4;
    return n < TRIED_MAX ? n : TRIED_MAX;
}

/* Who turned out to offer something else keeps its place, since its feed keeps one. */
static bool has_place(const struct found *f)
{
    return f->state == LISTENING ||
           (f->has_listened && map_get(&f->s->d->offers->peers, peer_id_bytes(&f->peer)));
}

/* The next whose feed may have a place: the sources take turns here too, and none may hold all places, or peers that
 * are there and say nothing would hide everybody else. */
static struct found *next_connected(struct discover_search *s, size_t share)
{
    struct found *next = NULL;
    LIST_FOREACH (&s->found, it) {
        struct found *f = LIST_ENTRY(it, struct found, link);
        bool may = f->state == CONNECTED && s->listening[f->source] < share;
        if (may && (!next || s->listened[f->source] < s->listened[next->source]))
            next = f;
    }
    return next;
}

static void listen_more(struct discover_search *s)
{
    size_t used = 0, max = listened_max(s->d);
    size_t share = (max + LIMIT_DHT_PATHS - 1) / LIMIT_DHT_PATHS;
    struct found *f;
    LIST_FOREACH (&s->found, it)
        used += has_place(LIST_ENTRY(it, struct found, link));
    for (; used < max && (f = next_connected(s, share)); used++) {
        f->state = LISTENING;
        f->has_listened = true;
        s->listened[f->source]++;
        s->listening[f->source]++;
        feeds_want(s->d->feeds, &f->peer);
    }
}

/* --- what became of it --- */

/* Is there anything left to wait for? */
static void look(struct discover_search *s)
{
    bool waiting = !s->is_asked || s->d->is_loading(s->d->ctx, bytes_str(s->model));
    if (is_known(s)) {
        finish(s, true);
        return;
    }
    dial_more(s);
    listen_more(s);
    waiting |= count_in(s, CONNECTING) || count_in(s, LISTENING);
    if (!waiting && is_early(s->d))
        timer_set(s->d->sched, &s->again, sched_now(s->d->sched) + AGAIN_US);
    else if (!waiting)
        finish(s, s->is_complete && !count_in(s, NAMED) && !count_in(s, CONNECTED) &&
                      s->d->has_joined(s->d->ctx));
}

static void look_soon(struct discover_search *s)
{
    task_defer(s->d->sched, &s->task);
}

static void on_task(struct task *t)
{
    look(CONTAINER_OF(t, struct discover_search, task));
}

static struct found *found_of(struct discover_search *s, const struct peer_id *peer)
{
    LIST_FOREACH (&s->found, it) {
        struct found *f = LIST_ENTRY(it, struct found, link);
        if (peer_id_eq(&f->peer, peer))
            return f;
    }
    return NULL;
}

static void on_news(struct feeds_waiter *w, const struct peer_id *peer)
{
    struct discover_search *s = CONTAINER_OF(w, struct discover_search, waiter);
    struct found *f = found_of(s, peer);
    if (f && f->state == LISTENING)
        s->listening[f->source]--;
    if (f && (f->state == CONNECTED || f->state == LISTENING))
        f->state = OVER;
    look_soon(s);
}

static bool wants(struct feeds_waiter *w, const struct peer_id *peer)
{
    const struct found *f = found_of(CONTAINER_OF(w, struct discover_search, waiter), peer);
    return f && f->state == LISTENING;
}

static void on_connected(struct p2p_connect *r, int err, const struct peer_id *peer,
                         const char *why)
{
    struct found *f = CONTAINER_OF(r, struct found, connect);
    f->s->dialling[f->source]--;
    /* Connected: its offers come with the feed. Failed: nothing will come. */
    f->state = err || feeds_is_known(f->s->d->feeds, &f->peer) ? OVER : CONNECTED;
    look_soon(f->s);
}

static void on_provider(void *ctx, const struct dht_peer *peer)
{
    struct discover_search *s = ctx;
    struct discover *d = s->d;
    if (s->found_count == NAMED_MAX || peer_id_eq(&peer->id, p2p_host_id(d->host)) ||
        found_of(s, &peer->id))
        return;
    d->told(d->ctx, &peer->id);
    struct found *f = MEM_NEW(struct found);
    f->s = s;
    f->peer = peer->id;
    f->source = dht_query_source(s->query);
    dht_addrs_set(&f->addrs, peer->addrs, peer->addr_count);
    list_append(&s->found, &f->link);
    s->found_count++;
    if (feeds_is_known(d->feeds, &peer->id))
        f->state = OVER;
    dial_more(s);
}

static void ask(struct discover_search *s);

static void on_asked(void *ctx, int err)
{
    struct discover_search *s = ctx;
    s->query = NULL;
    if (err == E_UNAVAILABLE && is_early(s->d)) { /* there was nobody to ask yet */
        s->is_unasked = true;
        timer_set(s->d->sched, &s->again, sched_now(s->d->sched) + AGAIN_US);
        return;
    }
    if (s->is_variant && s->found_count == 0 && (err == 0 || err == E_NOT_FOUND)) {
        s->is_variant = false;
        s->is_base = true;
        ask(s);
        return;
    }
    s->is_asked = true;
    s->is_complete = err == 0 || err == E_UNAVAILABLE || err == E_NOT_FOUND;
    look_soon(s);
}

static void on_deadline(struct timer *t)
{
    finish(CONTAINER_OF(t, struct discover_search, deadline), false);
}

static void on_again(struct timer *t)
{
    struct discover_search *s = CONTAINER_OF(t, struct discover_search, again);
    if (s->is_unasked && !is_known(s)) {
        s->is_unasked = false;
        ask(s);
    } else {
        look(s);
    }
}

/* A variant is provided under the name in front of it; what is behind a colon may be one, or part of the name. */
static void ask(struct discover_search *s)
{
    char text[OFFER_NAME + 16];
    uint8_t key[DHT_KEY_TEXT];
    struct bytes name = bytes_first(bytes_str(s->model), strcspn(s->model, "@"));
    const uint8_t *colon = memrchr(name.p, ':', name.n);
    if (s->is_base)
        name = bytes_first(name, (size_t)(colon - name.p));
    else
        s->is_variant = colon && colon > name.p;
    if (catalogue_is_any(bytes_str(s->model)))
        snprintf(text, sizeof text, "protocol:openai");
    else
        snprintf(text, sizeof text, "model:%.*s", BYTES_FMT(name));
    dht_key_text(bytes_str(text), key);
    /* All of them: how many are needed until one is good is not known beforehand. */
    s->query =
        dht_find_providers(s->d->dht, bytes_of(key, sizeof key), 0, on_provider, on_asked, s);
}

struct discover_search *discover_start(struct discover *d, struct bytes model, uint64_t timeout_us,
                                       discover_done done, void *ctx)
{
    struct discover_search *s = MEM_NEW(struct discover_search);
    *s = (struct discover_search){
        .d = d, .done = done, .ctx = ctx, .waiter = {.news = on_news, .wants = wants}};
    snprintf(s->model, sizeof s->model, "%.*s", BYTES_FMT(model));
    list_init(&s->found);
    list_append(&d->searches, &s->link);
    feeds_wait(d->feeds, &s->waiter);
    timer_init(&s->deadline, on_deadline);
    timer_init(&s->again, on_again);
    timer_after(d->sched, &s->deadline, timeout_us);
    task_init(&s->task, on_task);
    uint64_t *missing = map_get(&d->missing, bytes_str(s->model));
    if (missing && *missing > sched_now(d->sched)) {
        s->is_asked = s->is_complete = s->is_remembered = true;
        look_soon(s);
        return s;
    }
    ask(s);
    return s;
}

void discover_cancel(struct discover_search *s)
{
    search_free(s);
}

void discover_poke(struct discover *d)
{
    LIST_FOREACH (&d->searches, it)
        look_soon(LIST_ENTRY(it, struct discover_search, link));
}

/* --- unasked --- */

static void browsed(void *ctx, bool is_complete)
{
}

static void on_browse(struct timer *t)
{
    struct discover *d = CONTAINER_OF(t, struct discover, browse);
    if (d->has_joined && d->has_joined(d->ctx) && map_count(&d->feeds->by_peer) == 0) {
        discover_start(d, (struct bytes){0}, 2 * NEW_US, browsed, NULL);
        d->browse_us = 2 * d->browse_us < BROWSE_MAX ? 2 * d->browse_us : BROWSE_MAX;
    }
    timer_about(d->sched, t, d->browse_us, US_PER_S / 2);
}

void discover_init(struct discover *d, struct p2p_host *host, struct dht *dht, struct sched *sched,
                   struct feeds *feeds, struct catalogue *offers, uint64_t seed)
{
    *d = (struct discover){.host = host,
                           .dht = dht,
                           .sched = sched,
                           .feeds = feeds,
                           .offers = offers,
                           .started_us = sched_now(sched)};
    list_init(&d->searches);
    map_init(&d->missing, seed);
    timer_init(&d->browse, on_browse);
    d->browse_us = BROWSE_US;
    timer_after(sched, &d->browse, d->browse_us);
}

void discover_fini(struct discover *d)
{
    timer_clear(d->sched, &d->browse);
    LIST_FOREACH_SAFE (&d->searches, it)
        search_free(LIST_ENTRY(it, struct discover_search, link));
    for (struct map_entry *e = map_first(&d->missing); e; e = map_next(&d->missing, e))
        free(e->value);
    map_fini(&d->missing);
}
