// SPDX-License-Identifier: MIT
/* Varints, protobuf, bases and hashes against the vectors of the specifications, cut at every byte,
 * and round trips of random values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "codec/multibase.h"
#include "codec/multihash.h"
#include "codec/pb.h"
#include "codec/utf8.h"
#include "codec/varint.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t seed(void)
{
    const char *s = getenv("SEED");
    uint64_t v = s ? strtoull(s, NULL, 10) : 20261121;
    print_message("seed %llu (repeat with SEED=%llu)\n", (unsigned long long)v,
                  (unsigned long long)v);
    return v;
}

static void varint_vectors(void **state)
{
    static const struct {
        uint64_t v;
        const char *hex;
    } rows[] = {
        {0, "00"},       {1, "01"},         {127, "7f"},
        {128, "8001"},   {255, "ff01"},     {300, "ac02"},
        {16383, "ff7f"}, {16384, "808001"}, {UINT64_MAX >> 1, "ffffffffffffffff7f"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t raw[VARINT_MAX], want[VARINT_MAX];
        size_t n = varint_encode(rows[i].v, raw);
        assert_int_equal(n, strlen(rows[i].hex) / 2);
        assert_int_equal(n, varint_size(rows[i].v));
        assert_int_equal(hex_parse(bytes_str(rows[i].hex), want, n), 0);
        assert_memory_equal(raw, want, n);
        uint64_t v;
        for (size_t cut = 0; cut < n; cut++)
            assert_int_equal(varint_decode(bytes_of(raw, cut), &v), 0);
        assert_int_equal(varint_decode(bytes_of(raw, n), &v), n);
        assert_true(v == rows[i].v);
    }
}

static void varint_refuses_what_has_another_form(void **state)
{
    uint64_t v;
    assert_int_equal(varint_decode(BYTES_LIT("\x80\x00"), &v), E_MALFORMED);
    assert_int_equal(varint_decode(BYTES_LIT("\x81\x80\x00"), &v), E_MALFORMED);
    assert_int_equal(varint_decode(BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), &v),
                     E_MALFORMED);
    assert_int_equal(varint_decode(BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff"), &v),
                     E_MALFORMED); /* the ninth byte must be the last */
}

static void cursors_move_only_when_they_took(void **state)
{
    struct bytes all = BYTES_LIT("\x03\x61\x62\x63\x01\x02\x03\x04");
    for (size_t cut = 0; cut <= all.n; cut++) {
        struct cursor c = cursor_of(bytes_first(all, cut));
        struct bytes v;
        uint32_t u;
        ssize_t used = cursor_prefixed(&c, 3, &v);
        assert_int_equal(used, cut < 4 ? 0 : 4);
        assert_int_equal(c.at, cut < 4 ? 0 : 4);
        if (used > 0)
            assert_int_equal(cursor_u32be(&c, &u), cut < 8 ? 0 : 4);
        if (cut == 8)
            assert_int_equal(u, 0x01020304);
    }
    struct cursor c = cursor_of(BYTES_LIT("\x04"));
    struct bytes v;
    assert_int_equal(cursor_prefixed(&c, 3, &v), E_TOO_BIG); /* before its bytes are there */
}

static void pb_reads_and_skips(void **state)
{
    /* 1: varint 150; 2: bytes "hi"; 3: fixed64 1; 9: fixed32 2 */
    struct bytes m = BYTES_LIT("\x08\x96\x01\x12\x02hi\x19\x01\0\0\0\0\0\0\0\x4d\x02\0\0\0");
    struct pb_reader r = pb_read(m);
    struct pb_field f;
    assert_true(pb_next(&r, &f) && f.number == 1 && f.wire == PB_VARINT && f.u64 == 150);
    assert_true(pb_next(&r, &f) && f.number == 2 && bytes_eq_str(f.bytes, "hi"));
    assert_true(pb_next(&r, &f) && f.number == 3 && f.wire == PB_FIXED64 && f.u64 == 1);
    assert_true(pb_next(&r, &f) && f.number == 9 && f.wire == PB_FIXED32 && f.u64 == 2);
    assert_false(pb_next(&r, &f));
    assert_int_equal(r.err, 0);
    static const size_t whole[] = {0, 3, 7, 16, 21};
    for (size_t cut = 0; cut <= m.n; cut++) {
        bool is_whole = false;
        for (size_t i = 0; i < ARRAY_LEN(whole); i++)
            is_whole |= whole[i] == cut;
        r = pb_read(bytes_first(m, cut));
        while (pb_next(&r, &f))
            ;
        assert_int_equal(r.err, is_whole ? 0 : E_MALFORMED);
    }
}

static void pb_refuses(void **state)
{
    static const struct bytes bad[] = {
        {(const uint8_t *)"\x0b", 1},                                          /* group */
        {(const uint8_t *)"\x0c", 1},                                          /* end of one */
        {(const uint8_t *)"\x00\x01", 2},                                      /* number 0 */
        {(const uint8_t *)"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11}, /* over 64 bits */
        {(const uint8_t *)"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
         11}, /* a length of 2^64-1 */
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct pb_reader r = pb_read(bad[i]);
        struct pb_field f;
        assert_false(pb_next(&r, &f));
        assert_int_equal(r.err, E_MALFORMED);
    }
}

static void pb_submessages_of_every_size(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 128, 129, 16380, 16384, 70000};
    uint8_t *fill = mem_new(70000);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct buf b;
        buf_init(&b, 0);
        struct pb_writer w = pb_write(&b);
        size_t frame = pb_frame_begin(&w), mark = pb_begin(&w, 7);
        pb_put_bytes(&w, 1, bytes_of(fill, sizes[i]));
        pb_end(&w, mark);
        pb_put_u64(&w, 8, UINT64_MAX);
        pb_frame_end(&w, frame);
        assert_int_equal(w.err, 0);
        struct cursor c = cursor_of(buf_view(&b));
        struct bytes m;
        struct pb_field f, in;
        assert_int_equal(cursor_prefixed(&c, 1 << 20, &m), buf_len(&b));
        struct pb_reader r = pb_read(m);
        assert_true(pb_next(&r, &f) && f.number == 7);
        struct pb_reader ri = pb_read(f.bytes);
        assert_true(pb_next(&ri, &in) && in.bytes.n == sizes[i] && !pb_next(&ri, &in) && !ri.err);
        assert_true(pb_next(&r, &f) && f.number == 8 && f.u64 == UINT64_MAX);
        assert_false(pb_next(&r, &f));
        buf_fini(&b);
    }
    free(fill);
}

static void pb_writer_keeps_its_first_error(void **state)
{
    struct buf b;
    buf_init(&b, 10);
    struct pb_writer w = pb_write(&b);
    size_t mark = pb_begin(&w, 1);
    pb_put_bytes(&w, 1, BYTES_LIT("0123456789"));
    pb_put_u64(&w, 2, 1);
    pb_end(&w, mark);
    assert_int_equal(w.err, E_LIMIT);
    buf_fini(&b);
}

static void base_vectors(void **state)
{
    static const struct {
        enum base_kind kind;
        const char *plain, *text;
    } rows[] = {
        {BASE_32, "foobar", "mzxw6ytboi"},
        {BASE_32, "f", "my"},
        {BASE_64, "foobar", "Zm9vYmFy"},
        {BASE_64, "fooba", "Zm9vYmE="},
        {BASE_64, "foob", "Zm9vYg=="},
        {BASE_64, "", ""},
        {BASE_64_NOPAD, "foob", "Zm9vYg"},
        {BASE_64URL, "\xfb\xff", "-_8"},
        {BASE_58, "Hello World!", "2NEpo7TZRRrLZSi2U"},
        {BASE_58, "", ""},
        {BASE_36, "yes mani !", "2lcpzo5yikidynfl"},
        {BASE_HEX, "yes", "796573"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b;
        buf_init(&b, 0);
        assert_int_equal(base_encode(rows[i].kind, bytes_str(rows[i].plain), &b), 0);
        assert_true(bytes_eq_str(buf_view(&b), rows[i].text));
        buf_clear(&b);
        assert_int_equal(base_decode(rows[i].kind, bytes_str(rows[i].text), &b), 0);
        assert_true(bytes_eq_str(buf_view(&b), rows[i].plain));
        buf_fini(&b);
    }
}

static void base_refuses(void **state)
{
    static const struct {
        enum base_kind kind;
        const char *text;
    } rows[] = {
        {BASE_64, "Zm9vYg="}, {BASE_64, "Zm9vYg"}, {BASE_64, "Zm9vYh=="}, {BASE_64, "Z==="},
        {BASE_64URL, "+/8"},  {BASE_32, "mz1"},    {BASE_32, "mzx"},      {BASE_32, "MY"},
        {BASE_58, "0OIl"},    {BASE_HEX, "abc"},   {BASE_HEX, "gg"},      {BASE_36, "A"},
    };
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(base_decode(rows[i].kind, bytes_str(rows[i].text), &b), E_MALFORMED);
    assert_int_equal(buf_len(&b), 0);
    uint8_t big[1025] = {1};
    assert_int_equal(base_encode(BASE_58, bytes_of(big, sizeof big), &b), E_TOO_BIG);
    memset(big, '2', sizeof big);
    assert_int_equal(base_decode(BASE_58, bytes_of(big, sizeof big), &b), E_TOO_BIG);
    buf_fini(&b);
}

static void bases_round_trip(void **state)
{
    struct rng r;
    rng_init_seeded(&r, seed());
    for (int i = 0; i < 2000; i++) {
        uint8_t raw[80];
        size_t n = rng_below(&r, sizeof raw);
        rng_fill(&r, raw, n);
        if (n > 3 && rng_below(&r, 2))
            memset(raw, 0, 3);
        enum base_kind kind = (enum base_kind)rng_below(&r, BASE_64URL + 1);
        struct buf text, back;
        buf_init(&text, 0);
        buf_init(&back, 0);
        assert_int_equal(multibase_encode(kind, bytes_of(raw, n), &text), 0);
        assert_int_equal(multibase_decode(buf_view(&text), &back), 0);
        assert_true(bytes_eq(buf_view(&back), bytes_of(raw, n)));
        buf_fini(&text);
        buf_fini(&back);
    }
}

static void floats_as_base64(void **state)
{
    float v[200], back[200];
    for (int i = 0; i < 200; i++)
        v[i] = (float)i * 0.37f - 20;
    struct buf b;
    buf_init(&b, 0);
    float one = 1.0f;
    assert_int_equal(base64_put_f32(&b, &one, 1), 0);
    assert_true(bytes_eq_str(buf_view(&b), "AACAPw=="));
    buf_clear(&b);
    assert_int_equal(base64_put_f32(&b, v, 200), 0);
    size_t n = 200;
    assert_int_equal(base64_get_f32(buf_view(&b), back, &n), 0);
    assert_int_equal(n, 200);
    assert_memory_equal(v, back, sizeof v);
    n = 199;
    assert_int_equal(base64_get_f32(buf_view(&b), back, &n), E_TOO_BIG);
    n = 200;
    assert_int_equal(base64_get_f32(BYTES_LIT("AACA"), back, &n), E_MALFORMED);
    buf_fini(&b);
}

static void percent_codes(void **state)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(uri_escape(BYTES_LIT("a b/ü~"), "/", &b), 0);
    assert_true(bytes_eq_str(buf_view(&b), "a%20b/%C3%BC~"));
    buf_clear(&b);
    assert_int_equal(uri_unescape(BYTES_LIT("a%20b%2Fc"), &b), 0);
    assert_true(bytes_eq_str(buf_view(&b), "a b/c"));
    assert_int_equal(uri_unescape(BYTES_LIT("%2"), &b), E_MALFORMED);
    assert_int_equal(uri_unescape(BYTES_LIT("%zz"), &b), E_MALFORMED);
    buf_fini(&b);
}

static void hash_vectors(void **state)
{
    uint8_t d[32];
    char hex[65];
    sha256(BYTES_LIT("abc"), d);
    assert_string_equal(hex_format(bytes_of(d, 32), hex),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct sha256_state *s = sha256_new();
    sha256_add(s, BYTES_LIT("a"));
    sha256_add(s, BYTES_LIT("bc"));
    uint8_t e[32];
    sha256_finish(s, e);
    assert_memory_equal(d, e, 32);
    sha256_two(BYTES_LIT("ab"), BYTES_LIT("c"), e);
    assert_memory_equal(d, e, 32);
    hmac_sha256(BYTES_LIT("Jefe"), BYTES_LIT("what do ya want for nothing?"), d); /* RFC 4231, 2 */
    assert_string_equal(hex_format(bytes_of(d, 32), hex),
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void multihashes(void **state)
{
    uint8_t mh[MULTIHASH_SHA256_SIZE];
    struct multihash m;
    multihash_sha256(BYTES_LIT("all_nodes"), mh);
    for (size_t cut = 0; cut < sizeof mh; cut++)
        assert_int_equal(multihash_decode(bytes_of(mh, cut), &m), 0);
    assert_int_equal(multihash_decode(bytes_of(mh, sizeof mh), &m), sizeof mh);
    mh[1] = 31;
    assert_int_equal(multihash_decode(bytes_of(mh, sizeof mh), &m), E_MALFORMED);
    assert_int_equal(multihash_decode(BYTES_LIT("\x00\xff\x7f"), &m), E_TOO_BIG);
}

static void utf8_by_the_table(void **state)
{
    static const char *good[] = {"",
                                 "a",
                                 "ü",
                                 "€",
                                 "😀",
                                 "\xed\x9f\xbf",
                                 "\xee\x80\x80",
                                 "\xf4\x8f\xbf\xbf",
                                 "long plain text, then ü"};
    static const char *bad[] = {
        "\x80",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x80\x80",
        "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xff",         "\xe2\x82",         "aaaaaaaaaaaa\xc3"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(utf8_is_valid(bytes_str(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(utf8_is_valid(bytes_str(bad[i])));
    struct bytes smile = BYTES_LIT("a😀");
    for (size_t cut = 0; cut <= smile.n; cut++)
        assert_int_equal(utf8_cut_tail(bytes_first(smile, cut)),
                         cut <= 1 || cut == 5 ? 0 : cut - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varint_vectors),
        cmocka_unit_test(varint_refuses_what_has_another_form),
        cmocka_unit_test(cursors_move_only_when_they_took),
        cmocka_unit_test(pb_reads_and_skips),
        cmocka_unit_test(pb_refuses),
        cmocka_unit_test(pb_submessages_of_every_size),
        cmocka_unit_test(pb_writer_keeps_its_first_error),
        cmocka_unit_test(base_vectors),
        cmocka_unit_test(base_refuses),
        cmocka_unit_test(bases_round_trip),
        cmocka_unit_test(floats_as_base64),
        cmocka_unit_test(percent_codes),
        cmocka_unit_test(hash_vectors),
        cmocka_unit_test(multihashes),
        cmocka_unit_test(utf8_by_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
