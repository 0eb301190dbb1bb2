// SPDX-License-Identifier: MIT
/* Between our addresses and the kernel's; see sockaddr.h. */
#include "loop/sockaddr.h"

#include "base/err.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

int sockaddr_from_net(const struct net_addr *a, struct sockaddr_storage *out, socklen_t *len)
{
    memset(out, 0, sizeof *out);
    switch (a->kind) {
    case NET_IP4: {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip, 4);
        *len = sizeof *in;
        return 0;
    }
    case NET_IP6: {
        struct sockaddr_in6 *in = (struct sockaddr_in6 *)out;
        in->sin6_family = AF_INET6;
        in->sin6_port = htons(a->port);
        in->sin6_scope_id = a->scope_id;
        memcpy(&in->sin6_addr, a->ip, 16);
        *len = sizeof *in;
        return 0;
    }
    case NET_UNIX: {
        struct sockaddr_un *un = (struct sockaddr_un *)out;
        size_t n = strnlen(a->path, sizeof a->path);
        if (n == 0 || n >= sizeof un->sun_path)
            return E_INVALID;
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, a->path, n + 1);
        *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
        return 0;
    }
    case NET_NONE:
        break;
    }
    return E_INVALID;
}

struct net_addr sockaddr_to_net(const struct sockaddr *sa, socklen_t len)
{
    struct net_addr a = {0};
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        a.kind = NET_IP4;
        a.port = ntohs(in->sin_port);
        memcpy(a.ip, &in->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)sa;
        a.kind = NET_IP6;
        a.port = ntohs(in->sin6_port);
        a.scope_id = in->sin6_scope_id;
        memcpy(a.ip, &in->sin6_addr, 16);
    } else if (sa->sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)sa;
        size_t head = offsetof(struct sockaddr_un, sun_path);
        a.kind = NET_UNIX;
        if (len > head && un->sun_path[0] != 0) {
            size_t n = strnlen(un->sun_path, len - head);
            memcpy(a.path, un->sun_path, n < sizeof a.path ? n : sizeof a.path - 1);
        }
    }
    return a;
}
