// SPDX-License-Identifier: MIT
/* The mDNS machine fed with datagrams while time goes on: [link and source][100 ms steps][length 2][bytes] …
 * Never over its limits, and it never says more than it may. */
#include "base/err.h"
#include "base/mem.h"
#include "p2p/mdns.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct stage {
    struct sched sched;
    uint64_t sent;
};

static void on_send(void *ctx, uint32_t link, struct bytes datagram)
{
    struct dns_reader r;
    struct dns_record rec;
    int rc;
    ((struct stage *)ctx)->sent++;
    if (datagram.n > 1440 || link > 1 || dns_read(&r, datagram) != 0)
        abort();
    while ((rc = dns_read_record(&r, &rec)) == 1)
        ;
    if (rc < 0)
        abort();
}

static size_t on_addrs(void *ctx, uint32_t link, struct multiaddr *out, size_t max)
{
    return multiaddr_parse(BYTES_LIT("/ip4/192.168.1.2/tcp/8000"), out) == 0;
}

static void on_found(void *ctx, const struct mdns_peer *peer, bool is_news)
{
    if (peer->addr_count == 0 || peer->addr_count > LIMIT_MDNS_ADDRS || peer_id_is_none(&peer->id))
        abort();
}

static void on_lost(void *ctx, const struct mdns_peer *peer)
{
}

static void run_for(struct stage *s, uint64_t us)
{
    uint64_t until = s->sched.now_us + us;
    for (uint64_t at; (at = sched_deadline(&s->sched)) <= until;) {
        sched_set_now(&s->sched, at > s->sched.now_us ? at : s->sched.now_us, 0);
        sched_run_timers(&s->sched);
    }
    sched_set_now(&s->sched, until, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mdns_port port = {on_send, on_addrs, on_found, on_lost};
    struct stage s = {0};
    struct rng rng;
    struct mdns *m = MEM_NEW(struct mdns);
    struct peer_id self;
    struct net_addr at = {.kind = NET_IP4, .ip = {192, 168, 1, 2}};
    uint8_t key[36] = {8, 1, 18, 32};
    (void)peer_id_from_key(bytes_of(key, sizeof key), &self);
    sched_init(&s.sched, US_PER_S, 0);
    rng_init_seeded(&rng, 1);
    mdns_init(m, &self, NULL, &s.sched, &rng, &port, &s);
    (void)mdns_link_up(m, 0, &at, 1);
    (void)mdns_link_up(m, 1, &at, 1);
    while (size >= 4) {
        size_t n = (size_t)(data[2] << 8 | data[3]);
        struct net_addr from = {.kind = NET_IP4, .port = MDNS_PORT, .ip = {192, 168, 1, data[0]}};
        n = n < size - 4 ? n : size - 4;
        uint8_t *copy = malloc(n ? n : 1); /* so that ASan sees its end */
        if (n)
            memcpy(copy, data + 4, n);
        mdns_heard(m, data[0] & 1, &from, bytes_of(copy, n));
        free(copy);
        run_for(&s, data[1] * (100 * US_PER_MS));
        data += 4 + n;
        size -= 4 + n;
        if (map_count(&m->peers) > LIMIT_MDNS_PEERS)
            abort();
    }
    run_for(&s, 10 * US_PER_S);
    /* One answer and one question a second and link, at most; announcements and meta-answers too. */
    if (s.sent > 16 + 6 * (s.sched.now_us / US_PER_S + 1))
        abort();
    mdns_fini(m);
    sched_fini(&s.sched);
    free(m);
    return 0;
}
