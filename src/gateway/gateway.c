// SPDX-License-Identifier: MIT
/* The two route tables, the checks in front of them, and the small answers; see gateway.h. */
#include "gateway/gateway_impl.h"

#include "base/mem.h"
#include "gateway/models.h"

#include <stdlib.h>
#include <string.h>

enum route_id {
    R_MODELS = 1,
    R_MODEL,
    R_CHAT,
    R_COMPLETIONS,
    R_EMBEDDINGS,
    R_RERANK,
    R_HEALTH,
    R_METRICS,
    R_ROOT,
    R_STATUS,
    R_PEERS,
    R_OFFERS,
    R_PROTOCOLS,
};

/* clang-format off */
static const struct router_route local_routes[] = {
    {HTTP_GET, "/", R_ROOT},
    {HTTP_GET, "/health", R_HEALTH},
    {HTTP_GET, "/v1/health", R_HEALTH},
    {HTTP_GET, "/metrics", R_METRICS},
    {HTTP_GET, "/v1/models", R_MODELS},
    {HTTP_GET, "/models", R_MODELS},
    {HTTP_GET, "/v1/models/*id", R_MODEL},
    {HTTP_GET, "/models/*id", R_MODEL},
    {HTTP_POST, "/v1/chat/completions", R_CHAT},
    {HTTP_POST, "/chat/completions", R_CHAT},
    {HTTP_POST, "/v1/completions", R_COMPLETIONS},
    {HTTP_POST, "/completions", R_COMPLETIONS},
    {HTTP_POST, "/v1/embeddings", R_EMBEDDINGS},
    {HTTP_POST, "/embeddings", R_EMBEDDINGS},
    {HTTP_POST, "/v1/rerank", R_RERANK},
    {HTTP_POST, "/v1/reranking", R_RERANK},
    {HTTP_POST, "/rerank", R_RERANK},
    {HTTP_GET, "/conduit/v1/status", R_STATUS},
    {HTTP_GET, "/conduit/v1/peers", R_PEERS},
    {HTTP_GET, "/conduit/v1/offers", R_OFFERS},
};

/* What a peer may call: nothing else exists for it. */
static const struct router_route peer_routes[] = {
    {HTTP_GET, "/.well-known/libp2p/protocols", R_PROTOCOLS},
    {HTTP_GET, "/conduit/v1/offers", R_OFFERS},
    {HTTP_POST, "/v1/chat/completions", R_CHAT},
    {HTTP_POST, "/v1/completions", R_COMPLETIONS},
    {HTTP_POST, "/v1/embeddings", R_EMBEDDINGS},
    {HTTP_POST, "/v1/rerank", R_RERANK},
};
/* clang-format on */

/* --- small answers --- */

static void fail(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                 int status, const char *code, const char *message)
{
    struct failure f;
    failure_set(&f, status, code, "%s", message);
    respond_failure(g, x, head, &f, NULL);
}

static void render(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                   enum gateway_page page)
{
    struct buf b;
    buf_init(&b, 0);
    if (g->cfg.render(g->cfg.node, page, http_exchange_principal(x), &b))
        fail(g, x, head, 500, "internal_error", "the page could not be made");
    else
        respond_json(g, x, head, 200, buf_view(&b));
    buf_fini(&b);
}

static void metric(struct buf *b, const char *name, const char *type, const char *help, uint64_t v)
{
    (void)buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name,
                     (unsigned long long)v);
}

static void metrics(struct gateway *g, struct http_exchange *x, const struct http_head *head)
{
    const struct gateway_counters *c = &g->count;
    struct buf b;
    buf_init(&b, 0);
    metric(&b, "conduit_requests_total", "counter", "inference requests, own and peers'",
           c->requests);
    metric(&b, "conduit_requests_ok_total", "counter", "answered completely", c->ok);
    metric(&b, "conduit_requests_failed_total", "counter", "ended with an error", c->errors);
    metric(&b, "conduit_requests_cancelled_total", "counter", "the client went away", c->cancelled);
    metric(&b, "conduit_requests_refused_total", "counter", "peers' requests over a limit",
           c->refused);
    metric(&b, "conduit_failovers_total", "counter", "another provider was tried", c->failovers);
    metric(&b, "conduit_events_total", "counter", "events relayed", c->events);
    metric(&b, "conduit_requests_running", "gauge", "inference requests now", g->running);
    metric(&b, "conduit_offer_watchers", "gauge", "peers that watch our offers", g->watching);
    (void)g->cfg.render(g->cfg.node, GATEWAY_PAGE_METRICS, http_exchange_principal(x), &b);
    http_exchange_reply(x, 200, "text/plain; version=0.0.4", NULL, 0, buf_view(&b));
    buf_fini(&b);
}

static void protocols(struct http_exchange *x)
{
    http_exchange_reply(x, 200, "application/json", NULL, 0,
                        BYTES_LIT("{\"protocols\":{\"/openai/v1\":{\"path\":\"/v1/\"},"
                                  "\"/conduit/offers/v1\":{\"path\":\"/conduit/v1/offers\"}}}"));
}

static void root(struct http_exchange *x)
{
    http_exchange_reply(x, 200, "text/plain; charset=utf-8", NULL, 0,
                        BYTES_LIT("Conduit is running. The OpenAI-compatible API is at /v1.\n"));
}

static void models(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                   struct bytes id)
{
    struct buf b;
    buf_init(&b, 0);
    uint64_t now = sched_wall_ms(g->cfg.sched) / 1000;
    int err = id.p ? models_one(g->cfg.offers, id, now, &b) : models_list(g->cfg.offers, now, &b);
    if (err) {
        struct failure f;
        failure_set(&f, 404, "model_not_found",
                    "The model '%.*s' does not exist or nobody serves it now", BYTES_FMT(id));
        respond_failure(g, x, head, &f, NULL);
    } else {
        respond_json(g, x, head, 200, buf_view(&b));
    }
    buf_fini(&b);
}

bool gateway_admits(const struct gateway *g, const struct principal *who,
                    const struct http_head *head)
{
    struct bytes found = http_header_get(head, GATEWAY_FOUND_FIELD);
    return !g->cfg.admits || g->cfg.admits(g->cfg.node, who, bytes_eq_str(found, "lan"));
}

static void offers(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                   bool is_peer)
{
    char scope[16] = "";
    struct guard_refusal why;
    if (http_exchange_principal(x)->kind == PRINCIPAL_STRANGER) {
        (void)guard_refuse_stranger(&why);
        fail(g, x, head, why.status, why.code, why.message);
        return;
    }
    if (http_list_has(http_header_get(head, "accept"), "text/event-stream")) {
        feed_start(g, x, !is_peer || gateway_admits(g, http_exchange_principal(x), head));
        return;
    }
    bool network = !is_peer && http_query_get(head->query, "scope", scope, sizeof scope) > 0 &&
                   strcmp(scope, "network") == 0;
    render(g, x, head, network ? GATEWAY_PAGE_OFFERS_NETWORK : GATEWAY_PAGE_OFFERS);
}

/* --- dispatch --- */

static void dispatch(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                     const struct router_match *m, bool is_peer)
{
    switch (m->id) {
    case R_CHAT:
        exchange_start(g, x, head, REQUEST_CHAT, is_peer);
        return;
    case R_COMPLETIONS:
        exchange_start(g, x, head, REQUEST_COMPLETION, is_peer);
        return;
    case R_EMBEDDINGS:
        exchange_start(g, x, head, REQUEST_EMBEDDINGS, is_peer);
        return;
    case R_RERANK:
        exchange_start(g, x, head, REQUEST_RERANK, is_peer);
        return;
    case R_MODELS:
        models(g, x, head, (struct bytes){0});
        return;
    case R_MODEL:
        models(g, x, head, m->captures[0]);
        return;
    case R_OFFERS:
        offers(g, x, head, is_peer);
        return;
    case R_STATUS:
        render(g, x, head, GATEWAY_PAGE_STATUS);
        return;
    case R_PEERS:
        render(g, x, head, GATEWAY_PAGE_PEERS);
        return;
    case R_METRICS:
        metrics(g, x, head);
        return;
    case R_HEALTH:
        respond_json(g, x, head, 200, BYTES_LIT("{\"status\":\"ok\"}"));
        return;
    case R_PROTOCOLS:
        protocols(x);
        return;
    default:
        root(x);
        return;
    }
}

static void no_method(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                      unsigned allowed)
{
    struct http_header h[HEADERS_CORS + 1];
    char allow[96];
    size_t n = headers_cors(&g->cfg.headers, head, h);
    h[n++] = (struct http_header){BYTES_LIT("allow"), bytes_str(router_allow(allowed, allow))};
    if (head->method == HTTP_OPTIONS) {
        http_exchange_reply(x, 204, NULL, h, n, (struct bytes){0});
        return;
    }
    struct buf b;
    buf_init(&b, 0);
    (void)http_error_json(&b, 405, "method_not_allowed", "this path does not take that method");
    http_exchange_reply(x, 405, "application/json", h, n, buf_view(&b));
    buf_fini(&b);
}

/* The node's own routes: true when it was answered, or will be. */
static bool route_node(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                       struct bytes body, bool is_peer)
{
    const struct gateway_route *r = is_peer ? g->cfg.peer_routes : g->cfg.local_routes;
    size_t count = is_peer ? g->cfg.peer_route_count : g->cfg.local_route_count;
    struct router_match m;
    unsigned allowed = 0;
    for (; count; r++, count--) {
        struct router_route at = {r->method, r->pattern, 1};
        enum router_result found = router_find(&at, 1, head->method, head->path, &m);
        if (found == ROUTER_NO_METHOD)
            allowed |= m.allowed;
        if (found != ROUTER_FOUND)
            continue;
        if (r->control_only && http_exchange_remote(x)->kind != NET_UNIX)
            fail(g, x, head, 403, "control_socket_only",
                 "only the owner may do this, by the conduit command on this machine");
        else
            r->serve(g->cfg.node, x, head, &m, body);
        return true;
    }
    if (allowed)
        no_method(g, x, head, allowed);
    return allowed != 0;
}

static void route(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                  const struct router_route *routes, size_t count, bool is_peer, struct bytes body)
{
    struct router_match m;
    if (head->method == HTTP_OPTIONS && bytes_eq_str(head->path, "*")) { /* the server as such */
        no_method(g, x, head,
                  1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_POST | 1u << HTTP_OPTIONS);
        return;
    }
    switch (router_find(routes, count, head->method, head->path, &m)) {
    case ROUTER_FOUND:
        dispatch(g, x, head, &m, is_peer);
        return;
    case ROUTER_NO_METHOD:
        no_method(g, x, head, m.allowed);
        return;
    case ROUTER_NO_PATH:
        if (!route_node(g, x, head, body, is_peer))
            fail(g, x, head, 404, "not_found", "there is nothing at this path");
        return;
    case ROUTER_BAD_PATH:
        fail(g, x, head, 400, "bad_path", "the path is malformed");
        return;
    }
}

/* --- the local listener: Host, Origin, key --- */

static bool needs_no_key(const struct http_head *head)
{
    return head->method == HTTP_OPTIONS || bytes_eq_str(head->path, "/health") ||
           bytes_eq_str(head->path, "/v1/health") || bytes_eq_str(head->path, "/");
}

static bool has_key(const struct gateway *g, const struct http_head *head)
{
    struct bytes key = headers_key(head);
    size_t n = strlen(g->cfg.access_key);
    return key.n == n && mem_equal_secret(key.p, g->cfg.access_key, n);
}

/* True when the request may go on; otherwise it was answered. */
static bool admit(struct gateway *g, struct http_exchange *x, const struct http_head *head)
{
    if (http_exchange_remote(x)->kind == NET_UNIX)
        return true; /* the control socket: 0600, no browser */
    if (!headers_host_is_ours(&g->cfg.headers, head->host)) {
        fail(g, x, head, 403, "host_not_allowed",
             "this address does not answer to that Host; see --allow-host");
        return false;
    }
    if (!headers_origin_is_ours(&g->cfg.headers, http_header_get(head, "origin"))) {
        fail(g, x, head, 403, "origin_not_allowed",
             "pages of that origin may not call this address; see --allow-origin");
        return false;
    }
    if (g->cfg.access_key && !needs_no_key(head) && !has_key(g, head)) {
        fail(g, x, head, 401, "invalid_api_key", "a key is needed: Authorization: Bearer KEY");
        return false;
    }
    return true;
}

/* Refused before the body is read. */
static void local_head(void *ctx, struct http_exchange *x, const struct http_head *head)
{
    (void)admit(ctx, x, head);
}

static void local_request(void *ctx, struct http_exchange *x, const struct http_head *head,
                          struct bytes body)
{
    route(ctx, x, head, local_routes, ARRAY_LEN(local_routes), false, body);
}

static void peer_request(void *ctx, struct http_exchange *x, const struct http_head *head,
                         struct bytes body)
{
    route(ctx, x, head, peer_routes, ARRAY_LEN(peer_routes), true, body);
}

const struct http_handler *gateway_local_handler(void)
{
    static const struct http_handler h = {local_head, local_request};
    return &h;
}

const struct http_handler *gateway_peer_handler(void)
{
    static const struct http_handler h = {NULL, peer_request};
    return &h;
}

/* --- life --- */

struct gateway *gateway_new(const struct gateway_config *cfg)
{
    struct gateway *g = MEM_NEW(struct gateway);
    g->cfg = *cfg;
    g->env = (struct attempt_env){.sched = cfg->sched,
                                  .client = cfg->client,
                                  .pool = cfg->pool,
                                  .ports = cfg->ports,
                                  .ports_ctx = cfg->ports_ctx};
    attempt_env_init(&g->env);
    list_init(&g->exchanges);
    list_init(&g->watchers);
    retry_budget_init(&g->budget, sched_now(cfg->sched));
    return g;
}

void gateway_close(struct gateway *g)
{
    g->is_closed = true;
    exchange_cancel_all(g);
    feed_end_all(g);
    attempt_env_fini(&g->env);
}

void gateway_free(struct gateway *g)
{
    gateway_close(g);
    free(g);
}

size_t gateway_running(const struct gateway *g)
{
    return g->running;
}

size_t gateway_watchers(const struct gateway *g)
{
    return g->watching;
}

const struct gateway_counters *gateway_counters(const struct gateway *g)
{
    return &g->count;
}
