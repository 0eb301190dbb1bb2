// SPDX-License-Identifier: MIT
/* URLs, proxies and paths of routes: a URL that is accepted can be written and read again as
 * itself. */
#include "http/proxy.h"
#include "http/router.h"
#include "http/url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct router_route routes[] = {{HTTP_GET, "/v1/models/*id", 1},
                                                 {HTTP_POST, "/a/:b/c", 2}};
    char text[4096], again[4096], value[32], why[128];
    struct url u, v;
    struct proxy p;
    struct router_match m;
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (!url_parse(text, &u, why)) {
        if (url_format(&u, again, sizeof again) || url_parse(again, &v, why) ||
            strcmp(u.origin.host, v.origin.host) || u.origin.port != v.origin.port ||
            strcmp(u.path, v.path) || strcmp(u.query, v.query))
            abort();
        proxy_is_bypassed(text, &u.origin);
    }
    proxy_parse(text, &p, why);
    router_find(routes, 2, HTTP_GET, bytes_of(data, size), &m);
    http_query_get(bytes_of(data, size), "a", value, sizeof value);
    return 0;
}
