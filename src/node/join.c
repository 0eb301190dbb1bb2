// SPDX-License-Identifier: MIT
/* Bootstrap connections; see join.h. */
#include "node/join.h"

#include "base/mem.h"
#include "base/trace.h"
#include "codec/multiaddr.h"

#include <stdio.h>
#include <stdlib.h>

#define PAUSE_FIRST_US US_PER_S
#define PAUSE_MAX_US   (60 * US_PER_S)
#define AT_ONCE_US     US_PER_S        /* nobody who admits us leaves so soon */
#define STEADY_US      (10 * US_PER_S) /* what has lasted so long is tried again at once */
#define ASK_GAP_US     (20 * US_PER_S)
enum { DEFAULT_PORT = 8000 };

struct entry {
    struct list link;
    struct join *j;
    char *text;
    struct multiaddr addr;
    struct peer_id peer; /* pinned; none before the first answer */
    bool is_connected, was_tried, is_connecting;
    bool was_asked; /* for its table, on this connection */
    struct p2p_connect connect;
    struct timer retry;
    uint64_t pause_us, since_us;
    char why[160]; /* the last try failed; "": it did not, or there was none */
};

static void try_connect(struct entry *e)
{
    struct bytes addr = multiaddr_bytes(&e->addr);
    e->is_connecting = true;
    struct p2p_connect again = {
        .peer = peer_id_is_none(&e->peer) ? NULL : &e->peer,
        .addrs = &addr,
        .addr_count = 1,
        .timeout_us = 15 * US_PER_S,
        .is_urgent = true,
        .done = e->connect.done,
    };
    e->connect = again;
    p2p_host_connect(e->j->host, &e->connect);
}

static void retry_later(struct entry *e)
{
    timer_after(e->j->sched, &e->retry, e->pause_us);
    e->pause_us = e->pause_us * 2 < PAUSE_MAX_US ? e->pause_us * 2 : PAUSE_MAX_US;
}

static void on_connect(struct p2p_connect *r, int err, const struct peer_id *peer, const char *why)
{
    struct entry *e = CONTAINER_OF(r, struct entry, connect);
    char who[PEER_ID_TEXT];
    e->is_connecting = false;
    e->was_tried = true;
    snprintf(e->why, sizeof e->why, "%s", !err ? "" : why && *why ? why : err_text(err));
    if (err) {
        TRACE(NODE, WARN, "bootstrap %s: %s -> trying again in %llu s", e->text, e->why,
              (unsigned long long)(e->pause_us / US_PER_S));
        retry_later(e);
        return;
    }
    if (peer_id_is_none(&e->peer))
        TRACE(NODE, INFO, "bootstrap %s is %s -> pinned", e->text,
              peer_id_text(peer, who, sizeof who));
    e->peer = *peer;
    e->is_connected = true;
    e->since_us = sched_now(e->j->sched);
    p2p_host_protect(e->j->host, &e->peer, true);
    e->j->named(e->j->ctx, &e->peer);
}

static void on_retry(struct timer *t)
{
    try_connect(CONTAINER_OF(t, struct entry, retry));
}

/* Its table is ours to ask now: once a connection, not with each push of its identify, and not right
 * after that of another bootstrap node. */
static void ask_table(struct join *j, struct entry *e)
{
    uint64_t now = sched_now(j->sched);
    bool is_soon = j->asked_us && now - j->asked_us < ASK_GAP_US;
    bool was_asked = e->was_asked;
    e->was_asked = true;
    if (was_asked || is_soon)
        return;
    j->asked_us = now;
    dht_bootstrap(j->dht);
}

static void on_identified(struct p2p_watch *w, const struct known_peer *peer)
{
    struct join *j = CONTAINER_OF(w, struct join, watch);
    LIST_FOREACH (&j->entries, it)
        if (peer_id_eq(&LIST_ENTRY(it, struct entry, link)->peer, &peer->id)) {
            ask_table(j, LIST_ENTRY(it, struct entry, link));
            return;
        }
}

static void on_disconnected(struct p2p_watch *w, const struct peer_id *peer, int err)
{
    struct join *j = CONTAINER_OF(w, struct join, watch);
    LIST_FOREACH (&j->entries, it) {
        struct entry *e = LIST_ENTRY(it, struct entry, link);
        if (!e->is_connected || !peer_id_eq(&e->peer, peer))
            continue;
        uint64_t lasted_us = sched_now(j->sched) - e->since_us;
        if (lasted_us < AT_ONCE_US)
            TRACE(
                NODE, WARN,
                "bootstrap %s hung up at once; perhaps it does not admit this node -> trying again "
                "in %llu s",
                e->text, (unsigned long long)(e->pause_us / US_PER_S));
        else
            TRACE(NODE, WARN, "bootstrap %s is gone (%s) -> connecting again", e->text,
                  err_text(err));
        if (lasted_us >= STEADY_US)
            e->pause_us = PAUSE_FIRST_US;
        e->is_connected = e->was_asked = false;
        p2p_host_protect(j->host, &e->peer, false);
        retry_later(e);
    }
}

static int add(struct join *j, const char *text, char *why)
{
    struct entry *e = MEM_NEW(struct entry);
    int err = multiaddr_parse_loose(bytes_str(text), DEFAULT_PORT, &e->addr);
    if (err) {
        snprintf(why, CONFIG_WHY,
                 "bootstrap: '%s' is neither a multiaddr such as "
                 "/ip4/192.0.2.1/tcp/8000 nor host:port",
                 text);
        free(e);
        return E_INVALID;
    }
    e->j = j;
    e->text = mem_strdup(text);
    e->pause_us = PAUSE_FIRST_US;
    e->connect.done = on_connect;
    timer_init(&e->retry, on_retry);
    if (multiaddr_peer(multiaddr_bytes(&e->addr), &e->peer) == 0)
        j->named(j->ctx, &e->peer);
    list_append(&j->entries, &e->link);
    return 0;
}

int join_init(struct join *j, struct p2p_host *host, struct dht *dht, struct sched *sched,
              const struct strlist *addrs, void (*named)(void *ctx, const struct peer_id *peer),
              void *ctx, char why[static CONFIG_WHY])
{
    *j = (struct join){.host = host, .dht = dht, .sched = sched, .named = named, .ctx = ctx};
    list_init(&j->entries);
    j->watch = (struct p2p_watch){.disconnected = on_disconnected, .identified = on_identified};
    p2p_host_watch(host, &j->watch);
    for (size_t i = 0; i < addrs->n; i++)
        if (add(j, addrs->v[i], why))
            return E_INVALID;
    LIST_FOREACH (&j->entries, it)
        try_connect(LIST_ENTRY(it, struct entry, link));
    return 0;
}

void join_fini(struct join *j)
{
    p2p_host_unwatch(&j->watch);
    LIST_FOREACH_SAFE (&j->entries, it) {
        struct entry *e = LIST_ENTRY(it, struct entry, link);
        if (e->is_connecting)
            p2p_connect_cancel(&e->connect);
        timer_clear(j->sched, &e->retry);
        list_remove(&e->link);
        free(e->text);
        free(e);
    }
}

void join_json(const struct join *j, struct json_writer *w)
{
    json_open_array(w);
    LIST_FOREACH ((struct list *)&j->entries, it) {
        const struct entry *e = LIST_ENTRY(it, struct entry, link);
        json_open_object(w);
        json_member_str(w, "address", e->text);
        json_member_str(w, "state",
                        e->is_connected ? "connected"
                        : e->was_tried  ? "failed"
                                        : "connecting");
        if (!e->is_connected && *e->why)
            json_member_str(w, "why", e->why);
        json_close_object(w);
    }
    json_close_array(w);
}

void join_now(struct join *j)
{
    LIST_FOREACH (&j->entries, it) {
        struct entry *e = LIST_ENTRY(it, struct entry, link);
        if (e->is_connected || e->is_connecting)
            continue;
        e->pause_us = PAUSE_FIRST_US;
        timer_clear(j->sched, &e->retry);
        try_connect(e);
    }
}

bool join_is_in(const struct join *j)
{
    bool any = false;
    LIST_FOREACH ((struct list *)&j->entries, it) {
        any = true;
        if (LIST_ENTRY(it, struct entry, link)->is_connected)
            return true;
    }
    return !any;
}

bool join_at(const struct join *j, size_t i, struct join_view *out)
{
    LIST_FOREACH ((struct list *)&j->entries, it) {
        const struct entry *e = LIST_ENTRY(it, struct entry, link);
        if (i-- > 0)
            continue;
        *out = (struct join_view){e->text, &e->peer, e->is_connected, e->was_tried};
        return true;
    }
    return false;
}

bool join_is_bootstrap(const struct join *j, const struct peer_id *peer)
{
    LIST_FOREACH ((struct list *)&j->entries, it)
        if (peer_id_eq(&LIST_ENTRY(it, struct entry, link)->peer, peer))
            return true;
    return false;
}
