// SPDX-License-Identifier: MIT
/* URLs of backends; see url.h. One pass from left to right; each refusal has a sentence that says
 * what to write instead. */
#include "http/url.h"

#include "base/net.h"
#include "http/router.h"

#include <stdio.h>

enum scheme { SCHEME_HTTP, SCHEME_HTTPS, SCHEME_HTTP_UNIX, SCHEME_UNIX };

static int refuse(char why[static 128], const char *text)
{
    snprintf(why, 128, "%s", text);
    return E_MALFORMED;
}

static bool is_plain_text(struct bytes t)
{
    for (size_t i = 0; i < t.n; i++)
        if (t.p[i] <= ' ' || t.p[i] >= 0x7f)
            return false;
    return true;
}

/* Takes the scheme off; without one it is http, as people write "localhost:11434". */
static int take_scheme(struct bytes *t, enum scheme *out, char why[static 128])
{
    static const struct {
        const char *text;
        enum scheme scheme;
    } known[] = {
        {"http://", SCHEME_HTTP},
        {"https://", SCHEME_HTTPS},
        {"http+unix://", SCHEME_HTTP_UNIX},
        {"unix:", SCHEME_UNIX},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct bytes want = bytes_str(known[i].text);
        if (bytes_eq_nocase(bytes_first(*t, want.n), want)) {
            *out = known[i].scheme;
            *t = bytes_skip(*t, want.n);
            return 0;
        }
    }
    *out = SCHEME_HTTP;
    for (size_t i = 0; i + 2 < t->n; i++)
        if (!memcmp(t->p + i, "://", 3))
            return refuse(why, "the scheme is none of http, https, http+unix, unix");
    return 0;
}

static int take_unix_path(struct bytes path, struct url *u, char why[static 128])
{
    if (!path.n || path.p[0] != '/')
        return refuse(why, "the path of the unix socket is not absolute");
    if (path.n >= sizeof((struct net_addr *)0)->path)
        return refuse(why, "the path of the unix socket is too long (103 bytes at most)");
    memcpy(u->origin.host, path.p, path.n);
    u->origin.host[path.n] = 0;
    u->origin.is_unix = true;
    snprintf(u->host_field, sizeof u->host_field, "localhost");
    return 0;
}

static int take_port(struct bytes text, struct url *u, char why[static 128])
{
    uint64_t port;
    if (bytes_to_u64(text, &port) || text.n > 5 || port < 1 || port > 65535)
        return refuse(why, "the port is not a number from 1 to 65535");
    u->origin.port = (uint16_t)port;
    return 0;
}

/* "[::1]" or "[::1]:80": the address goes without brackets. */
static int take_ip6(struct bytes authority, struct url *u, char why[static 128])
{
    struct net_addr addr;
    size_t close = bytes_find(authority, ']');
    struct bytes host = bytes_skip(bytes_first(authority, close), 1);
    struct bytes rest = bytes_skip(authority, close + 1);
    if (close == authority.n || !host.n || host.n > 45)
        return refuse(why, "the IPv6 address is malformed");
    memcpy(u->origin.host, host.p, host.n);
    u->origin.host[host.n] = 0;
    if (net_addr_parse_ip(u->origin.host, 0, &addr) || addr.kind != NET_IP6)
        return refuse(why, "the IPv6 address is malformed");
    if (!rest.n)
        return 0;
    return rest.p[0] == ':' ? take_port(bytes_skip(rest, 1), u, why)
                            : refuse(why, "after the IPv6 address there is no port");
}

static int take_name(struct bytes authority, struct url *u, char why[static 128])
{
    size_t n = bytes_find(authority, ':');
    if (!n)
        return refuse(why, "the host is missing");
    if (n > 253)
        return refuse(why, "the host name is too long");
    for (size_t i = 0; i < n; i++) {
        uint8_t c = authority.p[i];
        bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_')
            return refuse(why, "the host name has a character that is not allowed");
        u->origin.host[i] = (char)(is_letter ? c | 0x20 : c);
    }
    u->origin.host[n] = 0;
    return n < authority.n ? take_port(bytes_skip(authority, n + 1), u, why) : 0;
}

static int take_authority(struct bytes authority, struct url *u, char why[static 128])
{
    if (bytes_find(authority, '@') < authority.n)
        return refuse(why, "a URL with a user or key in it is not accepted; use the environment");
    u->origin.port = u->origin.is_tls ? 443 : 80;
    bool is_ip6 = authority.n && authority.p[0] == '[';
    int err = is_ip6 ? take_ip6(authority, u, why) : take_name(authority, u, why);
    if (err)
        return err;
    bool is_default = u->origin.port == (u->origin.is_tls ? 443 : 80);
    int n = snprintf(u->host_field, sizeof u->host_field, is_ip6 ? "[%s]" : "%s", u->origin.host);
    if (!is_default)
        snprintf(u->host_field + n, sizeof u->host_field - (size_t)n, ":%u", u->origin.port);
    return 0;
}

static int take_path(struct bytes rest, struct url *u, char why[static 128])
{
    size_t q = bytes_find(rest, '?');
    struct bytes path = bytes_first(rest, q), query = bytes_skip(rest, q + 1);
    char decoded[sizeof u->path];
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    if (path.n >= sizeof u->path || query.n >= sizeof u->query)
        return refuse(why, "the path or the query is too long");
    if (http_percent_decode(path, decoded, sizeof decoded) < 0)
        return refuse(why, "the path has a '%' that is not followed by two hexadecimal digits");
    if (path.n)
        memcpy(u->path, path.p, path.n);
    if (query.n)
        memcpy(u->query, query.p, query.n);
    return 0;
}

int url_parse(const char *text, struct url *out, char why[static 128])
{
    struct bytes t = bytes_str(text), authority;
    enum scheme scheme;
    char path[sizeof out->origin.host];
    *out = (struct url){0};
    why[0] = 0;
    if (!t.n)
        return refuse(why, "the URL is empty");
    if (t.n > 2000 || !is_plain_text(t))
        return refuse(why, "the URL is too long, or has blanks or special characters in it");
    int err = take_scheme(&t, &scheme, why);
    if (err)
        return err;
    if (scheme == SCHEME_UNIX)
        return take_unix_path(t, out, why);
    if (bytes_find(t, '#') < t.n)
        return refuse(why, "a URL with '#' in it is not accepted");
    size_t n = 0;
    while (n < t.n && t.p[n] != '/' && t.p[n] != '?')
        n++;
    authority = bytes_first(t, n);
    out->origin.is_tls = scheme == SCHEME_HTTPS;
    if (scheme == SCHEME_HTTP_UNIX) {
        ssize_t len = http_percent_decode(authority, path, sizeof path);
        if (len < 0)
            return refuse(why, "the path of the unix socket is not percent-encoded");
        err = take_unix_path(bytes_of(path, (size_t)len), out, why);
    } else
        err = take_authority(authority, out, why);
    return err ? err : take_path(bytes_skip(t, n), out, why);
}

int url_format(const struct url *u, char *out, size_t size)
{
    char authority[3 * sizeof u->origin.host];
    size_t n = 0;
    const char *scheme = u->origin.is_unix ? "http+unix" : u->origin.is_tls ? "https" : "http";
    if (u->origin.is_unix) {
        for (const char *p = u->origin.host; *p; p++)
            n += (size_t)snprintf(authority + n, sizeof authority - n,
                                  strchr("/%?#", *p) || *p <= ' ' || *p >= 0x7f ? "%%%02X" : "%c",
                                  (unsigned char)*p); /* plain or not, char signed or not */
    } else
        snprintf(authority, sizeof authority, "%s", u->host_field);
    int len = snprintf(out, size, "%s://%s%s%s%s", scheme, authority, u->path,
                       u->query[0] ? "?" : "", u->query);
    return len < 0 || (size_t)len >= size ? E_TOO_BIG : 0;
}
