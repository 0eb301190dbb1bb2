// SPDX-License-Identifier: MIT
/* Listening sockets, TCP and unix.
 *
 * The hard things are at the edges: a unix socket left behind by a killed process looks taken but
 * nobody answers (it is replaced; a live one or a plain file is not), and a process out of files
 * would spin on a backlog it cannot accept (it pauses instead). */
#include "base/limits.h"
#include "base/mem.h"
#include "base/trace.h"
#include "loop/sockaddr.h"
#include "loop/uv_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 1024, PAUSE_US = 100000 };

struct listener {
    struct loop_listener base;
    uv_poll_t poll;
    int fd;
    struct timer again; /* after files ran out */
    bool is_paused, is_closed;
    dev_t dev; /* unix: which file is ours to remove */
    ino_t ino;
};

static void listener_event(uv_poll_t *poll, int status, int events);

static void listener_gone(uv_handle_t *h)
{
    free(CONTAINER_OF((uv_poll_t *)h, struct listener, poll));
}

static void remove_path(const struct listener *ln)
{
    struct stat st;
    const char *path = ln->base.addr.path;
    if (ln->base.addr.kind == NET_UNIX && lstat(path, &st) == 0 && st.st_dev == ln->dev &&
        st.st_ino == ln->ino)
        unlink(path);
}

static void discard_listener(uv_handle_t *h)
{
    struct listener *ln = CONTAINER_OF((uv_poll_t *)h, struct listener, poll);
    ln->is_closed = true;
    remove_path(ln);
    uv_close(h, listener_gone);
    close(ln->fd);
}

static const struct uvm_kind listener_kind = {discard_listener};

static void accept_again(struct timer *t)
{
    struct listener *ln = CONTAINER_OF(t, struct listener, again);
    if (!ln->is_paused)
        uv_poll_start(&ln->poll, UV_READABLE, listener_event);
}

static void out_of_files(struct listener *ln, int sys_errno)
{
    TRACE(LOOP, WARN, "accept: %s -> pausing %d ms", err_text(err_from_errno(sys_errno)),
          PAUSE_US / 1000);
    uv_poll_stop(&ln->poll);
    timer_after(&ln->base.loop->sched, &ln->again, PAUSE_US);
}

/* One connection: false when there is none, or none can be had now. */
static bool accept_one(struct listener *ln)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    int fd = accept4(ln->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            out_of_files(ln, errno);
        return errno == EINTR || errno == ECONNABORTED;
    }
    struct net_addr remote = ln->base.addr.kind == NET_UNIX
                                 ? ln->base.addr
                                 : sockaddr_to_net((struct sockaddr *)&sa, len);
    struct uvm_socket *s = uvm_socket_new(uvm_of(ln->base.loop), fd, &remote);
    if (s)
        ln->base.opts.accepted(ln->base.opts.ctx, uvm_socket_open(s));
    return true;
}

static void listener_event(uv_poll_t *poll, int status, int events)
{
    struct listener *ln = CONTAINER_OF(poll, struct listener, poll);
    uvm_woke(poll->loop->data);
    if (status < 0) { /* libuv has stopped watching; nothing better can be done than to go on */
        timer_after(&ln->base.loop->sched, &ln->again, PAUSE_US);
        return;
    }
    for (uint64_t i = 0; i < LIMIT_LOOP_ACCEPTS; i++)
        if (ln->is_closed || ln->is_paused || !accept_one(ln))
            return;
}

/* --- opening --- */

static bool is_stale(const struct sockaddr_storage *sa, socklen_t len, const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)sa, len) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int bind_unix(struct listener *ln, const struct sockaddr_storage *sa, socklen_t len)
{
    const char *path = ln->base.opts.at.path;
    uint32_t mode = ln->base.opts.mode;
    struct stat st;
    /* Before bind, so that the file never has wider permissions; Linux takes the socket's mode. */
    if (mode && fchmod(ln->fd, mode) != 0)
        return err_from_errno(errno);
    if (bind(ln->fd, (const struct sockaddr *)sa, len) != 0) {
        if (errno != EADDRINUSE || !is_stale(sa, len, path))
            return err_from_errno(errno);
        TRACE(LOOP, INFO, "listen unix:%s: nobody answers there -> replacing it", path);
        if (unlink(path) != 0 || bind(ln->fd, (const struct sockaddr *)sa, len) != 0)
            return err_from_errno(errno);
    }
    if (mode)
        chmod(path, mode); /* what the umask took away */
    if (lstat(path, &st) == 0) {
        ln->dev = st.st_dev;
        ln->ino = st.st_ino;
    }
    return 0;
}

static int bind_ip(struct listener *ln, const struct sockaddr_storage *sa, socklen_t len)
{
    int on = 1;
    setsockopt(ln->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (sa->ss_family == AF_INET6) /* [::] and 0.0.0.0 stand side by side */
        setsockopt(ln->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    setsockopt(ln->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted ones inherit it */
    if (bind(ln->fd, (const struct sockaddr *)sa, len) != 0)
        return err_from_errno(errno);
    /* Only now: our dials may share the port, but who else listens there is still told that it is
     * taken. */
    if (ln->base.opts.reuse_port)
        setsockopt(ln->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    return 0;
}

static int listener_open(struct listener *ln)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int err = sockaddr_from_net(&ln->base.opts.at, &sa, &len);
    if (err)
        return err;
    ln->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (ln->fd < 0)
        return err_from_errno(errno);
    err = ln->base.opts.at.kind == NET_UNIX ? bind_unix(ln, &sa, len) : bind_ip(ln, &sa, len);
    if (err)
        return err;
    if (listen(ln->fd, BACKLOG) != 0)
        return err_from_errno(errno);
    ln->base.addr = ln->base.opts.at;
    len = sizeof sa;
    if (ln->base.addr.kind != NET_UNIX && getsockname(ln->fd, (struct sockaddr *)&sa, &len) == 0)
        ln->base.addr = sockaddr_to_net((struct sockaddr *)&sa, len);
    return 0;
}

int uvm_listen(struct loop *l, const struct loop_listen_options *opts, struct loop_listener **out)
{
    struct listener *ln = MEM_NEW(struct listener);
    ln->base = (struct loop_listener){.loop = l, .opts = *opts};
    ln->fd = -1;
    timer_init(&ln->again, accept_again);
    int err = listener_open(ln);
    if (!err && uv_poll_init(&uvm_of(l)->uv, &ln->poll, ln->fd) != 0)
        err = E_IO;
    if (err) {
        if (ln->fd >= 0)
            close(ln->fd);
        free(ln);
        return err;
    }
    ln->poll.data = (void *)&listener_kind;
    uv_poll_start(&ln->poll, UV_READABLE, listener_event);
    *out = &ln->base;
    return 0;
}

void uvm_listener_pause(struct loop_listener *base, bool pause)
{
    struct listener *ln = CONTAINER_OF(base, struct listener, base);
    if (ln->is_paused == pause)
        return;
    ln->is_paused = pause;
    timer_clear(&base->loop->sched, &ln->again);
    if (pause)
        uv_poll_stop(&ln->poll);
    else
        uv_poll_start(&ln->poll, UV_READABLE, listener_event);
}

void uvm_listener_close(struct loop_listener *base)
{
    struct listener *ln = CONTAINER_OF(base, struct listener, base);
    timer_clear(&base->loop->sched, &ln->again);
    discard_listener((uv_handle_t *)&ln->poll);
}
