// SPDX-License-Identifier: MIT
/* The life of the host: made, asked, tended, closed. See host.h and host_impl.h.
 *
 *   RUNNING --p2p_host_close--> CLOSING: no listeners, no dials, streams may finish --> closed
 *                                  \------------- grace is over: all connections end --/ */
#include "p2p/host.h"

#include "base/mem.h"
#include "base/trace.h"
#include "p2p/conn_stream.h"
#include "p2p/host_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define TEND_EVERY_US (5 * US_PER_S)
enum { TENDS_A_LOOK = 6 };          /* at each connection: most have nothing to be done about */
#define SPARE_US   (120 * US_PER_S) /* one that nobody needs is closed when unused for so long */
#define LIMITED_US (15 * US_PER_S)  /* … over a stranger's circuit */
#define STRANGE_US (60 * US_PER_S)  /* a connection so new does not rest yet */
#define REST_US    (30 * US_PER_S)  /* … and later, when unused for so long */

struct p2p_host_cfg p2p_host_cfg_default(const struct key_pair *key)
{
    return (struct p2p_host_cfg){
        .key = key,
        .agent = "conduit/0.1.0",
        .protocol_version = "/conduit/1.0.0",
        .conn = conn_cfg_default(),
        .connmgr = connmgr_cfg_default(),
        .dial = dial_cfg_default(),
        .max_peers = LIMIT_PEERS,
        .limits = resource_limits_default(),
        .stream_budget = LIMIT_HOST_STREAMS,
        .idle_us = 20 * 60 * US_PER_S, /* longer than a DHT record is told again after */
    };
}

void p2p_host_cfg_connections(struct p2p_host_cfg *cfg, uint32_t most)
{
    uint64_t more = most > LIMIT_CONNS ? most - LIMIT_CONNS : 0;
    cfg->connmgr.max_total = most;
    cfg->connmgr.high = most / 4 * 3;
    cfg->connmgr.low = most / 2;
    cfg->max_peers = LIMIT_PEERS + 2 * more;
    cfg->limits.max[RESOURCE_SYSTEM][RESOURCE_MEMORY] += more * 16 * KIB;
}

/* --- tending --- */

/* A connection costs less to keep than to make again: unused, it rests, and is closed much later; unless it holds a
 * relay's place, or there is a better one. Who was dialled waits twice as long: the other may have its reasons to
 * hold it, as whoever joined through us. */
static uint64_t close_after(const struct p2p_host *h, struct host_peer *p, const struct conn *c)
{
    bool is_spare = c->is_relayed || (p->conn_count > 1 && c != host_peer_conn(p));
    uint64_t us = c->is_dialer ? h->cfg.idle_us : 2 * h->cfg.idle_us;
    uint64_t spare_us = c->is_limited ? LIMITED_US : SPARE_US;
    return is_spare && us > spare_us ? spare_us : us;
}

/* Nobody at this end waits for what comes on it: what the peer keeps open, as a feed, is the peer's to watch. */
static bool may_rest(const struct host_peer *p, const struct conn *c)
{
    return !p->protections && !c->busy && !c->kept && !c->scope.own.count[RESOURCE_OUT];
}

static void tend_idle(struct p2p_host *h, struct host_peer *p, struct conn *c)
{
    uint64_t now = sched_now(h->sched), close_us = close_after(h, p, c);
    bool is_unused = !c->stream_count && list_is_empty(&c->waiting) && list_is_empty(&c->lingering);
    if (c->state != CONN_OPEN)
        return;
    if (is_unused &&
        (c->is_goaway || (close_us && !p->protections && now >= c->used_us + close_us)))
        conn_close(c, E_CLOSED, "nothing to do on it");
    else
        conn_rest(c, may_rest(p, c) && now >= c->since_us + STRANGE_US &&
                         now >= c->needed_us + REST_US);
}

/* A hint: there are hundreds, none was looked at for a while, and each wait for the memory would come after the other. */
static void look_ahead(const struct p2p_host *h, const struct list *it)
{
    if (it->next != &h->peers)
        __builtin_prefetch(LIST_ENTRY(it->next, const struct host_peer, link)->conns.next);
}

static void tend_conns(struct p2p_host *h)
{
    if (h->tends++ % TENDS_A_LOOK != 0)
        return;
    LIST_FOREACH (&h->peers, it) {
        struct host_peer *p = LIST_ENTRY(it, struct host_peer, link);
        look_ahead(h, it);
        LIST_FOREACH (&p->conns, ct)
            tend_idle(h, p, LIST_ENTRY(ct, struct conn, by_owner));
        host_identify_tend(h, p);
    }
}

static void tend(struct timer *t)
{
    struct p2p_host *h = CONTAINER_OF(t, struct p2p_host, tend_timer);
    host_trim(h);
    tend_conns(h);
    host_tend(h);
}

void host_tend(struct p2p_host *h)
{
    if (!timer_is_set(&h->tend_timer) && !list_is_empty(&h->peers) && !h->is_closing)
        timer_after(h->sched, &h->tend_timer, TEND_EVERY_US);
}

/* --- beginning --- */

static void grace_over(struct timer *t);
static void report_closed(struct task *t);

static void tell_reach(struct task *t)
{
    struct p2p_host *h = CONTAINER_OF(t, struct p2p_host, reach_task);
    HOST_WATCH(h, reach_changed, h->reach);
}

static void init_parts(struct p2p_host *h)
{
    struct list *lists[] = {&h->peers,   &h->pending, &h->dials,     &h->opens,
                            &h->watches, &h->walks,   &h->listeners, &h->identifies,
                            &h->pings,   &h->probes,  &h->dialbacks};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        list_init(lists[i]);
    timer_init(&h->tend_timer, tend);
    timer_init(&h->close_timer, grace_over);
    task_init(&h->close_task, report_closed);
    task_init(&h->reach_task, tell_reach);
    yamux_budget_init(&h->budget, h->cfg.stream_budget);
    uint64_t(*max)[RESOURCE_KINDS] = h->cfg.limits.max;
    max[RESOURCE_SYSTEM][RESOURCE_PENDING] = h->cfg.connmgr.max_pending;
    max[RESOURCE_IP][RESOURCE_PENDING] = h->cfg.connmgr.max_pending_per_ip;
    max[RESOURCE_RELAY][RESOURCE_PENDING] = h->cfg.connmgr.max_pending_per_relay;
    max[RESOURCE_SYSTEM][RESOURCE_CONNS] = h->cfg.connmgr.max_total;
    max[RESOURCE_PEER][RESOURCE_CONNS] = h->cfg.connmgr.max_per_peer;
    connmgr_init(&h->connmgr, &h->cfg.connmgr, h->rng);
    resource_init(&h->ledger, &h->cfg.limits, h->connmgr.groups.seed + 1);
    peerstore_init(&h->store, h->rng);
    h->store.max = h->cfg.max_peers;
    map_init(&h->peers_by_id, rng_u64(h->rng));
    sent_init(&h->sent, h->peers_by_id.seed);
    rates_init(&h->pushes, LIMIT_PUSH_RATE, LIMIT_PUSH_BURST, LIMIT_PUSH_GROUPS, rng_u64(h->rng));
    h->env.sched = h->sched;
    conn_env_begin(&h->env);
    h->env.rng = h->rng;
    h->env.self = &h->self;
    if (h->cfg.network) {
        h->network = *h->cfg.network;
        h->env.network = h->cfg.network = &h->network;
    }
    h->env.budget = &h->budget;
    h->env.ledger = &h->ledger;
    h->env.cfg = h->cfg.conn;
    h->env.on = &host_conn_events;
    h->env.ctx = h;
}

struct p2p_host *p2p_host_new_on(const struct p2p_host_cfg *cfg, struct sched *sched,
                                 struct rng *rng, const struct host_port *port, void *port_ctx)
{
    struct p2p_host *h = MEM_NEW(struct p2p_host);
    h->cfg = *cfg;
    h->sched = sched;
    h->rng = rng;
    h->port = port;
    h->port_ctx = port_ctx;
    init_parts(h);
    int err = noise_self_init(&h->self, cfg->key, P2P_YAMUX, rng);
    h->id = cfg->key->id;
    if (err) {
        p2p_host_free(h);
        return NULL;
    }
    peer_id_text(&h->id, h->id_text, sizeof h->id_text);
    host_identify_init(h);
    host_ping_init(h);
    return h;
}

/* --- the end --- */

static bool has_conns(const struct p2p_host *h)
{
    if (!list_is_empty(&h->pending))
        return true;
    LIST_FOREACH (&h->peers, it)
        if (LIST_ENTRY(it, struct host_peer, link)->conn_count)
            return true;
    return false;
}

static void report_closed(struct task *t)
{
    struct p2p_host *h = CONTAINER_OF(t, struct p2p_host, close_task);
    timer_clear(h->sched, &h->close_timer);
    TRACE(P2P, DEBUG, "host: no connection left -> closed");
    if (h->closed)
        h->closed(h->closed_ctx);
}

static void close_conns(struct p2p_host *h, bool also_busy)
{
    LIST_FOREACH (&h->pending, it)
        conn_close(LIST_ENTRY(it, struct conn, by_owner), E_CLOSED, "we are closing");
    LIST_FOREACH (&h->peers, it) {
        struct host_peer *p = LIST_ENTRY(it, struct host_peer, link);
        LIST_FOREACH (&p->conns, ct) {
            struct conn *c = LIST_ENTRY(ct, struct conn, by_owner);
            bool is_busy = c->stream_count || !list_is_empty(&c->lingering);
            if (is_busy && !also_busy)
                continue;
            if (c->has_yamux)
                yamux_goaway(&c->yamux, 0);
            conn_close(c, E_CLOSED, "we are closing");
        }
    }
}

/* While streams finish, look again now and then: they end without telling the host. */
static void grace_over(struct timer *t)
{
    struct p2p_host *h = CONTAINER_OF(t, struct p2p_host, close_timer);
    uint64_t now = sched_now(h->sched);
    close_conns(h, now >= h->close_by_us);
    if (now < h->close_by_us)
        timer_after(h->sched, t, 20 * US_PER_MS);
    host_step_close(h);
}

void host_step_close(struct p2p_host *h)
{
    if (!has_conns(h) && list_is_empty(&h->dials) && list_is_empty(&h->dialbacks))
        task_defer(h->sched, &h->close_task);
    else if (!timer_is_set(&h->close_timer))
        timer_after(h->sched, &h->close_timer, 20 * US_PER_MS);
}

void p2p_host_close(struct p2p_host *h, uint64_t grace_us, void (*closed)(void *ctx), void *ctx)
{
    h->is_closing = true;
    h->closed = closed;
    h->closed_ctx = ctx;
    h->close_by_us = sched_now(h->sched) + grace_us;
    timer_clear(h->sched, &h->tend_timer);
    host_listen_end_all(h);
    host_open_end_all(h, E_CANCELLED, true);
    host_dial_end_all(h, E_CANCELLED, true);
    host_identify_end_all(h);
    host_dialback_end_all(h);
    close_conns(h, grace_us == 0);
    host_step_close(h);
}

static void free_conns(struct list *conns)
{
    while (!list_is_empty(conns))
        conn_free(LIST_ENTRY(conns->next, struct conn, by_owner));
}

void p2p_host_free(struct p2p_host *h)
{
    h->is_closing = true;
    host_listen_end_all(h);
    host_open_end_all(h, E_CANCELLED, false);
    host_identify_end_all(h);
    host_ping_end_all(h);
    free_conns(&h->pending);
    if (h->port->free)
        h->port->free(h->port_ctx);
    host_dial_free_all(h);
    host_probe_free_all(h);
    host_dialback_free_all(h);
    while (!list_is_empty(&h->peers)) {
        struct host_peer *p = LIST_ENTRY(h->peers.next, struct host_peer, link);
        free_conns(&p->conns);
        p->conn_count = p->protections = p->pings = p->identifies = 0;
        host_peer_put(p);
    }
    for (int i = 0; i < HOST_HANDLERS_MAX; i++)
        free(h->handlers[i].protocol);
    timer_clear(h->sched, &h->tend_timer);
    timer_clear(h->sched, &h->close_timer);
    timer_clear(h->sched, &h->push_timer);
    task_cancel(&h->close_task);
    task_cancel(&h->reach_task);
    assert(resource_is_zero(&h->ledger)); /* every scope ends with its work */
    resource_fini(&h->ledger);
    peerstore_fini(&h->store);
    connmgr_fini(&h->connmgr);
    map_fini(&h->peers_by_id);
    sent_fini(&h->sent);
    rates_fini(&h->pushes);
    conn_env_end(&h->env);
    noise_self_fini(&h->self);
    pnet_key_fini(&h->network);
    free(h);
}

/* --- protocols --- */

static int find_handler(const struct p2p_host *h, const char *protocol)
{
    for (int i = 0; i < HOST_HANDLERS_MAX; i++)
        if (h->handlers[i].protocol && strcmp(h->handlers[i].protocol, protocol) == 0)
            return i;
    return -1;
}

int p2p_host_handle(struct p2p_host *h, const char *protocol, p2p_handler handler, void *ctx)
{
    if (find_handler(h, protocol) >= 0)
        return E_EXISTS;
    for (int i = 0; i < HOST_HANDLERS_MAX; i++)
        if (!h->handlers[i].protocol) {
            h->handlers[i] = (struct host_handler){mem_strdup(protocol), handler, ctx};
            host_identify_changed(h);
            return 0;
        }
    return E_LIMIT;
}

void p2p_host_unhandle(struct p2p_host *h, const char *protocol)
{
    int i = find_handler(h, protocol);
    if (i < 0)
        return;
    free(h->handlers[i].protocol);
    h->handlers[i] = (struct host_handler){0};
    host_identify_changed(h);
}

bool p2p_stream_is_relayed(const struct stream *s)
{
    const struct conn_stream *cs = CONTAINER_OF(s, const struct conn_stream, s);
    return conn_stream_is_p2p(s) && cs->conn && cs->conn->is_relayed;
}

void p2p_stream_keep(struct stream *s)
{
    if (conn_stream_is_p2p(s))
        conn_stream_keep(s);
}

/* --- peers --- */

const struct peer_id *p2p_host_id(const struct p2p_host *h)
{
    return &h->id;
}

bool p2p_host_is_connected(struct p2p_host *h, const struct peer_id *peer)
{
    struct host_peer *p = host_peer_get(h, peer);
    return p && host_peer_conn(p);
}

void p2p_host_disconnect(struct p2p_host *h, const struct peer_id *peer)
{
    struct host_peer *p = host_peer_get(h, peer);
    if (!p)
        return;
    LIST_FOREACH (&p->conns, it)
        conn_close(LIST_ENTRY(it, struct conn, by_owner), E_CLOSED, "we closed it");
}

void p2p_host_protect(struct p2p_host *h, const struct peer_id *peer, bool protect)
{
    struct host_peer *p = host_peer_make(h, peer);
    if (protect) {
        p->protections++;
        LIST_FOREACH (&p->conns, it)
            conn_rest(LIST_ENTRY(it, struct conn, by_owner), false);
    } else if (p->protections) {
        p->protections--;
    }
    host_peer_put(p);
}

void p2p_host_learn(struct p2p_host *h, const struct peer_id *peer, const struct bytes *addrs,
                    size_t addr_count, uint64_t ttl_us)
{
    struct known_peer *r = peerstore_touch(&h->store, peer);
    struct p2p_addr a;
    for (size_t i = 0; r && i < addr_count; i++)
        if (p2p_addr_decode(addrs[i], &a) == 0 && !(a.has_peer && !peer_id_eq(&a.peer, peer)))
            known_peer_add_addr(r, multiaddr_without_peer(addrs[i]), ttl_us, sched_now(h->sched));
}

void p2p_host_gate(struct p2p_host *h,
                   bool (*may)(void *ctx, const struct peer_id *peer, const struct net_addr *from),
                   void *ctx)
{
    h->may = may;
    h->may_ctx = ctx;
}

struct known_peer *p2p_host_record(struct p2p_host *h, const struct peer_id *peer)
{
    return peerstore_get(&h->store, peer);
}

static bool view_peer(struct host_peer *p, struct p2p_peer_view *out)
{
    struct conn *c = host_peer_conn(p);
    uint32_t relayed = 0;
    if (!c)
        return false;
    LIST_FOREACH (&p->conns, it)
        relayed += LIST_ENTRY(it, struct conn, by_owner)->is_relayed;
    *out = (struct p2p_peer_view){
        .id = &p->id,
        .record = p->record,
        .conns = p->conn_count,
        .streams = c->stream_count,
        .rtt_us = conn_rtt_us(c),
        .since_us = c->since_us,
        .remote = c->remote,
        .is_inbound = !c->is_dialer,
        .is_conduit = p->is_conduit,
        .is_protected = p->protections > 0,
        .is_relayed = c->is_relayed,
        .is_limited = c->is_limited,
        .relayed_conns = relayed,
        .observed = multiaddr_bytes(&p->observed),
    };
    return true;
}

bool p2p_host_peer(struct p2p_host *h, const struct peer_id *peer, struct p2p_peer_view *out)
{
    struct host_peer *p = host_peer_get(h, peer);
    return p && view_peer(p, out);
}

bool p2p_host_peers(struct p2p_host *h, void **cursor, struct p2p_peer_view *out)
{
    struct list *it = *cursor ? ((struct list *)*cursor)->next : h->peers.next;
    for (; it != &h->peers; it = it->next)
        if (view_peer(LIST_ENTRY(it, struct host_peer, link), out)) {
            *cursor = it;
            return true;
        }
    return false;
}

struct p2p_counts p2p_host_counts(const struct p2p_host *h)
{
    const struct connmgr *m = &h->connmgr;
    return (struct p2p_counts){
        .peers = map_count(&h->peers_by_id),
        .conns = m->total,
        .conns_pending = m->pending,
        .streams_in = h->env.counts.streams_in,
        .streams_out = h->env.counts.streams_out,
        .bytes_in = h->env.counts.bytes_in,
        .bytes_out = h->env.counts.bytes_out,
        .dials = h->dialled,
        .dials_failed = h->dials_failed,
        .accepted = h->accepted,
        .refused_limit = m->counts.refused_pending + m->counts.refused_ip + m->counts.refused_rate +
                         m->counts.refused_relay_rate + m->counts.refused_total +
                         m->counts.refused_peer,
        .upgrade_failed = h->upgrade_failed,
        .trimmed = m->counts.trimmed,
    };
}
