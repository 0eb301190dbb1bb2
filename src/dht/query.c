// SPDX-License-Identifier: MIT
/* A lookup carried out. Every callback (an answer, a failure, a slow peer, the deadline) changes
 * the lookup's table and then calls `pump`, which asks whoever is next and notices the end; there is
 * no other control flow. A user's callback may cancel the query it belongs to, so freeing waits
 * while `busy`.
 *
 * A read goes along up to four disjoint paths (S/Kademlia), each begun with its share of our own table:
 * whom one path asks is nobody else's, and what it is told stays on it. So a peer that lies misleads its
 * own path only. All paths are fed from the same ten or so questions under way. */
#include "dht/core.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/trace.h"

#include <stdlib.h>

enum { PATH_PEERS = 4, PROBE_TRIES = 20000 };
enum { READ_DEADLINE_US = 15 * 1000 * 1000, STORE_DEADLINE_US = 60 * 1000 * 1000 };

static void pump(struct dht_query *q);

void dht_query_free(struct dht_query *q)
{
    struct sched *s = q->d->cfg.sched;
    for (int p = 0; p < q->path_count; p++)
        for (int i = 0; i < q->paths[p].count; i++) {
            struct dht_candidate *c = q->paths[p].sorted[i];
            if (c->asked)
                dht_ask_cancel(c->asked);
            c->asked = NULL;
        }
    for (int i = 0; i < LIMIT_DHT_PROBES; i++)
        if (q->probes[i])
            dht_query_free(q->probes[i]);
    memset(q->probes, 0, sizeof q->probes);
    timer_clear(s, &q->deadline);
    task_cancel(&q->step);
    if (!list_is_empty(&q->link))
        q->d->query_count--;
    list_remove(&q->link);
    q->is_over = true;
    if (q->busy)
        return;
    for (int p = 0; p < LIMIT_DHT_PATHS; p++)
        dht_lookup_fini(&q->paths[p]);
    dht_told_fini(&q->told);
    free(q->value);
    buf_fini(&q->request);
    free(q);
}

/* Callbacks of the user stand between enter and leave. False: the query is gone. */
static void enter(struct dht_query *q)
{
    q->busy++;
}

static bool leave(struct dht_query *q)
{
    if (--q->busy || !q->is_over)
        return !q->is_over;
    dht_query_free(q);
    return false;
}

/* The best value goes to the user, and to those near the key who should have had it (entry correction). */
static void give_value(struct dht_query *q)
{
    struct bytes key = bytes_of(q->key, q->key_len), value = bytes_of(q->value, q->value_n);
    for (int p = 0; p < q->path_count; p++) {
        struct dht_candidate *near[DHT_K];
        int n = dht_lookup_nearest(&q->paths[p], near, (DHT_K + q->path_count - 1) / q->path_count);
        for (int i = 0; i < n; i++) {
            struct bytes addrs[LIMIT_DHT_ADDRS];
            struct dht_peer peer = {near[i]->id, addrs, dht_addrs_get(&near[i]->addrs, addrs)};
            if (near[i]->version != q->value_version)
                dht_push_value(q->d, &peer, key, value);
        }
    }
    if (q->on_value)
        q->on_value(q->ctx, value, &q->record);
}

static bool has_enough(const struct dht_query *q)
{
    return q->wanted && q->found >= q->wanted;
}

static bool tell_user(struct dht_query *q, int source, const struct dht_peer *peer)
{
    q->found++;
    q->source = source;
    enter(q);
    if (q->on_peer)
        q->on_peer(q->ctx, peer);
    return leave(q);
}

/* A provider, or the peer that was looked for. False: the query is gone. */
static bool tell(struct dht_query *q, int source, const struct dht_peer *peer)
{
    return peer_id_eq(&peer->id, &q->d->cfg.self) || !dht_told_take(&q->told, source, peer) ||
           tell_user(q, source, peer);
}

/* Of those whose addresses nobody has; the user may. False: the query is gone. */
static bool tell_waiting(struct dht_query *q)
{
    struct dht_peer peer = {0};
    bool is_there = true;
    while (is_there && !has_enough(q) && dht_told_take_waiting(&q->told, &peer.id, &q->source))
        is_there = tell_user(q, q->source, &peer);
    return is_there;
}

void dht_query_finish(struct dht_query *q, int err)
{
    if (err != E_CANCELLED && !tell_waiting(q))
        return;
    dht_on_done done = q->done;
    void *ctx = q->ctx;
    int heard = 0;
    for (int p = 0; p < q->path_count; p++)
        heard += q->paths[p].count;
    TRACE(DHT, DEBUG, "lookup of %zu bytes: %d paths, %d peers heard of, %d found -> %s",
          q->key_len, q->path_count, heard, q->found, err ? err_name(err) : "done");
    enter(q);
    if (q->nearest)
        q->nearest(q, err);
    else if (q->value && err != E_CANCELLED)
        give_value(q);
    if (!leave(q))
        return;
    dht_query_free(q);
    if (done)
        done(ctx, err);
}

int dht_query_source(const struct dht_query *q)
{
    return q->source;
}

/* Of this answer. */
static int source_of(struct dht_query *q, const struct dht_lookup *path)
{
    unsigned nth = q->path_count > 1 ? (unsigned)(path - q->paths) : q->answers;
    q->answers++;
    return 1 + (int)(nth % LIMIT_DHT_PATHS);
}

static void add_candidate(struct dht_query *q, struct dht_lookup *path, const struct dht_peer *peer,
                          int hops)
{
    const struct dht_port *port = &q->d->cfg.port;
    if (peer->addr_count && (!port->can_dial || port->can_dial(port->ctx, peer)))
        dht_lookup_add(path, peer, hops);
}

/* Better than what is known: kept. Nothing is believed that its validator does not accept. */
static void take_value(struct dht_query *q, struct bytes value, struct dht_candidate *from)
{
    struct dht_record r;
    struct bytes key = bytes_of(q->key, q->key_len);
    if (dht_record_check(key, value, sched_wall_ms(q->d->cfg.sched), &r) != 0)
        return;
    int better =
        q->value ? dht_record_cmp(&r, value, &q->record, bytes_of(q->value, q->value_n)) : 1;
    if (better > 0) {
        free(q->value);
        q->value = mem_new(value.n);
        q->value_n = value.n;
        memcpy(q->value, value.p, value.n);
        q->record = r;
        q->record.body.p = q->value + (r.body.p - value.p);
        q->value_version++;
        q->found = 1;
    }
    if (better >= 0 && from)
        from->version = q->value_version;
}

/* The next one that the answer names, with those of its addresses that the answerer may know. */
static bool next_named(struct dht_query *q, enum dht_field field, struct bytes *rest,
                       const struct net_addr *from, struct dht_message_peer *p)
{
    const struct dht_port *port = &q->d->cfg.port;
    if (!dht_message_next(field, rest, p))
        return false;
    if (!port->is_credible || from->kind == NET_NONE)
        return true;
    int n = 0;
    for (int i = 0; i < p->peer.addr_count; i++)
        if (port->is_credible(port->ctx, p->addrs[i], from))
            p->addrs[n++] = p->addrs[i];
    p->peer.addr_count = n;
    return true;
}

/* What an answer says: who provides, who is nearer. False: the query is gone. */
static bool take_reply(struct dht_query *q, struct dht_lookup *path, struct dht_candidate *c,
                       const struct dht_message *m, const struct net_addr *from)
{
    struct dht_message_peer p;
    int left = LIMIT_DHT_PROVIDERS, source = source_of(q, path);
    struct bytes value;
    q->hops = (uint8_t)(c->hops + 1);
    if (q->type == DHT_GET_VALUE && dht_message_value(m, &value) == 0)
        take_value(q, value, c);
    if (q->type == DHT_GET_PROVIDERS)
        for (struct bytes rest = m->whole;
             left-- && next_named(q, DHT_PROVIDERS, &rest, from, &p) && !has_enough(q);)
            if (!tell(q, source, &p.peer))
                return false;
    left = LIMIT_DHT_BUCKET;
    for (struct bytes rest = m->whole; left-- && next_named(q, DHT_CLOSER, &rest, from, &p);) {
        bool is_target = q->wants_peer && p.peer.addr_count &&
                         bytes_eq(peer_id_bytes(&p.peer.id), bytes_of(q->key, q->key_len));
        if (is_target && !tell(q, source, &p.peer))
            return false;
        add_candidate(q, path, &p.peer, c->hops + 1);
    }
    return true;
}

static struct dht_candidate *candidate_of(struct dht_query *q, struct dht_ask *a,
                                          struct dht_lookup **path)
{
    for (int p = 0; p < q->path_count; p++)
        for (int i = 0; i < q->paths[p].count; i++)
            if (q->paths[p].sorted[i]->asked == a) {
                *path = &q->paths[p];
                return q->paths[p].sorted[i];
            }
    return NULL;
}

static bool has_same_addrs(const struct dht_candidate *a, const struct dht_candidate *b)
{
    return a->addrs.size == b->addrs.size &&
           !memcmp(a->addrs.packed, b->addrs.packed, a->addrs.size);
}

/* One path could not reach it; another may have been told better addresses. */
static void offer_to_others(struct dht_query *q, const struct dht_lookup *path,
                            const struct dht_candidate *c)
{
    for (int p = 0; p < q->path_count; p++) {
        struct dht_candidate *other =
            &q->paths[p] != path ? dht_lookup_find(&q->paths[p], &c->id) : NULL;
        if (other && !has_same_addrs(other, c))
            dht_lookup_take_back(&q->paths[p], other);
    }
}

static void on_answer(struct dht_ask *a, int err, struct bytes reply)
{
    struct dht_query *q = a->ctx;
    struct dht *d = q->d;
    struct dht_lookup *path;
    struct dht_candidate *c = candidate_of(q, a, &path);
    struct dht_message m;
    if (!err)
        err = dht_message_decode(reply, &m);
    if (err) {
        dht_silent(d, &c->id, err);
        dht_lookup_failed(path, c);
        offer_to_others(q, path, c);
    } else {
        dht_heard_from(d, &a->rpc.peer);
        dht_lookup_answered(path, c);
        if (!take_reply(q, path, c, &m, &a->rpc.from))
            return;
    }
    pump(q);
}

static void on_slow(struct dht_ask *a)
{
    struct dht_query *q = a->ctx;
    struct dht_lookup *path;
    struct dht_candidate *c = candidate_of(q, a, &path);
    dht_lookup_slow(path, c);
    pump(q);
}

static bool is_anothers(const struct dht_query *q, const struct dht_lookup *path,
                        const struct dht_candidate *c)
{
    for (int p = 0; p < q->path_count; p++) {
        const struct dht_candidate *other =
            &q->paths[p] != path ? dht_lookup_find(&q->paths[p], &c->id) : NULL;
        if (other && (other->state == DHT_ASKED || other->state == DHT_ANSWERED))
            return true;
    }
    return false;
}

/* The next question of this path; false when it has none now. */
static bool ask_next(struct dht_query *q, struct dht_lookup *path)
{
    struct dht_candidate *c;
    while ((c = dht_lookup_next(path)) && is_anothers(q, path, c))
        dht_lookup_leave(path, c);
    if (!c)
        return false;
    struct bytes addrs[LIMIT_DHT_ADDRS];
    struct dht_peer peer = {c->id, addrs, dht_addrs_get(&c->addrs, addrs)};
    c->asked = dht_ask_send(q->d, &peer, buf_view(&q->request), true, on_answer, on_slow, q);
    return true;
}

/* --- beside a crowd --- */

/* Whoever answered near the probe's key, and belongs to the region of ours, is asked for ours too. */
static void on_probed(struct dht_query *probe, int err)
{
    struct dht_query *q = probe->ctx;
    struct dht_candidate *near[LIMIT_DHT_REGION];
    int n = dht_lookup_nearest(&probe->paths[0], near, ARRAY_LEN(near));
    for (int i = 0; i < LIMIT_DHT_PROBES; i++)
        if (q->probes[i] == probe)
            q->probes[i] = NULL;
    for (int i = 0; i < n; i++) {
        struct bytes addrs[LIMIT_DHT_ADDRS];
        struct dht_peer peer = {near[i]->id, addrs, dht_addrs_get(&near[i]->addrs, addrs)};
        struct dht_key key = dht_key_of(peer_id_bytes(&peer.id));
        if (dht_lookup_is_inside(&q->paths[0], &key))
            add_candidate(q, &q->paths[i % q->path_count], &peer, near[i]->hops + 1);
    }
    pump(q);
}

/* A key beside ours: within the region and not in its crowded quarter. One in some hundred hashes is. */
static bool find_beside(struct dht_query *q, uint8_t out[static DHT_KEY_TEXT])
{
    const struct dht_lookup *l = &q->paths[0];
    for (int i = 0; i < PROBE_TRIES; i++) {
        uint64_t random = rng_u64(q->d->cfg.rng);
        dht_key_text(bytes_of(&random, sizeof random), out);
        struct dht_key key = dht_key_of(bytes_of(out, DHT_KEY_TEXT));
        struct dht_key distance = dht_key_distance(&key, &l->target);
        if (dht_lookup_is_inside(l, &key) && dht_key_cmp(&distance, &l->quarter) > 0)
            return true;
    }
    return false;
}

/* Everybody around may know nobody but a crowd that was put there; those beside know who else is. */
static bool probe(struct dht_query *q)
{
    bool is_crowded = false, any = false;
    for (int p = 0; p < q->path_count; p++)
        is_crowded |= dht_lookup_is_crowded(&q->paths[p]);
    if (q->has_probed || !is_crowded)
        return false;
    q->has_probed = true;
    TRACE(DHT, INFO, "a key is crowded with peers -> asking beside it as well");
    for (int i = 0; i < LIMIT_DHT_PROBES; i++) {
        uint8_t key[DHT_KEY_TEXT];
        if (!find_beside(q, key))
            continue;
        struct dht_query *p = dht_query_new(q->d, DHT_FIND_NODE, bytes_of(key, sizeof key), false);
        p->has_probed = p->is_probe = true;
        p->paths[0].beta = DHT_K;
        p->paths[0].has_region = false;
        p->nearest = on_probed;
        p->ctx = q;
        q->probes[i] = p;
        any = true;
    }
    return any;
}

static bool is_probing(const struct dht_query *q)
{
    bool any = false;
    for (int i = 0; i < LIMIT_DHT_PROBES; i++)
        any |= q->probes[i] != NULL;
    return any;
}

/* Of those that we knew ourselves and asked, most did not answer: the silence may be ours. Whom others told of does not
 * count, or a liar's inventions would. */
static bool is_mostly_silence(const struct dht_query *q)
{
    int asked = 0, answered = 0;
    for (int p = 0; p < q->path_count; p++)
        for (int i = 0; i < q->paths[p].count; i++) {
            const struct dht_candidate *c = q->paths[p].sorted[i];
            if (c->hops || c->state == DHT_HEARD || c->state == DHT_ELSEWHERE)
                continue;
            asked++;
            answered += c->state == DHT_ANSWERED;
        }
    return 2 * answered < asked;
}

static void pump(struct dht_query *q)
{
    struct dht_candidate *one;
    bool is_done = true, has_asked = true, nobody = true;
    if (has_enough(q)) {
        dht_query_finish(q, 0);
        return;
    }
    while (has_asked) { /* the paths take turns */
        has_asked = false;
        for (int p = 0; p < q->path_count; p++)
            has_asked |= ask_next(q, &q->paths[p]);
    }
    for (int p = 0; p < q->path_count; p++) {
        is_done &= dht_lookup_is_done(&q->paths[p]);
        nobody &= dht_lookup_nearest(&q->paths[p], &one, 1) == 0;
    }
    if (!is_done || is_probing(q) || probe(q) || !tell_waiting(q))
        return;
    int err = nobody && !q->found                                        ? E_UNAVAILABLE
              : (q->wants_peer || q->type == DHT_GET_VALUE) && !q->found ? E_NOT_FOUND
              : q->type == DHT_GET_PROVIDERS && is_mostly_silence(q)     ? E_TIMEOUT
                                                                         : 0;
    dht_query_finish(q, err);
}

static void on_deadline(struct timer *t)
{
    struct dht_query *q = CONTAINER_OF(t, struct dht_query, deadline);
    dht_query_finish(q, E_TIMEOUT);
}

/* Nobody is in the table: those that were may be there again. */
static void add_past(struct dht_query *q)
{
    int i = 0;
    LIST_FOREACH (&q->d->past.peers, it) {
        struct bytes addrs[LIMIT_DHT_ADDRS];
        const struct dht_past_peer *past = LIST_ENTRY(it, struct dht_past_peer, link);
        struct dht_peer peer = {past->id, addrs, dht_addrs_get(&past->addrs, addrs)};
        add_candidate(q, &q->paths[i++ % q->path_count], &peer, 0);
    }
}

static void path_init(struct dht_query *q, int p, bool is_store)
{
    dht_lookup_init(&q->paths[p], bytes_of(q->key, q->key_len), &q->d->cfg.self,
                    is_store ? DHT_K : DHT_BETA_READ, is_store);
    q->paths[p].asks_all_of_few = !is_store;
    struct dht_key radius;
    if (dht_table_radius(&q->d->table, &radius))
        dht_lookup_set_region(&q->paths[p], &radius);
}

/* As many as `n` peers are enough for, three or more each. What is stored must come to the true nearest: one
 * path, which asks them all. */
static void make_paths(struct dht_query *q, int n)
{
    int count = n / PATH_PEERS < LIMIT_DHT_PATHS ? n / PATH_PEERS : LIMIT_DHT_PATHS;
    if (q->paths[0].waits_for_slow || q->is_probe || count < 2)
        return;
    for (int p = 1; p < count; p++)
        path_init(q, p, false);
    q->path_count = count;
    for (int p = 0; p < count; p++) {
        q->paths[p].alpha = (DHT_ALPHA + count - 1) / count;
        q->paths[p].max = LIMIT_DHT_CANDIDATES / 2;
    }
}

/* What we know ourselves. False: the query is gone. */
static bool take_own(struct dht_query *q)
{
    struct dht *d = q->d;
    uint64_t now = sched_now(d->cfg.sched);
    struct bytes key = bytes_of(q->key, q->key_len), addrs[LIMIT_DHT_ADDRS];
    const struct dht_provider *records[LIMIT_DHT_PROVIDERS];
    int n = q->type == DHT_GET_PROVIDERS ? dht_providers_get(&d->providers, key, now, records) : 0;
    for (int i = 0; i < n && !has_enough(q); i++) {
        struct dht_peer peer = {records[i]->id, addrs, 0};
        peer.addr_count = dht_provider_addrs(records[i], now, addrs);
        if (!tell(q, 0, &peer))
            return false;
        n = dht_providers_get(&d->providers, key, now, records); /* the user may have changed it */
    }
    const struct dht_value *own = q->type == DHT_GET_VALUE
                                      ? dht_values_get(&d->values, key, sched_wall_ms(d->cfg.sched))
                                      : NULL;
    if (own)
        take_value(q, bytes_of(own->value, own->n), NULL);
    struct dht_contact *near[DHT_K];
    n = dht_table_nearest(&d->table, &q->paths[0].target, NULL, near, DHT_K);
    make_paths(q, n);
    for (int i = 0; i < n; i++) {
        struct dht_peer peer = dht_contact_peer(near[i], addrs);
        bool is_target = q->wants_peer && bytes_eq(peer_id_bytes(&peer.id), key);
        if (is_target && !tell(q, 0, &peer))
            return false;
        if (has_enough(q))
            return true;
        add_candidate(q, &q->paths[i % q->path_count], &peer, 0);
    }
    if (n == 0)
        add_past(q);
    return true;
}

static void first_step(struct task *t)
{
    struct dht_query *q = CONTAINER_OF(t, struct dht_query, step);
    if (q->early_err)
        dht_query_finish(q, q->early_err);
    else if (take_own(q))
        pump(q);
}

struct dht_query *dht_query_new(struct dht *d, enum dht_type type, struct bytes key, bool is_store)
{
    struct dht_query *q = MEM_NEW(struct dht_query);
    q->d = d;
    q->type = type;
    list_init(&q->link);
    buf_init(&q->request, 0);
    dht_told_init(&q->told, rng_u64(d->cfg.rng));
    timer_init(&q->deadline, on_deadline);
    task_init(&q->step, first_step);
    task_defer(d->cfg.sched, &q->step);
    list_append(&d->queries, &q->link);
    if (++d->query_count > LIMIT_DHT_QUERIES)
        q->early_err = E_BUSY;
    if (key.n < 1 || key.n > LIMIT_DHT_KEY)
        q->early_err = E_INVALID;
    if (!q->early_err) {
        memcpy(q->key, key.p, key.n);
        q->key_len = key.n;
        dht_message_begin(&q->request, type, key);
        timer_after(d->cfg.sched, &q->deadline, is_store ? STORE_DEADLINE_US : READ_DEADLINE_US);
    }
    q->path_count = 1;
    path_init(q, 0, is_store);
    return q;
}
