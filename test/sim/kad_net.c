// SPDX-License-Identifier: MIT
/* See kad_net.h. */
#include "sim/kad_net.h"

#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

enum { DIAL_ROUND_TRIPS = 3 };

/* A request on its way: being dialled for, then there, then the answer coming back. */
struct flight {
    struct list link;
    struct dht_rpc *rpc;
    struct sim_node *from, *to;
    struct timer timer;
    struct buf reply;
    int err;
    enum { DIALLING, THERE, BACK } step;
};

static uint64_t mix(uint64_t x)
{
    x ^= x >> 31;
    x *= UINT64_C(0x7fb5d329728ea185);
    x ^= x >> 27;
    x *= UINT64_C(0x81dadef4bc2dd44d);
    return x ^ x >> 33;
}

uint64_t net_rtt_us(const struct net *net, int a, int b)
{
    uint64_t lo = (uint64_t)(a < b ? a : b), hi = (uint64_t)(a < b ? b : a);
    uint64_t h = mix(net->seed ^ mix(lo << 32 | hi)), g = mix(h ^ 0x9e3779b97f4a7c15u);
    double u = (double)((h >> 11) + 1) / 9007199254740993.0;
    double v = (double)(g >> 11) / 9007199254740992.0;
    double gauss = sqrt(-2 * log(u)) * cos(2 * 3.14159265358979 * v);
    return (uint64_t)(60000 * exp(0.6 * gauss));
}

struct dht_peer net_peer(struct sim_node *n)
{
    return (struct dht_peer){n->id, &n->addr_v, 1};
}

static struct bytes number_key(const int *number)
{
    return bytes_of(number, sizeof *number);
}

static void remember(struct sim_node *n, struct sim_node *other)
{
    if (n->keeps_connections)
        map_put(&n->connected, number_key(&other->number), other);
}

static void flight_free(struct flight *f)
{
    timer_clear(&f->from->net->s, &f->timer);
    list_remove(&f->link);
    buf_fini(&f->reply);
    free(f);
}

static void land(struct flight *f)
{
    struct dht_rpc *rpc = f->rpc;
    struct buf reply = f->reply;
    int err = f->err;
    buf_init(&f->reply, 0);
    flight_free(f);
    dht_rpc_done(rpc, err, buf_view(&reply));
    buf_fini(&reply);
}

/* A Sybil says that its own kind are the nearest, and provides nothing. */
static int lie(struct flight *f)
{
    struct net *net = f->to->net;
    struct dht_message m;
    int err = dht_message_decode(f->rpc->request, &m);
    if (err || m.type == DHT_ADD_PROVIDER)
        return err;
    dht_message_begin(&f->reply, (enum dht_type)m.type, m.key);
    for (int i = 0; i < DHT_K && i < net->sybil_count; i++) {
        int at = net->sybil_first + (int)rng_below(&net->rng, (uint64_t)net->sybil_count);
        struct dht_peer p = net_peer(net->nodes[at]);
        dht_message_add(&f->reply, DHT_CLOSER, &p, LIMIT_DHT_REPLY);
    }
    return 0;
}

static void on_flight(struct timer *t)
{
    struct flight *f = CONTAINER_OF(t, struct flight, timer);
    struct sim_node *from = f->from, *to = f->to;
    struct net *net = from->net;
    if (f->step == BACK) {
        land(f);
        return;
    }
    uint64_t half = net_rtt_us(net, from->number, to->number) / 2;
    if (f->step == DIALLING) {
        f->step = THERE;
        remember(from, to);
        if (from->d->cfg.is_server && !to->is_silent && to->d) { /* identify */
            struct dht_peer p = net_peer(from);
            dht_peer_seen(to->d, &p);
        }
        dht_rpc_sent(f->rpc);
        timer_after(&net->s, t, half);
        return;
    }
    if (to->is_silent)
        return; /* for ever: until it is cancelled */
    net->messages++;
    f->err = to->is_sybil ? lie(f) : dht_serve(to->d, &from->id, NULL, f->rpc->request, &f->reply);
    f->step = BACK;
    timer_after(&net->s, t, half);
}

static void port_send(void *ctx, struct dht_rpc *rpc)
{
    struct sim_node *n = ctx;
    struct net *net = n->net;
    struct flight *f = MEM_NEW(struct flight);
    f->rpc = rpc;
    f->from = n;
    f->to = map_get(&net->by_id, peer_id_bytes(&rpc->peer.id));
    buf_init(&f->reply, 0);
    rpc->port = f;
    n->sent++;
    list_append(&net->flights, &f->link);
    timer_init(&f->timer, on_flight);
    if (!f->to) {
        f->step = BACK;
        f->err = E_REFUSED;
        timer_after(&net->s, &f->timer, 60 * US_PER_MS);
        return;
    }
    uint64_t rtt = net_rtt_us(net, n->number, f->to->number);
    bool is_connected = map_get(&n->connected, number_key(&f->to->number)) != NULL;
    n->dialled += !is_connected;
    f->step = DIALLING;
    timer_after(&net->s, &f->timer, is_connected ? 0 : DIAL_ROUND_TRIPS * rtt);
}

static void port_cancel(void *ctx, struct dht_rpc *rpc)
{
    flight_free(rpc->port);
}

static int own_addrs(void *ctx, const struct bytes **addrs)
{
    struct sim_node *n = ctx;
    *addrs = &n->addr_v;
    return 1;
}

static void make_address(struct net *net, struct sim_node *n)
{
    static const uint8_t form[8] = {4, 0, 0, 0, 0, 6, 0x1f, 0x40};
    memcpy(n->addr, form, sizeof form);
    rng_fill(&net->rng, n->addr + 1, 4);
    n->addr[1] = (uint8_t)(11 + n->addr[1] % 80); /* 11.… to 90.…: public, all of it */
    n->addr_v = bytes_of(n->addr, sizeof n->addr);
}

struct sim_node *net_add(struct net *net, const struct peer_id *id, bool is_server)
{
    struct sim_node *n = MEM_NEW(struct sim_node);
    uint8_t random[34] = {0x12, 0x20};
    if (net->count == net->capacity)
        abort();
    n->net = net;
    n->number = net->count;
    net->nodes[net->count++] = n;
    rng_fill(&net->rng, random + 2, 32);
    if (id)
        n->id = *id;
    else
        (void)peer_id_decode(bytes_of(random, sizeof random), &n->id);
    make_address(net, n);
    map_init(&n->connected, rng_u64(&net->rng));
    struct dht_cfg cfg = {.self = n->id,
                          .sched = &net->s,
                          .rng = &net->rng,
                          .is_server = is_server,
                          .own_addrs = own_addrs,
                          .port = {.ctx = n, .send = port_send, .cancel = port_cancel}};
    n->d = dht_new(&cfg);
    map_put(&net->by_id, peer_id_bytes(&n->id), n);
    return n;
}

struct net *net_new(uint64_t seed, int capacity)
{
    struct net *net = MEM_NEW(struct net);
    net->seed = seed;
    net->capacity = capacity;
    net->nodes = mem_array((size_t)capacity, sizeof *net->nodes);
    sched_init(&net->s, 1, 0);
    rng_init_seeded(&net->rng, seed);
    map_init(&net->by_id, seed);
    list_init(&net->flights);
    return net;
}

void net_free(struct net *net)
{
    for (int i = 0; i < net->count; i++)
        dht_free(net->nodes[i]->d);
    for (int i = 0; i < net->count; i++) {
        map_fini(&net->nodes[i]->connected);
        free(net->nodes[i]);
    }
    map_fini(&net->by_id);
    sched_fini(&net->s);
    free(net->nodes);
    free(net);
}

void net_meet(struct sim_node *a, struct sim_node *b)
{
    struct dht_peer pa = net_peer(a), pb = net_peer(b);
    remember(a, b);
    dht_peer_seen(a->d, &pb);
    if (a->d->cfg.is_server)
        dht_peer_seen(b->d, &pa);
}

void net_forget_connections(struct sim_node *n)
{
    map_fini(&n->connected);
    map_init(&n->connected, rng_u64(&n->net->rng));
}

void net_run(struct net *net, uint64_t us)
{
    uint64_t at = net->s.now_us + us;
    for (;;) {
        sched_run_tasks(&net->s);
        uint64_t next = sched_deadline(&net->s);
        if (next > at)
            break;
        next = next > net->s.now_us ? next : net->s.now_us; /* or overdue */
        sched_set_now(&net->s, next, next / 1000);
        sched_run_timers(&net->s);
    }
    sched_set_now(&net->s, at, at / 1000);
}
