// SPDX-License-Identifier: MIT
/* Through an HTTP proxy to a TLS host: which hosts go through it, and the CONNECT in front of the
 * tunnel (RFC 9110 §9.3.6).
 *
 * The hard thing is to stop reading exactly where the proxy's head ends: what follows belongs to
 * the tunnel. In TLS the client speaks first, so bytes behind the head are refused, not kept. */
#ifndef CONDUIT_HTTP_PROXY_H
#define CONDUIT_HTTP_PROXY_H

#include "base/stream.h"
#include "http/url.h"

struct proxy {
    struct http_origin at;
    char authorization[400]; /* "Basic …", or empty */
};

/* "http://[user:password@]host:port": 0, or E_MALFORMED with a sentence in `why`. */
int proxy_parse(const char *text, struct proxy *out, char why[static 128]);
/* Whether NO_PROXY (a list with commas; may be NULL) leaves this host to be dialled directly: "*",
 * names with their subdomains, addresses, networks as 10.0.0.0/8; each optionally with ":port".
 * Loopback never goes through a proxy. */
bool proxy_is_bypassed(const char *no_proxy, const struct http_origin *to);

struct proxy_tunnel; /* opaque: one CONNECT */

/* Takes the stream to the proxy. `done` is called once, never from inside this call, with the
 * stream as a tunnel (yours) or with an error: E_REFUSED the proxy said no (status), E_AUTH it
 * wants a password, E_PROTO it talks nonsense. Deadlines are the caller's: proxy_tunnel_cancel. */
struct proxy_tunnel *
proxy_tunnel_open(const struct proxy *p, struct stream *s, const struct http_origin *to,
                  void (*done)(void *ctx, int err, int status, struct stream *s), void *ctx);
void proxy_tunnel_cancel(struct proxy_tunnel *t);

#endif
