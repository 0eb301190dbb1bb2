// SPDX-License-Identifier: MIT
/* The catalogue of offers; see catalogue.h. */
#include "offer/catalogue.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static struct bytes id_bytes(const struct peer_id *id)
{
    return bytes_of(id->b, id->len);
}

void catalogue_init(struct catalogue *c, uint64_t seed)
{
    *c = (struct catalogue){0};
    map_init(&c->peers, seed);
    map_init(&c->gone, seed);
    list_init(&c->by_use);
}

/* --- what was withdrawn --- */

struct gone_key {
    uint8_t b[PEER_ID_MAX + OFFER_ID];
};

static struct bytes gone_key_of(const struct peer_id *peer, const char *offer_id,
                                struct gone_key *k)
{
    size_t n = strlen(offer_id);
    memcpy(k->b, peer->b, peer->len);
    memcpy(k->b + peer->len, offer_id, n);
    return bytes_of(k->b, peer->len + n);
}

/* The oldest makes room: its offer, signed, is over by then most likely. */
static void remember_gone(struct catalogue *c, const struct offer *o)
{
    struct gone_key k;
    struct bytes key = gone_key_of(&o->peer, o->id, &k);
    free(map_take(&c->gone, key));
    if (map_count(&c->gone) >= LIMIT_CATALOGUE_GONE)
        free(map_take(&c->gone, map_key(map_first(&c->gone))));
    uint64_t *seq = MEM_NEW(uint64_t);
    *seq = o->seq;
    (void)map_put(&c->gone, key, seq);
}

/* Is this the one that was withdrawn, or an older one? A newer one is good, and what was is forgotten. */
static bool is_gone(struct catalogue *c, const struct offer *o)
{
    struct gone_key k;
    struct bytes key = gone_key_of(&o->peer, o->id, &k);
    const uint64_t *seq = map_get(&c->gone, key);
    if (seq && o->seq <= *seq)
        return true;
    free(map_take(&c->gone, key));
    return false;
}

static void drop(struct catalogue *c, struct catalogue_peer *p)
{
    LIST_FOREACH_SAFE (&p->offers, it)
        free(LIST_ENTRY(it, struct catalogue_offer, link));
    (void)map_take(&c->peers, id_bytes(&p->id));
    list_remove(&p->link);
    free(p);
    c->changes++;
}

void catalogue_fini(struct catalogue *c)
{
    for (struct map_entry *e; (e = map_first(&c->peers));)
        drop(c, e->value);
    map_fini(&c->peers);
    for (struct map_entry *e = map_first(&c->gone); e; e = map_next(&c->gone, e))
        free(e->value);
    map_fini(&c->gone);
}

static void evict_one(struct catalogue *c)
{
    LIST_FOREACH (&c->by_use, it) {
        struct catalogue_peer *p = LIST_ENTRY(it, struct catalogue_peer, link);
        if (!p->is_own) {
            drop(c, p);
            return;
        }
    }
}

static struct catalogue_peer *peer_for(struct catalogue *c, const struct peer_id *id, bool is_own)
{
    struct catalogue_peer *p = map_get(&c->peers, id_bytes(id));
    if (p)
        return p;
    if (map_count(&c->peers) >= LIMIT_CATALOGUE_PEERS)
        evict_one(c);
    p = MEM_NEW(struct catalogue_peer);
    p->id = *id;
    p->is_own = is_own;
    p->bar = is_own || !c->bar ? CATALOGUE_USED : c->bar(c->ctx, id);
    peer_id_text(id, p->text, sizeof p->text);
    list_init(&p->offers);
    list_append(&c->by_use, &p->link);
    (void)map_put(&c->peers, id_bytes(id), p);
    return p;
}

static struct catalogue_offer *find(const struct catalogue_peer *p, const char *offer_id)
{
    LIST_FOREACH (&p->offers, it) {
        struct catalogue_offer *o = LIST_ENTRY(it, struct catalogue_offer, link);
        if (strcmp(o->offer.id, offer_id) == 0)
            return o;
    }
    return NULL;
}

int catalogue_put(struct catalogue *c, const struct offer *o, bool is_own)
{
    if (!is_own && is_gone(c, o))
        return E_DUPLICATE;
    struct catalogue_peer *p = peer_for(c, &o->peer, is_own);
    struct catalogue_offer *have = find(p, o->id);
    if (have && o->seq <= have->offer.seq)
        return E_DUPLICATE;
    if (!have) {
        if (!is_own && p->offer_count >= LIMIT_OFFERS_PER_PEER)
            return E_LIMIT;
        have = MEM_NEW(struct catalogue_offer);
        have->peer = p;
        list_append(&p->offers, &have->link);
        p->offer_count++;
    }
    have->offer = *o;
    c->changes++;
    return 0;
}

static void remove_offer(struct catalogue *c, struct catalogue_offer *o)
{
    struct catalogue_peer *p = o->peer;
    list_remove(&o->link);
    free(o);
    c->changes++;
    if (--p->offer_count == 0)
        drop(c, p);
}

int catalogue_set_private(struct catalogue *c, const struct peer_id *peer, const char *offer_id,
                          bool is_private)
{
    struct catalogue_peer *p = map_get(&c->peers, id_bytes(peer));
    struct catalogue_offer *o = p ? find(p, offer_id) : NULL;
    if (!o)
        return E_NOT_FOUND;
    o->is_private = is_private;
    return 0;
}

int catalogue_withdraw(struct catalogue *c, const struct peer_id *peer, const char *offer_id)
{
    struct catalogue_peer *p = map_get(&c->peers, id_bytes(peer));
    struct catalogue_offer *o = p ? find(p, offer_id) : NULL;
    if (!o)
        return E_NOT_FOUND;
    if (!p->is_own)
        remember_gone(c, &o->offer);
    remove_offer(c, o);
    return 0;
}

void catalogue_drop_peer(struct catalogue *c, const struct peer_id *peer)
{
    struct catalogue_peer *p = map_get(&c->peers, id_bytes(peer));
    if (p)
        drop(c, p);
}

uint64_t catalogue_expire(struct catalogue *c, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;
    if (c->expiry_changes == c->changes && now_ms < c->expiry_ms)
        return c->expiry_ms;
    for (const struct catalogue_offer *o = catalogue_next(c, NULL), *after; o; o = after) {
        after = catalogue_next(c, o);
        if (o->offer.expires_ms <= now_ms)
            remove_offer(c, (struct catalogue_offer *)o);
        else if (o->offer.expires_ms < next)
            next = o->offer.expires_ms;
    }
    c->expiry_ms = next;
    c->expiry_changes = c->changes;
    return next;
}

void catalogue_touch(struct catalogue *c, const struct peer_id *peer)
{
    struct catalogue_peer *p = map_get(&c->peers, id_bytes(peer));
    if (!p)
        return;
    list_remove(&p->link);
    list_append(&c->by_use, &p->link);
}

void catalogue_review(struct catalogue *c, const struct peer_id *peer)
{
    struct catalogue_peer *p = map_get(&c->peers, id_bytes(peer));
    if (!p || p->is_own || !c->bar)
        return;
    enum catalogue_bar bar = c->bar(c->ctx, peer);
    c->changes += bar != p->bar;
    p->bar = bar;
}

void catalogue_set_limited(struct catalogue *c, const struct peer_id *peer, bool is_limited)
{
    struct catalogue_peer *p = map_get(&c->peers, peer_id_bytes(peer));
    if (p)
        p->is_limited = is_limited;
}

size_t catalogue_peer_count(const struct catalogue *c)
{
    return map_count(&c->peers);
}

/* The first offer of the first peer from `e` on, of own peers only or of others only. */
static const struct catalogue_offer *first_from(const struct catalogue *c, struct map_entry *e,
                                                bool own)
{
    for (; e; e = map_next(&c->peers, e)) {
        const struct catalogue_peer *p = e->value;
        if (p->is_own == own && !list_is_empty(&p->offers))
            return LIST_ENTRY(p->offers.next, struct catalogue_offer, link);
    }
    return NULL;
}

static struct map_entry *entry_of(const struct catalogue *c, const struct catalogue_peer *p)
{
    struct map_entry *e = map_first(&c->peers);
    while (e && e->value != p)
        e = map_next(&c->peers, e);
    return e;
}

const struct catalogue_offer *catalogue_next(const struct catalogue *c,
                                             const struct catalogue_offer *after)
{
    const struct catalogue_offer *o;
    bool own = true;
    if (after) {
        const struct catalogue_peer *p = after->peer;
        if (after->link.next != &p->offers)
            return LIST_ENTRY(after->link.next, struct catalogue_offer, link);
        own = p->is_own;
        o = first_from(c, map_next(&c->peers, entry_of(c, p)), own);
    } else {
        o = first_from(c, map_first(&c->peers), own);
    }
    return o || !own ? o : first_from(c, map_first(&c->peers), false);
}

bool catalogue_is_any(struct bytes name)
{
    return name.n == 0 || bytes_eq_str(name, "auto") || bytes_eq_str(name, "llamanet");
}

static bool is_hex_of(struct bytes hex, const uint8_t digest[32])
{
    static const char digits[] = "0123456789abcdef";
    if (hex.n < 8 || hex.n > 64)
        return false;
    for (size_t i = 0; i < hex.n; i++) {
        uint8_t nibble = i % 2 ? digest[i / 2] & 15 : digest[i / 2] >> 4;
        if ((hex.p[i] | 0x20) != digits[nibble] && hex.p[i] != digits[nibble])
            return false;
    }
    return true;
}

static bool has_name(const struct offer *o, struct bytes name)
{
    if (bytes_eq_str(name, o->model))
        return true;
    for (int i = 0; i < OFFER_ALIASES && o->alias[i][0]; i++)
        if (bytes_eq_str(name, o->alias[i]))
            return true;
    return false;
}

bool catalogue_is_named(const struct offer *o, struct bytes name)
{
    if (has_name(o, name))
        return true;
    static const char mark[] = "@sha256:";
    for (size_t i = 0; i + sizeof mark - 1 <= name.n; i++)
        if (memcmp(name.p + i, mark, sizeof mark - 1) == 0) {
            if (!o->has_digest || !is_hex_of(bytes_skip(name, i + sizeof mark - 1), o->digest))
                return false;
            name = bytes_first(name, i);
            break;
        }
    if (has_name(o, name))
        return true;
    for (size_t i = name.n; i-- > 1;)
        if (name.p[i] == ':')
            return bytes_eq_nocase(bytes_skip(name, i + 1), bytes_str(o->quant)) &&
                   has_name(o, bytes_first(name, i));
    return false;
}
