// SPDX-License-Identifier: MIT
/* The loop on libuv: its life, its clock, and how it drives the scheduler; see uv_maker.h for one
 * turn drawn.
 *
 * The hard thing is time. libuv's timers count milliseconds on a clock it caches; ours count
 * microseconds and must be fresh when the first callback of a turn runs. So libuv gets one timer,
 * the alarm, that only ends its sleep, rounded up; whether something is due is decided by our own
 * reading of the monotonic clock. */
#include "loop/uv_maker.h"

#include "base/mem.h"
#include "base/trace.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

/* How long the wall clock may be extrapolated before it is looked at again. */
enum { WALL_REFRESH_US = 100000 };

static uint64_t clock_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
}

/* What passed since the machine started, and what of it was awake. A clock that does not count suspends
 * (CLOCK_MONOTONIC on Linux) is told from one that does; elsewhere the former does already. */
static uint64_t uvm_suspended_us(struct loop *l)
{
#ifdef CLOCK_BOOTTIME
    uint64_t awake_us = clock_us(CLOCK_MONOTONIC), all_us = clock_us(CLOCK_BOOTTIME);
    return all_us > awake_us ? all_us - awake_us : 0;
#else
    return 0;
#endif
}

static void clock_read(struct uvm *m)
{
    uint64_t now = clock_us(CLOCK_MONOTONIC);
    if (m->wall_ms == 0 || now - m->wall_at_us > WALL_REFRESH_US) {
        m->wall_ms = clock_us(CLOCK_REALTIME) / US_PER_MS;
        m->wall_at_us = now;
    }
    if (now < m->base.sched.now_us)
        now = m->base.sched.now_us;
    sched_set_now(&m->base.sched, now, m->wall_ms + (now - m->wall_at_us) / US_PER_MS);
}

void uvm_woke(struct uvm *m)
{
    if (m->is_awake)
        return;
    m->is_awake = true;
    clock_read(m);
}

static void alarm_rang(uv_timer_t *t)
{
    /* Nothing: it ended the sleep; `check` looks at what is due. */
}

/* libuv's clock is the monotonic one in milliseconds, like ours divided by 1000. */
static void alarm_set(struct uvm *m)
{
    uint64_t at = sched_deadline(&m->base.sched);
    if (at == SCHED_NEVER) {
        uv_timer_stop(&m->alarm);
        return;
    }
    uint64_t at_ms = at / US_PER_MS + (at % US_PER_MS != 0), uv_ms = uv_now(&m->uv);
    if (uv_is_active((uv_handle_t *)&m->alarm) && m->alarm_ms == at_ms)
        return;
    m->alarm_ms = at_ms;
    uv_timer_start(&m->alarm, alarm_rang, at_ms > uv_ms ? at_ms - uv_ms : 0, 0);
}

static void before_sleep(uv_prepare_t *p)
{
    struct uvm *m = CONTAINER_OF(p, struct uvm, prepare);
    sched_run_tasks(&m->base.sched);
    alarm_set(m);
    m->is_awake = false;
}

static void after_sleep(uv_check_t *c)
{
    struct uvm *m = CONTAINER_OF(c, struct uvm, check);
    uvm_woke(m);
    sched_run_timers(&m->base.sched);
    sched_run_tasks(&m->base.sched);
    alarm_set(m); /* also tells libuv that something is left to wait for */
}

static const struct uvm_kind own_kind = {NULL}; /* closed by loop_free itself */

static int handles_start(struct uvm *m)
{
    uv_prepare_init(&m->uv, &m->prepare);
    uv_check_init(&m->uv, &m->check);
    uv_timer_init(&m->uv, &m->alarm);
    m->prepare.data = m->check.data = m->alarm.data = (void *)&own_kind;
    int rc = uv_prepare_start(&m->prepare, before_sleep);
    if (rc == 0)
        rc = uv_check_start(&m->check, after_sleep);
    uv_unref((uv_handle_t *)&m->prepare);
    uv_unref((uv_handle_t *)&m->check);
    return rc;
}

struct loop *loop_uv_new(void)
{
    struct uvm *m = MEM_NEW(struct uvm);
    if (uv_loop_init(&m->uv) != 0) {
        free(m);
        return NULL;
    }
    m->uv.data = m;
    m->base.ops = &uvm_ops;
    list_init(&m->requests);
    rng_init_system(&m->base.rng);
    sched_init(&m->base.sched, clock_us(CLOCK_MONOTONIC), 0);
    clock_read(m);
    if (handles_start(m) != 0) {
        loop_free(&m->base);
        return NULL;
    }
    return &m->base;
}

static void uvm_run(struct loop *l)
{
    struct uvm *m = uvm_of(l);
    clock_read(m);
    uv_update_time(&m->uv);
    sched_run_tasks(&l->sched);
    alarm_set(m);
    uv_run(&m->uv, UV_RUN_DEFAULT);
}

static void uvm_stop(struct loop *l)
{
    uv_stop(&uvm_of(l)->uv);
}

static void discard_handle(uv_handle_t *h, void *arg)
{
    const struct uvm_kind *kind = h->data;
    if (uv_is_closing(h))
        return;
    if (kind && kind->discard)
        kind->discard(h);
    else
        uv_close(h, NULL);
}

static void uvm_free(struct loop *l)
{
    struct uvm *m = uvm_of(l);
    m->is_dying = true;
    uvm_names_free(m);
    sched_fini(&l->sched); /* nobody is called from here on … */
    uv_prepare_stop(&m->prepare);
    uv_check_stop(&m->check);
    uv_walk(&m->uv, discard_handle, NULL);
    while (uv_run(&m->uv, UV_RUN_DEFAULT) != 0) { /* … but workers, which must come home */
    }
    LIST_FOREACH_SAFE (&m->requests, it)
        free(LIST_ENTRY(it, struct uvm_request, link));
    int rc = uv_loop_close(&m->uv);
    assert(rc == 0);
    free(m);
}

size_t uvm_interfaces(struct loop *l, struct net_addr *out, size_t max)
{
    uv_interface_address_t *v;
    int count;
    size_t n = 0;
    if (uv_interface_addresses(&v, &count) != 0)
        return 0;
    for (int i = 0; i < count && n < max; i++) {
        struct net_addr a = {0};
        if (v[i].address.address4.sin_family == AF_INET) {
            a.kind = NET_IP4;
            memcpy(a.ip, &v[i].address.address4.sin_addr, 4);
        } else if (v[i].address.address4.sin_family == AF_INET6) {
            a.kind = NET_IP6;
            memcpy(a.ip, &v[i].address.address6.sin6_addr, 16);
            a.scope_id = v[i].address.address6.sin6_scope_id;
        } else {
            continue;
        }
        out[n++] = a;
    }
    uv_free_interface_addresses(v, count);
    return n;
}

const struct loop_ops uvm_ops = {
    .run = uvm_run,
    .stop = uvm_stop,
    .free = uvm_free,
    .dial = uvm_dial,
    .dial_cancel = uvm_dial_cancel,
    .listen = uvm_listen,
    .listener_pause = uvm_listener_pause,
    .listener_close = uvm_listener_close,
    .resolve_servers = uvm_resolve_servers,
    .resolve = uvm_resolve,
    .resolve_cancel = uvm_resolve_cancel,
    .work = uvm_work,
    .work_cancel = uvm_work_cancel,
    .spawn = uvm_spawn,
    .child_pid = uvm_child_pid,
    .child_kill = uvm_child_kill,
    .child_close = uvm_child_close,
    .signal = uvm_signal,
    .signal_close = uvm_signal_close,
    .udp_open = uvm_udp_open,
    .udp_send = uvm_udp_send,
    .udp_close = uvm_udp_close,
    .interfaces = uvm_interfaces,
    .suspended_us = uvm_suspended_us,
    .interface_list = uvm_interface_list,
};
