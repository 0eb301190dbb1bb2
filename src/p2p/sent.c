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
}

void sent_fini(struct sent *s)
{
    for (struct map_entry *e = map_first(&s->places); e; e = map_next(&s->places, e))
        free(e->value);
    map_fini(&s->places);
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
        free(map_take(&s->places, map_key(e)));
    }
}

void sent_note(struct sent *s, const struct net_addr *to, uint64_t now_us)
{
    uint8_t key[KEY];
    struct bytes k = key_of(to, key);
    struct place *p = map_take(&s->places, k); /* to the end of the order */
    if (!p) {
        make_room(s, now_us);
        p = MEM_NEW(struct place);
    }
    p->at_us = now_us;
    map_put(&s->places, k, p);
}

enum sent_to sent_look(const struct sent *s, const struct net_addr *who, uint64_t now_us)
{
    uint8_t key[KEY];
    struct bytes k = key_of(who, key);
    enum sent_to found = now_us < s->unsure_until_us ? SENT_TO_IP : SENT_TO_NOBODY;
    for (struct map_entry *e = map_first(&s->places); e; e = map_next(&s->places, e)) {
        const struct place *p = e->value;
        if (p->at_us + KEPT_US <= now_us || memcmp(e->key, key, KEY_IP) != 0)
            continue;
        if (bytes_eq(map_key(e), k))
            return SENT_TO_PORT;
        found = SENT_TO_IP;
    }
    return found;
}
