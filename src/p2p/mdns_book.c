// SPDX-License-Identifier: MIT
/* Whom mDNS heard of, and until when it believes it; see mdns.h.
 *
 *   heard ──80 % of its time──> asked ──90 %──> asked ──95 %──> asked ──100 %──> lost      (RFC 6762 §5.2)
 *
 * What a stranger says is bounded in each direction: instances in a message, addresses of a peer, peers of one
 * source, peers at all, and how long any of it is believed. */
#include "p2p/mdns_impl.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/trace.h"

#include <stdlib.h>

#define RENEW_GAP_US US_PER_S
#define GOODBYE_US   US_PER_S /* RFC 6762 §10.1 */
static const unsigned renew_percent[] = {80, 90, 95};

/* --- addresses --- */

static bool same_ip(const struct net_addr *a, const struct net_addr *b)
{
    return a->kind == b->kind && memcmp(a->ip, b->ip, a->kind == NET_IP4 ? 4 : 16) == 0;
}

/* Is it on this LAN? Its own source address; a private one of the /16, or one of the /64, that we are in. Nobody
 * makes us dial the rest of the world, or what else we can reach, by a datagram. */
static bool is_near(const struct mdns_link *l, const struct net_addr *at,
                    const struct net_addr *from)
{
    if (net_addr_is_any(at) || at->port == 0)
        return false;
    if (net_addr_is_link_local6(at)) /* means nothing without its interface */
        return false;
    if (same_ip(at, from))
        return true;
    if (net_addr_is_loopback(at) || (at->kind == NET_IP4 && !net_addr_is_private(at)))
        return false;
    for (size_t i = 0; i < l->addr_count; i++)
        if (at->kind == l->addrs[i].kind &&
            memcmp(at->ip, l->addrs[i].ip, at->kind == NET_IP4 ? 2 : 8) == 0)
            return true;
    return false;
}

static bool has_addr(const struct mdns_peer *p, struct bytes addr)
{
    for (size_t i = 0; i < p->addr_count; i++)
        if (bytes_eq(multiaddr_bytes(&p->addrs[i]), addr))
            return true;
    return false;
}

/* "dnsaddr=/ip4/192.168.1.2/tcp/8000/p2p/12D3KooW…" -> an address of `p`; of the first peer named, where `p` is
 * none yet. */
static void take_string(struct mdns *m, const struct mdns_link *l, struct bytes text,
                        const struct net_addr *from, struct mdns_peer *p)
{
    struct multiaddr full;
    struct peer_id id;
    struct net_addr at;
    struct bytes key = BYTES_LIT("dnsaddr=");
    if (!bytes_starts(text, key) || multiaddr_parse(bytes_skip(text, key.n), &full) != 0 ||
        multiaddr_peer(multiaddr_bytes(&full), &id) != 0 || peer_id_eq(&id, &m->self))
        return;
    if (!peer_id_is_none(&p->id) && !peer_id_eq(&p->id, &id))
        return;
    if (multiaddr_to_net(multiaddr_bytes(&full), &at) != 0)
        return; /* QUIC and the like: nothing we could dial */
    if (!is_near(l, &at, from)) {
        m->counts.refused_addrs++;
        return;
    }
    struct bytes addr = multiaddr_without_peer(multiaddr_bytes(&full));
    p->id = id;
    if (p->addr_count < LIMIT_MDNS_ADDRS && !has_addr(p, addr))
        (void)multiaddr_copy(addr, &p->addrs[p->addr_count++]);
}

/* --- the book --- */

static bool same_addrs(const struct mdns_peer *a, const struct mdns_peer *b)
{
    for (size_t i = 0; i < a->addr_count; i++)
        if (!has_addr(b, multiaddr_bytes(&a->addrs[i])))
            return false;
    return a->addr_count == b->addr_count;
}

static void drop(struct mdns *m, struct mdns_peer *p)
{
    struct peer_id id = p->id;
    (void)map_take(&m->peers, peer_id_bytes(&id));
    m->port->lost(m->ctx, p);
    free(p);
}

static size_t told_by(const struct mdns *m, const struct net_addr *from)
{
    size_t n = 0;
    for (struct map_entry *e = map_first(&m->peers); e; e = map_next(&m->peers, e))
        n += same_ip(&((const struct mdns_peer *)e->value)->from, from);
    return n;
}

static bool make_room(struct mdns *m, const struct net_addr *from)
{
    if (told_by(m, from) >= LIMIT_MDNS_PEERS_SOURCE)
        return false;
    if (map_count(&m->peers) < LIMIT_MDNS_PEERS)
        return true;
    for (struct map_entry *e = map_first(&m->peers); e; e = map_next(&m->peers, e)) {
        struct mdns_peer *p = e->value;
        if (!p->is_met) {
            drop(m, p);
            return true;
        }
    }
    return false;
}

/* May `from` change what is believed of the peer? Of one that was met only the address it was told from. */
static bool may_change(const struct mdns_peer *p, const struct net_addr *from)
{
    return !p->is_met || same_ip(&p->from, from);
}

static void say_goodbye(struct mdns *m, const struct dns_name *instance,
                        const struct net_addr *from)
{
    uint64_t at = sched_now(m->sched) + GOODBYE_US;
    for (struct map_entry *e = map_first(&m->peers); e; e = map_next(&m->peers, e)) {
        struct mdns_peer *p = e->value;
        if (dns_name_eq(&p->name, instance) && p->expires_us > at && may_change(p, from))
            p->expires_us = at;
    }
}

static void add_addrs(struct mdns_peer *to, const struct mdns_peer *from)
{
    for (size_t i = 0; i < from->addr_count && to->addr_count < LIMIT_MDNS_ADDRS; i++)
        if (!has_addr(to, multiaddr_bytes(&from->addrs[i])))
            to->addrs[to->addr_count++] = from->addrs[i];
}

/* Its own source may change its mind. What another one says of the same peer (itself over the other IP version,
 * or a liar) unsays nothing, and does not push out the addresses of a peer that was met. */
static void merge(struct mdns_peer *to, const struct mdns_peer *heard)
{
    struct mdns_peer merged = to->is_met ? *to : *heard;
    if (same_ip(&to->from, &heard->from))
        merged = *heard;
    else
        add_addrs(&merged, to->is_met ? heard : to);
    memcpy(to->addrs, merged.addrs, sizeof to->addrs);
    to->addr_count = merged.addr_count;
}

static void take_peer(struct mdns *m, const struct mdns_peer *heard, uint32_t ttl_s)
{
    uint64_t now = sched_now(m->sched);
    struct mdns_peer *p = map_get(&m->peers, peer_id_bytes(&heard->id));
    bool is_news = !p;
    if (!p) {
        if (!make_room(m, &heard->from)) {
            m->counts.refused_peers++;
            return;
        }
        p = MEM_NEW(struct mdns_peer);
        *p = *heard;
        p->found_us = now;
        (void)map_put(&m->peers, peer_id_bytes(&p->id), p);
    } else {
        struct mdns_peer before = *p;
        merge(p, heard);
        is_news = !same_addrs(&before, p);
    }
    uint64_t until = now + ttl_s * US_PER_S;
    if (may_change(p, &heard->from)) {
        p->from = heard->from;
        p->name = heard->name;
        p->expires_us = until;
    } else if (until > p->expires_us) {
        p->expires_us = until;
    }
    p->heard_us = now;
    p->asked = 0;
    m->port->found(m->ctx, p, is_news);
}

/* --- a message --- */

struct instance {
    struct dns_name name;
    uint32_t ttl_s;
};

/* Instances of our service that the message names; another network's are of another service. */
static size_t read_instances(const struct mdns *m, struct dns_reader r, struct instance *out)
{
    struct dns_record rec;
    size_t n = 0;
    while (n < LIMIT_MDNS_NAMES && dns_read_record(&r, &rec) == 1)
        if (rec.type == DNS_TYPE_PTR && dns_name_eq(&rec.name, &m->service) &&
            dns_record_target(&r, &rec, &out[n].name) == 0 &&
            !dns_name_eq(&out[n].name, &m->instance))
            out[n++].ttl_s = rec.ttl_s;
    return n;
}

static void read_texts(struct mdns *m, const struct mdns_link *l, struct dns_reader r,
                       const struct instance *of, struct mdns_peer *p, uint32_t *ttl_s)
{
    struct dns_record rec;
    struct bytes text;
    while (dns_read_record(&r, &rec) == 1) {
        size_t at = 0;
        if (rec.type != DNS_TYPE_TXT || !dns_name_eq(&rec.name, &of->name))
            continue;
        if (rec.ttl_s < *ttl_s)
            *ttl_s = rec.ttl_s;
        while (dns_next_string(rec.data, &at, &text) == 1)
            take_string(m, l, text, &p->from, p);
    }
}

void mdns_book_heard(struct mdns *m, struct mdns_link *l, struct dns_reader *r,
                     const struct net_addr *from)
{
    struct instance found[LIMIT_MDNS_NAMES];
    size_t n = read_instances(m, *r, found);
    for (size_t i = 0; i < n; i++) {
        struct mdns_peer heard = {.from = *from, .name = found[i].name};
        uint32_t ttl_s = found[i].ttl_s < LIMIT_MDNS_TTL_S ? found[i].ttl_s : LIMIT_MDNS_TTL_S;
        read_texts(m, l, *r, &found[i], &heard, &ttl_s);
        if (ttl_s == 0)
            say_goodbye(m, &found[i].name, from);
        else if (heard.addr_count)
            take_peer(m, &heard, ttl_s);
    }
}

/* --- time --- */

/* When the peer is to be asked for, or dropped. */
static uint64_t due(const struct mdns_peer *p)
{
    if (p->asked >= ARRAY_LEN(renew_percent))
        return p->expires_us;
    uint64_t at = p->heard_us + (p->expires_us - p->heard_us) / 100 * renew_percent[p->asked];
    return at < p->expires_us ? at : p->expires_us;
}

uint64_t mdns_book_deadline(const struct mdns *m)
{
    uint64_t at = SCHED_NEVER;
    for (struct map_entry *e = map_first(&m->peers); e; e = map_next(&m->peers, e)) {
        uint64_t d = due(e->value);
        at = d < at ? d : at;
    }
    return at;
}

bool mdns_book_tick(struct mdns *m)
{
    uint64_t now = sched_now(m->sched);
    bool should_ask = false;
    for (struct map_entry *e = map_first(&m->peers), *next; e; e = next) {
        struct mdns_peer *p = e->value;
        next = map_next(&m->peers, e);
        if (now >= p->expires_us) {
            drop(m, p);
        } else if (now >= due(p)) {
            p->asked++;
            should_ask = true;
        }
    }
    if (!should_ask || now < m->renewed_us + RENEW_GAP_US)
        return false;
    m->renewed_us = now;
    return true;
}

void mdns_met(struct mdns *m, const struct peer_id *peer)
{
    struct mdns_peer *p = map_get(&m->peers, peer_id_bytes(peer));
    if (p)
        p->is_met = true;
}

const struct mdns_peer *mdns_peer(const struct mdns *m, const struct peer_id *peer)
{
    return map_get(&m->peers, peer_id_bytes(peer));
}

const struct mdns_peer *mdns_next(const struct mdns *m, struct map_entry **at)
{
    *at = *at ? map_next(&m->peers, *at) : map_first(&m->peers);
    return *at ? (*at)->value : NULL;
}
