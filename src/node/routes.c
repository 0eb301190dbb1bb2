// SPDX-License-Identifier: MIT
/* What the node serves beside the gateway: one line per route, its code in the file of its noun. An action is
 * `control_only`: it exists on the control socket alone. */
#include "node/node_impl.h"

#include "base/mem.h"
#include "node/dht_get.h"
#include "node/doctor.h"

#include <stdio.h>

/* What a node is asked first by one that wonders: who it is and what time it has there. */
static void serve_hello(void *node, struct http_exchange *x, const struct http_head *head,
                        const struct router_match *match, struct bytes body)
{
    const struct node *n = node;
    char text[256];
    int len = snprintf(text, sizeof text, "{\"version\":\"%s\",\"wall_ms\":%llu}", n->version,
                       (unsigned long long)sched_wall_ms(n->sched));
    http_exchange_reply(x, 200, "application/json", NULL, 0, bytes_of(text, (size_t)len));
}

static void serve_limits(void *node, struct http_exchange *x, const struct http_head *head,
                         const struct router_match *match, struct bytes body)
{
    struct buf b;
    buf_init(&b, 0);
    if (node_limits_json(node, &b) == 0)
        http_exchange_reply(x, 200, "application/json", NULL, 0, buf_view(&b));
    else
        http_exchange_error(x, 503, "out_of_memory", 1, "this node is out of memory");
    buf_fini(&b);
}

/* clang-format off */
const struct gateway_route node_local_routes[] = {
    {HTTP_GET, "/conduit/v1/hello", false, serve_hello},
    {HTTP_GET, "/conduit/v1/doctor", true, doctor_serve},
    {HTTP_GET, "/conduit/v1/limits", false, serve_limits},
    {HTTP_GET, "/conduit/v1/dht/get", true, dht_get_serve},
    {HTTP_GET, "/conduit/v1/dht/status", false, dht_status_serve},
    {HTTP_GET, "/conduit/v1/invites", true, invites_serve_list},
    {HTTP_POST, "/conduit/v1/invites", true, invites_serve_make},
    {HTTP_POST, "/conduit/v1/invites/revoke", true, invites_serve_revoke},
};
const struct gateway_route node_peer_routes[] = {
    {HTTP_GET, "/conduit/v1/hello", false, serve_hello},
    {HTTP_POST, "/conduit/v1/invite", false, invites_serve_show},
};
/* clang-format on */
const size_t node_local_route_count = ARRAY_LEN(node_local_routes);
const size_t node_peer_route_count = ARRAY_LEN(node_peer_routes);
