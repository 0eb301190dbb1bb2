// SPDX-License-Identifier: MIT
/* Links, questions and answers, and the book of who is there; see mdns.h. */
#include "p2p/mdns.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/trace.h"
#include "p2p/mdns_impl.h"

#include <stdio.h>
#include <stdlib.h>

#define QUERY_FIRST_US (500 * US_PER_MS)
#define QUERY_MAX_US   (300 * US_PER_S)
#define ANSWER_GAP_US  US_PER_S /* a record is not sent more often on a link: RFC 6762 §6 */
#define ANSWER_MIN_US  (20 * US_PER_MS) /* many answer at once: not all in the same moment */
#define ANSWER_SPAN_US (100 * US_PER_MS)
enum { ANNOUNCEMENTS = 2, NAME_MIN = 32, NAME_MAX = 63 };

/* --- sending --- */

static void send_query(struct mdns *m, struct mdns_link *l)
{
    uint8_t packet[MDNS_PACKET_OUT];
    struct dns_writer w;
    uint64_t now = sched_now(m->sched);
    l->query_id = (uint16_t)(1 + rng_below(m->rng, UINT16_MAX));
    dns_write(&w, packet, sizeof packet, l->query_id, 0);
    dns_put_question(&w, &m->service, DNS_TYPE_PTR);
    /* Whom we know for more than half of its time need not answer (RFC 6762 §7.1). */
    for (struct map_entry *e = map_first(&m->peers); e && !w.is_full; e = map_next(&m->peers, e)) {
        const struct mdns_peer *p = e->value;
        uint64_t left = p->expires_us > now ? p->expires_us - now : 0;
        if (left > (p->expires_us - p->heard_us) / 2)
            dns_put_ptr(&w, DNS_ANSWER, &m->service, (uint32_t)(left / US_PER_S), &p->name);
    }
    m->counts.queries++;
    m->port->send(m->ctx, l->key, dns_written(&w));
}

/* Nobody of libp2p needs it to connect; but go's resolver drops a service without an address. */
static void put_host(struct mdns *m, struct dns_writer *w, const struct mdns_link *l,
                     struct bytes addr, uint32_t ttl_s)
{
    struct net_addr at;
    if (multiaddr_to_net(addr, &at) != 0)
        return;
    dns_put_srv(w, DNS_ADDITIONAL, &m->instance, ttl_s, at.port, &m->host);
    for (size_t i = 0; i < l->addr_count; i++)
        if (!net_addr_is_link_local6(&l->addrs[i]))
            dns_put_addr(w, DNS_ADDITIONAL, &m->host, ttl_s, &l->addrs[i]);
}

/* What we are, with a time to live; 0 is the goodbye. */
static void send_answer(struct mdns *m, struct mdns_link *l, uint32_t ttl_s)
{
    uint8_t packet[MDNS_PACKET_OUT];
    struct dns_writer w;
    struct multiaddr addrs[LIMIT_MDNS_ADDRS], full;
    char text[8 + 4 * LIMIT_MULTIADDR];
    size_t n = m->port->addrs(m->ctx, l->key, addrs, LIMIT_MDNS_ADDRS);
    if (n == 0)
        return; /* nothing that could be dialled from there */
    dns_write(&w, packet, sizeof packet, l->answer_id, DNS_FLAG_RESPONSE | DNS_FLAG_AUTHORITATIVE);
    dns_put_ptr(&w, DNS_ANSWER, &m->service, ttl_s, &m->instance);
    for (size_t i = 0; i < n; i++) {
        if (multiaddr_with_peer(multiaddr_bytes(&addrs[i]), &m->self, &full) != 0)
            continue;
        memcpy(text, "dnsaddr=", 8);
        multiaddr_text(multiaddr_bytes(&full), text + 8, sizeof text - 8);
        if (strlen(text) <= 255)
            dns_put_txt(&w, DNS_ADDITIONAL, &m->instance, ttl_s, bytes_str(text));
    }
    put_host(m, &w, l, multiaddr_bytes(&addrs[0]), ttl_s);
    m->counts.answers++;
    m->port->send(m->ctx, l->key, dns_written(&w));
    l->answer_us = SCHED_NEVER;
    l->answered_us = sched_now(m->sched);
    l->answer_id = 0;
}

/* The meta-query's answer (RFC 6763 §9). */
static void send_service(struct mdns *m, struct mdns_link *l, uint16_t id)
{
    uint8_t packet[MDNS_PACKET_OUT];
    struct dns_writer w;
    struct dns_name all;
    (void)dns_name_parse(bytes_str(MDNS_SERVICES), &all);
    dns_write(&w, packet, sizeof packet, id, DNS_FLAG_RESPONSE | DNS_FLAG_AUTHORITATIVE);
    dns_put_ptr(&w, DNS_ANSWER, &all, MDNS_TTL_S, &m->service);
    m->port->send(m->ctx, l->key, dns_written(&w));
    l->answered_us = sched_now(m->sched);
}

/* --- time --- */

static void arm(struct mdns *m)
{
    uint64_t at = mdns_book_deadline(m);
    for (size_t i = 0; i < LIMIT_MDNS_LINKS; i++) {
        const struct mdns_link *l = &m->links[i];
        if (!l->is_up)
            continue;
        at = l->query_us < at ? l->query_us : at;
        at = l->answer_us < at ? l->answer_us : at;
    }
    timer_set(m->sched, &m->timer, at);
}

static void ask_everywhere(struct mdns *m)
{
    for (size_t i = 0; i < LIMIT_MDNS_LINKS; i++)
        if (m->links[i].is_up)
            send_query(m, &m->links[i]);
}

static void answer_in(struct mdns *m, struct mdns_link *l, uint64_t delay_us)
{
    uint64_t at = sched_now(m->sched) + delay_us;
    if (l->answered_us && at < l->answered_us + ANSWER_GAP_US)
        at = l->answered_us + ANSWER_GAP_US;
    if (at < l->answer_us)
        l->answer_us = at;
}

static void link_tick(struct mdns *m, struct mdns_link *l)
{
    uint64_t now = sched_now(m->sched);
    if (now >= l->answer_us) {
        l->answer_us = SCHED_NEVER;
        send_answer(m, l, MDNS_TTL_S);
        if (l->announcements && --l->announcements)
            answer_in(m, l, ANSWER_GAP_US);
    }
    if (now >= l->query_us) {
        send_query(m, l);
        l->query_us = now + rng_jitter(m->rng, l->interval_us, 0.1);
        l->interval_us = l->interval_us * 2 < QUERY_MAX_US ? l->interval_us * 2 : QUERY_MAX_US;
    }
}

static void on_timer(struct timer *t)
{
    struct mdns *m = CONTAINER_OF(t, struct mdns, timer);
    for (size_t i = 0; i < LIMIT_MDNS_LINKS; i++)
        if (m->links[i].is_up)
            link_tick(m, &m->links[i]);
    if (mdns_book_tick(m))
        ask_everywhere(m);
    arm(m);
}

/* --- links --- */

static struct mdns_link *link_of(struct mdns *m, uint32_t key)
{
    for (size_t i = 0; i < LIMIT_MDNS_LINKS; i++)
        if (m->links[i].is_up && m->links[i].key == key)
            return &m->links[i];
    return NULL;
}

static void announce(struct mdns *m, struct mdns_link *l)
{
    l->announcements = ANNOUNCEMENTS;
    answer_in(m, l, 0);
}

int mdns_link_up(struct mdns *m, uint32_t key, const struct net_addr *addrs, size_t addr_count)
{
    struct mdns_link *l = link_of(m, key);
    for (size_t i = 0; i < LIMIT_MDNS_LINKS && !l; i++)
        if (!m->links[i].is_up) {
            l = &m->links[i];
            *l = (struct mdns_link){.key = key, .is_up = true, .answer_us = SCHED_NEVER};
        }
    if (!l)
        return E_LIMIT;
    l->addr_count = addr_count < LIMIT_MDNS_ADDRS ? addr_count : LIMIT_MDNS_ADDRS;
    if (l->addr_count)
        memcpy(l->addrs, addrs, l->addr_count * sizeof *addrs);
    l->interval_us = QUERY_FIRST_US;
    l->query_us = sched_now(m->sched);
    announce(m, l);
    arm(m);
    return 0;
}

void mdns_link_down(struct mdns *m, uint32_t key)
{
    struct mdns_link *l = link_of(m, key);
    if (l)
        l->is_up = false;
    arm(m);
}

void mdns_changed(struct mdns *m)
{
    for (size_t i = 0; i < LIMIT_MDNS_LINKS; i++)
        if (m->links[i].is_up)
            announce(m, &m->links[i]);
    arm(m);
}

/* --- questions of others --- */

/* Does the question hold our own name as a known answer, with half of its time left at least? */
static bool is_known_answer(const struct mdns *m, struct dns_reader *r)
{
    struct dns_record rec;
    struct dns_name target;
    while (dns_read_record(r, &rec) == 1)
        if (rec.section == DNS_ANSWER && rec.type == DNS_TYPE_PTR &&
            dns_name_eq(&rec.name, &m->service) && dns_record_target(r, &rec, &target) == 0 &&
            dns_name_eq(&target, &m->instance) && rec.ttl_s >= MDNS_TTL_S / 2)
            return true;
    return false;
}

static bool is_of(const struct dns_question *q, uint16_t type)
{
    return (q->class == DNS_CLASS_IN || q->class == DNS_CLASS_ANY) &&
           (q->type == type || q->type == DNS_TYPE_ANY);
}

static bool is_own_query(const struct mdns *m, const struct mdns_link *l, uint16_t id,
                         const struct net_addr *from)
{
    bool is_ours = false;
    for (size_t i = 0; i < l->addr_count; i++)
        is_ours |= l->addrs[i].kind == from->kind && memcmp(l->addrs[i].ip, from->ip, 16) == 0;
    return is_ours && id != 0 && id == l->query_id;
}

static void heard_query(struct mdns *m, struct mdns_link *l, struct dns_reader *r,
                        const struct net_addr *from)
{
    struct dns_question q;
    struct dns_name all;
    bool asks_us = false, asks_services = false;
    (void)dns_name_parse(bytes_str(MDNS_SERVICES), &all);
    if (is_own_query(m, l, r->id, from))
        return;
    while (dns_read_question(r, &q) == 1) {
        asks_us |= is_of(&q, DNS_TYPE_PTR) && dns_name_eq(&q.name, &m->service);
        asks_us |= is_of(&q, DNS_TYPE_TXT) && dns_name_eq(&q.name, &m->instance);
        asks_services |= is_of(&q, DNS_TYPE_PTR) && dns_name_eq(&q.name, &all);
    }
    if (asks_services && sched_now(m->sched) >= l->answered_us + ANSWER_GAP_US)
        send_service(m, l, r->id);
    if (asks_us && !is_known_answer(m, r)) {
        l->answer_id = r->id;
        answer_in(m, l, ANSWER_MIN_US + rng_below(m->rng, ANSWER_SPAN_US));
    }
}

/* Our sockets give us only what was sent to the group, out of this link (loop.h): that is the LAN's (RFC 6762
 * §11). Should a router pass it on all the same: not from an address of the internet, unless it is in the /24 or
 * /64 that we are in. */
static bool is_from_here(const struct mdns_link *l, const struct net_addr *from)
{
    if (net_addr_is_loopback(from) || net_addr_is_private(from))
        return true;
    for (size_t i = 0; i < l->addr_count; i++)
        if (l->addrs[i].kind == from->kind &&
            memcmp(l->addrs[i].ip, from->ip, from->kind == NET_IP4 ? 3 : 8) == 0)
            return true;
    return false;
}

void mdns_heard(struct mdns *m, uint32_t key, const struct net_addr *from, struct bytes datagram)
{
    struct mdns_link *l = link_of(m, key);
    struct dns_reader r;
    if (!l)
        return;
    if (!is_from_here(l, from)) {
        m->counts.refused_far++;
        return;
    }
    if (!rates_take(&m->rates, bytes_of(from->ip, sizeof from->ip), sched_now(m->sched))) {
        m->counts.refused_rate++;
        return;
    }
    m->counts.packets++;
    if (dns_read(&r, datagram) != 0) {
        m->counts.malformed++;
        return;
    }
    if (r.flags & DNS_FLAG_RESPONSE)
        mdns_book_heard(m, l, &r, from);
    else
        heard_query(m, l, &r, from);
    arm(m);
}

/* --- life --- */

static void make_names(struct mdns *m, const char *network)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char service[64], instance[NAME_MAX + 1 + sizeof service];
    size_t n = NAME_MIN + rng_below(m->rng, NAME_MAX - NAME_MIN + 1);
    snprintf(service, sizeof service, "_p2p%s%.32s._udp.local", network ? "-" : "", network ?: "");
    for (size_t i = 0; i < n; i++)
        instance[i] = letters[rng_below(m->rng, sizeof letters - 1)];
    snprintf(instance + n, sizeof instance - n, ".%s", service);
    (void)dns_name_parse(bytes_str(service), &m->service);
    (void)dns_name_parse(bytes_str(instance), &m->instance);
    snprintf(instance + n, sizeof instance - n, ".local");
    (void)dns_name_parse(bytes_str(instance), &m->host);
}

void mdns_init(struct mdns *m, const struct peer_id *self, const char *network, struct sched *sched,
               struct rng *rng, const struct mdns_port *port, void *ctx)
{
    *m = (struct mdns){.self = *self, .sched = sched, .rng = rng, .port = port, .ctx = ctx};
    make_names(m, network);
    map_init(&m->peers, rng_u64(rng));
    rates_init(&m->rates, LIMIT_MDNS_RATE, 2 * LIMIT_MDNS_RATE, LIMIT_MDNS_RATED, rng_u64(rng));
    timer_init(&m->timer, on_timer);
}

void mdns_fini(struct mdns *m)
{
    for (size_t i = 0; i < LIMIT_MDNS_LINKS; i++)
        if (m->links[i].is_up)
            send_answer(m, &m->links[i], 0);
    timer_clear(m->sched, &m->timer);
    for (struct map_entry *e = map_first(&m->peers); e; e = map_next(&m->peers, e))
        free(e->value);
    map_fini(&m->peers);
    rates_fini(&m->rates);
}
