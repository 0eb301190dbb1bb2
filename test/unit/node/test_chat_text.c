// SPDX-License-Identifier: MIT
/* What a person sees of an answer: cut anywhere, ended in every way, in every shape of error; and
 * that a model cannot drive the terminal. */
#include "node/chat_text.h"

#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define CHUNK(delta) "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":" delta "}]}\n\n"
#define FINISH                                                                                     \
    "data: {\"model\":\"m\",\"choices\":[{\"delta\":{},"                                           \
    "\"finish_reason\":\"stop\"}]}\n\n"
#define DONE "data: [DONE]\n\n"

static const char whole[] =
    ": ping\n\n" CHUNK("{\"role\":\"assistant\",\"content\":\"\"}") CHUNK("{\"content\":\"Par\"}")
        CHUNK("{\"content\":\"is \xf0\x9f\x98\x80\"}") CHUNK("{\"content\":null}") FINISH
    "data: {\"model\":\"m\",\"choices\":[],\"usage\":{\"total_tokens\":7}}\n\n" DONE;

static void assert_text(struct buf *b, const char *text)
{
    struct bytes v = buf_view(b);
    assert_int_equal(v.n, strlen(text));
    assert_memory_equal(v.p, text, v.n);
}

static void assert_fails(const char *stream, const char *text, const char *why)
{
    struct chat_reader r;
    struct buf fresh;
    chat_reader_init(&r);
    buf_init(&fresh, 0);
    (void)chat_reader_feed(&r, bytes_str(stream), &fresh);
    assert_int_equal(chat_reader_end(&r, &fresh), CHAT_FAILED);
    assert_text(&fresh, text);
    assert_text(&r.why, why);
    buf_fini(&fresh);
    chat_reader_fini(&r);
}

static void an_answer_cut_anywhere_is_the_same(void **state)
{
    for (size_t cut = 0; cut <= sizeof whole - 1; cut++) {
        struct chat_reader r;
        struct buf fresh;
        chat_reader_init(&r);
        buf_init(&fresh, 0);
        struct bytes all = bytes_str(whole);
        enum chat_state s = chat_reader_feed(&r, bytes_first(all, cut), &fresh);
        if (s == CHAT_RUNNING)
            s = chat_reader_feed(&r, bytes_skip(all, cut), &fresh);
        assert_int_equal(s, CHAT_DONE);
        assert_int_equal(chat_reader_end(&r, &fresh), CHAT_DONE);
        assert_text(&fresh, "Paris \xf0\x9f\x98\x80");
        assert_text(&r.text, "Paris \xf0\x9f\x98\x80");
        assert_text(&r.usage, "{\"total_tokens\":7}");
        assert_string_equal(r.model, "m");
        assert_string_equal(r.finish_reason, "stop");
        buf_fini(&fresh);
        chat_reader_fini(&r);
    }
}

static void what_follows_the_end_is_ignored(void **state)
{
    struct chat_reader r;
    struct buf fresh;
    chat_reader_init(&r);
    buf_init(&fresh, 0);
    assert_int_equal(chat_reader_feed(&r, BYTES_LIT(DONE CHUNK("{\"content\":\"x\"}")), &fresh),
                     CHAT_DONE);
    assert_int_equal(chat_reader_feed(&r, BYTES_LIT(CHUNK("{\"content\":\"y\"}")), &fresh),
                     CHAT_DONE);
    assert_text(&fresh, "");
    buf_fini(&fresh);
    chat_reader_fini(&r);
}

static void a_stream_without_its_end_has_failed(void **state)
{
    const char *cut = "the answer was cut off before its end";
    assert_fails("", "", cut);
    assert_fails(CHUNK("{\"content\":\"a\"}"), "a", cut);
    assert_fails(CHUNK("{\"content\":\"a\"}") FINISH, "a", cut);
    assert_fails(CHUNK("{\"content\":\"a\"}") "data: [DO", "a", cut);
}

static void an_error_event_has_its_sentence(void **state)
{
    assert_fails(
        CHUNK("{\"content\":\"a\"}") "data: {\"error\":{\"message\":\"it died\"}}\n\n" DONE, "a",
        "it died");
    assert_fails("data: {\"error\":\"bare\"}\n\n", "", "bare");
    assert_fails("data: {\"error\":{}}\n\n", "", "the model failed without saying why");
    assert_fails("data: <html>\n\n" DONE, "", "the answer has an event that is not JSON");
}

static void an_error_that_is_null_is_none(void **state)
{
    struct chat_reader r;
    struct buf fresh;
    chat_reader_init(&r);
    buf_init(&fresh, 0);
    assert_int_equal(chat_reader_feed(&r,
                                      BYTES_LIT("data: {\"error\":null,\"choices\":[{\"delta\":{"
                                                "\"content\":\"a\"}}]}\n\n" DONE),
                                      &fresh),
                     CHAT_DONE);
    assert_text(&fresh, "a");
    buf_fini(&fresh);
    chat_reader_fini(&r);
}

/* Feeds `n` times an event with `size` letters; the state at the end. */
static enum chat_state feed_letters(struct chat_reader *r, size_t size, size_t n)
{
    struct buf event, fresh;
    buf_init(&event, 0);
    buf_init(&fresh, 0);
    buf_append_str(&event, "data: {\"choices\":[{\"delta\":{\"content\":\"");
    for (size_t i = 0; i < size; i++)
        buf_append_byte(&event, 'x');
    buf_append_str(&event, "\"}}]}\n\n");
    enum chat_state s = CHAT_RUNNING;
    while (n-- > 0 && s == CHAT_RUNNING) {
        s = chat_reader_feed(r, buf_view(&event), &fresh);
        buf_clear(&fresh);
    }
    buf_fini(&event);
    buf_fini(&fresh);
    return s;
}

static void an_event_and_an_answer_have_limits(void **state)
{
    struct chat_reader r;
    chat_reader_init(&r);
    assert_int_equal(feed_letters(&r, LIMIT_SSE_EVENT + 1, 1), CHAT_FAILED);
    assert_text(&r.why, "the answer has an event that is too big");
    chat_reader_fini(&r);
    size_t piece = MIB, fits = LIMIT_CLI_ANSWER / piece;
    chat_reader_init(&r);
    assert_int_equal(feed_letters(&r, piece, fits), CHAT_RUNNING);
    assert_int_equal(feed_letters(&r, piece, 1), CHAT_FAILED);
    assert_int_equal(buf_len(&r.text), LIMIT_CLI_ANSWER);
    assert_text(&r.why, "the answer is longer than this program keeps");
    chat_reader_fini(&r);
}

static void assert_document(const char *json, enum chat_state want, const char *text)
{
    struct chat_reader r;
    struct buf fresh;
    chat_reader_init(&r);
    buf_init(&fresh, 0);
    assert_int_equal(chat_reader_document(&r, bytes_str(json), &fresh), want);
    assert_text(want == CHAT_DONE ? &fresh : &r.why, text);
    buf_fini(&fresh);
    chat_reader_fini(&r);
}

static void an_answer_in_one_piece(void **state)
{
    assert_document(
        "{\"choices\":[{\"message\":{\"content\":\"Paris\"},\"finish_reason\":\"stop\"}]}",
        CHAT_DONE, "Paris");
    assert_document("{\"choices\":[{\"text\":\"Paris\",\"finish_reason\":\"stop\"}]}", CHAT_DONE,
                    "Paris");
    assert_document("{\"choices\":[]}", CHAT_FAILED, "the answer is not a chat completion");
    assert_document("[]", CHAT_FAILED, "the answer is not a chat completion");
    assert_document("", CHAT_FAILED, "the answer is not JSON");
    assert_document("{\"error\":{\"message\":\"no\"}}", CHAT_FAILED, "no");
}

static void assert_sentence(const char *body, int status, const char *want)
{
    struct buf b;
    buf_init(&b, 0);
    chat_error_sentence(bytes_str(body), status, &b);
    assert_text(&b, want);
    buf_fini(&b);
}

static void errors_of_every_shape(void **state)
{
    assert_sentence("{\"error\":{\"message\":\"m\",\"code\":\"c\"}}", 404, "m");
    assert_sentence("{\"error\":\"s\"}", 400, "s");
    assert_sentence("{\"detail\":\"d\"}", 422, "d");
    assert_sentence("{\"detail\":[{\"msg\":\"field required\"}]}", 422, "field required");
    assert_sentence("{\"message\":\"x\"}", 500, "x");
    assert_sentence("<html>", 502, "the answer was 502 Bad Gateway");
    assert_sentence("", 503, "the answer was 503 Service Unavailable");
    assert_sentence("{\"error\":\"a\\u001b[31mb\"}", 500, "a[31mb");
}

static void a_long_error_is_cut(void **state)
{
    struct buf body, out;
    buf_init(&body, 0);
    buf_init(&out, 0);
    buf_append_str(&body, "{\"error\":\"");
    for (int i = 0; i < 2 * LIMIT_CLI_SENTENCE; i++)
        buf_append_byte(&body, 'x');
    buf_append_str(&body, "\"}");
    chat_error_sentence(buf_view(&body), 500, &out);
    assert_int_equal(buf_len(&out), LIMIT_CLI_SENTENCE);
    buf_fini(&body);
    buf_fini(&out);
}

static void messages_are_joined_and_escaped(void **state)
{
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(chat_message_append(&b, "system", BYTES_LIT("a\"b\n")), 0);
    assert_int_equal(chat_message_append(&b, "user", BYTES_LIT("c")), 0);
    const char *both =
        "{\"role\":\"system\",\"content\":\"a\\\"b\\n\"},{\"role\":\"user\",\"content\":\"c\"}";
    assert_text(&b, both);
    char big[100];
    memset(big, 'x', sizeof big);
    assert_int_not_equal(chat_message_append(&b, "user", bytes_of(big, sizeof big)), 0);
    assert_text(&b, both); /* what does not fit leaves nothing behind */
    buf_fini(&b);
}

static void a_model_cannot_drive_the_terminal(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain\ttext\n", "plain\ttext\n"},
        {"\x1b[2J\x1b]0;title\x07x", "[2J]0;titlex"},
        {"a\rb\bc\x7f", "abc"},
        {"\xc2\x9b"
         "31m\xc2\x9d\xc2\xa0",
         "31m\xc2\xa0"},
        {"\x9b"
         "31m",
         "\xef\xbf\xbd"
         "31m"},
        {"\xf0\x9f\x98\x80 \xc3\xa9", "\xf0\x9f\x98\x80 \xc3\xa9"},
        {"\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;
        buf_init(&b, 0);
        chat_text_plain(bytes_str(cases[i].in), &b);
        assert_text(&b, cases[i].out);
        buf_fini(&b);
    }
    struct buf b;
    buf_init(&b, 0);
    chat_text_plain(bytes_of("a\0b", 3), &b);
    assert_text(&b, "ab");
    buf_fini(&b);
}

/* The same document for whoever parses it, and nothing in it for a terminal. */
static void a_document_cannot_drive_the_terminal(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{\"a\": [1, true],\n\t\"b\\u001b\":\"\\\"\"}",
         "{\"a\": [1, true],\n\t\"b\\u001b\":\"\\\"\"}"},
        {"{}\r\n", "{} \n"},
        {"\"a\xc2\x9b"
         "31m\xc2\x80\xc2\x9f\xc2\xa0\"",
         "\"a\\u009b31m\\u0080\\u009f\xc2\xa0\""},
        {"\"\x7f\"", "\"\\u007f\""},
        {"\"\x1b[2J\x07\"", "\"\\u001b[2J\\u0007\""}, /* which no parser takes */
        {"\"\x9b"
         "31m\"",
         "\"\xef\xbf\xbd"
         "31m\""},
        {"\"\xf0\x9f\x98\x80 \xc3\xa9\"", "\"\xf0\x9f\x98\x80 \xc3\xa9\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;
        buf_init(&b, 0);
        chat_text_json(bytes_str(cases[i].in), &b);
        assert_text(&b, cases[i].out);
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_cut_anywhere_is_the_same),
        cmocka_unit_test(what_follows_the_end_is_ignored),
        cmocka_unit_test(a_stream_without_its_end_has_failed),
        cmocka_unit_test(an_error_event_has_its_sentence),
        cmocka_unit_test(an_error_that_is_null_is_none),
        cmocka_unit_test(an_event_and_an_answer_have_limits),
        cmocka_unit_test(an_answer_in_one_piece),
        cmocka_unit_test(errors_of_every_shape),
        cmocka_unit_test(a_long_error_is_cut),
        cmocka_unit_test(messages_are_joined_and_escaped),
        cmocka_unit_test(a_model_cannot_drive_the_terminal),
        cmocka_unit_test(a_document_cannot_drive_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
