// SPDX-License-Identifier: MIT
/* Events out of any pieces: the whole list of events must not depend on where the bytes were cut.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "http/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* What came out, as text: "[name|data|id]" per event, "(comment)" per comment. */
static void note(struct buf *out, const struct sse_item *i)
{
    if (i->kind == SSE_COMMENT)
        buf_printf(out, "(%.*s)", BYTES_FMT(i->data));
    else
        buf_printf(out, "[%.*s|%.*s|%.*s]", BYTES_FMT(i->name), BYTES_FMT(i->data),
                   BYTES_FMT(i->id));
}

/* Runs `text` in pieces; each piece lies in memory of its own, so that a stale view is seen. */
static int run(const char *text, size_t n, size_t piece, struct buf *out, int *end)
{
    struct sse s;
    struct sse_item item;
    int got = E_AGAIN;
    sse_init(&s, 0);
    for (size_t at = 0; at < n && got == E_AGAIN; at += piece) {
        size_t here = n - at < piece ? n - at : piece;
        uint8_t *own = malloc(here);
        memcpy(own, text + at, here);
        struct bytes in = bytes_of(own, here);
        while ((got = sse_next(&s, &in, &item)) == 1)
            note(out, &item);
        assert_true(got != E_AGAIN || in.n == 0);
        free(own);
    }
    *end = sse_finish(&s, &item);
    if (*end == 1)
        note(out, &item);
    sse_fini(&s);
    return got;
}

static const struct {
    const char *text, *want;
    int end;
} streams[] = {
    {"data: one\n\ndata: two\n\n", "[|one|][|two|]", 0},
    {"data:one\r\n\r\ndata: two\r\n\r\n", "[|one|][|two|]", 0},
    {"data: one\r\rdata: two\r\r", "[|one|][|two|]", 0},
    {"data: one\r\n\ndata: two\n\r\n", "[|one|][|two|]", 0}, /* line ends may be mixed */
    {"data: a\ndata: b\ndata\ndata:\n\n", "[|a\nb\n\n|]", 0},
    {"event: error\nid: 7\nretry: 5\ndata:  x\n\n", "[error| x|7]", 0},
    {"data: [DONE]\n", "[|[DONE]|]", 1}, /* the empty line is missing */
    {"data: [DONE]", "", E_EOF},
    {": ping\ndata: x\n\n", "( ping)[|x|]", 0},
    {": ping\n\n:\r\n:a\r:b\n", "( ping)()(a)(b)", 0},
    {"data: x\n: inside\n\n", "[|x|]", 0},
    {"\n\n\r\n\rdata: x\n\n\n\n\n", "[|x|]", 0},
    {"\xef\xbb\xbf"
     "data: x\n\n",
     "[|x|]", 0},
    {"\xef\xbb"
     "data: x\n\n",
     "[||]", 0}, /* half a mark: part of a strange field name */
    {"\xef\xbb\xbf\xef\xbb\xbf"
     "data: x\n\n",
     "[||]", 0}, /* only one is a mark */
    {"database: x\ndata x: y\n\n", "[||]", 0},
    {"event: a\n\n", "[a||]", 0},
    {"data: \xf0\x9f\x98\x80\n\n", "[|\xf0\x9f\x98\x80|]", 0},
    {"", "", 0},
};

static void events_are_the_same_for_every_cut(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        size_t n = strlen(streams[i].text);
        for (size_t piece = 1; piece <= n + 1; piece++) {
            struct buf out;
            int end;
            buf_init(&out, 0);
            run(streams[i].text, n, piece, &out, &end);
            if (!bytes_eq_str(buf_view(&out), streams[i].want) || end != streams[i].end)
                fail_msg("stream %zu in pieces of %zu: \"%.*s\", end %d", i, piece,
                         BYTES_FMT(buf_view(&out)), end);
            buf_fini(&out);
        }
    }
}

static void a_whole_event_is_not_copied(void **state)
{
    const char *text = "data: {\"a\":1}\n\nevent: x\ndata: y\n\n: c\ndata: z\r\n\r\ndata: cut";
    struct bytes in = bytes_str(text);
    struct sse s;
    struct sse_item i;
    sse_init(&s, 0);
    assert_int_equal(sse_next(&s, &in, &i), 1);
    assert_ptr_equal(i.raw.p, text);
    assert_int_equal(i.raw.n, 15);
    assert_ptr_equal(i.data.p, text + 6);
    assert_true(i.is_plain);
    assert_int_equal(sse_next(&s, &in, &i), 1);
    assert_false(i.is_plain);
    assert_int_equal(sse_next(&s, &in, &i), 1);
    assert_int_equal(i.kind, SSE_COMMENT);
    assert_int_equal(sse_next(&s, &in, &i), 1);
    assert_false(i.is_plain); /* CRLF */
    assert_int_equal(s.spill.cap, 0);
    assert_int_equal(sse_next(&s, &in, &i), E_AGAIN);
    assert_int_equal(in.n, 0);
    in = BYTES_LIT(" off\n\n");
    assert_int_equal(sse_next(&s, &in, &i), 1);
    assert_true(bytes_eq_str(i.raw, "data: cut off\n\n"));
    assert_true(i.is_plain);
    in = bytes_of(NULL, 0);
    assert_int_equal(sse_next(&s, &in, &i), E_AGAIN);
    assert_int_equal(s.spill.cap, 0); /* an idle stream holds nothing */
    sse_fini(&s);
}

static void an_event_over_the_limit_ends_the_stream(void **state)
{
    struct sse s;
    struct sse_item i;
    char text[64] = "data: 0123456789\n\n";
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        for (size_t limit = 17; limit <= 18; limit++) {
            int got = E_AGAIN;
            sse_init(&s, limit);
            for (size_t at = 0; at < strlen(text) && got == E_AGAIN; at += piece) {
                struct bytes in = bytes_first(bytes_skip(bytes_str(text), at), piece);
                got = sse_next(&s, &in, &i);
            }
            assert_int_equal(got, limit == 18 ? 1 : E_TOO_BIG);
            sse_fini(&s);
        }
    }
    /* the default: ten megabytes without an end are not kept */
    sse_init(&s, 0);
    static char block[65536];
    memset(block, 'x', sizeof block);
    int got = E_AGAIN;
    for (int n = 0; n < 160 && got == E_AGAIN; n++) {
        struct bytes in = bytes_of(block, sizeof block);
        got = sse_next(&s, &in, &i);
    }
    assert_int_equal(got, E_TOO_BIG);
    assert_true(s.spill.cap <= 2 * LIMIT_SSE_EVENT);
    sse_fini(&s);
}

static void a_comment_comes_as_soon_as_its_line_ends(void **state)
{
    struct sse s;
    struct sse_item i;
    struct bytes in = BYTES_LIT(": pi");
    sse_init(&s, 0);
    assert_int_equal(sse_next(&s, &in, &i), E_AGAIN);
    in = BYTES_LIT("ng\n");
    assert_int_equal(sse_next(&s, &in, &i), 1);
    assert_int_equal(i.kind, SSE_COMMENT);
    assert_true(bytes_eq_str(i.data, " ping"));
    assert_int_equal(sse_next(&s, &in, &i), E_AGAIN);
    assert_int_equal(sse_finish(&s, &i), 0);
    sse_fini(&s);
}

static void what_we_write_we_read(void **state)
{
    static const char *const datas[] = {"", "x", "a\nb", "a\r\nb\rc\n", "\n", " padded"};
    static const char *const wants[] = {"", "x", "a\nb", "a\nb\nc\n", "\n", " padded"};
    for (size_t n = 0; n < ARRAY_LEN(datas); n++) {
        struct buf b;
        struct sse s;
        struct sse_item i;
        buf_init(&b, 0);
        sse_init(&s, 0);
        assert_int_equal(sse_append(&b, BYTES_LIT("named"), bytes_str(datas[n])), 0);
        struct bytes in = buf_view(&b);
        assert_int_equal(sse_next(&s, &in, &i), 1);
        assert_int_equal(in.n, 0);
        assert_true(bytes_eq_str(i.data, wants[n]));
        assert_true(bytes_eq_str(i.name, "named"));
        sse_fini(&s);
        buf_fini(&b);
    }
    struct bytes v[SSE_SLICES];
    assert_int_equal(sse_slices(bytes_of(NULL, 0), BYTES_LIT("{}"), v), 3);
    assert_int_equal(sse_slices(BYTES_LIT("e"), BYTES_LIT("{}"), v), 5);
}

/* Random streams, cut at random: the same events as uncut. */
static void random_streams_read_the_same(void **state)
{
    static const char letters[] = "\n\n\n\r\r::  dataeventidx\xef\xbb\xbf";
    static const char *const words[] = {"data: ", "data:", "event: e", "id: 1", ": c", "\n\n"};
    uint64_t seed = 4711;
    struct rng r;
    rng_init_seeded(&r, seed);
    for (int round = 0; round < 5000; round++) {
        struct buf text, whole, cut;
        int end_whole, end_cut;
        buf_init(&text, 0);
        buf_init(&whole, 0);
        buf_init(&cut, 0);
        for (uint64_t n = rng_below(&r, 40); n > 0; n--) {
            if (rng_below(&r, 4))
                buf_append_byte(&text, (uint8_t)letters[rng_below(&r, sizeof letters - 1)]);
            else
                buf_append_str(&text, words[rng_below(&r, ARRAY_LEN(words))]);
        }
        struct bytes t = buf_view(&text);
        run((const char *)t.p, t.n, t.n + 1, &whole, &end_whole);
        run((const char *)t.p, t.n, 1 + rng_below(&r, 7), &cut, &end_cut);
        if (!bytes_eq(buf_view(&whole), buf_view(&cut)) || end_whole != end_cut)
            fail_msg("seed %d, round %d", (int)seed, round);
        buf_fini(&text);
        buf_fini(&whole);
        buf_fini(&cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_the_same_for_every_cut),
        cmocka_unit_test(a_whole_event_is_not_copied),
        cmocka_unit_test(an_event_over_the_limit_ends_the_stream),
        cmocka_unit_test(a_comment_comes_as_soon_as_its_line_ends),
        cmocka_unit_test(what_we_write_we_read),
        cmocka_unit_test(random_streams_read_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
