// SPDX-License-Identifier: MIT
/* The book on disk, and the routes; see invites.h. */
#include "node/invites.h"

#include "base/mem.h"
#include "base/trace.h"
#include "codec/json.h"
#include "codec/multiaddr.h"
#include "node/invite_addrs.h"
#include "node/node_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char file_name[] = "invites.cbor";
#define SAVE_US       (2 * US_PER_S)
#define EXPIRES_S     (UINT64_C(7) * 86400)    /* unless said otherwise */
#define EXPIRES_MAX_S (UINT64_C(3650) * 86400) /* ten years */
enum { SHOW_AGAIN_S = 10, DEFAULT_PORT = 8000, BODY_MAX = 16384 };

/* --- the file --- */

static int save(struct invites *v)
{
    struct buf b;
    buf_init(&b, 0);
    timer_clear(v->sched, &v->save);
    int err = invite_book_write(&v->book, &b);
    err = err ? err : datadir_write(v->dir, file_name, buf_view(&b).p, buf_len(&b), 0600);
    if (err)
        TRACE(NODE, ERROR, "%s/%s cannot be written: %s -> tried again", v->dir, file_name,
              err_text(err));
    v->is_dirty = v->is_failing = err != 0;
    if (err)
        timer_after(v->sched, &v->save, SAVE_US);
    buf_fini(&b);
    return err;
}

static void on_save(struct timer *t)
{
    struct invites *v = CONTAINER_OF(t, struct invites, save);
    invite_book_settle(&v->book);
    (void)save(v);
}

static int on_keep(void *ctx)
{
    struct invites *v = ctx;
    return v->is_failing ? E_IO : save(v); /* it is tried again every two seconds */
}

static void on_changed(void *ctx)
{
    struct invites *v = ctx;
    v->is_dirty = true;
    if (!timer_is_set(&v->save))
        timer_after(v->sched, &v->save, SAVE_US);
}

static void on_minute(struct timer *t)
{
    struct invites *v = CONTAINER_OF(t, struct invites, minute);
    struct invite_now now = invites_now(v);
    LIST_FOREACH (&v->book.entries, it) {
        const struct invite_entry *e = LIST_ENTRY(it, struct invite_entry, link);
        if (now.s >= e->invite.expires_s && v->ended)
            v->ended(v->ctx, &e->guest);
    }
    invite_book_expire(&v->book, &now);
    timer_after(v->sched, t, 60 * US_PER_S);
}

struct invite_now invites_now(const struct invites *v)
{
    uint64_t s = sched_wall_ms(v->sched) / 1000;
    time_t t = (time_t)s;
    struct tm tm;
    localtime_r(&t, &tm);
    return (struct invite_now){
        .s = s,
        .day = (uint32_t)((t + tm.tm_gmtoff) / 86400),
        .minute_of_day = (unsigned)(tm.tm_hour * 60 + tm.tm_min),
    };
}

int invites_init(struct invites *v, struct sched *sched, struct rng *rng, const char *dir,
                 const struct key_pair *key, char why[static CONFIG_WHY])
{
    uint8_t *p = NULL;
    size_t n = 0;
    *v = (struct invites){.sched = sched, .rng = rng, .dir = dir, .key = key};
    invite_book_init(&v->book);
    timer_init(&v->save, on_save);
    timer_init(&v->minute, on_minute);
    timer_after(sched, &v->minute, 60 * US_PER_S);
    rates_init(&v->shows_ip, LIMIT_INVITE_SHOW_RATE_IP, LIMIT_INVITE_SHOW_BURST_IP,
               LIMIT_INVITE_SHOW_RATED, rng_u64(rng));
    rates_init(&v->shows, LIMIT_INVITE_SHOW_RATE, LIMIT_INVITE_SHOW_BURST, 1, rng_u64(rng));
    int err = datadir_read(dir, file_name, LIMIT_INVITE_BOOK, &p, &n);
    if (err == E_NOT_FOUND)
        err = 0;
    else if (!err)
        err = invite_book_read(&v->book, bytes_of(p, n));
    free(p);
    if (err)
        snprintf(why, CONFIG_WHY,
                 "%s/%s cannot be read (%s); move it away to begin without the invites in it", dir,
                 file_name, err_text(err));
    v->book.changed = on_changed;
    v->book.keep = on_keep;
    v->book.ctx = v;
    return err;
}

void invites_fini(struct invites *v)
{
    if (v->is_dirty) {
        invite_book_settle(&v->book);
        (void)save(v);
    }
    timer_clear(v->sched, &v->save);
    timer_clear(v->sched, &v->minute);
    rates_fini(&v->shows_ip);
    rates_fini(&v->shows);
    invite_book_fini(&v->book);
}

/* --- as JSON --- */

static void put_time(struct json_writer *w, const char *key, uint64_t s)
{
    char text[32];
    time_t t = (time_t)s;
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_member_str(w, key, text);
}

static void put_terms(struct json_writer *w, const struct invite_terms *t)
{
    char hours[16];
    json_key(w, "models");
    json_open_array(w);
    for (int i = 0; i < INVITE_MODELS && *t->models[i]; i++)
        json_put_str(w, t->models[i]);
    json_close_array(w);
    json_member_u64(w, "requests_per_day", t->requests_per_day);
    json_member_u64(w, "tokens_per_day", t->tokens_per_day);
    json_member_u64(w, "concurrent", t->concurrent);
    snprintf(hours, sizeof hours, "%02u:%02u-%02u:%02u", t->hours.start / 60u % 100,
             t->hours.start % 60u, t->hours.end / 60u % 100, t->hours.end % 60u);
    json_member_str(w, "hours", t->hours.is_set ? hours : "");
}

static void put_invite(struct json_writer *w, const struct invite *v)
{
    char id[INVITE_ID_TEXT];
    json_member_str(w, "id", invite_id_text(v->id, id));
    json_member_str(w, "name", v->name);
    put_time(w, "expires", v->expires_s);
    put_terms(w, &v->terms);
}

static const char *state_of(const struct invite_entry *e, uint64_t now_s)
{
    return e->is_revoked                  ? "revoked"
           : now_s >= e->invite.expires_s ? "expired"
           : peer_id_is_none(&e->guest)   ? "waiting"
                                          : "in use";
}

static void put_entry(struct json_writer *w, const struct invite_entry *e,
                      const struct invite_now *now)
{
    char text[PEER_ID_TEXT];
    bool today = e->day == now->day;
    json_open_object(w);
    put_invite(w, &e->invite);
    json_member_str(w, "state", state_of(e, now->s));
    json_member_str(w, "guest", peer_id_text(&e->guest, text, sizeof text));
    json_member_u64(w, "requests_today", today ? e->requests : 0);
    json_member_u64(w, "tokens_today", today ? e->tokens : 0);
    json_member_u64(w, "running", e->running);
    json_close_object(w);
}

static void reply(struct http_exchange *x, struct buf *b)
{
    http_exchange_reply(x, 200, "application/json", NULL, 0, buf_view(b));
    buf_fini(b);
}

/* --- made --- */

static int bad(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int bad(char *why, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, CONFIG_WHY, fmt, ap);
    va_end(ap);
    return E_INVALID;
}

static int read_number(const struct json *root, const char *key, uint64_t max, uint64_t *out,
                       char *why)
{
    const struct json *v = json_get(root, key);
    *out = 0;
    if (!v || json_kind_of(v) == JSON_NULL)
        return 0;
    if (!json_u64(v, out) || *out > max)
        return bad(why, "%s: not a number from 0 to %llu", key, (unsigned long long)max);
    return 0;
}

static int read_models(const struct json *root, struct invite_terms *t, char *why)
{
    size_t n = 0;
    for (struct json_iter it = json_iter(json_get(root, "models")); json_next(&it);) {
        struct bytes name = json_str(it.value);
        if (n == INVITE_MODELS)
            return bad(why, "models: at most %d can be named", INVITE_MODELS);
        if (name.n == 0 || name.n >= OFFER_NAME)
            return bad(why, "models: '%.*s' is no name", BYTES_FMT(bytes_first(name, 60)));
        memcpy(t->models[n++], name.p, name.n);
    }
    return 0;
}

static int read_hours(const struct json *root, struct schedule *s, char *why)
{
    struct bytes text = json_get_str(root, "hours");
    char start[8] = "", end[8] = "";
    size_t dash = text.n ? bytes_find(text, '-') : 0;
    if (text.n == 0)
        return 0;
    if (dash < sizeof start && text.n - dash <= sizeof end) {
        memcpy(start, text.p, dash);
        memcpy(end, text.p + dash + 1, text.n > dash ? text.n - dash - 1 : 0);
    }
    if (schedule_init(s, start, end) || !s->is_set)
        return bad(why, "hours: '%.*s' is not as 08:00-22:00", BYTES_FMT(bytes_first(text, 40)));
    return 0;
}

static int read_terms(const struct json *root, struct invite_terms *t, char *why)
{
    uint64_t concurrent = 0;
    int err = read_models(root, t, why);
    err = err ? err : read_number(root, "requests_per_day", UINT32_MAX, &t->requests_per_day, why);
    err =
        err ? err : read_number(root, "tokens_per_day", UINT64_C(1) << 53, &t->tokens_per_day, why);
    err = err ? err : read_number(root, "concurrent", 65536, &concurrent, why);
    t->concurrent = (uint32_t)concurrent;
    return err ? err : read_hours(root, &t->hours, why);
}

/* Those that were given, or our own. */
static int add_addresses(struct node *n, const struct json *root, struct invite *v, char *why)
{
    const struct bytes *own;
    size_t count = p2p_host_addrs(n->host, &own);
    for (struct json_iter it = json_iter(json_get(root, "addresses")); json_next(&it);) {
        struct bytes text = json_str(it.value);
        struct multiaddr m;
        if (v->addr_count == INVITE_ADDRS)
            return bad(why, "addresses: at most %d fit in", INVITE_ADDRS);
        if (multiaddr_parse_loose(text, DEFAULT_PORT, &m) ||
            multiaddr_copy(multiaddr_without_peer(multiaddr_bytes(&m)), &v->addrs[v->addr_count]))
            return bad(why, "addresses: '%.*s' is neither a multiaddr nor host:port",
                       BYTES_FMT(bytes_first(text, 80)));
        v->addr_count++;
    }
    if (!v->addr_count)
        v->addr_count = invite_addrs_pick(own, count, v->addrs);
    return v->addr_count ? 0 : bad(why, "this node listens nowhere, so nobody can come");
}

static int read_wish(struct node *n, const struct json *root, struct invite *v, char *why)
{
    uint64_t expires = 0;
    struct bytes name = json_get_str(root, "name");
    if (name.n >= sizeof v->name)
        return bad(why, "name: longer than %zu bytes", sizeof v->name - 1);
    memcpy(v->name, name.n ? name.p : (const uint8_t *)"", name.n);
    int err = read_number(root, "expires_s", EXPIRES_MAX_S, &expires, why);
    err = err ? err : read_terms(root, &v->terms, why);
    err = err ? err : add_addresses(n, root, v, why);
    v->expires_s = sched_wall_ms(n->sched) / 1000 + (expires ? expires : EXPIRES_S);
    v->issuer = n->key.id;
    rng_fill(n->rng, v->id, sizeof v->id);
    if (n->has_network) {
        v->has_network = true;
        memcpy(v->network, n->network.b, sizeof v->network);
    }
    return err;
}

/* Into the book and on disk, then as text. */
static int make(struct node *n, const struct invite *v, struct buf *text, char *why)
{
    struct invites *in = &n->invites;
    struct invite_now now = invites_now(in);
    int err = invite_text(v, in->key, text);
    if (err)
        return bad(why, "a name or model has control characters, or all of them are too long for "
                        "one invite");
    err = invite_book_add(&in->book, v, &now);
    if (err == E_EXISTS)
        return bad(why, "an invite named '%s' holds already; conduit invite revoke %s", v->name,
                   v->name);
    if (err)
        return bad(why, "this node has given out %d invites, which is all it can",
                   (int)LIMIT_INVITES);
    return save(in) ? bad(why, "%s/%s cannot be written", in->dir, file_name) : 0;
}

static void put_addresses(struct json_writer *w, const struct invite *v)
{
    char text[256];
    json_key(w, "addresses");
    json_open_array(w);
    for (size_t i = 0; i < v->addr_count; i++)
        json_put_str(w, multiaddr_text(multiaddr_bytes(&v->addrs[i]), text, sizeof text));
    json_close_array(w);
}

static void tell_made(struct node *n, struct http_exchange *x, const struct invite *v,
                      struct buf *text)
{
    struct buf b;
    buf_init(&b, 0);
    (void)buf_reserve(&b, 8 * KIB, &(uint8_t *){0}); /* one piece, to be wiped */
    struct json_writer w = json_write(&b);
    json_open_object(&w);
    json_key(&w, "invite");
    json_put_bytes(&w, buf_view(text));
    put_invite(&w, v);
    json_member_bool(&w, "has_network_key", v->has_network);
    put_addresses(&w, v);
    json_member_bool(&w, "is_local", invite_addrs_are_local(v->addrs, v->addr_count));
    json_member_bool(&w, "is_invite_only", n->access.is_closed || n->access.has_allow);
    json_close_object(&w);
    http_exchange_reply(x, 200, "application/json", NULL, 0, buf_view(&b));
    buf_wipe(&b);
}

void invites_serve_make(void *node, struct http_exchange *x, const struct http_head *head,
                        const struct router_match *match, struct bytes body)
{
    struct node *n = node;
    struct json_doc *doc = NULL;
    struct invite v = {0};
    struct buf text;
    char why[CONFIG_WHY] = "the body is not a JSON object", id[INVITE_ID_TEXT];
    buf_init(&text, 0);
    (void)buf_reserve(&text, LIMIT_INVITE_TEXT, &(uint8_t *){0});
    int err = json_parse(body, BODY_MAX, &doc, NULL);
    if (!err && json_kind_of(json_root(doc)) != JSON_OBJECT)
        err = E_INVALID;
    err = err ? err : read_wish(n, json_root(doc), &v, why);
    err = err ? err : make(n, &v, &text, why);
    if (err) {
        http_exchange_error(x, 400, "invalid_invite", 0, "%s", why);
    } else {
        TRACE(NODE, INFO, "invite %.8s '%s' -> made", invite_id_text(v.id, id), v.name);
        tell_made(n, x, &v, &text);
    }
    buf_wipe(&text);
    json_free(doc);
    invite_fini(&v);
}

/* --- looked at, taken back --- */

void invites_serve_list(void *node, struct http_exchange *x, const struct http_head *head,
                        const struct router_match *match, struct bytes body)
{
    struct node *n = node;
    struct invite_now now = invites_now(&n->invites);
    struct buf b;
    buf_init(&b, 0);
    struct json_writer w = json_write(&b);
    json_open_object(&w);
    json_key(&w, "invites");
    json_open_array(&w);
    LIST_FOREACH (&n->invites.book.entries, it)
        put_entry(&w, LIST_ENTRY(it, struct invite_entry, link), &now);
    json_close_array(&w);
    json_close_object(&w);
    reply(x, &b);
}

void invites_standing_changed(void *node, const struct peer_id *peer)
{
    struct node *n = node;
    if (peer_id_is_none(peer))
        return;
    node_trust_guest(n, peer);
    node_on_learnt(n, peer);
    gateway_feed_end_peer(n->gateway, peer_id_bytes(peer));
}

static void tell_revoked(struct node *n, struct http_exchange *x, const struct invite_entry *e,
                         int err)
{
    struct invite_now now = invites_now(&n->invites);
    struct buf b;
    if (err) {
        http_exchange_error(x, 503, "revocation_not_kept", 0,
                            "nothing more is served under it as long as this node runs, but %s/%s "
                            "cannot be written: after a restart it would hold again",
                            n->invites.dir, file_name);
        return;
    }
    buf_init(&b, 0);
    struct json_writer w = json_write(&b);
    put_entry(&w, e, &now);
    reply(x, &b);
}

void invites_serve_revoke(void *node, struct http_exchange *x, const struct http_head *head,
                          const struct router_match *match, struct bytes body)
{
    struct node *n = node;
    struct json_doc *doc = NULL;
    char id[INVITE_ID_TEXT];
    (void)json_parse(body, BODY_MAX, &doc, NULL);
    struct bytes what = json_get_str(json_root(doc), "invite");
    struct invite_entry *e = invite_book_find(&n->invites.book, what);
    if (!e) {
        http_exchange_error(
            x, 404, "no_such_invite", 0,
            "there is no invite '%.*s', or more than one; conduit invite list shows "
            "them",
            BYTES_FMT(bytes_first(what, 60)));
    } else {
        invite_book_revoke(&n->invites.book, e);
        int err = save(&n->invites);
        TRACE(NODE, INFO, "invite %.8s '%s' -> revoked", invite_id_text(e->invite.id, id),
              e->invite.name);
        invites_standing_changed(n, &e->guest);
        tell_revoked(n, x, e, err);
    }
    json_free(doc);
}

/* --- shown by a peer --- */

/* `was`: what it was a guest by until now; guests look now and then whether their invite still holds. */
static void accept_guest(struct node *n, struct http_exchange *x, struct invite_entry *e,
                         const struct invite_entry *was, bool is_new)
{
    char id[INVITE_ID_TEXT], who[16];
    struct buf b;
    invite_id_text(e->invite.id, id);
    if (e != was) {
        TRACE(NODE, INFO, "%s shows invite %.8s '%s' -> %s", peer_id_short(&e->guest, who), id,
              e->invite.name, is_new ? "bound to it" : "it is a guest");
        invites_standing_changed(n, &e->guest);
    }
    buf_init(&b, 0);
    struct json_writer w = json_write(&b);
    json_open_object(&w);
    put_invite(&w, &e->invite);
    json_close_object(&w);
    reply(x, &b);
}

bool invites_may_show(struct invites *v, const struct peer_id *who, const struct net_addr *from,
                      bool is_guest)
{
    uint8_t group[8];
    uint64_t now = sched_now(v->sched);
    bool is_near = from && net_addr_is_loopback(from);
    struct bytes key = from ? bytes_of(group, net_addr_group(from, group)) : peer_id_bytes(who);
    bool ok = is_near || rates_take(&v->shows_ip, key, now);
    ok = ok && (is_guest || rates_take(&v->shows, BYTES_LIT("all"), now));
    v->shows_refused += !ok;
    return ok;
}

void invites_serve_show(void *node, struct http_exchange *x, const struct http_head *head,
                        const struct router_match *match, struct bytes body)
{
    struct node *n = node;
    const struct principal *who = http_exchange_principal(x);
    struct peer_id peer = {.len = who->id_len};
    struct invite_now now = invites_now(&n->invites);
    struct invite_entry *e = NULL;
    struct guard_refusal why;
    struct json_doc *doc = NULL;
    char short_id[16];
    memcpy(peer.b, who->id, who->id_len);
    uint64_t before = n->invites.book.bindings;
    const struct invite_entry *was = invite_book_of(&n->invites.book, peer_id_bytes(&peer), now.s);
    const struct net_addr *from =
        p2p_stream_is_relayed(http_exchange_stream(x)) ? NULL : http_exchange_remote(x);
    if (!invites_may_show(&n->invites, &peer, from, was != NULL)) {
        http_exchange_error(x, 429, "invite_too_often", SHOW_AGAIN_S,
                            "invites are shown to this node more often than it looks at them");
        return;
    }
    (void)json_parse(body, BODY_MAX, &doc, NULL);
    int err = invite_book_show(&n->invites.book, &n->key.id, json_get_str(json_root(doc), "invite"),
                               &peer, &now, &e, &why);
    bool is_new = !err && n->invites.book.bindings != before;
    json_wipe(doc);
    http_exchange_wipe_body(x);
    if (is_new && save(&n->invites)) { /* a binding that a restart forgets is none */
        invite_book_unbind(&n->invites.book, e);
        err = guard_refuse(&why, 503, "invite_not_kept", 60,
                           "this node cannot write down that the invite is yours now");
    }
    if (err) {
        TRACE(NODE, INFO, "%s shows an invite: %s -> refused", peer_id_short(&peer, short_id),
              why.code);
        http_exchange_error(x, why.status, why.code, why.retry_after_s, "%s", why.message);
    } else {
        accept_guest(n, x, e, was, is_new);
    }
}
