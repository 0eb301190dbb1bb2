// SPDX-License-Identifier: MIT
/* See relay_client.h. */
#include "p2p/relay_client.h"

#include "base/mem.h"
#include "base/trace.h"
#include "p2p/host_impl.h"
#include "p2p/message_read.h"

#include <stdlib.h>

#define RESERVE_TIMEOUT_US (15 * US_PER_S)
#define STOP_TIMEOUT_US    (10 * US_PER_S)

/* A relay that holds a place for us. */
struct place {
    struct list link;
    struct peer_id relay;
    uint64_t until_us;
    struct relay_limit limit;
    struct multiaddr addrs[LIMIT_RELAY_USED]; /* ours, over it */
    size_t addr_count;
};

/* A RESERVE under way. */
struct reservation {
    struct relay_client *client;
    struct list link;
    struct peer_id relay;
    struct p2p_open open;
    bool is_opening;
    struct stream *s;
    struct timer timer;
    struct message_read in;
};

/* A stop stream whose message is awaited. */
struct arrival {
    struct relay_client *client;
    struct list link;
    struct peer_id relay;
    bool is_uninvited; /* of no relay of ours: it will be refused, in words */
    struct stream *s;
    struct timer timer;
    struct message_read in;
};

struct relay_client {
    struct p2p_host *host;
    struct relay_client_cfg cfg;
    struct relay_choice choice;
    struct p2p_watch watch;
    struct list places, reservations, arrivals;
    uint32_t arrival_count, uninvited_count;
    struct timer timer;
    struct task task;
};

static void stir(struct relay_client *c)
{
    task_defer(c->host->sched, &c->task);
}

/* --- places --- */

static struct place *place_of(const struct relay_client *c, const struct peer_id *relay)
{
    LIST_FOREACH ((struct list *)&c->places, it) {
        struct place *p = LIST_ENTRY(it, struct place, link);
        if (peer_id_eq(&p->relay, relay))
            return p;
    }
    return NULL;
}

static void withdraw_addrs(struct relay_client *c, struct place *p)
{
    for (size_t i = 0; i < p->addr_count; i++)
        p2p_host_remove_addr(c->host, multiaddr_bytes(&p->addrs[i]));
    p->addr_count = 0;
}

static void place_end(struct relay_client *c, struct place *p)
{
    withdraw_addrs(c, p);
    p2p_host_protect(c->host, &p->relay, false);
    list_remove(&p->link);
    free(p);
    if (c->cfg.changed)
        c->cfg.changed(c->cfg.ctx);
}

static void place_lost(struct relay_client *c, const struct peer_id *relay, const char *why)
{
    struct place *p = place_of(c, relay);
    char who[PEER_ID_TEXT];
    if (!p)
        return;
    TRACE(P2P, INFO, "the place at relay %s is lost: %s -> looking for another",
          peer_id_text(relay, who, sizeof who), why);
    place_end(c, p);
}

/* ADDR[/p2p/RELAY]/p2p-circuit */
static int circuit_addr(struct bytes addr, const struct peer_id *relay, struct multiaddr *out)
{
    int err = multiaddr_is_relayed(addr) ? E_UNSUPPORTED : multiaddr_with_peer(addr, relay, out);
    return err ? err : multiaddr_add(out, MA_CIRCUIT, (struct bytes){0});
}

/* An address of the relay: ours over it is told to others when they can use it. */
static void use_addr(struct place *p, struct bytes addr, const struct net_addr *relay_at)
{
    struct multiaddr m;
    if (p->addr_count == LIMIT_RELAY_USED || !p2p_addr_is_credible(addr, relay_at) ||
        circuit_addr(addr, &p->relay, &m) != 0)
        return;
    for (size_t i = 0; i < p->addr_count; i++)
        if (bytes_eq(multiaddr_bytes(&p->addrs[i]), multiaddr_bytes(&m)))
            return;
    p->addrs[p->addr_count++] = m;
}

static bool is_same(const struct place *a, const struct place *b)
{
    if (a->addr_count != b->addr_count)
        return false;
    for (size_t i = 0; i < a->addr_count; i++)
        if (!bytes_eq(multiaddr_bytes(&a->addrs[i]), multiaddr_bytes(&b->addrs[i])))
            return false;
    return true;
}

/* The relay's own word about its addresses, else where we reached it. */
static void place_granted(struct relay_client *c, const struct peer_id *relay,
                          const struct relay_message *m, const struct net_addr *at,
                          bool was_dialled, uint64_t until_us)
{
    struct place fresh = {.relay = *relay, .until_us = until_us, .limit = m->limit};
    struct place *p = place_of(c, relay);
    struct multiaddr dialled;
    char who[PEER_ID_TEXT];
    for (size_t i = 0; i < m->addr_count; i++)
        use_addr(&fresh, m->addrs[i], at);
    if (!fresh.addr_count && was_dialled && multiaddr_from_net(at, &dialled) == 0)
        use_addr(&fresh, multiaddr_bytes(&dialled), at);
    bool is_new = !p;
    if (is_new) {
        p = MEM_NEW(struct place);
        list_init(&p->link);
        list_append(&c->places, &p->link);
        p2p_host_protect(c->host, relay, true);
        TRACE(P2P, INFO, "relay %s holds a place for us -> reachable over it by %zu addresses%s",
              peer_id_text(relay, who, sizeof who), fresh.addr_count,
              relay_limit_is_any(&m->limit) ? ", within its limits" : "");
    }
    if (is_new || !is_same(p, &fresh)) {
        p->relay = *relay;
        withdraw_addrs(c, p);
        memcpy(p->addrs, fresh.addrs, sizeof p->addrs);
        p->addr_count = fresh.addr_count;
        for (size_t i = 0; i < p->addr_count; i++)
            (void)p2p_host_add_addr(c->host, multiaddr_bytes(&p->addrs[i]));
    }
    p->until_us = until_us;
    p->limit = m->limit;
    if (is_new && c->cfg.changed)
        c->cfg.changed(c->cfg.ctx);
}

/* --- asking for one --- */

static void reservation_end(struct reservation *r)
{
    timer_clear(r->client->host->sched, &r->timer);
    if (r->is_opening)
        p2p_open_cancel(&r->open);
    if (r->s)
        stream_close(r->s);
    list_remove(&r->link);
    free(r);
}

static void refused(struct reservation *r, const char *why)
{
    struct relay_client *c = r->client;
    struct peer_id relay = r->relay;
    char who[PEER_ID_TEXT];
    TRACE(P2P, DEBUG, "no place at relay %s: %s -> another, or later",
          peer_id_text(&relay, who, sizeof who), why);
    if (r->s)
        stream_reset(r->s, STREAM_CANCELLED);
    reservation_end(r);
    if (relay_choice_refused(&c->choice, &relay, sched_now(c->host->sched)))
        place_lost(c, &relay, why);
    stir(c);
}

/* Unix seconds of the relay's clock, which may be off by any amount: within sane bounds. */
static uint64_t until_of(const struct relay_client *c, uint64_t expires_s)
{
    uint64_t wall_s = sched_wall_ms(c->host->sched) / 1000;
    uint64_t left_s = expires_s > wall_s ? expires_s - wall_s : 0;
    left_s = left_s < 60 ? 60 : left_s > 86400 ? 86400 : left_s;
    return sched_now(c->host->sched) + left_s * US_PER_S;
}

/* Nobody asks for it, and rust gives none; a wrong one is worth a line. */
static void check_voucher(struct relay_client *c, const struct reservation *r,
                          const struct relay_message *m)
{
    struct relay_voucher v;
    char who[PEER_ID_TEXT];
    int err = m->voucher.n ? relay_voucher_open(m->voucher, &v) : 0;
    bool is_ours = !m->voucher.n ||
                   (!err && peer_id_eq(&v.relay, &r->relay) && peer_id_eq(&v.peer, &c->host->id));
    if (!is_ours)
        TRACE(P2P, DEBUG, "the voucher of relay %s: %s -> not needed",
              peer_id_text(&r->relay, who, sizeof who), err ? err_text(err) : "for somebody else");
}

static void take_answer(struct reservation *r, struct bytes in)
{
    struct relay_client *c = r->client;
    struct relay_message m;
    if (relay_hop_decode(in, &m) != 0 || m.type != RELAY_STATUS) {
        refused(r, "its answer is no answer");
        return;
    }
    if (m.status != RELAY_OK || !m.has_reservation) {
        refused(r, relay_status_text(m.status));
        return;
    }
    check_voucher(c, r, &m);
    struct peer_id relay = r->relay;
    struct net_addr at = r->s->remote;
    struct host_peer *p = host_peer_get(c->host, &relay);
    struct conn *conn = p ? host_peer_direct(p) : NULL;
    uint64_t until = until_of(c, m.expires_s);
    relay_choice_granted(&c->choice, &relay, until, sched_now(c->host->sched));
    place_granted(c, &relay, &m, &at, conn && conn->is_dialer, until);
    stream_finish(r->s);
    reservation_end(r);
    stir(c);
}

static void reservation_readable(void *ctx)
{
    struct reservation *r = ctx;
    struct bytes in;
    int err = message_read_step(&r->in, r->s, &in);
    if (err == E_AGAIN)
        return;
    if (err)
        refused(r, "it hung up");
    else
        take_answer(r, in);
}

static void nothing_writable(void *ctx)
{
}

static void reservation_closed(void *ctx, int err)
{
    refused(ctx, err_text(err));
}

static const struct stream_events reservation_events = {reservation_readable, nothing_writable,
                                                        reservation_closed};

static void reservation_opened(struct p2p_open *o, int err, struct stream *s)
{
    struct reservation *r = CONTAINER_OF(o, struct reservation, open);
    static const uint8_t reserve[] = {2, 0x08, 0x00};
    r->is_opening = false;
    if (err) {
        refused(r, err_text(err));
        return;
    }
    r->s = s;
    stream_listen(s, &reservation_events, r);
    if (stream_write(s, bytes_of(reserve, sizeof reserve)) != (ssize_t)sizeof reserve)
        refused(r, "it takes no bytes");
    else
        stream_want_read(s, true);
}

static void reservation_timer(struct timer *t)
{
    refused(CONTAINER_OF(t, struct reservation, timer), "no answer in time");
}

static void ask(struct relay_client *c, const struct peer_id *relay)
{
    struct reservation *r = MEM_NEW(struct reservation);
    r->client = c;
    r->relay = *relay;
    r->is_opening = true;
    list_append(&c->reservations, &r->link);
    message_read_init(&r->in);
    timer_init(&r->timer, reservation_timer);
    timer_after(c->host->sched, &r->timer, RESERVE_TIMEOUT_US);
    r->open = (struct p2p_open){
        .peer = *relay,
        .protocol = RELAY_HOP,
        .timeout_us = RESERVE_TIMEOUT_US,
        .is_direct = true,
        .is_background = true,
        .done = reservation_opened,
    };
    p2p_host_open(c->host, &r->open);
}

static void step(struct relay_client *c)
{
    struct relay_act act;
    while (relay_choice_next(&c->choice, sched_now(c->host->sched), &act)) {
        struct place *p = place_of(c, &act.relay);
        if (act.kind == RELAY_ACT_ASK)
            ask(c, &act.relay);
        else if (p)
            place_end(c, p);
    }
    timer_set(c->host->sched, &c->timer, relay_choice_deadline(&c->choice));
}

static void step_task(struct task *t)
{
    step(CONTAINER_OF(t, struct relay_client, task));
}

static void step_timer(struct timer *t)
{
    step(CONTAINER_OF(t, struct relay_client, timer));
}

/* --- circuits that arrive --- */

static void arrival_free(struct arrival *a)
{
    timer_clear(a->client->host->sched, &a->timer);
    if (a->s)
        stream_close(a->s);
    a->client->arrival_count--;
    a->client->uninvited_count -= a->is_uninvited;
    list_remove(&a->link);
    free(a);
}

static void arrival_abort(struct arrival *a)
{
    stream_reset(a->s, STREAM_PROTOCOL);
    arrival_free(a);
}

static bool say_status(struct stream *s, enum relay_status status)
{
    struct relay_message m = {.type = RELAY_STATUS, .status = status};
    struct buf out;
    buf_init(&out, 0);
    int err = relay_stop_encode(&m, &out);
    ssize_t n = err ? err : stream_write(s, buf_view(&out));
    bool is_said = n >= 0 && (size_t)n == buf_len(&out);
    buf_fini(&out);
    return is_said;
}

static void arrival_refuse(struct arrival *a, enum relay_status status)
{
    if (say_status(a->s, status))
        stream_finish(a->s);
    arrival_free(a);
}

static void stop_readable(void *ctx)
{
    struct arrival *a = ctx;
    struct relay_client *c = a->client;
    struct relay_message m;
    struct bytes in;
    int err = message_read_step(&a->in, a->s, &in);
    if (err == E_AGAIN)
        return;
    if (err == E_MALFORMED || err == E_TOO_BIG || (!err && relay_stop_decode(in, &m) != 0)) {
        arrival_refuse(a, RELAY_MALFORMED);
    } else if (err) {
        arrival_abort(a);
    } else if (m.type != RELAY_CONNECT) {
        arrival_refuse(a, RELAY_UNEXPECTED);
    } else if (!place_of(c, &a->relay) || peer_id_eq(&m.peer, &c->host->id)) {
        arrival_refuse(a, RELAY_DENIED); /* we asked for nothing there */
    } else if (!say_status(a->s, RELAY_OK)) {
        arrival_abort(a);
    } else {
        struct stream *s = a->s;
        a->s = NULL;
        arrival_free(a);
        stream_want_read(s, false);
        host_take_relayed(c->host, s, &m.peer, relay_limit_is_any(&m.limit));
    }
}

static void stop_closed(void *ctx, int err)
{
    arrival_free(ctx);
}

static const struct stream_events stop_events = {stop_readable, nothing_writable, stop_closed};

static void stop_timer(struct timer *t)
{
    arrival_abort(CONTAINER_OF(t, struct arrival, timer));
}

static void arrived(void *ctx, struct stream *s, const struct peer_id *relay)
{
    struct relay_client *c = ctx;
    bool is_uninvited = !place_of(c, relay);
    if (c->arrival_count >= LIMIT_RELAY_HANDSHAKES || p2p_stream_is_relayed(s) ||
        (is_uninvited && c->uninvited_count >= LIMIT_RELAY_UNINVITED)) {
        stream_reset(s, STREAM_REFUSED);
        stream_close(s);
        return;
    }
    struct arrival *a = MEM_NEW(struct arrival);
    a->client = c;
    a->relay = *relay;
    a->s = s;
    a->is_uninvited = is_uninvited;
    c->arrival_count++;
    c->uninvited_count += is_uninvited;
    list_append(&c->arrivals, &a->link);
    message_read_init(&a->in);
    timer_init(&a->timer, stop_timer);
    timer_after(c->host->sched, &a->timer, STOP_TIMEOUT_US);
    stream_listen(s, &stop_events, a);
    stream_want_read(s, true);
}

/* --- what the host tells --- */

static void identified(struct p2p_watch *w, const struct known_peer *peer)
{
    struct relay_client *c = CONTAINER_OF(w, struct relay_client, watch);
    bool is_conduit = strcmp(peer->version, c->host->cfg.protocol_version) == 0;
    int rank = is_conduit ? RELAY_RANK_CONDUIT : RELAY_RANK_OTHER;
    if (c->cfg.rank)
        rank = c->cfg.rank(c->cfg.ctx, &peer->id, is_conduit);
    if (rank < 0 || !known_peer_has_protocol(peer, RELAY_HOP))
        relay_choice_remove(&c->choice, &peer->id);
    else if (relay_choice_add(&c->choice, &peer->id, (enum relay_rank)rank) == 0)
        stir(c);
}

static void disconnected(struct p2p_watch *w, const struct peer_id *peer, int err)
{
    struct relay_client *c = CONTAINER_OF(w, struct relay_client, watch);
    if (relay_choice_lost(&c->choice, peer, sched_now(c->host->sched)))
        place_lost(c, peer, "it is gone");
    stir(c);
}

/* --- life --- */

struct relay_client *relay_client_new(struct p2p_host *h, const struct relay_client_cfg *cfg)
{
    struct relay_client *c = MEM_NEW(struct relay_client);
    c->host = h;
    c->cfg = *cfg;
    if (p2p_host_handle(h, RELAY_STOP, arrived, c) != 0) {
        free(c);
        return NULL;
    }
    relay_choice_init(&c->choice, h->rng);
    list_init(&c->places);
    list_init(&c->reservations);
    list_init(&c->arrivals);
    timer_init(&c->timer, step_timer);
    task_init(&c->task, step_task);
    c->watch = (struct p2p_watch){.identified = identified, .disconnected = disconnected};
    p2p_host_watch(h, &c->watch);
    return c;
}

void relay_client_free(struct relay_client *c)
{
    c->cfg.changed = NULL;
    p2p_host_unhandle(c->host, RELAY_STOP);
    p2p_host_unwatch(&c->watch);
    timer_clear(c->host->sched, &c->timer);
    task_cancel(&c->task);
    while (!list_is_empty(&c->reservations))
        reservation_end(LIST_ENTRY(c->reservations.next, struct reservation, link));
    while (!list_is_empty(&c->arrivals))
        arrival_abort(LIST_ENTRY(c->arrivals.next, struct arrival, link));
    while (!list_is_empty(&c->places))
        place_end(c, LIST_ENTRY(c->places.next, struct place, link));
    free(c);
}

void relay_client_want(struct relay_client *c, uint32_t places)
{
    relay_choice_want(&c->choice, places);
    stir(c);
}

void relay_client_use(struct relay_client *c, const struct peer_id *relay)
{
    (void)relay_choice_add(&c->choice, relay, RELAY_RANK_GIVEN);
    stir(c);
}

bool relay_client_look(const struct relay_client *c, size_t i, struct relay_held_view *out)
{
    LIST_FOREACH ((struct list *)&c->places, it) {
        const struct place *p = LIST_ENTRY(it, struct place, link);
        if (i-- > 0)
            continue;
        *out = (struct relay_held_view){p->relay, p->until_us, p->limit, p->addr_count};
        return true;
    }
    return false;
}

size_t relay_client_known(const struct relay_client *c)
{
    return c->choice.count;
}
