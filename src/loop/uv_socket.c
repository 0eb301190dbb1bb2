// SPDX-License-Identifier: MIT
/* A connected TCP or unix socket as a stream: uv_poll_t says when, we call recv and sendmsg.
 *
 * Not uv_tcp_t: streams pull, so an idle connection needs no buffer, and a write either goes to the
 * kernel at once or is refused; nothing is queued here.
 *
 * The hard thing is what to watch. Changing a uv_poll_t costs two epoll_ctl, and a level-triggered
 * event that nobody wants comes back for ever. So interest is added when a want needs it, and
 * dropped only when an event arrives that nobody wanted:
 *
 *   READABLE   from the start, and kept over want_read(false) until bytes come that nobody wants;
 *              gone after the end was read (an end stays readable)
 *   WRITABLE   from want_write until the event
 *   otherwise  PRIORITIZED, which we never expect: it keeps the socket in epoll, so that errors
 *              and hang-ups are still heard of
 *   nothing    hung up on both sides, and still not wanted: no more news can come
 *
 * In the steady state a request costs epoll_wait, one recv, one sendmsg.
 *
 *   open --uvm_socket_reset--> fd and handle gone --close--> freed
 *     \--close--> bytes under way? linger: FIN, read and drop until the end --> freed */
#include "loop/uv_socket.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/trace.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/sockios.h>
#endif

static_assert(sizeof(struct bytes) == sizeof(struct iovec) &&
                  offsetof(struct bytes, p) == offsetof(struct iovec, iov_base) &&
                  offsetof(struct bytes, n) == offsetof(struct iovec, iov_len),
              "a list of bytes is a list of iovecs");

enum { SMALL_WRITE = 2048 };

static void socket_event(uv_poll_t *poll, int status, int events);

static struct uvm_socket *of(struct stream *st)
{
    return CONTAINER_OF(st, struct uvm_socket, base);
}

/* --- the end --- */

static void handle_gone(uv_handle_t *h)
{
    struct uvm_socket *s = CONTAINER_OF((uv_poll_t *)h, struct uvm_socket, poll);
    s->is_handle_gone = true;
    if (s->is_closed)
        free(s);
}

/* Gives the descriptor back. libuv must let go first, or it would watch a stranger's number. */
static void give_back(struct uvm_socket *s)
{
    if (s->fd < 0)
        return;
    uv_close((uv_handle_t *)&s->poll, handle_gone);
    close(s->fd);
    s->fd = -1;
}

void uvm_socket_discard(struct uvm_socket *s)
{
    s->is_closed = true;
    if (s->is_handle_gone)
        free(s);
    else
        give_back(s);
}

static void discard_left_open(uv_handle_t *h)
{
    uvm_socket_discard(CONTAINER_OF((uv_poll_t *)h, struct uvm_socket, poll));
}

static const struct uvm_kind socket_kind = {discard_left_open};

/* --- what is watched --- */

static void watch(struct uvm_socket *s, int events)
{
    if (s->watched == events || s->fd < 0)
        return;
    s->watched = (uint8_t)events;
    if (!(events & UV_READABLE))
        s->is_drained = false; /* nobody would say when more has come */
    if (events == 0)
        uv_poll_stop(&s->poll);
    else
        uv_poll_start(&s->poll, events, socket_event);
}

static int wanted(const struct uvm_socket *s)
{
    return (s->base.wants_read && !s->is_ended ? UV_READABLE : 0) |
           (s->base.wants_write ? UV_WRITABLE : 0);
}

static void watch_more(struct uvm_socket *s)
{
    int events = wanted(s);
    if (events & ~s->watched)
        watch(s, events | (s->watched & UV_READABLE));
}

/* After an event: what came and is not wanted goes, so that it does not come again at once. */
static void watch_less(struct uvm_socket *s, int came)
{
    int events = s->watched & ~(came & ~wanted(s));
    events &= UV_READABLE | UV_WRITABLE;
    events |= wanted(s);
    watch(s, events ? events : UV_PRIORITIZED);
}

static void socket_want(struct stream *st, bool read, bool write)
{
    struct uvm_socket *s = of(st);
    if (s->fd >= 0 && !s->is_told)
        watch_more(s);
}

/* --- reading and writing --- */

static ssize_t fail(struct uvm_socket *s, int sys_errno)
{
    int err = err_from_errno(sys_errno);
    if (!s->broken)
        s->broken = (int16_t)(err == E_AGAIN ? E_IO : err);
    return s->broken;
}

static ssize_t socket_read(struct stream *st, void *p, size_t n)
{
    struct uvm_socket *s = of(st);
    ssize_t got;
    assert(n > 0);
    if (s->fd < 0)
        return E_CLOSED;
    if (s->is_ended)
        return s->broken ? s->broken : E_EOF;
    if (s->is_drained)
        return E_AGAIN;
    do
        got = recv(s->fd, p, n, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        s->is_drained = (size_t)got < n && (s->watched & UV_READABLE);
        return got;
    }
    if (got < 0 && errno == EAGAIN)
        return E_AGAIN;
    if (got < 0) {
        fail(s, errno);
        s->is_ended = true;
        return s->broken;
    }
    s->is_ended = true; /* after a failed write an end is not a clean one */
    return s->broken ? s->broken : E_EOF;
}

/* A head and a small body as one piece: copying them is cheaper than the kernel's walk over a list. */
static bool flatten(const struct bytes *v, int count, uint8_t out[static SMALL_WRITE],
                    struct bytes *flat)
{
    size_t n = 0;
    for (int i = 0; i < count; i++) {
        if (v[i].n > SMALL_WRITE - n)
            return false;
        if (v[i].n)
            memcpy(out + n, v[i].p, v[i].n);
        n += v[i].n;
    }
    *flat = bytes_of(out, n);
    return true;
}

static ssize_t socket_writev(struct stream *st, const struct bytes *v, int count)
{
    struct uvm_socket *s = of(st);
    struct msghdr m = {.msg_iov = (struct iovec *)v,
                       .msg_iovlen = (size_t)(count < IOV_MAX ? count : IOV_MAX)};
    uint8_t small[SMALL_WRITE];
    struct bytes flat;
    ssize_t put;
    if (s->fd < 0)
        return E_CLOSED;
    if (s->broken)
        return s->broken;
    assert(!s->is_finished);
    if (count > 1 && flatten(v, count, small, &flat)) {
        v = &flat;
        count = 1;
    }
    do
        put = count == 1 ? send(s->fd, v->p, v->n, MSG_NOSIGNAL) : sendmsg(s->fd, &m, MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put >= 0)
        return put;
    return errno == EAGAIN || errno == ENOBUFS ? 0 : fail(s, errno);
}

static int socket_finish(struct stream *st)
{
    struct uvm_socket *s = of(st);
    if (s->fd < 0)
        return E_CLOSED;
    if (s->is_finished)
        return 0;
    s->is_finished = true;
    if (shutdown(s->fd, SHUT_WR) != 0 && !s->broken)
        return err_from_errno(errno);
    return s->broken;
}

/* --- events --- */

static int unread(const struct uvm_socket *s)
{
    int n = 0;
    return ioctl(s->fd, FIONREAD, &n) == 0 ? n : 0;
}

/* Tells the user that it broke, after what still can be read was read by whoever wants to. */
static void break_up(struct uvm_socket *s)
{
    if (s->base.wants_read && s->base.on && !s->is_ended && unread(s) > 0) {
        s->is_drained = false;
        s->base.on->readable(s->base.ctx);
        if (s->is_closed || s->fd < 0)
            return;
        if (s->base.wants_read && !s->is_ended && unread(s) > 0) {
            watch(s, UV_READABLE);
            return;
        }
    }
    if (!s->broken) {
        int e = 0;
        socklen_t len = sizeof e;
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &len);
        fail(s, e ? e : ECONNRESET);
    }
    watch(s, 0);
    if (!s->is_told && s->base.on) {
        s->is_told = true;
        s->base.on->closed(s->base.ctx, s->broken);
    }
}

/* An event while nothing but errors was watched for. */
static void look_closer(struct uvm_socket *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    if (poll(&p, 1, 0) <= 0)
        return;
    if ((p.revents & POLLERR) ||
        ((p.revents & POLLHUP) && !s->is_finished && !s->is_ended && unread(s) == 0)) {
        break_up(s);
        return;
    }
    /* Both sides ended in order, or urgent data, which nobody sends in earnest. */
    watch(s, wanted(s));
}

static void socket_event(uv_poll_t *poll, int status, int events)
{
    struct uvm_socket *s = CONTAINER_OF(poll, struct uvm_socket, poll);
    uvm_woke(poll->loop->data);
    s->is_drained = false;
    if (status < 0) { /* POLLERR; libuv has stopped watching */
        s->watched = 0;
        break_up(s);
        return;
    }
    if ((events & UV_READABLE) && s->base.wants_read && s->base.on && !s->is_ended) {
        s->base.on->readable(s->base.ctx);
        if (s->is_closed || s->fd < 0)
            return;
    }
    if ((events & UV_WRITABLE) && s->base.wants_write && s->base.on) {
        s->base.wants_write = false;
        s->base.on->writable(s->base.ctx);
        if (s->is_closed || s->fd < 0)
            return;
    }
    if (s->broken && !s->is_told)
        break_up(s);
    else if (events & UV_PRIORITIZED)
        look_closer(s);
    else
        watch_less(s, events);
}

/* --- reset and close --- */

static void socket_reset(struct stream *st, enum stream_reason reason)
{
    struct uvm_socket *s = of(st);
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (s->fd < 0)
        return;
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    give_back(s);
}

/* Closing a socket with unread bytes sends RST, which may overtake what we wrote last. A lingering
 * socket has sent FIN and drops what comes until the other side ends, or time or patience is out.
 */
struct lingerer {
    struct timer deadline;
    struct uvm_socket *s;
    size_t dropped;
};

static void linger_end(struct lingerer *l)
{
    struct uvm *m = l->s->poll.loop->data;
    timer_clear(&m->base.sched, &l->deadline);
    uvm_socket_discard(l->s);
    free(l);
}

static void linger_expired(struct timer *t)
{
    linger_end(CONTAINER_OF(t, struct lingerer, deadline));
}

static void linger_event(uv_poll_t *poll, int status, int events)
{
    struct uvm_socket *s = CONTAINER_OF(poll, struct uvm_socket, poll);
    struct lingerer *l = s->base.ctx;
    char dropped[16384];
    uvm_woke(poll->loop->data);
    for (int i = 0; i < 4; i++) {
        ssize_t n = status < 0 ? 0 : recv(s->fd, dropped, sizeof dropped, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        l->dropped += n > 0 ? (size_t)n : 0;
        if (n <= 0 || l->dropped > LIMIT_LOOP_LINGER_BYTES) {
            linger_end(l);
            return;
        }
        if ((size_t)n < sizeof dropped)
            return;
    }
}

static void discard_lingerer(uv_handle_t *h)
{
    struct uvm_socket *s = CONTAINER_OF((uv_poll_t *)h, struct uvm_socket, poll);
    free(s->base.ctx); /* loop_free has forgotten the timer */
    uvm_socket_discard(s);
}

static const struct uvm_kind linger_kind = {discard_lingerer};

static void linger_start(struct uvm_socket *s)
{
    struct uvm *m = s->poll.loop->data;
    struct lingerer *l = MEM_NEW(struct lingerer);
    l->s = s;
    timer_init(&l->deadline, linger_expired);
    timer_after(&m->base.sched, &l->deadline, LIMIT_LOOP_LINGER_US);
    s->base.on = NULL;
    s->base.ctx = l;
    s->poll.data = (void *)&linger_kind;
    shutdown(s->fd, SHUT_WR);
    uv_poll_start(&s->poll, UV_READABLE, linger_event);
}

static bool has_bytes_under_way(const struct uvm_socket *s)
{
    int unsent = 1;
#ifdef __linux__
    if (ioctl(s->fd, SIOCOUTQ, &unsent) != 0)
        unsent = 0;
#endif
    return unsent > 0 || unread(s) > 0;
}

static void socket_close(struct stream *st)
{
    struct uvm_socket *s = of(st);
    assert(!s->is_closed);
    s->is_closed = true;
    if (s->fd >= 0 && !s->is_ended && !s->broken && has_bytes_under_way(s))
        linger_start(s);
    else
        uvm_socket_discard(s);
}

static const struct stream_ops tcp_ops = {
    "tcp", socket_read, socket_writev, socket_finish, socket_reset, socket_close, socket_want,
};
static const struct stream_ops unix_ops = {
    "unix", socket_read, socket_writev, socket_finish, socket_reset, socket_close, socket_want,
};

/* --- the beginning --- */

struct uvm_socket *uvm_socket_new(struct uvm *m, int fd, const struct net_addr *remote)
{
    struct uvm_socket *s = MEM_NEW(struct uvm_socket);
    if (uv_poll_init(&m->uv, &s->poll, fd) != 0) {
        close(fd);
        free(s);
        return NULL;
    }
    s->poll.data = (void *)&socket_kind;
    s->fd = fd;
    s->base.ops = remote->kind == NET_UNIX ? &unix_ops : &tcp_ops;
    s->base.remote = *remote;
    return s;
}

struct stream *uvm_socket_open(struct uvm_socket *s)
{
    s->base.ctx = NULL;
    watch(s, UV_READABLE);
    return &s->base;
}
