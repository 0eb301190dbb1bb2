// SPDX-License-Identifier: MIT
/* See kept.h. */
#include "node/kept.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/trace.h"
#include "codec/multiaddr.h"
#include "dht/addrs.h"
#include "node/datadir.h"

#include <stdlib.h>

#define ASK_US    (2 * US_PER_S)
#define FIRST_US  (60 * US_PER_S)
#define SAVE_US   (1800 * US_PER_S)
#define FORGET_MS (UINT64_C(30) * 24 * 3600 * 1000)
#define FILE_NAME "peers"

struct kept_peer {
    struct list link;
    struct peer_id id;
    uint64_t seen_ms;
    struct dht_addrs addrs;
};

static void drop(struct kept *k, struct kept_peer *p)
{
    list_remove(&p->link);
    k->count--;
    dht_addrs_fini(&p->addrs);
    free(p);
}

static struct kept_peer *find(struct kept *k, const struct peer_id *id)
{
    LIST_FOREACH (&k->peers, it) {
        struct kept_peer *p = LIST_ENTRY(it, struct kept_peer, link);
        if (peer_id_eq(&p->id, id))
            return p;
    }
    return NULL;
}

/* In its place by when it was seen; over the limit the one longest unseen goes. */
static void put(struct kept *k, const struct dht_peer *peer, uint64_t seen_ms)
{
    struct kept_peer *p = find(k, &peer->id);
    if (p && p->seen_ms > seen_ms)
        return;
    if (!p) {
        p = MEM_NEW(struct kept_peer);
        list_init(&p->link);
        p->id = peer->id;
        k->count++;
    }
    p->seen_ms = seen_ms;
    dht_addrs_set(&p->addrs, peer->addrs, peer->addr_count);
    list_remove(&p->link);
    struct list *at = k->peers.next;
    while (at != &k->peers && LIST_ENTRY(at, struct kept_peer, link)->seen_ms > seen_ms)
        at = at->next;
    list_append(at, &p->link); /* in front of `at` */
    if (k->count > LIMIT_KEPT_PEERS)
        drop(k, LIST_ENTRY(k->peers.prev, struct kept_peer, link));
}

/* --- reading --- */

/* The next word of a line; empty at its end. */
static struct bytes word(struct bytes *line)
{
    while (line->n && *line->p == ' ')
        *line = bytes_skip(*line, 1);
    size_t n = 0;
    while (n < line->n && line->p[n] != ' ')
        n++;
    struct bytes w = bytes_first(*line, n);
    *line = bytes_skip(*line, n);
    return w;
}

static bool read_number(struct bytes text, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || i >= 15)
            return false;
        *out = *out * 10 + (uint64_t)(text.p[i] - '0');
    }
    return text.n > 0;
}

static void read_line(struct kept *k, struct bytes line)
{
    struct multiaddr addr[LIMIT_DHT_ADDRS];
    struct bytes addrs[LIMIT_DHT_ADDRS];
    struct dht_peer peer = {.addrs = addrs};
    uint64_t seen_ms, now = sched_wall_ms(k->sched);
    struct bytes w = word(&line);
    if (peer_id_parse(w, &peer.id) != 0 || !read_number(word(&line), &seen_ms) ||
        seen_ms + FORGET_MS < now)
        return;
    while (peer.addr_count < LIMIT_DHT_ADDRS && (w = word(&line)).n)
        if (multiaddr_parse(w, &addr[peer.addr_count]) == 0) {
            addrs[peer.addr_count] = multiaddr_bytes(&addr[peer.addr_count]);
            peer.addr_count++;
        }
    if (peer.addr_count)
        put(k, &peer, seen_ms < now ? seen_ms : now);
}

static void load(struct kept *k)
{
    uint8_t *text;
    size_t n;
    if (datadir_read(k->dir, FILE_NAME, LIMIT_KEPT_FILE, &text, &n) != 0)
        return;
    for (struct bytes rest = bytes_of(text, n); rest.n;) {
        const uint8_t *end = memchr(rest.p, '\n', rest.n);
        size_t len = end ? (size_t)(end - rest.p) : rest.n;
        read_line(k, bytes_first(rest, len));
        rest = bytes_skip(rest, end ? len + 1 : len);
    }
    free(text);
    for (struct list *it = k->peers.prev; it != &k->peers; it = it->prev) { /* the last seen last */
        struct kept_peer *p = LIST_ENTRY(it, struct kept_peer, link);
        struct bytes addrs[LIMIT_DHT_ADDRS];
        struct dht_peer peer = {p->id, addrs, dht_addrs_get(&p->addrs, addrs)};
        k->found(k->ctx, &p->id);
        dht_remember(k->dht, &peer);
    }
    TRACE(NODE, INFO, "%zu peers are known from before -> asked when nobody else is there",
          k->count);
}

/* --- writing --- */

static void on_contact(void *ctx, const struct dht_peer *peer)
{
    struct kept *k = ctx;
    if (!k->may_keep(k->ctx, &peer->id))
        return;
    uint64_t ago_us = sched_now(k->sched) - dht_last_seen(k->dht, &peer->id);
    put(k, peer, sched_wall_ms(k->sched) - ago_us / 1000);
}

static void put_line(const struct kept_peer *p, struct buf *out)
{
    char id[PEER_ID_TEXT], text[512];
    struct bytes addrs[LIMIT_DHT_ADDRS];
    int n = dht_addrs_get(&p->addrs, addrs);
    (void)buf_printf(out, "%s %llu", peer_id_text(&p->id, id, sizeof id),
                     (unsigned long long)p->seen_ms);
    for (int i = 0; i < n; i++)
        (void)buf_printf(out, " %s", multiaddr_text(addrs[i], text, sizeof text));
    (void)buf_append_byte(out, '\n');
}

void kept_save(struct kept *k)
{
    struct buf b;
    dht_each_peer(k->dht, on_contact, k);
    if (k->count == 0)
        return;
    buf_init(&b, LIMIT_KEPT_FILE);
    LIST_FOREACH (&k->peers, it)
        put_line(LIST_ENTRY(it, struct kept_peer, link), &b);
    struct bytes v = buf_view(&b);
    int err = datadir_write(k->dir, FILE_NAME, v.p, v.n, 0600);
    if (err)
        TRACE(NODE, WARN, "%s/" FILE_NAME ": %s -> good peers are not kept", k->dir, err_text(err));
    buf_fini(&b);
}

/* --- when --- */

static void on_ask(struct timer *t)
{
    struct kept *k = CONTAINER_OF(t, struct kept, ask);
    if (dht_stats(k->dht).table_peers == 0)
        dht_bootstrap(k->dht);
}

static void add_mark(void *ctx, const struct dht_peer *peer)
{
    uint64_t part = 0;
    memcpy(&part, peer->id.b + peer->id.len - sizeof part,
           sizeof part); /* the end of a hash or key */
    *(uint64_t *)ctx += part * 0x9e3779b97f4a7c15u;
}

static void on_save(struct timer *t)
{
    struct kept *k = CONTAINER_OF(t, struct kept, save);
    uint64_t mark = 0;
    dht_each_peer(k->dht, add_mark, &mark);
    if (mark != k->mark)
        kept_save(k);
    k->mark = mark;
    timer_after(k->sched, t, SAVE_US);
}

void kept_init(struct kept *k, struct sched *sched, struct dht *dht, const char *dir,
               void (*found)(void *ctx, const struct peer_id *peer),
               bool (*may_keep)(void *ctx, const struct peer_id *peer), void *ctx)
{
    *k = (struct kept){
        .sched = sched, .dht = dht, .dir = dir, .found = found, .may_keep = may_keep, .ctx = ctx};
    list_init(&k->peers);
    timer_init(&k->ask, on_ask);
    timer_init(&k->save, on_save);
    load(k);
    if (k->count)
        timer_after(sched, &k->ask, ASK_US);
    timer_after(sched, &k->save, FIRST_US);
}

void kept_fini(struct kept *k)
{
    timer_clear(k->sched, &k->ask);
    timer_clear(k->sched, &k->save);
    LIST_FOREACH_SAFE (&k->peers, it)
        drop(k, LIST_ENTRY(it, struct kept_peer, link));
}
