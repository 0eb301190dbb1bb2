// SPDX-License-Identifier: MIT
/* Where a socket is: IPv4, IPv6 or a unix path. A value, comparable with net_addr_eq. */
#ifndef CONDUIT_BASE_NET_H
#define CONDUIT_BASE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum net_kind { NET_NONE = 0, NET_IP4, NET_IP6, NET_UNIX };

struct net_addr {
    enum net_kind kind;
    uint16_t port;     /* host order */
    uint32_t scope_id; /* IPv6 link-local */
    uint8_t ip[16];    /* first 4 bytes for IPv4; network order */
    char path[104];    /* unix; NUL-terminated */
};

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b);
/* "127.0.0.1:80", "[::1]:80", "unix:/path". Returns out. */
const char *net_addr_format(const struct net_addr *a, char out[static 128]);
enum { NET_ADDR_TEXT = 128 };
/* "1.2.3.4", "::1" or "[::1]" with `port`: 0 or E_MALFORMED. Never resolves names. */
int net_addr_parse_ip(const char *host, uint16_t port, struct net_addr *out);
bool net_addr_is_loopback(const struct net_addr *a);    /* unix counts */
bool net_addr_is_any(const struct net_addr *a);         /* 0.0.0.0, mapped too, or :: */
bool net_addr_is_link_local6(const struct net_addr *a); /* fe80::/10: nothing without its scope */
bool net_addr_is_private(const struct net_addr *a);     /* RFC 1918, ULA, link-local, CGNAT */
/* The group that per-IP limits count by: the address for IPv4 (4 bytes), the /56 for IPv6 (7). */
size_t net_addr_group(const struct net_addr *a, uint8_t out[static 8]);

#endif
