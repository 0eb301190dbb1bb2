// SPDX-License-Identifier: MIT
/* JSON: the skimmer beside yyjson on generated and mutated texts, splicing against a model, the
 * writer against the reader, and the limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "codec/json_skim.h"

#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

static uint64_t seed(void)
{
    const char *s = getenv("SEED");
    uint64_t v = s ? strtoull(s, NULL, 10) : 20261121;
    print_message("seed %llu (repeat with SEED=%llu)\n", (unsigned long long)v,
                  (unsigned long long)v);
    return v;
}

static const char *const texts[] = {
    "",        "a",
    "model",   "tiny",
    "a\\nb",   "\\u00fc",
    "ü€😀",     "\\ud83d\\ude00",
    "\\\"",    "\\\\",
    "/",       "sixteen bytes or more of plain text, so that the fast loop runs",
    "\\u0000", "messages",
};

static void make_value(struct rng *r, struct buf *b, int depth)
{
    static const char *const words[] = {
        "true", "false", "null", "0",   "-1",  "1.5", "1e9", "12345678901234567890",
        "-0.0", "[]",    "{}",   " 7 ", "1E-3"};
    uint64_t kind = rng_below(r, depth > 0 ? 5 : 3);
    if (kind < 2) {
        buf_append_str(b, words[rng_below(r, ARRAY_LEN(words))]);
    } else if (kind == 2) {
        buf_printf(b, "\"%s\"", texts[rng_below(r, ARRAY_LEN(texts))]);
    } else {
        bool is_object = kind == 4;
        buf_append_byte(b, is_object ? '{' : '[');
        for (uint64_t i = 0, n = rng_below(r, 5); i < n; i++) {
            buf_append_str(b, i ? (rng_below(r, 2) ? "," : " ,\n") : "");
            if (is_object)
                buf_printf(b, "\"%s%llu\":", texts[rng_below(r, ARRAY_LEN(texts))],
                           (unsigned long long)i);
            make_value(r, b, depth - 1);
        }
        buf_append_byte(b, is_object ? '}' : ']');
    }
}

static void make_object(struct rng *r, struct buf *b)
{
    buf_append_byte(b, '{');
    for (uint64_t i = 0, n = rng_below(r, 6); i < n; i++) {
        buf_printf(b, "%s\"k%llu\":", i ? "," : "", (unsigned long long)i);
        make_value(r, b, 3);
    }
    buf_append_byte(b, '}');
}

static bool oracle(struct bytes text)
{
    yyjson_doc *d =
        yyjson_read_opts((char *)(uintptr_t)text.p, text.n, YYJSON_READ_NUMBER_AS_RAW, NULL, NULL);
    yyjson_doc_free(d);
    return d != NULL;
}

static void mutate(struct rng *r, struct buf *b)
{
    static const char bytes[] = "{}[]\",:\\ \n0e.-+tfnu\x80\xc3\xed\xf0\x01";
    uint8_t *p = b->base + b->head;
    size_t n = buf_len(b);
    for (uint64_t k = rng_below(r, 3); n && k > 0; k--) {
        size_t at = rng_below(r, n);
        if (rng_below(r, 3) == 0) {
            memmove(p + at, p + at + 1, n - at - 1);
            b->tail--;
            n--;
        } else {
            p[at] = (uint8_t)bytes[rng_below(r, sizeof bytes - 1)];
        }
    }
}

static void check_agrees_with_yyjson(void **state)
{
    struct rng r;
    rng_init_seeded(&r, seed());
    int good = 0, bad = 0;
    for (int i = 0; i < 30000; i++) {
        struct buf b;
        buf_init(&b, 0);
        make_value(&r, &b, 4);
        mutate(&r, &b);
        /* an exact allocation, so that the sanitizer sees one byte too far */
        struct bytes v = buf_view(&b);
        uint8_t *copy = malloc(v.n ? v.n : 1);
        memcpy(copy, v.p, v.n);
        struct bytes text = bytes_of(copy, v.n);
        bool want = oracle(text), is = json_check(text, NULL) == 0;
        if (want != is)
            fail_msg("round %d: yyjson says %d, we say %d: %.*s", i, want, is, BYTES_FMT(text));
        want ? good++ : bad++;
        free(copy);
        buf_fini(&b);
    }
    assert_true(good > 3000 && bad > 3000);
}

static void skim_finds_what_yyjson_finds(void **state)
{
    struct rng r;
    rng_init_seeded(&r, seed() + 1);
    struct json_skim *s = MEM_NEW(struct json_skim);
    for (int i = 0; i < 5000; i++) {
        struct buf b;
        buf_init(&b, 0);
        make_object(&r, &b);
        struct json_doc *d, *part;
        assert_int_equal(json_skim(buf_view(&b), s, NULL), 0);
        assert_int_equal(json_parse(buf_view(&b), 1 << 20, &d, NULL), 0);
        assert_int_equal(s->count, json_count(json_root(d)));
        for (size_t k = 0; k < s->count; k++) {
            char key[24];
            snprintf(key, sizeof key, "k%zu", k);
            const struct json *want = json_get(json_root(d), key);
            assert_int_equal(json_find(s, key)->kind, json_kind_of(want));
            assert_int_equal(json_parse(json_raw(s, key), 1 << 20, &part, NULL), 0);
            struct buf x, y;
            buf_init(&x, 0);
            buf_init(&y, 0);
            struct json_writer wx = json_write(&x), wy = json_write(&y);
            json_put_value(&wx, want);
            json_put_value(&wy, json_root(part));
            assert_true(bytes_eq(buf_view(&x), buf_view(&y)));
            buf_fini(&x);
            buf_fini(&y);
            json_free(part);
        }
        json_free(d);
        buf_fini(&b);
    }
    free(s);
}

static void every_cut_is_refused(void **state)
{
    struct bytes t = BYTES_LIT("{\"model\":\"t\\u00fc\",\"n\":[1.5e3,{\"a\":null}],\"s\":true}");
    struct json_skim *s = MEM_NEW(struct json_skim);
    for (size_t cut = 0; cut < t.n; cut++)
        assert_int_equal(json_skim(bytes_first(t, cut), s, NULL), E_MALFORMED);
    assert_int_equal(json_skim(t, s, NULL), 0);
    char model[8];
    bool b;
    assert_int_equal(json_skim_str(s, "model", model, sizeof model), 3);
    assert_string_equal(model, "tü");
    assert_int_equal(json_skim_str(s, "model", model, 3), E_TOO_BIG);
    assert_int_equal(json_skim_str(s, "n", model, sizeof model), E_INVALID);
    assert_int_equal(json_skim_str(s, "nope", model, sizeof model), E_NOT_FOUND);
    assert_true(json_skim_bool(s, "s", &b) && b);
    assert_true(bytes_eq_str(json_raw(s, "n"), "[1.5e3,{\"a\":null}]"));
    free(s);
}

static void duplicates_are_refused_however_written(void **state)
{
    struct json_skim *s = MEM_NEW(struct json_skim);
    struct json_error why;
    assert_int_equal(json_skim(BYTES_LIT("{\"model\":1,\"x\":2,\"model\":3}"), s, &why),
                     E_DUPLICATE);
    assert_string_equal(why.text, "a key is given twice");
    assert_int_equal(json_skim(BYTES_LIT("{\"model\":1,\"mod\\u0065l\":3}"), s, NULL), E_DUPLICATE);
    assert_int_equal(json_skim(BYTES_LIT("{\"mod\\u0065l\":1,\"model\":3}"), s, NULL), E_DUPLICATE);
    assert_int_equal(json_skim(BYTES_LIT("{\"a\":{\"x\":1,\"x\":2}}"), s, NULL),
                     0); /* top level only */
    assert_int_equal(json_skim(BYTES_LIT("{\"mod\\u0065l\":\"m\"}"), s, NULL), 0);
    assert_true(bytes_eq_str(json_raw(s, "model"), "\"m\""));
    free(s);
}

static void limits_of_depth_and_members(void **state)
{
    struct json_skim *s = MEM_NEW(struct json_skim);
    struct json_doc *d;
    struct buf b;
    buf_init(&b, 0);
    for (int depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        buf_clear(&b);
        for (int i = 0; i < depth; i++)
            buf_append_byte(&b, '[');
        for (int i = 0; i < depth; i++)
            buf_append_byte(&b, ']');
        int want = depth > LIMIT_JSON_DEPTH ? E_LIMIT : 0;
        assert_int_equal(json_check(buf_view(&b), NULL), want);
        assert_int_equal(json_parse(buf_view(&b), 1 << 20, &d, NULL), want);
        json_free(d);
    }
    buf_clear(&b); /* many brackets, none of them deep */
    for (int i = 0; i < 4 * LIMIT_JSON_DEPTH; i++)
        buf_append_str(&b, i ? ",{}" : "[{}");
    buf_append_byte(&b, ']');
    assert_int_equal(json_parse(buf_view(&b), 1 << 20, &d, NULL), 0);
    assert_int_equal(json_count(json_root(d)), 4 * LIMIT_JSON_DEPTH);
    json_free(d);
    for (int n = LIMIT_JSON_MEMBERS; n <= LIMIT_JSON_MEMBERS + 1; n++) {
        buf_clear(&b);
        for (int i = 0; i < n; i++)
            buf_printf(&b, "%c\"k%d\":0", i ? ',' : '{', i);
        buf_append_byte(&b, '}');
        assert_int_equal(json_skim(buf_view(&b), s, NULL), n > LIMIT_JSON_MEMBERS ? E_LIMIT : 0);
    }
    assert_int_equal(json_parse(buf_view(&b), 10, &d, NULL), E_TOO_BIG);
    buf_fini(&b);
    free(s);
}

static void expect_splice(const char *text, const struct json_edit *edits, size_t n,
                          const char *want)
{
    struct json_skim *s = MEM_NEW(struct json_skim);
    struct bytes out[JSON_SLICES_MAX];
    struct buf b;
    size_t total;
    buf_init(&b, 0);
    assert_int_equal(json_skim(bytes_str(text), s, NULL), 0);
    int count = json_splice(s, edits, n, out, &total);
    assert_in_range(count, 1, JSON_SLICES_MAX);
    for (int i = 0; i < count; i++)
        buf_append_bytes(&b, out[i]);
    assert_int_equal(total, buf_len(&b));
    if (want) {
        char *got = buf_take_str(&b);
        assert_string_equal(got, want);
        free(got);
    } else {
        assert_int_equal(json_skim(buf_view(&b), s, NULL), 0);
        for (size_t i = 0; i < n; i++)
            assert_true(bytes_eq(json_raw(s, edits[i].key), edits[i].value));
    }
    buf_fini(&b);
    free(s);
}

static void splices(void **state)
{
    struct json_edit model = {"model", BYTES_LIT("\"x\"")}, gone = {"user", {NULL, 0}},
                     more = {"stream", BYTES_LIT("true")}, no_model = {"model", {NULL, 0}};
    struct json_edit all[] = {model, gone, more};
    expect_splice("{\"model\":\"a\", \"user\":1,\"n\":2}", &model, 1,
                  "{\"model\":\"x\", \"user\":1,\"n\":2}");
    expect_splice("{}", &model, 1, "{\"model\":\"x\"}");
    expect_splice("{\"n\":2}", &model, 1, "{\"model\":\"x\",\"n\":2}");
    expect_splice("{\"model\":1,\"n\":2}", &no_model, 1, "{\"n\":2}");
    expect_splice("{\"n\":2,\"model\":1}", &no_model, 1, "{\"n\":2}");
    expect_splice("{\"a\":1,\"model\":1,\"b\":2}", &no_model, 1, "{\"a\":1,\"b\":2}");
    expect_splice(" {\"model\":1 } ", &no_model, 1, " { } ");
    expect_splice("{\"user\":1,\"model\":\"a\"}", all, 3, "{\"stream\":true,\"model\":\"x\"}");
    expect_splice("{\"a\":1}", NULL, 0, "{\"a\":1}");
}

static void splices_of_anything_are_json(void **state)
{
    struct rng r;
    rng_init_seeded(&r, seed() + 2);
    for (int i = 0; i < 5000; i++) {
        struct json_edit edits[7];
        static const char *const keys[] = {"k0", "k1", "k2", "k3", "k4", "k5", "new"};
        struct buf b;
        buf_init(&b, 0);
        make_object(&r, &b);
        char *text = buf_take_str(&b);
        size_t n = 0;
        for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
            uint64_t what = rng_below(&r, 3);
            if (what)
                edits[n++] =
                    (struct json_edit){keys[k], what == 1 ? BYTES_LIT("[1]") : bytes_of("", 0)};
        }
        expect_splice(text, edits, n, NULL);
        free(text);
        buf_fini(&b);
    }
}

static void writer_and_getters(void **state)
{
    struct buf b;
    buf_init(&b, 0);
    struct json_writer w = json_write(&b);
    json_open_object(&w);
    json_member_str(&w, "s", "a\"\\\n\x01ü\xff");
    json_member_u64(&w, "u", UINT64_MAX);
    json_member_i64(&w, "i", INT64_MIN);
    json_member_double(&w, "d", 0.1);
    json_key(&w, "a");
    json_open_array(&w);
    json_put_bool(&w, true);
    json_put_null(&w);
    json_put_double(&w, 1.0 / 0.0);
    json_close_array(&w);
    json_member_bool(&w, "b", false);
    json_close_object(&w);
    assert_int_equal(w.err, 0);
    assert_true(bytes_eq_str(
        buf_view(&b), "{\"s\":\"a\\\"\\\\\\n\\u0001ü\xef\xbf\xbd\",\"u\":18446744073709551615,"
                      "\"i\":-9223372036854775808,\"d\":0.1,\"a\":[true,null,null],\"b\":false}"));
    struct json_doc *d;
    uint64_t u;
    int64_t i;
    assert_int_equal(json_parse(buf_view(&b), 4096, &d, NULL), 0);
    const struct json *root = json_root(d);
    assert_true(json_u64(json_get(root, "u"), &u) && u == UINT64_MAX);
    assert_true(json_i64(json_get(root, "i"), &i) && i == INT64_MIN);
    assert_false(json_i64(json_get(root, "u"), &i));
    assert_false(json_u64(json_get(root, "d"), &u));
    assert_true(json_number(json_get(root, "d"), 0) == 0.1);
    assert_true(json_bool(json_at(json_get(root, "a"), 0), false));
    assert_int_equal(json_kind_of(json_at(json_get(root, "a"), 9)), JSON_ABSENT);
    assert_null(json_get_str(root, "nope").p);
    assert_int_equal(json_count(json_get(root, "s")), 0);
    json_free(d);
    assert_int_equal(json_parse(BYTES_LIT("{\"x\":1.10}"), 4096, &d, NULL), 0);
    assert_true(bytes_eq_str(json_number_text(json_get(json_root(d), "x")), "1.10"));
    json_free(d);
    buf_fini(&b);
}

static void errors_say_where(void **state)
{
    struct json_error why;
    assert_int_equal(json_check(BYTES_LIT("{\"a\":tru}"), &why), E_MALFORMED);
    assert_int_equal(why.at, 5);
    assert_string_equal(why.text, "unexpected character");
    assert_int_equal(json_check(BYTES_LIT(""), &why), E_MALFORMED);
    assert_string_equal(why.text, "the text ends too early");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_agrees_with_yyjson),
        cmocka_unit_test(skim_finds_what_yyjson_finds),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(duplicates_are_refused_however_written),
        cmocka_unit_test(limits_of_depth_and_members),
        cmocka_unit_test(splices),
        cmocka_unit_test(splices_of_anything_are_json),
        cmocka_unit_test(writer_and_getters),
        cmocka_unit_test(errors_say_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
