// SPDX-License-Identifier: MIT
/* See refusal.h. */
#include "guard/refusal.h"

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

int guard_refuse(struct guard_refusal *why, int status, const char *code, unsigned retry_after_s,
                 const char *fmt, ...)
{
    va_list ap;
    *why = (struct guard_refusal){status, code, retry_after_s, ""};
    va_start(ap, fmt);
    vsnprintf(why->message, sizeof why->message, fmt, ap);
    va_end(ap);
    return E_DENIED;
}
