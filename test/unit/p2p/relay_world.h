// SPDX-License-Identifier: MIT
/* Hosts that reach each other only over relays:
 *
 *     relays (first: m[0], second: m[3]) 10.0.0.1, 10.0.0.4
 *        /              \
 *   provider m[1]   x   consumer m[2]      the path between them is cut, both ways
 */
#ifndef CONDUIT_TEST_P2P_RELAY_WORLD_H
#define CONDUIT_TEST_P2P_RELAY_WORLD_H

#include "host_world.h"
#include "p2p/relay_client.h"
#include "p2p/relay_serve.h"

enum { FIRST, PROVIDER, CONSUMER, SECOND };

struct relays {
    struct hosts h;
    struct relay_serve *serve[MACHINES];
    struct relay_client *client[MACHINES];
    int changed;
};

static inline void places_changed(void *ctx)
{
    ((struct relays *)ctx)->changed++;
}

static inline void relays_serve(struct relays *r, int i, bool is_unlimited)
{
    struct relay_serve_cfg cfg = {.server = relay_server_cfg_default(), .key = &r->h.m[i].key};
    cfg.server.is_unlimited = is_unlimited;
    r->serve[i] = relay_serve_new(r->h.m[i].host, &cfg);
    assert_non_null(r->serve[i]);
}

static inline void relays_connect(struct relays *r, int from, int to)
{
    struct asked a;
    ask_connect(&a, &r->h.m[from], &r->h.m[to].key.id, &r->h.m[to].addr_view, 1);
    hosts_run(&r->h, US_PER_S);
    assert_int_equal(a.err, 0);
}

static inline void relays_cut(struct relays *r, int a, int b, bool is_cut)
{
    struct loop_virtual_link link = {.delay_us = 1000, .is_cut = is_cut};
    loop_virtual_set_link(r->h.world, r->h.m[a].loop, r->h.m[b].loop, &link);
}

static inline void relays_slow(struct relays *r, int a, int b, uint64_t bytes_per_s)
{
    struct loop_virtual_link link = {.delay_us = 1000, .bytes_per_s = bytes_per_s};
    loop_virtual_set_link(r->h.world, r->h.m[a].loop, r->h.m[b].loop, &link);
}

/* The first relay serves; the provider is connected to it and wants places. */
static inline void relays_init(struct relays *r, uint64_t seed, bool is_unlimited, uint32_t places)
{
    *r = (struct relays){0};
    hosts_init(&r->h, seed, MACHINES);
    relays_cut(r, PROVIDER, CONSUMER, true);
    relays_serve(r, FIRST, is_unlimited);
    for (int i = PROVIDER; i <= CONSUMER; i++) {
        struct relay_client_cfg cfg = {.changed = places_changed, .ctx = r};
        r->client[i] = relay_client_new(r->h.m[i].host, &cfg);
        assert_non_null(r->client[i]);
    }
    relays_connect(r, PROVIDER, FIRST);
    relay_client_want(r->client[PROVIDER], places);
    hosts_run(&r->h, US_PER_S);
}

static inline void relays_fini(struct relays *r)
{
    for (int i = 0; i < MACHINES; i++) {
        if (r->serve[i])
            relay_serve_free(r->serve[i]);
        if (r->client[i])
            relay_client_free(r->client[i]);
    }
    hosts_fini(&r->h);
}

static inline bool relays_holds(struct relays *r, int who, int relay)
{
    struct relay_held_view v;
    for (size_t i = 0; relay_client_look(r->client[who], i, &v); i++)
        if (peer_id_eq(&v.relay, &r->h.m[relay].key.id))
            return true;
    return false;
}

/* /ip4/…/p2p/RELAY/p2p-circuit/p2p/TO, to be given to somebody. */
static inline struct bytes relayed_addr(struct relays *r, int relay, int to, struct multiaddr *m)
{
    assert_int_equal(multiaddr_with_peer(r->h.m[relay].addr_view, &r->h.m[relay].key.id, m), 0);
    assert_int_equal(multiaddr_add(m, MA_CIRCUIT, (struct bytes){0}), 0);
    if (to >= 0)
        assert_int_equal(multiaddr_add_peer(m, &r->h.m[to].key.id), 0);
    return multiaddr_bytes(m);
}

/* An echo from one to another who is known by this address only. */
static inline void ask_echo_at(struct asked *a, struct machine *from, struct machine *to,
                               struct bytes addr, size_t bytes)
{
    *a = (struct asked){0};
    client_init(&a->client, 5, bytes);
    a->open = (struct p2p_open){
        .peer = to->key.id,
        .addrs = &addr,
        .addr_count = 1,
        .protocol = ECHO,
        .is_urgent = true,
        .done = asked_opened,
    };
    p2p_host_open(from->host, &a->open);
}

static inline bool lists_addr(struct machine *m, struct bytes want)
{
    const struct bytes *addrs;
    size_t n = p2p_host_addrs(m->host, &addrs);
    for (size_t i = 0; i < n; i++)
        if (bytes_eq(addrs[i], multiaddr_without_peer(want)))
            return true;
    return false;
}

#endif
