// SPDX-License-Identifier: MIT
/* The pool's port to the world: resolves, dials, and wraps in TLS; through the proxy of HTTPS_PROXY
 * when there is one for that host. */
#ifndef CONDUIT_HTTP_CLIENT_SHELL_H
#define CONDUIT_HTTP_CLIENT_SHELL_H

#include "http/pool.h"

struct loop;
struct http_net;

struct http_net_options {
    const char *https_proxy; /* URL, as in HTTPS_PROXY; NULL: none. Only http:// proxies */
    const char *no_proxy;    /* as in NO_PROXY; NULL: none */
    const char *ca_file;     /* NULL: the system's CAs */
};

/* 0, or an error with a sentence in `why`. The options are copied. */
int http_net_new(struct loop *l, const struct http_net_options *opts, struct http_net **out,
                 char why[static 256]);
void http_net_free(struct http_net *n);
/* For http_pool_config: dialer_ctx is the http_net. */
const struct http_dialer *http_net_dialer(void);

#endif
