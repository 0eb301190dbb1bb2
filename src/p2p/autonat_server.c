// SPDX-License-Identifier: MIT
/* Dialling back who asks whether it can be dialled; see autonat_host.h.
 *
 *   asked -> room? -> read -> address chosen -> not too often? -> [v2, another IP: WANTS_DATA, WAITING]
 *         -> DIALLING (a connection of its own, from a new port)
 *              v1: opened -> OK;  all failed -> DIAL_ERROR
 *              v2: opened -> SENDING the nonce on it -> answered -> OK / DIAL_BACK_ERROR
 *         -> the answer, and the end
 *
 * What a stranger could want with this: have others dialled in our name. So: version 1 dials only the IP
 * that the question came from; version 2 any public one, for 30 to 100 kB, at a moment not of the asker's
 * choice, twelve times a minute for all askers together, and of the ports that belong to other services only
 * those behind which people hide a node too. Private and loopback addresses are dialled only for who has
 * such an address itself. A question over a relay has no address, and is refused.
 *
 * A refusal is an answer. rust-libp2p asks again at once, and for ever, where a stream is reset; so only
 * who leaves no room for questions that are still to be read is. */
#include "base/mem.h"
#include "base/trace.h"
#include "p2p/autonat_impl.h"

#include <stdlib.h>
#include <string.h>

#define QUESTION_US (5 * US_PER_S)  /* until it has been asked */
#define DATA_US     (15 * US_PER_S) /* until the data has come */
#define BACK_US     (5 * US_PER_S)  /* the nonce and its answer */
#define FAR_WAIT_US (3 * US_PER_S)  /* at most, before another IP is dialled; as go */

enum { PORT_USER = 1024, PORT_HTTP = 80, PORT_HTTPS = 443 };
enum served_state {
    SERVED_ASKED,
    SERVED_WANTS_DATA,
    SERVED_WAITING,
    SERVED_DIALLING,
    SERVED_SENDING
};

struct autonat_served {
    struct autonat_host *ah;
    struct list link;
    enum served_state state;
    bool is_v2;
    struct framed io;
    struct peer_id peer;
    struct net_addr from; /* where it is asked from */
    /* what is dialled: v1 several, one after another; v2 one */
    struct net_addr at[LIMIT_AUTONAT_DIALS];
    size_t at_count, at_next;
    uint32_t addr_index;
    uint64_t nonce, data_left;
    struct timer wait;
    struct host_dialback *dialback;
    struct conn_open open; /* the dial-back's stream */
    bool is_opening, has_back;
    struct framed back;
};

static void served_free(struct autonat_served *v)
{
    if (v->dialback)
        host_dialback_cancel(v->dialback);
    if (v->is_opening)
        conn_open_cancel(&v->open);
    if (v->has_back)
        framed_close(&v->back);
    timer_clear(v->ah->h->sched, &v->wait);
    framed_close(&v->io);
    list_remove(&v->link);
    v->ah->served_count--;
    free(v);
}

/* --- answers --- */

static void answer_v1(struct autonat_served *v, enum autonat_v1_status status, const char *text)
{
    struct autonat_v1 m = {
        .kind = AUTONAT_DIAL_RESPONSE, .status = status, .text = bytes_str(text)};
    struct multiaddr addr;
    struct buf b;
    buf_init(&b, 0);
    if (status == AUTONAT_V1_OK && multiaddr_from_net(&v->at[v->at_next], &addr) == 0)
        m.addr = multiaddr_bytes(&addr);
    if (autonat_v1_encode(&m, &b) == 0)
        (void)framed_send(&v->io, buf_view(&b));
    buf_fini(&b);
    framed_finish(&v->io);
    served_free(v);
}

static void answer_v2(struct autonat_served *v, enum autonat_v2_status status,
                      enum autonat_v2_dial dial)
{
    struct autonat_v2 m = {
        .kind = AUTONAT_DIAL_ANSWER, .status = status, .dial = dial, .addr_index = v->addr_index};
    struct buf b;
    buf_init(&b, 0);
    if (autonat_v2_encode(&m, &b) == 0)
        (void)framed_send(&v->io, buf_view(&b));
    buf_fini(&b);
    framed_finish(&v->io);
    served_free(v);
}

/* `v2`: what version 2 calls it. */
static void refuse(struct autonat_served *v, enum autonat_v2_status v2, const char *why)
{
    char who[PEER_ID_TEXT];
    TRACE(P2P, DEBUG, "autonat question of %s: %s -> refused",
          peer_id_text(&v->peer, who, sizeof who), why);
    v->ah->counts.refused++;
    if (v->is_v2)
        answer_v2(v, v2, AUTONAT_DIAL_UNUSED);
    else
        answer_v1(v, AUTONAT_V1_REFUSED, why);
}

/* --- the dial-back of version 2 --- */

static bool on_back(struct framed *f, struct bytes message)
{
    struct autonat_served *v = CONTAINER_OF(f, struct autonat_served, back);
    uint32_t status;
    bool is_ok = autonat_back_answer_decode(message, &status) == 0 && status == 0;
    answer_v2(v, AUTONAT_V2_OK, is_ok ? AUTONAT_DIAL_OK : AUTONAT_DIAL_BACK_ERROR);
    return false;
}

static void back_ended(struct framed *f, int err)
{
    struct autonat_served *v = CONTAINER_OF(f, struct autonat_served, back);
    answer_v2(v, AUTONAT_V2_OK, AUTONAT_DIAL_BACK_ERROR);
}

static const struct framed_events back_events = {on_back, back_ended};

static void back_open(struct conn_open *o, int err, struct stream *s)
{
    struct autonat_served *v = CONTAINER_OF(o, struct autonat_served, open);
    struct buf b;
    v->is_opening = false;
    if (err) {
        answer_v2(v, AUTONAT_V2_OK, AUTONAT_DIAL_BACK_ERROR);
        return;
    }
    v->has_back = true;
    framed_open(&v->back, v->ah->h->sched, s, LIMIT_AUTONAT_MESSAGE, BACK_US, &back_events);
    buf_init(&b, 0);
    if (autonat_back_encode(v->nonce, &b) == 0)
        (void)framed_send(&v->back, buf_view(&b));
    buf_fini(&b);
    framed_finish(&v->back);
}

/* --- dialling --- */

static void dial(struct autonat_served *v);

static void dialled(void *ctx, int err, struct conn *c)
{
    struct autonat_served *v = ctx;
    v->dialback = NULL;
    if (err && ++v->at_next < v->at_count) {
        dial(v);
    } else if (!v->is_v2) {
        answer_v1(v, err ? AUTONAT_V1_DIAL_ERROR : AUTONAT_V1_OK, err ? err_text(err) : "");
    } else if (err) {
        answer_v2(v, AUTONAT_V2_OK, AUTONAT_DIAL_ERROR);
    } else {
        v->state = SERVED_SENDING;
        v->is_opening = true;
        v->open = (struct conn_open){
            .protocol = AUTONAT_V2_BACK, .is_lazy = true, .is_background = true, .done = back_open};
        conn_open_stream(c, &v->open);
    }
}

static void dial(struct autonat_served *v)
{
    uint64_t us = v->ah->cfg.dial_us;
    v->state = SERVED_DIALLING;
    framed_allow(&v->io, us * (v->at_count - v->at_next) + 2 * BACK_US);
    v->dialback = host_dialback_start(v->ah->h, &v->peer, &v->at[v->at_next], us, dialled, v);
}

/* --- what may be dialled --- */

static bool same_ip(const struct net_addr *a, const struct net_addr *b)
{
    return a->kind == b->kind && memcmp(a->ip, b->ip, a->kind == NET_IP4 ? 4 : 16) == 0;
}

/* As near as who asks: the world for the world, the LAN for the LAN, ourselves for ourselves. At its own IP
 * it may listen where it likes; elsewhere mail, names and logins are not for us to knock at. */
static bool is_fair(const struct net_addr *at, const struct net_addr *from)
{
    if (at->port == 0 || net_addr_is_any(at) || (from->kind != NET_IP4 && from->kind != NET_IP6))
        return false;
    if (net_addr_is_loopback(at))
        return net_addr_is_loopback(from);
    if (net_addr_is_private(at))
        return net_addr_is_private(from) && same_ip(at, from);
    return same_ip(at, from) || at->port >= PORT_USER || at->port == PORT_HTTP ||
           at->port == PORT_HTTPS;
}

/* --- how often --- */

static size_t count_of(struct autonat_host *ah, const struct peer_id *peer, enum served_state from)
{
    size_t n = 0;
    LIST_FOREACH (&ah->served, it) {
        const struct autonat_served *v = LIST_ENTRY(it, struct autonat_served, link);
        n += v->state >= from && peer_id_eq(&v->peer, peer);
    }
    return n;
}

/* Counted where something is done for it, so that what is refused costs nobody anything. */
static bool may_be_dialled(struct autonat_served *v)
{
    struct autonat_host *ah = v->ah;
    uint64_t now = sched_now(ah->h->sched);
    uint8_t group[8];
    struct bytes key = bytes_of(group, net_addr_group(&v->from, group));
    if (count_of(ah, &v->peer, SERVED_WANTS_DATA) >= LIMIT_AUTONAT_PEER_DIALS ||
        !rates_take(&ah->peer_rates, peer_id_bytes(&v->peer), now) ||
        (!net_addr_is_loopback(&v->from) && !rates_take(&ah->group_rates, key, now)) ||
        (!same_ip(&v->at[0], &v->from) && !rates_take(&ah->far_rates, BYTES_LIT("all"), now)) ||
        !rates_take(&ah->rates, BYTES_LIT("all"), now))
        return false;
    ah->counts.served++;
    return true;
}

/* False: refused, and v is gone. */
static bool admit(struct autonat_served *v, const char *no_address)
{
    if (v->at_count && may_be_dialled(v))
        return true;
    if (v->at_count)
        refuse(v, AUTONAT_V2_REJECTED, "too many questions; later again");
    else
        refuse(v, AUTONAT_V2_DIAL_REFUSED, no_address);
    return false;
}

/* --- questions --- */

/* False: v is gone. */
static bool on_v1(struct autonat_served *v, struct bytes message)
{
    struct autonat_v1 m;
    if (autonat_v1_decode(message, &m) != 0 || m.kind != AUTONAT_DIAL ||
        (m.peer.n && !bytes_eq(m.peer, peer_id_bytes(&v->peer)))) {
        answer_v1(v, AUTONAT_V1_BAD_REQUEST, "that is no question about yourself");
        return false;
    }
    for (size_t i = 0; i < m.addr_count && v->at_count < LIMIT_AUTONAT_DIALS; i++) {
        struct net_addr *at = &v->at[v->at_count];
        if (multiaddr_to_net(m.addrs[i], at) == 0 && is_fair(at, &v->from) && same_ip(at, &v->from))
            v->at_count++;
    }
    if (!admit(v, "no address that you come from"))
        return false;
    dial(v);
    return true;
}

static void want_data(struct autonat_served *v)
{
    uint64_t span = LIMIT_AUTONAT_DATA_MAX - LIMIT_AUTONAT_DATA_MIN + 1;
    struct autonat_v2 m = {.kind = AUTONAT_DATA_REQUEST, .addr_index = v->addr_index};
    struct buf b;
    buf_init(&b, 0);
    v->state = SERVED_WANTS_DATA;
    v->data_left = m.data_bytes = LIMIT_AUTONAT_DATA_MIN + rng_below(v->ah->h->rng, span);
    framed_allow(&v->io, DATA_US);
    if (autonat_v2_encode(&m, &b) == 0)
        (void)framed_send(&v->io, buf_view(&b));
    buf_fini(&b);
}

/* False: v is gone. */
static bool on_v2(struct autonat_served *v, const struct autonat_v2 *m)
{
    v->nonce = m->nonce;
    for (size_t i = 0; i < m->addr_count && !v->at_count; i++)
        if (multiaddr_to_net(m->addrs[i], &v->at[0]) == 0 && is_fair(&v->at[0], &v->from)) {
            v->at_count = 1;
            v->addr_index = (uint32_t)i;
        }
    if (!admit(v, "no address that we would dial"))
        return false;
    if (same_ip(&v->at[0], &v->from))
        dial(v);
    else
        want_data(v);
    return true;
}

static bool on_data(struct autonat_served *v, const struct autonat_v2 *m)
{
    if (m->data.n < LIMIT_AUTONAT_DATA_CHUNK && m->data.n < v->data_left)
        return false; /* many small messages cost us more than them; none at all would never be enough */
    v->data_left -= m->data.n < v->data_left ? m->data.n : v->data_left;
    if (v->data_left == 0) {
        v->state = SERVED_WAITING;
        framed_allow(&v->io, FAR_WAIT_US + DATA_US);
        timer_after(v->ah->h->sched, &v->wait, rng_below(v->ah->h->rng, FAR_WAIT_US));
    }
    return true;
}

static void waited(struct timer *t)
{
    dial(CONTAINER_OF(t, struct autonat_served, wait));
}

static bool on_message(struct framed *f, struct bytes message)
{
    struct autonat_served *v = CONTAINER_OF(f, struct autonat_served, io);
    struct autonat_v2 m;
    if (!v->is_v2 && v->state == SERVED_ASKED)
        return on_v1(v, message);
    bool is_good = v->is_v2 && autonat_v2_decode(message, &m) == 0;
    if (is_good && v->state == SERVED_ASKED && m.kind == AUTONAT_DIAL_REQUEST)
        return on_v2(v, &m);
    if (is_good && v->state == SERVED_WANTS_DATA && m.kind == AUTONAT_DATA && on_data(v, &m))
        return true;
    stream_reset(v->io.s, STREAM_PROTOCOL);
    served_free(v);
    return false;
}

/* They may half-close once they have asked; whatever else ends it. */
static void on_ended(struct framed *f, int err)
{
    struct autonat_served *v = CONTAINER_OF(f, struct autonat_served, io);
    if (err == E_EOF && v->state >= SERVED_WAITING) {
        stream_want_read(v->io.s, false);
        framed_allow(f, v->ah->cfg.dial_us * LIMIT_AUTONAT_DIALS + 2 * BACK_US);
        return;
    }
    stream_reset(v->io.s, STREAM_PROTOCOL);
    served_free(v);
}

static const struct framed_events served_events = {on_message, on_ended};

/* --- being asked --- */

/* From the IP group of `from`; over relays they all are of one. */
static size_t count_from(struct autonat_host *ah, const struct net_addr *from)
{
    uint8_t group[8], other[8];
    size_t n = 0, len = net_addr_group(from, group);
    LIST_FOREACH (&ah->served, it) {
        const struct autonat_served *v = LIST_ENTRY(it, struct autonat_served, link);
        n += net_addr_group(&v->from, other) == len && memcmp(group, other, sizeof group) == 0;
    }
    return net_addr_is_loopback(from) ? 0 : n;
}

static void asked(struct autonat_host *ah, struct stream *s, const struct peer_id *peer, bool is_v2)
{
    /* Over a circuit it is the relay's. */
    struct net_addr from = p2p_stream_is_relayed(s) ? (struct net_addr){0} : s->remote;
    if (ah->served_count >= LIMIT_AUTONAT_AT_ONCE ||
        count_of(ah, peer, SERVED_ASKED) >= LIMIT_AUTONAT_PEER_ONCE ||
        count_from(ah, &from) >= LIMIT_AUTONAT_GROUP_ONCE) {
        ah->counts.refused++;
        stream_reset(s, STREAM_REFUSED);
        stream_close(s);
        return;
    }
    struct autonat_served *v = MEM_NEW(struct autonat_served);
    v->ah = ah;
    v->is_v2 = is_v2;
    v->peer = *peer;
    timer_init(&v->wait, waited);
    v->from = from;
    list_append(&ah->served, &v->link);
    ah->served_count++;
    framed_open(&v->io, ah->h->sched, s, LIMIT_AUTONAT_MESSAGE, QUESTION_US, &served_events);
}

static void asked_v1(void *ctx, struct stream *s, const struct peer_id *peer)
{
    asked(ctx, s, peer, false);
}

static void asked_v2(void *ctx, struct stream *s, const struct peer_id *peer)
{
    asked(ctx, s, peer, true);
}

/* --- life --- */

static void serve(struct autonat_host *ah, bool yes)
{
    if (ah->is_serving == yes)
        return;
    ah->is_serving = yes;
    if (yes) {
        (void)p2p_host_handle(ah->h, AUTONAT_V1, asked_v1, ah);
        (void)p2p_host_handle(ah->h, AUTONAT_V2, asked_v2, ah);
    } else {
        p2p_host_unhandle(ah->h, AUTONAT_V1);
        p2p_host_unhandle(ah->h, AUTONAT_V2);
    }
}

void autonat_server_reach(struct autonat_host *ah, enum p2p_reach reach)
{
    serve(ah, ah->cfg.serves && reach != P2P_REACH_PRIVATE);
}

void autonat_server_init(struct autonat_host *ah)
{
    struct rng *rng = ah->h->rng;
    list_init(&ah->served);
    rates_init(&ah->rates, LIMIT_AUTONAT_RATE, LIMIT_AUTONAT_BURST, 1, rng_u64(rng));
    rates_init(&ah->far_rates, LIMIT_AUTONAT_FAR_RATE, LIMIT_AUTONAT_FAR_BURST, 1, rng_u64(rng));
    rates_init(&ah->group_rates, LIMIT_AUTONAT_GROUP_RATE, LIMIT_AUTONAT_GROUP_BURST,
               LIMIT_AUTONAT_RATED, rng_u64(rng));
    rates_init(&ah->peer_rates, LIMIT_AUTONAT_PEER_RATE, LIMIT_AUTONAT_PEER_BURST,
               LIMIT_AUTONAT_RATED, rng_u64(rng));
    autonat_server_reach(ah, p2p_host_reach(ah->h));
}

void autonat_server_fini(struct autonat_host *ah)
{
    serve(ah, false);
    while (!list_is_empty(&ah->served))
        served_free(LIST_ENTRY(ah->served.next, struct autonat_served, link));
    rates_fini(&ah->rates);
    rates_fini(&ah->far_rates);
    rates_fini(&ah->group_rates);
    rates_fini(&ah->peer_rates);
}
