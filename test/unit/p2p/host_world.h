// SPDX-License-Identifier: MIT
/* Hosts on machines of a virtual world, and requests that remember what came of them. */
#ifndef CONDUIT_TEST_P2P_HOST_WORLD_H
#define CONDUIT_TEST_P2P_HOST_WORLD_H

#include "conn_pair.h"
#include "loop/loop.h"
#include "p2p/host.h"
#include "p2p/host_impl.h"
#include "p2p/ping.h"

enum { MACHINES = 6 };

struct machine {
    struct loop *loop;
    struct p2p_host *host;
    struct key_pair key;
    struct p2p_watch watch;
    int connected, disconnected, identified, served;
    struct multiaddr addr; /* of its first listener */
    struct bytes addr_view;
};

struct hosts {
    struct loop_virtual *world;
    struct rng rng;
    struct machine m[MACHINES];
    int count;
};

static inline void on_connected(struct p2p_watch *w, const struct peer_id *peer)
{
    CONTAINER_OF(w, struct machine, watch)->connected++;
}

static inline void on_disconnected(struct p2p_watch *w, const struct peer_id *peer, int err)
{
    CONTAINER_OF(w, struct machine, watch)->disconnected++;
}

static inline void on_identified(struct p2p_watch *w, const struct known_peer *peer)
{
    CONTAINER_OF(w, struct machine, watch)->identified++;
}

static inline void serve_echo(void *ctx, struct stream *s, const struct peer_id *peer)
{
    ((struct machine *)ctx)->served++;
    echo_serve(s);
}

static inline void machine_addr(struct machine *m, const char *text)
{
    assert_int_equal(multiaddr_parse(bytes_str(text), &m->addr), 0);
    m->addr_view = multiaddr_bytes(&m->addr);
}

/* At that address of the world, listening there. */
static inline struct machine *hosts_add_at(struct hosts *h, const struct p2p_host_cfg *like,
                                           const char *at, const char *listen)
{
    struct machine *m = &h->m[h->count++];
    struct net_addr ip;
    char text[64];
    net_addr_parse_ip(at, 0, &ip);
    m->loop = loop_virtual_machine(h->world, &ip);
    key_pair_generate(&m->key, &h->rng);
    struct p2p_host_cfg cfg = like ? *like : p2p_host_cfg_default(&m->key);
    cfg.key = &m->key;
    m->host = p2p_host_new(&cfg, m->loop);
    assert_non_null(m->host);
    m->watch = (struct p2p_watch){
        .connected = on_connected, .disconnected = on_disconnected, .identified = on_identified};
    p2p_host_watch(m->host, &m->watch);
    assert_int_equal(p2p_host_handle(m->host, ECHO, serve_echo, m), 0);
    assert_int_equal(p2p_host_listen(m->host, listen), 0);
    snprintf(text, sizeof text, "/ip4/%s/tcp/8000", at);
    machine_addr(m, text);
    return m;
}

static inline struct machine *hosts_add(struct hosts *h, const struct p2p_host_cfg *like)
{
    char text[64];
    snprintf(text, sizeof text, "10.0.0.%d", h->count + 1);
    return hosts_add_at(h, like, text, "/ip4/0.0.0.0/tcp/8000");
}

static inline void hosts_init(struct hosts *h, uint64_t seed, int count)
{
    *h = (struct hosts){0};
    h->world = loop_virtual_new(seed);
    rng_init_seeded(&h->rng, seed);
    while (count-- > 0)
        hosts_add(h, NULL);
}

static inline void hosts_run(struct hosts *h, uint64_t us)
{
    loop_virtual_run(h->world, loop_virtual_now(h->world) + us, NULL, NULL);
}

/* The books of every host agree with what there is. */
static inline void hosts_check(struct hosts *h)
{
    for (int i = 0; i < h->count; i++) {
        const char *why = h->m[i].host ? p2p_host_check(h->m[i].host) : NULL;
        if (why)
            fail_msg("machine %d: %s", i, why);
    }
}

/* Nobody is connected any more: nothing may be left in any book, with the hosts alive. */
static inline void hosts_are_at_zero(struct hosts *h)
{
    hosts_check(h);
    for (int i = 0; i < h->count; i++) {
        const struct p2p_host *host = h->m[i].host;
        if (!host)
            continue;
        assert_true(resource_is_zero(&host->ledger));
        assert_int_equal(host->budget.used, 0);
        assert_int_equal(host->connmgr.total, 0);
        assert_int_equal(host->connmgr.pending, 0);
        assert_int_equal(host->dial_count, 0);
    }
}

static inline void hosts_fini(struct hosts *h)
{
    hosts_check(h);
    for (int i = 0; i < h->count; i++)
        if (h->m[i].host)
            p2p_host_free(h->m[i].host);
    hosts_run(h, US_PER_S); /* what was cancelled completes */
    loop_virtual_free(h->world);
}

/* --- requests --- */

struct asked {
    struct p2p_connect connect;
    struct p2p_open open;
    struct p2p_ping ping;
    struct client client;
    int done, err;
    struct peer_id who;
    char why[160];
    uint64_t rtt_us;
};

static inline void asked_connected(struct p2p_connect *r, int err, const struct peer_id *peer,
                                   const char *why)
{
    struct asked *a = CONTAINER_OF(r, struct asked, connect);
    a->done++;
    a->err = err;
    if (peer)
        a->who = *peer;
    snprintf(a->why, sizeof a->why, "%s", why);
}

static inline void ask_connect(struct asked *a, struct machine *from, const struct peer_id *peer,
                               const struct bytes *addrs, size_t n)
{
    *a = (struct asked){0};
    a->connect = (struct p2p_connect){
        .peer = peer, .addrs = addrs, .addr_count = n, .done = asked_connected};
    p2p_host_connect(from->host, &a->connect);
    assert_int_equal(a->done, 0); /* never from inside */
}

static inline void asked_opened(struct p2p_open *r, int err, struct stream *s)
{
    struct asked *a = CONTAINER_OF(r, struct asked, open);
    a->done++;
    a->err = err;
    if (!err)
        client_attach(&a->client, s);
}

static inline void ask_echo(struct asked *a, struct machine *from, struct machine *to,
                            const char *protocol, size_t bytes)
{
    *a = (struct asked){0};
    client_init(&a->client, 5, bytes);
    a->open = (struct p2p_open){
        .peer = to->key.id,
        .addrs = &to->addr_view,
        .addr_count = 1,
        .protocol = protocol,
        .done = asked_opened,
    };
    p2p_host_open(from->host, &a->open);
    assert_int_equal(a->done, 0);
}

static inline void asked_pinged(struct p2p_ping *p, int err, uint64_t rtt_us)
{
    struct asked *a = CONTAINER_OF(p, struct asked, ping);
    a->done++;
    a->err = err;
    a->rtt_us = rtt_us;
}

#endif
