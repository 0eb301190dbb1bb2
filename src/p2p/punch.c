// SPDX-License-Identifier: MIT
/* See punch.h. */
#include "p2p/punch.h"

#include "base/mem.h"
#include "base/trace.h"
#include "p2p/dcutr.h"
#include "p2p/host_impl.h"
#include "p2p/message_read.h"

#include <stdlib.h>

#define OPEN_TIMEOUT_US (10 * US_PER_S)
#define DIAL_TIMEOUT_US (6 * US_PER_S) /* the machine ends it after five */

struct punch {
    struct p2p_host *host;
    struct p2p_watch watch;
    struct list runs;
    struct rates rates; /* of peers that ask us: each question is dials where they please */
    struct punch_view view;
};

/* One relayed connection on its way to a direct one. */
struct run {
    struct punch *punch;
    struct list link;
    struct peer_id peer;
    struct net_addr relay_at; /* what is near to it is near to the peer */
    struct dcutr machine;
    struct timer timer;
    struct task task;
    struct p2p_open open;
    struct p2p_connect dial;
    bool is_opening, is_dialling;
    struct stream *s;
    struct message_read in;
    struct multiaddr addrs[LIMIT_PUNCH_ADDRS]; /* the other's */
    struct bytes views[LIMIT_PUNCH_ADDRS];
    size_t addr_count;
};

static void stir(struct run *r)
{
    task_defer(r->punch->host->sched, &r->task);
}

static uint64_t now_of(const struct run *r)
{
    return sched_now(r->punch->host->sched);
}

/* --- the end --- */

static void drop_stream(struct run *r, bool is_reset)
{
    if (r->is_opening)
        p2p_open_cancel(&r->open);
    r->is_opening = false;
    if (!r->s)
        return;
    if (is_reset)
        stream_reset(r->s, STREAM_CANCELLED);
    stream_close(r->s);
    r->s = NULL;
}

static void drop_dial(struct run *r)
{
    if (r->is_dialling)
        p2p_connect_cancel(&r->dial);
    r->is_dialling = false;
}

static void run_free(struct run *r)
{
    drop_stream(r, r->machine.err != 0);
    drop_dial(r);
    timer_clear(r->punch->host->sched, &r->timer);
    task_cancel(&r->task);
    list_remove(&r->link);
    r->punch->view.running--;
    free(r);
}

static void run_end(struct run *r)
{
    struct punch *p = r->punch;
    char who[PEER_ID_TEXT];
    peer_id_text(&r->peer, who, sizeof who);
    if (r->machine.err)
        TRACE(P2P, INFO, "no direct connection to %s: %s -> the relay stays", who,
              err_text(r->machine.err));
    else
        TRACE(P2P, INFO, "a direct connection to %s, %d punches -> new streams go over it", who,
              r->machine.attempts);
    if (r->machine.err)
        p->view.failed++;
    else
        p->view.succeeded++;
    run_free(r);
}

/* --- what the machine wants --- */

static void dial_done(struct p2p_connect *c, int err, const struct peer_id *peer, const char *why)
{
    struct run *r = CONTAINER_OF(c, struct run, dial);
    r->is_dialling = false;
    if (err)
        dcutr_dial_failed(&r->machine, err, now_of(r));
    else
        dcutr_connected(&r->machine);
    stir(r);
}

static void dial(struct run *r, enum p2p_dial_role role)
{
    drop_dial(r);
    r->is_dialling = true;
    r->dial = (struct p2p_connect){
        .peer = &r->peer,
        .addrs = r->views,
        .addr_count = role == P2P_DIAL_ORDINARY ? 0 : r->addr_count,
        .timeout_us = DIAL_TIMEOUT_US,
        .is_urgent = true,
        .is_direct = true,
        .role = role,
        .done = dial_done,
    };
    p2p_host_connect(r->punch->host, &r->dial);
}

static void add_own(struct run *r, struct dcutr_message *m, struct bytes addr)
{
    if (m->addr_count == LIMIT_PUNCH_ADDRS || multiaddr_is_relayed(addr) ||
        !p2p_addr_is_credible(addr, &r->relay_at))
        return;
    for (size_t i = 0; i < m->addr_count; i++)
        if (bytes_eq(m->addrs[i], addr))
            return;
    m->addrs[m->addr_count++] = addr;
}

/* Where the other should dial us: as others see us first, which is where a NAT maps us. */
static void say(struct run *r, enum dcutr_type type)
{
    struct p2p_host *h = r->punch->host;
    struct dcutr_message m = {.type = type};
    const struct bytes *addrs;
    struct bytes seen;
    struct buf out;
    for (size_t i = 0; type == DCUTR_CONNECT && p2p_host_observed(h, i, &seen); i++)
        add_own(r, &m, seen);
    size_t n = type == DCUTR_CONNECT ? p2p_host_addrs(h, &addrs) : 0;
    for (size_t i = 0; i < n; i++)
        add_own(r, &m, addrs[i]);
    buf_init(&out, 0);
    int err = dcutr_encode(&m, &out);
    ssize_t sent = err ? err : stream_write(r->s, buf_view(&out));
    if (sent < 0 || (size_t)sent < buf_len(&out))
        dcutr_stream_lost(&r->machine, E_LIMIT, now_of(r));
    buf_fini(&out);
}

static void opened(struct p2p_open *o, int err, struct stream *s);

static void open_stream(struct run *r)
{
    drop_stream(r, false);
    drop_dial(r);
    r->is_opening = true;
    r->open = (struct p2p_open){
        .peer = r->peer,
        .protocol = DCUTR_PROTOCOL,
        .timeout_us = OPEN_TIMEOUT_US,
        .only_connected = true,
        .is_background = true,
        .done = opened,
    };
    p2p_host_open(r->punch->host, &r->open);
}

static void step(struct run *r)
{
    enum dcutr_act act;
    while ((act = dcutr_next(&r->machine, now_of(r))) != DCUTR_DO_NOTHING) {
        switch (act) {
        case DCUTR_DO_DIAL:
            dial(r, P2P_DIAL_ORDINARY);
            break;
        case DCUTR_DO_OPEN:
            open_stream(r);
            break;
        case DCUTR_DO_CONNECT:
            say(r, DCUTR_CONNECT);
            break;
        case DCUTR_DO_SYNC:
            say(r, DCUTR_SYNC);
            break;
        case DCUTR_DO_PUNCH:
            dial(r, r->machine.is_b ? P2P_DIAL_PUNCH_B : P2P_DIAL_PUNCH_A);
            break;
        default:
            run_end(r);
            return;
        }
    }
    timer_set(r->punch->host->sched, &r->timer, dcutr_deadline(&r->machine));
}

static void step_task(struct task *t)
{
    step(CONTAINER_OF(t, struct run, task));
}

static void step_timer(struct timer *t)
{
    step(CONTAINER_OF(t, struct run, timer));
}

/* --- the stream --- */

static void take_addrs(struct run *r, const struct dcutr_message *m)
{
    struct net_addr at;
    r->addr_count = 0;
    for (size_t i = 0; i < m->addr_count; i++) {
        struct bytes addr = multiaddr_without_peer(m->addrs[i]);
        if (multiaddr_to_net(addr, &at) != 0 || !p2p_addr_is_credible(addr, &r->relay_at) ||
            multiaddr_copy(addr, &r->addrs[r->addr_count]) != 0)
            continue;
        r->views[r->addr_count] = multiaddr_bytes(&r->addrs[r->addr_count]);
        r->addr_count++;
    }
}

static void readable(void *ctx)
{
    struct run *r = ctx;
    struct dcutr_message m;
    struct bytes in;
    int err;
    while ((err = message_read_step(&r->in, r->s, &in)) == 0) {
        err = dcutr_decode(in, &m);
        if (err)
            break;
        message_read_init(&r->in);
        if (m.type == DCUTR_CONNECT)
            take_addrs(r, &m);
        dcutr_received(&r->machine, m.type, now_of(r));
    }
    if (err != E_AGAIN) {
        stream_want_read(r->s, false);
        dcutr_stream_lost(&r->machine, err == E_EOF ? E_CLOSED : err, now_of(r));
    }
    stir(r);
}

static void nothing_writable(void *ctx)
{
}

static void closed(void *ctx, int err)
{
    struct run *r = ctx;
    stream_close(r->s);
    r->s = NULL;
    dcutr_stream_lost(&r->machine, err, now_of(r));
    stir(r);
}

static const struct stream_events run_events = {readable, nothing_writable, closed};

static void take_stream(struct run *r, struct stream *s)
{
    r->s = s;
    message_read_init(&r->in);
    stream_listen(s, &run_events, r);
    stream_want_read(s, true);
}

static void opened(struct p2p_open *o, int err, struct stream *s)
{
    struct run *r = CONTAINER_OF(o, struct run, open);
    r->is_opening = false;
    if (!err && !p2p_stream_is_relayed(s)) { /* a direct connection came meanwhile */
        stream_close(s);
        dcutr_connected(&r->machine);
    } else if (err) {
        dcutr_stream_lost(&r->machine, err, now_of(r));
    } else {
        take_stream(r, s);
        dcutr_opened(&r->machine, now_of(r));
    }
    stir(r);
}

/* --- beginning --- */

static struct run *run_of(struct punch *p, const struct peer_id *peer)
{
    LIST_FOREACH (&p->runs, it) {
        struct run *r = LIST_ENTRY(it, struct run, link);
        if (peer_id_eq(&r->peer, peer))
            return r;
    }
    return NULL;
}

static struct run *run_new(struct punch *p, const struct peer_id *peer, const struct net_addr *at)
{
    struct run *r = MEM_NEW(struct run);
    r->punch = p;
    r->peer = *peer;
    r->relay_at = *at;
    timer_init(&r->timer, step_timer);
    task_init(&r->task, step_task);
    list_append(&p->runs, &r->link);
    p->view.running++;
    p->view.begun++;
    stir(r);
    return r;
}

static void asked(void *ctx, struct stream *s, const struct peer_id *peer)
{
    struct punch *p = ctx;
    struct run *old = run_of(p, peer);
    bool may = p2p_stream_is_relayed(s) &&
               rates_take(&p->rates, peer_id_bytes(peer), sched_now(p->host->sched));
    if (may && old && !old->machine.is_b) { /* its next attempt */
        run_free(old);
        old = NULL;
    }
    if (!may || old || p->view.running >= LIMIT_PUNCHES) {
        stream_reset(s, STREAM_REFUSED);
        stream_close(s);
        return;
    }
    struct run *r = run_new(p, peer, &s->remote);
    dcutr_accept(&r->machine, now_of(r));
    take_stream(r, s);
}

/* The relayed connection that came in and was not tried yet. */
static struct conn *relayed_inbound(struct host_peer *hp)
{
    LIST_FOREACH (&hp->conns, it) {
        struct conn *c = LIST_ENTRY(it, struct conn, by_owner);
        if (c->state == CONN_OPEN && c->is_relayed && !c->is_dialer && !c->is_punched)
            return c;
    }
    return NULL;
}

static bool has_dialable(const struct known_peer *k, const struct net_addr *relay_at)
{
    struct net_addr at;
    for (int i = 0; i < k->addr_count; i++) {
        struct bytes addr = bytes_of(k->addrs[i].p, k->addrs[i].n);
        if (multiaddr_to_net(addr, &at) == 0 && p2p_addr_is_credible(addr, relay_at))
            return true;
    }
    return false;
}

static void identified(struct p2p_watch *w, const struct known_peer *peer)
{
    struct punch *p = CONTAINER_OF(w, struct punch, watch);
    struct host_peer *hp = host_peer_get(p->host, &peer->id);
    struct run *r = run_of(p, &peer->id);
    if (r && hp && host_peer_direct(hp)) {
        dcutr_connected(&r->machine);
        stir(r);
    }
    struct conn *c = hp && !r && !host_peer_direct(hp) ? relayed_inbound(hp) : NULL;
    if (!c || p->view.running >= LIMIT_PUNCHES || !known_peer_has_protocol(peer, DCUTR_PROTOCOL))
        return;
    c->is_punched = true;
    r = run_new(p, &peer->id, &c->remote);
    dcutr_begin(&r->machine, has_dialable(peer, &c->remote), now_of(r));
}

static void disconnected(struct p2p_watch *w, const struct peer_id *peer, int err)
{
    struct punch *p = CONTAINER_OF(w, struct punch, watch);
    struct run *r = run_of(p, peer);
    if (r)
        run_free(r);
}

struct punch *punch_new(struct p2p_host *h)
{
    struct punch *p = MEM_NEW(struct punch);
    p->host = h;
    if (p2p_host_handle(h, DCUTR_PROTOCOL, asked, p) != 0) {
        free(p);
        return NULL;
    }
    list_init(&p->runs);
    rates_init(&p->rates, LIMIT_PUNCH_RATE, LIMIT_PUNCH_BURST, LIMIT_PUNCH_RATED, rng_u64(h->rng));
    p->watch = (struct p2p_watch){.identified = identified, .disconnected = disconnected};
    p2p_host_watch(h, &p->watch);
    return p;
}

void punch_free(struct punch *p)
{
    p2p_host_unhandle(p->host, DCUTR_PROTOCOL);
    p2p_host_unwatch(&p->watch);
    while (!list_is_empty(&p->runs))
        run_free(LIST_ENTRY(p->runs.next, struct run, link));
    rates_fini(&p->rates);
    free(p);
}

struct punch_view punch_look(const struct punch *p)
{
    return p->view;
}
