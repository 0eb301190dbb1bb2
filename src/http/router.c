// SPDX-License-Identifier: MIT
/* Finding the route of a path; see router.h.
 *
 * The path is cut at its slashes first and each segment decoded then, so that an encoded slash
 * never makes a segment of its own where one is asked for by name. */
#include "http/router.h"

#include <stdio.h>

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

ssize_t http_percent_decode(struct bytes in, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        int c = in.p[i];
        if (c == '%') {
            int high = i + 2 < in.n ? hex(in.p[i + 1]) : -1;
            int low = i + 2 < in.n ? hex(in.p[i + 2]) : -1;
            if (high < 0 || low < 0 || !(high | low))
                return E_MALFORMED;
            c = high << 4 | low;
            i += 2;
        }
        if (n + 1 >= size)
            return E_TOO_BIG;
        out[n++] = (char)c;
    }
    if (!size)
        return E_TOO_BIG;
    out[n] = 0;
    return (ssize_t)n;
}

ssize_t http_query_get(struct bytes query, const char *name, char *out, size_t size)
{
    while (query.n) {
        struct bytes pair = bytes_first(query, bytes_find(query, '&'));
        size_t eq = bytes_find(pair, '=');
        if (bytes_eq_str(bytes_first(pair, eq), name))
            return http_percent_decode(bytes_skip(pair, eq + 1), out, size);
        query = bytes_skip(query, pair.n + 1);
    }
    return E_NOT_FOUND;
}

/* The path as decoded segments, one after the other in match->text. */
struct segments {
    int n;
    struct bytes v[32]; /* decoded; the rest of a path is contiguous: joined by '/' */
};

/* "." or "..", as a segment or between slashes that were encoded. */
static bool has_dots(struct bytes seg)
{
    for (;;) {
        size_t n = bytes_find(seg, '/');
        struct bytes part = bytes_first(seg, n);
        if (bytes_eq_str(part, ".") || bytes_eq_str(part, ".."))
            return true;
        if (n == seg.n)
            return false;
        seg = bytes_skip(seg, n + 1);
    }
}

static enum router_result split(struct bytes path, struct router_match *m, struct segments *s)
{
    size_t used = 0;
    s->n = 0;
    while (path.n) {
        size_t n = bytes_find(path, '/');
        struct bytes raw = bytes_first(path, n);
        path = bytes_skip(path, n + 1);
        if (!n)
            continue; /* the first slash, doubled and trailing ones */
        if (s->n == (int)(sizeof s->v / sizeof *s->v))
            return ROUTER_NO_PATH;
        ssize_t len = http_percent_decode(raw, m->text + used, sizeof m->text - used);
        if (len == E_TOO_BIG)
            return ROUTER_NO_PATH;
        if (len < 0)
            return ROUTER_BAD_PATH;
        struct bytes seg = bytes_of(m->text + used, (size_t)len);
        if (has_dots(seg))
            return ROUTER_BAD_PATH;
        s->v[s->n++] = seg;
        used += (size_t)len;
        if (used + 2 > sizeof m->text)
            return ROUTER_NO_PATH;
        m->text[used++] = '/'; /* so that a rest is one run of bytes */
    }
    return ROUTER_FOUND;
}

static void capture(struct router_match *m, struct bytes v)
{
    if (m->capture_count < ROUTER_CAPTURES)
        m->captures[m->capture_count++] = v;
}

static bool fits(const char *pattern, const struct segments *s, struct router_match *m)
{
    struct bytes p = bytes_str(pattern);
    int i = 0;
    m->capture_count = 0;
    while (p.n) {
        size_t n = bytes_find(p, '/');
        struct bytes want = bytes_first(p, n);
        p = bytes_skip(p, n + 1);
        if (!n)
            continue;
        if (i == s->n)
            return false;
        if (want.p[0] == '*') {
            const uint8_t *end = s->v[s->n - 1].p + s->v[s->n - 1].n;
            capture(m, bytes_of(s->v[i].p, (size_t)(end - s->v[i].p)));
            return true;
        }
        if (want.p[0] == ':')
            capture(m, s->v[i]);
        else if (!bytes_eq(want, s->v[i]))
            return false;
        i++;
    }
    return i == s->n;
}

static bool serves(enum http_method route, enum http_method asked)
{
    return route == asked || (route == HTTP_GET && asked == HTTP_HEAD);
}

/* The route that is written just as the path is: of most requests, and found without cutting anything. */
static const struct router_route *as_written(const struct router_route *routes, size_t count,
                                             enum http_method method, struct bytes path)
{
    if (bytes_find(path, ':') < path.n || bytes_find(path, '*') < path.n)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (serves(routes[i].method, method) && bytes_eq_str(path, routes[i].pattern))
            return &routes[i];
    return NULL;
}

enum router_result router_find(const struct router_route *routes, size_t count,
                               enum http_method method, struct bytes path, struct router_match *out)
{
    struct segments s;
    out->id = 0;
    out->allowed = 0;
    out->capture_count = 0;
    const struct router_route *plain = as_written(routes, count, method, path);
    if (plain) {
        out->id = plain->id;
        return ROUTER_FOUND;
    }
    enum router_result r = split(path, out, &s);
    if (r != ROUTER_FOUND)
        return r;
    for (size_t i = 0; i < count; i++) {
        if (!fits(routes[i].pattern, &s, out))
            continue;
        if (serves(routes[i].method, method)) {
            out->id = routes[i].id;
            return ROUTER_FOUND;
        }
        out->allowed |= 1u << routes[i].method;
        if (routes[i].method == HTTP_GET)
            out->allowed |= 1u << HTTP_HEAD;
    }
    out->capture_count = 0;
    if (!out->allowed)
        return ROUTER_NO_PATH;
    out->allowed |= 1u << HTTP_OPTIONS;
    return ROUTER_NO_METHOD;
}

const char *router_allow(unsigned allowed, char out[static 96])
{
    size_t n = 0;
    out[0] = 0;
    for (unsigned m = HTTP_GET; m <= HTTP_TRACE; m++)
        if (allowed & 1u << m)
            n += (size_t)snprintf(out + n, 96 - n, "%s%s", n ? ", " : "",
                                  http_method_name((enum http_method)m));
    return out;
}
