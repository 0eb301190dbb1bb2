// SPDX-License-Identifier: MIT
/* Asking the network about the LAN; see confirm.h. */
#include "node/confirm.h"

#include "base/mem.h"
#include "base/trace.h"
#include "dht/message.h"

#include <stdio.h>

#define PAUSE_MIN_US (2 * US_PER_S)
#define PAUSE_MAX_US (120 * US_PER_S)
#define ANSWER_US    (3 * US_PER_S)
#define NOW_GAP_US   US_PER_S /* who waits may hurry, but not without end */
enum { REQUEST_MAX = 256 };

static bool is_out(const struct confirm *c)
{
    for (size_t i = 0; i < CONFIRM_ASKED; i++)
        if (c->asks[i].is_out)
            return true;
    return false;
}

bool confirm_is_asking(const struct confirm *c)
{
    return c->is_wanted || is_out(c);
}

/* --- whom --- */

static bool is_barred(const struct catalogue_peer *p)
{
    return p->bar != CATALOGUE_USED && !p->is_own && !list_is_empty(&p->offers);
}

/* The barred peer after the one that was asked about last, round and round. */
static const struct catalogue_peer *next_barred(const struct confirm *c)
{
    const struct catalogue_peer *first = NULL;
    bool is_past = false;
    for (struct map_entry *e = map_first(&c->offers->peers); e;
         e = map_next(&c->offers->peers, e)) {
        const struct catalogue_peer *p = e->value;
        if (is_past && is_barred(p))
            return p;
        if (!first && is_barred(p))
            first = p;
        is_past |= peer_id_eq(&p->id, &c->asked);
    }
    return first;
}

static bool can_say(const struct confirm *c, const struct p2p_peer_view *v)
{
    return v->record && known_peer_has_protocol(v->record, KAD_PROTOCOL) &&
           trust_is_known(c->trust, v->id);
}

/* A drawn handful of the connected peers that we trust. */
static size_t draw(const struct confirm *c, struct peer_id out[static CONFIRM_ASKED])
{
    struct p2p_peer_view v;
    void *cursor = NULL;
    size_t seen = 0;
    while (p2p_host_peers(c->kad->host, &cursor, &v)) {
        if (!can_say(c, &v))
            continue;
        size_t at = seen < CONFIRM_ASKED ? seen : rng_below(c->rng, seen + 1);
        if (at < CONFIRM_ASKED)
            out[at] = *v.id;
        seen++;
    }
    return seen < CONFIRM_ASKED ? seen : CONFIRM_ASKED;
}

/* --- asking --- */

static void end(struct confirm *c)
{
    for (size_t i = 0; i < CONFIRM_ASKED; i++)
        if (c->asks[i].is_out) {
            c->asks[i].is_out = false;
            kad_port_cancel(c->kad, &c->asks[i].rpc);
        }
}

static void on_answer(struct dht_rpc *rpc, int err, struct bytes reply)
{
    struct confirm_ask *a = CONTAINER_OF(rpc, struct confirm_ask, rpc);
    struct confirm *c = a->c;
    struct dht_message m;
    struct dht_message_peer p;
    int left = LIMIT_DHT_PROVIDERS;
    a->is_out = false;
    if (!err && dht_message_decode(reply, &m) == 0)
        for (struct bytes rest = m.whole; left-- && dht_message_next(DHT_PROVIDERS, &rest, &p);)
            if (!peer_id_eq(&p.peer.id, &rpc->peer.id)) /* for itself it does not speak */
                c->confirmed(c->ctx, &p.peer.id);
    if (!confirm_is_asking(c))
        c->ended(c->ctx);
}

static void on_sent(struct dht_rpc *rpc)
{
}

/* False: there is nobody to ask. */
static bool ask_about(struct confirm *c, const struct catalogue_peer *p)
{
    struct peer_id whom[CONFIRM_ASKED];
    char text[OFFER_NAME + 16], who[16];
    uint8_t key[DHT_KEY_TEXT];
    size_t n = draw(c, whom);
    if (n == 0)
        return false;
    const struct catalogue_offer *o = LIST_ENTRY(p->offers.next, struct catalogue_offer, link);
    snprintf(text, sizeof text, "model:%s", o->offer.model);
    dht_key_text(bytes_str(text), key);
    buf_clear(&c->request);
    (void)dht_message_begin(&c->request, DHT_GET_PROVIDERS, bytes_of(key, sizeof key));
    TRACE(NODE, DEBUG, "lan: is %s of our network? -> asking %zu of it", peer_id_short(&p->id, who),
          n);
    c->asked = p->id;
    c->asked_us = sched_now(c->sched);
    for (size_t i = 0; i < n; i++) {
        struct confirm_ask *a = &c->asks[i];
        a->is_out = true;
        a->rpc = (struct dht_rpc){.peer = {.id = whom[i]},
                                  .request = buf_view(&c->request),
                                  .wants_reply = true,
                                  .sent = on_sent,
                                  .done = on_answer};
        kad_port_send(c->kad, &a->rpc);
    }
    return true;
}

static void on_timer(struct timer *t)
{
    struct confirm *c = CONTAINER_OF(t, struct confirm, timer);
    bool was_out = is_out(c), is_awaited = was_out || c->is_wanted;
    end(c); /* who has not answered by now */
    c->is_wanted = false;
    bool is_as_before = c->changes == c->offers->changes;
    if (!is_as_before) {
        c->changes = c->offers->changes;
        c->pause_us = PAUSE_MIN_US;
    }
    const struct catalogue_peer *p = is_as_before && c->has_none ? NULL : next_barred(c);
    c->has_none = !p;
    bool asks = p && !was_out && ask_about(c, p);
    uint64_t next_us = asks ? ANSWER_US : p ? c->pause_us : PAUSE_MIN_US;
    if (asks)
        c->pause_us = c->pause_us * 2 < PAUSE_MAX_US ? c->pause_us * 2 : PAUSE_MAX_US;
    if (asks)
        timer_after(c->sched, &c->timer, next_us);
    else
        timer_about(c->sched, &c->timer, next_us, US_PER_S / 2);
    if (is_awaited && !asks)
        c->ended(c->ctx);
}

void confirm_now(struct confirm *c)
{
    if (!c->kad || confirm_is_asking(c))
        return;
    c->is_wanted = true;
    uint64_t at = c->asked_us ? c->asked_us + NOW_GAP_US : 0, now = sched_now(c->sched);
    timer_set(c->sched, &c->timer, at > now ? at : now);
}

void confirm_init(struct confirm *c)
{
    c->pause_us = PAUSE_MIN_US;
    buf_init(&c->request, REQUEST_MAX + OFFER_NAME);
    for (size_t i = 0; i < CONFIRM_ASKED; i++)
        c->asks[i].c = c;
    timer_init(&c->timer, on_timer);
    timer_after(c->sched, &c->timer, PAUSE_MIN_US);
}

void confirm_fini(struct confirm *c)
{
    if (!c->kad)
        return;
    timer_clear(c->sched, &c->timer);
    end(c);
    buf_fini(&c->request);
    *c = (struct confirm){0};
}
