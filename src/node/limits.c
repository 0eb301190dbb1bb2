// SPDX-License-Identifier: MIT
/* Every limit of the node with what is used of it: the host's (p2p_host_limits) and the other rooms', as one
 * list. `/conduit/v1/limits` shows it, `conduit status --limits` prints it, `/metrics` counts it. */
#include "node/node_impl.h"

#include "codec/json.h"

static struct resource_row *add(struct resource_row *r, const char *scope, const char *resource,
                                uint64_t used, uint64_t limit, uint64_t refused)
{
    *r = (struct resource_row){
        .scope = scope, .resource = resource, .used = used, .limit = limit, .refused = refused};
    return r + 1;
}

/* Where we serve as a relay. Either pool of circuits counts in the refusals: who was refused is of none. */
static struct resource_row *add_relay(struct resource_row *r, struct node *n)
{
    if (!n->relay.serve)
        return r;
    struct relay_serve_view v = relay_serve_look(n->relay.serve);
    uint64_t refused = v.refused - v.refused_reservations;
    r = add(r, "relay", "places", v.reservations, v.max_reservations, v.refused_reservations);
    r = add(r, "relay", "circuits", v.strangers, v.max_strangers, refused);
    return add(r, "relay", "own_circuits", v.owns, v.max_owns, 0);
}

size_t node_limits(struct node *n, struct resource_row out[static NODE_LIMITS])
{
    enum { OTHERS = 20 };
    struct dht_stats d = dht_stats(n->kad.dht);
    const struct gateway_counters *g = gateway_counters(n->gateway);
    struct resource_row *r = out + p2p_host_limits(n->host, out, NODE_LIMITS - OTHERS);
    r = add(r, "dht", "lookups", d.queries, LIMIT_DHT_QUERIES, 0);
    r = add(r, "dht", "requests_per_s", RESOURCE_NOT_COUNTED, LIMIT_DHT_RATE, d.refused);
    r = add(r, "dht", "provider_keys", d.provider_keys, LIMIT_DHT_KEYS, 0);
    r = add(r, "dht", "own_keys", d.own_keys, LIMIT_DHT_OWN_KEYS, 0);
    r = add(r, "dht", "values", d.values, LIMIT_DHT_VALUES, 0);
    r = add(r, "lan", "dialled_peers", map_count(&n->lan.connected), LIMIT_LAN_DIALS, 0);
    r = add(r, "offers", "providers", catalogue_peer_count(&n->offers), LIMIT_CATALOGUE_PEERS, 0);
    r = add(r, "offers", "watchers", gateway_watchers(n->gateway), LIMIT_FEED_WATCHERS, 0);
    r = add(r, "offers", "measures", map_count(&n->measures.by_peer), LIMIT_MEASURES, 0);
    r = add(r, "http", "connections", http_server_conn_count(n->local_server),
            http_server_conn_limit(n->local_server), http_server_refused(n->local_server));
    r = add(r, "guard", "requests_per_minute", RESOURCE_NOT_COUNTED,
            n->cfg->requests_per_minute ? n->cfg->requests_per_minute : RESOURCE_NO_LIMIT,
            g->refused);
    r = add(r, "guard", "invites", n->invites.book.count, LIMIT_INVITES, 0);
    r = add(r, "guard", "invites_shown_per_s", RESOURCE_NOT_COUNTED, LIMIT_INVITE_SHOW_RATE,
            n->invites.shows_refused);
    r = add(r, "guard", "peers_with_a_rate", map_count(&n->guard.by_peer), LIMIT_GUARD_PEERS, 0);
    r = add_relay(r, n);
    return (size_t)(r - out);
}

int node_limits_json(struct node *n, struct buf *out)
{
    struct resource_row rows[NODE_LIMITS];
    size_t count = node_limits(n, rows);
    struct json_writer w = json_write(out);
    json_open_object(&w);
    json_key(&w, "limits");
    json_open_array(&w);
    for (size_t i = 0; i < count; i++) {
        json_open_object(&w);
        json_member_str(&w, "scope", rows[i].scope);
        if (*rows[i].name)
            json_member_str(&w, "name", rows[i].name);
        json_member_str(&w, "resource", rows[i].resource);
        json_key(&w, "used");
        if (rows[i].used == RESOURCE_NOT_COUNTED)
            json_put_null(&w);
        else
            json_put_u64(&w, rows[i].used);
        if (rows[i].limit != RESOURCE_NO_LIMIT)
            json_member_u64(&w, "limit", rows[i].limit);
        json_member_u64(&w, "refused", rows[i].refused);
        json_close_object(&w);
    }
    json_close_array(&w);
    json_close_object(&w);
    return w.err;
}
