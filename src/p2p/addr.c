// SPDX-License-Identifier: MIT
/* See addr.h. */
#include "p2p/addr.h"

static int take_name(struct p2p_addr *out, struct bytes name)
{
    if (name.n == 0 || name.n >= sizeof out->name || memchr(name.p, 0, name.n))
        return E_MALFORMED;
    memcpy(out->name, name.p, name.n);
    out->name[name.n] = 0;
    return 0;
}

/* Splits at the one /p2p-circuit: what leads to the relay, and whether something follows. */
static int split_circuit(struct bytes addr, struct bytes *relay, struct bytes *rest)
{
    struct multiaddr_part part;
    int circuits = 0;
    for (size_t at = 0; multiaddr_next(addr, &at, &part) > 0;)
        if (part.code == MA_CIRCUIT && circuits++ == 0) {
            *relay = bytes_first(addr, part.at);
            *rest = bytes_skip(addr, at);
        }
    return circuits == 1 ? 0 : E_UNSUPPORTED; /* no relay over a relay */
}

static int take_circuit(struct bytes addr, struct p2p_addr *out)
{
    struct bytes relay = {0}, rest = {0};
    struct p2p_addr to;
    int err = split_circuit(addr, &relay, &rest);
    if (err || multiaddr_peer(relay, &out->relay) != 0)
        return E_UNSUPPORTED;
    if (rest.n && (multiaddr_peer(rest, &out->peer) != 0 || multiaddr_without_peer(rest).n))
        return E_UNSUPPORTED;
    out->has_peer = rest.n > 0;
    relay = multiaddr_without_peer(relay);
    if (relay.n && (p2p_addr_decode(relay, &to) != 0 || multiaddr_copy(relay, &out->relay_addr)))
        return E_UNSUPPORTED;
    out->kind = P2P_ADDR_CIRCUIT;
    return 0;
}

int p2p_addr_decode(struct bytes multiaddr, struct p2p_addr *out)
{
    struct multiaddr_host host;
    *out = (struct p2p_addr){0};
    int err = multiaddr_check(multiaddr);
    if (err)
        return err;
    if (multiaddr_is_relayed(multiaddr))
        return take_circuit(multiaddr, out);
    out->has_peer = multiaddr_peer(multiaddr, &out->peer) == 0;
    if (multiaddr_to_net(multiaddr, &out->at) == 0) {
        out->kind = P2P_ADDR_IP;
        return 0;
    }
    if (multiaddr_to_host(multiaddr, &host) == 0) {
        out->kind = P2P_ADDR_NAME;
        out->at.port = host.port;
        out->what = host.code == MA_DNS4   ? HOST_NAME_IP4
                    : host.code == MA_DNS6 ? HOST_NAME_IP6
                                           : HOST_NAME_ANY;
        return take_name(out, host.name);
    }
    struct bytes list = multiaddr_dnsaddr(multiaddr);
    if (list.n == 0)
        return E_UNSUPPORTED;
    out->kind = P2P_ADDR_LIST;
    return take_name(out, list);
}

int p2p_addr_parse(struct bytes text, struct p2p_addr *out)
{
    struct multiaddr m;
    int err = multiaddr_parse(text, &m);
    return err ? err : p2p_addr_decode(multiaddr_bytes(&m), out);
}

bool p2p_addr_is_credible(struct bytes multiaddr, const struct net_addr *from)
{
    struct net_addr at;
    struct bytes rest;
    if (multiaddr_is_relayed(multiaddr) && split_circuit(multiaddr, &multiaddr, &rest) != 0)
        return false;
    if (multiaddr_to_net(multiaddr, &at) != 0)
        return true;
    if (net_addr_is_any(&at))
        return false;
    if (net_addr_is_loopback(&at))
        return net_addr_is_loopback(from);
    if (net_addr_is_private(&at))
        return net_addr_is_loopback(from) || net_addr_is_private(from);
    return true;
}
