// SPDX-License-Identifier: MIT
/* The interface in front of the makers: each call goes to the table of the loop it is made on. */
#include "loop/maker.h"

void loop_run(struct loop *l)
{
    l->ops->run(l);
}

void loop_stop(struct loop *l)
{
    l->ops->stop(l);
}

void loop_free(struct loop *l)
{
    if (l)
        l->ops->free(l);
}

struct sched *loop_sched(struct loop *l)
{
    return &l->sched;
}

struct rng *loop_rng(struct loop *l)
{
    return &l->rng;
}

void loop_dial(struct loop *l, struct loop_dial *d, const struct net_addr *to,
               const struct net_addr *from, uint64_t timeout_us)
{
    l->ops->dial(l, d, to, from, timeout_us);
}

void loop_dial_cancel(struct loop *l, struct loop_dial *d)
{
    l->ops->dial_cancel(l, d);
}

int loop_listen(struct loop *l, const struct loop_listen_options *opts, struct loop_listener **out)
{
    return l->ops->listen(l, opts, out);
}

const struct net_addr *loop_listener_addr(const struct loop_listener *ln)
{
    return &ln->addr;
}

void loop_listener_pause(struct loop_listener *ln, bool pause)
{
    ln->loop->ops->listener_pause(ln, pause);
}

void loop_listener_close(struct loop_listener *ln)
{
    ln->loop->ops->listener_close(ln);
}

int loop_resolve_servers(struct loop *l, const char *servers)
{
    return l->ops->resolve_servers(l, servers);
}

void loop_resolve(struct loop *l, struct loop_resolve *r, const char *name, enum loop_dns what,
                  uint64_t timeout_us)
{
    l->ops->resolve(l, r, name, what, timeout_us);
}

void loop_resolve_cancel(struct loop *l, struct loop_resolve *r)
{
    l->ops->resolve_cancel(l, r);
}

void loop_work(struct loop *l, struct loop_work *w)
{
    l->ops->work(l, w);
}

void loop_work_cancel(struct loop *l, struct loop_work *w)
{
    l->ops->work_cancel(l, w);
}

int loop_spawn(struct loop *l, const struct loop_spawn_options *opts, struct loop_child **out)
{
    return l->ops->spawn(l, opts, out);
}

int loop_child_pid(const struct loop_child *c)
{
    return c->loop->ops->child_pid(c);
}

void loop_child_kill(struct loop_child *c, int signal)
{
    c->loop->ops->child_kill(c, signal);
}

void loop_child_close(struct loop_child *c)
{
    c->loop->ops->child_close(c);
}

int loop_signal(struct loop *l, int signum, void (*caught)(void *ctx, int signum), void *ctx,
                struct loop_signal **out)
{
    return l->ops->signal(l, signum, caught, ctx, out);
}

void loop_signal_close(struct loop_signal *s)
{
    s->loop->ops->signal_close(s);
}

int loop_udp_open(struct loop *l, const struct loop_udp_options *opts, struct loop_udp **out)
{
    return l->ops->udp_open(l, opts, out);
}

int loop_udp_send(struct loop_udp *u, const struct net_addr *to, struct bytes datagram)
{
    return u->loop->ops->udp_send(u, to, datagram);
}

const struct net_addr *loop_udp_addr(const struct loop_udp *u)
{
    return &u->addr;
}

void loop_udp_close(struct loop_udp *u)
{
    u->loop->ops->udp_close(u);
}

size_t loop_interfaces(struct loop *l, struct net_addr *out, size_t max)
{
    return l->ops->interfaces(l, out, max);
}

uint64_t loop_suspended_us(struct loop *l)
{
    return l->ops->suspended_us(l);
}

size_t loop_interface_list(struct loop *l, struct loop_interface *out, size_t max)
{
    return l->ops->interface_list(l, out, max);
}
