// SPDX-License-Identifier: MIT
/* Skimming a request, the fields that peers may send, the end of a peer's stream, and errors of any shape. */
#include "gateway/failure.h"
#include "gateway/fields.h"
#include "gateway/request.h"
#include "gateway/terminal.h"
#include "offer/offer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct gateway_request r;
static struct failure f;

static int read_chat(const char *body)
{
    return request_read(&r, REQUEST_CHAT, bytes_str(body), &f);
}

static void what_a_request_says(void **state)
{
    assert_int_equal(read_chat("{\"model\":\"m/x:y\",\"messages\":[],\"stream\":true,"
                               "\"stream_options\":{\"include_usage\":true},\"tools\":[{}]}"),
                     0);
    assert_string_equal(r.model, "m/x:y");
    assert_true(r.is_stream && r.wants_usage);
    assert_int_equal(r.needs, OFFER_CHAT | OFFER_TOOLS);
    assert_int_equal(read_chat("{\"messages\":[],\"model\":null,\"stream\":null,\"tools\":null,"
                               "\"stream_options\":null,\"response_format\":null}"),
                     0);
    assert_string_equal(r.model, "");
    assert_false(r.is_stream || r.wants_usage);
    assert_int_equal(r.needs, OFFER_CHAT);
    assert_int_equal(read_chat("{\"messages\":[{\"content\":[{\"type\":\"image_url\"}]}]}"), 0);
    assert_int_equal(r.needs, OFFER_CHAT | OFFER_VISION);
}

struct bad {
    const char *body, *param, *part;
};

static void mistakes_name_the_member(void **state)
{
    static const struct bad table[] = {
        {"", "", "not a JSON object"},
        {"[]", "", "not a JSON object"},
        {"null", "", "not a JSON object"},
        {"{", "", "not a JSON object"},
        {"{\"model\":\"a\"}x", "", "not a JSON object"},
        {"{\"model\":\"a\",\"model\":\"b\",\"messages\":[]}", "", "twice"},
        {"{\"mod\\u0065l\":\"a\",\"model\":\"b\",\"messages\":[]}", "", "twice"},
        {"{\"model\":3,\"messages\":[]}", "model", "string"},
        {"{\"stream\":1,\"messages\":[]}", "stream", "true or false"},
        {"{\"stream_options\":1,\"messages\":[]}", "stream_options", "object"},
        {"{\"model\":\"a\"}", "messages", "missing"},
        {"{\"messages\":\"x\"}", "messages", "list"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (read_chat(table[i].body) == 0)
            fail_msg("%s", table[i].body);
        assert_int_equal(f.status, 400);
        assert_string_equal(f.param, table[i].param);
        if (!strstr(f.message, table[i].part))
            fail_msg("%s: %s", table[i].body, f.message);
    }
}

static void embeddings_know_two_encodings(void **state)
{
    assert_int_equal(request_read(&r, REQUEST_EMBEDDINGS,
                                  BYTES_LIT("{\"input\":\"x\",\"encoding_format\":\"base64\"}"),
                                  &f),
                     0);
    assert_true(r.wants_base64);
    assert_int_equal(request_read(&r, REQUEST_EMBEDDINGS,
                                  BYTES_LIT("{\"input\":\"x\",\"encoding_format\":\"float\"}"), &f),
                     0);
    assert_false(r.wants_base64);
    assert_int_not_equal(request_read(&r, REQUEST_EMBEDDINGS,
                                      BYTES_LIT("{\"input\":\"x\",\"encoding_format\":\"hex\"}"),
                                      &f),
                         0);
    assert_string_equal(f.param, "encoding_format");
}

static int fields(const char *body, char why[200])
{
    static struct json_skim skim;
    assert_int_equal(json_skim(bytes_str(body), &skim, NULL), 0);
    return fields_check(&skim, why, 200);
}

static void fields_of_peers_are_known_and_in_range(void **state)
{
    char why[200];
    assert_int_equal(fields("{\"model\":\"a\",\"messages\":[],\"temperature\":0.7,\"top_k\":40,"
                            "\"tools\":null,\"n\":2}",
                            why),
                     0);
    assert_int_equal(fields("{\"n_discard\":-1}", why), E_DENIED);
    assert_non_null(strstr(why, "n_discard"));
    assert_int_equal(fields("{\"grammar\":\"root ::= x\"}", why), E_DENIED);
    assert_int_equal(fields("{\"slot_id\":1}", why), E_DENIED);
    assert_int_equal(fields("{\"top_k\":-5}", why), E_DENIED);
    assert_int_equal(fields("{\"n_predict\":1e300}", why), E_DENIED);
    assert_int_equal(fields("{\"temperature\":null,\"logprobs\":true}", why), 0);
}

static enum terminal_verdict say(struct terminal *t, const char *data)
{
    return terminal_event(t, bytes_str(data));
}

static void a_stream_is_whole_only_with_a_finish_reason(void **state)
{
    struct terminal t;
    terminal_init(&t, true);
    assert_int_equal(say(&t, "{\"choices\":[{\"delta\":{\"content\":\"\\\"finish_reason\\\":"
                             "\\\"stop\\\"\"},\"finish_reason\":null}]}"),
                     TERMINAL_MORE);
    assert_int_equal(say(&t, "[DONE]"), TERMINAL_BROKEN);
    assert_int_equal(say(&t, "{\"choices\":[{\"delta\":{},\"finish_reason\" : \"stop\"}]}"),
                     TERMINAL_MORE);
    assert_int_equal(say(&t, "[DONE]"), TERMINAL_DONE);
    assert_int_equal(say(&t, "{\"error\":{\"message\":\"m\"}}"), TERMINAL_ERROR);
    assert_int_equal(say(&t, "{\"error\":null,\"choices\":[]}"), TERMINAL_MORE);
    terminal_init(&t, false);
    assert_int_equal(say(&t, "[DONE]"), TERMINAL_DONE);
}

static void errors_of_every_shape_become_one(void **state)
{
    static const struct {
        int status;
        const char *body, *message;
        int out;
        bool another;
    } table[] = {
        {500, "{\"error\":{\"message\":\"boom\",\"code\":\"c\"}}", "boom", 500, true},
        {400, "{\"error\":\"bad thing\"}", "bad thing", 400, false},
        {422, "{\"detail\":[{\"msg\":\"field required\"}]}", "field required", 400, false},
        {404, "{\"detail\":\"no\"}", "no", 404, true},
        {429, "{\"error\":{\"message\":\"slow\",\"code\":429}}", "slow", 429, true},
        {502, "<html>", "the backend answered with status 502", 502, true},
        {200, "", "the backend answered with status 502", 502, true},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        failure_from_response(&f, table[i].status, (struct bytes){0}, bytes_str(table[i].body),
                              "the backend");
        assert_string_equal(f.message, table[i].message);
        assert_int_equal(f.status, table[i].out);
        assert_int_equal(f.can_try_another, table[i].another);
    }
    failure_from_response(&f, 429, BYTES_LIT("7"), BYTES_LIT("{}"), "x");
    assert_int_equal(f.retry_after_s, 7);
    failure_from_response(&f, 400, (struct bytes){0},
                          BYTES_LIT("{\"error\":{\"code\":400,\"message\":\"too "
                                    "long\",\"type\":\"exceed_context_size_error\"}}"),
                          "x");
    assert_string_equal(f.code, "context_length_exceeded");
    struct buf b;
    buf_init(&b, 0);
    failure_set(&f, 400, "", "a \"quoted\" thing");
    snprintf(f.param, sizeof f.param, "model");
    assert_int_equal(failure_json(&f, &b), 0);
    char *json = buf_take_str(&b);
    assert_string_equal(
        json,
        "{\"error\":{\"message\":\"a \\\"quoted\\\" thing\",\"type\":\"invalid_request_error\","
        "\"param\":\"model\",\"code\":null}}");
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_request_says),
        cmocka_unit_test(mistakes_name_the_member),
        cmocka_unit_test(embeddings_know_two_encodings),
        cmocka_unit_test(fields_of_peers_are_known_and_in_range),
        cmocka_unit_test(a_stream_is_whole_only_with_a_finish_reason),
        cmocka_unit_test(errors_of_every_shape_become_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
