// SPDX-License-Identifier: MIT
/* Allow-lists, Host and Origin checks, CORS; see headers.h. */
#include "gateway/headers.h"

#include "base/mem.h"
#include "base/net.h"

#define FIELD(n, v) ((struct http_header){BYTES_LIT(n), v})

static bool is_allowed(struct bytes name)
{
    static const char *const names[] = {"content-type", "accept", "x-request-id", "traceparent"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (bytes_eq_nocase(name, bytes_str(names[i])))
            return true;
    return name.n > 10 && bytes_eq_nocase(bytes_first(name, 10), BYTES_LIT("x-conduit-"));
}

size_t headers_allowed(const struct http_head *head, struct http_header *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < head->header_count && n < max; i++)
        if (is_allowed(head->headers[i].name))
            out[n++] = head->headers[i];
    return n;
}

/* "[::1]:80" -> "::1", "host:80" -> "host". */
static struct bytes without_port(struct bytes host)
{
    if (host.n && host.p[0] == '[') {
        size_t end = bytes_find(host, ']');
        return end < host.n ? bytes_of(host.p + 1, end - 1) : host;
    }
    return bytes_first(host, bytes_find(host, ':'));
}

static bool ends_with(struct bytes s, const char *suffix)
{
    struct bytes t = bytes_str(suffix);
    return s.n > t.n && bytes_eq_nocase(bytes_skip(s, s.n - t.n), t);
}

static bool is_local_ip(struct bytes host)
{
    char text[64];
    struct net_addr a;
    if (host.n >= sizeof text)
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = 0;
    return net_addr_parse_ip(text, 0, &a) == 0 &&
           (net_addr_is_loopback(&a) || net_addr_is_private(&a));
}

static bool is_local_name(struct bytes name)
{
    return bytes_eq_nocase(name, BYTES_LIT("localhost")) || ends_with(name, ".localhost") ||
           is_local_ip(name);
}

bool headers_host_is_ours(const struct headers_policy *p, struct bytes host)
{
    struct bytes name = without_port(host);
    if (p->any_host || host.n == 0 || is_local_name(name) || ends_with(name, ".local"))
        return true;
    for (size_t i = 0; i < p->host_count; i++)
        if (bytes_eq_nocase(name, bytes_str(p->hosts[i])))
            return true;
    return false;
}

bool headers_origin_is_ours(const struct headers_policy *p, struct bytes origin)
{
    static const char *const schemes[] = {"app://", "tauri://", "file://", "vscode-webview://",
                                          "vscode-file://"};
    if (origin.n == 0)
        return true;
    for (size_t i = 0; i < p->origin_count; i++)
        if (bytes_eq_nocase(origin, bytes_str(p->origins[i])) || !strcmp(p->origins[i], "*"))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (bytes_starts(origin, bytes_str(schemes[i])))
            return true;
    size_t skip = bytes_starts(origin, BYTES_LIT("http://"))    ? 7
                  : bytes_starts(origin, BYTES_LIT("https://")) ? 8
                                                                : 0;
    struct bytes name = without_port(bytes_skip(origin, skip));
    if (!skip)
        return false;
    if (bytes_eq_nocase(name, BYTES_LIT("localhost")) || ends_with(name, ".localhost"))
        return true;
    for (size_t i = 0; i < p->host_count; i++)
        if (bytes_eq_nocase(name, bytes_str(p->hosts[i])))
            return true;
    /* A page served from a LAN address is a stranger's; only this machine's own pages are ours. */
    char text[64];
    struct net_addr a;
    if (name.n >= sizeof text)
        return false;
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    return net_addr_parse_ip(text, 0, &a) == 0 && net_addr_is_loopback(&a);
}

size_t headers_cors(const struct headers_policy *p, const struct http_head *head,
                    struct http_header out[static HEADERS_CORS])
{
    struct bytes origin = http_header_get(head, "origin");
    struct bytes asked = http_header_get(head, "access-control-request-headers");
    size_t n = 0;
    if (origin.n == 0 || !headers_origin_is_ours(p, origin))
        return 0;
    out[n++] = FIELD("access-control-allow-origin", origin);
    out[n++] = FIELD("vary", BYTES_LIT("Origin"));
    out[n++] = FIELD("access-control-expose-headers",
                     BYTES_LIT("x-request-id, x-conduit-peer, x-conduit-route, retry-after"));
    if (head->method != HTTP_OPTIONS)
        return n;
    out[n++] = FIELD("access-control-allow-methods", BYTES_LIT("GET, HEAD, POST, DELETE, OPTIONS"));
    out[n++] = FIELD("access-control-allow-headers",
                     asked.n ? asked : BYTES_LIT("authorization, content-type"));
    out[n++] = FIELD("access-control-max-age", BYTES_LIT("86400"));
    if (http_header_get(head, "access-control-request-private-network").n)
        out[n++] = FIELD("access-control-allow-private-network", BYTES_LIT("true"));
    return n;
}

struct bytes headers_key(const struct http_head *head)
{
    struct bytes v = http_header_get(head, "authorization");
    if (v.n > 7 && bytes_eq_nocase(bytes_first(v, 7), BYTES_LIT("Bearer ")))
        return bytes_trim(bytes_skip(v, 7));
    v = http_header_get(head, "x-api-key");
    return v.n ? v : http_header_get(head, "api-key");
}
