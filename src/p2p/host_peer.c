// SPDX-License-Identifier: MIT
/* Connections become peers: accepted, proved, opened, gone. See host_impl.h.
 *
 *   inbound:  connmgr_accept -> pending -> secured: gate, connmgr_admit -> peer's list -> opened
 *   outbound:                   pending -> secured: the same            -> peer's list -> opened
 *
 * A peer is announced to the watchers with its first open connection and gone with its last. When
 * both sides dialled at once both connections are kept; both sides prefer the same one for new
 * streams: the one dialled by the smaller peer id. */
#include "base/mem.h"
#include "base/trace.h"
#include "p2p/host_impl.h"

#include <stdlib.h>

#define CROWD_US (200 * US_PER_MS) /* how old the size of the largest crowd may be */

struct host_peer *host_peer_get(struct p2p_host *h, const struct peer_id *id)
{
    return map_get(&h->peers_by_id, peer_id_bytes(id));
}

struct host_peer *host_peer_make(struct p2p_host *h, const struct peer_id *id)
{
    struct host_peer *p = host_peer_get(h, id);
    if (p)
        return p;
    p = MEM_NEW(struct host_peer);
    p->host = h;
    p->id = *id;
    list_init(&p->conns);
    resource_scope_init(&p->scope, RESOURCE_PEER);
    list_append(&h->peers, &p->link);
    map_put(&h->peers_by_id, peer_id_bytes(id), p);
    p->record = peerstore_touch(&h->store, id);
    if (p->record)
        peerstore_pin(p->record);
    return p;
}

void host_peer_put(struct host_peer *p)
{
    if (p->conn_count || p->protections || p->pings || p->identifies || p->holds)
        return;
    if (p->record)
        peerstore_unpin(p->record);
    map_take(&p->host->peers_by_id, peer_id_bytes(&p->id));
    list_remove(&p->link);
    free(p);
}

static bool prefers_dialed_by_us(const struct host_peer *p)
{
    return bytes_cmp(peer_id_bytes(&p->host->id), peer_id_bytes(&p->id)) < 0;
}

/* How good a connection is for a new stream: not one that may be dead; direct, else without a limit, else the direction
 * that both sides prefer. */
static int goodness(const struct conn *c, bool ours)
{
    return (c->keepalive.is_doubted ? 0 : 8) + (c->is_relayed ? 0 : 4) + (c->is_limited ? 0 : 2) +
           (c->is_dialer == ours);
}

static struct conn *best_conn(struct host_peer *p, bool also_relayed)
{
    struct conn *best = NULL;
    bool ours = prefers_dialed_by_us(p);
    LIST_FOREACH (&p->conns, it) {
        struct conn *c = LIST_ENTRY(it, struct conn, by_owner);
        if (c->state != CONN_OPEN || c->is_goaway || (c->is_relayed && !also_relayed))
            continue;
        if (!best || goodness(c, ours) > goodness(best, ours))
            best = c;
    }
    return best;
}

struct conn *host_peer_conn(struct host_peer *p)
{
    return best_conn(p, true);
}

struct conn *host_peer_direct(struct host_peer *p)
{
    return best_conn(p, false);
}

/* It waits to be proved no longer. */
static void settle(struct p2p_host *h, struct conn *c)
{
    struct bytes relay = conn_relay(c);
    if (relay.n)
        connmgr_settle_circuit(&h->connmgr, relay);
    else
        connmgr_settle(&h->connmgr, &c->remote, sched_now(h->sched));
}

/* The unproved connection that is worth least: silent for longest, and for half a second at least; else the
 * oldest that said hello and then took three seconds and more. `relay`: of those over it; empty: of all. NULL: all are
 * in good time. */
static struct conn *least_hopeful(struct p2p_host *h, struct bytes relay, uint64_t now)
{
    struct conn *slow = NULL;
    LIST_FOREACH (&h->pending, it) {
        struct conn *c = LIST_ENTRY(it, struct conn, by_owner);
        uint64_t age = now - c->since_us;
        if (age < LIMIT_HELLO_US)
            break; /* those behind it are younger */
        if (!c->is_accepted || c->state != CONN_UPGRADING || !c->upgrade ||
            (relay.n && !bytes_eq(conn_relay(c), relay)))
            continue;
        if (!c->upgrade->had_hello)
            return c;
        if (!slow && age >= LIMIT_PROOF_US)
            slow = c;
    }
    return slow;
}

/* As many wait to be proved as may, at all or over the relay: one gives way. So a flood of connections that prove
 * nothing costs a newcomer one try, not the ten seconds that a handshake may take. */
static void make_room(struct p2p_host *h, struct bytes relay, uint64_t now)
{
    struct conn *c = NULL;
    if (h->connmgr.pending >= h->connmgr.cfg.max_pending)
        c = least_hopeful(h, (struct bytes){0}, now);
    else if (relay.n && connmgr_is_full(&h->connmgr, relay))
        c = least_hopeful(h, relay, now);
    if (!c)
        return;
    settle(h, c);
    conn_scope_not_pending(&c->scope);
    c->is_accepted = false;
    h->gave_way++;
    conn_close(c, E_LIMIT, "it did not prove who it is, and others wait");
}

/* Crowds are looked at only when every place is taken. */
static bool has_place(struct p2p_host *h, const struct net_addr *remote, struct bytes relay)
{
    if (!connmgr_is_taken(&h->connmgr))
        return true;
    uint64_t now = sched_now(h->sched);
    if (now >=
        h->crowd_until_us) { /* a walk over all groups, which who is refused must not cause at will */
        h->crowd_most = conn_scope_crowd_most(&h->ledger);
        h->crowd_until_us = now + CROWD_US;
    }
    return connmgr_may_come(&h->connmgr, conn_scope_crowd_at(&h->ledger, remote, relay),
                            h->crowd_most);
}

/* May it come in? Over a circuit `peer` is whom the relay names. */
static int accept_from(struct p2p_host *h, struct stream *s, const struct peer_id *peer)
{
    const struct principal *relay = stream_principal(s);
    uint64_t now = sched_now(h->sched);
    if (h->is_closing)
        return E_CLOSED;
    struct bytes over = peer ? bytes_of(relay->id, relay->id_len) : (struct bytes){0};
    if (!has_place(h, &s->remote, over))
        return E_LIMIT;
    if (!peer)
        return connmgr_accept(&h->connmgr, &s->remote, now);
    return connmgr_accept_circuit(&h->connmgr, over, peer_id_bytes(peer), now);
}

static struct conn *take_inbound(struct p2p_host *h, struct stream *s, const struct peer_id *named)
{
    char text[NET_ADDR_TEXT];
    const struct principal *relay = stream_principal(s);
    make_room(h, named ? bytes_of(relay->id, relay->id_len) : (struct bytes){0},
              sched_now(h->sched));
    int err = accept_from(h, s, named);
    if (err) {
        TRACE(P2P, DEBUG, "accept %s%s: %s -> closed at once", net_addr_format(&s->remote, text),
              named ? ", a relay" : "", err_text(err));
        stream_reset(s, STREAM_REFUSED);
        stream_close(s);
        return NULL;
    }
    h->accepted++;
    /* Who comes from where we punch as A acts as listener: its SYN was first to arrive. */
    const struct peer_id *punched = named ? NULL : host_dial_punched(h, &s->remote);
    struct conn *c = conn_new(&h->env, s, punched != NULL, punched);
    c->is_accepted = true;
    if (conn_scope_pending(&c->scope) != 0)
        conn_close(c, E_LIMIT, "too many connections wait to be proved");
    list_append(&h->pending, &c->by_owner);
    return c;
}

void host_take_inbound(struct p2p_host *h, struct stream *s)
{
    take_inbound(h, s, NULL);
}

void host_take_relayed(struct p2p_host *h, struct stream *s, const struct peer_id *named,
                       bool is_limited)
{
    struct conn *c = take_inbound(h, s, named);
    if (!c)
        return;
    c->is_relayed = true;
    c->is_limited = is_limited;
}

/* --- what connections tell --- */

static int secured(void *ctx, struct conn *c)
{
    struct p2p_host *h = ctx;
    if (h->is_closing)
        return E_CLOSED;
    const struct peer_id *expected = host_dial_peer(c->attempt);
    if (expected && !peer_id_eq(expected, &c->peer))
        return E_WRONG_PEER; /* we dialled as listener, which takes anybody */
    if (peer_id_eq(&c->peer, &h->id)) {
        TRACE(P2P, DEBUG, "connected to ourselves -> closed");
        return E_DENIED;
    }
    if (h->may && !h->may(h->may_ctx, &c->peer, &c->remote)) {
        TRACE(P2P, INFO, "%s is not admitted here -> closed", c->principal.name);
        return E_DENIED;
    }
    struct host_peer *p = host_peer_make(h, &c->peer);
    if (connmgr_is_taken(&h->connmgr) && p->conn_count < h->connmgr.cfg.max_per_peer)
        host_make_place(h, c);
    int err = connmgr_admit(&h->connmgr, p->conn_count);
    if (err) {
        TRACE(P2P, INFO, "%s: too many connections -> closed", c->principal.name);
        host_peer_put(p);
        return err;
    }
    err = conn_scope_proved(&c->scope, &p->scope);
    if (err) {
        TRACE(P2P, INFO, "%s: too many connections of its address -> closed", c->principal.name);
        connmgr_drop(&h->connmgr);
        host_peer_put(p);
        return err;
    }
    if (c->is_accepted)
        settle(h, c);
    list_remove(&c->by_owner);
    list_append(&p->conns, &c->by_owner);
    c->owner = p;
    p->conn_count++;
    return 0;
}

/* Who connects once more may have lost the connection that we still have, and one that is dead would hide its
 * departure; so would one that rests, when its peer fell silent on another. */
static void doubt_others(const struct host_peer *p, const struct conn *c)
{
    LIST_FOREACH ((struct list *)&p->conns, it) {
        struct conn *other = LIST_ENTRY(it, struct conn, by_owner);
        if (other != c)
            conn_doubt(other);
    }
}

static void opened(void *ctx, struct conn *c)
{
    struct p2p_host *h = ctx;
    struct host_peer *p = host_peer_of(c);
    char text[NET_ADDR_TEXT];
    TRACE(P2P, DEBUG, "%s %s %s: %s -> open", c->principal.name,
          c->is_relayed ? "over relay" : "at", net_addr_format(&c->remote, text),
          c->is_dialer ? "dialled" : "accepted");
    if (p->record)
        known_peer_worked(p->record);
    if (p->is_conduit)
        conn_set_known(c, true);
    if (!c->is_dialer)
        doubt_others(p, c);
    host_dial_conn_opened(h, c);
    host_dialback_conn_opened(c);
    host_identify_start(h, c);
    if (!p->is_announced) {
        p->is_announced = true;
        HOST_WATCH(h, connected, &p->id);
    }
    host_tend(h);
}

static void peer_lost(struct p2p_host *h, struct host_peer *p, int err)
{
    if (p->conn_count == 0 && p->is_announced) {
        p->is_announced = false;
        p->holds++; /* a watcher may take back its protection, the last thing that keeps it */
        HOST_WATCH(h, disconnected, &p->id, err);
        p->holds--;
    }
    host_peer_put(p);
}

enum sent_to host_sent_to(const struct p2p_host *h, const struct net_addr *who)
{
    enum sent_to found = sent_look(&h->sent, who, sched_now(h->sched));
    LIST_FOREACH ((struct list *)&h->peers, it) {
        const struct host_peer *p = LIST_ENTRY(it, struct host_peer, link);
        LIST_FOREACH ((struct list *)&p->conns, jt) {
            const struct conn *c = LIST_ENTRY(jt, struct conn, by_owner);
            struct net_addr ip = c->remote;
            ip.port = who->port;
            if (c->is_from_port && net_addr_eq(&c->remote, who))
                return SENT_TO_PORT;
            if (c->is_from_port && net_addr_eq(&ip, who))
                found = found ? found : SENT_TO_IP;
        }
    }
    return found;
}

static void closed(void *ctx, struct conn *c, int err, const char *why)
{
    struct p2p_host *h = ctx;
    struct host_peer *p = host_peer_of(c);
    char text[NET_ADDR_TEXT];
    if (!c->has_yamux)
        h->upgrade_failed++;
    bool was_dial = host_dial_conn_closed(h, c, err, why) || host_dialback_conn_closed(c, err);
    if (!was_dial && c->has_yamux)
        TRACE(P2P, INFO, "%s: %s -> disconnected", c->principal.name, why);
    else if (!was_dial && err == E_WRONG_NETWORK)
        TRACE(P2P, INFO, "%s: %s -> closed", net_addr_format(&c->remote, text), why);
    else if (!was_dial)
        TRACE(P2P, DEBUG, "%s: %s -> closed before it was open", net_addr_format(&c->remote, text),
              why);
    if (c->is_from_port)
        sent_note(&h->sent, &c->remote, sched_now(h->sched));
    host_identify_conn_gone(h, c);
    conn_scope_end(&c->scope);
    list_remove(&c->by_owner);
    if (p) {
        c->owner = NULL;
        p->conn_count--;
        if (!c->gave_way)
            connmgr_drop(&h->connmgr);
        if (err == E_TIMEOUT)
            doubt_others(p, c);
        peer_lost(h, p, err);
    } else if (c->is_accepted) {
        settle(h, c);
    }
    if (h->is_closing)
        host_step_close(h);
}

static int protocol_of(void *ctx, struct conn *c, struct bytes protocol)
{
    struct p2p_host *h = ctx;
    for (int i = 0; i < HOST_HANDLERS_MAX; i++)
        if (h->handlers[i].protocol && bytes_eq_str(protocol, h->handlers[i].protocol))
            return i;
    return -1;
}

static void accepted(void *ctx, struct conn *c, int handler, struct stream *s)
{
    struct p2p_host *h = ctx;
    struct host_handler *hd = &h->handlers[handler];
    hd->handler(hd->ctx, s, &c->peer);
}

const struct conn_events host_conn_events = {secured, opened, closed, protocol_of, accepted};
