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

static void copy_text(char *out, size_t size, struct bytes v)
{
    size_t n = v.n < size - 1 ? v.n : size - 1;
    while (n && n < v.n && (v.p[n] & 0xc0) == 0x80)
        n--; /* not in the middle of a character */
    memcpy(out, v.p, n);
    out[n] = 0;
}

/* The sentence in the shapes seen in the field: {"error":{"message"}}, {"error":"…"}, {"detail":"…"},
 * {"detail":[{"msg"}]}, {"message":"…"}. */
static struct bytes message_of(const struct json *root)
{
    const struct json *e = json_get(root, "error"), *d = json_get(root, "detail");
    struct bytes candidates[] = {json_get_str(e, "message"), json_str(e), json_str(d),
                                 json_get_str(json_at(d, 0), "msg"), json_get_str(root, "message")};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        if (candidates[i].n)
            return candidates[i];
    return (struct bytes){0};
}

/* Another provider may do better, unless the request itself was refused. */
static void decide(struct failure *f)
{
    switch (f->status) {
    case 400:
    case 413:
    case 415:
    case 422:
        break;
    case 401: /* our node is not welcome there; that says nothing about the request */
    case 403:
    case 404:
    case 408:
    case 429:
        f->can_try_another = true;
        break;
    default:
        f->can_try_another = f->status >= 500;
        f->is_provider_fault = f->status >= 500 && f->status != 503;
    }
}

void failure_from_response(struct failure *f, int status, struct bytes retry_after,
                           struct bytes body, const char *who)
{
    struct json_doc *doc = NULL;
    uint64_t seconds;
    (void)json_parse(body, 1 * MIB, &doc, NULL);
    struct bytes message = message_of(json_root(doc));
    struct bytes code = json_get_str(json_get(json_root(doc), "error"), "code");
    if (status < 400)
        status = 502; /* an answer that is none */
    if (status == 422)
        status = 400; /* the SDKs print "422 status code (no body)" */
    failure_set(f, status, "", "%s answered with status %d", who, status);
    if (message.n)
        copy_text(f->message, sizeof f->message, message);
    if (code.n && code.n < sizeof f->code)
        copy_text(f->code, sizeof f->code, code);
    else if (status == 429)
        strcpy(f->code, "rate_limit_exceeded");
    else if (bytes_eq_str(json_get_str(json_get(json_root(doc), "error"), "type"),
                          "exceed_context_size_error"))
        strcpy(f->code, "context_length_exceeded"); /* llama-server's word; agents know OpenAI's */
    if (bytes_to_u64(retry_after, &seconds) == 0 && seconds < 86400)
        f->retry_after_s = (unsigned)seconds;
    else if (status == 429 || status == 503)
        f->retry_after_s = 1;
    decide(f);
    json_free(doc);
}

/* The same shape as http_error_json, with the member at fault in it. */
int failure_json(const struct failure *f, struct buf *out)
{
    if (!*f->param)
        return http_error_json(out, f->status, *f->code ? f->code : NULL, f->message);
    struct json_writer w = json_write(out);
    json_open_object(&w);
    json_key(&w, "error");
    json_open_object(&w);
    json_member_str(&w, "message", f->message);
    json_member_str(&w, "type", "invalid_request_error");
    json_member_str(&w, "param", f->param);
    json_member_str(&w, "code", *f->code ? f->code : NULL);
    json_close_object(&w);
    json_close_object(&w);
    return w.err;
}
