// SPDX-License-Identifier: MIT
/* The clock of a virtual world and its machines; see virtual.h.
 *
 * One step: every ready machine runs its due timers and its tasks, until none is ready; then time
 * jumps to the next thing that happens, on the network or on a machine.
 *
 * The hard thing is to know a machine's next deadline without asking all of them at each step. A
 * machine's timers change only while it runs, or while somebody calls into it from outside, so its
 * place in `sleepers` is refreshed after it ran; the makers' calls make it ready. Tests that set
 * timers of a machine from another one's callback are served too, as long as the world is small. */
#include "loop/virtual.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

#define START_US      US_PER_S
#define START_WALL_MS UINT64_C(1767225600000) /* 2026-01-01T00:00:00Z */

enum { SMALL_WORLD = 32, FIRST_PORT = 40000 };

static uint64_t wall_ms(uint64_t now_us)
{
    return START_WALL_MS + (now_us - START_US) / US_PER_MS;
}

/* --- the world --- */

struct loop_virtual *loop_virtual_new(uint64_t seed)
{
    struct loop_virtual *w = MEM_NEW(struct loop_virtual);
    w->seed = seed;
    rng_init_seeded(&w->rng, seed);
    sched_init(&w->net, START_US, START_WALL_MS);
    list_init(&w->machines);
    list_init(&w->nats);
    list_init(&w->ready);
    heap_init(&w->sleepers);
    map_init(&w->by_ip, seed);
    map_init(&w->links, seed);
    map_init(&w->names, seed);
    return w;
}

void loop_virtual_free(struct loop_virtual *w)
{
    if (!w)
        return;
    while (!list_is_empty(&w->machines))
        loop_free(&LIST_ENTRY(w->machines.next, struct virtual_machine, of_world)->base);
    for (struct map_entry *e = map_first(&w->links); e; e = map_next(&w->links, e))
        free(e->value);
    virtual_names_fini(w);
    virtual_nats_fini(w);
    map_fini(&w->links);
    map_fini(&w->by_ip);
    heap_fini(&w->sleepers);
    sched_fini(&w->net);
    free(w);
}

uint64_t loop_virtual_now(const struct loop_virtual *w)
{
    return w->net.now_us;
}

/* --- machines --- */

static struct bytes ip_key(const struct net_addr *ip)
{
    return bytes_of(ip->ip, ip->kind == NET_IP4 ? 4 : 16);
}

struct loop *loop_virtual_machine(struct loop_virtual *w, const struct net_addr *ip)
{
    struct virtual_machine *m = MEM_NEW(struct virtual_machine);
    assert(ip->kind == NET_IP4 || ip->kind == NET_IP6);
    m->base.ops = &virtual_ops;
    m->world = w;
    m->index = w->next_index++;
    m->ip = *ip;
    m->ip.port = 0;
    m->next_port = FIRST_PORT;
    sched_init(&m->base.sched, w->net.now_us, w->net.wall_ms);
    rng_init_seeded(&m->base.rng, w->seed * UINT64_C(0x9e3779b97f4a7c15) + m->index + 1);
    list_init(&m->ready);
    list_init(&m->streams);
    list_init(&m->listeners);
    list_init(&m->udps);
    list_init(&m->requests);
    list_append(&w->machines, &m->of_world);
    w->machine_count++;
    map_put(&w->by_ip, ip_key(ip), m);
    return &m->base;
}

static void discard_all(struct virtual_machine *m)
{
    LIST_FOREACH_SAFE (&m->requests, it) {
        struct virtual_request *r = LIST_ENTRY(it, struct virtual_request, link);
        list_remove(it);
        r->discard(r);
    }
    while (!list_is_empty(&m->listeners))
        virtual_listener_close(
            &LIST_ENTRY(m->listeners.next, struct virtual_listener, of_machine)->base);
    for (struct loop_udp *u; (u = virtual_first_udp(m)) != NULL;)
        virtual_udp_close(u);
    while (!list_is_empty(&m->streams))
        virtual_stream_free(LIST_ENTRY(m->streams.next, struct virtual_stream, of_machine));
}

static void virtual_free(struct loop *l)
{
    struct virtual_machine *m = virtual_of(l);
    struct loop_virtual *w = m->world;
    discard_all(m);
    list_remove(&m->ready);
    list_remove(&m->of_world);
    w->machine_count--;
    heap_remove(&w->sleepers, &m->sleep);
    if (map_get(&w->by_ip, ip_key(&m->ip)) == m)
        map_take(&w->by_ip, ip_key(&m->ip));
    sched_fini(&l->sched);
    free(m);
}

void loop_virtual_crash(struct loop_virtual *w, struct loop *l, bool tells)
{
    struct virtual_machine *m = virtual_of(l);
    if (m->death != ALIVE)
        return;
    m->death = tells ? DEAD_TELLING : DEAD_SILENT;
    LIST_FOREACH (&m->streams, it)
        virtual_stream_crashed(LIST_ENTRY(it, struct virtual_stream, of_machine), tells);
    list_remove(&m->ready);
    heap_remove(&w->sleepers, &m->sleep);
}

void loop_virtual_set_ip(struct loop_virtual *w, struct loop *l, const struct net_addr *ip)
{
    struct virtual_machine *m = virtual_of(l);
    if (map_get(&w->by_ip, ip_key(&m->ip)) == m)
        map_take(&w->by_ip, ip_key(&m->ip));
    m->ip = *ip;
    map_put(&w->by_ip, ip_key(ip), m);
    LIST_FOREACH (&m->streams, it)
        virtual_stream_orphan(LIST_ENTRY(it, struct virtual_stream, of_machine));
}

/* --- time --- */

void virtual_ready(struct virtual_machine *m)
{
    if (m->death == ALIVE && list_is_empty(&m->ready))
        list_append(&m->world->ready, &m->ready);
}

void virtual_defer(struct virtual_machine *m, struct task *t)
{
    if (m->death != ALIVE)
        return;
    task_defer(&m->base.sched, t);
    virtual_ready(m);
}

static void go_to_sleep(struct virtual_machine *m)
{
    if (m->death != ALIVE)
        return;
    uint64_t at = sched_deadline(&m->base.sched);
    struct heap *h = &m->world->sleepers;
    if (heap_has(&m->sleep) && m->sleep.key == at)
        return;
    heap_remove(h, &m->sleep);
    if (at != SCHED_NEVER)
        heap_insert(h, &m->sleep, at);
}

/* What its clock on the wall says. */
static uint64_t own_wall_ms(const struct virtual_machine *m)
{
    const struct sched *net = &m->world->net;
    int64_t ran_us = (int64_t)(net->now_us - m->drift_since_us);
    int64_t off = m->wall_offset_ms + ran_us / 1000 * m->drift_ppm / 1000000;
    return (uint64_t)((int64_t)net->wall_ms + off);
}

static void set_now(struct virtual_machine *m)
{
    sched_set_now(&m->base.sched, m->world->net.now_us, own_wall_ms(m));
}

static void run_ready(struct loop_virtual *w)
{
    while (!list_is_empty(&w->ready)) {
        struct virtual_machine *m = LIST_ENTRY(w->ready.next, struct virtual_machine, ready);
        list_remove(&m->ready);
        set_now(m);
        w->running = m;
        w->counts.turns++;
        sched_run_timers(&m->base.sched);
        sched_run_tasks(&m->base.sched);
        w->running = NULL;
        go_to_sleep(m);
    }
}

/* Between two runs anything may have been done to a machine. A turn is only for those that have something to do. */
static void ready_all(struct loop_virtual *w)
{
    LIST_FOREACH (&w->machines, it) {
        struct virtual_machine *m = LIST_ENTRY(it, struct virtual_machine, of_world);
        if (sched_deadline(&m->base.sched) <= w->net.now_us)
            virtual_ready(m);
        else
            go_to_sleep(m);
    }
}

static void refresh_all(struct loop_virtual *w)
{
    LIST_FOREACH (&w->machines, it) {
        go_to_sleep(LIST_ENTRY(it, struct virtual_machine, of_world));
    }
}

static uint64_t next_us(struct loop_virtual *w)
{
    if (w->machine_count <= SMALL_WORLD)
        refresh_all(w);
    uint64_t net = sched_deadline(&w->net);
    const struct heap_node *n = heap_peek(&w->sleepers);
    uint64_t at = n && n->key < net ? n->key : net;
    return at < w->net.now_us ? w->net.now_us : at;
}

static void jump_to(struct loop_virtual *w, uint64_t now_us)
{
    struct heap_node *n;
    sched_set_now(&w->net, now_us, wall_ms(now_us));
    sched_run_timers(&w->net);
    while ((n = heap_peek(&w->sleepers)) && n->key <= now_us) {
        heap_remove(&w->sleepers, n);
        virtual_ready(CONTAINER_OF(n, struct virtual_machine, sleep));
    }
}

uint64_t loop_virtual_run(struct loop_virtual *w, uint64_t until_us, bool (*stop)(void *ctx),
                          void *ctx)
{
    ready_all(w);
    for (;;) {
        run_ready(w);
        if (stop && stop(ctx))
            break;
        uint64_t at = next_us(w);
        if (at > until_us || at == SCHED_NEVER) {
            if (until_us != SCHED_NEVER && until_us > w->net.now_us)
                jump_to(w, until_us);
            break;
        }
        jump_to(w, at);
    }
    LIST_FOREACH (&w->machines, it)
        set_now(LIST_ENTRY(it, struct virtual_machine, of_world));
    return w->net.now_us;
}

void loop_virtual_set_clock(struct loop_virtual *w, struct loop *l, int64_t offset_ms,
                            int32_t drift_ppm)
{
    struct virtual_machine *m = virtual_of(l);
    m->wall_offset_ms = offset_ms;
    m->drift_ppm = drift_ppm;
    m->drift_since_us = w->net.now_us;
    set_now(m);
}

void loop_virtual_suspended(struct loop *l, uint64_t us)
{
    virtual_of(l)->suspended_us += us;
}

static size_t length(const struct list *l)
{
    size_t n = 0;
    LIST_FOREACH ((struct list *)(uintptr_t)l, it)
        n++;
    return n;
}

struct loop_virtual_held loop_virtual_held(const struct loop *l)
{
    const struct virtual_machine *m = CONTAINER_OF(l, const struct virtual_machine, base);
    struct loop_virtual_held h = {.listeners = length(&m->listeners),
                                  .udps = length(&m->udps),
                                  .timers = l->sched.timers.n,
                                  .tasks = length(&l->sched.tasks)};
    LIST_FOREACH (&m->streams, it) {
        const struct virtual_stream *s = LIST_ENTRY(it, struct virtual_stream, of_machine);
        h.streams += s->is_given && !s->is_closed;
    }
    return h;
}

struct loop_virtual_counts loop_virtual_count(const struct loop_virtual *w)
{
    return w->counts;
}

struct loop *loop_virtual_running(const struct loop_virtual *w)
{
    return w->running ? &w->running->base : NULL;
}

/* --- a machine as a loop of its own --- */

static bool is_stopped(void *ctx)
{
    return ((struct virtual_machine *)ctx)->is_stopped;
}

static void virtual_run(struct loop *l)
{
    struct virtual_machine *m = virtual_of(l);
    loop_virtual_run(m->world, SCHED_NEVER, is_stopped, m);
    m->is_stopped = false;
}

static void virtual_stop(struct loop *l)
{
    virtual_of(l)->is_stopped = true;
}

static uint64_t suspended_us(struct loop *l)
{
    return virtual_of(l)->suspended_us;
}

const struct loop_ops virtual_ops = {
    .run = virtual_run,
    .stop = virtual_stop,
    .free = virtual_free,
    .dial = virtual_dial,
    .dial_cancel = virtual_dial_cancel,
    .listen = virtual_listen,
    .listener_pause = virtual_listener_pause,
    .listener_close = virtual_listener_close,
    .resolve_servers = virtual_resolve_servers,
    .resolve = virtual_resolve,
    .resolve_cancel = virtual_resolve_cancel,
    .work = virtual_work,
    .work_cancel = virtual_work_cancel,
    .spawn = virtual_spawn, /* makes no child, so nothing of a child is ever asked */
    .signal = virtual_signal,
    .signal_close = virtual_signal_close,
    .udp_open = virtual_udp_open,
    .udp_send = virtual_udp_send,
    .udp_close = virtual_udp_close,
    .interfaces = virtual_interfaces,
    .suspended_us = suspended_us,
    .interface_list = virtual_interface_list,
};
