// SPDX-License-Identifier: MIT
/* The event stream of this node's offers and load: what a consumer keeps open to each provider it knows.
 * A watcher gets everything once, then what changes. One that does not read is cut off: it will come
 * again, and then gets everything. */
#include "gateway/gateway_impl.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct watcher {
    struct list link;
    struct gateway *g;
    struct http_exchange *x;
    struct principal who;
};

/* One peer needs one; a second while the first has not noticed yet that it is dead. */
static bool has_enough(const struct gateway *g, const struct principal *who)
{
    unsigned n = 0;
    LIST_FOREACH ((struct list *)&g->watchers, it) {
        const struct principal *p = &LIST_ENTRY(it, struct watcher, link)->who;
        n += p->kind == who->kind && p->id_len == who->id_len && !memcmp(p->id, who->id, p->id_len);
    }
    return n >= LIMIT_FEED_PEER;
}

static void remove_watcher(struct watcher *w)
{
    list_remove(&w->link);
    w->g->watching--;
    free(w);
}

static void on_gone(void *user, int err)
{
    remove_watcher(user);
}

static const struct http_exchange_events events = {.gone = on_gone};

void feed_start(struct gateway *g, struct http_exchange *x, bool is_served)
{
    const struct http_header headers[] = {
        {BYTES_LIT("content-type"), BYTES_LIT("text/event-stream")},
        {BYTES_LIT("cache-control"), BYTES_LIT("no-cache")},
        {BYTES_LIT(GATEWAY_SERVES_FIELD), BYTES_LIT("no")},
    };
    struct http_response r = {.status = 200,
                              .headers = headers,
                              .header_count = ARRAY_LEN(headers) - (is_served ? 1 : 0),
                              .content_length = HTTP_LENGTH_UNKNOWN};
    struct buf b;
    if (g->is_closed || g->watching >= LIMIT_FEED_WATCHERS) {
        http_exchange_error(x, 503, "too_many_watchers", 10, "too many peers watch this node");
        return;
    }
    const struct principal *who = http_exchange_principal(x);
    if (has_enough(g, who)) {
        http_exchange_error(x, 429, "too_many_watchers", 10, "you watch this node already");
        return;
    }
    struct watcher *w = MEM_NEW(struct watcher);
    w->who = *who;
    w->g = g;
    w->x = x;
    list_append(&g->watchers, &w->link);
    g->watching++;
    http_exchange_listen(x, &events, w);
    (void)http_exchange_head(x, &r);
    buf_init(&b, 0);
    (void)buf_append_str(&b, ": offers\n\n");
    (void)g->cfg.render(g->cfg.node, GATEWAY_PAGE_FEED, who, &b);
    struct bytes v = buf_view(&b);
    (void)http_exchange_body(x, &v, 1);
    buf_fini(&b);
}

void gateway_feed(struct gateway *g, struct bytes text, const struct offer *about)
{
    uint64_t now_s = sched_wall_ms(g->cfg.sched) / 1000;
    LIST_FOREACH_SAFE (&g->watchers, it) {
        struct watcher *w = LIST_ENTRY(it, struct watcher, link);
        struct http_exchange *x = w->x;
        if (about && !guard_may_use(g->cfg.guard, &w->who, about, now_s))
            continue;
        if (http_exchange_backlog(x) > LIMIT_FEED_BACKLOG) {
            remove_watcher(w);
            http_exchange_abort(x);
        } else {
            (void)http_exchange_body(x, &text, 1);
        }
    }
}

void gateway_feed_end_peer(struct gateway *g, struct bytes peer)
{
    LIST_FOREACH_SAFE (&g->watchers, it) {
        struct watcher *w = LIST_ENTRY(it, struct watcher, link);
        struct http_exchange *x = w->x;
        if (!bytes_eq(bytes_of(w->who.id, w->who.id_len), peer))
            continue;
        remove_watcher(w);
        http_exchange_end(x);
    }
}

void feed_end_all(struct gateway *g)
{
    LIST_FOREACH_SAFE (&g->watchers, it) {
        struct watcher *w = LIST_ENTRY(it, struct watcher, link);
        struct http_exchange *x = w->x;
        remove_watcher(w);
        http_exchange_end(x);
    }
}
