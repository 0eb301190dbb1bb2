// SPDX-License-Identifier: MIT
/* engine/fixup as a gateway filter; see fixup_filter.h. */
#include "node/fixup_filter.h"

#include "base/mem.h"
#include "base/text.h"
#include "codec/multibase.h"
#include "engine/fixup.h"

#include <stdlib.h>

struct fixup_filter {
    struct gateway_filter base;
    struct fixup fixup;
    bool wants_base64;
};

_Static_assert((int)FILTER_RELAY == (int)FIXUP_RELAY && (int)FILTER_REPLACE == (int)FIXUP_REPLACE &&
                   (int)FILTER_DONE == (int)FIXUP_DONE && (int)FILTER_FAILED == (int)FIXUP_FAILED,
               "verdicts correspond");

static struct fixup *fixup_of(struct gateway_filter *f)
{
    return &CONTAINER_OF(f, struct fixup_filter, base)->fixup;
}

static enum filter_verdict on_event(struct gateway_filter *f, struct bytes data, struct buf *out,
                                    int *status)
{
    return (enum filter_verdict)fixup_event(fixup_of(f), data, out, status);
}

static enum filter_verdict on_end(struct gateway_filter *f, struct buf *out, int *status)
{
    return (enum filter_verdict)fixup_end(fixup_of(f), out, status);
}

/* --- embeddings: a backend that ignores encoding_format would give the SDKs nonsense --- */

static void put_base64(struct json_writer *w, const struct json *array)
{
    size_t n = json_count(array), i = 0;
    float *v = mem_array(n, sizeof *v);
    struct buf text;
    buf_init(&text, 0);
    for (struct json_iter it = json_iter(array); json_next(&it);)
        v[i++] = (float)json_number(it.value, 0);
    (void)base64_put_f32(&text, v, n);
    json_put_bytes(w, buf_view(&text));
    buf_fini(&text);
    free(v);
}

static void put_item(struct json_writer *w, const struct json *item)
{
    json_open_object(w);
    for (struct json_iter it = json_iter(item); json_next(&it);) {
        json_key_bytes(w, it.key);
        if (bytes_eq_str(it.key, "embedding") && json_kind_of(it.value) == JSON_ARRAY)
            put_base64(w, it.value);
        else
            json_put_value(w, it.value);
    }
    json_close_object(w);
}

static bool needs_base64(const struct json *root)
{
    return json_kind_of(json_get(json_at(json_get(root, "data"), 0), "embedding")) == JSON_ARRAY;
}

/* The reply with its vectors as base64, into `out`; false when it need not change. */
static bool as_base64(struct bytes body, struct buf *out)
{
    struct json_doc *doc;
    if (json_parse(body, LIMIT_HTTP_BODY, &doc, NULL))
        return false;
    const struct json *root = json_root(doc);
    bool needs = needs_base64(root);
    struct json_writer w = json_write(out);
    if (needs) {
        json_open_object(&w);
        for (struct json_iter it = json_iter(root); json_next(&it);) {
            json_key_bytes(&w, it.key);
            if (!bytes_eq_str(it.key, "data")) {
                json_put_value(&w, it.value);
                continue;
            }
            json_open_array(&w);
            for (struct json_iter d = json_iter(it.value); json_next(&d);)
                put_item(&w, d.value);
            json_close_array(&w);
        }
        json_close_object(&w);
    }
    json_free(doc);
    return needs;
}

static enum filter_verdict on_reply(struct gateway_filter *f, int *status, struct bytes type,
                                    struct bytes body, struct buf *out)
{
    struct fixup_filter *x = CONTAINER_OF(f, struct fixup_filter, base);
    enum filter_verdict v = (enum filter_verdict)fixup_reply(&x->fixup, status, type, body, out);
    if (!x->wants_base64 || *status != 200 || v == FILTER_FAILED)
        return v;
    struct buf encoded;
    buf_init(&encoded, 0);
    if (as_base64(v == FILTER_REPLACE ? buf_view(out) : body, &encoded)) {
        buf_clear(out);
        v = buf_append_bytes(out, buf_view(&encoded)) ? FILTER_FAILED : FILTER_REPLACE;
    }
    buf_fini(&encoded);
    return v;
}

static bool on_usage(const struct gateway_filter *f, uint64_t *prompt, uint64_t *completion)
{
    const struct fixup *x = fixup_of((struct gateway_filter *)f);
    *prompt = x->usage.prompt_tokens;
    *completion = x->usage.completion_tokens;
    return x->usage.is_known;
}

static void filter_free(struct gateway_filter *f)
{
    fixup_fini(fixup_of(f));
    free(CONTAINER_OF(f, struct fixup_filter, base));
}

struct gateway_filter *fixup_filter_new(const struct gateway_request *req, const char *model,
                                        const char *id, uint64_t created_s)
{
    static const struct gateway_filter_ops ops = {on_event, on_end, on_reply, on_usage,
                                                  filter_free};
    static const enum fixup_path paths[] = {[REQUEST_CHAT] = FIXUP_CHAT,
                                            [REQUEST_COMPLETION] = FIXUP_COMPLETION,
                                            [REQUEST_EMBEDDINGS] = FIXUP_EMBEDDINGS,
                                            [REQUEST_RERANK] = FIXUP_OTHER};
    struct fixup_filter *x = MEM_NEW(struct fixup_filter);
    struct fixup_config cfg = {
        .path = paths[req->kind], .wants_usage = req->wants_usage, .created_s = created_s};
    x->base.ops = &ops;
    x->wants_base64 = req->wants_base64;
    text_copy(cfg.model, sizeof cfg.model, model);
    text_copy(cfg.id, sizeof cfg.id, id);
    fixup_init(&x->fixup, &cfg);
    return &x->base;
}
