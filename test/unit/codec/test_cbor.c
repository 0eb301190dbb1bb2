// SPDX-License-Identifier: MIT
/* CBOR: RFC 8949's examples that are deterministic, its forms that are not, every cut, the limits,
 * and random values through writer and reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "codec/cbor.h"
#include "codec/multibase.h"

#include <stdlib.h>

static struct bytes unhex(const char *text, uint8_t *out)
{
    size_t n = strlen(text) / 2;
    assert_int_equal(hex_parse(bytes_str(text), out, n), 0);
    return bytes_of(out, n);
}

static void good_ones_and_every_cut(void **state)
{
    static const char *const rows[] = {"00",
                                       "17",
                                       "1818",
                                       "1903e8",
                                       "1a000f4240",
                                       "1b000000e8d4a51000",
                                       "1bffffffffffffffff",
                                       "20",
                                       "3863",
                                       "f90000",
                                       "f98000",
                                       "f93c00",
                                       "fb3ff199999999999a",
                                       "f93e00",
                                       "f97bff",
                                       "fa47c35000",
                                       "f90001",
                                       "f90400",
                                       "f9c400",
                                       "f97c00",
                                       "f97e00",
                                       "f4",
                                       "f5",
                                       "f6",
                                       "40",
                                       "4401020304",
                                       "60",
                                       "62c3bc",
                                       "80",
                                       "83010203",
                                       "a0",
                                       "a201020304",
                                       "a26161016162820203",
                                       "8301820203820405",
                                       "826161a161626163",
                                       "a2182a0061610060"};
    uint8_t raw[64];
    for (size_t i = 0; i < ARRAY_LEN(rows) - 1; i++) {
        struct bytes v = unhex(rows[i], raw);
        if (cbor_check(v))
            fail_msg("%s: %s", rows[i], err_name(cbor_check(v)));
        for (size_t cut = 0; cut < v.n; cut++)
            assert_int_equal(cbor_check(bytes_first(v, cut)), E_EOF);
    }
    assert_int_equal(cbor_check(unhex(rows[ARRAY_LEN(rows) - 1], raw)), E_MALFORMED); /* trailing */
}

static void other_forms_are_refused(void **state)
{
    static const char *const rows[] = {"1817",       "1900ff",
                                       "1a0000ffff", "1b00000000ffffffff", /* longer than needed */
                                       "5f4100ff",   "9f01ff",
                                       "bf0102ff", /* indefinite */
                                       "c074",       "d82a01",
                                       "f7",         "f8ff",
                                       "f0",         "ff",
                                       "1c", /* tags, undefined, simple, reserved */
                                       "fa3fc00000", "fb3ff8000000000000",
                                       "fa7fc00000", "f97e01", /* floats with a shorter form */
                                       "a202000100", "a2010001 00",
                                       "a161ff00",   "61ff",
                                       "62c328", /* order, twice, UTF-8 */
                                       "a1f500",     "a18000",
                                       "0000"}; /* keys; two values */
    uint8_t raw[64];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char clean[64];
        size_t n = 0;
        for (const char *p = rows[i]; *p; p++)
            if (*p != ' ')
                clean[n++] = *p;
        clean[n] = 0;
        int err = cbor_check(unhex(clean, raw));
        if (err != E_MALFORMED)
            fail_msg("%s: %s", rows[i], err_name(err));
    }
}

static void limits(void **state)
{
    uint8_t deep[LIMIT_CBOR_DEPTH + 2];
    memset(deep, 0x81, sizeof deep);
    deep[LIMIT_CBOR_DEPTH] = 0;
    assert_int_equal(cbor_check(bytes_of(deep, LIMIT_CBOR_DEPTH + 1)), 0);
    deep[LIMIT_CBOR_DEPTH] = 0x81;
    deep[LIMIT_CBOR_DEPTH + 1] = 0;
    assert_int_equal(cbor_check(bytes_of(deep, sizeof deep)), E_LIMIT);
    assert_int_equal(cbor_check(BYTES_LIT("\x9a\xff\xff\xff\xff")), E_TOO_BIG);
    assert_int_equal(cbor_check(BYTES_LIT("\x5b\x7f\xff\xff\xff\xff\xff\xff\xff")), E_TOO_BIG);
}

static void put_random(struct rng *r, struct cbor_writer *w, int depth)
{
    uint8_t raw[40] = {0};
    size_t n = rng_below(r, sizeof raw);
    switch (rng_below(r, depth ? 8 : 6)) {
    case 0:
        cbor_put_uint(w, rng_u64(r) >> rng_below(r, 64));
        break;
    case 1:
        cbor_put_int(w, (int64_t)(rng_u64(r) >> rng_below(r, 64)));
        break;
    case 2:
        rng_fill(r, raw, n);
        cbor_put_bytes(w, bytes_of(raw, n));
        break;
    case 3:
        memset(raw, 'a', n);
        cbor_put_text(w, bytes_of(raw, n));
        break;
    case 4:
        cbor_put_float(w, (double)(int64_t)rng_u64(r) / (double)(1 + rng_below(r, 1000)));
        break;
    case 5:
        rng_below(r, 2) ? cbor_put_bool(w, true) : cbor_put_null(w);
        break;
    case 6:
        cbor_put_array(w, n % 4);
        for (size_t i = 0; i < n % 4; i++)
            put_random(r, w, depth - 1);
        break;
    default:
        cbor_put_map(w, n % 4);
        for (size_t i = 0; i < n % 4; i++) {
            cbor_put_uint(w, i * 100);
            put_random(r, w, depth - 1);
        }
    }
}

static void what_is_written_reads(void **state)
{
    struct rng r;
    const char *s = getenv("SEED");
    uint64_t seed = s ? strtoull(s, NULL, 10) : 8949;
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_init_seeded(&r, seed);
    for (int i = 0; i < 5000; i++) {
        struct buf b;
        struct cbor_writer w;
        struct cbor_reader all, pieces;
        struct cbor_item x, y;
        buf_init(&b, 0);
        cbor_writer_init(&w, &b);
        put_random(&r, &w, 4);
        assert_int_equal(cbor_writer_finish(&w), 0);
        assert_int_equal(cbor_check(buf_view(&b)), 0);
        /* byte by byte gives the same items */
        cbor_reader_init(&all, buf_view(&b));
        cbor_reader_init(&pieces, bytes_first(buf_view(&b), 0));
        while (cbor_next(&all, &x) > 0) {
            while (cbor_next(&pieces, &y) == 0)
                cbor_reader_feed(&pieces, bytes_first(buf_view(&b), pieces.in.n + 1));
            assert_int_equal(x.kind, y.kind);
            assert_true(x.u64 == y.u64 && bytes_eq(x.bytes, y.bytes) && x.is_key == y.is_key);
        }
        assert_true(all.is_done && pieces.is_done);
        cbor_reader_init(&all, buf_view(&b));
        assert_true(cbor_next(&all, &x) > 0);
        assert_true(cbor_skip(&all, &x) >= 0 && all.at == buf_len(&b));
        buf_fini(&b);
    }
}

static void writer_refuses_its_callers_mistakes(void **state)
{
    struct buf b;
    struct cbor_writer w;
    buf_init(&b, 0);
    cbor_writer_init(&w, &b);
    cbor_put_map(&w, 2);
    cbor_put_uint(&w, 2);
    cbor_put_null(&w);
    cbor_put_uint(&w, 1);
    assert_int_equal(w.err, E_INVALID);
    cbor_writer_init(&w, &b);
    cbor_put_array(&w, 2);
    cbor_put_null(&w);
    assert_int_equal(cbor_writer_finish(&w), E_INVALID);
    cbor_writer_init(&w, &b);
    cbor_put_raw(&w, BYTES_LIT("\x18\x00"));
    assert_int_equal(w.err, E_INVALID);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones_and_every_cut),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(limits),
        cmocka_unit_test(what_is_written_reads),
        cmocka_unit_test(writer_refuses_its_callers_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
