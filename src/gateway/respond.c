// SPDX-License-Identifier: MIT
/* Whole responses of the gateway's own, with the CORS fields that every response needs. */
#include "gateway/gateway_impl.h"

#include <stdio.h>

void respond_failure(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                     const struct failure *f, const char *request_id)
{
    struct http_header h[HEADERS_CORS + 6];
    struct buf json;
    char wait[16];
    size_t n = headers_cors(&g->cfg.headers, head, h);
    if (request_id && *request_id)
        h[n++] = (struct http_header){BYTES_LIT("x-request-id"), bytes_str(request_id)};
    if (f->retry_after_s) {
        snprintf(wait, sizeof wait, "%u", f->retry_after_s);
        h[n++] = (struct http_header){BYTES_LIT("retry-after"), bytes_str(wait)};
    }
    if (f->status == 401)
        h[n++] = (struct http_header){BYTES_LIT("www-authenticate"), BYTES_LIT("Bearer")};
    buf_init(&json, 0);
    (void)failure_json(f, &json);
    http_exchange_reply(x, f->status, "application/json", h, n, buf_view(&json));
    buf_fini(&json);
}

void respond_json(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                  int status, struct bytes json)
{
    struct http_header h[HEADERS_CORS];
    size_t n = headers_cors(&g->cfg.headers, head, h);
    http_exchange_reply(x, status, "application/json", h, n, json);
}
