// SPDX-License-Identifier: MIT
/* The steps of a diagnosis; see diagnose.h. */
#include "node/diagnose.h"

#include "base/mem.h"
#include "codec/multiaddr.h"
#include "node/doctor.h"
#include "node/node_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESOLVE_US  (5 * US_PER_S)
#define PROBE_US    (6 * US_PER_S)
#define CONNECT_US  (12 * US_PER_S)
#define IDENTIFY_US (3 * US_PER_S)
enum { ADDRS_MAX = 12, PROBES_MAX = 12, DEFAULT_PORT = 8000 };

/* One socket address that is tried. */
struct spot {
    struct diagnose *d;
    struct p2p_probe probe;
    bool is_running, is_right;
};

struct name {
    struct diagnose *d;
    struct loop_resolve resolve;
    char text[256];
    uint16_t port;
    bool is_running;
};

struct diagnose {
    struct node *n;
    void (*done)(void *ctx, const struct doctor_report *r);
    void *ctx;
    struct doctor_report report;
    bool has_peer, has_relayed;
    struct peer_id peer;
    struct multiaddr addrs[ADDRS_MAX]; /* as given, and as found */
    size_t addr_count;
    struct dht_query *query;
    struct spot spots[PROBES_MAX];
    struct name names[4];
    size_t spot_count, name_count;
    struct p2p_connect connect;
    bool is_connecting;
    size_t before_count; /* checks made before it was connected */
    struct hello hello;
    struct timer timer; /* while identify is awaited */
    uint64_t until_us;
    struct task task;
    void (*next)(struct diagnose *d);
};

static void then(struct diagnose *d, void (*next)(struct diagnose *d))
{
    d->next = next;
    task_defer(d->n->sched, &d->task);
}

static void on_task(struct task *t)
{
    struct diagnose *d = CONTAINER_OF(t, struct diagnose, task);
    d->next(d);
}

static void diagnose_free(struct diagnose *d)
{
    if (d->query)
        dht_cancel(d->n->kad.dht, d->query);
    for (size_t i = 0; i < d->name_count; i++)
        if (d->names[i].is_running)
            loop_resolve_cancel(d->n->loop, &d->names[i].resolve);
    for (size_t i = 0; i < d->spot_count; i++)
        if (d->spots[i].is_running)
            p2p_probe_cancel(&d->spots[i].probe);
    if (d->is_connecting)
        p2p_connect_cancel(&d->connect);
    hello_cancel(&d->hello);
    timer_clear(d->n->sched, &d->timer);
    task_cancel(&d->task);
    free(d);
}

static void finish(struct diagnose *d)
{
    d->report.has_failed = false;
    for (size_t i = 0; i < d->report.count; i++)
        d->report.has_failed |= d->report.v[i].level == DOCTOR_FAIL;
    d->done(d->ctx, &d->report);
    diagnose_free(d);
}

/* --- the verdict --- */

const char *diagnose_remedy(enum p2p_layer layer, int err, bool is_private)
{
    if (err == E_WRONG_NETWORK && is_private)
        return "give it the same key with --psk, or start this node without one";
    if (err == E_WRONG_NETWORK)
        return "if it is in a private network, start with its key: --psk FILE, or an invite";
    if (layer == P2P_LAYER_IDENTITY)
        return "its identity is another one now, or another machine has this address: use the new "
               "id";
    if (layer == P2P_LAYER_NOISE)
        return "it broke off the handshake: it is no libp2p node, or its limits refuse us; ask its "
               "owner";
    if (layer == P2P_LAYER_SECURITY && err == E_TIMEOUT)
        return "something accepts there and says nothing: a wedged node, or a firewall in between; "
               "restart it";
    if (layer == P2P_LAYER_SECURITY)
        return "something else than libp2p listens there: use the port of --p2p-port (8000), not "
               "the "
               "API's";
    if (err == E_REFUSED)
        return "nothing listens on that port there: is conduit running, and is it its --p2p-port?";
    if (err == E_TIMEOUT)
        return "a firewall drops it or the machine is off: let the TCP port in, or use a relay";
    if (err == E_UNREACHABLE)
        return "there is no way there from here: another network, or an interface that is down";
    if (err == E_DNS)
        return "check the name, and the name server in /etc/resolv.conf; or use an IP address";
    if (err == E_DENIED)
        return "this node keeps it out itself: take it from --deny-peer or put it into "
               "--allow-peer, and restart";
    return "try again; if it stays so, ask its owner for its address of now: conduit up prints it";
}

/* The failure that counts, of the checks from `at` on: the last one with a remedy. NULL: none. */
static struct doctor_check *worst_failed(struct diagnose *d, size_t at)
{
    struct doctor_check *worst = NULL;
    for (size_t i = at; i < d->report.count; i++)
        if (d->report.v[i].level == DOCTOR_FAIL && (!worst || d->report.v[i].remedy[0]))
            worst = &d->report.v[i];
    return worst;
}

static void fail(struct diagnose *d, const char *remedy, const char *sentence)
{
    doctor_add(&d->report, DOCTOR_FAIL, "verdict", remedy, "%s", sentence);
    then(d, finish);
}

static void fail_by_step(struct diagnose *d)
{
    const struct doctor_check *c = worst_failed(d, 0);
    struct doctor_check copy = c ? *c : (struct doctor_check){.text = "it cannot be reached"};
    fail(d, copy.remedy[0] ? copy.remedy : diagnose_remedy(P2P_LAYER_TCP, E_IO, false), copy.text);
}

/* Who refuses a peer lets it finish the handshake, since only that proves who it is, and then closes. */
static void fail_as_refused(struct diagnose *d)
{
    char who[16], remedy[DOCTOR_TEXT];
    snprintf(
        remedy, sizeof remedy,
        "most likely it does not admit this node: ask its owner to look at its --deny-peer and "
        "--allow-peer; this node is %s",
        d->n->peer);
    doctor_add(&d->report, DOCTOR_FAIL, "admitted", remedy,
               "%s was reached, and hung up right after the handshake",
               peer_id_short(&d->peer, who));
    fail_by_step(d);
}

static uint64_t count_offers(const struct diagnose *d)
{
    uint64_t count = 0;
    for (const struct catalogue_offer *o = catalogue_next(&d->n->offers, NULL); o;
         o = catalogue_next(&d->n->offers, o))
        count += peer_id_eq(&o->offer.peer, &d->peer);
    return count;
}

/* It was connected, so what failed on the way is no obstacle; what was found since (it speaks another version,
 * its clock is wrong) is one. */
static void conclude(struct diagnose *d)
{
    const struct known_peer *rec = p2p_host_record(d->n->host, &d->peer);
    struct p2p_peer_view v;
    char sentence[DOCTOR_TEXT];
    if (!p2p_host_peer(d->n->host, &d->peer, &v)) {
        fail_as_refused(d);
        return;
    }
    for (size_t i = 0; i < d->before_count; i++)
        if (d->report.v[i].level == DOCTOR_FAIL)
            d->report.v[i].level = DOCTOR_WARN;
    const struct doctor_check *c = worst_failed(d, d->before_count);
    if (c) {
        struct doctor_check copy = *c;
        snprintf(sentence, sizeof sentence, "reached, but %.300s", copy.text);
        fail(d, copy.remedy, sentence);
        return;
    }
    doctor_add(&d->report, DOCTOR_OK, "verdict", NULL, "reached: %s, %.1f ms away, %llu offers",
               rec && rec->agent[0] ? rec->agent : "it does not say what it is",
               (double)v.rtt_us / 1000, (unsigned long long)count_offers(d));
    then(d, finish);
}

/* --- who it is, once connected --- */

static void on_hello(struct hello *h)
{
    struct diagnose *d = h->ctx;
    if (h->err)
        doctor_add(&d->report, DOCTOR_WARN, "http", "an older conduit, or none: update it",
                   "it does not tell its version and time: %s", err_text(h->err));
    else
        doctor_clock_skew(&d->report, "clock", h);
    then(d, conclude);
}

static void check_protocols(struct diagnose *d, const struct known_peer *rec)
{
    doctor_version(&d->report, "identify", d->n, rec);
    if (!known_peer_has_protocol(rec, HTTP_PROTOCOL)) {
        then(d, conclude);
        return;
    }
    d->hello = (struct hello){.peer = d->peer, .done = on_hello, .ctx = d};
    hello_start(&d->hello, d->n->host, d->n->sched, d->n->client);
}

static void await_identify(struct diagnose *d)
{
    const struct known_peer *rec = p2p_host_record(d->n->host, &d->peer);
    if (!p2p_host_is_connected(d->n->host, &d->peer)) {
        then(d, conclude);
        return;
    }
    if (rec && rec->is_identified) {
        timer_clear(d->n->sched, &d->timer);
        check_protocols(d, rec);
        return;
    }
    if (sched_now(d->n->sched) < d->until_us) {
        timer_after(d->n->sched, &d->timer, 50 * US_PER_MS);
        return;
    }
    doctor_add(&d->report, DOCTOR_WARN, "identify", "",
               "connected, but it did not say what it is within %u s",
               (unsigned)(IDENTIFY_US / US_PER_S));
    then(d, conclude);
}

static void on_timer(struct timer *t)
{
    await_identify(CONTAINER_OF(t, struct diagnose, timer));
}

static void on_connected(struct p2p_connect *r, int err, const struct peer_id *peer,
                         const char *why)
{
    struct diagnose *d = CONTAINER_OF(r, struct diagnose, connect);
    d->is_connecting = false;
    if (err) {
        doctor_add(&d->report, DOCTOR_FAIL, err == E_DNS ? "dns" : "connect",
                   diagnose_remedy(P2P_LAYER_TCP, err, false), "%s",
                   why && *why ? why : err_text(err));
        fail_by_step(d);
        return;
    }
    d->peer = *peer;
    d->has_peer = true;
    d->before_count = d->report.count;
    d->until_us = sched_now(d->n->sched) + IDENTIFY_US;
    then(d, await_identify);
}

/* As the node would, with all that is known. */
static void connect_now(struct diagnose *d)
{
    struct bytes v[ADDRS_MAX];
    for (size_t i = 0; i < d->addr_count; i++)
        v[i] = multiaddr_bytes(&d->addrs[i]);
    d->is_connecting = true;
    d->connect = (struct p2p_connect){
        .peer = d->has_peer ? &d->peer : NULL,
        .addrs = v,
        .addr_count = d->addr_count,
        .timeout_us = CONNECT_US,
        .is_urgent = true,
        .done = on_connected,
    };
    p2p_host_connect(d->n->host, &d->connect);
}

/* --- address by address --- */

static bool is_running(const struct diagnose *d)
{
    for (size_t i = 0; i < d->spot_count; i++)
        if (d->spots[i].is_running)
            return true;
    for (size_t i = 0; i < d->name_count; i++)
        if (d->names[i].is_running)
            return true;
    return false;
}

static void after_probes(struct diagnose *d)
{
    bool any = d->has_relayed;
    if (is_running(d))
        return;
    for (size_t i = 0; i < d->spot_count; i++)
        any |= d->spots[i].is_right;
    if (any)
        connect_now(d);
    else
        fail_by_step(d);
}

static void on_probed(struct p2p_probe *p)
{
    struct spot *s = CONTAINER_OF(p, struct spot, probe);
    struct diagnose *d = s->d;
    char at[NET_ADDR_TEXT], who[PEER_ID_TEXT];
    s->is_running = false;
    net_addr_format(&p->at, at);
    bool is_other = !p->err && d->has_peer && !peer_id_eq(&p->who, &d->peer);
    if (is_other) {
        doctor_add(&d->report, DOCTOR_FAIL, "identity",
                   diagnose_remedy(P2P_LAYER_IDENTITY, E_WRONG_PEER, d->n->has_network),
                   "%s: %s answers there", at, peer_id_text(&p->who, who, sizeof who));
    } else if (p->err) {
        doctor_add(&d->report, DOCTOR_FAIL, p2p_layer_text(p->layer),
                   diagnose_remedy(p->layer, p->err, d->n->has_network), "%s: %s", at,
                   err_text(p->err));
    } else {
        s->is_right = true;
        doctor_add(&d->report, DOCTOR_OK, p2p_layer_text(p->layer), NULL,
                   "%s: %s is there, TCP in %.1f ms, all in %.1f ms", at,
                   peer_id_text(&p->who, who, sizeof who), (double)p->connected_us / 1000,
                   (double)p->total_us / 1000);
    }
    then(d, after_probes);
}

static void add_spot(struct diagnose *d, const struct net_addr *at)
{
    for (size_t i = 0; i < d->spot_count; i++)
        if (net_addr_eq(&d->spots[i].probe.at, at))
            return;
    if (d->spot_count == PROBES_MAX)
        return;
    struct spot *s = &d->spots[d->spot_count++];
    s->d = d;
    s->is_running = true;
    s->probe = (struct p2p_probe){.at = *at, .timeout_us = PROBE_US, .done = on_probed};
    p2p_host_probe(d->n->host, &s->probe);
}

static void on_resolved(struct loop_resolve *r, int err, const struct net_addr *addrs,
                        size_t addr_count, const struct bytes *texts, size_t text_count)
{
    struct name *m = CONTAINER_OF(r, struct name, resolve);
    struct diagnose *d = m->d;
    m->is_running = false;
    if (err)
        doctor_add(&d->report, DOCTOR_FAIL, "dns", diagnose_remedy(P2P_LAYER_TCP, E_DNS, false),
                   "%s: %s", m->text, err_text(err));
    else
        doctor_add(&d->report, DOCTOR_OK, "dns", NULL, "%s has %zu addresses", m->text, addr_count);
    for (size_t i = 0; !err && i < addr_count; i++) {
        struct net_addr at = addrs[i];
        at.port = m->port;
        add_spot(d, &at);
    }
    then(d, after_probes);
}

static void add_name(struct diagnose *d, const struct multiaddr_host *host)
{
    if (d->name_count == ARRAY_LEN(d->names))
        return;
    struct name *m = &d->names[d->name_count++];
    m->d = d;
    m->port = host->port;
    m->is_running = true;
    m->resolve.done = on_resolved;
    snprintf(m->text, sizeof m->text, "%.*s", BYTES_FMT(host->name));
    loop_resolve(d->n->loop, &m->resolve, m->text,
                 host->code == MA_DNS4   ? LOOP_DNS_A
                 : host->code == MA_DNS6 ? LOOP_DNS_AAAA
                                         : LOOP_DNS_ANY,
                 RESOLVE_US);
}

static void try_addrs(struct diagnose *d)
{
    struct net_addr at;
    struct multiaddr_host host;
    char text[512];
    for (size_t i = 0; i < d->addr_count; i++) {
        struct bytes m = multiaddr_bytes(&d->addrs[i]);
        if (multiaddr_is_relayed(m)) {
            d->has_relayed = true;
            doctor_add(&d->report, DOCTOR_OK, "relayed", NULL, "%s: tried by connecting",
                       multiaddr_text(m, text, sizeof text));
        } else if (multiaddr_to_net(m, &at) == 0) {
            add_spot(d, &at);
        } else if (multiaddr_to_host(m, &host) == 0) {
            add_name(d, &host);
        } else if (multiaddr_dnsaddr(m).n) {
            d->has_relayed = true; /* a list of addresses: the host reads it */
        } else {
            doctor_add(&d->report, DOCTOR_FAIL, "address",
                       "use its address with /tcp/: conduit speaks TCP only, not QUIC or WebSocket",
                       "%s: cannot be dialled", multiaddr_text(m, text, sizeof text));
        }
    }
    then(d, after_probes);
}

/* --- where it may be --- */

static void add_addr(struct diagnose *d, struct bytes m)
{
    for (size_t i = 0; i < d->addr_count; i++)
        if (bytes_eq(multiaddr_without_peer(multiaddr_bytes(&d->addrs[i])),
                     multiaddr_without_peer(m)))
            return;
    if (d->addr_count < ADDRS_MAX && multiaddr_copy(m, &d->addrs[d->addr_count]) == 0)
        d->addr_count++;
}

static void on_found(void *ctx, const struct dht_peer *peer)
{
    for (int i = 0; i < peer->addr_count; i++)
        add_addr(ctx, peer->addrs[i]);
}

static void on_asked(void *ctx, int err)
{
    struct diagnose *d = ctx;
    size_t before = d->addr_count;
    d->query = NULL;
    if (err && before == 0) {
        doctor_add(&d->report, DOCTOR_FAIL, "find",
                   "ask its owner for its address: conduit up prints it; or join where it is, with "
                   "--bootstrap",
                   err == E_UNAVAILABLE ? "no address is known, and there is nobody to ask"
                                        : "no address is known, and the network knows none");
        fail_by_step(d);
        return;
    }
    if (err)
        doctor_add(&d->report, DOCTOR_WARN, "find", "",
                   "the network does not know it; trying the addresses seen before");
    else
        doctor_add(&d->report, DOCTOR_OK, "find", NULL, "%zu addresses known", d->addr_count);
    then(d, try_addrs);
}

static void find(struct diagnose *d)
{
    const struct known_peer *rec = p2p_host_record(d->n->host, &d->peer);
    for (int i = 0; rec && i < rec->addr_count; i++)
        add_addr(d, bytes_of(rec->addrs[i].p, rec->addrs[i].n));
    d->query = dht_find_peer(d->n->kad.dht, &d->peer, on_found, on_asked, d);
}

static void begin(struct diagnose *d)
{
    struct p2p_peer_view v;
    char at[NET_ADDR_TEXT];
    if (d->has_peer && peer_id_eq(&d->peer, p2p_host_id(d->n->host))) {
        fail(d, "name another peer", "that is this node itself");
        return;
    }
    if (d->has_peer && p2p_host_peer(d->n->host, &d->peer, &v))
        doctor_add(&d->report, DOCTOR_OK, "connected", NULL, "since %llu s, to %s",
                   (unsigned long long)((sched_now(d->n->sched) - v.since_us) / US_PER_S),
                   net_addr_format(&v.remote, at));
    then(d, d->addr_count ? try_addrs : find);
}

/* A peer id, a multiaddr, or host:port. */
static int parse(struct diagnose *d, struct bytes target)
{
    if (peer_id_parse(target, &d->peer) == 0) {
        d->has_peer = true;
        return 0;
    }
    if (multiaddr_parse_loose(target, DEFAULT_PORT, &d->addrs[0]) != 0)
        return E_MALFORMED;
    d->addr_count = 1;
    d->has_peer = multiaddr_peer(multiaddr_bytes(&d->addrs[0]), &d->peer) == 0;
    if (d->has_peer && multiaddr_without_peer(multiaddr_bytes(&d->addrs[0])).n == 0)
        d->addr_count = 0; /* "/p2p/ID" */
    return 0;
}

struct diagnose *diagnose_start(struct node *n, struct bytes target,
                                void (*done)(void *ctx, const struct doctor_report *r), void *ctx)
{
    struct diagnose *d = MEM_NEW(struct diagnose);
    d->n = n;
    d->done = done;
    d->ctx = ctx;
    timer_init(&d->timer, on_timer);
    task_init(&d->task, on_task);
    if (parse(d, target) == 0)
        then(d, begin);
    else
        fail(d, "give a peer id (12D3KooW…), a multiaddr (/ip4/192.0.2.1/tcp/8000) or host:port",
             "that names no peer");
    return d;
}

void diagnose_cancel(struct diagnose *d)
{
    diagnose_free(d);
}
