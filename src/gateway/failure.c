// SPDX-License-Identifier: MIT
/* From what went wrong to what the client hears; see failure.h. */
#include "gateway/failure.h"

#include "codec/json.h"
#include "http/server.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void failure_set(struct failure *f, int status, const char *code, const char *fmt, ...)
{
    va_list ap;
    *f = (struct failure){.status = status};
    snprintf(f->code, sizeof f->code, "%s", code);
    va_start(ap, fmt);
    vsnprintf(f->message, sizeof f->message, fmt, ap);
    va_end(ap);
}

void failure_from_call(struct failure *f, const struct http_call_result *r, const char *who)
{
    bool began = r->phase >= HTTP_CALL_HEAD;
    switch (r->err) {
    case E_TIMEOUT:
        failure_set(f, 504, "provider_timeout", "%s gave no sign of life in time", who);
        break;
    case E_MALFORMED:
    case E_LIMIT:
        failure_set(f, 502, "bad_response", "%s sent what is not an HTTP answer: %s", who,
                    http_fault_text(r->fault));
        break;
    case E_TOO_BIG:
        failure_set(f, 502, "response_too_large", "%s sent more than the limit allows", who);
        break;
    default:
        failure_set(f, 502, "provider_disconnected", "%s %s (%s)", who,
                    began ? "broke off in the middle of its answer" : "gave no answer",
                    err_text(r->err));
    }
    f->can_try_another = true;
    f->is_provider_fault = true;
}

void failure_from_open(struct failure *f, int err, const char *who)
{
    if (err == E_BUSY || err == E_LIMIT) {
        failure_set(f, 429, "provider_busy", "%s is busy", who);
        f->retry_after_s = 1;
    } else {
        failure_set(f, 503, "provider_unreachable", "%s could not be reached: %s", who,
                    err_text(err));
        f->retry_after_s = 1;
        f->is_provider_fault = true;
    }
    f->can_try_another = true;
}
