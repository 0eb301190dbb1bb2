// SPDX-License-Identifier: MIT
/* Multiaddrs: addresses as a path of protocols, "/ip4/192.0.2.1/tcp/8000/p2p/12D3KooW…".
 *
 * On the wire, in books and in messages they are plain bytes; functions here take `struct bytes`.
 * `struct multiaddr` is a value to build one in. The table of protocols is multiaddr.c's; a code that
 * is not in it makes that one address unusable (E_UNSUPPORTED), never the list it came in. */
#ifndef CONDUIT_CODEC_MULTIADDR_H
#define CONDUIT_CODEC_MULTIADDR_H

#include "base/limits.h"
#include "base/net.h"
#include "codec/peer_id.h"

#include <sys/types.h>

enum multiaddr_code {
    MA_IP4 = 4,
    MA_TCP = 6,
    MA_IP6 = 41,
    MA_IP6ZONE = 42,
    MA_IPCIDR = 43,
    MA_DNS = 53,
    MA_DNS4 = 54,
    MA_DNS6 = 55,
    MA_DNSADDR = 56,
    MA_UDP = 273,
    MA_WEBRTC_DIRECT = 280,
    MA_WEBRTC = 281,
    MA_CIRCUIT = 290,
    MA_UNIX = 400,
    MA_P2P = 421,
    MA_HTTPS = 443,
    MA_ONION = 444,
    MA_ONION3 = 445,
    MA_GARLIC64 = 446,
    MA_GARLIC32 = 447,
    MA_TLS = 448,
    MA_SNI = 449,
    MA_NOISE = 454,
    MA_QUIC = 460,
    MA_QUIC_V1 = 461,
    MA_WEBTRANSPORT = 465,
    MA_CERTHASH = 466,
    MA_WS = 477,
    MA_WSS = 478,
    MA_HTTP = 480,
    MA_HTTP_PATH = 481,
    MA_MEMORY = 777,
};

struct multiaddr {
    uint16_t n;
    uint8_t b[LIMIT_MULTIADDR];
};

struct multiaddr_part {
    uint32_t code;
    struct bytes value; /* without its length; a view */
    size_t at, size;    /* where the whole part lies */
};

static inline struct bytes multiaddr_bytes(const struct multiaddr *m)
{
    return bytes_of(m->b, m->n);
}

/* One part at `*at`: > 0 used (and *at moved), 0 at the end, E_MALFORMED, E_UNSUPPORTED. */
ssize_t multiaddr_next(struct bytes addr, size_t *at, struct multiaddr_part *out);
/* Every part decodes: 0, E_MALFORMED, E_UNSUPPORTED, E_TOO_BIG. An empty one is malformed. */
int multiaddr_check(struct bytes addr);
/* Checks and copies. */
int multiaddr_copy(struct bytes addr, struct multiaddr *out);

/* Text, both ways. Parsing takes one optional trailing slash. 0, E_MALFORMED, E_UNSUPPORTED,
 * E_TOO_BIG. */
int multiaddr_parse(struct bytes text, struct multiaddr *out);
int multiaddr_format(struct bytes addr, struct buf *out);
/* Into `out`, cut at `size`; "?" when malformed. Returns out. */
const char *multiaddr_text(struct bytes addr, char *out, size_t size);
/* What people type: a multiaddr, or "host:port", "host" (with `default_port`), "[::1]:80". Names
 * become /dns/…. */
int multiaddr_parse_loose(struct bytes text, uint16_t default_port, struct multiaddr *out);

/* Building: each appends one part, or changes nothing: 0, E_TOO_BIG, E_INVALID. */
int multiaddr_add(struct multiaddr *m, enum multiaddr_code code, struct bytes value);
int multiaddr_add_port(struct multiaddr *m, enum multiaddr_code code, uint16_t port);
int multiaddr_add_peer(struct multiaddr *m, const struct peer_id *id);
/* /ip4/…/tcp/… or /ip6/…/tcp/…; E_INVALID for a unix path. */
int multiaddr_from_net(const struct net_addr *a, struct multiaddr *out);

/* Asking. */
/* The /ip4|ip6/…/tcp/… an address begins with: 0, or E_NOT_FOUND (DNS, UDP, relayed, with ws…: what
 * is not exactly ip + tcp, with or without a final /p2p). */
int multiaddr_to_net(struct bytes addr, struct net_addr *out);
/* The host name of /dns|dns4|dns6/NAME/tcp/PORT[/p2p/…]: 0 and which, or E_NOT_FOUND. */
struct multiaddr_host {
    enum multiaddr_code code; /* MA_DNS, MA_DNS4, MA_DNS6 */
    struct bytes name;        /* a view, not NUL-terminated */
    uint16_t port;
};
int multiaddr_to_host(struct bytes addr, struct multiaddr_host *out);
/* The name of /dnsaddr/NAME[/p2p/…]; empty when it is none. */
struct bytes multiaddr_dnsaddr(struct bytes addr);
bool multiaddr_is_relayed(struct bytes addr); /* has /p2p-circuit */
bool multiaddr_is_tcp(struct bytes addr);     /* to_net or to_host would succeed */
/* The last /p2p (of a relayed address: the destination): 0, or E_NOT_FOUND. */
int multiaddr_peer(struct bytes addr, struct peer_id *out);
/* Without a final /p2p: a view of the front. */
struct bytes multiaddr_without_peer(struct bytes addr);
/* With `id` as its final /p2p, replacing none: E_WRONG_PEER when another one is there. */
int multiaddr_with_peer(struct bytes addr, const struct peer_id *id, struct multiaddr *out);

#endif
