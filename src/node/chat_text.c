// SPDX-License-Identifier: MIT
/* Text out of chat completions, errors in words, and text that a terminal may be given. */
#include "node/chat_text.h"

#include "codec/json.h"
#include "codec/utf8.h"
#include "http/http1.h"

#include <stdio.h>

void chat_reader_init(struct chat_reader *r)
{
    *r = (struct chat_reader){.state = CHAT_RUNNING};
    sse_init(&r->sse, 0);
    buf_init(&r->text, LIMIT_CLI_ANSWER);
    buf_init(&r->usage, LIMIT_CLI_USAGE);
    buf_init(&r->why, 0);
}

void chat_reader_fini(struct chat_reader *r)
{
    sse_fini(&r->sse);
    buf_fini(&r->text);
    buf_fini(&r->usage);
    buf_fini(&r->why);
}

static void fail(struct chat_reader *r, const char *why)
{
    r->state = CHAT_FAILED;
    buf_clear(&r->why);
    (void)buf_append_str(&r->why, why);
}

/* A short string of the answer, cut to its room. */
static void keep(char *out, size_t size, struct bytes s)
{
    if (s.n > 0)
        snprintf(out, size, "%.*s", BYTES_FMT(s));
}

static void add_text(struct chat_reader *r, struct bytes s, struct buf *fresh)
{
    if (s.n == 0)
        return;
    if (buf_append_bytes(&r->text, s) != 0)
        fail(r, "the answer is longer than this program keeps");
    else
        (void)buf_append_bytes(fresh, s);
}

/* One chunk or a whole completion: they differ in the name of `message`, and old ones say `text`.
 */
static void take_choice(struct chat_reader *r, const struct json *choice, struct buf *fresh)
{
    const struct json *m = json_get(choice, "delta");
    if (json_kind_of(m) != JSON_OBJECT)
        m = json_get(choice, "message");
    add_text(r, json_get_str(m, "content"), fresh);
    add_text(r, json_get_str(m, "refusal"), fresh);
    if (!m)
        add_text(r, json_get_str(choice, "text"), fresh);
    keep(r->finish_reason, sizeof r->finish_reason, json_get_str(choice, "finish_reason"));
}

static void take_usage(struct chat_reader *r, const struct json *usage)
{
    if (json_kind_of(usage) != JSON_OBJECT)
        return;
    struct json_writer w = json_write(&r->usage);
    buf_clear(&r->usage);
    json_put_value(&w, usage);
    if (w.err != 0)
        buf_clear(&r->usage);
}

static bool take_error(struct chat_reader *r, const struct json *root, struct bytes text)
{
    enum json_kind kind = json_kind_of(json_get(root, "error"));
    if (kind == JSON_ABSENT || kind == JSON_NULL)
        return false;
    r->state = CHAT_FAILED;
    buf_clear(&r->why);
    chat_error_sentence(text, 0, &r->why);
    return true;
}

/* Returns whether it was JSON. */
static bool take_json(struct chat_reader *r, struct bytes text, struct buf *fresh)
{
    struct json_doc *doc;
    if (json_parse(text, LIMIT_CLI_DOCUMENT, &doc, NULL) != 0)
        return false;
    const struct json *root = json_root(doc);
    if (!take_error(r, root, text)) {
        keep(r->model, sizeof r->model, json_get_str(root, "model"));
        take_choice(r, json_at(json_get(root, "choices"), 0), fresh);
        take_usage(r, json_get(root, "usage"));
    }
    json_free(doc);
    return true;
}

static void take_item(struct chat_reader *r, const struct sse_item *it, struct buf *fresh)
{
    if (it->kind != SSE_EVENT || it->data_lines == 0)
        return;
    if (bytes_eq_str(bytes_trim(it->data), "[DONE]"))
        r->state = CHAT_DONE;
    else if (!take_json(r, it->data, fresh))
        fail(r, "the answer has an event that is not JSON");
}

enum chat_state chat_reader_feed(struct chat_reader *r, struct bytes piece, struct buf *fresh)
{
    struct sse_item it;
    int rc = 0;
    while (r->state == CHAT_RUNNING && (rc = sse_next(&r->sse, &piece, &it)) == 1)
        take_item(r, &it, fresh);
    if (r->state == CHAT_RUNNING && rc == E_TOO_BIG)
        fail(r, "the answer has an event that is too big");
    return r->state;
}

enum chat_state chat_reader_end(struct chat_reader *r, struct buf *fresh)
{
    struct sse_item it;
    if (r->state == CHAT_RUNNING && sse_finish(&r->sse, &it) == 1)
        take_item(r, &it, fresh);
    if (r->state == CHAT_RUNNING)
        fail(r, "the answer was cut off before its end");
    return r->state;
}

enum chat_state chat_reader_document(struct chat_reader *r, struct bytes json, struct buf *fresh)
{
    if (!take_json(r, json, fresh))
        fail(r, "the answer is not JSON");
    else if (r->state == CHAT_RUNNING && !*r->finish_reason)
        fail(r, "the answer is not a chat completion");
    else if (r->state == CHAT_RUNNING)
        r->state = CHAT_DONE;
    return r->state;
}

/* Where the many shapes of error bodies keep their sentence. */
static struct bytes sentence_in(const struct json *root)
{
    const struct json *error = json_get(root, "error"), *detail = json_get(root, "detail");
    const struct bytes places[] = {
        json_get_str(error, "message"),
        json_str(error),
        json_str(detail),
        json_get_str(json_at(detail, 0), "msg"),
        json_get_str(root, "message"),
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i].n > 0)
            return places[i];
    return (struct bytes){0};
}

void chat_error_sentence(struct bytes body, int status, struct buf *out)
{
    struct json_doc *doc = NULL;
    struct bytes said = {0};
    if (json_parse(body, LIMIT_CLI_DOCUMENT, &doc, NULL) == 0)
        said = sentence_in(json_root(doc));
    if (said.n > 0)
        chat_text_plain(bytes_first(said, LIMIT_CLI_SENTENCE), out);
    else if (status != 0)
        (void)buf_printf(out, "the answer was %d %s", status, http_status_text(status));
    else
        (void)buf_append_str(out, "the model failed without saying why");
    json_free(doc);
}

int chat_message_append(struct buf *messages, const char *role, struct bytes content)
{
    struct json_writer w = json_write(messages);
    size_t before = buf_len(messages);
    if (before > 0)
        w.err = buf_append_byte(messages, ',');
    json_open_object(&w);
    json_member_str(&w, "role", role);
    json_member_bytes(&w, "content", content);
    json_close_object(&w);
    if (w.err != 0)
        messages->tail = messages->head + before;
    return w.err;
}

/* A character that only shows something: no C0 but newline and tab, no DEL, no C1 (U+0080..U+009F).
 */
static bool is_shown(const uint8_t *p, size_t n)
{
    if (n == 1)
        return (*p >= 0x20 && *p != 0x7f) || *p == '\n' || *p == '\t';
    return !(n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

/* What a terminal may be sent, with a stand-in for what is no UTF-8. `instead` writes what is left out; NULL: nothing. */
static void keep_shown(struct bytes text,
                       void (*instead)(const uint8_t *p, size_t n, struct buf *out),
                       struct buf *out)
{
    const uint8_t *p = text.p, *end = text.p + text.n;
    while (p < end) {
        size_t n = utf8_char(p, end);
        if (n == 0)
            (void)buf_append_str(out, "\xef\xbf\xbd");
        else if (is_shown(p, n))
            (void)buf_append(out, p, n);
        else if (instead)
            instead(p, n, out);
        p += n ? n : 1;
    }
}

void chat_text_plain(struct bytes text, struct buf *out)
{
    keep_shown(text, NULL, out);
}

static void escape(const uint8_t *p, size_t n, struct buf *out)
{
    if (*p == '\r') /* between values: in a string it is escaped already */
        (void)buf_append_byte(out, ' ');
    else
        (void)buf_printf(out, "\\u%04x", p[n - 1]); /* of C1 the second byte is the character */
}

void chat_text_json(struct bytes json, struct buf *out)
{
    keep_shown(json, escape, out);
}
