// SPDX-License-Identifier: MIT
/* Errors as OpenAI's clients read them: {"error":{"message","type","param","code"}}; all four keys,
 * `code` a string or null. */
#include "base/mem.h"
#include "http/server.h"

const char *http_error_type(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 429:
        return "rate_limit_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

/* Appends `text` as a JSON string. Bytes that are not UTF-8 are the caller's fault, not checked. */
static int append_string(struct buf *b, const char *text)
{
    int err = buf_append_byte(b, '"');
    for (const uint8_t *p = (const uint8_t *)text; *p && !err; p++) {
        if (*p == '"' || *p == '\\') {
            err = buf_append_byte(b, '\\');
            err = err ? err : buf_append_byte(b, *p);
        } else if (*p < 0x20 || *p == 0x7f)
            err = buf_printf(b, "\\u%04x", *p);
        else
            err = buf_append_byte(b, *p);
    }
    return err ? err : buf_append_byte(b, '"');
}

int http_error_json(struct buf *b, int status, const char *code, const char *message)
{
    int err = buf_append_str(b, "{\"error\":{\"message\":");
    err = err ? err : append_string(b, message);
    err = err ? err
              : buf_printf(b, ",\"type\":\"%s\",\"param\":null,\"code\":", http_error_type(status));
    err = err ? err : code ? append_string(b, code) : buf_append_str(b, "null");
    return err ? err : buf_append_str(b, "}}");
}
