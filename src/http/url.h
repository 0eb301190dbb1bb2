// SPDX-License-Identifier: MIT
/* URLs of backends, strictly: http, https and http+unix (the socket's path percent-encoded, or
 * "unix:/path"). No user info, no fragment. */
#ifndef CONDUIT_HTTP_URL_H
#define CONDUIT_HTTP_URL_H

#include "http/pool.h"

struct url {
    struct http_origin origin;
    char
        host_field[280]; /* what the Host field says: host, [ip6], with the port when not default */
    char path[1024];     /* "" or "/…", without a trailing slash; percent-encoding kept */
    char query[512];     /* without '?' */
};

/* 0, or E_MALFORMED with a sentence in `why`. */
int url_parse(const char *text, struct url *out, char why[static 128]);
/* The URL as text, normalised; E_TOO_BIG when it does not fit. */
int url_format(const struct url *u, char *out, size_t size);

#endif
