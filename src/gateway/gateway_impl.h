// SPDX-License-Identifier: MIT
/* What the gateway's own files share. */
#ifndef CONDUIT_GATEWAY_IMPL_H
#define CONDUIT_GATEWAY_IMPL_H

#include "base/list.h"
#include "gateway/attempt.h"
#include "gateway/gateway.h"
#include "route/failover.h"

struct gateway {
    struct gateway_config cfg;
    struct attempt_env env;
    struct list exchanges; /* inference requests */
    struct list watchers;
    size_t running, watching;
    bool is_closed;
    struct retry_budget budget;
    struct gateway_counters count;
    struct gateway_request reading; /* while one is read; 12 kB, so not in each exchange */
};

/* One inference request begins; answers by itself. `is_peer`: asked by another node. */
void exchange_start(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                    enum request_kind kind, bool is_peer);
void exchange_cancel_all(struct gateway *g);

/* Somebody watches our offers (GET /conduit/v1/offers, text/event-stream). `is_served`: may use them, too. */
void feed_start(struct gateway *g, struct http_exchange *x, bool is_served);
void feed_end_all(struct gateway *g);

/* May this peer have its requests served? */
bool gateway_admits(const struct gateway *g, const struct principal *who,
                    const struct http_head *head);

/* A failure as a whole response, with CORS fields. */
void respond_failure(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                     const struct failure *f, const char *request_id);
void respond_json(struct gateway *g, struct http_exchange *x, const struct http_head *head,
                  int status, struct bytes json);

#endif
