// SPDX-License-Identifier: MIT
/* Routing table; see table.h. */
#include "dht/table.h"

#include "base/mem.h"

#include <stdlib.h>

enum { WAIT_US = 60 * 1000 * 1000, FRESH_US = 60 * 1000 * 1000, FAILURES = 2 };

void dht_table_init(struct dht_table *t, const struct peer_id *self, uint64_t seed)
{
    *t = (struct dht_table){.self = *self, .self_key = dht_key_of(peer_id_bytes(self))};
    for (int i = 0; i < DHT_BUCKETS; i++)
        list_init(&t->buckets[i].contacts);
    map_init(&t->by_id, seed);
    map_init(&t->groups, seed);
}

static void contact_free(struct dht_contact *c)
{
    if (!c)
        return;
    dht_addrs_fini(&c->addrs);
    free(c);
}

void dht_table_fini(struct dht_table *t)
{
    for (int i = 0; i < DHT_BUCKETS; i++) {
        contact_free(t->buckets[i].waiting);
        free(t->buckets[i].slots);
        LIST_FOREACH_SAFE (&t->buckets[i].contacts, it)
            contact_free(LIST_ENTRY(it, struct dht_contact, link));
    }
    map_fini(&t->by_id);
    map_fini(&t->groups);
}

static struct dht_bucket *bucket_of(struct dht_table *t, const struct dht_key *key)
{
    int bits = dht_key_common_bits(&t->self_key, key);
    return &t->buckets[bits < DHT_BUCKETS ? bits : DHT_BUCKETS - 1];
}

struct dht_contact *dht_table_find(const struct dht_table *t, const struct peer_id *id)
{
    return map_get(&t->by_id, peer_id_bytes(id));
}

static struct bytes group_key(const uint64_t *group)
{
    return bytes_of(group, sizeof *group);
}

static void count_group(struct dht_table *t, uint64_t group, int change)
{
    if (!group)
        return;
    uintptr_t count = (uintptr_t)map_get(&t->groups, group_key(&group)) + (uintptr_t)change;
    if (count)
        map_put(&t->groups, group_key(&group), (void *)count);
    else
        map_take(&t->groups, group_key(&group));
}

/* Would one more of this net still be few enough? */
static bool is_diverse(const struct dht_table *t, const struct dht_bucket *b, uint64_t group)
{
    int in_bucket = 0;
    if (!group)
        return true;
    if ((uintptr_t)map_get(&t->groups, group_key(&group)) >= LIMIT_DHT_GROUP)
        return false;
    LIST_FOREACH (&b->contacts, it)
        in_bucket += LIST_ENTRY(it, struct dht_contact, link)->group == group;
    return in_bucket < LIMIT_DHT_GROUP_BUCKET;
}

static struct dht_contact *contact_new(const struct dht_peer *peer, const struct dht_key *key,
                                       uint64_t now)
{
    struct dht_contact *c = MEM_NEW(struct dht_contact);
    list_init(&c->link);
    c->id = peer->id;
    c->key = *key;
    c->seen_us = now;
    c->group = dht_addrs_group(peer->addrs, peer->addr_count);
    dht_addrs_set(&c->addrs, peer->addrs, peer->addr_count);
    return c;
}

static void enter(struct dht_table *t, struct dht_bucket *b, struct dht_contact *c)
{
    list_append(&b->contacts, &c->link);
    if (!b->slots)
        b->slots = mem_array(LIMIT_DHT_BUCKET, sizeof *b->slots);
    b->slots[b->count++] = (struct dht_slot){dht_key_head(&c->key), c};
    t->count++;
    count_group(t, c->group, 1);
    map_put(&t->by_id, peer_id_bytes(&c->id), c);
}

/* The newcomer takes a place that became free, unless it waited too long or its net has too many
 * by now. */
static void promote(struct dht_table *t, struct dht_bucket *b, uint64_t now)
{
    struct dht_contact *c = b->waiting;
    if (!c || b->count >= LIMIT_DHT_BUCKET)
        return;
    b->waiting = NULL;
    if (now < b->waiting_until_us && is_diverse(t, b, c->group))
        enter(t, b, c);
    else
        contact_free(c);
}

/* Heard of again: newest in its bucket, and the one who waited for its place goes. */
static void refresh(struct dht_table *t, struct dht_contact *c, const struct dht_peer *peer,
                    uint64_t now)
{
    struct dht_bucket *b = bucket_of(t, &c->key);
    if (b->contacts.next == &c->link && c->is_checked) {
        contact_free(b->waiting);
        b->waiting = NULL;
    }
    c->seen_us = now;
    c->failures = 0;
    c->is_checked = false;
    if (peer->addr_count) {
        count_group(t, c->group, -1);
        c->group = dht_addrs_group(peer->addrs, peer->addr_count);
        count_group(t, c->group, 1);
        dht_addrs_set(&c->addrs, peer->addrs, peer->addr_count);
    }
    list_remove(&c->link);
    list_append(&b->contacts, &c->link);
}

enum dht_table_result dht_table_seen(struct dht_table *t, const struct dht_peer *peer, uint64_t now,
                                     struct dht_contact **check)
{
    struct dht_contact *c = dht_table_find(t, &peer->id);
    *check = NULL;
    if (c) {
        refresh(t, c, peer, now);
        return DHT_TABLE_KNOWN;
    }
    if (peer_id_eq(&peer->id, &t->self) || peer->addr_count == 0)
        return DHT_TABLE_REFUSED;
    struct dht_key key = dht_key_of(peer_id_bytes(&peer->id));
    struct dht_bucket *b = bucket_of(t, &key);
    if (!is_diverse(t, b, dht_addrs_group(peer->addrs, peer->addr_count)))
        return DHT_TABLE_REFUSED;
    if (b->count < LIMIT_DHT_BUCKET) {
        enter(t, b, contact_new(peer, &key, now));
        return DHT_TABLE_ADDED;
    }
    if (!b->waiting || now >= b->waiting_until_us) {
        contact_free(b->waiting);
        b->waiting = contact_new(peer, &key, now);
        b->waiting_until_us = now + WAIT_US;
    }
    struct dht_contact *oldest = LIST_ENTRY(b->contacts.next, struct dht_contact, link);
    if (!oldest->is_checked && now - oldest->seen_us >= FRESH_US) {
        oldest->is_checked = true;
        *check = oldest;
    }
    return DHT_TABLE_FULL;
}

static void leave(struct dht_bucket *b, const struct dht_contact *c)
{
    int i = 0;
    while (b->slots[i].contact != c)
        i++;
    b->slots[i] = b->slots[--b->count];
}

void dht_table_remove(struct dht_table *t, const struct peer_id *id, uint64_t now)
{
    struct dht_contact *c = map_take(&t->by_id, peer_id_bytes(id));
    if (!c)
        return;
    struct dht_bucket *b = bucket_of(t, &c->key);
    list_remove(&c->link);
    leave(b, c);
    t->count--;
    count_group(t, c->group, -1);
    contact_free(c);
    promote(t, b, now);
}

bool dht_table_failed(struct dht_table *t, const struct peer_id *id, uint64_t now)
{
    struct dht_contact *c = dht_table_find(t, id);
    if (!c)
        return false;
    struct dht_bucket *b = bucket_of(t, &c->key);
    bool is_wanted = b->waiting && now < b->waiting_until_us;
    c->is_checked = false;
    if (++c->failures < FAILURES && !is_wanted)
        return false;
    dht_table_remove(t, id, now);
    return true;
}

/* Those found so far, nearest first; `fixed` of them are nearer than whoever may still come. */
struct nearest {
    const struct dht_key *key;
    const struct peer_id *except;
    struct dht_contact **out;
    uint64_t head;                      /* of the key */
    uint64_t far[LIMIT_DHT_BUCKET * 4]; /* heads of the distances of out[] */
    int n, count, fixed;
    size_t looked_at; /* contacts */
};

/* Is `c`, whose distance begins so, nearer than the one at that place? */
static bool is_nearer(const struct nearest *s, uint64_t head, const struct dht_contact *c, int at)
{
    if (head != s->far[at])
        return head < s->far[at];
    struct dht_key a = dht_key_distance(&c->key, s->key);
    struct dht_key b = dht_key_distance(&s->out[at]->key, s->key);
    return dht_key_cmp(&a, &b) < 0;
}

static void take_bucket(struct nearest *s, const struct dht_bucket *b)
{
    s->looked_at += (size_t)b->count;
    for (int i = 0; i < b->count; i++) {
        struct dht_contact *c = b->slots[i].contact;
        uint64_t head = b->slots[i].head ^ s->head;
        if (s->count == s->n && (s->n == 0 || !is_nearer(s, head, c, s->n - 1)))
            continue;
        if (s->except && peer_id_eq(&c->id, s->except))
            continue;
        int at = s->count < s->n ? s->count++ : s->n - 1;
        for (; at > s->fixed && is_nearer(s, head, c, at - 1); at--) {
            s->far[at] = s->far[at - 1];
            s->out[at] = s->out[at - 1];
        }
        s->far[at] = head;
        s->out[at] = c;
    }
}

/* Buckets are rings around the key: that of its own leading bits, then all that are deeper, then each
 * shallower one; whoever is in one of them is nearer than all of the next. */
int dht_table_nearest(const struct dht_table *t, const struct dht_key *key,
                      const struct peer_id *except, struct dht_contact **out, int n)
{
    struct nearest s = {.key = key, .head = dht_key_head(key), .except = except, .out = out};
    int own = dht_key_common_bits(&t->self_key, key);
    s.n = n < (int)ARRAY_LEN(s.far) ? n : (int)ARRAY_LEN(s.far);
    own = own < DHT_BUCKETS ? own : DHT_BUCKETS - 1;
    take_bucket(&s, &t->buckets[own]);
    s.fixed = s.count;
    for (int i = own + 1; s.fixed < s.n && s.looked_at < t->count && i < DHT_BUCKETS; i++)
        take_bucket(&s, &t->buckets[i]);
    for (int i = own - 1; s.count < s.n && s.looked_at < t->count && i >= 0; i--) {
        s.fixed = s.count;
        take_bucket(&s, &t->buckets[i]);
    }
    return s.count;
}

bool dht_table_radius(const struct dht_table *t, struct dht_key *radius)
{
    struct dht_contact *near[LIMIT_DHT_BUCKET];
    if (t->count < 3 * LIMIT_DHT_BUCKET)
        return false;
    int n = dht_table_nearest(t, &t->self_key, NULL, near, LIMIT_DHT_BUCKET);
    *radius = dht_key_distance(&near[n - 1]->key, &t->self_key);
    return true;
}

int dht_table_deepest(const struct dht_table *t)
{
    for (int i = DHT_BUCKETS - 1; i >= 0; i--)
        if (t->buckets[i].count)
            return i;
    return -1;
}
