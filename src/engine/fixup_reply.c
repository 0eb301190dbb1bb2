// SPDX-License-Identifier: MIT
/* Whole replies of a backend, and the many shapes of their errors. */
#include "engine/fixup_impl.h"

#include "base/mem.h"
#include "http/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool fixup_is_error(const struct json *v)
{
    switch (json_kind_of(v)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return json_count(v) > 0;
    case JSON_STRING:
        return json_str(v).n > 0;
    case JSON_BOOL:
        return json_bool(v, false);
    case JSON_NUMBER:
        return json_number(v, 0) != 0;
    default:
        return false;
    }
}

static void put_error(struct buf *out, int status, struct bytes message, struct bytes type,
                      struct bytes param, struct bytes code)
{
    struct json_writer w = json_write(out);
    json_open_object(&w);
    json_key(&w, "error");
    json_open_object(&w);
    json_member_bytes(&w, "message", message);
    json_member_bytes(&w, "type", type.n ? type : bytes_str(http_error_type(status)));
    json_key(&w, "param");
    if (param.n)
        json_put_bytes(&w, param);
    else
        json_put_null(&w);
    json_key(&w, "code");
    if (code.n)
        json_put_bytes(&w, code);
    else
        json_put_null(&w);
    json_close_object(&w);
    json_close_object(&w);
}

/* The sentence, wherever a backend put it. */
static struct bytes message_of(const struct json *root)
{
    const struct json *e = json_get(root, "error"), *detail = json_get(root, "detail");
    const struct json *places[] = {json_get(e, "message"),
                                   e,
                                   json_get(root, "message"),
                                   detail,
                                   json_get(json_at(detail, 0), "msg"),
                                   json_get(e, "msg")};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (json_str(places[i]).n)
            return json_str(places[i]);
    }
    return bytes_of(NULL, 0);
}

int fixup_error(struct buf *out, int status, struct bytes body)
{
    enum { SHOWN = 2000 };
    struct json_doc *doc = NULL;
    char plain[64], number[24] = "";
    uint64_t n = 0;
    size_t before = buf_len(out);
    snprintf(plain, sizeof plain, "the backend answered with status %d", status);
    if (json_parse(body, LIMIT_FIXUP_EVENT, &doc, NULL) != 0)
        doc = NULL;
    const struct json *root = doc ? json_root(doc) : NULL, *e = json_get(root, "error");
    struct bytes message = message_of(root), code = json_get_str(e, "code");
    /* A number is the status again; the client has that. A word is worth keeping. */
    if (code.n == 0 && json_u64(json_get(e, "code"), &n) && (n < 100 || n > 599)) {
        snprintf(number, sizeof number, "%" PRIu64, n);
        code = bytes_str(number);
    }
    put_error(out, status, message.n ? bytes_first(message, SHOWN) : bytes_str(plain),
              json_get_str(e, "type"), json_get_str(e, "param"), code);
    json_free(doc);
    return buf_len(out) > before ? 0 : E_LIMIT;
}

enum fixup_verdict fixup_fail(struct fixup *f, struct buf *out, int *status, const char *code,
                              const char *message)
{
    *status = 502;
    f->is_over = true;
    put_error(out, 502, bytes_str(message), bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_str(code));
    return FIXUP_FAILED;
}

/* What the client is told of a backend's status. The backend's key is the provider's matter, and 422 is
 * a 400 that SDKs do not know. */
static int status_for_client(int status)
{
    if (status == 401 || status == 403 || status == 407)
        return 502;
    return status == 422 ? 400 : status;
}

/* A pass that writes nothing: the common reply is right, and rewriting it to find that out would cost more
 * than parsing it. What the pass has learnt is forgotten when it was not. */
static bool is_right(struct fixup *f, const struct json *root, const struct json *choices)
{
    struct fixup before = *f;
    struct fixup_pass p = {.f = f, .w = {.err = E_LIMIT}, .is_right = true, .is_whole = true};
    fixup_root(&p, root, choices);
    if (p.is_right && !p.is_broken)
        return true;
    free(f->tools);
    before.tools = NULL;
    before.held_usage = f->held_usage;
    *f = before;
    return false;
}

static enum fixup_verdict take_whole(struct fixup *f, const struct json *root, struct bytes body,
                                     struct buf *out, int *status)
{
    const struct json *choices = json_get(root, "choices");
    if (json_kind_of(choices) != JSON_ARRAY || json_count(choices) == 0)
        return fixup_fail(f, out, status, "backend_bad_reply",
                          "the backend's reply has no choices");
    if (!f->tools && is_right(f, root, choices))
        return FIXUP_RELAY;
    (void)buf_reserve(out, body.n + 256, &(uint8_t *){0}); /* once, instead of by doubling */
    struct fixup_pass p = {.f = f, .w = json_write(out), .is_right = true, .is_whole = true};
    fixup_root(&p, root, choices);
    if (p.is_broken || p.w.err) {
        buf_clear(out);
        return fixup_fail(f, out, status, "backend_bad_reply",
                          p.is_broken ? p.why : "the backend's reply is too large");
    }
    if (!p.is_right)
        return FIXUP_REPLACE;
    buf_clear(out);
    return FIXUP_RELAY;
}

static enum fixup_verdict take_json(struct fixup *f, const struct json *root, struct bytes body,
                                    struct buf *out, int *status)
{
    uint64_t code = 0;
    const struct json *e = json_get(root, "error");
    if (fixup_is_error(e)) {
        json_u64(json_get(e, "code"), &code);
        *status = code >= 400 && code < 600 ? status_for_client((int)code) : 502;
        fixup_error(out, *status, body);
        return FIXUP_FAILED;
    }
    if (f->cfg.path == FIXUP_CHAT || f->cfg.path == FIXUP_COMPLETION)
        return take_whole(f, root, body, out, status);
    if (f->cfg.path == FIXUP_EMBEDDINGS && json_kind_of(json_get(root, "data")) != JSON_ARRAY)
        return fixup_fail(f, out, status, "backend_bad_reply", "the backend's reply has no data");
    fixup_take_usage(f, json_get(root, "usage"));
    return FIXUP_RELAY;
}

enum fixup_verdict fixup_reply(struct fixup *f, int *status, struct bytes content_type,
                               struct bytes body, struct buf *out)
{
    struct json_doc *doc = NULL;
    f->is_over = true;
    if (*status >= 400) {
        int theirs = *status;
        *status = status_for_client(theirs);
        if (theirs != *status && *status == 502)
            return fixup_fail(f, out, status, "backend_auth",
                              "the backend refused the provider's key");
        fixup_error(out, *status, body);
        return FIXUP_FAILED;
    }
    if (*status < 200 || *status >= 300)
        return fixup_fail(f, out, status, "backend_bad_reply",
                          "the backend redirects to somewhere else");
    if (f->cfg.path == FIXUP_OTHER)
        return FIXUP_RELAY;
    if (bytes_trim(body).n == 0)
        return fixup_fail(f, out, status, "backend_empty",
                          "the backend answered with an empty body");
    if (json_parse(body, LIMIT_HTTP_BODY, &doc, NULL) != 0 ||
        json_kind_of(json_root(doc)) != JSON_OBJECT) {
        json_free(doc);
        return fixup_fail(f, out, status, "backend_bad_reply",
                          "the backend answered with something that is not JSON");
    }
    enum fixup_verdict v = take_json(f, json_root(doc), body, out, status);
    json_free(doc);
    return v;
}
