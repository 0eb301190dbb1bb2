// SPDX-License-Identifier: MIT
/* Addresses as values; see net.h. */
#include "base/net.h"

#include "base/err.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case NET_NONE:
        return true;
    case NET_IP4:
        return a->port == b->port && memcmp(a->ip, b->ip, 4) == 0;
    case NET_IP6:
        return a->port == b->port && a->scope_id == b->scope_id && memcmp(a->ip, b->ip, 16) == 0;
    case NET_UNIX:
        return strcmp(a->path, b->path) == 0;
    }
    return false;
}

const char *net_addr_format(const struct net_addr *a, char out[static 128])
{
    char ip[INET6_ADDRSTRLEN] = "?";
    switch (a->kind) {
    case NET_NONE:
        snprintf(out, NET_ADDR_TEXT, "none");
        break;
    case NET_IP4:
        inet_ntop(AF_INET, a->ip, ip, sizeof ip);
        snprintf(out, NET_ADDR_TEXT, "%s:%u", ip, a->port);
        break;
    case NET_IP6:
        inet_ntop(AF_INET6, a->ip, ip, sizeof ip);
        snprintf(out, NET_ADDR_TEXT, "[%s]:%u", ip, a->port);
        break;
    case NET_UNIX:
        snprintf(out, NET_ADDR_TEXT, "unix:%s", a->path);
        break;
    }
    return out;
}

int net_addr_parse_ip(const char *host, uint16_t port, struct net_addr *out)
{
    char bare[INET6_ADDRSTRLEN + 2];
    size_t n = strlen(host);
    struct net_addr a = {.port = port};
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    if (n == 0 || n >= sizeof bare)
        return E_MALFORMED;
    memcpy(bare, host, n);
    bare[n] = 0;
    if (inet_pton(AF_INET, bare, a.ip) == 1)
        a.kind = NET_IP4;
    else if (inet_pton(AF_INET6, bare, a.ip) == 1)
        a.kind = NET_IP6;
    else
        return E_MALFORMED;
    *out = a;
    return 0;
}

/* The IPv4 address inside, for IPv4 and IPv4-mapped IPv6; NULL otherwise. */
static const uint8_t *as_ip4(const struct net_addr *a)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (a->kind == NET_IP4)
        return a->ip;
    if (a->kind == NET_IP6 && memcmp(a->ip, mapped, sizeof mapped) == 0)
        return a->ip + 12;
    return NULL;
}

bool net_addr_is_loopback(const struct net_addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    const uint8_t *v4 = as_ip4(a);
    if (a->kind == NET_UNIX)
        return true;
    return v4 ? v4[0] == 127 : a->kind == NET_IP6 && memcmp(a->ip, one, 16) == 0;
}

bool net_addr_is_any(const struct net_addr *a)
{
    static const uint8_t zero[16];
    const uint8_t *v4 = as_ip4(a);
    return v4 ? memcmp(v4, zero, 4) == 0 : a->kind == NET_IP6 && memcmp(a->ip, zero, 16) == 0;
}

bool net_addr_is_link_local6(const struct net_addr *a)
{
    return a->kind == NET_IP6 && a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80;
}

bool net_addr_is_private(const struct net_addr *a)
{
    const uint8_t *v4 = as_ip4(a);
    if (v4)
        return v4[0] == 10 || (v4[0] == 172 && (v4[1] & 0xf0) == 16) ||
               (v4[0] == 192 && v4[1] == 168) || (v4[0] == 169 && v4[1] == 254) ||
               (v4[0] == 100 && (v4[1] & 0xc0) == 64);
    return a->kind == NET_IP6 &&
           ((a->ip[0] & 0xfe) == 0xfc || (a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80));
}

size_t net_addr_group(const struct net_addr *a, uint8_t out[static 8])
{
    const uint8_t *v4 = as_ip4(a);
    memset(out, 0, 8);
    if (v4) {
        memcpy(out, v4, 4);
        return 4;
    }
    if (a->kind != NET_IP6)
        return 0;
    memcpy(out, a->ip, 7);
    return 7;
}
