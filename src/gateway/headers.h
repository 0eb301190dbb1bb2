// SPDX-License-Identifier: MIT
/* Which header fields pass, who may call from a browser, and which Host we answer to.
 *
 * Between nodes fields cross by allow-list: a client's Authorization, x-api-key and cookies never leave
 * its node. On TCP listeners Host and Origin are checked (DNS rebinding, cross-site requests): a page of
 * a foreign origin gets 403 before anything is done; never on p2p streams, which no browser opens. */
#ifndef CONDUIT_GATEWAY_HEADERS_H
#define CONDUIT_GATEWAY_HEADERS_H

#include "http/http1.h"

/* Copies the allowed fields of `head` into `out`; returns how many. */
size_t headers_allowed(const struct http_head *head, struct http_header *out, size_t max);

struct headers_policy {
    const char *const *hosts; /* further names, without port */
    size_t host_count;
    const char *const *origins; /* further web origins, "https://example.org" */
    size_t origin_count;
    bool any_host; /* the listener is not on loopback: Host cannot be known, keys protect it */
};

/* Host names this machine: loopback, localhost, an IP literal that is loopback or private, *.local… */
bool headers_host_is_ours(const struct headers_policy *p, struct bytes host);
/* No Origin, a local page (localhost, app://, vscode-webview://…), or one that is allowed. */
bool headers_origin_is_ours(const struct headers_policy *p, struct bytes origin);

/* CORS fields for a response to `head`: reflects the origin and what the preflight asks for. The values
 * borrow from `head` and from constants. Returns how many. */
enum { HEADERS_CORS = 8 };
size_t headers_cors(const struct headers_policy *p, const struct http_head *head,
                    struct http_header out[static HEADERS_CORS]);

/* The bearer token, x-api-key or api-key of a request; empty when there is none. */
struct bytes headers_key(const struct http_head *head);

#endif
