// SPDX-License-Identifier: MIT
/* HTTPS_PROXY, NO_PROXY and CONNECT; see proxy.h. */
#include "http/proxy.h"

#include "base/buf.h"
#include "base/mem.h"
#include "http/router.h"

#include <stdio.h>
#include <stdlib.h>

/* --- which proxy --- */

static void base64(struct bytes in, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < in.n; i += 3) {
        size_t left = in.n - i;
        unsigned v = (unsigned)in.p[i] << 16 | (left > 1 ? (unsigned)in.p[i + 1] << 8 : 0) |
                     (left > 2 ? in.p[i + 2] : 0);
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = left > 1 ? digits[v >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[v & 63] : '=';
    }
    *out = 0;
}

static int refuse(char why[static 128], const char *text)
{
    snprintf(why, 128, "%s", text);
    return E_MALFORMED;
}

int proxy_parse(const char *text, struct proxy *out, char why[static 128])
{
    char bare[512], user[256];
    struct url u;
    struct bytes t = bytes_str(text), scheme = BYTES_LIT("http://");
    *out = (struct proxy){0};
    if (bytes_eq_nocase(bytes_first(t, scheme.n), scheme))
        t = bytes_skip(t, scheme.n);
    size_t at = bytes_find(t, '@');
    if (at < t.n) {
        ssize_t n = http_percent_decode(bytes_first(t, at), user, sizeof user);
        if (n < 0)
            return refuse(why, "the user and password of the proxy are malformed");
        snprintf(out->authorization, sizeof out->authorization, "Basic ");
        base64(bytes_of(user, (size_t)n), out->authorization + 6);
        t = bytes_skip(t, at + 1);
    }
    if (t.n >= sizeof bare)
        return refuse(why, "the proxy's URL is too long");
    snprintf(bare, sizeof bare, "%.*s", BYTES_FMT(t));
    int err = url_parse(bare, &u, why);
    if (err)
        return err;
    if (u.origin.is_tls || u.origin.is_unix)
        return refuse(why, "only proxies with an http:// URL are supported");
    out->at = u.origin;
    return 0;
}

/* The first `bits` of both are equal. */
static bool in_network(const struct net_addr *a, const struct net_addr *net, unsigned bits)
{
    unsigned max = net->kind == NET_IP4 ? 32 : 128;
    if (a->kind != net->kind || bits > max)
        return false;
    if (memcmp(a->ip, net->ip, bits / 8))
        return false;
    unsigned rest = bits % 8;
    return !rest || (a->ip[bits / 8] ^ net->ip[bits / 8]) >> (8 - rest) == 0;
}

static bool fits_address(const char *entry, const struct net_addr *host)
{
    char text[64];
    struct net_addr net;
    const char *slash = strchr(entry, '/');
    size_t n = slash ? (size_t)(slash - entry) : strlen(entry);
    uint64_t bits = 0;
    if (n >= sizeof text)
        return false;
    memcpy(text, entry, n);
    text[n] = 0;
    if (net_addr_parse_ip(text, 0, &net))
        return false;
    if (!slash)
        bits = net.kind == NET_IP4 ? 32 : 128;
    else if (bytes_to_u64(bytes_str(slash + 1), &bits) || bits > 128)
        return false;
    return in_network(host, &net, (unsigned)bits);
}

/* "example.com", ".example.com" and "*.example.com" all mean the name and what is below it. */
static bool fits_name(const char *entry, const char *host)
{
    if (entry[0] == '*' && entry[1] == '.')
        entry++;
    if (entry[0] == '.')
        entry++;
    size_t n = strlen(entry), h = strlen(host);
    if (!n || h < n || !bytes_eq_nocase(bytes_str(host + h - n), bytes_str(entry)))
        return false;
    return h == n || host[h - n - 1] == '.';
}

static bool fits_entry(struct bytes entry, const struct http_origin *to,
                       const struct net_addr *addr)
{
    char text[300];
    uint64_t port;
    if (!entry.n || entry.n >= sizeof text)
        return false;
    memcpy(text, entry.p, entry.n);
    text[entry.n] = 0;
    if (!strcmp(text, "*"))
        return true;
    char *colon = strchr(text, ':');
    if (colon && colon == strrchr(text, ':')) { /* one colon: a port, not IPv6 */
        if (bytes_to_u64(bytes_str(colon + 1), &port) || port != to->port)
            return false;
        *colon = 0;
    }
    return addr->kind != NET_NONE ? fits_address(text, addr) : fits_name(text, to->host);
}

bool proxy_is_bypassed(const char *no_proxy, const struct http_origin *to)
{
    struct net_addr addr = {0};
    struct bytes list = bytes_str(no_proxy);
    if (to->is_unix || fits_name("localhost", to->host))
        return true;
    if (net_addr_parse_ip(to->host, 0, &addr))
        addr.kind = NET_NONE;
    else if (net_addr_is_loopback(&addr))
        return true;
    while (list.n) {
        size_t n = bytes_find(list, ',');
        if (fits_entry(bytes_trim(bytes_first(list, n)), to, &addr))
            return true;
        list = bytes_skip(list, n + 1);
    }
    return false;
}

/* --- CONNECT --- */

enum { PROXY_HEAD = 4096 };

struct proxy_tunnel {
    struct stream *stream;
    void (*done)(void *ctx, int err, int status, struct stream *s);
    void *ctx;
    struct buf out;
    size_t have;
    uint8_t in[PROXY_HEAD];
};

void proxy_tunnel_cancel(struct proxy_tunnel *t)
{
    if (t->stream) {
        stream_reset(t->stream, STREAM_CANCELLED);
        stream_close(t->stream);
    }
    buf_fini(&t->out);
    free(t);
}

static void tunnel_end(struct proxy_tunnel *t, int err, int status)
{
    void (*done)(void *, int, int, struct stream *) = t->done;
    void *ctx = t->ctx;
    struct stream *s = t->stream;
    if (!err) {
        stream_want_read(s, false);
        stream_want_write(s, false);
        t->stream = NULL;
    }
    proxy_tunnel_cancel(t);
    done(ctx, err, status, err ? NULL : s);
}

static void tunnel_send(struct proxy_tunnel *t)
{
    ssize_t n = stream_write(t->stream, buf_view(&t->out));
    if (n > 0)
        buf_consume(&t->out, (size_t)n);
    if (buf_len(&t->out) && (n >= 0 || n == E_AGAIN))
        stream_want_write(t->stream, true); /* another error comes back from reading */
}

static void tunnel_writable(void *ctx)
{
    tunnel_send(ctx);
}

static void tunnel_readable(void *ctx)
{
    struct proxy_tunnel *t = ctx;
    struct http_header_table table;
    struct http_head head;
    ssize_t n = stream_read(t->stream, t->in + t->have, sizeof t->in - t->have);
    if (n == E_AGAIN)
        return;
    if (n < 0) {
        tunnel_end(t, n == E_EOF ? E_RESET : (int)n, 0);
        return;
    }
    t->have += (size_t)n;
    int err = http_parse_response(bytes_of(t->in, t->have), 0, HTTP_CONNECT, &table, &head);
    if (err == E_AGAIN) {
        if (t->have == sizeof t->in)
            tunnel_end(t, E_PROTO, 0);
        return;
    }
    if (err)
        tunnel_end(t, E_PROTO, 0);
    else if (head.status == 407)
        tunnel_end(t, E_AUTH, 407);
    else if (head.status < 200 || head.status > 299)
        tunnel_end(t, E_REFUSED, head.status);
    else
        tunnel_end(t, head.size < t->have ? E_PROTO : 0, head.status);
}

static void tunnel_closed(void *ctx, int err)
{
    tunnel_end(ctx, err, 0);
}

static const struct stream_events tunnel_events = {tunnel_readable, tunnel_writable, tunnel_closed};

struct proxy_tunnel *
proxy_tunnel_open(const struct proxy *p, struct stream *s, const struct http_origin *to,
                  void (*done)(void *ctx, int err, int status, struct stream *s), void *ctx)
{
    struct proxy_tunnel *t = MEM_NEW(struct proxy_tunnel);
    char target[300];
    snprintf(target, sizeof target, strchr(to->host, ':') ? "[%s]:%u" : "%s:%u", to->host,
             to->port);
    t->stream = s;
    t->done = done;
    t->ctx = ctx;
    buf_init(&t->out, 0);
    buf_printf(&t->out, "CONNECT %s HTTP/1.1\r\nhost: %s\r\n", target, target);
    if (p->authorization[0])
        buf_printf(&t->out, "proxy-authorization: %s\r\n", p->authorization);
    buf_append_str(&t->out, "\r\n");
    stream_listen(s, &tunnel_events, t);
    stream_want_read(s, true);
    tunnel_send(t);
    return t;
}
