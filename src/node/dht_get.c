// SPDX-License-Identifier: MIT
/* See dht_get.h. One run asks the DHT, connects to whom it names, and waits until each was heard or cannot be,
 * eight seconds at most. It lists FOUND_MAX of them; each source of the lookup has its share of the list, and what is
 * left when all was asked goes to the sources in turn, so that one liar hides nobody. */
#include "node/dht_get.h"

#include "base/mem.h"
#include "base/text.h"
#include "codec/json.h"
#include "codec/multiaddr.h"
#include "dht/addrs.h"
#include "dht/record.h"
#include "node/node_impl.h"
#include "node/node_record.h"

#include <stdlib.h>
#include <string.h>

#define TOTAL_US (8 * US_PER_S)
#define DIAL_US  (5 * US_PER_S)
#define UNKNOWN  UINT64_MAX
enum {
    FOUND_MAX = 32,  /* in the list */
    NAMED_MAX = 128, /* in mind */
    SOURCE_MAX = FOUND_MAX / LIMIT_DHT_PATHS,
    RUNS_MAX = 8,
    KEY_MAX = 256
};

struct found {
    struct run *r;
    struct peer_id peer;
    int source; /* of the lookup, that told of it */
    struct p2p_connect connect;
    struct dht_addrs addrs; /* what the DHT said */
    bool is_listed, is_connecting, is_over;
    char why[96]; /* it could not be reached */
};

struct run {
    struct list link;
    struct node *n;
    struct http_exchange *x;
    char key[KEY_MAX];
    struct dht_query *query, *value_query;
    struct feeds_waiter waiter;
    struct timer deadline;
    struct task look;
    bool knew_somebody; /* there was somebody to ask */
    const char *why;    /* the answer is not complete; NULL: it is */
    struct found found[NAMED_MAX];
    size_t count, listed;
    size_t listed_of[LIMIT_DHT_PATHS + 1]; /* by source */
    struct node_record record;
    bool has_record;
};

static void run_free(struct run *r)
{
    if (r->query)
        dht_cancel(r->n->kad.dht, r->query);
    if (r->value_query)
        dht_cancel(r->n->kad.dht, r->value_query);
    for (size_t i = 0; i < r->count; i++) {
        if (r->found[i].is_connecting)
            p2p_connect_cancel(&r->found[i].connect);
        dht_addrs_fini(&r->found[i].addrs);
    }
    feeds_unwait(&r->waiter);
    timer_clear(r->n->sched, &r->deadline);
    task_cancel(&r->look);
    list_remove(&r->link);
    r->n->dht_get_count--;
    free(r);
}

/* --- the document --- */

static void put_load(struct json_writer *w, uint32_t slots, uint32_t busy, uint32_t queued,
                     double tokens_per_s)
{
    json_member_u64(w, "slots", slots);
    json_member_u64(w, "busy", busy);
    json_member_u64(w, "queued", queued);
    if (slots)
        json_member_double(w, "load", (double)(busy + queued) / slots);
    if (tokens_per_s > 0)
        json_member_double(w, "tokens_per_s", tokens_per_s);
}

static void put_offer(struct run *r, struct json_writer *w, const struct catalogue_offer *o,
                      uint64_t *uptime_s, uint64_t *seen_us)
{
    struct node *n = r->n;
    struct route_key key;
    const struct measure *m = measures_peek(&n->measures, route_key_of(&o->offer, &key));
    json_open_object(w);
    json_member_str(w, "model", o->offer.model);
    json_member_str(w, "quantization", o->offer.quant);
    json_member_u64(w, "context", o->offer.context);
    if (o->peer->is_own) {
        uint32_t busy, queued;
        uint32_t slots = engine_model_slots(n->engine, bytes_str(o->offer.model));
        ways_load(&n->ways, o->offer.model, &busy, &queued);
        put_load(w, slots ? slots : n->ways.default_slots, busy, queued, m ? m->tokens_per_s : 0);
        *uptime_s = (sched_now(n->sched) - n->started_us) / US_PER_S;
        *seen_us = sched_now(n->sched);
    } else if (m && m->load_at_us) {
        put_load(w, m->slots, m->busy, m->queued,
                 m->told_tokens_per_s > 0 ? m->told_tokens_per_s : m->tokens_per_s);
        uint64_t now_s = m->told_uptime_s + (sched_now(n->sched) - m->load_at_us) / US_PER_S;
        *uptime_s = *uptime_s == UNKNOWN || now_s > *uptime_s ? now_s : *uptime_s;
        *seen_us = m->load_at_us > *seen_us ? m->load_at_us : *seen_us;
    }
    json_close_object(w);
}

static void put_addrs(struct json_writer *w, const struct found *f)
{
    char text[512];
    struct bytes addrs[LIMIT_DHT_ADDRS];
    int n = dht_addrs_get(&f->addrs, addrs);
    json_open_array(w);
    for (int i = 0; i < n; i++)
        json_put_str(w, multiaddr_text(addrs[i], text, sizeof text));
    json_close_array(w);
}

static void put_peer(struct run *r, struct json_writer *w, const struct found *f)
{
    struct node *n = r->n;
    char text[PEER_ID_TEXT];
    struct p2p_peer_view v;
    uint64_t uptime_s = UNKNOWN, seen_us = 0;
    bool is_own = peer_id_eq(&f->peer, &n->key.id);
    bool is_connected = !is_own && p2p_host_peer(n->host, &f->peer, &v);
    json_open_object(w);
    json_member_str(w, "peer", peer_id_text(&f->peer, text, sizeof text));
    json_key(w, "addresses");
    put_addrs(w, f);
    json_member_str(w, "state", is_own ? "this node" : is_connected ? "connected" : "not reached");
    if (feeds_is_other(&n->feeds, &f->peer))
        json_member_str(w, "why", "it is no Conduit node");
    else if (!is_own && !is_connected && *f->why)
        json_member_str(w, "why", f->why);
    if (is_connected) {
        json_member_str(w, "agent", v.record ? v.record->agent : "");
        json_member_double(w, "rtt_ms", (double)v.rtt_us / 1000);
        seen_us = dht_last_seen(n->kad.dht, &f->peer);
    }
    json_key(w, "offers");
    json_open_array(w);
    for (const struct catalogue_offer *o = catalogue_next(&n->offers, NULL); o;
         o = catalogue_next(&n->offers, o))
        if (peer_id_eq(&o->offer.peer, &f->peer) && !o->is_private)
            put_offer(r, w, o, &uptime_s, &seen_us);
    json_close_array(w);
    if (uptime_s != UNKNOWN)
        json_member_u64(w, "uptime_s", uptime_s);
    if (seen_us)
        json_member_u64(w, "last_seen_ms",
                        sched_wall_ms(n->sched) - (sched_now(n->sched) - seen_us) / 1000);
    json_close_object(w);
}

static void finish(struct run *r)
{
    struct buf b;
    struct http_exchange *x = r->x;
    buf_init(&b, 0);
    struct json_writer w = json_write(&b);
    json_open_object(&w);
    json_member_str(&w, "key", r->key);
    json_member_bool(&w, "complete", !r->why);
    if (r->why)
        json_member_str(&w, "why", r->why);
    json_key(&w, "peers");
    json_open_array(&w);
    for (size_t i = 0; i < r->count; i++)
        if (r->found[i].is_listed)
            put_peer(r, &w, &r->found[i]);
    json_close_array(&w);
    if (r->has_record) {
        json_key(&w, "record");
        node_record_json(&r->record, &w);
    }
    json_close_object(&w);
    run_free(r);
    if (w.err)
        http_exchange_error(x, 500, "internal_error", 0, "the answer could not be made");
    else
        http_exchange_reply(x, 200, "application/json", NULL, 0, buf_view(&b));
    buf_fini(&b);
}

/* --- the run --- */

static void on_look(struct task *t)
{
    struct run *r = CONTAINER_OF(t, struct run, look);
    bool is_waiting = r->query || r->value_query;
    for (size_t i = 0; i < r->count; i++)
        is_waiting |= r->found[i].is_listed && !r->found[i].is_over;
    if (!is_waiting)
        finish(r);
}

static void look_soon(struct run *r)
{
    task_defer(r->n->sched, &r->look);
}

static void on_deadline(struct timer *t)
{
    struct run *r = CONTAINER_OF(t, struct run, deadline);
    r->why = "timeout";
    finish(r);
}

static void on_news(struct feeds_waiter *w, const struct peer_id *peer)
{
    struct run *r = CONTAINER_OF(w, struct run, waiter);
    for (size_t i = 0; i < r->count; i++)
        if (peer_id_eq(&r->found[i].peer, peer) && r->found[i].is_listed &&
            !r->found[i].is_connecting)
            r->found[i].is_over = true;
    look_soon(r);
}

static bool wants(struct feeds_waiter *w, const struct peer_id *peer)
{
    const struct run *r = CONTAINER_OF(w, struct run, waiter);
    for (size_t i = 0; i < r->count; i++)
        if (r->found[i].is_listed && peer_id_eq(&r->found[i].peer, peer))
            return true;
    return false;
}

/* Connected: its offers and load come with the feed, unless it is no Conduit node. */
static void on_connected(struct p2p_connect *c, int err, const struct peer_id *peer,
                         const char *why)
{
    struct found *f = CONTAINER_OF(c, struct found, connect);
    struct node *n = f->r->n;
    f->is_connecting = false;
    f->is_over = err != 0 || feeds_is_known(&n->feeds, &f->peer);
    if (err)
        text_copy(f->why, sizeof f->why, why && *why ? why : err_text(err));
    else if (!f->is_over)
        feeds_want(&n->feeds, &f->peer);
    look_soon(f->r);
}

/* Into the list, and connected to. */
static void add_to_list(struct found *f)
{
    struct run *r = f->r;
    struct node *n = r->n;
    struct bytes addrs[LIMIT_DHT_ADDRS];
    r->listed++;
    r->listed_of[f->source]++;
    f->is_listed = true;
    f->is_over = peer_id_eq(&f->peer, &n->key.id) || feeds_is_known(&n->feeds, &f->peer);
    if (f->is_over)
        return;
    node_on_told(n, &f->peer);
    f->is_connecting = true;
    f->connect = (struct p2p_connect){
        .peer = &f->peer,
        .addrs = addrs,
        .addr_count = (size_t)dht_addrs_get(&f->addrs, addrs),
        .timeout_us = DIAL_US,
        .done = on_connected,
    };
    p2p_host_connect(n->host, &f->connect);
}

static void on_peer(void *ctx, const struct dht_peer *peer)
{
    struct run *r = ctx;
    if (r->count == NAMED_MAX)
        return;
    struct found *f = &r->found[r->count++];
    f->r = r;
    f->peer = peer->id;
    f->source = r->query ? dht_query_source(r->query) : 0;
    dht_addrs_set(&f->addrs, peer->addrs, peer->addr_count);
    if (r->listed < FOUND_MAX && (!f->source || r->listed_of[f->source] < SOURCE_MAX))
        add_to_list(f);
}

/* Of the source that has least in the list, the first that it named. */
static struct found *next_named(struct run *r)
{
    struct found *next = NULL;
    for (size_t i = 0; i < r->count; i++) {
        struct found *f = &r->found[i];
        if (!f->is_listed && (!next || r->listed_of[f->source] < r->listed_of[next->source]))
            next = f;
    }
    return next;
}

static void fill_list(struct run *r)
{
    struct found *f;
    while (r->listed < FOUND_MAX && (f = next_named(r)))
        add_to_list(f);
}

static void on_asked(void *ctx, int err)
{
    struct run *r = ctx;
    r->query = NULL;
    fill_list(r);
    if (err == E_TIMEOUT)
        r->why = "timeout";
    else if (err == E_UNAVAILABLE)
        r->why = r->knew_somebody ? "nobody_answered" : "nobody_to_ask";
    look_soon(r);
}

static void on_value(void *ctx, struct bytes value, const struct dht_record *record)
{
    struct run *r = ctx;
    r->has_record = node_record_read(record, &r->record) == 0;
}

static void on_value_asked(void *ctx, int err)
{
    struct run *r = ctx;
    r->value_query = NULL;
    look_soon(r);
}

static void on_gone(void *user, int err)
{
    run_free(user);
}

/* This node is not among those that the DHT tells us of. */
static void add_self(struct run *r)
{
    const struct bytes *addrs;
    struct dht_peer self = {.id = r->n->key.id};
    self.addr_count = (int)p2p_host_addrs(r->n->host, &addrs);
    self.addrs = addrs;
    on_peer(r, &self);
}

static void ask_providers(struct run *r)
{
    struct dht *d = r->n->kad.dht;
    uint8_t key[DHT_KEY_TEXT];
    dht_key_text(bytes_str(r->key), key);
    if (dht_is_provided(d, bytes_of(key, sizeof key)))
        add_self(r);
    r->query = dht_find_providers(d, bytes_of(key, sizeof key), NAMED_MAX, on_peer, on_asked, r);
}

static void ask_node(struct run *r, const struct peer_id *id)
{
    struct dht *d = r->n->kad.dht;
    char key[LIMIT_DHT_KEY + 1];
    int n = dht_record_key("node", id, key);
    if (peer_id_eq(id, &r->n->key.id))
        add_self(r);
    else
        r->query = dht_find_peer(d, id, on_peer, on_asked, r);
    r->value_query = dht_get_value(d, bytes_of(key, (size_t)n), on_value, on_value_asked, r);
}

/* What a key may be; else a sentence. */
static const char *check_key(struct bytes key, struct peer_id *id, bool *is_node)
{
    static const char *const forms[] = {"model:", "protocol:"};
    *is_node = bytes_eq_str(bytes_first(key, 5), "node:");
    if (*is_node)
        return peer_id_parse(bytes_skip(key, 5), id)
                   ? "node: wants a peer id, as node:12D3KooW…; `conduit key` prints a node's own"
                   : NULL;
    if (bytes_eq_str(key, "all_nodes"))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (key.n > strlen(forms[i]) && bytes_eq_str(bytes_first(key, strlen(forms[i])), forms[i]))
            return NULL;
    return "a key is model:NAME, protocol:ID, node:PEER-ID or all_nodes";
}

void dht_get_serve(void *node, struct http_exchange *x, const struct http_head *head,
                   const struct router_match *match, struct bytes body)
{
    static const struct http_exchange_events events = {.gone = on_gone};
    struct node *n = node;
    char key[KEY_MAX];
    struct peer_id id;
    bool is_node;
    ssize_t len = http_query_get(head->query, "key", key, sizeof key);
    const char *wrong = len < 0 || memchr(key, 0, (size_t)len)
                            ? "a key is missing, or too long"
                            : check_key(bytes_of(key, (size_t)len), &id, &is_node);
    if (wrong) {
        http_exchange_error(x, 400, "bad_key", 0, "%s", wrong);
        return;
    }
    if (!n->has_discover || n->dht_get_count >= RUNS_MAX) {
        http_exchange_error(x, 503, "busy", 1, "other keys are being looked up");
        return;
    }
    struct run *r = MEM_NEW(struct run);
    r->n = n;
    r->x = x;
    memcpy(r->key, key, (size_t)len);
    list_append(&n->dht_gets, &r->link);
    n->dht_get_count++;
    r->waiter.news = on_news;
    r->waiter.wants = wants;
    feeds_wait(&n->feeds, &r->waiter);
    timer_init(&r->deadline, on_deadline);
    timer_after(n->sched, &r->deadline, TOTAL_US);
    task_init(&r->look, on_look);
    http_exchange_listen(x, &events, r);
    r->knew_somebody = dht_stats(n->kad.dht).table_peers > 0;
    if (is_node)
        ask_node(r, &id);
    else
        ask_providers(r);
}

void dht_get_end_all(struct node *n)
{
    LIST_FOREACH_SAFE (&n->dht_gets, it) {
        struct run *r = LIST_ENTRY(it, struct run, link);
        struct http_exchange *x = r->x;
        run_free(r);
        http_exchange_error(x, 503, "stopping", 0, "the node is stopping");
    }
}

void dht_status_serve(void *node, struct http_exchange *x, const struct http_head *head,
                      const struct router_match *match, struct bytes body)
{
    const struct node *n = node;
    struct dht_stats s = dht_stats(n->kad.dht);
    struct buf b;
    buf_init(&b, 0);
    struct json_writer w = json_write(&b);
    json_open_object(&w);
    json_member_str(&w, "peer", n->peer);
    json_member_bool(&w, "server", n->kad.is_server);
    json_member_u64(&w, "peers", s.table_peers);
    json_member_u64(&w, "buckets", s.buckets);
    json_member_u64(&w, "known_from_before", n->kept.count);
    json_member_u64(&w, "provider_keys", s.provider_keys);
    json_member_u64(&w, "provider_records", s.provider_records);
    json_member_u64(&w, "values", s.values);
    json_member_u64(&w, "announced_keys", s.own_keys);
    json_member_u64(&w, "lookups", s.queries);
    json_member_u64(&w, "requests_sent", s.rpcs_sent);
    json_member_u64(&w, "requests_failed", s.rpcs_failed);
    json_member_u64(&w, "requests_served", s.served);
    json_member_u64(&w, "requests_refused", s.refused);
    json_close_object(&w);
    http_exchange_reply(x, 200, "application/json", NULL, 0, buf_view(&b));
    buf_fini(&b);
}
