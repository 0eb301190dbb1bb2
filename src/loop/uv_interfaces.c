// SPDX-License-Identifier: MIT
/* The interfaces of this machine, as the kernel lists them: libuv leaves out those without a carrier and does
 * not say which of them carry multicast. */
#include "loop/sockaddr.h"
#include "loop/uv_maker.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>

static struct loop_interface interface_of(const struct ifaddrs *a)
{
    struct loop_interface i = {
        .index = if_nametoindex(a->ifa_name),
        .is_up = (a->ifa_flags & IFF_UP) && (a->ifa_flags & IFF_RUNNING),
        .is_loopback = a->ifa_flags & IFF_LOOPBACK,
        .is_multicast = a->ifa_flags & IFF_MULTICAST,
        .is_point_to_point = a->ifa_flags & IFF_POINTOPOINT,
    };
    snprintf(i.name, sizeof i.name, "%s", a->ifa_name);
    i.addr = sockaddr_to_net(a->ifa_addr, sizeof(struct sockaddr_storage));
    return i;
}

size_t uvm_interface_list(struct loop *l, struct loop_interface *out, size_t max)
{
    struct ifaddrs *all;
    size_t n = 0;
    if (getifaddrs(&all) != 0)
        return 0;
    for (const struct ifaddrs *a = all; a && n < max; a = a->ifa_next)
        if (a->ifa_addr &&
            (a->ifa_addr->sa_family == AF_INET || a->ifa_addr->sa_family == AF_INET6))
            out[n++] = interface_of(a);
    freeifaddrs(all);
    return n;
}
