// SPDX-License-Identifier: MIT
/* Event streams of offers and load, read; see feeds.h. */
#include "node/feeds.h"

#include "base/mem.h"
#include "base/trace.h"
#include "codec/json.h"
#include "codec/multibase.h"
#include "gateway/gateway.h"
#include "http/sse.h"
#include "node/feed_load.h"
#include "node/feed_origin.h"
#include "route/choose.h"

#include <stdlib.h>

#define RETRY_US    (2 * US_PER_S)
#define EMPTY_US    (60 * US_PER_S) /* an empty feed has its place at least so long */
#define STALL_US    (45 * US_PER_S) /* load is told every 10 s */
#define CIRCUIT_US  (10 * US_PER_S) /* a new circuit instead of one that was cut */
#define CIRCUITS_US (5 * US_PER_S)  /* and not more often */
#define FULL_US     (2 * US_PER_S)  /* no place found: not looked for again so soon */

enum {
    UNPROVEN_SHARE = 4, /* one place's part of all feeds, while they have said nothing */
    EMPTY_MAX = 16,     /* feeds of peers that offer nothing, and might begin to */
    /* Of RETRY_US; fewer while its offers are counted on: an unused connection rests after half a minute, and who falls
     * silent then is noticed too late. */
    DOUBLINGS = 5,
    DOUBLINGS_COUNTED = 3,
    BAD_TOLD =
        3, /* bad offers of one feed that the log hears of; a peer can send a thousand a second */
};

struct feed {
    struct feeds *f;
    struct peer_id peer;
    struct feed_origin origin;
    struct p2p_open open;
    bool is_opening, is_known;
    bool is_current; /* the snapshot of this call has come */
    bool says_lan;   /* was asked for as one who knows it from the LAN only */
    struct http_call *call;
    struct sse sse;
    struct timer retry;
    unsigned failures, bad;
    struct feed_load load;
    uint64_t since_us;
    /* over a circuit that its relay cuts after two minutes: */
    bool is_limited, is_reconnecting;
    bool
        is_resting; /* … on which a peer that offers nothing is not followed: no stream, until it is asked for */
    bool is_relayed; /* it moves when there is a direct connection */
    struct p2p_connect connect;
    uint64_t connected_us;
};

static void feed_open(struct feed *w);

static void tell(struct feeds *f, const struct peer_id *peer)
{
    LIST_FOREACH_SAFE (&f->waiters, it) {
        struct feeds_waiter *w = LIST_ENTRY(it, struct feeds_waiter, link);
        w->news(w, peer);
    }
}

static void feed_free(struct feed *w)
{
    if (w->is_opening)
        p2p_open_cancel(&w->open);
    if (w->is_reconnecting)
        p2p_connect_cancel(&w->connect);
    if (w->call)
        http_call_cancel(w->call);
    timer_clear(w->f->sched, &w->retry);
    sse_fini(&w->sse);
    free(w);
}

/* --- events --- */

static int take_offer(struct feed *w, const struct json *root)
{
    struct buf signed_offer;
    struct offer o;
    buf_init(&signed_offer, LIMIT_OFFER);
    int err = base_decode(BASE_64URL, json_get_str(root, "offer"), &signed_offer);
    if (!err)
        err = offer_verify(buf_view(&signed_offer), &w->peer, sched_wall_ms(w->f->sched), &o);
    if (!err)
        err = catalogue_put(w->f->offers, &o, false);
    catalogue_set_limited(w->f->offers, &w->peer, w->is_limited);
    buf_fini(&signed_offer);
    return err == E_DUPLICATE ? 0 : err;
}

static void take_withdrawal(struct feed *w, const struct json *root)
{
    char id[OFFER_ID];
    struct bytes v = json_get_str(root, "offer");
    if (v.n >= sizeof id)
        return;
    memcpy(id, v.p, v.n);
    id[v.n] = 0;
    (void)catalogue_withdraw(w->f->offers, &w->peer, id);
}

static void take_event(struct feed *w, const struct sse_item *item)
{
    struct json_doc *doc;
    char who[16];
    if (json_parse(item->data, 2 * LIMIT_OFFER, &doc, NULL))
        return;
    const struct json *root = json_root(doc);
    if (bytes_eq_str(item->name, "offer")) {
        int err = take_offer(w, root);
        if (err && w->bad++ < BAD_TOLD)
            TRACE(NODE, WARN, "offer of %s is not good: %s -> ignored%s",
                  peer_id_short(&w->peer, who), err_text(err),
                  w->bad == BAD_TOLD ? ", as are more of them" : "");
    } else if (bytes_eq_str(item->name, "load")) {
        feed_load_take(&w->load, w->f, &w->peer, root);
    } else if (bytes_eq_str(item->name, "withdraw")) {
        take_withdrawal(w, root);
    } else if (bytes_eq_str(item->name, "snapshot")) {
        w->is_known = w->is_current = true;
        w->failures = 0;
    }
    json_free(doc);
}

/* --- the call --- */

/* `err`: how the last try ended. A peer that is connected and says nothing on its feed, not even the load it
 * tells every ten seconds, is wedged: it answers pings, and would answer no request. Its offers go until it
 * speaks again. */
static void again(struct feed *w, int err)
{
    if (err == E_TIMEOUT && map_get(&w->f->offers->peers, peer_id_bytes(&w->peer))) {
        char who[16];
        TRACE(NODE, WARN, "%s is connected and silent -> its offers are not counted on",
              peer_id_short(&w->peer, who));
        catalogue_drop_peer(w->f->offers, &w->peer);
    }
    struct feeds *f = w->f;
    struct peer_id peer = w->peer;
    w->is_known = true; /* as far as it goes */
    w->failures++;
    unsigned most =
        map_get(&f->offers->peers, peer_id_bytes(&peer)) ? DOUBLINGS_COUNTED : DOUBLINGS;
    unsigned doublings = w->failures < most ? w->failures : most;
    timer_after(f->sched, &w->retry, RETRY_US << doublings);
    tell(f, &peer);
}

/* Tells nothing: its peer offers nothing, or the feed has failed. */
static bool is_empty(const struct feeds *f, const struct feed *w)
{
    return w->is_known && !map_get(&f->offers->peers, peer_id_bytes(&w->peer));
}

/* It offers nothing, and its feed would hold a place of a stranger's relay for nothing. */
static void rest(struct feed *w)
{
    http_call_cancel(w->call);
    w->call = NULL;
    w->is_resting = true;
}

/* Not a feed, or no longer one that can be read. */
static void give_up(struct feed *w)
{
    http_call_cancel(w->call);
    w->call = NULL;
    again(w, E_PROTO);
}

static void on_head(void *ctx, const struct http_head *head)
{
    struct feed *w = ctx;
    struct bytes type = bytes_first(http_header_get(head, "content-type"), 17);
    if (head->status == 401 || head->status == 403) /* it serves us no longer, or never did */
        catalogue_drop_peer(w->f->offers, &w->peer);
    if (head->status != 200 || !bytes_eq_nocase(type, BYTES_LIT("text/event-stream"))) {
        give_up(w);
        return;
    }
    struct bytes serves = http_header_get(head, GATEWAY_SERVES_FIELD);
    trust_refuses(w->f->trust, &w->peer, bytes_eq_str(serves, "no"));
    catalogue_review(w->f->offers, &w->peer);
}

static void on_body(void *ctx, struct bytes piece)
{
    struct feed *w = ctx;
    struct peer_id peer = w->peer;
    struct feeds *f = w->f;
    struct sse_item item;
    uint64_t before = f->offers->changes;
    bool was_known = w->is_known, was_current = w->is_current;
    int rc;
    while ((rc = sse_next(&w->sse, &piece, &item)) == 1)
        if (item.kind == SSE_EVENT && item.data_lines)
            take_event(w, &item);
    if (rc == E_TOO_BIG) {
        give_up(w);
        return;
    }
    if (w->is_limited && !was_current && w->is_current && is_empty(f, w))
        rest(w);
    if (f->offers->changes != before || was_known != w->is_known)
        tell(f, &peer);
}

static void on_done(void *ctx, const struct http_call_result *r)
{
    struct feed *w = ctx;
    w->call = NULL;
    again(w, r->err);
}

static const struct http_call_events call_events = {
    .head = on_head, .body = on_body, .done = on_done};

static void on_opened(struct p2p_open *r, int err, struct stream *s)
{
    struct feed *w = CONTAINER_OF(r, struct feed, open);
    char host[PEER_ID_TEXT];
    const struct http_header headers[] = {
        {BYTES_LIT("accept"), BYTES_LIT("text/event-stream")},
        {BYTES_LIT(GATEWAY_FOUND_FIELD), BYTES_LIT("lan")},
    };
    w->is_opening = false;
    if (err) {
        again(w, err);
        return;
    }
    struct p2p_peer_view view;
    w->says_lan = trust_is_from_lan(w->f->trust, &w->peer);
    bool is_there = p2p_host_peer(w->f->host, &w->peer, &view);
    w->is_limited = is_there && view.is_limited;
    catalogue_set_limited(w->f->offers, &w->peer, w->is_limited);
    w->is_relayed = is_there && p2p_stream_is_relayed(s);
    w->connected_us = sched_now(w->f->sched);
    struct http_request req = {
        .method = "GET",
        .target = BYTES_LIT("/conduit/v1/offers"),
        .host = bytes_str(peer_id_text(&w->peer, host, sizeof host)),
        .headers = headers,
        .header_count = w->says_lan ? 2 : 1,
        .must_close = true,
        .first_byte_us = 20 * US_PER_S,
        .stall_us = STALL_US,
    };
    sse_fini(&w->sse);
    sse_init(&w->sse, 2 * LIMIT_OFFER);
    w->bad = 0;
    w->call = http_call_open(w->f->client, s, &req, &call_events, w, &err);
    if (!w->call)
        again(w, err);
}

static void feed_open(struct feed *w)
{
    w->is_opening = true;
    w->is_current = w->is_resting = false;
    w->open = (struct p2p_open){
        .peer = w->peer,
        .protocol = HTTP_PROTOCOL,
        .timeout_us = 20 * US_PER_S,
        .is_background = true,
        .only_connected = true,
        .done = on_opened,
    };
    p2p_host_open(w->f->host, &w->open);
}

static void on_retry(struct timer *t)
{
    feed_open(CONTAINER_OF(t, struct feed, retry));
}

/* --- peers come and go --- */

/* An empty feed, the oldest first; else, for a peer somebody searches for, the provider least recently used. */
static struct feed *spare(const struct feeds *f, bool is_wanted)
{
    uint64_t now = sched_now(f->sched);
    for (struct map_entry *e = map_first(&f->by_peer); e; e = map_next(&f->by_peer, e)) {
        struct feed *w = e->value;
        if (is_empty(f, w) && (is_wanted || w->is_resting || now - w->since_us >= EMPTY_US))
            return w;
    }
    if (is_wanted)
        LIST_FOREACH (&f->offers->by_use, it) {
            const struct catalogue_peer *p = LIST_ENTRY(it, struct catalogue_peer, link);
            struct feed *w = map_get(&f->by_peer, peer_id_bytes(&p->id));
            if (w)
                return w;
        }
    return NULL;
}

/* Everybody may begin to offer something, but in a large network not everybody can be watched for it. */
static bool is_enough(const struct feeds *f)
{
    uint32_t empty = 0;
    for (struct map_entry *e = map_first(&f->by_peer); e; e = map_next(&f->by_peer, e))
        empty += is_empty(f, e->value) && !((const struct feed *)e->value)->is_resting;
    return empty >= EMPTY_MAX || map_count(&f->by_peer) >= f->max;
}

/* Identities cost nothing, and each may say nothing for as long as we wait for its first word. */
static bool is_crowded(const struct feeds *f, const struct feed_origin *o)
{
    uint32_t unproven = 0;
    for (struct map_entry *e = o->n ? map_first(&f->by_peer) : NULL; e;
         e = map_next(&f->by_peer, e)) {
        const struct feed *w = e->value;
        unproven += !w->is_known && feed_origin_eq(&w->origin, o);
    }
    return unproven >= (f->max + UNPROVEN_SHARE - 1) / UNPROVEN_SHARE;
}

/* Whoever just connects never displaces a provider; who is searched for does. */
static bool has_room(struct feeds *f, bool is_wanted)
{
    if (!is_wanted && sched_now(f->sched) < f->full_until_us)
        return false;
    if (map_count(&f->by_peer) < f->max && (is_wanted || !is_enough(f)))
        return true;
    struct feed *w = spare(f, is_wanted);
    if (!w) {
        f->full_until_us = sched_now(f->sched) + FULL_US;
        return false;
    }
    struct peer_id id = w->peer;
    (void)map_take(&f->by_peer, peer_id_bytes(&id));
    feed_free(w);
    catalogue_drop_peer(f->offers, &id);
    return true;
}

/* Has identified itself as a node, whose offers can be asked for. */
static bool is_node(const struct known_peer *peer)
{
    return strncmp(peer->version, "/conduit/", 9) == 0 &&
           known_peer_has_protocol(peer, HTTP_PROTOCOL);
}

static void follow(struct feeds *f, const struct known_peer *peer, bool is_wanted)
{
    if (!is_node(peer) || (f->must_wait && f->must_wait(f->ctx, &peer->id)) ||
        map_get(&f->by_peer, peer_id_bytes(&peer->id)))
        return;
    struct feed_origin origin = feed_origin_of(f->host, &peer->id);
    if ((!is_wanted && is_crowded(f, &origin)) || !has_room(f, is_wanted))
        return;
    struct feed *w = MEM_NEW(struct feed);
    w->f = f;
    w->peer = peer->id;
    w->origin = origin;
    w->since_us = sched_now(f->sched);
    timer_init(&w->retry, on_retry);
    sse_init(&w->sse, 2 * LIMIT_OFFER);
    (void)map_put(&f->by_peer, peer_id_bytes(&peer->id), w);
    feed_open(w);
}

static bool is_searched(struct feeds *f, const struct peer_id *peer)
{
    LIST_FOREACH (&f->waiters, it) {
        struct feeds_waiter *w = LIST_ENTRY(it, struct feeds_waiter, link);
        if (w->wants(w, peer))
            return true;
    }
    return false;
}

/* A hole was punched: the stream that would hold the circuit open for ever goes over the new connection. */
static void move(struct feed *w)
{
    struct p2p_peer_view view;
    if ((!w->call && !w->is_resting) || !w->is_relayed ||
        !p2p_host_peer(w->f->host, &w->peer, &view) || view.is_relayed)
        return;
    if (w->call)
        http_call_cancel(w->call);
    w->call = NULL;
    feed_open(w);
}

static void on_identified(struct p2p_watch *watch, const struct known_peer *peer)
{
    struct feeds *f = CONTAINER_OF(watch, struct feeds, watch);
    struct feed *w = map_get(&f->by_peer, peer_id_bytes(&peer->id));
    if (w) {
        move(w);
        return;
    }
    if (is_node(peer))
        follow(f, peer, is_searched(f, &peer->id));
    else
        tell(f, &peer->id); /* nothing will come */
}

static void drop(struct feeds *f, const struct peer_id *peer)
{
    struct peer_id id = *peer;
    struct feed *w = map_take(&f->by_peer, peer_id_bytes(&id));
    if (w) {
        feed_free(w);
        f->full_until_us = 0;
    }
    catalogue_drop_peer(f->offers, &id);
    tell(f, &id);
}

static void on_reconnected(struct p2p_connect *r, int err, const struct peer_id *peer,
                           const char *why)
{
    struct feed *w = CONTAINER_OF(r, struct feed, connect);
    w->is_reconnecting = false;
    if (err)
        drop(w->f, &w->peer);
    else
        feed_open(w);
}

/* A stranger's relay cuts each circuit after two minutes. That says nothing of the provider: its offers stay
 * while another circuit is asked for. */
static bool reconnect(struct feed *w)
{
    struct feeds *f = w->f;
    bool is_provider = map_get(&f->offers->peers, peer_id_bytes(&w->peer));
    if (!w->is_limited || !is_provider || w->is_reconnecting ||
        sched_now(f->sched) < w->connected_us + CIRCUITS_US)
        return false;
    if (w->is_opening)
        p2p_open_cancel(&w->open);
    if (w->call)
        http_call_cancel(w->call);
    timer_clear(f->sched, &w->retry);
    w->is_opening = false;
    w->call = NULL;
    w->is_reconnecting = true;
    w->connect = (struct p2p_connect){
        .peer = &w->peer, .timeout_us = CIRCUIT_US, .is_urgent = true, .done = on_reconnected};
    p2p_host_connect(f->host, &w->connect);
    return true;
}

static void on_disconnected(struct p2p_watch *watch, const struct peer_id *peer, int err)
{
    struct feeds *f = CONTAINER_OF(watch, struct feeds, watch);
    struct feed *w = map_get(&f->by_peer, peer_id_bytes(peer));
    if (!w || !reconnect(w))
        drop(f, peer);
}

void feeds_init(struct feeds *f, struct p2p_host *host, struct sched *sched,
                struct http_client *client, struct catalogue *offers, struct measures *measures,
                struct trust *trust, uint64_t seed)
{
    *f = (struct feeds){.host = host,
                        .sched = sched,
                        .client = client,
                        .offers = offers,
                        .measures = measures,
                        .trust = trust,
                        .max = LIMIT_CATALOGUE_PEERS};
    map_init(&f->by_peer, seed);
    list_init(&f->waiters);
    f->watch = (struct p2p_watch){.disconnected = on_disconnected, .identified = on_identified};
    p2p_host_watch(host, &f->watch);
}

void feeds_fini(struct feeds *f)
{
    p2p_host_unwatch(&f->watch);
    for (struct map_entry *e = map_first(&f->by_peer); e; e = map_next(&f->by_peer, e))
        feed_free(e->value);
    map_fini(&f->by_peer);
}

void feeds_review(struct feeds *f, const struct peer_id *peer)
{
    struct feed *w = map_get(&f->by_peer, peer_id_bytes(peer));
    if (!w || !w->call || !w->says_lan || trust_is_from_lan(f->trust, peer))
        return;
    trust_refuses(f->trust, peer, false); /* that was said to a stranger */
    catalogue_review(f->offers, peer);
    http_call_cancel(w->call);
    w->call = NULL;
    feed_open(w);
}

void feeds_wait(struct feeds *f, struct feeds_waiter *w)
{
    list_append(&f->waiters, &w->link);
}

void feeds_unwait(struct feeds_waiter *w)
{
    list_remove(&w->link);
}

void feeds_want(struct feeds *f, const struct peer_id *peer)
{
    const struct known_peer *record = p2p_host_record(f->host, peer);
    struct feed *w = map_get(&f->by_peer, peer_id_bytes(peer));
    if (w && w->is_resting) {
        w->is_known = false;
        feed_open(w);
    } else if (record && p2p_host_is_connected(f->host, peer)) {
        follow(f, record, true);
    }
}

void feeds_refresh(struct feeds *f, const struct peer_id *peer)
{
    struct peer_id id = *peer;
    struct feed *w = map_get(&f->by_peer, peer_id_bytes(&id));
    if (!w) {
        feeds_want(f, &id);
        return;
    }
    if (w->is_opening || w->is_reconnecting)
        return; /* the request is still to be sent */
    if (w->call)
        http_call_cancel(w->call);
    w->call = NULL;
    timer_clear(f->sched, &w->retry);
    w->is_known = false;
    w->failures = 0;
    feed_open(w);
}

bool feeds_is_known(const struct feeds *f, const struct peer_id *peer)
{
    const struct feed *w = map_get(&f->by_peer, peer_id_bytes(peer));
    return w ? w->is_known && !w->is_resting : feeds_is_other(f, peer);
}

bool feeds_is_other(const struct feeds *f, const struct peer_id *peer)
{
    const struct known_peer *k = p2p_host_record(f->host, peer);
    return k && k->is_identified && !is_node(k) && p2p_host_is_connected(f->host, peer);
}

bool feeds_is_open(const struct feeds *f, const struct peer_id *peer)
{
    const struct feed *w = map_get(&f->by_peer, peer_id_bytes(peer));
    return w && w->call && w->is_current;
}

bool feeds_are_known(const struct feeds *f)
{
    for (struct map_entry *e = map_first(&f->by_peer); e; e = map_next(&f->by_peer, e))
        if (!((const struct feed *)e->value)->is_known)
            return false;
    return true;
}
