// SPDX-License-Identifier: MIT
/* A table of routes: method, path pattern, what to do.
 *
 * Patterns are segments. `:name` takes one segment, `*name` at the end takes the rest with its
 * slashes, because ids of models contain '/' and ':'. Paths are matched after percent-decoding each
 * segment; doubled and trailing slashes are tolerated, so that
 * "//v1//models/" is "/v1/models". A rest capture keeps "%2F" and "/" alike as '/'.
 * "." and ".." segments are refused. */
#ifndef CONDUIT_HTTP_ROUTER_H
#define CONDUIT_HTTP_ROUTER_H

#include "http/http1.h"

#include <sys/types.h>

enum { ROUTER_CAPTURES = 4, ROUTER_PATH_MAX = 2048 };

struct router_route {
    enum http_method method; /* a GET route serves HEAD too */
    const char *pattern;
    int id; /* > 0; what the caller does about it */
};

struct router_match {
    int id;
    unsigned allowed; /* bit (1 << method) per method the path has: for 405 and OPTIONS */
    int capture_count;
    struct bytes captures[ROUTER_CAPTURES]; /* decoded; into `text` */
    char text[ROUTER_PATH_MAX];
};

enum router_result { ROUTER_FOUND, ROUTER_NO_PATH, ROUTER_NO_METHOD, ROUTER_BAD_PATH };

/* Looks `path` up; the first route that fits wins. OPTIONS on a known path without an OPTIONS route
 * answers ROUTER_NO_METHOD with `allowed` set: the caller makes 204 of it. */
enum router_result router_find(const struct router_route *routes, size_t count,
                               enum http_method method, struct bytes path,
                               struct router_match *out);
/* "GET, HEAD, OPTIONS" for an Allow field; returns out. */
const char *router_allow(unsigned allowed, char out[static 96]);

/* Percent-decodes into `out` ('+' stays): length, or E_MALFORMED ("%zz", "%00") or E_TOO_BIG. */
ssize_t http_percent_decode(struct bytes in, char *out, size_t size);
/* Value of `name` in a query string, decoded: length, E_NOT_FOUND, E_MALFORMED or E_TOO_BIG. */
ssize_t http_query_get(struct bytes query, const char *name, char *out, size_t size);

#endif
