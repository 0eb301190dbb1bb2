// SPDX-License-Identifier: MIT
/* Asking others whether they can dial us; see autonat_host.h.
 *
 *   timer -> autonat_next -> stream to the server -> DIAL / DialRequest{addr, nonce}
 *     v1: DIAL_RESPONSE{OK, addr}  -> YES;  DIAL_ERROR -> NO
 *     v2: [DialDataRequest -> 30 to 100 kB]  ... dial-back{nonce} on a new connection -> proved
 *         DialResponse{OK, dial OK} and proved -> PROVED;  dial error -> NO
 *
 * The nonce counts only where it arrives on a connection that was made to us after the question went
 * out: a server that sends it over the connection we already have has shown nothing. Nor has one that
 * comes from the very port we dialled: every NAT lets that in. */
#include "base/mem.h"
#include "base/trace.h"
#include "p2p/autonat_impl.h"

#include <stdlib.h>

#define ASK_TIMEOUT_US  (25 * US_PER_S) /* data, a dial and the way back; over a server's own */
#define BACK_TIMEOUT_US (5 * US_PER_S)
#define IDLE_LOOK_US    (30 * US_PER_S) /* interfaces and observations change without a word */

enum { DATA_CHUNK = 4000, OBSERVED_ASKED = 4, BACKS_MAX = 4 };

/* An incoming dial-back. */
struct autonat_back {
    struct framed io;
    struct autonat_host *ah;
    struct list link;
    bool is_new; /* on a connection made to us since we asked, and not from a port we sent to */
    enum sent_to sent; /* to where it comes from */
};

static void arm(struct autonat_host *ah);

/* --- candidates --- */

static bool is_candidate(const struct autonat_host *ah, struct bytes addr)
{
    struct net_addr at;
    if (multiaddr_to_net(addr, &at) != 0 || net_addr_is_any(&at) || at.port == 0)
        return false;
    return ah->cfg.also_local || (!net_addr_is_loopback(&at) && !net_addr_is_private(&at));
}

static bool has(const struct bytes *v, size_t n, struct bytes x)
{
    for (size_t i = 0; i < n; i++)
        if (bytes_eq(v[i], x))
            return true;
    return false;
}

/* The IPs of this machine's interfaces: no NAT stands before them. */
struct own_ips {
    struct net_addr v[64];
    size_t n;
};

static bool is_own(const struct own_ips *own, struct bytes addr)
{
    struct net_addr at;
    if (multiaddr_to_net(addr, &at) != 0)
        return false;
    at.port = 0;
    for (size_t i = 0; i < own->n; i++) {
        struct net_addr ip = own->v[i];
        ip.port = 0;
        if (net_addr_eq(&ip, &at))
            return true;
    }
    return false;
}

/* Observed addresses by how many networks see them, the most first; a few: behind a symmetric NAT
 * each observer sees another one. */
static size_t add_observed(struct autonat_host *ah, struct bytes *out, size_t n)
{
    struct p2p_host *h = ah->h;
    uint64_t now = sched_now(h->sched);
    bool is_taken[LIMIT_OBSERVED] = {false};
    for (int k = 0; k < OBSERVED_ASKED && n < LIMIT_AUTONAT_CANDIDATES; k++) {
        size_t best = LIMIT_OBSERVED, most = 0;
        for (size_t i = 0; i < h->observed.count; i++) {
            size_t votes = is_taken[i] ? 0 : observed_votes(&h->observed, i, now);
            struct bytes addr = multiaddr_bytes(&h->observed.addrs[i].addr);
            if (votes > most && is_candidate(ah, addr) && !has(out, n, addr)) {
                most = votes;
                best = i;
            }
        }
        if (!most)
            return n;
        is_taken[best] = true;
        out[n++] = multiaddr_bytes(&h->observed.addrs[best].addr);
    }
    return n;
}

static bool is_confirmed(const struct autonat_host *ah, struct bytes addr)
{
    for (size_t i = 0; i < ah->confirmed_count; i++)
        if (bytes_eq(multiaddr_bytes(&ah->confirmed[i]), addr))
            return true;
    return false;
}

static void update_candidates(struct autonat_host *ah)
{
    struct bytes list[LIMIT_AUTONAT_CANDIDATES];
    const struct bytes *own;
    size_t n = 0, count = p2p_host_addrs(ah->h, &own);
    for (size_t i = 0; i < ah->confirmed_count; i++)
        if (has(own, count, multiaddr_bytes(&ah->confirmed[i])))
            list[n++] = multiaddr_bytes(&ah->confirmed[i]);
    for (size_t i = 0; i < count && n < LIMIT_AUTONAT_CANDIDATES; i++)
        if (is_candidate(ah, own[i]) && !has(list, n, own[i]))
            list[n++] = own[i];
    n = add_observed(ah, list, n);
    struct own_ips ips;
    struct autonat_candidate candidates[LIMIT_AUTONAT_CANDIDATES];
    ips.n = ah->h->port->interfaces(ah->h->port_ctx, ips.v, ARRAY_LEN(ips.v));
    for (size_t i = 0; i < n; i++)
        candidates[i] = (struct autonat_candidate){list[i], is_own(&ips, list[i])};
    autonat_set_addrs(&ah->core, candidates, n, sched_now(ah->h->sched));
}

/* --- what came out --- */

static bool is_worth_telling(const struct autonat_addr *x)
{
    return x->verdict == AUTONAT_REACHABLE || x->verdict == AUTONAT_LIKELY_REACHABLE;
}

static void withdraw_lost(struct autonat_host *ah)
{
    for (size_t i = 0; i < ah->confirmed_count;) {
        struct bytes addr = multiaddr_bytes(&ah->confirmed[i]);
        bool is_good = false;
        for (size_t k = 0; k < ah->core.addr_count; k++)
            is_good |= is_worth_telling(&ah->core.addrs[k]) &&
                       bytes_eq(multiaddr_bytes(&ah->core.addrs[k].addr), addr);
        if (is_good) {
            i++;
            continue;
        }
        if (ah->is_announced[i])
            p2p_host_remove_addr(ah->h, addr);
        ah->confirmed[i] = ah->confirmed[--ah->confirmed_count];
        ah->is_announced[i] = ah->is_announced[ah->confirmed_count];
    }
}

static void confirm(struct autonat_host *ah, struct bytes addr)
{
    char text[LIMIT_MULTIADDR];
    const struct bytes *own;
    size_t n = p2p_host_addrs(ah->h, &own);
    bool is_new = !has(own, n, addr);
    TRACE(P2P, INFO, "others reached us at %s -> %s", multiaddr_text(addr, text, sizeof text),
          is_new ? "announced" : "confirmed");
    ah->is_announced[ah->confirmed_count] = is_new;
    (void)multiaddr_copy(addr, &ah->confirmed[ah->confirmed_count++]);
    if (is_new)
        (void)p2p_host_add_addr(ah->h, addr);
}

static void publish(struct autonat_host *ah)
{
    static const enum p2p_reach reaches[] = {P2P_REACH_UNKNOWN, P2P_REACH_PUBLIC, P2P_REACH_PRIVATE,
                                             P2P_REACH_LIKELY};
    withdraw_lost(ah);
    for (size_t i = 0; i < ah->core.addr_count; i++) {
        struct bytes addr = multiaddr_bytes(&ah->core.addrs[i].addr);
        if (is_worth_telling(&ah->core.addrs[i]) && !is_confirmed(ah, addr) &&
            ah->confirmed_count < LIMIT_AUTONAT_CANDIDATES)
            confirm(ah, addr);
    }
    if (ah->core.reach != AUTONAT_UNKNOWN)
        p2p_host_set_reach(ah->h, reaches[ah->core.reach]);
}

/* --- a question --- */

static void drop_question(struct autonat_host *ah)
{
    struct autonat_asking *q = &ah->asking;
    if (q->is_opening)
        p2p_open_cancel(&q->open);
    if (q->has_stream)
        framed_close(&q->io);
    q->is_on = q->is_opening = q->has_stream = false;
}

static void answered(struct autonat_host *ah, enum autonat_result result, struct bytes addr)
{
    static const char *const words[] = {
        "it reached us, proved", "it reached us, but we had dialled it",
        "it says that it reached us", "it could not reach us", "no answer"};
    struct autonat_asking *q = &ah->asking;
    char who[PEER_ID_TEXT], text[LIMIT_MULTIADDR];
    TRACE(P2P, DEBUG, "autonat: %s about %s: %s", peer_id_text(&q->server, who, sizeof who),
          multiaddr_text(multiaddr_bytes(&q->addr), text, sizeof text), words[result]);
    if (result != AUTONAT_NO_ANSWER) {
        ah->counts.answered++;
        ah->last = result;
        ah->last_addr = q->addr;
    }
    autonat_answered(&ah->core, result, addr, sched_now(ah->h->sched));
    drop_question(ah);
    publish(ah);
    arm(ah);
}

static void send_message(struct autonat_host *ah, const struct autonat_v1 *v1,
                         const struct autonat_v2 *v2)
{
    struct buf b;
    buf_init(&b, 0);
    int err = v1 ? autonat_v1_encode(v1, &b) : autonat_v2_encode(v2, &b);
    if (!err)
        (void)framed_send(&ah->asking.io, buf_view(&b)); /* a broken stream says so by itself */
    buf_fini(&b);
}

static bool on_v1(struct autonat_host *ah, struct bytes message)
{
    struct autonat_v1 m;
    enum autonat_result result = AUTONAT_NO_ANSWER;
    if (autonat_v1_decode(message, &m) == 0 && m.kind == AUTONAT_DIAL_RESPONSE)
        result = m.status == AUTONAT_V1_OK           ? AUTONAT_YES
                 : m.status == AUTONAT_V1_DIAL_ERROR ? AUTONAT_NO
                                                     : AUTONAT_NO_ANSWER;
    struct multiaddr addr = {0};
    if (result == AUTONAT_YES && m.addr.n)
        (void)multiaddr_copy(multiaddr_without_peer(m.addr), &addr);
    answered(ah, result, multiaddr_bytes(&addr));
    return false;
}

static bool send_data(struct autonat_host *ah, uint64_t total)
{
    static const uint8_t zeros[DATA_CHUNK];
    struct autonat_asking *q = &ah->asking;
    if (q->has_sent_data || total > LIMIT_AUTONAT_DATA_MAX)
        return false;
    q->has_sent_data = true;
    while (total) {
        size_t n = total < DATA_CHUNK ? (size_t)total : DATA_CHUNK;
        struct autonat_v2 m = {.kind = AUTONAT_DATA, .data = bytes_of(zeros, n)};
        send_message(ah, NULL, &m);
        total -= n;
    }
    return true;
}

static enum autonat_result proof_of(const struct autonat_asking *q)
{
    return q->is_by_stranger ? AUTONAT_PROVED : AUTONAT_REACHED;
}

static bool on_v2(struct autonat_host *ah, struct bytes message)
{
    struct autonat_v2 m;
    enum autonat_result result = AUTONAT_NO_ANSWER;
    bool is_sane = autonat_v2_decode(message, &m) == 0 && m.addr_index == 0;
    if (is_sane && m.kind == AUTONAT_DATA_REQUEST && send_data(ah, m.data_bytes))
        return true;
    if (is_sane && m.kind == AUTONAT_DIAL_ANSWER && m.status == AUTONAT_V2_OK)
        result = m.dial == AUTONAT_DIAL_OK && ah->asking.is_proved ? proof_of(&ah->asking)
                 : m.dial == AUTONAT_DIAL_ERROR                    ? AUTONAT_NO
                                                                   : AUTONAT_NO_ANSWER;
    answered(ah, result, (struct bytes){0});
    return false;
}

static struct autonat_host *host_of(struct framed *f)
{
    return CONTAINER_OF(CONTAINER_OF(f, struct autonat_asking, io), struct autonat_host, asking);
}

static bool on_message(struct framed *f, struct bytes message)
{
    struct autonat_host *ah = host_of(f);
    return ah->asking.is_v2 ? on_v2(ah, message) : on_v1(ah, message);
}

static void on_ended(struct framed *f, int err)
{
    answered(host_of(f), AUTONAT_NO_ANSWER, (struct bytes){0});
}

static const struct framed_events question_events = {on_message, on_ended};

static void on_open(struct p2p_open *r, int err, struct stream *s)
{
    struct autonat_asking *q = CONTAINER_OF(r, struct autonat_asking, open);
    struct autonat_host *ah = CONTAINER_OF(q, struct autonat_host, asking);
    struct bytes addr = multiaddr_bytes(&q->addr);
    q->is_opening = false;
    if (err) {
        answered(ah, AUTONAT_NO_ANSWER, (struct bytes){0});
        return;
    }
    q->has_stream = true;
    framed_open(&q->io, ah->h->sched, s, LIMIT_AUTONAT_MESSAGE, ASK_TIMEOUT_US, &question_events);
    if (q->is_v2) {
        struct autonat_v2 m = {
            .kind = AUTONAT_DIAL_REQUEST, .addrs = {addr}, .addr_count = 1, .nonce = q->nonce};
        send_message(ah, NULL, &m);
    } else {
        struct autonat_v1 m = {.kind = AUTONAT_DIAL,
                               .peer = peer_id_bytes(&ah->h->id),
                               .addrs = {addr},
                               .addr_count = 1};
        send_message(ah, &m, NULL);
    }
}

static void ask(struct autonat_host *ah, const struct autonat_question *question)
{
    struct autonat_asking *q = &ah->asking;
    *q = (struct autonat_asking){.is_on = true,
                                 .is_opening = true,
                                 .is_v2 = question->is_v2,
                                 .server = question->server,
                                 .since_us = sched_now(ah->h->sched),
                                 .nonce = rng_u64(ah->h->rng)};
    (void)multiaddr_copy(question->addr, &q->addr);
    q->open = (struct p2p_open){.peer = q->server,
                                .protocol = q->is_v2 ? AUTONAT_V2 : AUTONAT_V1,
                                .is_background = true,
                                .only_connected = true,
                                .done = on_open};
    ah->counts.asked++;
    p2p_host_open(ah->h, &q->open);
}

/* --- when --- */

/* Whom we have sent to changes without a word. */
static void find_strangers(struct autonat_host *ah)
{
    for (size_t i = 0; i < ah->core.server_count; i++) {
        struct autonat_server *s = &ah->core.servers[i];
        s->is_stranger = host_sent_to(ah->h, &s->at) == SENT_TO_NOBODY;
    }
}

static void look(struct timer *t)
{
    struct autonat_host *ah = CONTAINER_OF(t, struct autonat_host, timer);
    struct autonat_question question;
    if (!ah->asking.is_on) {
        update_candidates(ah);
        if (autonat_deadline(&ah->core) <= sched_now(ah->h->sched))
            find_strangers(ah); /* who is one counts when somebody is asked */
        publish(ah);
        if (autonat_next(&ah->core, sched_now(ah->h->sched), &question))
            ask(ah, &question);
    }
    arm(ah);
}

static void arm(struct autonat_host *ah)
{
    uint64_t now = sched_now(ah->h->sched), at = autonat_deadline(&ah->core);
    bool is_idle = ah->core.server_count == 0;
    if (ah->asking.is_on || is_idle)
        timer_clear(ah->h->sched, &ah->timer);
    else
        timer_set(ah->h->sched, &ah->timer, at < now + IDLE_LOOK_US ? at : now + IDLE_LOOK_US);
}

/* --- servers come and go --- */

static bool sees_us_from_outside(const struct autonat_host *ah, const struct net_addr *at)
{
    bool is_ip = at->kind == NET_IP4 || at->kind == NET_IP6;
    return is_ip && (ah->cfg.also_local || (!net_addr_is_loopback(at) && !net_addr_is_private(at)));
}

static void on_identified(struct p2p_watch *w, const struct known_peer *peer)
{
    struct autonat_host *ah = CONTAINER_OF(w, struct autonat_host, watch);
    struct p2p_peer_view v;
    bool has_v2 = ah->cfg.only_version != 1 && known_peer_has_protocol(peer, AUTONAT_V2);
    bool has_v1 = ah->cfg.only_version != 2 && known_peer_has_protocol(peer, AUTONAT_V1);
    bool serves = has_v1 || has_v2;
    if (!p2p_host_peer(ah->h, &peer->id, &v))
        return;
    if (serves && !v.is_relayed && sees_us_from_outside(ah, &v.remote))
        autonat_server_seen(&ah->core, &peer->id, &v.remote, has_v1, has_v2,
                            ah->core.reach == AUTONAT_LIKELY &&
                                host_sent_to(ah->h, &v.remote) == SENT_TO_NOBODY,
                            sched_now(ah->h->sched));
    else
        autonat_server_gone(&ah->core, &peer->id);
    update_candidates(ah);
    arm(ah);
}

static void on_disconnected(struct p2p_watch *w, const struct peer_id *peer, int err)
{
    struct autonat_host *ah = CONTAINER_OF(w, struct autonat_host, watch);
    autonat_server_gone(&ah->core, peer);
    arm(ah);
}

static void on_reach(struct p2p_watch *w, enum p2p_reach reach)
{
    autonat_server_reach(CONTAINER_OF(w, struct autonat_host, watch), reach);
}

/* --- the dial-back --- */

static void back_close(struct autonat_back *b)
{
    framed_close(&b->io);
    list_remove(&b->link);
    free(b);
}

static bool on_back(struct framed *f, struct bytes message)
{
    struct autonat_back *b = CONTAINER_OF(f, struct autonat_back, io);
    struct autonat_asking *q = &b->ah->asking;
    uint64_t nonce;
    struct buf answer;
    bool is_ours = autonat_back_decode(message, &nonce) == 0 && q->is_on && q->is_v2 &&
                   nonce == q->nonce && b->is_new;
    buf_init(&answer, 0);
    if (is_ours && autonat_back_answer_encode(&answer) == 0) {
        q->is_proved = true;
        q->is_by_stranger = b->sent == SENT_TO_NOBODY;
        (void)framed_send(f, buf_view(&answer));
        framed_finish(f);
    } else {
        stream_reset(f->s, STREAM_PROTOCOL);
    }
    buf_fini(&answer);
    back_close(b);
    return false;
}

static void back_ended(struct framed *f, int err)
{
    back_close(CONTAINER_OF(f, struct autonat_back, io));
}

static const struct framed_events back_events = {on_back, back_ended};

/* Whoever comes with the nonce says it at once; the oldest of those who say nothing gives way, or anybody could keep
 * the answer from coming by being there before it. */
static void make_room(struct autonat_host *ah)
{
    size_t n = 0;
    LIST_FOREACH (&ah->backs, it)
        n++;
    if (n < BACKS_MAX)
        return;
    struct autonat_back *oldest = LIST_ENTRY(ah->backs.next, struct autonat_back, link);
    stream_reset(oldest->io.s, STREAM_REFUSED);
    back_close(oldest);
}

static void dialled_back(void *ctx, struct stream *s, const struct peer_id *peer)
{
    struct autonat_host *ah = ctx;
    struct conn *c = CONTAINER_OF(s, struct conn_stream, s)->conn;
    if (!ah->asking.is_on) {
        stream_reset(s, STREAM_REFUSED);
        stream_close(s);
        return;
    }
    make_room(ah);
    struct autonat_back *b = MEM_NEW(struct autonat_back);
    b->ah = ah;
    b->sent = c ? host_sent_to(ah->h, &c->remote) : SENT_TO_PORT;
    b->is_new = c && !c->is_dialer && c->since_us >= ah->asking.since_us && b->sent != SENT_TO_PORT;
    list_append(&ah->backs, &b->link);
    framed_open(&b->io, ah->h->sched, s, LIMIT_AUTONAT_MESSAGE, BACK_TIMEOUT_US, &back_events);
}

/* --- life --- */

void autonat_client_init(struct autonat_host *ah)
{
    timer_init(&ah->timer, look);
    list_init(&ah->backs);
    autonat_init(&ah->core, ah->h->rng, sched_now(ah->h->sched));
    ah->watch = (struct p2p_watch){.reach_changed = on_reach};
    if (ah->cfg.asks) {
        ah->watch.identified = on_identified;
        ah->watch.disconnected = on_disconnected;
        (void)p2p_host_handle(ah->h, AUTONAT_V2_BACK, dialled_back, ah);
    }
    p2p_host_watch(ah->h, &ah->watch);
}

void autonat_client_fini(struct autonat_host *ah)
{
    p2p_host_unwatch(&ah->watch);
    if (ah->cfg.asks)
        p2p_host_unhandle(ah->h, AUTONAT_V2_BACK);
    timer_clear(ah->h->sched, &ah->timer);
    drop_question(ah);
    while (!list_is_empty(&ah->backs))
        back_close(LIST_ENTRY(ah->backs.next, struct autonat_back, link));
}

void autonat_host_forget(struct autonat_host *ah)
{
    uint64_t now = sched_now(ah->h->sched);
    if (ah->asking.is_on) {
        autonat_answered(&ah->core, AUTONAT_NO_ANSWER, (struct bytes){0}, now);
        drop_question(ah);
    }
    autonat_forget(&ah->core, now);
    update_candidates(ah);
    publish(ah);
    arm(ah);
}

bool autonat_host_last(const struct autonat_host *ah, enum autonat_result *result,
                       struct bytes *addr)
{
    *result = ah->last;
    *addr = multiaddr_bytes(&ah->last_addr);
    return ah->counts.answered > 0;
}

bool autonat_host_confirmed(struct autonat_host *ah, size_t i, struct bytes *addr)
{
    if (i >= ah->confirmed_count)
        return false;
    *addr = multiaddr_bytes(&ah->confirmed[i]);
    return true;
}
