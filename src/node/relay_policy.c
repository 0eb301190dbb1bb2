// SPDX-License-Identifier: MIT
/* See relay_policy.h. */
#include "node/relay_policy.h"

#include "base/trace.h"

#include <stdio.h>
#include <string.h>

/* --- being a relay --- */

static bool is_friend(void *ctx, const struct peer_id *peer)
{
    const struct relay_policy *p = ctx;
    for (size_t i = 0; i < p->friend_count; i++)
        if (peer_id_eq(&p->friends[i], peer))
            return true;
    return false;
}

static void serve(struct relay_policy *p, bool does)
{
    if (does && !p->serve) {
        struct relay_serve_cfg cfg = {
            .server = relay_server_cfg_default(), .key = p->key, .is_own = is_friend, .ctx = p};
        cfg.server.is_unlimited = p->is_unlimited;
        if (p->is_unlimited) { /* its owner's friends, many of them perhaps in one office */
            cfg.server.rate = LIMIT_RELAY_RATE_OWN;
            cfg.server.max_per_ip = LIMIT_RELAY_PER_IP_OWN;
        }
        cfg.server.bytes_per_s = p->cfg->relay_bandwidth;
        p->serve = relay_serve_new(p->host, &cfg);
        TRACE(NODE, INFO, "relay: serving others, %s",
              p->is_unlimited ? "without limits" : "within limits");
    } else if (!does && p->serve) {
        TRACE(NODE, INFO, "relay: strangers cannot reach us -> serving nobody");
        relay_serve_free(p->serve);
        p->serve = NULL;
    }
}

/* --- using some --- */

static int rank(void *ctx, const struct peer_id *peer, bool is_conduit)
{
    const struct relay_policy *p = ctx;
    if (join_is_bootstrap(p->join, peer))
        return RELAY_RANK_BOOTSTRAP;
    return is_conduit ? RELAY_RANK_CONDUIT : RELAY_RANK_OTHER;
}

/* Peers that came to us over a circuit and have no other way. */
static uint32_t circuits_in(const struct relay_policy *p)
{
    struct p2p_peer_view v;
    void *cursor = NULL;
    uint32_t n = 0;
    while (p2p_host_peers(p->host, &cursor, &v))
        n += v.is_relayed && v.is_inbound;
    return n;
}

/* Those relays that were known first everybody knew first; one of the others has more room. */
static uint32_t places(struct relay_policy *p)
{
    uint32_t wanted = RELAY_PLACES + (relay_client_known(p->client) >= RELAY_MANY) +
                      circuits_in(p) / RELAY_PER_PLACE;
    wanted = wanted < RELAY_PLACES_MAX ? wanted : RELAY_PLACES_MAX;
    if (wanted > p->places && p->places)
        TRACE(NODE, INFO, "relay: many relays, or many who come over them -> %u places wanted",
              wanted);
    p->places = wanted > p->places ? wanted : p->places;
    return p->places;
}

static bool wants_places(const struct relay_policy *p)
{
    enum p2p_reach reach = p2p_host_reach(p->host);
    return reach == P2P_REACH_PRIVATE || reach == P2P_REACH_LIKELY;
}

static void follow(struct relay_policy *p)
{
    serve(p, p2p_host_reach(p->host) != P2P_REACH_PRIVATE && !p->cfg->no_relay);
    relay_client_want(p->client, wants_places(p) ? places(p) : 0);
}

static void reach_changed(struct p2p_watch *w, enum p2p_reach reach)
{
    struct relay_policy *p = CONTAINER_OF(w, struct relay_policy, watch);
    task_defer(p->sched, &p->task); /* not here: who stops serving is a watcher too */
}

static void identified(struct p2p_watch *w, const struct known_peer *peer)
{
    struct relay_policy *p = CONTAINER_OF(w, struct relay_policy, watch);
    if (wants_places(p))
        task_defer(p->sched, &p->task);
}

static void follow_task(struct task *t)
{
    follow(CONTAINER_OF(t, struct relay_policy, task));
}

/* --- options --- */

static int read_options(struct relay_policy *p, char *why)
{
    const struct config *c = p->cfg;
    const char *mode = c->relay ? c->relay : "limited";
    p->is_unlimited = strcmp(mode, "unlimited") == 0;
    if (!p->is_unlimited && strcmp(mode, "limited") != 0) {
        snprintf(why, CONFIG_WHY, "relay: '%s' is neither limited nor unlimited", mode);
        return E_INVALID;
    }
    for (size_t i = 0; i < c->relay_for.n; i++) {
        if (p->friend_count == RELAY_FRIENDS) {
            snprintf(why, CONFIG_WHY, "relay_for: at most %d peers", RELAY_FRIENDS);
            return E_INVALID;
        }
        if (peer_id_parse(bytes_str(c->relay_for.v[i]), &p->friends[p->friend_count]) != 0) {
            snprintf(why, CONFIG_WHY, "relay_for: '%s' is not a peer id such as 12D3KooW…",
                     c->relay_for.v[i]);
            return E_INVALID;
        }
        p->friend_count++;
    }
    return 0;
}

int relay_policy_init(struct relay_policy *p, struct p2p_host *host, struct sched *sched,
                      const struct key_pair *key, const struct config *cfg, const struct join *join,
                      char why[static CONFIG_WHY])
{
    *p = (struct relay_policy){.host = host, .sched = sched, .key = key, .cfg = cfg, .join = join};
    int err = read_options(p, why);
    if (err)
        return err;
    struct relay_client_cfg client = {.rank = rank, .ctx = p};
    p->client = relay_client_new(host, &client);
    p->punch = punch_new(host);
    p->watch = (struct p2p_watch){.reach_changed = reach_changed, .identified = identified};
    p2p_host_watch(host, &p->watch);
    task_init(&p->task, follow_task);
    follow(p);
    return 0;
}

void relay_policy_fini(struct relay_policy *p)
{
    if (!p->client) /* its options were wrong */
        return;
    p2p_host_unwatch(&p->watch);
    task_cancel(&p->task);
    punch_free(p->punch);
    relay_client_free(p->client);
    if (p->serve)
        relay_serve_free(p->serve);
}

/* --- telling --- */

static void put_places(struct relay_policy *p, struct json_writer *w)
{
    struct relay_held_view v;
    char who[PEER_ID_TEXT];
    json_key(w, "places");
    json_open_array(w);
    for (size_t i = 0; relay_client_look(p->client, i, &v); i++) {
        json_open_object(w);
        json_member_str(w, "relay", peer_id_text(&v.relay, who, sizeof who));
        uint64_t now = sched_now(p->sched); /* its refresh may take longer than it lasts */
        json_member_u64(w, "for_s", v.until_us > now ? (v.until_us - now) / US_PER_S : 0);
        json_member_bool(w, "limited", relay_limit_is_any(&v.limit));
        json_close_object(w);
    }
    json_close_array(w);
}

void relay_policy_json(struct relay_policy *p, struct json_writer *w)
{
    static const char *const reach[] = {"unknown", "public", "private", "likely"};
    struct relay_serve_view v = {0};
    struct punch_view punched = punch_look(p->punch);
    if (p->serve)
        v = relay_serve_look(p->serve);
    json_member_str(w, "reach", reach[p2p_host_reach(p->host)]);
    json_key(w, "relay");
    json_open_object(w);
    json_member_str(w, "serving", !p->serve ? "nobody" : p->is_unlimited ? "unlimited" : "limited");
    json_member_u64(w, "reservations", v.reservations);
    json_member_u64(w, "circuits", v.circuits);
    json_member_u64(w, "circuits_total", v.opened);
    json_member_u64(w, "bytes", v.bytes);
    json_member_u64(w, "refused", v.refused);
    json_member_u64(w, "holes_punched", punched.succeeded);
    json_member_u64(w, "holes_failed", punched.failed);
    put_places(p, w);
    json_close_object(w);
}
