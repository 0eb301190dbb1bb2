// SPDX-License-Identifier: MIT
/* May this request be tried once more? Bounded three ways: attempts of one request, its deadline, and
 * a budget over all requests (a share of them, with a small reserve), so that a network in trouble is
 * not asked twice as much. */
#ifndef CONDUIT_ROUTE_FAILOVER_H
#define CONDUIT_ROUTE_FAILOVER_H

#include <stdbool.h>
#include <stdint.h>

/* One for the node. */
struct retry_budget {
    double tokens, most;
    double share; /* tokens that each first attempt brings */
    double per_s; /* and each second, so that a quiet node can always retry */
    uint64_t filled_us;
};
void retry_budget_init(struct retry_budget *b, uint64_t now_us);

/* One per request. */
struct failover {
    unsigned attempts, max_attempts;
    uint64_t deadline_us;
};
enum failover_verdict { FAILOVER_GO, FAILOVER_ATTEMPTS, FAILOVER_DEADLINE, FAILOVER_BUDGET };

void failover_init(struct failover *f, struct retry_budget *b, unsigned max_attempts,
                   uint64_t deadline_us, uint64_t now_us);
/* After a failure: FAILOVER_GO has counted the next attempt. */
enum failover_verdict failover_next(struct failover *f, struct retry_budget *b, uint64_t now_us);
const char *failover_text(enum failover_verdict v); /* "all attempts were used" */

#endif
