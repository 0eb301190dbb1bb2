// SPDX-License-Identifier: MIT
/* The retry budget; see failover.h. */
#include "route/failover.h"

#define US_PER_S 1e6

void retry_budget_init(struct retry_budget *b, uint64_t now_us)
{
    *b = (struct retry_budget){
        .tokens = 10, .most = 50, .share = 0.2, .per_s = 1, .filled_us = now_us};
}

static void add(struct retry_budget *b, double tokens)
{
    b->tokens += tokens;
    if (b->tokens > b->most)
        b->tokens = b->most;
}

void failover_init(struct failover *f, struct retry_budget *b, unsigned max_attempts,
                   uint64_t deadline_us, uint64_t now_us)
{
    *f = (struct failover){.attempts = 1, .max_attempts = max_attempts, .deadline_us = deadline_us};
    add(b, b->share);
}

enum failover_verdict failover_next(struct failover *f, struct retry_budget *b, uint64_t now_us)
{
    if (f->attempts >= f->max_attempts)
        return FAILOVER_ATTEMPTS;
    if (now_us >= f->deadline_us)
        return FAILOVER_DEADLINE;
    if (now_us > b->filled_us) {
        add(b, (double)(now_us - b->filled_us) / US_PER_S * b->per_s);
        b->filled_us = now_us;
    }
    if (b->tokens < 1)
        return FAILOVER_BUDGET;
    b->tokens -= 1;
    f->attempts++;
    return FAILOVER_GO;
}

const char *failover_text(enum failover_verdict v)
{
    switch (v) {
    case FAILOVER_GO:
        return "tried again";
    case FAILOVER_ATTEMPTS:
        return "all attempts were used";
    case FAILOVER_DEADLINE:
        return "its time is over";
    case FAILOVER_BUDGET:
        return "too many requests are being retried";
    }
    return "?";
}
