// SPDX-License-Identifier: MIT
/* What a backend gets wrong, put right: events, their end, and the quick look that lets right ones
 * through. Choices are in fixup_choice.c, whole replies and errors in fixup_reply.c. */
#include "engine/fixup_impl.h"

#include "base/mem.h"
#include "base/text.h"
#include "codec/json_skim.h"

#include <stdio.h>
#include <stdlib.h>

void fixup_init(struct fixup *f, const struct fixup_config *cfg)
{
    memset(f, 0, sizeof *f);
    f->cfg = *cfg;
    buf_init(&f->before, 4 * KIB);
    buf_init(&f->after, 4 * KIB);
    buf_init(&f->held_usage, 64 * KIB);
}

void fixup_fini(struct fixup *f)
{
    buf_fini(&f->before);
    buf_fini(&f->after);
    buf_fini(&f->held_usage);
    free(f->tools);
    f->tools = NULL;
}

/* --- the quick look --- */
enum { SAYS_INDEX = 1, SAYS_TEXT = 2, SAYS_UNFINISHED = 4, SAYS_OTHER = 8 };

/* After the key finish_reason: nothing but null. */
static unsigned finish_of(struct bytes rest, unsigned seen)
{
    bool has_colon = rest.n && rest.p[0] == ':';
    rest = bytes_skip(rest, has_colon);
    while (rest.n && rest.p[0] == ' ')
        rest = bytes_skip(rest, 1);
    bool is_null = has_colon && bytes_starts(rest, BYTES_LIT("null")) && !(seen & SAYS_UNFINISHED);
    return is_null ? SAYS_UNFINISHED : SAYS_OTHER;
}

/* What is said by the word that begins at this quote. */
static unsigned word_says(struct bytes at, struct bytes text_key, unsigned seen)
{
    static const struct {
        const char *word;
        uint8_t n;
    } others[] = {{"\"tool_calls\"", 12}, {"\"role\"", 6},  {"\"reasoning", 10}, {"\"error\"", 7},
                  {"\"message\"", 9},     {"\"usage\"", 7}, {"\"choices\"", 9},  {"\"id\"", 4}};
    static const struct bytes finish = {(const uint8_t *)"\"finish_reason\"", 15};
    if (bytes_starts(at, BYTES_LIT("\"index\":0")))
        return SAYS_INDEX;
    if (bytes_starts(at, text_key))
        return SAYS_TEXT;
    if (bytes_starts(at, finish))
        return finish_of(bytes_skip(at, finish.n), seen);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (at.n > 1 && at.p[1] == (uint8_t)others[i].word[1] && at.n >= others[i].n &&
            memcmp(at.p, others[i].word, others[i].n) == 0)
            return SAYS_OTHER;
    }
    return 0;
}

/* One look at each quote: all words that we look for begin with one. Escaped characters may hide a word. */
static unsigned event_says(struct bytes in, struct bytes text_key)
{
    unsigned says = 0;
    for (const uint8_t *p = in.p, *end = in.p + in.n; p < end && !(says & SAYS_OTHER); p++) {
        if (*p == '"')
            says |= word_says(bytes_of(p, (size_t)(end - p)), text_key, says);
        else if (*p == '\\' && end - p > 1 && p[1] == 'u')
            says |= SAYS_OTHER;
    }
    return says;
}

/* An event like the right one before it, with nothing in it that changes our state. Words inside of
 * strings have their quotes escaped, so a find is a key, or costs no more than a parse. */
static bool is_like_before(const struct fixup *f, struct bytes data)
{
    struct bytes before = buf_view(&f->before), after = buf_view(&f->after);
    if (before.n == 0 || data.n < before.n + after.n || !bytes_starts(data, before) ||
        memcmp(data.p + data.n - after.n, after.p, after.n) != 0)
        return false;
    struct bytes middle = bytes_of(data.p + before.n, data.n - before.n - after.n);
    struct bytes text_key =
        f->cfg.path == FIXUP_CHAT ? BYTES_LIT("\"delta\":{") : BYTES_LIT("\"text\":\"");
    return f->choice_count == 1 && !(f->seen[0] & SEEN_FINISHED) &&
           event_says(middle, text_key) == (SAYS_INDEX | SAYS_TEXT | SAYS_UNFINISHED) &&
           json_check(data, NULL) == 0;
}

/* Remembers what stands around the choices of a right event. */
static void learn(struct fixup *f, struct bytes data)
{
    struct json_skim *s = mem_try(sizeof *s);
    buf_clear(&f->before);
    buf_clear(&f->after);
    if (s && json_skim(data, s, NULL) == 0) {
        const struct json_member *m = json_find(s, "choices");
        if (!m || buf_append(&f->before, data.p, m->at) != 0 ||
            buf_append_bytes(&f->after, bytes_skip(data, m->at + m->n)) != 0)
            buf_clear(&f->before);
    }
    free(s);
}

/* --- the root of an event or a reply --- */
/* What we write ourselves; everything else of the root is the backend's, and stays. */
static bool is_ours(struct bytes key)
{
    static const char *const ours[] = {"id", "object", "created", "model", "choices"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        if (bytes_eq_str(key, ours[i]))
            return true;
    }
    return false;
}

/* The members of `rest` that are not ours, or of a bare usage that alone. */
static void hold(struct fixup *f, const struct json *usage, const struct json *rest)
{
    struct json_writer w = json_write(&f->held_usage);
    buf_clear(&f->held_usage);
    json_open_object(&w);
    if (!rest) {
        json_key(&w, "usage");
        json_put_value(&w, usage);
    }
    for (struct json_iter it = json_iter(rest); rest && json_next(&it);) {
        if (is_ours(it.key))
            continue;
        json_key_bytes(&w, it.key);
        json_put_value(&w, it.value);
    }
    json_close_object(&w);
    if (w.err)
        buf_clear(&f->held_usage);
}

void fixup_take_usage(struct fixup *f, const struct json *usage)
{
    uint64_t n = 0;
    if (json_kind_of(usage) != JSON_OBJECT)
        return;
    f->usage.is_known = true;
    if (json_u64(json_get(usage, "prompt_tokens"), &n))
        f->usage.prompt_tokens = n;
    if (json_u64(json_get(usage, "completion_tokens"), &n))
        f->usage.completion_tokens = n;
}

static void put_id(struct fixup_pass *p, const struct json *root)
{
    struct fixup *f = p->f;
    struct bytes id = json_get_str(root, "id");
    if (!f->has_id) {
        bool is_fit = id.n > 0 && id.n < sizeof f->id && !memchr(id.p, 0, id.n);
        text_copy_bytes(f->id, sizeof f->id, is_fit ? id : bytes_str(f->cfg.id));
        uint64_t created = 0;
        bool has_created = json_u64(json_get(root, "created"), &created) && created > 0;
        f->created_s = has_created ? created : f->cfg.created_s;
        if (!f->cfg.model[0])
            snprintf(f->cfg.model, sizeof f->cfg.model, "%.*s",
                     BYTES_FMT(bytes_first(json_get_str(root, "model"), sizeof f->cfg.model - 1)));
        f->has_id = true;
    }
    json_member_str(&p->w, "id", f->id);
    p->is_right = p->is_right && bytes_eq_str(id, f->id);
}

static const char *object_of(const struct fixup_pass *p)
{
    if (p->f->cfg.path == FIXUP_COMPLETION)
        return "text_completion";
    return p->is_whole ? "chat.completion" : "chat.completion.chunk";
}

static void put_head(struct fixup_pass *p, const struct json *root)
{
    uint64_t created = 0;
    put_id(p, root);
    json_member_str(&p->w, "object", object_of(p));
    json_member_u64(&p->w, "created", p->f->created_s);
    json_member_str(&p->w, "model", p->f->cfg.model);
    p->is_right = p->is_right && json_is_str(json_get(root, "object"), object_of(p)) &&
                  json_u64(json_get(root, "created"), &created) && created == p->f->created_s &&
                  json_is_str(json_get(root, "model"), p->f->cfg.model);
}

void fixup_root(struct fixup_pass *p, const struct json *root, const struct json *choices)
{
    json_open_object(&p->w);
    put_head(p, root);
    json_key(&p->w, "choices");
    fixup_choices(p, choices);
    for (struct json_iter it = json_iter(root); json_next(&it);) {
        bool is_usage = bytes_eq_str(it.key, "usage");
        if (is_usage)
            fixup_take_usage(p->f, it.value);
        if (is_usage && !p->is_whole && json_kind_of(it.value) != JSON_NULL) {
            if (json_kind_of(it.value) == JSON_OBJECT)
                hold(p->f, it.value, NULL);
            p->is_right = false; /* it goes out in an event of its own, or not at all */
            continue;
        }
        if (p->w.err || is_ours(it.key))
            continue;
        json_key_bytes(&p->w, it.key);
        json_put_value(&p->w, it.value);
    }
    json_close_object(&p->w);
}

/* --- ends --- */
static void put_event_head(struct fixup *f, struct json_writer *w, struct buf *out)
{
    buf_append_str(out, "data: ");
    *w = json_write(out);
    json_open_object(w);
    json_member_str(w, "id", f->id);
    json_member_str(w, "object",
                    f->cfg.path == FIXUP_COMPLETION ? "text_completion" : "chat.completion.chunk");
    json_member_u64(w, "created", f->created_s);
    json_member_str(w, "model", f->cfg.model);
    json_key(w, "choices");
    json_open_array(w);
}

static void put_missing_finish(struct fixup *f, size_t choice, struct buf *out)
{
    struct json_writer w;
    const char *why = f->seen[choice] & SEEN_TOOL ? "tool_calls" : "stop";
    put_event_head(f, &w, out);
    json_open_object(&w);
    json_member_u64(&w, "index", choice);
    if (f->cfg.path == FIXUP_COMPLETION) {
        json_member_str(&w, "text", "");
    } else {
        json_key(&w, "delta");
        json_open_object(&w);
        json_close_object(&w);
    }
    json_member_str(&w, "finish_reason", why);
    json_close_object(&w);
    json_close_array(&w);
    json_close_object(&w);
    buf_append_str(out, "\n\n");
    f->seen[choice] |= SEEN_FINISHED;
    if (choice == 0)
        snprintf(f->finish_reason, sizeof f->finish_reason, "%s", why);
}

static enum fixup_verdict complete(struct fixup *f, struct buf *out)
{
    for (size_t i = 0; i < f->choice_count; i++) {
        if ((f->seen[i] & SEEN_BEGUN) && !(f->seen[i] & SEEN_FINISHED))
            put_missing_finish(f, i, out);
    }
    if (f->cfg.wants_usage && buf_len(&f->held_usage)) {
        struct json_writer w;
        put_event_head(f, &w, out);
        json_close_array(&w);
        buf_append_str(out,
                       ","); /* the held members go on in this object, its closing brace included */
        buf_append_bytes(out, bytes_skip(buf_view(&f->held_usage), 1));
        buf_append_str(out, "\n\n");
    }
    buf_append_str(out, "data: [DONE]\n\n");
    f->is_over = true;
    return FIXUP_DONE;
}

static bool is_text_path(const struct fixup *f)
{
    return f->cfg.path == FIXUP_CHAT || f->cfg.path == FIXUP_COMPLETION;
}

enum fixup_verdict fixup_end(struct fixup *f, struct buf *out, int *status)
{
    bool is_finished = f->choice_count > 0;
    for (size_t i = 0; i < f->choice_count; i++) {
        if ((f->seen[i] & SEEN_BEGUN) && !(f->seen[i] & SEEN_FINISHED))
            is_finished = false;
    }
    if (!is_text_path(f) && f->has_any) {
        f->is_over = true;
        return FIXUP_DONE;
    }
    if (is_finished)
        return complete(f, out);
    if (!f->has_any)
        return fixup_fail(f, out, status, "backend_empty", "the backend sent nothing");
    return fixup_fail(f, out, status, "backend_truncated",
                      "the backend's answer ended before it was complete");
}

/* --- events --- */
static enum fixup_verdict take_error(struct fixup *f, const struct json *root, struct bytes data,
                                     struct buf *out, int *status)
{
    uint64_t code = 0;
    const struct json *e = json_get(root, "error");
    json_u64(json_get(e, "code"), &code);
    *status = code >= 400 && code < 600 ? (int)code : 502;
    fixup_error(out, *status, data);
    f->is_over = true;
    return FIXUP_FAILED;
}

static enum fixup_verdict rewrite(struct fixup *f, const struct json *root, struct bytes data,
                                  struct buf *out, int *status)
{
    const struct json *choices = json_get(root, "choices");
    if (json_count(choices) == 0 || json_kind_of(choices) != JSON_ARRAY) {
        /* Usage alone goes out at the end; meta and keep-alive events go nowhere: clients read
         * choices[0] of them. */
        fixup_take_usage(f, json_get(root, "usage"));
        if (json_kind_of(json_get(root, "usage")) == JSON_OBJECT)
            hold(f, NULL, root);
        return FIXUP_REPLACE;
    }
    buf_append_str(out, "data: ");
    struct fixup_pass p = {.f = f, .w = json_write(out), .is_right = true};
    fixup_root(&p, root, choices);
    if (p.is_broken || p.w.err) {
        buf_clear(out);
        return fixup_fail(f, out, status, "backend_bad_event",
                          p.is_broken ? p.why : "the backend sent an event that is too large");
    }
    f->has_any = true;
    if (!p.is_right) {
        buf_append_str(out, "\n\n");
        return FIXUP_REPLACE;
    }
    buf_clear(out);
    if (buf_len(&f->before) == 0 && !(f->seen[0] & SEEN_FINISHED))
        learn(f, data);
    return FIXUP_RELAY;
}

enum fixup_verdict fixup_event(struct fixup *f, struct bytes data, struct buf *out, int *status)
{
    struct json_doc *doc = NULL;
    if (f->is_over)
        return FIXUP_REPLACE; /* after the end there is nothing */
    if (bytes_eq_str(bytes_trim(data), "[DONE]")) {
        if (!f->has_any && is_text_path(f))
            return fixup_end(f, out, status);
        return complete(f, out);
    }
    if (!is_text_path(f)) {
        f->has_any = true;
        return FIXUP_RELAY;
    }
    if (is_like_before(f, data))
        return FIXUP_RELAY;
    if (bytes_trim(data).n == 0)
        return FIXUP_REPLACE;
    if (json_parse(data, LIMIT_FIXUP_EVENT, &doc, NULL) != 0 ||
        json_kind_of(json_root(doc)) != JSON_OBJECT) {
        json_free(doc);
        return fixup_fail(f, out, status, "backend_bad_event",
                          "the backend sent an event that is not JSON");
    }
    const struct json *root = json_root(doc);
    enum fixup_verdict v = fixup_is_error(json_get(root, "error"))
                               ? take_error(f, root, data, out, status)
                               : rewrite(f, root, data, out, status);
    json_free(doc);
    return v;
}
