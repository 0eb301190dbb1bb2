// SPDX-License-Identifier: MIT
/* See sent.h. */
#include "p2p/sent.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/sched.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_US (15 * 60 * US_PER_S)
enum { KEY_IP = 1 + 16, KEY = KEY_IP + 2 };

struct place {
    uint64_t at_us;
};

/* An IP, whatever the ports. */
struct machine {
    uint64_t at_us;
    uint32_t ports; /* places of it in the book */
};

static struct bytes key_of(const struct net_addr *a, uint8_t out[static KEY])
{
    memset(out, 0, KEY);
    out[0] = (uint8_t)a->kind;
    memcpy(out + 1, a->ip, a->kind == NET_IP4 ? 4 : 16);
    out[KEY_IP] = (uint8_t)(a->port >> 8);
    out[KEY_IP + 1] = (uint8_t)a->port;
    return bytes_of(out, KEY);
}

void sent_init(struct sent *s, uint64_t seed)
{
    *s = (struct sent){0};
    map_init(&s->places, seed);
    map_init(&s->machines, seed);
}

void sent_fini(struct sent *s)
{
    for (struct map_entry *e = map_first(&s->places); e; e = map_next(&s->places, e))
        free(e->value);
    for (struct map_entry *e = map_first(&s->machines); e; e = map_next(&s->machines, e))
        free(e->value);
    map_fini(&s->places);
    map_fini(&s->machines);
}

static void forget(struct sent *s, struct map_entry *e)
{
    struct bytes ip = bytes_first(map_key(e), KEY_IP);
    struct machine *m = map_get(&s->machines, ip);
    if (--m->ports == 0)
        free(map_take(&s->machines, ip));
    free(map_take(&s->places, map_key(e)));
}

/* The oldest first: who is too old, and one more when there is no room. */
static void make_room(struct sent *s, uint64_t now_us)
{
    struct map_entry *e;
    while ((e = map_first(&s->places))) {
        struct place *p = e->value;
        bool is_over = p->at_us + KEPT_US <= now_us;
        if (!is_over && map_count(&s->places) < LIMIT_SENT)
            return;
        if (!is_over)
            s->unsure_until_us = p->at_us + KEPT_US;
        forget(s, e);
    }
}

static struct machine *note_machine(struct sent *s, struct bytes place, uint64_t now_us)
{
    struct bytes ip = bytes_first(place, KEY_IP);
    struct machine *m = map_get(&s->machines, ip);
    if (!m) {
        m = MEM_NEW(struct machine);
        map_put(&s->machines, ip, m);
    }
    m->at_us = now_us;
    return m;
}

void sent_note(struct sent *s, const struct net_addr *to, uint64_t now_us)
{
    uint8_t key[KEY];
    struct bytes k = key_of(to, key);
    struct place *p = map_take(&s->places, k); /* to the end of the order */
    if (!p) {
        make_room(s, now_us);
        p = MEM_NEW(struct place);
        note_machine(s, k, now_us)->ports++;
    }
    p->at_us = note_machine(s, k, now_us)->at_us;
    map_put(&s->places, k, p);
}

enum sent_to sent_look(const struct sent *s, const struct net_addr *who, uint64_t now_us)
{
    uint8_t key[KEY];
    struct bytes k = key_of(who, key);
    const struct place *p = map_get(&s->places, k);
    const struct machine *m = map_get(&s->machines, bytes_first(k, KEY_IP));
    if (p && p->at_us + KEPT_US > now_us)
        return SENT_TO_PORT;
    if ((m && m->at_us + KEPT_US > now_us) || now_us < s->unsure_until_us)
        return SENT_TO_IP;
    return SENT_TO_NOBODY;
}
