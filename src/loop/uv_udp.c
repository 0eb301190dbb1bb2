// SPDX-License-Identifier: MIT
/* Datagrams. What the kernel cannot take at once is lost, as datagrams may be. */
#include "base/mem.h"
#include "loop/sockaddr.h"
#include "loop/uv_maker.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAM_MAX = 65536, DATAGRAMS_PER_TURN = 32, CONTROL_MAX = 256 };

struct udp {
    struct loop_udp base;
    struct net_addr group; /* joined, on the interface `on`; NET_NONE: none */
    uint32_t on;
    uv_poll_t poll;
    int fd;
    bool is_closed;
};

static void udp_gone(uv_handle_t *h)
{
    free(CONTAINER_OF((uv_poll_t *)h, struct udp, poll));
}

static void discard_udp(uv_handle_t *h)
{
    struct udp *u = CONTAINER_OF((uv_poll_t *)h, struct udp, poll);
    u->is_closed = true;
    uv_close(h, udp_gone);
    close(u->fd);
}

static const struct uvm_kind udp_kind = {discard_udp};

/* A socket that joined a group hears what was sent to the group and came in by its interface: that came from
 * this segment, since routers do not pass it on. What was sent to the port may come from anywhere. */
static bool is_for_us(const struct udp *u, struct msghdr *m)
{
    if (u->group.kind == NET_NONE)
        return true;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        struct in_pktinfo v4;
        struct in6_pktinfo v6;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            memcpy(&v4, CMSG_DATA(c), sizeof v4);
            return (uint32_t)v4.ipi_ifindex == u->on && memcmp(&v4.ipi_addr, u->group.ip, 4) == 0;
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&v6, CMSG_DATA(c), sizeof v6);
            return v6.ipi6_ifindex == u->on && memcmp(&v6.ipi6_addr, u->group.ip, 16) == 0;
        }
    }
    return false;
}

static void udp_event(uv_poll_t *poll, int status, int events)
{
    struct udp *u = CONTAINER_OF(poll, struct udp, poll);
    uint8_t datagram[DATAGRAM_MAX];
    uvm_woke(poll->loop->data);
    for (int i = 0; i < DATAGRAMS_PER_TURN && !u->is_closed; i++) {
        struct sockaddr_storage sa;
        _Alignas(struct cmsghdr) uint8_t control[CONTROL_MAX];
        struct iovec all = {datagram, sizeof datagram};
        struct msghdr m = {.msg_name = &sa,
                           .msg_namelen = sizeof sa,
                           .msg_iov = &all,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof control};
        ssize_t n = recvmsg(u->fd, &m, 0);
        if (n < 0 && (errno == ECONNREFUSED || errno == EINTR))
            continue; /* an ICMP answer to something we sent */
        if (n < 0)
            break;
        if (!is_for_us(u, &m))
            continue;
        struct net_addr from = sockaddr_to_net((struct sockaddr *)&sa, m.msg_namelen);
        u->base.opts.received(u->base.opts.ctx, &from, bytes_of(datagram, (size_t)n));
    }
    if (status < 0 && !u->is_closed) /* libuv stops after an error; the socket goes on */
        uv_poll_start(&u->poll, UV_READABLE, udp_event);
}

/* The kernel would give a socket every group that anybody here joined on any interface: not this one. */
static int join4(int fd, const struct net_addr *group, const struct loop_interface *on)
{
    int ttl = 255, one = 1;
    struct ip_mreqn m = {.imr_ifindex = (int)on->index};
    memcpy(&m.imr_multiaddr, group->ip, 4);
#ifdef IP_MULTICAST_ALL
    int zero = 0;
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &zero, sizeof zero);
#endif
    if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof m) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &one, sizeof one) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one) != 0)
        return err_from_errno(errno);
    return 0;
}

static int join6(int fd, const struct net_addr *group, const struct loop_interface *on)
{
    int hops = 255, one = 1, index = (int)on->index;
    struct ipv6_mreq m = {.ipv6mr_interface = on->index};
    memcpy(&m.ipv6mr_multiaddr, group->ip, 16);
#ifdef IPV6_MULTICAST_ALL
    int zero = 0;
    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &zero, sizeof zero);
#endif
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof m) != 0 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index) != 0 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) != 0 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &one, sizeof one) != 0 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one) != 0)
        return err_from_errno(errno);
    return 0;
}

static int udp_join(struct udp *u)
{
    const struct loop_udp_options *o = &u->base.opts;
    if (!o->group)
        return 0;
    if (!o->on || o->group->kind != o->at.kind)
        return E_INVALID;
    u->group = *o->group;
    u->on = o->on->index;
    return o->at.kind == NET_IP4 ? join4(u->fd, o->group, o->on) : join6(u->fd, o->group, o->on);
}

static int udp_bind(struct udp *u)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int on = 1, err = sockaddr_from_net(&u->base.opts.at, &sa, &len);
    if (err || sa.ss_family == AF_UNIX)
        return err ? err : E_INVALID;
    u->fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (u->fd < 0)
        return err_from_errno(errno);
    if (u->base.opts.reuse) {
        setsockopt(u->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(u->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    }
    if (sa.ss_family == AF_INET6)
        setsockopt(u->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(u->fd, (struct sockaddr *)&sa, len) != 0)
        return err_from_errno(errno);
    if ((err = udp_join(u)))
        return err;
    len = sizeof sa;
    getsockname(u->fd, (struct sockaddr *)&sa, &len);
    u->base.addr = sockaddr_to_net((struct sockaddr *)&sa, len);
    return 0;
}

int uvm_udp_open(struct loop *l, const struct loop_udp_options *opts, struct loop_udp **out)
{
    struct udp *u = MEM_NEW(struct udp);
    u->base = (struct loop_udp){.loop = l, .opts = *opts};
    u->fd = -1;
    int err = udp_bind(u);
    u->base.opts.group = NULL; /* borrowed until now */
    u->base.opts.on = NULL;
    if (!err && uv_poll_init(&uvm_of(l)->uv, &u->poll, u->fd) != 0)
        err = E_IO;
    if (err) {
        if (u->fd >= 0)
            close(u->fd);
        free(u);
        return err;
    }
    u->poll.data = (void *)&udp_kind;
    uv_poll_start(&u->poll, UV_READABLE, udp_event);
    *out = &u->base;
    return 0;
}

int uvm_udp_send(struct loop_udp *base, const struct net_addr *to, struct bytes datagram)
{
    struct udp *u = CONTAINER_OF(base, struct udp, base);
    struct sockaddr_storage sa;
    socklen_t len;
    int err = sockaddr_from_net(to, &sa, &len);
    if (err)
        return err;
    ssize_t n = sendto(u->fd, datagram.p, datagram.n, MSG_NOSIGNAL, (struct sockaddr *)&sa, len);
    return n >= 0 ? 0 : err_from_errno(errno);
}

void uvm_udp_close(struct loop_udp *base)
{
    discard_udp((uv_handle_t *)&CONTAINER_OF(base, struct udp, base)->poll);
}
