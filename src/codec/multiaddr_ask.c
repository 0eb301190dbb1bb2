// SPDX-License-Identifier: MIT
/* Questions to a multiaddr: where it leads and to whom; see multiaddr.h. */
#include "codec/multiaddr.h"

static uint16_t port_of(const struct multiaddr_part *part)
{
    return (uint16_t)(part->value.p[0] << 8 | part->value.p[1]);
}

/* Is X/tcp/PORT, with or without one final /p2p: 1, and its parts; an ip6zone in front is skipped. */
static bool is_plain_tcp(struct bytes addr, struct multiaddr_part *host, uint16_t *port)
{
    struct multiaddr_part part;
    size_t at = 0;
    if (multiaddr_next(addr, &at, host) <= 0)
        return false;
    if (host->code == MA_IP6ZONE && multiaddr_next(addr, &at, host) <= 0)
        return false;
    if (multiaddr_next(addr, &at, &part) <= 0 || part.code != MA_TCP)
        return false;
    *port = port_of(&part);
    ssize_t used = multiaddr_next(addr, &at, &part);
    return used == 0 || (used > 0 && part.code == MA_P2P && at == addr.n);
}

int multiaddr_to_net(struct bytes addr, struct net_addr *out)
{
    struct multiaddr_part host;
    uint16_t port;
    if (!is_plain_tcp(addr, &host, &port) || (host.code != MA_IP4 && host.code != MA_IP6))
        return E_NOT_FOUND;
    *out = (struct net_addr){.kind = host.code == MA_IP4 ? NET_IP4 : NET_IP6, .port = port};
    memcpy(out->ip, host.value.p, host.value.n);
    return 0;
}

int multiaddr_to_host(struct bytes addr, struct multiaddr_host *out)
{
    struct multiaddr_part host;
    uint16_t port;
    if (!is_plain_tcp(addr, &host, &port) || host.code < MA_DNS || host.code > MA_DNS6)
        return E_NOT_FOUND;
    *out = (struct multiaddr_host){(enum multiaddr_code)host.code, host.value, port};
    return 0;
}

struct bytes multiaddr_dnsaddr(struct bytes addr)
{
    struct multiaddr_part part;
    size_t at = 0;
    if (multiaddr_next(addr, &at, &part) > 0 && part.code == MA_DNSADDR)
        return part.value;
    return bytes_of("", 0);
}

bool multiaddr_is_relayed(struct bytes addr)
{
    struct multiaddr_part part;
    for (size_t at = 0; multiaddr_next(addr, &at, &part) > 0;)
        if (part.code == MA_CIRCUIT)
            return true;
    return false;
}

bool multiaddr_is_tcp(struct bytes addr)
{
    struct net_addr net;
    struct multiaddr_host host;
    return multiaddr_to_net(addr, &net) == 0 || multiaddr_to_host(addr, &host) == 0;
}

/* The last part of all. */
static bool last_part(struct bytes addr, struct multiaddr_part *out)
{
    struct multiaddr_part part;
    bool is_any = false;
    ssize_t used;
    *out = (struct multiaddr_part){0};
    for (size_t at = 0; (used = multiaddr_next(addr, &at, &part)) > 0; is_any = true)
        *out = part;
    return is_any && used == 0;
}

int multiaddr_peer(struct bytes addr, struct peer_id *out)
{
    struct multiaddr_part part;
    if (!last_part(addr, &part) || part.code != MA_P2P)
        return E_NOT_FOUND;
    return peer_id_decode(part.value, out) ? E_NOT_FOUND : 0;
}

struct bytes multiaddr_without_peer(struct bytes addr)
{
    struct multiaddr_part part;
    if (!last_part(addr, &part) || part.code != MA_P2P)
        return addr;
    return bytes_first(addr, part.at);
}

int multiaddr_with_peer(struct bytes addr, const struct peer_id *id, struct multiaddr *out)
{
    struct peer_id has;
    int err = multiaddr_copy(addr, out);
    if (err)
        return err;
    if (multiaddr_peer(addr, &has) == 0)
        return peer_id_eq(&has, id) ? 0 : E_WRONG_PEER;
    return multiaddr_add_peer(out, id);
}
