// SPDX-License-Identifier: MIT
/* The paths between virtual machines: how long bytes take, or that they do not arrive; and who hears whom on
 * a LAN.
 *
 *   arrival = max(now, wire free) + bytes / bandwidth + delay + jitter (+ what was lost, again)
 *
 * A path that was not set follows the model, whose delay is a function of the seed and the two
 * addresses; without a model it is 1 ms, no limit. A machine reaches itself in 20 us. */
#include "base/mem.h"
#include "loop/virtual.h"

#include <math.h>

enum { DEFAULT_DELAY_US = 1000, LOOPBACK_US = 20, HEADERS = 60, RETRANSMIT_US = 200000 };

/* --- paths that were set --- */

static struct bytes path_key(uint64_t pair[static 2], const struct virtual_machine *a,
                             const struct virtual_machine *b)
{
    pair[0] = a->index < b->index ? a->index : b->index;
    pair[1] = a->index < b->index ? b->index : a->index;
    return bytes_of(pair, 2 * sizeof *pair);
}

struct virtual_path *virtual_path(struct loop_virtual *w, const struct virtual_machine *a,
                                  const struct virtual_machine *b)
{
    uint64_t pair[2];
    return map_get(&w->links, path_key(pair, a, b));
}

static void heal(struct virtual_machine *from, struct virtual_machine *to)
{
    LIST_FOREACH (&to->streams, it) {
        struct virtual_stream *s = LIST_ENTRY(it, struct virtual_stream, of_machine);
        if (s->far == from)
            virtual_stream_healed(s, from);
    }
}

void loop_virtual_set_model(struct loop_virtual *w, const struct loop_virtual_model *model)
{
    w->model = *model;
    w->has_model = true;
}

void loop_virtual_set_side(struct loop_virtual *w, struct loop *l, unsigned side)
{
    struct virtual_machine *m = virtual_of(l);
    m->side = side;
    LIST_FOREACH (&m->streams, it) {
        struct virtual_stream *s = LIST_ENTRY(it, struct virtual_stream, of_machine);
        if (s->peer && s->peer->m->side == side) {
            virtual_stream_healed(s, s->peer->m);
            virtual_stream_healed(s->peer, m);
        }
    }
}

void loop_virtual_set_link(struct loop_virtual *w, struct loop *la, struct loop *lb,
                           const struct loop_virtual_link *link)
{
    struct virtual_machine *a = virtual_of(la), *b = virtual_of(lb);
    struct virtual_path *p = virtual_path(w, a, b);
    uint64_t pair[2];
    if (!p) {
        p = MEM_NEW(struct virtual_path);
        map_put(&w->links, path_key(pair, a, b), p);
    }
    bool is_healed = p->link.is_cut && !link->is_cut && a->side == b->side;
    p->link = *link;
    if (is_healed) {
        heal(a, b);
        heal(b, a);
    }
}

/* --- the model --- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    __uint128_t m = (__uint128_t)(h ^ v) * UINT64_C(0xa0761d6478bd642f);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t place_of(const struct virtual_machine *m)
{
    uint64_t v[2];
    memcpy(v, m->ip.ip, sizeof v);
    return mix(mix(UINT64_C(0x9e3779b97f4a7c15), v[0]), v[1]);
}

static double unit(uint64_t h)
{
    return ((double)(h >> 11) + 0.5) * 0x1p-53;
}

/* Half of exp(normal), the normal from two uniform numbers (Box and Muller): the same for both
 * directions, and after a machine came back with its address. */
static uint64_t model_delay(const struct loop_virtual *w, const struct virtual_machine *a,
                            const struct virtual_machine *b)
{
    uint64_t pair = mix(w->seed, place_of(a) ^ place_of(b));
    double radius = sqrt(-2 * log(unit(mix(pair, 1))));
    double normal = radius * cos(2 * M_PI * unit(mix(pair, 2)));
    return (uint64_t)((double)w->model.rtt_us / 2 * exp(w->model.sigma * normal));
}

static uint64_t through(uint64_t *busy, uint64_t now, size_t n, uint64_t bytes_per_s)
{
    uint64_t at = *busy > now ? *busy : now;
    if (bytes_per_s)
        *busy = at += (n + HEADERS) * US_PER_S / bytes_per_s;
    return at;
}

static uint64_t model_arrival(struct virtual_machine *from, struct virtual_machine *to, size_t n,
                              uint64_t *delay_us)
{
    const struct loop_virtual_model *k = &from->world->model;
    uint64_t at = through(&from->busy_until_us[0], from->world->net.now_us, n, k->bytes_per_s);
    if (!*delay_us)
        *delay_us = model_delay(from->world, from, to);
    at += *delay_us;
    if (k->jitter_us)
        at += rng_below(&from->world->rng, k->jitter_us + 1);
    return through(&to->busy_until_us[1], at, n, k->bytes_per_s);
}

/* --- when things arrive --- */

static bool is_apart(const struct virtual_machine *from, const struct virtual_machine *to,
                     const struct virtual_path *p)
{
    return to->death == DEAD_SILENT || from->death == DEAD_SILENT || from->side != to->side ||
           (p && p->link.is_cut);
}

static uint64_t path_arrival(struct virtual_machine *from, struct virtual_machine *to,
                             struct virtual_path *p, size_t n, uint64_t *delay_us)
{
    struct loop_virtual *w = from->world;
    uint64_t now = w->net.now_us;
    if (!p)
        return w->has_model ? model_arrival(from, to, n, delay_us) : now + DEFAULT_DELAY_US;
    uint64_t *busy = &p->busy_until_us[from->index > to->index];
    uint64_t at = *busy > now ? *busy : now;
    if (p->link.bytes_per_s)
        *busy = at += n * US_PER_S / p->link.bytes_per_s;
    at += p->link.delay_us;
    return p->link.jitter_us ? at + rng_below(&w->rng, p->link.jitter_us + 1) : at;
}

static double loss_of(const struct loop_virtual *w, const struct virtual_path *p)
{
    return p ? p->link.loss : w->has_model ? w->model.loss : 0;
}

static uint64_t arrival(struct virtual_machine *from, struct virtual_machine *to, size_t n,
                        uint64_t *delay_us)
{
    struct loop_virtual *w = from->world;
    if (from == to)
        return w->net.now_us + LOOPBACK_US;
    struct virtual_path *p = virtual_path(w, from, to);
    return is_apart(from, to, p) ? SCHED_NEVER : path_arrival(from, to, p, n, delay_us);
}

uint64_t virtual_arrival(struct virtual_machine *from, struct virtual_machine *to, size_t n)
{
    uint64_t delay_us = 0;
    return arrival(from, to, n, &delay_us);
}

bool virtual_is_lost(struct virtual_machine *from, struct virtual_machine *to)
{
    struct loop_virtual *w = from->world;
    double loss = from == to ? 0 : loss_of(w, virtual_path(w, from, to));
    bool is_lost = loss > 0 && rng_unit(&w->rng) < loss;
    w->counts.lost += is_lost;
    return is_lost;
}

uint64_t virtual_stream_arrival(struct virtual_machine *from, struct virtual_machine *to, size_t n,
                                uint64_t *delay_us)
{
    uint64_t at = arrival(from, to, n, delay_us);
    for (uint64_t again = RETRANSMIT_US; at != SCHED_NEVER && virtual_is_lost(from, to); again *= 2)
        at += again;
    return at;
}

void virtual_count(const struct virtual_machine *from, const struct virtual_machine *to,
                   unsigned kind, size_t n, uint64_t at_us)
{
    struct loop_virtual_counts *c = &from->world->counts;
    c->packets++;
    c->bytes += n;
    c->hash =
        mix(mix(c->hash, at_us ^ (uint64_t)kind << 60), from->index << 40 ^ to->index << 20 ^ n);
}

struct virtual_machine *virtual_find(struct virtual_machine *from, const struct net_addr *to)
{
    if (net_addr_is_loopback(to) || net_addr_is_any(to))
        return from;
    return map_get(&from->world->by_ip, bytes_of(to->ip, to->kind == NET_IP4 ? 4 : 16));
}

/* --- the LAN --- */

void loop_virtual_set_lan(struct loop_virtual *w, struct loop *l, uint32_t lan)
{
    virtual_of(l)->lan = lan;
}

size_t virtual_interface_list(struct loop *l, struct loop_interface *out, size_t max)
{
    const struct virtual_machine *m = virtual_of(l);
    if (max == 0)
        return 0;
    *out = (struct loop_interface){
        .name = "eth0", .index = 1, .addr = m->ip, .is_up = m->lan != 0, .is_multicast = true};
    return 1;
}
