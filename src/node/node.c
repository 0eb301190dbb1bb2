// SPDX-License-Identifier: MIT
/* Making a node from its parts, in the order they stand on each other, and taking it apart in reverse. */
#include "node/node_impl.h"
#include "node/dht_get.h"

#include "base/mem.h"
#include "base/trace.h"
#include "codec/multiaddr.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DRAIN_POLL_US (50 * US_PER_MS)

static const char *env_get(char *const *env, const char *name)
{
    size_t len = strlen(name);
    for (; env && *env; env++)
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return *env + len + 1;
    return NULL;
}

/* The one place where local time is looked at: the schedule is the owner's clock on the wall. */
static unsigned minute_of_day(void *ctx)
{
    const struct node *n = ctx;
    time_t t = (time_t)(sched_wall_ms(n->sched) / 1000);
    struct tm tm;
    localtime_r(&t, &tm);
    return (unsigned)(tm.tm_hour * 60 + tm.tm_min);
}

static uint32_t local_day(void *ctx)
{
    return invites_now(&((struct node *)ctx)->invites).day;
}

/* --- state and http --- */

static void make_state(struct node *n)
{
    struct guard_config g = {
        .per_minute = n->cfg->requests_per_minute,
        .per_minute_per_peer = n->cfg->requests_per_minute_per_peer,
        .max_prompt_tokens = n->cfg->max_context,
        .max_body = n->cfg->max_body,
    };
    (void)schedule_init(&g.schedule, n->cfg->schedule_start, n->cfg->schedule_end);
    catalogue_init(&n->offers, rng_u64(n->rng));
    measures_init(&n->measures, rng_u64(n->rng));
    guard_init(&n->guard, &g, sched_now(n->sched), rng_u64(n->rng));
    n->guard.invites = &n->invites.book;
    n->has_guard = true;
    node_trust_init(n);
    node_trust_guests(n);
}

static int make_http(struct node *n, char *why)
{
    struct http_net_options net = {
        .https_proxy = env_get(n->env, "HTTPS_PROXY") ?: env_get(n->env, "https_proxy"),
        .no_proxy = env_get(n->env, "NO_PROXY") ?: env_get(n->env, "no_proxy"),
        .ca_file = env_get(n->env, "SSL_CERT_FILE"),
    };
    n->client = http_client_new(n->sched);
    int err = http_net_new(n->loop, &net, &n->net, why);
    if (err)
        return err;
    struct http_pool_config pool = {
        .client = n->client, .sched = n->sched, .dialer = http_net_dialer(), .dialer_ctx = n->net};
    n->pool = http_pool_new(&pool);
    return 0;
}

/* --- the network --- */

/* The port that was taken for "0", so that IPv6 gets the same one. */
static unsigned taken_port(struct node *n)
{
    const struct bytes *addrs;
    struct net_addr at;
    size_t count = p2p_host_addrs(n->host, &addrs);
    for (size_t i = 0; i < count; i++)
        if (multiaddr_to_net(addrs[i], &at) == 0)
            return at.port;
    return 0;
}

static int listen_p2p(struct node *n, char *why)
{
    const char *host = n->cfg->p2p_host;
    char addr[96];
    snprintf(addr, sizeof addr, "/%s/%s/tcp/%u", host && strchr(host, ':') ? "ip6" : "ip4",
             host ? host : "0.0.0.0", n->cfg->p2p_port);
    int err = p2p_host_listen(n->host, addr);
    if (err == E_IN_USE)
        snprintf(why, CONFIG_WHY, "port %u is in use; try --p2p-port 0, or stop what listens there",
                 n->cfg->p2p_port);
    else if (err)
        snprintf(why, CONFIG_WHY, "cannot listen on %s: %s", addr, err_text(err));
    if (err || host)
        return err;
    snprintf(addr, sizeof addr, "/ip6/::/tcp/%u", taken_port(n));
    err = p2p_host_listen(n->host, addr);
    if (err)
        TRACE(NODE, INFO, "no IPv6 for peers: %s -> IPv4 only", err_text(err));
    return 0;
}

static bool has_joined(void *ctx)
{
    struct node *n = ctx; /* with its bootstrap nodes dead it may be in the network all the same */
    return (join_is_in(&n->join) || dht_stats(n->kad.dht).table_peers > 0) &&
           !guest_is_showing(&n->guest, NULL);
}

static bool must_wait_for_invite(void *ctx, const struct peer_id *peer)
{
    return guest_is_showing(&((struct node *)ctx)->guest, peer);
}

static bool is_loading(void *ctx, struct bytes model)
{
    const struct node *n = ctx;
    bool any = catalogue_is_any(model);
    if (confirm_is_asking(&n->confirm))
        return true;
    for (size_t i = 0; n->engine && i < engine_model_count(n->engine); i++) {
        const struct engine_model *m = engine_model_at(n->engine, i);
        if (!m->is_ready && m->kind == ENGINE_LLAMA &&
            (any || name_matches(model, m->name, m->quant, m->digest) ||
             bytes_eq_str(model, m->alias)))
            return true;
    }
    return false;
}

static bool is_stranger(void *ctx, const struct peer_id *peer)
{
    return trust_is_stranger(&((struct node *)ctx)->trust, peer);
}

static void make_lan(struct node *n)
{
    char print[PNET_FINGERPRINT_TEXT];
    struct lan_cfg cfg = {
        .loop = n->loop,
        .host = n->host,
        .trust = &n->trust,
        .has_mdns = node_has_mdns(n),
        .network = n->has_network ? pnet_fingerprint(&n->network, print) : NULL,
        .learnt = node_on_learnt,
        .ctx = n,
    };
    lan_init(&n->lan, &cfg);
    node_confirm_init(n);
}

static int make_network(struct node *n, char *why)
{
    struct p2p_host_cfg cfg = p2p_host_cfg_default(&n->key);
    snprintf(n->agent, sizeof n->agent, "conduit/%s", n->version);
    cfg.agent = n->agent;
    if (n->cfg->max_connections)
        p2p_host_cfg_connections(&cfg, n->cfg->max_connections);
    cfg.protocol_version = "/conduit/1.0.0";
    cfg.network = n->has_network ? &n->network : NULL;
    n->host = p2p_host_new(&cfg, n->loop);
    if (!n->host) {
        snprintf(why, CONFIG_WHY, "the identity key cannot sign");
        return E_AUTH;
    }
    p2p_host_gate(n->host, access_may_connect, &n->access);
    struct autonat_cfg nat = autonat_cfg_default();
    n->autonat = autonat_host_new(n->host, &nat);
    int err = kad_port_init(&n->kad, n->host, n->sched, n->rng);
    n->has_kad = true;
    n->kad.is_stranger = is_stranger;
    n->kad.ctx = n;
    feeds_init(&n->feeds, n->host, n->sched, n->client, &n->offers, &n->measures, &n->trust,
               rng_u64(n->rng));
    n->feeds.max = n->cfg->max_feeds;
    n->has_feeds = true;
    n->feeds.must_wait = must_wait_for_invite;
    n->feeds.ctx = n;
    guest_start(&n->guest, n->host, n->sched, n->client, &n->feeds);
    discover_init(&n->discover, n->host, n->kad.dht, n->sched, &n->feeds, &n->offers,
                  rng_u64(n->rng));
    n->discover.has_joined = has_joined;
    n->discover.is_loading = is_loading;
    n->discover.told = node_on_told;
    n->discover.ctx = n;
    n->has_discover = true;
    if (err || (err = listen_p2p(n, why)))
        return err;
    list_init(&n->join.entries); /* asked for bootstrap nodes before it begins */
    n->has_relay = true;
    err = relay_policy_init(&n->relay, n->host, n->sched, &n->key, n->cfg, &n->join, why);
    if (err)
        return err;
    make_lan(n);
    return 0;
}

/* --- what is served --- */

static void on_models_changed(void *ctx)
{
    struct node *n = ctx;
    announce_changed(&n->announce);
    node_record_changed(n);
    if (n->has_discover)
        discover_poke(&n->discover);
}

static void on_load_changed(void *ctx)
{
    announce_load_changed(&((struct node *)ctx)->announce);
}

static const char *backend_key(const struct node *n, const char *spec)
{
    char name[128] = "", env[192];
    const char *eq = strchr(spec, '='), *slash = strpbrk(spec, "/:");
    if (!eq || (slash && slash < eq))
        return NULL;
    snprintf(name, sizeof name, "%.*s", (int)(eq - spec), spec);
    for (char *p = name; *p; p++)
        *p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
    snprintf(env, sizeof env, "CONDUIT_BACKEND_%s_KEY", name);
    return env_get(n->env, env);
}

static int add_backends(struct node *n, char *why)
{
    const struct config *c = n->cfg;
    const char **models = NULL;
    int err = 0;
    if (c->models.n && !c->backend.n && !c->local_llm)
        TRACE(NODE, WARN,
              "--models names models of a backend, but there is none -> not served; "
              "add --backend URL");
    if (c->models.n) {
        models = mem_array(c->models.n + 1, sizeof *models);
        memcpy(models, c->models.v, c->models.n * sizeof *models);
    }
    for (size_t i = 0; i < c->backend.n && !err; i++)
        err = engine_add_backend(n->engine, c->backend.v[i], models,
                                 backend_key(n, c->backend.v[i]), why);
    if (!err && c->local_llm)
        err = engine_add_backend(n->engine, c->local_llm, models, c->local_llm_api_key, why);
    free(models);
    return err;
}

static int make_engine(struct node *n, char *why)
{
    const struct config *c = n->cfg;
    const char **lora = mem_array(c->lora.n + 1, sizeof *lora);
    if (c->lora.n)
        memcpy(lora, c->lora.v, c->lora.n * sizeof *lora);
    struct engine_config cfg = {
        .loop = n->loop,
        .client = n->client,
        .pool = n->pool,
        .data_dir = n->dir.path,
        .llama_server = c->llama_server,
        .llama = {.ctx = c->ctx,
                  .parallel = c->parallel,
                  .threads = c->threads,
                  .gpu_layers = c->gpu_layers,
                  .has_gpu_layers = config_is_given(c, "gpu_layers"),
                  .batch = c->batch,
                  .mmproj = c->mmproj,
                  .lora = c->lora.n ? lora : NULL},
        .allow_extra_fields = c->allow_extra_fields,
        .changed = on_models_changed,
        .load_changed = on_load_changed,
        .ctx = n,
    };
    n->engine = engine_new(&cfg);
    free(lora);
    n->ways = (struct ways){.sched = n->sched,
                            .rng = n->rng,
                            .engine = n->engine,
                            .host = n->host,
                            .discover = &n->discover,
                            .trust = &n->trust,
                            .default_slots = c->max_concurrent ? c->max_concurrent : 64,
                            .load_changed = on_load_changed,
                            .ctx = n};
    ways_init(&n->ways, rng_u64(n->rng));
    n->has_ways = true;
    n->announce = (struct announce){.sched = n->sched,
                                    .dht = n->kad.dht,
                                    .engine = n->engine,
                                    .guard = &n->guard,
                                    .ways = &n->ways,
                                    .offers = &n->offers,
                                    .measures = &n->measures,
                                    .started_us = n->started_us,
                                    .key = &n->key,
                                    .config = c,
                                    .minute_of_day = minute_of_day,
                                    .ctx = n};
    announce_init(&n->announce);
    n->has_announce = true;
    for (size_t i = 0; i < c->model.n; i++) {
        int err = engine_add_gguf(n->engine, c->model.v[i], why);
        if (err)
            return err;
    }
    return add_backends(n, why);
}

/* --- the gateway --- */

static void on_http_stream(void *ctx, struct stream *s, const struct peer_id *peer)
{
    static const struct http_conn_options options = {.one_request = true};
    struct node *n = ctx;
    access_judge(&n->access, &s->principal);
    http_server_conn_open(n->peer_server, s, &options);
}

static int make_gateway(struct node *n)
{
    const struct config *c = n->cfg;
    struct gateway_config cfg = {
        .sched = n->sched,
        .rng = n->rng,
        .client = n->client,
        .pool = n->pool,
        .offers = &n->offers,
        .measures = &n->measures,
        .guard = &n->guard,
        .ports = ways_ports(),
        .ports_ctx = &n->ways,
        .peer = n->peer,
        .headers = {.hosts = (const char *const *)c->allow_host.v,
                    .host_count = c->allow_host.n,
                    .origins = (const char *const *)c->allow_origin.v,
                    .origin_count = c->allow_origin.n,
                    .any_host = c->http_host && strcmp(c->http_host, "127.0.0.1") != 0 &&
                                strcmp(c->http_host, "::1") != 0 &&
                                strcmp(c->http_host, "localhost") != 0},
        .access_key = c->access_key,
        .head_wait_us = c->head_wait_ms * US_PER_MS,
        .keepalive_us = c->keepalive_ms * US_PER_MS,
        .stall_us = c->stall_ms * US_PER_MS,
        .life_us = 5 * US_PER_S,
        .lookup_us = 5 * US_PER_S,
        .request_us = 60 * US_PER_S,
        .body_limit = c->max_body,
        .reply_limit = 64 * MIB,
        .max_attempts = 4,
        .minute_of_day = minute_of_day,
        .day = local_day,
        .render = node_render,
        .admits = node_admits,
        .takes = node_takes,
        .node = n,
        .local_routes = node_local_routes,
        .local_route_count = node_local_route_count,
        .peer_routes = node_peer_routes,
        .peer_route_count = node_peer_route_count,
    };
    n->gateway = gateway_new(&cfg);
    n->announce.gateway = n->gateway;
    n->invites.ended = invites_standing_changed;
    n->invites.ctx = n;
    struct http_server_config peers = {.sched = n->sched,
                                       .handler = gateway_peer_handler(),
                                       .ctx = n->gateway,
                                       .body_limit = c->max_body};
    n->peer_server = http_server_new(&peers);
    return p2p_host_handle(n->host, HTTP_PROTOCOL, on_http_stream, n);
}

/* --- start --- */

static void on_drain(struct timer *t);

static int start(struct node *n, char *why)
{
    int err;
    char *dir = config_data_dir(n->cfg, n->env);
    err = datadir_open(&n->dir, dir, why);
    free(dir);
    if (err || (err = identity_load(n->dir.path, n->rng, &n->key, why)))
        return err;
    peer_id_text(&n->key.id, n->peer, sizeof n->peer);
    if ((err = node_membership(n, why)))
        return err;
    make_state(n);
    if ((err = make_http(n, why)) || (err = make_network(n, why)) || (err = make_engine(n, why)) ||
        (err = make_gateway(n)) || (err = node_listen(n, why)))
        return err;
    err = join_init(&n->join, n->host, n->kad.dht, n->sched, &n->bootstrap, node_on_named, n, why);
    n->has_join = true;
    kept_init(&n->kept, n->sched, n->kad.dht, n->dir.path, node_on_kept, node_may_keep, n);
    n->has_kept = true;
    node_record_init(n);
    netwatch_node_init(&n->netwatch, n);
    n->has_netwatch = true;
    return err;
}

int node_start(struct loop *l, const struct config *cfg, char *const *env, const char *version,
               struct node **out, char why[static CONFIG_WHY])
{
    struct node *n = MEM_NEW(struct node);
    n->loop = l;
    n->sched = loop_sched(l);
    n->rng = loop_rng(l);
    n->cfg = cfg;
    n->env = env;
    n->version = version;
    n->started_us = sched_now(n->sched);
    n->dir.lock_fd = -1;
    list_init(&n->doctors);
    list_init(&n->dht_gets);
    timer_init(&n->drain, on_drain);
    *why = 0;
    int err = start(n, why);
    if (err) {
        if (!*why)
            snprintf(why, CONFIG_WHY, "%s", err_text(err));
        node_free(n);
        return err;
    }
    *out = n;
    return 0;
}

/* --- stop --- */

static void on_engine_stopped(void *ctx)
{
    struct node *n = ctx;
    n->stopped(n->stopped_ctx);
}

static void on_host_closed(void *ctx)
{
    struct node *n = ctx;
    engine_stop(n->engine, on_engine_stopped, n);
}

/* Nothing runs any more, or its time is over: connections close, then the engine stops. */
static void close_down(struct node *n)
{
    if (n->is_closing)
        return;
    n->is_closing = true;
    doctor_end_all(n);
    dht_get_end_all(n);
    node_record_fini(n);
    timer_clear(n->sched, &n->drain);
    if (gateway_running(n->gateway))
        TRACE(NODE, WARN, "%zu answers did not finish in time -> ended with an error",
              gateway_running(n->gateway));
    gateway_close(n->gateway); /* freed with the servers that call it */
    confirm_fini(&n->confirm);
    lan_fini(&n->lan);
    netwatch_node_fini(&n->netwatch);
    n->has_netwatch = false;
    join_fini(&n->join);
    n->has_join = false;
    kept_save(&n->kept);
    kept_fini(&n->kept);
    n->has_kept = false;
    discover_fini(&n->discover);
    n->has_discover = false;
    relay_policy_fini(&n->relay);
    n->has_relay = false;
    p2p_host_close(n->host, 500 * US_PER_MS, on_host_closed, n);
}

static void on_drain(struct timer *t)
{
    struct node *n = CONTAINER_OF(t, struct node, drain);
    if (gateway_running(n->gateway) == 0 || sched_now(n->sched) >= n->drain_until_us)
        close_down(n);
    else
        timer_after(n->sched, &n->drain, DRAIN_POLL_US);
}

void node_stop(struct node *n, void (*stopped)(void *ctx), void *ctx)
{
    n->stopped = stopped;
    n->stopped_ctx = ctx;
    if (n->is_stopping) {
        close_down(n);
        return;
    }
    n->is_stopping = true;
    TRACE(NODE, INFO, "stopping: %zu answers are running", gateway_running(n->gateway));
    n->guard.is_paused = true;
    announce_withdraw_all(&n->announce);
    node_unlisten(n);
    http_server_drain(n->local_server);
    http_server_drain(n->control_server);
    n->drain_until_us = sched_now(n->sched) + n->cfg->shutdown_timeout * US_PER_S;
    timer_after(n->sched, &n->drain, DRAIN_POLL_US);
}

void node_free(struct node *n)
{
    doctor_end_all(n);
    dht_get_end_all(n);
    node_record_fini(n);
    timer_clear(n->sched, &n->drain);
    node_unlisten(n);
    confirm_fini(&n->confirm);
    lan_fini(&n->lan);
    if (n->has_netwatch)
        netwatch_node_fini(&n->netwatch);
    if (n->has_join)
        join_fini(&n->join);
    if (n->has_kept)
        kept_fini(&n->kept);
    if (n->gateway) {
        gateway_free(n->gateway);
        n->announce.gateway = NULL;
    }
    if (n->has_discover)
        discover_fini(&n->discover);
    if (n->has_relay)
        relay_policy_fini(&n->relay);
    if (n->local_server)
        http_server_free(n->local_server);
    if (n->control_server)
        http_server_free(n->control_server);
    if (n->peer_server)
        http_server_free(n->peer_server);
    if (n->has_announce)
        announce_fini(&n->announce);
    guest_fini(&n->guest);
    if (n->has_feeds)
        feeds_fini(&n->feeds);
    if (n->engine)
        engine_free(n->engine);
    if (n->has_ways)
        ways_fini(&n->ways);
    if (n->has_kad)
        kad_port_fini(&n->kad);
    autonat_host_free(n->autonat);
    if (n->host)
        p2p_host_free(n->host);
    if (n->pool)
        http_pool_free(n->pool);
    if (n->net)
        http_net_free(n->net);
    if (n->client)
        http_client_free(n->client);
    if (n->has_access)
        access_fini(&n->access);
    if (n->has_invites)
        invites_fini(&n->invites);
    strlist_clear(&n->bootstrap);
    if (n->has_guard) {
        guard_fini(&n->guard);
        trust_fini(&n->trust);
        measures_fini(&n->measures);
        catalogue_fini(&n->offers);
    }
    key_pair_fini(&n->key);
    pnet_key_fini(&n->network);
    datadir_close(&n->dir);
    free(n);
}

const char *node_peer(const struct node *n)
{
    return n->peer;
}

const char *node_api(const struct node *n)
{
    return n->api;
}

const char *node_address(struct node *n, size_t i, char *out, size_t size)
{
    return p2p_host_addr_text(n->host, i, out, size);
}

void node_describe(struct node *n, void (*line)(void *ctx, const char *text), void *ctx)
{
    engine_describe(n->engine, line, ctx);
}
