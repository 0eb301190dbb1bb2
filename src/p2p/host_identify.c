// SPDX-License-Identifier: MIT
/* Who we are and who they are: identify, asked on each new connection by both sides, and pushed when
 * something of ours changes. See identify.h for the message.
 *
 *   connection opened -> /ipfs/id/1.0.0 (lazy: everybody has it) -> read to the end -> learned
 *   five minutes on   -> the same again, unless nobody needs the connection: rust does not push addresses that
 *                        changed; a Conduit node does, and is asked every 25
 *   ours changed      -> 100 ms of quiet -> /ipfs/id/push/1.0.0 to every peer that takes it
 *
 * Addresses are told twice, plainly and in a record we sign, where both fit; of what a peer tells, a
 * signed record that is its own and no older than the last one counts, else the plain ones.
 *
 * A connection on which identify fails still works; it is then bounded as one to a stranger that is
 * not a Conduit node. The peer's key was proved by Noise: a message with another one is a lie and is
 * dropped whole. */
#include "base/mem.h"
#include "base/trace.h"
#include "codec/envelope.h"
#include "codec/sha256.h"
#include "p2p/host_impl.h"
#include "p2p/identify.h"

#include <stdlib.h>

#define ID      "/ipfs/id/1.0.0"
#define ID_PUSH "/ipfs/id/push/1.0.0"

#define READ_TIMEOUT_US (10 * US_PER_S)
#define PUSH_QUIET_US   (100 * US_PER_MS)
#define ASK_EVERY_US    (5 * 60 * US_PER_S) /* as rust */
#define PUSHES_US       (20 * 60 * US_PER_S) /* so much later a Conduit node, which tells by itself */

enum { IN_MAX = LIMIT_IDENTIFY_PARTS * (LIMIT_IDENTIFY_IN + 2), READ_CHUNK = 4096 };

/* One exchange under way: our question, their push, or our push. */
struct host_exchange {
    struct p2p_host *host;
    struct list link;  /* host->identifies */
    struct conn *conn; /* NULL when it is gone, or for inbound ones */
    struct conn_open open;
    bool is_opening, is_push, was_dialled, is_from_port, is_relayed;
    struct stream *s;
    struct peer_id peer;
    struct net_addr remote;
    struct host_peer *counted; /* inbound: the peer whose count this is in */
    struct timer timer;
    struct buf in;
};

/* --- ours --- */

/* Microseconds of the wall clock, and always more than before. */
static uint64_t next_seq(struct p2p_host *h)
{
    uint64_t now = sched_wall_ms(h->sched) * US_PER_MS;
    h->record_seq = now > h->record_seq ? now : h->record_seq + 1;
    return h->record_seq;
}

/* Our signed record of these addresses: signed once, and again when they are others. What is told differs by where
 * the other is, so a few are kept. NULL: it does not fit. */
static const struct buf *own_record(struct p2p_host *h, const struct identify *id)
{
    struct buf all;
    uint8_t hash[SHA256_SIZE];
    buf_init(&all, 0);
    for (size_t i = 0; i < id->addr_count; i++)
        (void)buf_append_bytes(&all, id->addrs[i]); /* each says where it ends */
    sha256(buf_view(&all), hash);
    buf_fini(&all);
    for (size_t i = 0; i < ARRAY_LEN(h->sealed); i++)
        if (buf_len(&h->sealed[i].record) && !memcmp(h->sealed[i].of, hash, sizeof hash))
            return &h->sealed[i].record;
    struct host_sealed *s = &h->sealed[h->sealed_next++ % ARRAY_LEN(h->sealed)];
    memcpy(s->of, hash, sizeof hash);
    buf_clear(&s->record);
    if (peer_record_seal(h->cfg.key, next_seq(h), id->addrs, id->addr_count, &s->record) == 0)
        return &s->record;
    buf_clear(&s->record);
    return NULL;
}

/* `remote`: where they are; over a relay that is the relay's, and not theirs to be told. */
static int compose(struct p2p_host *h, const struct net_addr *remote, bool is_relayed,
                   struct buf *out)
{
    struct identify id = {0};
    uint8_t key[KEY_PUBLIC_MESSAGE];
    struct multiaddr observed;
    const struct bytes *addrs;
    key_pair_public_message(h->cfg.key, key);
    id.public_key = bytes_of(key, sizeof key);
    id.version = bytes_str(h->cfg.protocol_version);
    id.agent = bytes_str(h->cfg.agent);
    size_t n = p2p_host_addrs(h, &addrs);
    for (size_t i = 0; i < n && i < LIMIT_PEER_ADDRS; i++)
        if (p2p_addr_is_credible(addrs[i], remote)) /* nor do we tell who cannot use it */
            id.addrs[id.addr_count++] = addrs[i];
    for (int i = 0; i < HOST_HANDLERS_MAX; i++)
        if (h->handlers[i].protocol)
            id.protocols[id.protocol_count++] = bytes_str(h->handlers[i].protocol);
    if (!is_relayed && multiaddr_from_net(remote, &observed) == 0)
        id.observed = multiaddr_bytes(&observed);
    const struct buf *record = own_record(h, &id);
    if (record)
        id.signed_record = buf_view(record);
    return identify_encode(&id, out);
}

/* Writes all and closes; the queue of a new stream has room for it. */
static void send_ours(struct p2p_host *h, struct stream *s)
{
    struct buf out;
    buf_init(&out, 0);
    int err = compose(h, &s->remote, p2p_stream_is_relayed(s), &out);
    ssize_t n = err ? err : stream_write(s, buf_view(&out));
    if (n < 0 || (size_t)n < buf_len(&out))
        stream_reset(s, STREAM_INTERNAL);
    else
        stream_finish(s);
    buf_fini(&out);
    stream_close(s);
}

static void asked(void *ctx, struct stream *s, const struct peer_id *peer)
{
    send_ours(ctx, s);
}

/* --- theirs --- */

static bool is_own_ip(struct p2p_host *h, const struct net_addr *at)
{
    struct net_addr ifs[64], plain = *at;
    size_t n = h->port->interfaces(h->port_ctx, ifs, ARRAY_LEN(ifs));
    for (size_t i = 0; i < n; i++) {
        ifs[i].port = plain.port;
        if (net_addr_eq(&ifs[i], &plain))
            return true;
    }
    return false;
}

/* With the port that we listen on. */
static void note_as_listener(struct p2p_host *h, struct net_addr at, const struct net_addr *by)
{
    at.port = 0;
    LIST_FOREACH (&h->listeners, it) {
        const struct net_addr *l = &LIST_ENTRY(it, struct host_listener, link)->port.at;
        if (at.port == 0 && l->kind == at.kind)
            at.port = l->port;
    }
    observed_note(&h->observed, &at, by, sched_now(h->sched));
}

/* The address that our listener has out there, as far as this peer can tell. The port of a connection
 * that we dialled is one of the moment, so ours stands for it: forwarded ports mostly are the same.
 * One dialled from the listening port has a port that a cone NAT may let others use. Over a relay
 * nothing can be seen. */
static void note_observed(struct host_exchange *x, struct bytes addr)
{
    struct p2p_host *h = x->host;
    struct host_peer *p = host_peer_get(h, &x->peer);
    struct net_addr at;
    if (multiaddr_to_net(addr, &at) != 0)
        return;
    if (p && !x->is_relayed)
        (void)multiaddr_copy(multiaddr_without_peer(addr), &p->observed);
    if (x->is_push || x->is_relayed)
        return; /* on which connection it saw that is not known */
    if (x->was_dialled) {
        nat_note(&h->nat, &x->remote, &at, is_own_ip(h, &at), x->is_from_port, sched_now(h->sched));
        note_as_listener(h, at, &x->remote);
    }
    if (!x->was_dialled || x->is_from_port)
        observed_note(&h->observed, &at, &x->remote, sched_now(h->sched));
}

static void learn_addrs(struct p2p_host *h, struct known_peer *k, const struct bytes *addrs,
                        size_t count, const struct net_addr *remote)
{
    struct p2p_addr a;
    for (size_t i = 0; i < count; i++) {
        if (p2p_addr_decode(addrs[i], &a) != 0 || !p2p_addr_is_credible(addrs[i], remote) ||
            (a.has_peer && !peer_id_eq(&a.peer, &k->id)))
            continue;
        known_peer_add_addr(k, multiaddr_without_peer(addrs[i]), PEER_ADDR_TTL_IDENTIFIED,
                            sched_now(h->sched));
    }
}

/* The record that the peer signed, if it is one of its own and not older than what it told before. */
static bool open_record(struct known_peer *k, struct bytes envelope, struct peer_record *out)
{
    if (!envelope.n)
        return false;
    int err = peer_record_open(envelope, out);
    if (!err && !peer_id_eq(&out->peer, &k->id))
        err = E_WRONG_PEER;
    if (!err && out->seq < k->record_seq)
        err = E_EXISTS;
    if (err) {
        TRACE(P2P, DEBUG, "signed record: %s -> its plain addresses are taken", err_text(err));
        return false;
    }
    k->record_seq = out->seq;
    return true;
}

static bool is_their_key(const struct identify *id, const struct peer_id *peer)
{
    struct peer_id from_key;
    return id->public_key.n == 0 ||
           (peer_id_from_key(id->public_key, &from_key) == 0 && peer_id_eq(&from_key, peer));
}

static void set_known(struct p2p_host *h, const struct peer_id *peer, bool is_conduit)
{
    struct host_peer *p = host_peer_get(h, peer);
    if (!p)
        return;
    p->is_conduit = is_conduit;
    LIST_FOREACH (&p->conns, it)
        conn_set_known(LIST_ENTRY(it, struct conn, by_owner), is_conduit);
}

static void learn(struct host_exchange *x, const struct identify *id)
{
    struct p2p_host *h = x->host;
    struct known_peer *k = peerstore_touch(&h->store, &x->peer);
    if (!k)
        return;
    if (id->agent.n)
        known_peer_set_agent(k, id->agent);
    if (id->version.n)
        known_peer_set_version(k, id->version);
    if (id->protocol_count)
        known_peer_clear_protocols(k);
    for (size_t i = 0; i < id->protocol_count; i++)
        known_peer_add_protocol(k, id->protocols[i]);
    struct peer_record record;
    if (open_record(k, id->signed_record, &record))
        learn_addrs(h, k, record.addrs, record.addr_count, &x->remote);
    else
        learn_addrs(h, k, id->addrs, id->addr_count, &x->remote);
    if (id->observed.n)
        note_observed(x, id->observed);
    k->is_identified = true;
    char who[PEER_ID_TEXT];
    TRACE(P2P, DEBUG, "%s says it is %s (%s), %u protocols, %u addresses -> noted",
          peer_id_text(&x->peer, who, sizeof who), k->agent, k->version, k->protocol_count,
          k->addr_count);
    set_known(h, &x->peer, strcmp(k->version, h->cfg.protocol_version) == 0);
    HOST_WATCH(h, identified, k);
}

/* --- an exchange --- */

static void end(struct host_exchange *x)
{
    timer_clear(x->host->sched, &x->timer);
    list_remove(&x->link);
    if (x->is_opening)
        conn_open_cancel(&x->open);
    if (x->s)
        stream_close(x->s);
    if (x->counted) {
        x->counted->identifies--;
        host_peer_put(x->counted);
    }
    buf_fini(&x->in);
    free(x);
}

static void failed(struct host_exchange *x, int err)
{
    struct p2p_host *h = x->host;
    struct peer_id peer = x->peer;
    bool is_question = !x->is_push;
    char who[PEER_ID_TEXT];
    TRACE(P2P, DEBUG, "identify of %s: %s -> it stays a stranger",
          peer_id_text(&peer, who, sizeof who), err_text(err));
    if (x->s)
        stream_reset(x->s, STREAM_PROTOCOL);
    end(x);
    struct host_peer *p = host_peer_get(h, &peer);
    if (is_question && p && !p->is_conduit)
        set_known(h, &peer, false);
}

static void complete(struct host_exchange *x)
{
    struct identify *id = MEM_NEW(struct identify);
    int err = identify_decode(buf_view(&x->in), id);
    if (!err && !is_their_key(id, &x->peer))
        err = E_WRONG_PEER;
    if (err) {
        free(id);
        failed(x, err);
        return;
    }
    stream_finish(x->s);
    learn(x, id);
    free(id);
    end(x);
}

static void readable(void *ctx)
{
    struct host_exchange *x = ctx;
    uint8_t *at;
    for (;;) {
        int err = buf_reserve(&x->in, READ_CHUNK, &at);
        ssize_t n = err ? E_TOO_BIG : stream_read(x->s, at, READ_CHUNK);
        if (n == E_AGAIN)
            return;
        if (n == E_EOF)
            complete(x);
        else if (n < 0)
            failed(x, (int)n);
        else
            buf_commit(&x->in, (size_t)n);
        if (n < 0)
            return;
    }
}

static void nothing_writable(void *ctx)
{
}

static void closed(void *ctx, int err)
{
    failed(ctx, err);
}

static const struct stream_events exchange_events = {readable, nothing_writable, closed};

static void timed_out(struct timer *t)
{
    failed(CONTAINER_OF(t, struct host_exchange, timer), E_TIMEOUT);
}

static struct host_exchange *exchange_new(struct p2p_host *h, const struct peer_id *peer,
                                          bool is_push)
{
    struct host_exchange *x = MEM_NEW(struct host_exchange);
    x->host = h;
    x->peer = *peer;
    x->is_push = is_push;
    buf_init(&x->in, IN_MAX + READ_CHUNK);
    timer_init(&x->timer, timed_out);
    timer_after(h->sched, &x->timer, READ_TIMEOUT_US);
    list_append(&h->identifies, &x->link);
    return x;
}

static void listen_to(struct host_exchange *x, struct stream *s)
{
    x->s = s;
    x->remote = s->remote;
    stream_listen(s, &exchange_events, x);
    stream_want_read(s, true);
}

static void question_open(struct conn_open *o, int err, struct stream *s)
{
    struct host_exchange *x = CONTAINER_OF(o, struct host_exchange, open);
    x->is_opening = false;
    if (err)
        failed(x, err);
    else
        listen_to(x, s);
}

static void push_open(struct conn_open *o, int err, struct stream *s)
{
    struct host_exchange *x = CONTAINER_OF(o, struct host_exchange, open);
    x->is_opening = false;
    if (!err)
        send_ours(x->host, s);
    end(x);
}

static void start(struct p2p_host *h, struct conn *c, const char *protocol, bool is_push)
{
    struct host_exchange *x = exchange_new(h, &c->peer, is_push);
    x->conn = c;
    x->was_dialled = c->is_dialer;
    x->is_from_port = c->is_from_port;
    x->is_relayed = c->is_relayed;
    x->is_opening = true;
    x->open = (struct conn_open){
        .protocol = protocol,
        .is_lazy = true,
        .is_background = true,
        .is_brief = true,
        .done = is_push ? push_open : question_open,
    };
    conn_open_stream(c, &x->open);
}

void host_identify_start(struct p2p_host *h, struct conn *c)
{
    host_peer_of(c)->ask_us = sched_now(h->sched) + rng_jitter(h->rng, ASK_EVERY_US, 0.1);
    start(h, c, ID, false);
}

void host_identify_tend(struct p2p_host *h, struct host_peer *p)
{
    uint64_t at_us = p->ask_us + (p->is_conduit ? PUSHES_US : 0);
    struct conn *c = sched_now(h->sched) >= at_us ? host_peer_conn(p) : NULL;
    if (c && !c->keepalive.is_resting)
        host_identify_start(h, c);
}

/* Requests that wait on the connection are answered by it; this forgets nothing that lives. */
void host_identify_conn_gone(struct p2p_host *h, struct conn *c)
{
    LIST_FOREACH (&h->identifies, it) {
        struct host_exchange *x = LIST_ENTRY(it, struct host_exchange, link);
        if (x->conn == c)
            x->conn = NULL;
    }
}

static bool may_push(struct p2p_host *h, const struct net_addr *from)
{
    uint8_t key[8];
    size_t n = net_addr_group(from, key);
    if (net_addr_is_loopback(from))
        return true;
    n = n == 4 ? 3 : n; /* a /24 of IPv4 */
    return rates_take(&h->pushes, bytes_of(key, n), sched_now(h->sched));
}

static void pushed(void *ctx, struct stream *s, const struct peer_id *peer)
{
    struct p2p_host *h = ctx;
    struct host_peer *p = host_peer_get(h, peer);
    if (!p || p->identifies >= LIMIT_IDENTIFY_INBOUND || !may_push(h, &s->remote)) {
        stream_reset(s, STREAM_REFUSED);
        stream_close(s);
        return;
    }
    struct host_exchange *x = exchange_new(h, peer, true);
    p->identifies++;
    x->counted = p;
    listen_to(x, s);
}

/* --- telling what changed --- */

static void push_all(struct timer *t)
{
    struct p2p_host *h = CONTAINER_OF(t, struct p2p_host, push_timer);
    LIST_FOREACH (&h->peers, it) {
        struct host_peer *p = LIST_ENTRY(it, struct host_peer, link);
        struct conn *c = host_peer_conn(p);
        bool may_be_stale = c && c->since_us <= h->changed_us; /* else it is about to ask */
        if (may_be_stale && p->record && known_peer_has_protocol(p->record, ID_PUSH))
            start(h, c, ID_PUSH, true);
    }
    HOST_WATCH(h, addrs_changed);
}

void host_identify_changed(struct p2p_host *h)
{
    h->changed_us = sched_now(h->sched);
    for (size_t i = 0; i < ARRAY_LEN(h->sealed); i++)
        buf_clear(&h->sealed[i].record); /* also if they come back: what was told since is newer */
    if (!h->is_closing && !timer_is_set(&h->push_timer))
        timer_after(h->sched, &h->push_timer, PUSH_QUIET_US);
}

int host_identify_init(struct p2p_host *h)
{
    timer_init(&h->push_timer, push_all);
    for (size_t i = 0; i < ARRAY_LEN(h->sealed); i++)
        buf_init(&h->sealed[i].record, LIMIT_ENVELOPE);
    int err = p2p_host_handle(h, ID, asked, h);
    return err ? err : p2p_host_handle(h, ID_PUSH, pushed, h);
}

void host_identify_end_all(struct p2p_host *h)
{
    timer_clear(h->sched, &h->push_timer);
    for (size_t i = 0; i < ARRAY_LEN(h->sealed); i++)
        buf_fini(&h->sealed[i].record);
    while (!list_is_empty(&h->identifies))
        end(LIST_ENTRY(h->identifies.next, struct host_exchange, link));
}
