// SPDX-License-Identifier: MIT
/* Connecting, TCP and unix.
 *
 *   loop_dial --connect--> done now   -> outcome told by a task (never inside the call)
 *                      \-> under way  -> uv_poll writable -> SO_ERROR   -> outcome
 *                       \-> unix backlog full -> tried again every 5 ms -> …
 *             deadline -> E_TIMEOUT      cancel -> E_CANCELLED, by a task too
 *
 * The hard thing: dialling a dead port of this machine from the range of automatic ports may meet
 * itself (TCP's simultaneous open) and "succeed"; such a connection is refused here. */
#include "base/mem.h"
#include "loop/sockaddr.h"
#include "loop/uv_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { UNIX_RETRY_US = 5000 };

struct dial {
    struct uvm_request pending;
    struct loop_dial *req;
    struct loop *loop;
    struct uvm_socket *sock; /* its poll handle is ours until it is connected */
    struct net_addr to;
    struct task tell;
    struct timer deadline, retry;
    int err;
};

static void dial_settled(struct dial *d, int err)
{
    d->err = err;
    timer_clear(&d->loop->sched, &d->deadline);
    timer_clear(&d->loop->sched, &d->retry);
    if (err && d->sock) {
        uvm_socket_discard(d->sock);
        d->sock = NULL;
    } else if (d->sock) {
        uv_poll_stop(&d->sock->poll);
    }
    task_defer(&d->loop->sched, &d->tell);
}

static void dial_tell(struct task *t)
{
    struct dial d = *CONTAINER_OF(t, struct dial, tell);
    list_remove(&CONTAINER_OF(t, struct dial, tell)->pending.link);
    free(CONTAINER_OF(t, struct dial, tell));
    d.req->maker = NULL;
    d.req->done(d.req, d.err, d.sock ? uvm_socket_open(d.sock) : NULL);
}

static void dial_expired(struct timer *t)
{
    dial_settled(CONTAINER_OF(t, struct dial, deadline), E_TIMEOUT);
}

static bool is_met_itself(int fd)
{
    struct sockaddr_storage a, b;
    socklen_t na = sizeof a, nb = sizeof b;
    if (getsockname(fd, (struct sockaddr *)&a, &na) != 0 ||
        getpeername(fd, (struct sockaddr *)&b, &nb) != 0)
        return false;
    struct net_addr here = sockaddr_to_net((struct sockaddr *)&a, na);
    struct net_addr there = sockaddr_to_net((struct sockaddr *)&b, nb);
    return net_addr_eq(&here, &there);
}

static void dial_connected(struct dial *d)
{
    int fd = d->sock->fd;
    bool may_be_us = d->to.kind != NET_UNIX && net_addr_is_loopback(&d->to);
    dial_settled(d, may_be_us && is_met_itself(fd) ? E_REFUSED : 0);
}

static void dial_event(uv_poll_t *poll, int status, int events)
{
    struct uvm_socket *s = CONTAINER_OF(poll, struct uvm_socket, poll);
    struct dial *d = s->base.ctx;
    int e = 0;
    socklen_t len = sizeof e;
    uvm_woke(poll->loop->data);
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &len);
    if (e)
        dial_settled(d, err_from_errno(e));
    else if (status < 0)
        dial_settled(d, E_IO);
    else
        dial_connected(d);
}

static void dial_connect(struct dial *d)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int err = sockaddr_from_net(&d->to, &sa, &len);
    if (err) {
        dial_settled(d, err);
    } else if (connect(d->sock->fd, (struct sockaddr *)&sa, len) == 0) {
        dial_connected(d);
    } else if (errno == EINPROGRESS) {
        d->sock->base.ctx = d;
        uv_poll_start(&d->sock->poll, UV_WRITABLE, dial_event);
    } else if (errno == EAGAIN && d->to.kind == NET_UNIX) {
        timer_after(&d->loop->sched, &d->retry, UNIX_RETRY_US);
    } else if (errno == ENOENT) {
        dial_settled(d, E_REFUSED); /* a unix path nobody listens on */
    } else {
        dial_settled(d, err_from_errno(errno));
    }
}

static void dial_retry(struct timer *t)
{
    dial_connect(CONTAINER_OF(t, struct dial, retry));
}

static int dial_open(struct dial *d, const struct net_addr *from)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int on = 1, err = sockaddr_from_net(&d->to, &sa, &len);
    if (err)
        return err;
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    if (sa.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (from && from->kind != NET_NONE) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        err = sockaddr_from_net(from, &sa, &len);
        if (!err && bind(fd, (struct sockaddr *)&sa, len) != 0)
            err = err_from_errno(errno);
        if (err) {
            close(fd);
            return err;
        }
    }
    d->sock = uvm_socket_new(uvm_of(d->loop), fd, &d->to);
    return d->sock ? 0 : E_IO;
}

void uvm_dial(struct loop *l, struct loop_dial *req, const struct net_addr *to,
              const struct net_addr *from, uint64_t timeout_us)
{
    struct dial *d = MEM_NEW(struct dial);
    d->req = req;
    d->loop = l;
    d->to = *to;
    req->maker = d;
    list_append(&uvm_of(l)->requests, &d->pending.link);
    task_init(&d->tell, dial_tell);
    timer_init(&d->deadline, dial_expired);
    timer_init(&d->retry, dial_retry);
    int err = dial_open(d, from);
    if (err) {
        dial_settled(d, err);
        return;
    }
    timer_after(&l->sched, &d->deadline, timeout_us);
    dial_connect(d);
}

void uvm_dial_cancel(struct loop *l, struct loop_dial *req)
{
    struct dial *d = req->maker;
    if (!d)
        return;
    dial_settled(d, E_CANCELLED);
}
