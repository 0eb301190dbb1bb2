// SPDX-License-Identifier: MIT
/* The paths between virtual machines: how long bytes take, or that they do not arrive; and who hears whom on
 * a LAN.
 *
 *   arrival = max(now, wire free) + bytes / bandwidth + delay + jitter
 *
 * A path that was not set is the default: 1 ms, no limit. A machine reaches itself in 20 us. */
#include "base/mem.h"
#include "loop/virtual.h"

enum { DEFAULT_DELAY_US = 1000, LOOPBACK_US = 20 };

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
    bool is_healed = p->link.is_cut && !link->is_cut;
    p->link = *link;
    if (is_healed) {
        heal(a, b);
        heal(b, a);
    }
}

uint64_t virtual_arrival(struct virtual_machine *from, struct virtual_machine *to, size_t n)
{
    struct loop_virtual *w = from->world;
    uint64_t now = w->net.now_us;
    if (from == to)
        return now + LOOPBACK_US;
    struct virtual_path *p = virtual_path(w, from, to);
    if (to->death == DEAD_SILENT || from->death == DEAD_SILENT)
        return SCHED_NEVER;
    if (!p)
        return now + DEFAULT_DELAY_US;
    if (p->link.is_cut)
        return SCHED_NEVER;
    uint64_t *busy = &p->busy_until_us[from->index > to->index];
    uint64_t at = *busy > now ? *busy : now;
    if (p->link.bytes_per_s)
        *busy = at += n * US_PER_S / p->link.bytes_per_s;
    at += p->link.delay_us;
    return p->link.jitter_us ? at + rng_below(&w->rng, p->link.jitter_us + 1) : at;
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
