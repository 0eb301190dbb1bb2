// SPDX-License-Identifier: MIT
/* How long it takes to find a provider that nobody near has heard of: `make sim-kad N=1000 DEAD=30 SEED=1`.
 *
 *   1. N servers join one after another, each through one that came before (its address is all it knows), and
 *      fill their tables as they always do; KEYS of them provide one key each.
 *   2. LOOKUPS askers join in the same way: clients, so that the network stays as it is.
 *   3. DEAD percent of the servers (never a provider, never the bootstrap node) fall silent at once: they take
 *      connections and never answer. Nobody is told; every table still has them.
 *   4. LOOKUPS more askers join.
 *   5. Within a minute all ask for one key's providers, once, wanting the first.
 *
 * Three cold starts are told apart. In none of them does the asker have a connection or a record:
 *
 *   stale    its table is from before the silence, and three in ten of it are dead
 *   joined   its table is from its bootstrap after the silence
 *   bare     no table at all: it has just connected to the bootstrap node, and the question comes with that
 *
 * With SYBILS=s each key has s names that were chosen nearest to it, before anything was provided: they answer
 * with each other, and keep nothing. NETS=n: they live in so many IPv4 /16 (0: each in its own). KEYS=5 makes
 * that affordable. SETTLE=s: they come so many seconds after the last honest node; in the first minutes
 * tables are thin, and there are fewer of whom to ask beside them. */
#include "sim/kad_net.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { KEYS_MAX = 50, GAP_MS = 20 };

struct asker {
    struct sim_node *n;
    struct dht_query *q;
    int key;
    bool is_found, is_over;
    uint64_t asked_us, found_us, took_us;
    uint64_t sent, dialled;
    int hops;
    struct timer start;
};

struct row {
    const char *name;
    int count, found;
    uint64_t *times;
    double hops, rpcs, dials;
};

struct sim {
    struct net *net;
    int n, dead, keys, sybils, nets, lookups, settle_s;
    uint64_t seed;
    uint8_t key[KEYS_MAX][DHT_KEY_TEXT];
    struct sim_node *provider[KEYS_MAX];
    struct asker *askers;
    int asker_count;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- the network --- */

static void grow(struct sim *sim)
{
    struct net *net = sim->net;
    for (int i = 0; i < sim->n; i++) {
        struct sim_node *n = net_add(net, NULL, true);
        if (i)
            net_meet(n, net->nodes[rng_below(&net->rng, (uint64_t)i)]);
        net_run(net, GAP_MS * US_PER_MS);
    }
    net_run(net, (uint64_t)sim->settle_s * US_PER_S);
}

/* Who has an id nearest to the keys: found by trying, as an attacker would; the sieve is the same. */
static void add_sybils(struct sim *sim)
{
    struct net *net = sim->net;
    int bits = 2;
    net->sybil_first = net->count;
    while (1 << bits < 4 * sim->n)
        bits++; /* nearer than any honest node is likely to be */
    for (int i = 0; i < sim->sybils * sim->keys; i++) {
        struct dht_key target = dht_key_of(bytes_of(sim->key[i / sim->sybils], DHT_KEY_TEXT)), k;
        uint8_t raw[34] = {0x12, 0x20};
        struct peer_id id;
        do {
            uint64_t r = rng_u64(&net->rng);
            memcpy(raw + 2, &r, sizeof r);
            (void)peer_id_decode(bytes_of(raw, sizeof raw), &id);
            k = dht_key_of(peer_id_bytes(&id));
        } while (dht_key_common_bits(&target, &k) < bits);
        struct sim_node *n = net_add(net, &id, true);
        n->is_sybil = true;
        if (sim->nets) {
            n->addr[1] = 90;
            n->addr[2] = (uint8_t)(i % sim->nets);
        }
        net->sybil_count++;
        for (int j = 0; j < 3; j++)
            net_meet(n, net->nodes[rng_below(&net->rng, (uint64_t)sim->n)]);
        net_run(net, GAP_MS * US_PER_MS);
    }
    net_run(net, 30 * US_PER_S);
}

static void provide(struct sim *sim)
{
    struct net *net = sim->net;
    for (int i = 0; i < sim->keys; i++) {
        sim->provider[i] = net->nodes[1 + rng_below(&net->rng, (uint64_t)sim->n - 1)];
        (void)dht_provide(sim->provider[i]->d, bytes_of(sim->key[i], DHT_KEY_TEXT));
    }
    net_run(net, 20 * US_PER_S);
}

static bool is_needed(const struct sim *sim, const struct sim_node *n)
{
    bool needed = n->number == 0;
    for (int i = 0; i < sim->keys; i++)
        needed |= sim->provider[i] == n;
    return needed;
}

static void silence(struct sim *sim)
{
    for (int left = sim->n * sim->dead / 100; left;) {
        struct sim_node *n = sim->net->nodes[rng_below(&sim->net->rng, (uint64_t)sim->n)];
        if (n->is_silent || is_needed(sim, n))
            continue;
        n->is_silent = true;
        left--;
    }
}

/* --- the question --- */

static void on_found(void *ctx, const struct dht_peer *p)
{
    struct asker *a = ctx;
    a->is_found = true;
    a->hops = a->q->hops;
    a->found_us = sched_now(&a->n->net->s);
}

static void on_over(void *ctx, int err)
{
    struct asker *a = ctx;
    a->is_over = true;
    a->took_us = (a->is_found ? a->found_us : sched_now(&a->n->net->s)) - a->asked_us;
    a->sent = a->n->sent - a->sent;
    a->dialled = a->n->dialled - a->dialled;
}

static void ask(struct sim *sim, struct asker *a)
{
    a->asked_us = sched_now(&sim->net->s);
    a->sent = a->n->sent;
    a->dialled = a->n->dialled;
    a->q = dht_find_providers(a->n->d, bytes_of(sim->key[a->key], DHT_KEY_TEXT), 1, on_found,
                              on_over, a);
}

static struct asker *asker_new(struct sim *sim)
{
    struct asker *a = &sim->askers[sim->asker_count++];
    a->n = net_add(sim->net, NULL, false);
    a->n->keeps_connections = true;
    a->key = (int)rng_below(&sim->net->rng, (uint64_t)sim->keys);
    return a;
}

static void join_askers(struct sim *sim)
{
    for (int i = 0; i < sim->lookups; i++) {
        net_meet(asker_new(sim)->n, sim->net->nodes[0]);
        net_run(sim->net, GAP_MS * US_PER_MS);
    }
    net_run(sim->net, 20 * US_PER_S);
}

static void question_all(struct sim *sim, int first)
{
    for (int i = 0; i < sim->lookups; i++) {
        net_forget_connections(sim->askers[first + i].n);
        ask(sim, &sim->askers[first + i]);
        net_run(sim->net, GAP_MS * US_PER_MS);
    }
    net_run(sim->net, 20 * US_PER_S);
}

static void question_bare(struct sim *sim)
{
    for (int i = 0; i < sim->lookups; i++) {
        struct asker *a = asker_new(sim);
        net_meet(a->n, sim->net->nodes[0]);
        ask(sim, a);
        net_run(sim->net, GAP_MS * US_PER_MS);
    }
    net_run(sim->net, 20 * US_PER_S);
}

/* --- the table --- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static struct row row_of(const struct sim *sim, const char *name, int first)
{
    struct row r = {.name = name, .count = sim->lookups};
    r.times = mem_array((size_t)sim->lookups, sizeof *r.times);
    for (int i = 0; i < sim->lookups; i++) {
        const struct asker *a = &sim->askers[first + i];
        r.times[i] = a->is_over ? a->took_us : UINT64_MAX;
        r.found += a->is_found;
        r.hops += a->is_found ? a->hops : 0;
        r.rpcs += (double)a->sent / sim->lookups;
        r.dials += (double)a->dialled / sim->lookups;
    }
    r.hops /= r.found ? r.found : 1;
    qsort(r.times, (size_t)sim->lookups, sizeof *r.times, compare_u64);
    return r;
}

static void print_row(const struct row *r)
{
    printf("| %-6s | %6.2f %% | %5.2f s | %5.2f s | %5.2f s | %4.2f | %5.1f | %5.1f |\n", r->name,
           100.0 * r->found / r->count, 1e-6 * (double)r->times[r->count / 2],
           1e-6 * (double)r->times[r->count * 95 / 100],
           1e-6 * (double)r->times[r->count * 99 / 100], r->hops, r->rpcs, r->dials);
}

static int option(const char *name, int otherwise)
{
    const char *v = getenv(name);
    return v && *v ? atoi(v) : otherwise;
}

int main(void)
{
    static struct sim sim;
    sim.n = option("N", 1000);
    sim.dead = option("DEAD", 0);
    sim.sybils = option("SYBILS", 0);
    sim.nets = option("NETS", 0);
    sim.keys = option("KEYS", KEYS_MAX);
    sim.lookups = option("LOOKUPS", 300);
    sim.settle_s = option("SETTLE", 30);
    sim.seed = (uint64_t)option("SEED", 1);
    if (sim.n < 100 || sim.dead < 0 || sim.dead > 90 || sim.sybils < 0 || sim.lookups < 1 ||
        sim.keys < 1 || sim.keys > KEYS_MAX || sim.nets < 0 || sim.nets > 250 || sim.settle_s < 0) {
        fprintf(stderr, "N >= 100, DEAD 0..90, SYBILS >= 0, NETS 0..250, KEYS 1..50, LOOKUPS >= 1, "
                        "SETTLE >= 0\n");
        return 2;
    }
    trace_set_all(TRACE_OFF);
    double began = now_s();
    sim.net = net_new(sim.seed, sim.n + sim.sybils * sim.keys + 3 * sim.lookups);
    sim.askers = mem_array((size_t)(3 * sim.lookups), sizeof *sim.askers);
    for (int i = 0; i < sim.keys; i++) {
        char text[32];
        int n = snprintf(text, sizeof text, "model:m%d", i);
        dht_key_text(bytes_of(text, (size_t)n), sim.key[i]);
    }
    grow(&sim);
    double grown = now_s();
    add_sybils(&sim);
    provide(&sim);
    join_askers(&sim); /* 0… : stale */
    silence(&sim);
    join_askers(&sim); /* lookups… : joined */
    question_all(&sim, 0);
    question_all(&sim, sim.lookups);
    question_bare(&sim);
    printf("%d nodes, %d %% silent, %d Sybils a key in %d nets, %d lookups a row, seed %llu\n\n",
           sim.n, sim.dead, sim.sybils, sim.nets, sim.lookups, (unsigned long long)sim.seed);
    printf("| start  | found    | p50     | p95     | p99     | hops | asked | dials |\n"
           "|--------|----------|---------|---------|---------|------|-------|-------|\n");
    const char *const names[] = {"stale", "joined", "bare"};
    for (int i = 0; i < 3; i++) {
        struct row r = row_of(&sim, names[i], i * sim.lookups);
        print_row(&r);
        free(r.times);
    }
    printf("\n%llu messages answered, %.0f virtual seconds, in %.1f s (%.1f s of it to join)\n",
           (unsigned long long)sim.net->messages, 1e-6 * (double)sched_now(&sim.net->s),
           now_s() - began, grown - began);
    free(sim.askers);
    net_free(sim.net);
    return 0;
}
