// SPDX-License-Identifier: MIT
/* Skimming an inference request; see request.h. */
#include "gateway/request.h"

#include "base/mem.h"
#include "offer/offer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *path;
    uint32_t ability;
    const char *required; /* member, and its kind below */
} kinds[] = {
    [REQUEST_CHAT] = {"/v1/chat/completions", OFFER_CHAT, "messages"},
    [REQUEST_COMPLETION] = {"/v1/completions", OFFER_COMPLETION, "prompt"},
    [REQUEST_EMBEDDINGS] = {"/v1/embeddings", OFFER_EMBEDDINGS, "input"},
    [REQUEST_RERANK] = {"/v1/rerank", OFFER_RERANK, "documents"},
};

const char *const request_max_tokens[REQUEST_MAX_TOKENS] = {"max_tokens", "max_completion_tokens",
                                                            "n_predict"};

const char *request_path(enum request_kind kind)
{
    return kinds[kind].path;
}

static int bad(struct failure *f, const char *param, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int bad(struct failure *f, const char *param, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    failure_set(f, 400, "", "%s", text);
    snprintf(f->param, sizeof f->param, "%s", param);
    return E_MALFORMED;
}

static int read_skim(struct gateway_request *r, struct failure *f)
{
    struct json_error why = {0};
    int err = json_skim(r->body, &r->skim, &why);
    if (err == E_DUPLICATE) {
        const struct json_member *m = &r->skim.members[r->skim.count];
        return bad(f, "", "the member '%.*s' is given twice", (int)(m->key_n < 80 ? m->key_n : 80),
                   (const char *)r->body.p + m->key_at);
    }
    if (err)
        return bad(f, "", "the body is not a JSON object (byte %zu: %s)", why.at,
                   *why.text ? why.text : err_text(err));
    return 0;
}

static int read_bool(struct gateway_request *r, const char *key, bool *out, struct failure *f)
{
    const struct json_member *m = json_find(&r->skim, key);
    if (!m || m->kind == JSON_NULL || json_skim_bool(&r->skim, key, out))
        return 0;
    return bad(f, key, "'%s' must be true or false", key);
}

static int read_model(struct gateway_request *r, struct failure *f)
{
    ssize_t n = json_skim_str(&r->skim, "model", r->model, sizeof r->model);
    if (n == E_NOT_FOUND)
        r->model[0] = 0;
    else if (n < 0)
        return bad(f, "model",
                   n == E_TOO_BIG ? "the model's name is too long" : "'model' must be a string");
    return 0;
}

static bool has(struct bytes text, const char *needle)
{
    return text.n && memmem(text.p, text.n, needle, strlen(needle));
}

static void read_needs(struct gateway_request *r)
{
    struct bytes tools = json_raw(&r->skim, "tools");
    r->needs = kinds[r->kind].ability;
    if (tools.n > 2 && *tools.p == '[')
        r->needs |= OFFER_TOOLS;
    if (has(json_raw(&r->skim, "response_format"), "\"json_schema\""))
        r->needs |= OFFER_JSON_SCHEMA;
    if (r->kind == REQUEST_CHAT && has(json_raw(&r->skim, "messages"), "\"image_url\""))
        r->needs |= OFFER_VISION;
    r->prompt_tokens = r->body.n / 4 > UINT32_MAX ? UINT32_MAX : (uint32_t)(r->body.n / 4);
}

static int read_stream_options(struct gateway_request *r, struct failure *f)
{
    const struct json_member *m = json_find(&r->skim, "stream_options");
    if (!m || m->kind == JSON_NULL)
        return 0;
    if (m->kind != JSON_OBJECT)
        return bad(f, "stream_options", "'stream_options' must be an object");
    struct json_doc *doc;
    if (json_parse(json_raw(&r->skim, "stream_options"), 64 * KIB, &doc, NULL))
        return bad(f, "stream_options", "'stream_options' is too large");
    r->wants_usage = json_bool(json_get(json_root(doc), "include_usage"), false);
    json_free(doc);
    return 0;
}

static int read_encoding(struct gateway_request *r, struct failure *f)
{
    char text[16];
    ssize_t n = json_skim_str(&r->skim, "encoding_format", text, sizeof text);
    if (r->kind != REQUEST_EMBEDDINGS || n == E_NOT_FOUND)
        return 0;
    r->wants_base64 = n > 0 && strcmp(text, "base64") == 0;
    if (r->wants_base64 || (n > 0 && strcmp(text, "float") == 0))
        return 0;
    return bad(f, "encoding_format", "'encoding_format' is \"float\" or \"base64\"");
}

int request_read(struct gateway_request *r, enum request_kind kind, struct bytes body,
                 struct failure *f)
{
    int err;
    r->kind = kind;
    r->body = body;
    r->is_stream = r->wants_usage = r->wants_base64 = false;
    if ((err = read_skim(r, f)) || (err = read_model(r, f)) ||
        (err = read_bool(r, "stream", &r->is_stream, f)) || (err = read_stream_options(r, f)) ||
        (err = read_encoding(r, f)))
        return err;
    const struct json_member *m = json_find(&r->skim, kinds[kind].required);
    if (!m || m->kind == JSON_NULL)
        return bad(f, kinds[kind].required, "'%s' is missing", kinds[kind].required);
    if (kind == REQUEST_CHAT && m->kind != JSON_ARRAY)
        return bad(f, "messages", "'messages' must be a list");
    if (kind != REQUEST_CHAT && kind != REQUEST_COMPLETION)
        r->is_stream = false;
    read_needs(r);
    return 0;
}

struct gateway_request *request_keep(const struct gateway_request *r)
{
    size_t size =
        offsetof(struct gateway_request, skim.members) + r->skim.count * sizeof r->skim.members[0];
    struct gateway_request *kept = mem_new(size);
    memcpy(kept, r, size);
    return kept;
}
