// SPDX-License-Identifier: MIT
/* The gateway: the OpenAI-compatible address of this node's user, and the routes that peers may call. It
 * chooses among offers, tries them in turn, and relays one answer. It knows HTTP, offers, routing and the
 * guard; how an offer is reached and where providers are found comes through ports.h.
 *
 *   local clients  -> gateway_local_handler ->\
 *                                              exchange -> attempt -> a way to an offer
 *   peers          -> gateway_peer_handler  ->/  (own offers only, after guard)
 */
#ifndef CONDUIT_GATEWAY_GATEWAY_H
#define CONDUIT_GATEWAY_GATEWAY_H

#include "gateway/headers.h"
#include "gateway/ports.h"
#include "guard/guard.h"
#include "http/router.h"
#include "http/server.h"
#include "offer/catalogue.h"
#include "route/choose.h"

struct gateway;

/* Documents that others render: status, peers, offers… */
enum gateway_page {
    GATEWAY_PAGE_STATUS,
    GATEWAY_PAGE_PEERS,
    GATEWAY_PAGE_OFFERS,         /* this node's own */
    GATEWAY_PAGE_OFFERS_NETWORK, /* everybody's */
    GATEWAY_PAGE_METRICS,        /* lines after the gateway's own */
    GATEWAY_PAGE_FEED,           /* own offers and load as SSE events, for a new subscriber */
};

/* A route of the node's own, behind the gateway's checks (Host, Origin, key): documents that take time to
 * make, and actions. It answers now or later, as any handler of an HTTP exchange. */
struct gateway_route {
    enum http_method method;
    const char *pattern; /* as in http/router.h */
    bool control_only;   /* not on TCP: writes, and what only the owner may see */
    void (*serve)(void *node, struct http_exchange *x, const struct http_head *head,
                  const struct router_match *match, struct bytes body);
};

struct gateway_config {
    struct sched *sched;
    struct rng *rng;
    struct http_client *client;
    struct http_pool *pool;
    struct catalogue *offers;
    struct measures *measures;
    struct guard *guard;
    const struct gateway_ports *ports;
    void *ports_ctx;
    const char *peer;              /* our peer id as text; borrowed */
    struct headers_policy headers; /* borrowed */
    const char *access_key;        /* NULL: none; borrowed */
    bool key_required_off_loopback;
    uint64_t head_wait_us, keepalive_us, stall_us,
        life_us;                    /* life_us: signs of life to consumers */
    uint64_t lookup_us, request_us; /* deadlines of a lookup, and of finding somebody at all */
    size_t body_limit, reply_limit;
    unsigned max_attempts;
    /* Minutes of the local day, for the schedule; and pages. */
    unsigned (*minute_of_day)(void *ctx);
    uint32_t (*day)(void *ctx); /* the local day, counted from anywhere: what invites count by */
    /* `who` asks: a guest sees the offers that it may use. */
    int (*render)(void *ctx, enum gateway_page page, const struct principal *who, struct buf *out);
    /* Does this node serve that peer, which says that it found us on the LAN only, or does not? NULL: all. */
    bool (*admits)(void *node, const struct principal *who, bool says_lan);
    /* A peer's request has been taken, and its stream is needed until it is answered. NULL: nobody cares. */
    void (*takes)(void *node, const struct stream *s);
    void *node;
    /* After the gateway's own, for local clients and for peers; may be NULL. */
    const struct gateway_route *local_routes, *peer_routes;
    size_t local_route_count, peer_route_count;
};

struct gateway *gateway_new(const struct gateway_config *cfg);
/* Ends what runs with an error; what still comes in is refused (a node that stops keeps its connections for
 * a moment longer than its gateway). Again: harmless. */
void gateway_close(struct gateway *g);
void gateway_free(struct gateway *g);

/* Fields between nodes (docs/PROTOCOL-HTTP.md): how the asker found the one it asks, "lan"; and in answer to
 * GET /conduit/v1/offers, "no": look, but do not ask. */
#define GATEWAY_FOUND_FIELD  "x-conduit-found"
#define GATEWAY_SERVES_FIELD "x-conduit-serves"

/* For http_server_config: ctx is the gateway. */
const struct http_handler *gateway_local_handler(void);
const struct http_handler *gateway_peer_handler(void);

/* Sends SSE events (whole ones, as text) to everybody who watches our offers, and may use the one they are
 * `about` (NULL: all). */
void gateway_feed(struct gateway *g, struct bytes events, const struct offer *about);
/* Ends the watching of one peer, since what it may use has changed: it comes again, and sees. */
void gateway_feed_end_peer(struct gateway *g, struct bytes peer);
size_t gateway_running(const struct gateway *g); /* inference requests */
size_t gateway_watchers(const struct gateway *g);

struct gateway_counters {
    uint64_t requests, ok, errors, cancelled, failovers, events, peer_requests, refused;
};
const struct gateway_counters *gateway_counters(const struct gateway *g);

#endif
