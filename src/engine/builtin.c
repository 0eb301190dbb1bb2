// SPDX-License-Identifier: MIT
/* echo: and replay: as an HTTP server behind a pipe. One `struct answer` per streamed answer: a timer,
 * where it stands, and the exchange it writes to. */
#include "engine/builtin.h"

#include "base/mem.h"
#include "codec/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define REPLAY_MAX (64 * MIB) /* of a recording: the owner's own file */
enum { TOKENS_MAX = 1000000, DELAY_MAX_MS = 60000, PIECE = 64 * KIB };

struct builtin {
    struct sched *sched;
    struct http_server *server;
    char model[ENGINE_NAME];
    bool is_replay;
    char *recording;
    size_t recording_n;
    uint64_t delay_ms, tokens; /* tokens 0: as many as were said */
    uint64_t count;
    struct list answers;
};

struct answer {
    struct list link;
    struct builtin *owner;
    struct http_exchange *x;
    struct timer timer;
    char *text;
    size_t text_n, at; /* echo: the words; replay: the recording */
    uint64_t said, wanted, prompt_tokens, number;
    uint64_t created_s;
    bool is_chat, wants_usage, is_blocked;
    uint8_t stage; /* echo: 0 role, 1 words, 2 finish, 3 usage, 4 done */
};

/* --- words: runs of spaces belong to the word after them --- */
static size_t word_end(const char *p, size_t n, size_t at)
{
    while (at < n && (p[at] == ' ' || p[at] == '\n'))
        at++;
    while (at < n && p[at] != ' ' && p[at] != '\n')
        at++;
    return at;
}

static uint64_t word_count(const char *p, size_t n)
{
    uint64_t count = 0;
    for (size_t at = 0; at < n; count++)
        at = word_end(p, n, at);
    return count;
}

/* --- what was said to us --- */
static void append_content(struct buf *out, const struct json *content)
{
    if (json_kind_of(content) == JSON_STRING) {
        buf_append_bytes(out, json_str(content));
        return;
    }
    for (struct json_iter it = json_iter(content); json_next(&it);) {
        if (json_kind_of(it.value) == JSON_STRING)
            buf_append_bytes(out, json_str(it.value));
        else
            buf_append_bytes(out, json_get_str(it.value, "text"));
    }
}

static void take_prompt(const struct json *root, bool is_chat, struct buf *out)
{
    if (!is_chat) {
        append_content(out, json_get(root, "prompt"));
        return;
    }
    for (struct json_iter it = json_iter(json_get(root, "messages")); json_next(&it);) {
        if (!json_is_str(json_get(it.value, "role"), "user"))
            continue;
        buf_clear(out);
        append_content(out, json_get(it.value, "content"));
    }
}

/* --- shapes --- */
static void open_common(struct json_writer *w, const struct answer *a, const char *object)
{
    char id[48];
    snprintf(id, sizeof id, "%s-echo%" PRIu64, a->is_chat ? "chatcmpl" : "cmpl", a->number);
    json_open_object(w);
    json_member_str(w, "id", id);
    json_member_str(w, "object", object);
    json_member_u64(w, "created", a->created_s);
    json_member_str(w, "model", a->owner->model);
    json_key(w, "choices");
}

static void put_usage(struct json_writer *w, const struct answer *a)
{
    json_key(w, "usage");
    json_open_object(w);
    json_member_u64(w, "prompt_tokens", a->prompt_tokens);
    json_member_u64(w, "completion_tokens", a->said);
    json_member_u64(w, "total_tokens", a->prompt_tokens + a->said);
    json_close_object(w);
}

static void put_chunk(struct buf *out, const struct answer *a, struct bytes text, bool is_role,
                      const char *finish)
{
    buf_append_str(out, "data: ");
    struct json_writer w = json_write(out);
    open_common(&w, a, a->is_chat ? "chat.completion.chunk" : "text_completion");
    json_open_array(&w);
    json_open_object(&w);
    json_member_u64(&w, "index", 0);
    if (a->is_chat) {
        json_key(&w, "delta");
        json_open_object(&w);
        if (is_role)
            json_member_str(&w, "role", "assistant");
        if (!finish)
            json_member_bytes(&w, "content", text);
        json_close_object(&w);
    } else {
        json_member_bytes(&w, "text", text);
    }
    json_member_str(&w, "finish_reason", finish);
    json_close_object(&w);
    json_close_array(&w);
    json_close_object(&w);
    buf_append_str(out, "\n\n");
}

static void put_usage_chunk(struct buf *out, const struct answer *a)
{
    buf_append_str(out, "data: ");
    struct json_writer w = json_write(out);
    open_common(&w, a, a->is_chat ? "chat.completion.chunk" : "text_completion");
    json_open_array(&w);
    json_close_array(&w);
    put_usage(&w, a);
    json_close_object(&w);
    buf_append_str(out, "\n\n");
}

static const char *finish_of(const struct answer *a)
{
    return a->wanted < word_count(a->text, a->text_n) ? "length" : "stop";
}

static void put_whole(struct buf *out, struct answer *a)
{
    struct buf said;
    buf_init(&said, 0);
    for (a->at = 0; a->said < a->wanted && a->text_n; a->said++) {
        size_t end = word_end(a->text, a->text_n, a->at);
        buf_append(&said, a->text + a->at, end - a->at);
        a->at = end >= a->text_n ? 0 : end;
    }
    struct json_writer w = json_write(out);
    open_common(&w, a, a->is_chat ? "chat.completion" : "text_completion");
    json_open_array(&w);
    json_open_object(&w);
    json_member_u64(&w, "index", 0);
    if (a->is_chat) {
        json_key(&w, "message");
        json_open_object(&w);
        json_member_str(&w, "role", "assistant");
        json_member_bytes(&w, "content", buf_view(&said));
        json_close_object(&w);
    } else {
        json_member_bytes(&w, "text", buf_view(&said));
    }
    json_member_str(&w, "finish_reason", finish_of(a));
    json_close_object(&w);
    json_close_array(&w);
    put_usage(&w, a);
    json_close_object(&w);
    buf_fini(&said);
}

/* --- life of an answer --- */
static void answer_free(struct answer *a)
{
    timer_clear(a->owner->sched, &a->timer);
    list_remove(&a->link);
    if (!a->owner->is_replay)
        free(a->text);
    free(a);
}

/* One step of echo: appends an event. False when that was the last. */
static bool echo_step(struct answer *a, struct buf *out)
{
    switch (a->stage) {
    case 0:
        if (a->is_chat)
            put_chunk(out, a, BYTES_LIT(""), true, NULL);
        a->stage = a->wanted && a->text_n ? 1 : 2;
        return true;
    case 1: {
        size_t end = word_end(a->text, a->text_n, a->at);
        put_chunk(out, a, bytes_of(a->text + a->at, end - a->at), false, NULL);
        a->at = end >= a->text_n ? 0 : end;
        if (++a->said >= a->wanted)
            a->stage = 2;
        return true;
    }
    case 2:
        put_chunk(out, a, BYTES_LIT(""), false, finish_of(a));
        a->stage = 3;
        return true;
    default:
        if (a->wants_usage)
            put_usage_chunk(out, a);
        buf_append_str(out, "data: [DONE]\n\n");
        return false;
    }
}

/* Where a piece that begins here ends: whole lines, as many as a piece may have. */
static const char *piece_end(const char *from, const char *end)
{
    if (end - from <= PIECE)
        return end;
    const char *nl = memrchr(from, '\n', PIECE);
    return nl ? nl + 1 : from + PIECE;
}

/* Replay: bytes up to a ": wait MS" line, the end of a piece, or the end: what the client does not take
 * yet is copied, so it is given little at a time. */
static bool replay_step(struct answer *a, struct buf *out, uint64_t *wait_us)
{
    const char *from = a->text + a->at, *last = a->text + a->text_n, *end = piece_end(from, last);
    const char *mark = memmem(from, (size_t)(end - from), ": wait ", 7);
    while (mark && mark > a->text && mark[-1] != '\n')
        mark = memmem(mark + 1, (size_t)(end - mark - 1), ": wait ", 7);
    if (!mark) {
        buf_append(out, from, (size_t)(end - from));
        a->at = (size_t)(end - a->text);
        return end < last;
    }
    buf_append(out, from, (size_t)(mark - from));
    uint64_t ms = strtoull(mark + 7, NULL, 10);
    *wait_us = (ms < DELAY_MAX_MS ? ms : DELAY_MAX_MS) * US_PER_MS;
    const char *nl = memchr(mark, '\n', (size_t)(end - mark));
    a->at = nl ? (size_t)(nl + 1 - a->text) : a->text_n;
    return true;
}

static void run(struct answer *a)
{
    struct buf out;
    bool goes_on = true;
    uint64_t wait_us = 0;
    buf_init(&out, 0);
    while (goes_on && wait_us == 0 && !a->is_blocked) {
        buf_clear(&out);
        wait_us = a->stage == 1 ? a->owner->delay_ms * US_PER_MS : 0;
        goes_on = a->owner->is_replay ? replay_step(a, &out, &wait_us) : echo_step(a, &out);
        struct bytes v = buf_view(&out);
        int err = v.n ? http_exchange_body(a->x, &v, 1) : 0;
        if (err == E_AGAIN)
            a->is_blocked = true;
        else if (err)
            break; /* `gone` follows */
        if (!goes_on) {
            http_exchange_end(a->x);
            answer_free(a);
            buf_fini(&out);
            return;
        }
    }
    buf_fini(&out);
    if (wait_us)
        timer_after(a->owner->sched, &a->timer, wait_us);
}

static void on_timer(struct timer *t)
{
    run(CONTAINER_OF(t, struct answer, timer));
}

static void on_writable(void *user)
{
    struct answer *a = user;
    a->is_blocked = false;
    if (!timer_is_set(&a->timer))
        run(a);
}

static void on_gone(void *user, int err)
{
    answer_free(user);
}

static struct answer *answer_new(struct builtin *b, struct http_exchange *x)
{
    struct answer *a = MEM_NEW(struct answer);
    a->owner = b;
    a->x = x;
    a->number = ++b->count;
    a->created_s = sched_wall_ms(b->sched) / 1000;
    timer_init(&a->timer, on_timer);
    list_init(&a->link);
    list_append(&b->answers, &a->link);
    return a;
}

static void start_stream(struct answer *a)
{
    static const struct http_exchange_events on = {.writable = on_writable, .gone = on_gone};
    struct http_header type = {BYTES_LIT("content-type"), BYTES_LIT("text/event-stream")};
    struct http_response r = {200, &type, 1, HTTP_LENGTH_UNKNOWN, false};
    http_exchange_listen(a->x, &on, a);
    http_exchange_head(a->x, &r);
    timer_after(a->owner->sched, &a->timer,
                a->owner->is_replay ? 0 : a->owner->delay_ms * US_PER_MS);
}

static void serve_text(struct builtin *b, struct http_exchange *x, const struct json *root,
                       bool is_chat)
{
    struct buf text, out;
    struct answer *a = answer_new(b, x);
    uint64_t max = 0;
    buf_init(&text, 0);
    take_prompt(root, is_chat, &text);
    a->is_chat = is_chat;
    a->wants_usage = json_bool(json_get(json_get(root, "stream_options"), "include_usage"), false);
    a->text_n = buf_len(&text);
    a->text = buf_take_str(&text);
    a->prompt_tokens = word_count(a->text, a->text_n);
    a->wanted = b->tokens ? b->tokens : a->prompt_tokens;
    if (json_u64(json_get(root, "max_completion_tokens"), &max) ||
        json_u64(json_get(root, "max_tokens"), &max))
        a->wanted = max < a->wanted ? max : a->wanted;
    if (json_bool(json_get(root, "stream"), false)) {
        start_stream(a);
        return;
    }
    buf_init(&out, 0);
    put_whole(&out, a);
    answer_free(a);
    http_exchange_reply(x, 200, "application/json", NULL, 0, buf_view(&out));
    buf_fini(&out);
}

static void serve_replay(struct builtin *b, struct http_exchange *x)
{
    struct answer *a = answer_new(b, x);
    a->text = b->recording;
    a->text_n = b->recording_n;
    start_stream(a);
}

/* Eight numbers from the text: the same text gives the same vector. */
static void put_embedding(struct json_writer *w, struct bytes text, uint64_t index)
{
    uint64_t h = UINT64_C(1469598103934665603);
    for (size_t i = 0; i < text.n; i++)
        h = (h ^ text.p[i]) * UINT64_C(1099511628211);
    json_open_object(w);
    json_member_str(w, "object", "embedding");
    json_member_u64(w, "index", index);
    json_key(w, "embedding");
    json_open_array(w);
    for (int i = 0; i < 8; i++)
        json_put_double(w, ((double)(h >> (8 * i) & 0xff) - 127.5) / 360.625);
    json_close_array(w);
    json_close_object(w);
}

static void serve_embeddings(struct builtin *b, struct http_exchange *x, const struct json *root)
{
    struct buf out;
    buf_init(&out, 0);
    struct json_writer w = json_write(&out);
    const struct json *input = json_get(root, "input");
    uint64_t n = 0, tokens = 0;
    json_open_object(&w);
    json_member_str(&w, "object", "list");
    json_member_str(&w, "model", b->model);
    json_key(&w, "data");
    json_open_array(&w);
    if (json_kind_of(input) == JSON_STRING) {
        put_embedding(&w, json_str(input), n++);
        tokens = word_count((const char *)json_str(input).p, json_str(input).n);
    }
    for (struct json_iter it = json_iter(json_kind_of(input) == JSON_ARRAY ? input : NULL);
         json_next(&it);) {
        put_embedding(&w, json_str(it.value), n++);
        tokens += word_count((const char *)json_str(it.value).p, json_str(it.value).n);
    }
    json_close_array(&w);
    json_key(&w, "usage");
    json_open_object(&w);
    json_member_u64(&w, "prompt_tokens", tokens);
    json_member_u64(&w, "total_tokens", tokens);
    json_close_object(&w);
    json_close_object(&w);
    http_exchange_reply(x, 200, "application/json", NULL, 0, buf_view(&out));
    buf_fini(&out);
}

static void on_request(void *ctx, struct http_exchange *x, const struct http_head *head,
                       struct bytes body)
{
    struct builtin *b = ctx;
    struct json_doc *doc = NULL;
    struct json_error e = {0};
    bool is_chat = bytes_eq_str(head->path, "/v1/chat/completions");
    bool is_text = is_chat || bytes_eq_str(head->path, "/v1/completions");
    bool is_embedding = bytes_eq_str(head->path, "/v1/embeddings");
    if (head->method == HTTP_GET && bytes_eq_str(head->path, "/health")) {
        http_exchange_reply(x, 200, "application/json", NULL, 0, BYTES_LIT("{\"status\":\"ok\"}"));
        return;
    }
    if (head->method != HTTP_POST || (!is_text && !is_embedding)) {
        http_exchange_error(x, 404, "not_found", 0, "the built-in backend has no such path");
        return;
    }
    if (json_parse(body, LIMIT_HTTP_BODY, &doc, &e) != 0)
        http_exchange_error(x, 400, NULL, 0, "the body is not JSON: %s", e.text);
    else if (is_embedding)
        serve_embeddings(b, x, json_root(doc));
    else if (b->is_replay)
        serve_replay(b, x);
    else
        serve_text(b, x, json_root(doc), is_chat);
    json_free(doc);
}

/* --- making one --- */
bool builtin_is(const char *text)
{
    return strncmp(text, "echo:", 5) == 0 || strncmp(text, "replay:", 7) == 0;
}

static int read_options(struct builtin *b, const char *query, char why[static ENGINE_WHY])
{
    for (const char *p = query; *p; p += strcspn(p, "&"), p += *p == '&') {
        char key[16] = "", *end = NULL;
        size_t n = strcspn(p, "=&");
        snprintf(key, sizeof key, "%.*s", (int)(n < 15 ? n : 15), p);
        uint64_t v = p[n] == '=' ? strtoull(p + n + 1, &end, 10) : 0;
        bool is_number = end && end > p + n + 1 && (*end == 0 || *end == '&');
        if (is_number && strcmp(key, "delay_ms") == 0 && v <= DELAY_MAX_MS)
            b->delay_ms = v;
        else if (is_number && strcmp(key, "tokens") == 0 && v <= TOKENS_MAX)
            b->tokens = v;
        else {
            snprintf(why, ENGINE_WHY, "echo: knows delay_ms=0…%d and tokens=0…%d, not '%s'",
                     DELAY_MAX_MS, TOKENS_MAX, p);
            return E_INVALID;
        }
    }
    return 0;
}

static int read_recording(struct builtin *b, const char *path, char why[static ENGINE_WHY])
{
    FILE *f = fopen(path, "re");
    struct stat st;
    int err = f && fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) ? 0 : E_NOT_FOUND;
    if (!err && (uint64_t)st.st_size > REPLAY_MAX)
        err = E_TOO_BIG;
    if (!err) {
        b->recording = mem_new((size_t)st.st_size + 1);
        b->recording_n = fread(b->recording, 1, (size_t)st.st_size, f);
    }
    if (err)
        snprintf(why, ENGINE_WHY, "replay:%s: %s", path,
                 err == E_TOO_BIG ? "larger than 64 MiB" : "there is no such file");
    if (f)
        fclose(f);
    return err;
}

int builtin_new(struct sched *sched, const char *text, const char *model, struct builtin **out,
                char why[static ENGINE_WHY])
{
    static const struct http_handler handler = {.request = on_request};
    struct builtin *b = MEM_NEW(struct builtin);
    b->sched = sched;
    list_init(&b->answers);
    snprintf(b->model, sizeof b->model, "%s", model);
    b->is_replay = text[0] == 'r';
    const char *query = strchr(text, '?');
    int err = b->is_replay ? read_recording(b, text + 7, why)
                           : read_options(b, query ? query + 1 : "", why);
    if (err) {
        builtin_free(b);
        return err;
    }
    struct http_server_config cfg = {
        .sched = sched, .handler = &handler, .ctx = b, .write_stall_us = 600 * US_PER_S};
    b->server = http_server_new(&cfg);
    *out = b;
    return 0;
}

void builtin_free(struct builtin *b)
{
    if (b->server)
        http_server_free(b->server);
    LIST_FOREACH_SAFE (&b->answers, it)
        answer_free(LIST_ENTRY(it, struct answer, link));
    free(b->recording);
    free(b);
}

void builtin_serve(struct builtin *b, struct stream *s)
{
    struct http_conn_options opts = {.eof_is_cancel = false, .one_request = true};
    http_server_conn_open(b->server, s, &opts);
}
