// SPDX-License-Identifier: MIT
/* What breaks most often between clients and backends, one test each; the numbers are those of the
 * list the project works from. `run` feeds events and returns what a client would read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/json.h"
#include "engine/fixup.h"
#include "http/sse.h"

static struct fixup f;
static struct buf got;   /* the stream as the client reads it */
static char error[4096]; /* of a failure */
static int status;
static unsigned relayed; /* events that went through untouched */

static const struct fixup_config chat = {
    .path = FIXUP_CHAT, .model = "m", .id = "chatcmpl-ours", .created_s = 77};

static void begin(const struct fixup_config *cfg)
{
    fixup_init(&f, cfg);
    buf_init(&got, 0);
    error[0] = 0;
    status = 200;
    relayed = 0;
}

static enum fixup_verdict feed(const char *data)
{
    struct buf out;
    buf_init(&out, 0);
    enum fixup_verdict v = fixup_event(&f, bytes_str(data), &out, &status);
    if (v == FIXUP_RELAY) {
        assert_int_equal(buf_len(&out), 0);
        buf_printf(&got, "data: %s\n\n", data);
        relayed++;
    } else if (v == FIXUP_FAILED) {
        snprintf(error, sizeof error, "%.*s", BYTES_FMT(buf_view(&out)));
    } else {
        buf_append_bytes(&got, buf_view(&out));
    }
    buf_fini(&out);
    return v;
}

static enum fixup_verdict finish(void)
{
    struct buf out;
    buf_init(&out, 0);
    enum fixup_verdict v = fixup_end(&f, &out, &status);
    if (v == FIXUP_FAILED)
        snprintf(error, sizeof error, "%.*s", BYTES_FMT(buf_view(&out)));
    else
        buf_append_bytes(&got, buf_view(&out));
    buf_fini(&out);
    return v;
}

static const char *text(void)
{
    buf_append_byte(&got, 0);
    got.tail--;
    return (const char *)buf_view(&got).p;
}

static void end(void)
{
    fixup_fini(&f);
    buf_fini(&got);
}

/* Each event is JSON with the right id, object, created and model. */
static void assert_well_formed(void)
{
    struct bytes in = buf_view(&got);
    struct sse s;
    struct sse_item item;
    sse_init(&s, 0);
    while (sse_next(&s, &in, &item) == 1) {
        struct json_doc *doc;
        uint64_t created;
        if (bytes_eq_str(item.data, "[DONE]"))
            continue;
        assert_int_equal(json_parse(item.data, MIB, &doc, NULL), 0);
        const struct json *root = json_root(doc);
        assert_true(json_get_str(root, "id").n > 0);
        assert_true(json_is_str(json_get(root, "model"), "m"));
        assert_true(json_is_str(json_get(root, "object"), "chat.completion.chunk"));
        assert_true(json_u64(json_get(root, "created"), &created));
        assert_int_equal(json_kind_of(json_get(root, "choices")), JSON_ARRAY);
        json_free(doc);
    }
    sse_fini(&s);
}

#define HEAD                                                                                       \
    "{\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m\","            \
    "\"choices\":["
#define DELTA(d)  HEAD "{\"index\":0,\"delta\":{" d "},\"finish_reason\":null}]}"
#define ROLE      DELTA("\"role\":\"assistant\",\"content\":\"\"")
#define STOP(why) HEAD "{\"index\":0,\"delta\":{},\"finish_reason\":\"" why "\"}]}"
#define USAGE     "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}"

static void right_streams_are_untouched(void **state)
{
    begin(&chat);
    assert_int_equal(feed(ROLE), FIXUP_RELAY);
    assert_int_equal(feed(DELTA("\"content\":\"Hel\"")), FIXUP_RELAY);
    assert_int_equal(feed(DELTA("\"content\":\"lo \\\"role\\\" 😀\"")), FIXUP_RELAY);
    assert_int_equal(feed(STOP("stop")), FIXUP_RELAY);
    assert_int_equal(feed("[DONE]"), FIXUP_DONE);
    assert_string_equal(
        text(),
        "data: " ROLE "\n\ndata: " DELTA("\"content\":\"Hel\"") "\n\ndata: " DELTA(
            "\"content\":\"lo \\\"role\\\" 😀\"") "\n\ndata: " STOP("stop") "\n\ndata: [DONE]\n\n");
    assert_string_equal(f.finish_reason, "stop");
    assert_int_equal(feed(ROLE), FIXUP_REPLACE); /* after the end there is nothing */
    end();
}

/* 1: no index, or all 0; ids and arguments in pieces */
static void tool_index(void **state)
{
    begin(&chat);
    feed(ROLE);
    feed(DELTA("\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
               "\"arguments\":\"\"}}]"));
    feed(DELTA("\"tool_calls\":[{\"function\":{\"arguments\":\"{}\"}}]"));
    feed(DELTA("\"tool_calls\":[{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"g\","
               "\"arguments\":{\"x\":1}}}]"));
    feed(STOP("stop"));
    feed("[DONE]");
    assert_non_null(strstr(text(), "{\"index\":0,\"id\":\"c1\""));
    assert_non_null(strstr(text(), "{\"index\":0,\"function\":{\"arguments\":\"{}\"}}"));
    assert_non_null(strstr(text(), "{\"index\":1,\"id\":\"c2\""));
    assert_non_null(strstr(text(), "\"arguments\":\"{\\\"x\\\":1}\""));
    assert_well_formed();
    end();
    begin(&chat);
    feed(ROLE);
    feed(DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{"
               "\"name\":\"f\",\"arguments\":\"{}\"}}]"));
    feed(DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"c2\",\"type\":\"function\",\"function\":{"
               "\"name\":\"g\",\"arguments\":\"\"}}]"));
    feed(DELTA("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"[2]\"}}]"));
    assert_non_null(strstr(text(), "{\"index\":1,\"id\":\"c2\""));
    assert_non_null(strstr(text(), "{\"index\":1,\"function\":{\"arguments\":\"[2]\"}}"));
    end();
}

static void right_tool_calls_are_untouched(void **state)
{
    begin(&chat);
    feed(ROLE);
    feed(DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{"
               "\"name\":\"f\",\"arguments\":\"\"}}]"));
    feed(DELTA("\"tool_calls\":[{\"index\":1,\"id\":\"c2\",\"type\":\"function\",\"function\":{"
               "\"name\":\"g\",\"arguments\":\"\"}}]"));
    feed(DELTA(
        "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]")); /* interleaved */
    feed(STOP("tool_calls"));
    assert_int_equal(relayed, 5);
    end();
}

/* a call without an id gets one */
static void tool_id(void **state)
{
    begin(&chat);
    feed(ROLE);
    feed(DELTA("\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]"));
    feed(DELTA("\"tool_calls\":[{\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]"));
    assert_non_null(strstr(text(), "{\"index\":0,\"id\":\"call_0_0\",\"type\":\"function\""));
    assert_non_null(strstr(text(), "{\"index\":1,\"id\":\"call_0_1\",\"type\":\"function\""));
    end();
}

/* 2, 11: events without choices */
static void events_without_choices(void **state)
{
    begin(&chat);
    feed(ROLE);
    assert_int_equal(feed("{\"type\":\"ping\"}"), FIXUP_REPLACE);
    assert_int_equal(feed(""), FIXUP_REPLACE);
    assert_int_equal(feed(HEAD "]}"), FIXUP_REPLACE);
    feed(STOP("stop"));
    assert_int_equal(feed(HEAD "]," USAGE "}"), FIXUP_REPLACE);
    feed("[DONE]");
    assert_null(strstr(text(), "usage"));
    assert_null(strstr(text(), "ping"));
    assert_true(f.usage.is_known);
    assert_int_equal(f.usage.prompt_tokens, 3);
    assert_int_equal(f.usage.completion_tokens, 2);
    end();
}

static void usage_when_asked(void **state)
{
    struct fixup_config cfg = chat;
    cfg.wants_usage = true;
    begin(&cfg);
    feed(ROLE);
    /* with the finish, as some do: it still comes once, after it, with empty choices */
    feed(HEAD "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]," USAGE "}");
    feed("[DONE]");
    const char *finish_at = strstr(text(), "\"finish_reason\":\"stop\""),
               *usage_at = strstr(text(), "\"choices\":[]," USAGE);
    assert_true(finish_at && usage_at && finish_at < usage_at);
    assert_null(strstr(usage_at + 20, "\"usage\":{\"prompt"));
    assert_well_formed();
    end();
}

/* llama-server's last event has more in it than the usage: it comes back too. */
static void what_comes_with_the_usage_stays(void **state)
{
    struct fixup_config cfg = chat;
    cfg.wants_usage = true;
    begin(&cfg);
    feed(ROLE);
    feed(STOP("stop"));
    feed(HEAD "],\"system_fingerprint\":\"b1\"," USAGE ",\"timings\":{\"cache_n\":0}}");
    feed("[DONE]");
    assert_non_null(strstr(text(), "\"choices\":[],\"system_fingerprint\":\"b1\"," USAGE
                                   ",\"timings\":{\"cache_n\":0}}\n\n"));
    assert_well_formed();
    end();
}

/* 4 */
static void finish_says_tool_calls(void **state)
{
    begin(&chat);
    feed(ROLE);
    feed(DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{"
               "\"name\":\"f\",\"arguments\":\"\"}}]"));
    assert_int_equal(feed(STOP("stop")), FIXUP_REPLACE);
    assert_non_null(strstr(text(), "\"finish_reason\":\"tool_calls\""));
    assert_string_equal(f.finish_reason, "tool_calls");
    end();
    begin(&chat);
    feed(ROLE);
    feed(STOP("eos"));
    assert_non_null(strstr(text(), "\"finish_reason\":\"stop\""));
    end();
}

/* 5, 20: an end that is none */
static void ends(void **state)
{
    begin(&chat);
    feed(ROLE);
    assert_int_equal(finish(), FIXUP_FAILED); /* cut off */
    assert_non_null(strstr(error, "backend_truncated"));
    assert_null(strstr(text(), "[DONE]"));
    end();
    begin(&chat);
    assert_int_equal(finish(), FIXUP_FAILED);
    assert_non_null(strstr(error, "backend_empty"));
    end();
    begin(&chat);
    assert_int_equal(feed("[DONE]"), FIXUP_FAILED);
    end();
    begin(&chat); /* [DONE] is missing, the finish is there */
    feed(ROLE);
    feed(STOP("length"));
    assert_int_equal(finish(), FIXUP_DONE);
    assert_non_null(strstr(text(), "data: [DONE]\n\n"));
    end();
    begin(&chat); /* the finish is missing, [DONE] is there */
    feed(ROLE);
    assert_int_equal(feed("[DONE]"), FIXUP_DONE);
    assert_non_null(
        strstr(text(), "\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"));
    assert_well_formed();
    end();
}

/* 5, 6: errors within a stream */
static void error_events(void **state)
{
    begin(&chat);
    feed(ROLE);
    assert_int_equal(feed("{\"error\":{\"message\":\"out of memory\",\"code\":503}}"),
                     FIXUP_FAILED);
    assert_int_equal(status, 503);
    assert_string_equal(error, "{\"error\":{\"message\":\"out of "
                               "memory\",\"type\":\"server_error\",\"param\":null,\"code\":null}}");
    end();
    begin(&chat);
    assert_int_equal(feed("{\"error\":\"no\"}"), FIXUP_FAILED);
    assert_int_equal(status, 502);
    end();
    begin(&chat); /* null is not an error */
    assert_int_equal(feed(HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"x\"},"
                               "\"finish_reason\":null}],\"error\":null}"),
                     FIXUP_RELAY);
    end();
    begin(&chat);
    feed(ROLE);
    feed(DELTA("\"content\":\"x\""));
    assert_int_equal(feed("{\"id\":\"a\",\"obj"), FIXUP_FAILED); /* half a JSON */
    assert_non_null(strstr(error, "backend_bad_event"));
    end();
}

/* A broken event between a right beginning and a right end does not slip through the quick look. */
static void quick_look_checks(void **state)
{
    begin(&chat);
    feed(ROLE);
    assert_int_equal(
        feed(HEAD "{\"index\":0,\"delta\":{\"content\":\"a\"b\"},\"finish_reason\":null}]}"),
        FIXUP_FAILED);
    end();
    begin(&chat);
    feed(ROLE);
    feed(HEAD "{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\": \"stop\"}]}");
    assert_string_equal(f.finish_reason, "stop");
    end();
}

/* 9 */
static void reasoning_has_both_names(void **state)
{
    begin(&chat);
    feed(ROLE);
    feed(DELTA("\"reasoning_content\":\"hm\""));
    feed(DELTA("\"reasoning\":\"so\""));
    assert_non_null(strstr(text(), "\"reasoning_content\":\"hm\",\"reasoning\":\"hm\""));
    assert_non_null(strstr(text(), "\"reasoning\":\"so\",\"reasoning_content\":\"so\""));
    end();
}

/* 14 */
static void missing_fields(void **state)
{
    begin(&chat);
    feed("{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}");
    feed("{\"id\":\"other\",\"model\":\"/path/"
         "x.gguf\",\"created\":9,\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
         "\"content\":\"b\"},\"finish_reason\":\"\"}]}");
    feed("[DONE]");
    assert_well_formed();
    const char *t = text();
    assert_non_null(strstr(t, "\"id\":\"chatcmpl-ours\",\"object\":\"chat.completion.chunk\","
                              "\"created\":77,\"model\":\"m\""));
    assert_null(strstr(t, "other"));
    assert_null(strstr(t, "\"created\":9"));
    assert_ptr_equal(strstr(strstr(t, "\"role\"") + 1, "\"role\""),
                     NULL); /* in the first delta only */
    end();
}

/* 19: nulls stay nulls */
static void nulls(void **state)
{
    static const char first[] = HEAD
        "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":null},"
        "\"logprobs\":null,\"finish_reason\":null}],\"usage\":null,\"system_fingerprint\":null}";
    begin(&chat);
    assert_int_equal(feed(first), FIXUP_RELAY);
    assert_int_equal(
        feed(HEAD "{\"index\":0,\"delta\":{\"content\":\"x\"},\"logprobs\":null,\"finish_reason\":"
                  "null}],\"usage\":null,\"system_fingerprint\":null}"),
        FIXUP_RELAY);
    end();
}

static void many_choices(void **state)
{
    begin(&chat);
    feed(HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"a\"},\"finish_reason\":"
              "null}]}");
    feed(HEAD "{\"index\":1,\"delta\":{\"role\":\"assistant\",\"content\":\"b\"},\"finish_reason\":"
              "null}]}");
    feed(STOP("stop"));
    feed("[DONE]");
    assert_non_null(strstr(text(), "{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}"));
    end();
    begin(&chat);
    assert_int_equal(feed(HEAD "{\"index\":128,\"delta\":{},\"finish_reason\":null}]}"),
                     FIXUP_FAILED);
    end();
}

static void completions(void **state)
{
    struct fixup_config cfg = {
        .path = FIXUP_COMPLETION, .model = "m", .id = "cmpl-1", .created_s = 1};
    begin(&cfg);
    feed("{\"choices\":[{\"text\":\"a\"}]}");
    feed("{\"choices\":[{\"text\":\"\",\"finish_reason\":\"length\"}]}");
    feed("[DONE]");
    assert_non_null(strstr(text(), "\"object\":\"text_completion\""));
    assert_non_null(strstr(text(), "{\"index\":0,\"text\":\"a\",\"finish_reason\":null}"));
    assert_string_equal(f.finish_reason, "length");
    end();
}

/* An answer one token at a time parses only its first and last events. */
static void most_events_are_only_looked_at(void **state)
{
    begin(&chat);
    feed(ROLE);
    for (int i = 0; i < 100; i++)
        assert_int_equal(feed(DELTA("\"content\":\"tok\"")), FIXUP_RELAY);
    assert_true(buf_len(&f.before) > 0);
    assert_null(f.tools);
    end();
}

/* --- whole replies --- */
static enum fixup_verdict reply(const struct fixup_config *cfg, int st, const char *body)
{
    struct buf out;
    begin(cfg);
    buf_init(&out, 0);
    status = st;
    enum fixup_verdict v =
        fixup_reply(&f, &status, BYTES_LIT("application/json"), bytes_str(body), &out);
    snprintf(error, sizeof error, "%.*s", BYTES_FMT(buf_view(&out)));
    buf_fini(&out);
    end();
    return v;
}

static void whole_replies(void **state)
{
    static const char good[] =
        "{\"id\":\"a\",\"object\":\"chat.completion\",\"created\":5,\"model\":\"m\",\"choices\":[{"
        "\"index\":0,"
        "\"message\":{\"role\":\"assistant\",\"content\":\"x\"},\"finish_reason\":\"stop\"}]," USAGE
        "}";
    assert_int_equal(reply(&chat, 200, good), FIXUP_RELAY);
    assert_int_equal(reply(&chat, 200,
                           "{\"choices\":[{\"message\":{\"tool_calls\":[{\"function\":{\"name\":"
                           "\"f\",\"arguments\":{}}}]},\"finish_reason\":\"stop\"}]}"),
                     FIXUP_REPLACE);
    assert_non_null(strstr(
        error,
        "\"id\":\"chatcmpl-ours\",\"object\":\"chat.completion\",\"created\":77,\"model\":\"m\""));
    assert_non_null(strstr(error, "\"role\":\"assistant\""));
    assert_non_null(strstr(error, "\"id\":\"call_0_0\",\"type\":\"function\""));
    assert_non_null(strstr(error, "\"arguments\":\"{}\""));
    assert_non_null(strstr(error, "\"content\":null"));
    assert_non_null(strstr(error, "\"finish_reason\":\"tool_calls\""));
}

static void replies_that_are_none(void **state)
{
    assert_int_equal(reply(&chat, 200, ""), FIXUP_FAILED);
    assert_int_equal(status, 502);
    assert_non_null(strstr(error, "backend_empty"));
    assert_int_equal(reply(&chat, 200, "<html>hello</html>"), FIXUP_FAILED);
    assert_non_null(strstr(error, "backend_bad_reply"));
    assert_int_equal(reply(&chat, 200, "{\"id\":"), FIXUP_FAILED);
    assert_int_equal(reply(&chat, 200, "{}"), FIXUP_FAILED);
    assert_int_equal(reply(&chat, 200, "[]"), FIXUP_FAILED);
    assert_int_equal(reply(&chat, 302, ""), FIXUP_FAILED);
    assert_int_equal(reply(&chat, 200, "{\"error\":{\"message\":\"loading\",\"code\":503}}"),
                     FIXUP_FAILED);
    assert_int_equal(status, 503);
}

/* 6 */
static void error_shapes(void **state)
{
    static const struct {
        int st, told;
        const char *body, *message;
    } rows[] = {
        {400, 400,
         "{\"error\":{\"message\":\"bad\",\"type\":\"invalid_request_error\",\"param\":\"n\","
         "\"code\":\"x\"}}",
         "\"message\":\"bad\",\"type\":\"invalid_request_error\",\"param\":\"n\",\"code\":\"x\""},
        {422, 400, "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"field required\"}]}",
         "\"message\":\"field "
         "required\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null"},
        {404, 404, "{\"detail\":\"Not Found\"}", "\"message\":\"Not Found\""},
        {500, 500, "{\"error\":\"boom\"}", "\"message\":\"boom\",\"type\":\"server_error\""},
        {429, 429, "{\"message\":\"slow down\"}",
         "\"message\":\"slow down\",\"type\":\"rate_limit_error\""},
        {502, 502, "<html>Bad Gateway</html>", "status 502"},
        {503, 503, "", "status 503"},
        {400, 400, "{\"error\":{\"message\":\"m\",\"code\":400}}", "\"code\":null"},
        {400, 400, "{\"error\":{\"message\":\"m\",\"code\":1234}}", "\"code\":\"1234\""},
        {401, 502, "{\"error\":{\"message\":\"Incorrect API key sk-secret\"}}", "backend_auth"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(reply(&chat, rows[i].st, rows[i].body), FIXUP_FAILED);
        if (status != rows[i].told || !strstr(error, rows[i].message) || strstr(error, "sk-secret"))
            fail_msg("row %zu: %d %s", i, status, error);
    }
}

static void embeddings(void **state)
{
    struct fixup_config cfg = {.path = FIXUP_EMBEDDINGS};
    assert_int_equal(
        reply(&cfg, 200, "{\"data\":[{\"embedding\":[1]}],\"usage\":{\"prompt_tokens\":4}}"),
        FIXUP_RELAY);
    assert_int_equal(f.usage.prompt_tokens, 4);
    assert_int_equal(reply(&cfg, 200, "{\"embedding\":[1]}"), FIXUP_FAILED);
}

/* 10, 18: the same stream cut into bytes anywhere gives the same events, emoji whole. */
static void every_split(void **state)
{
    static const char stream[] = "data: " ROLE
                                 "\n\ndata: " DELTA("\"content\":\"a😀b\"") "\n\ndata: " DELTA(
                                     "\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\"}}"
                                     "]") "\n\ndata: " STOP("stop") "\n\ndata: [DONE]\n\n";
    char whole[4096] = "";
    for (size_t cut = 0; cut < sizeof stream - 1; cut++) {
        struct sse s;
        struct sse_item item;
        char data[1024];
        begin(&chat);
        sse_init(&s, 0);
        struct bytes parts[] = {bytes_of(stream, cut),
                                bytes_of(stream + cut, sizeof stream - 1 - cut)};
        for (int i = 0; i < 2; i++) {
            while (sse_next(&s, &parts[i], &item) == 1) {
                snprintf(data, sizeof data, "%.*s", BYTES_FMT(item.data));
                feed(data);
            }
        }
        if (cut == 0)
            snprintf(whole, sizeof whole, "%s", text());
        assert_string_equal(text(), whole);
        sse_fini(&s);
        end();
    }
    assert_non_null(strstr(whole, "a😀b"));
    assert_non_null(strstr(whole, "\"finish_reason\":\"tool_calls\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_streams_are_untouched),
        cmocka_unit_test(tool_index),
        cmocka_unit_test(right_tool_calls_are_untouched),
        cmocka_unit_test(tool_id),
        cmocka_unit_test(events_without_choices),
        cmocka_unit_test(usage_when_asked),
        cmocka_unit_test(what_comes_with_the_usage_stays),
        cmocka_unit_test(finish_says_tool_calls),
        cmocka_unit_test(ends),
        cmocka_unit_test(error_events),
        cmocka_unit_test(quick_look_checks),
        cmocka_unit_test(reasoning_has_both_names),
        cmocka_unit_test(missing_fields),
        cmocka_unit_test(nulls),
        cmocka_unit_test(many_choices),
        cmocka_unit_test(completions),
        cmocka_unit_test(most_events_are_only_looked_at),
        cmocka_unit_test(whole_replies),
        cmocka_unit_test(replies_that_are_none),
        cmocka_unit_test(error_shapes),
        cmocka_unit_test(embeddings),
        cmocka_unit_test(every_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
