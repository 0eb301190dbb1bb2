// SPDX-License-Identifier: MIT
/* Why an attempt did not give an answer, and what follows: another provider, or this error for the
 * client. What a provider or backend reports is data; here it becomes a decision. */
#ifndef CONDUIT_GATEWAY_FAILURE_H
#define CONDUIT_GATEWAY_FAILURE_H

#include "base/buf.h"
#include "http/client.h"

#include <stdbool.h>

struct failure {
    int status;             /* for the client */
    char code[48];          /* a word for programs; "" becomes null */
    char param[48];         /* the member at fault; "" becomes null */
    char message[400];      /* a sentence; never a prompt or an answer */
    unsigned retry_after_s; /* 0: none */
    bool can_try_another;   /* it lies with the provider, not with the request */
    bool is_provider_fault; /* counts against the provider's record (not when it was only busy) */
};

void failure_set(struct failure *f, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A call that ended without a whole response. `who` is named in the sentence ("the provider"). */
void failure_from_call(struct failure *f, const struct http_call_result *r, const char *who);
/* A way that could not be opened (dial, protocol, slot). */
void failure_from_open(struct failure *f, int err, const char *who);
/* An error response: its status and JSON body, brought into OpenAI's shape. `retry_after` is that
 * field's value or empty. A body that is not an error of a known shape gives a sentence of ours. */
void failure_from_response(struct failure *f, int status, struct bytes retry_after,
                           struct bytes body, const char *who);
/* {"error":{"message":…,"type":…,"param":null,"code":…}} appended. */
int failure_json(const struct failure *f, struct buf *out);

#endif
