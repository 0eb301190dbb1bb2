// SPDX-License-Identifier: MIT
/* Why somebody is not served, as HTTP tells it. */
#ifndef CONDUIT_GUARD_REFUSAL_H
#define CONDUIT_GUARD_REFUSAL_H

struct guard_refusal {
    int status;             /* 429, 413, 503, 403 */
    const char *code;       /* "rate_limit_exceeded", "prompt_too_long", "outside_schedule", … */
    unsigned retry_after_s; /* at least 1 where waiting helps; 0: it does not */
    char message[160];
};

/* Fills it in; always E_DENIED. */
int guard_refuse(struct guard_refusal *why, int status, const char *code, unsigned retry_after_s,
                 const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#endif
