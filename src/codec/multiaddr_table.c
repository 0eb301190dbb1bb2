// SPDX-License-Identifier: MIT
/* One row per protocol, as in the multiformats table; see multiaddr_table.h. */
#include "codec/multiaddr_table.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/net.h"
#include "codec/multiaddr.h"
#include "codec/multibase.h"
#include "codec/multihash.h"
#include "codec/utf8.h"

#include <arpa/inet.h>

static int parse_ip(struct bytes text, enum net_kind kind, size_t size, struct buf *out)
{
    char host[64];
    struct net_addr a;
    if (text.n == 0 || text.n >= sizeof host || text.p[0] == '[')
        return E_MALFORMED;
    memcpy(host, text.p, text.n);
    host[text.n] = 0;
    if (net_addr_parse_ip(host, 0, &a) || a.kind != kind)
        return E_MALFORMED;
    return buf_append(out, a.ip, size);
}

static int parse_ip4(struct bytes text, struct buf *out)
{
    return parse_ip(text, NET_IP4, 4, out);
}

static int parse_ip6(struct bytes text, struct buf *out)
{
    if (bytes_find(text, '%') != text.n)
        return E_MALFORMED;
    return parse_ip(text, NET_IP6, 16, out);
}

static int format_ip4(struct bytes v, struct buf *out)
{
    return buf_printf(out, "%u.%u.%u.%u", v.p[0], v.p[1], v.p[2], v.p[3]);
}

static int format_ip6(struct bytes v, struct buf *out)
{
    char text[INET6_ADDRSTRLEN];
    if (!inet_ntop(AF_INET6, v.p, text, sizeof text))
        return E_MALFORMED;
    return buf_append_str(out, text);
}

static int parse_port(struct bytes text, struct buf *out)
{
    uint64_t v;
    if (text.n > 5 || bytes_to_u64(text, &v) || v > 65535)
        return E_MALFORMED;
    uint8_t raw[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    return buf_append(out, raw, 2);
}

static int format_port(struct bytes v, struct buf *out)
{
    return buf_printf(out, "%u", v.p[0] << 8 | v.p[1]);
}

static int parse_byte(struct bytes text, struct buf *out)
{
    uint64_t v;
    if (text.n > 3 || bytes_to_u64(text, &v) || v > 128)
        return E_MALFORMED;
    return buf_append_byte(out, (uint8_t)v);
}

static int format_byte(struct bytes v, struct buf *out)
{
    return buf_printf(out, "%u", v.p[0]);
}

static int copy_text(struct bytes text, struct buf *out)
{
    return text.n ? buf_append_bytes(out, text) : E_MALFORMED;
}

static int format_path(struct bytes v, struct buf *out)
{
    return uri_escape(v, "", out);
}

static int parse_peer(struct bytes text, struct buf *out)
{
    struct peer_id id;
    int err = peer_id_parse(text, &id);
    return err ? err : buf_append_bytes(out, peer_id_bytes(&id));
}

static int format_peer(struct bytes v, struct buf *out)
{
    return base_encode(BASE_58, v, out);
}

static int format_certhash(struct bytes v, struct buf *out)
{
    return multibase_encode(BASE_64URL, v, out);
}

static int parse_base32(struct bytes text, struct buf *out)
{
    return base_decode(BASE_32, text, out);
}

static int format_base32(struct bytes v, struct buf *out)
{
    return base_encode(BASE_32, v, out);
}

/* "address:port", the address in base32 as it stands before ".onion". */
static int parse_onion(struct bytes text, struct buf *out)
{
    size_t colon = bytes_find(text, ':');
    if (colon == text.n)
        return E_MALFORMED;
    int err = base_decode(BASE_32, bytes_first(text, colon), out);
    return err ? err : parse_port(bytes_skip(text, colon + 1), out);
}

static int format_onion(struct bytes v, struct buf *out)
{
    int err = base_encode(BASE_32, bytes_first(v, v.n - 2), out);
    if (!err)
        err = buf_append_byte(out, ':');
    return err ? err : format_port(bytes_skip(v, v.n - 2), out);
}

/* I2P's base64 has - and ~ where others have + and /; only carried. */
static int garlic_swap(struct bytes in, const char *from, const char *to, struct buf *out)
{
    for (size_t i = 0; i < in.n; i++) {
        const char *at = in.p[i] ? strchr(from, in.p[i]) : NULL;
        int err = buf_append_byte(out, at ? (uint8_t)to[at - from] : in.p[i]);
        if (err)
            return err;
    }
    return 0;
}

static int parse_garlic64(struct bytes text, struct buf *out)
{
    struct buf b;
    buf_init(&b, 4096);
    int err = garlic_swap(text, "-~", "+/", &b);
    if (!err)
        err = base_decode(BASE_64, buf_view(&b), out);
    buf_fini(&b);
    return err;
}

static int format_garlic64(struct bytes v, struct buf *out)
{
    struct buf b;
    buf_init(&b, 4096);
    int err = base_encode(BASE_64, v, &b);
    if (!err)
        err = garlic_swap(buf_view(&b), "+/", "-~", out);
    buf_fini(&b);
    return err;
}

/* Names go to resolvers and into text: no control characters, no separators. */
static bool is_name(struct bytes v)
{
    if (v.n == 0 || v.n > 253)
        return false;
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= ' ' || v.p[i] == '/' || v.p[i] == 0x7f)
            return false;
    return utf8_is_valid(v);
}

static bool is_text(struct bytes v)
{
    return v.n > 0 && memchr(v.p, 0, v.n) == NULL && utf8_is_valid(v);
}

static bool is_peer(struct bytes v)
{
    struct peer_id id;
    return peer_id_decode(v, &id) == 0;
}

static bool is_multihash(struct bytes v)
{
    struct multihash mh;
    return v.n > 0 && multihash_decode(v, &mh) == (ssize_t)v.n;
}

static bool is_not_empty(struct bytes v)
{
    return v.n > 0;
}

static const struct ma_proto table[] = {
    {MA_IP4, "ip4", 4, false, parse_ip4, format_ip4, NULL},
    {MA_TCP, "tcp", 2, false, parse_port, format_port, NULL},
    {MA_IP6, "ip6", 16, false, parse_ip6, format_ip6, NULL},
    {MA_IP6ZONE, "ip6zone", MA_VARIABLE, false, copy_text, copy_text, is_name},
    {MA_IPCIDR, "ipcidr", 1, false, parse_byte, format_byte, NULL},
    {MA_DNS, "dns", MA_VARIABLE, false, copy_text, copy_text, is_name},
    {MA_DNS4, "dns4", MA_VARIABLE, false, copy_text, copy_text, is_name},
    {MA_DNS6, "dns6", MA_VARIABLE, false, copy_text, copy_text, is_name},
    {MA_DNSADDR, "dnsaddr", MA_VARIABLE, false, copy_text, copy_text, is_name},
    {MA_UDP, "udp", 2, false, parse_port, format_port, NULL},
    {MA_WEBRTC_DIRECT, "webrtc-direct", 0, false, NULL, NULL, NULL},
    {MA_WEBRTC, "webrtc", 0, false, NULL, NULL, NULL},
    {MA_CIRCUIT, "p2p-circuit", 0, false, NULL, NULL, NULL},
    {MA_UNIX, "unix", MA_VARIABLE, true, uri_unescape, format_path, is_text},
    {MA_P2P, "p2p", MA_VARIABLE, false, parse_peer, format_peer, is_peer},
    {MA_P2P, "ipfs", MA_VARIABLE, false, parse_peer, format_peer, is_peer},
    {MA_HTTPS, "https", 0, false, NULL, NULL, NULL},
    {MA_ONION, "onion", 12, false, parse_onion, format_onion, NULL},
    {MA_ONION3, "onion3", 37, false, parse_onion, format_onion, NULL},
    {MA_GARLIC64, "garlic64", MA_VARIABLE, false, parse_garlic64, format_garlic64, is_not_empty},
    {MA_GARLIC32, "garlic32", MA_VARIABLE, false, parse_base32, format_base32, is_not_empty},
    {MA_TLS, "tls", 0, false, NULL, NULL, NULL},
    {MA_SNI, "sni", MA_VARIABLE, false, copy_text, copy_text, is_name},
    {MA_NOISE, "noise", 0, false, NULL, NULL, NULL},
    {MA_QUIC, "quic", 0, false, NULL, NULL, NULL},
    {MA_QUIC_V1, "quic-v1", 0, false, NULL, NULL, NULL},
    {MA_WEBTRANSPORT, "webtransport", 0, false, NULL, NULL, NULL},
    {MA_CERTHASH, "certhash", MA_VARIABLE, false, multibase_decode, format_certhash, is_multihash},
    {MA_WS, "ws", 0, false, NULL, NULL, NULL},
    {MA_WSS, "wss", 0, false, NULL, NULL, NULL},
    {MA_HTTP, "http", 0, false, NULL, NULL, NULL},
    {MA_HTTP_PATH, "http-path", MA_VARIABLE, true, uri_unescape, format_path, is_text},
    {MA_MEMORY, "memory", MA_VARIABLE, false, copy_text, copy_text, is_name},
};

const struct ma_proto *ma_proto_by_code(uint64_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].code == code)
            return &table[i];
    return NULL;
}

const struct ma_proto *ma_proto_by_name(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (bytes_eq_str(name, table[i].name))
            return &table[i];
    return NULL;
}
