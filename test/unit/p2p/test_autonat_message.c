// SPDX-License-Identifier: MIT
/* AutoNAT's messages, byte by byte, and what must not be believed of them. */
#include "p2p/autonat_message.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void check_bytes(struct buf *b, const char *hex)
{
    char got[512] = "";
    struct bytes v = buf_view(b);
    assert_true(v.n * 2 < sizeof got);
    for (size_t i = 0; i < v.n; i++)
        sprintf(got + 2 * i, "%02x", v.p[i]);
    assert_string_equal(got, hex);
}

static struct bytes without_length(struct buf *b)
{
    return bytes_skip(buf_view(b), 1);
}

static void version_1_asks(void **state)
{
    struct buf b;
    struct autonat_v1 m = {.kind = AUTONAT_DIAL,
                           .peer = BYTES_LIT("\x00\x01\x02"),
                           .addrs = {BYTES_LIT("\x04\x0a\x00\x00\x01\x06\x1f\x40")},
                           .addr_count = 1};
    buf_init(&b, 0);
    assert_int_equal(autonat_v1_encode(&m, &b), 0);
    /* type 0 is put: rust's proto2 reader requires it; dial{ peer{ id, addrs } } */
    check_bytes(&b, "15"
                    "0800"
                    "1211"
                    "0a0f"
                    "0a03000102"
                    "1208040a000001061f40");
    struct autonat_v1 back;
    assert_int_equal(autonat_v1_decode(without_length(&b), &back), 0);
    assert_int_equal(back.kind, AUTONAT_DIAL);
    assert_true(bytes_eq(back.peer, m.peer));
    assert_int_equal(back.addr_count, 1);
    assert_true(bytes_eq(back.addrs[0], m.addrs[0]));
    buf_fini(&b);
}

static void version_1_answers(void **state)
{
    struct buf b;
    struct autonat_v1 m = {
        .kind = AUTONAT_DIAL_RESPONSE, .status = AUTONAT_V1_DIAL_ERROR, .text = BYTES_LIT("no")};
    buf_init(&b, 0);
    assert_int_equal(autonat_v1_encode(&m, &b), 0);
    check_bytes(&b, "0a"
                    "0801"
                    "1a06"
                    "0864"
                    "12026e6f");
    struct autonat_v1 back;
    assert_int_equal(autonat_v1_decode(without_length(&b), &back), 0);
    assert_int_equal(back.kind, AUTONAT_DIAL_RESPONSE);
    assert_int_equal(back.status, 100);
    assert_true(bytes_eq_str(back.text, "no"));
    buf_fini(&b);
    /* an absent status is OK: zero may be left out */
    assert_int_equal(autonat_v1_decode(BYTES_LIT("\x08\x01\x1a\x00"), &back), 0);
    assert_int_equal(back.status, AUTONAT_V1_OK);
}

static void version_1_without_its_part_is_malformed(void **state)
{
    struct autonat_v1 m;
    assert_int_equal(autonat_v1_decode(BYTES_LIT(""), &m), E_MALFORMED);
    assert_int_equal(autonat_v1_decode(BYTES_LIT("\x08\x00"), &m), E_MALFORMED);
    assert_int_equal(autonat_v1_decode(BYTES_LIT("\x08\x01\x12\x00"), &m), E_MALFORMED);
    assert_int_equal(autonat_v1_decode(BYTES_LIT("\x08\x02\x12\x00"), &m), E_MALFORMED);
    assert_int_equal(autonat_v1_decode(BYTES_LIT("\x08\x00\x12\x05\x0a"), &m), E_MALFORMED);
}

static void more_addresses_than_the_limit_are_left_out(void **state)
{
    struct buf b;
    struct autonat_v2 back;
    struct autonat_v1 first = {0};
    buf_init(&b, 0);
    buf_append(&b, "\x0a\x3c", 2); /* a dial request of 20 addresses of one byte */
    for (int i = 0; i < 20; i++)
        buf_append(&b, "\x0a\x01\x04", 3);
    assert_int_equal(autonat_v2_decode(buf_view(&b), &back), 0);
    assert_int_equal(back.addr_count, LIMIT_AUTONAT_ADDRS);
    buf_clear(&b);
    buf_append(&b, "\x08\x00\x12\x3e\x0a\x3c", 6);
    for (int i = 0; i < 20; i++)
        buf_append(&b, "\x12\x01\x04", 3);
    assert_int_equal(autonat_v1_decode(buf_view(&b), &first), 0);
    assert_int_equal(first.addr_count, LIMIT_AUTONAT_ADDRS);
    buf_fini(&b);
}

static void version_2_asks_and_answers(void **state)
{
    struct buf b;
    struct autonat_v2 back, m = {.kind = AUTONAT_DIAL_REQUEST,
                                 .addrs = {BYTES_LIT("\x04\x0a\x00\x00\x01\x06\x1f\x40")},
                                 .addr_count = 1,
                                 .nonce = 0x0102030405060708};
    buf_init(&b, 0);
    assert_int_equal(autonat_v2_encode(&m, &b), 0);
    check_bytes(&b, "15"
                    "0a13"
                    "0a08040a000001061f40"
                    "110807060504030201");
    assert_int_equal(autonat_v2_decode(without_length(&b), &back), 0);
    assert_int_equal(back.kind, AUTONAT_DIAL_REQUEST);
    assert_true(back.nonce == m.nonce);
    assert_true(bytes_eq(back.addrs[0], m.addrs[0]));
    buf_clear(&b);
    m = (struct autonat_v2){.kind = AUTONAT_DIAL_ANSWER,
                            .status = AUTONAT_V2_OK,
                            .dial = AUTONAT_DIAL_OK,
                            .addr_index = 1};
    assert_int_equal(autonat_v2_encode(&m, &b), 0);
    check_bytes(&b, "0a"
                    "1208"
                    "08c801"
                    "1001"
                    "18c801");
    assert_int_equal(autonat_v2_decode(without_length(&b), &back), 0);
    assert_int_equal(back.status, 200);
    assert_int_equal(back.dial, 200);
    assert_int_equal(back.addr_index, 1);
    buf_fini(&b);
}

static void version_2_wants_data_and_gets_it(void **state)
{
    struct buf b;
    struct autonat_v2 back,
        m = {.kind = AUTONAT_DATA_REQUEST, .addr_index = 0, .data_bytes = 30000};
    buf_init(&b, 0);
    assert_int_equal(autonat_v2_encode(&m, &b), 0);
    check_bytes(&b, "08"
                    "1a06"
                    "0800"
                    "10b0ea01");
    assert_int_equal(autonat_v2_decode(without_length(&b), &back), 0);
    assert_true(back.data_bytes == 30000);
    buf_clear(&b);
    m = (struct autonat_v2){.kind = AUTONAT_DATA, .data = BYTES_LIT("abc")};
    assert_int_equal(autonat_v2_encode(&m, &b), 0);
    check_bytes(&b, "07"
                    "2205"
                    "0a03616263");
    assert_int_equal(autonat_v2_decode(without_length(&b), &back), 0);
    assert_true(bytes_eq_str(back.data, "abc"));
    buf_fini(&b);
}

static void version_2_is_exactly_one_of_four(void **state)
{
    struct autonat_v2 m;
    assert_int_equal(autonat_v2_decode(BYTES_LIT(""), &m), E_MALFORMED);
    assert_int_equal(autonat_v2_decode(BYTES_LIT("\x2a\x00"), &m), E_MALFORMED);
    assert_int_equal(autonat_v2_decode(BYTES_LIT("\x0a\x00\x12\x00"), &m), E_MALFORMED);
    assert_int_equal(autonat_v2_decode(BYTES_LIT("\x0a\x02\x0a\x05"), &m), E_MALFORMED);
}

static void the_dial_back_carries_a_nonce(void **state)
{
    struct buf b;
    uint64_t nonce;
    uint32_t status = 9;
    buf_init(&b, 0);
    assert_int_equal(autonat_back_encode(0x0102030405060708, &b), 0);
    check_bytes(&b, "09"
                    "090807060504030201");
    assert_int_equal(autonat_back_decode(without_length(&b), &nonce), 0);
    assert_true(nonce == 0x0102030405060708);
    buf_clear(&b);
    assert_int_equal(autonat_back_answer_encode(&b), 0);
    check_bytes(&b, "020800");
    assert_int_equal(autonat_back_answer_decode(without_length(&b), &status), 0);
    assert_int_equal(status, 0);
    assert_int_equal(autonat_back_decode(BYTES_LIT("\x09\x01"), &nonce), E_MALFORMED);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_asks),
        cmocka_unit_test(version_1_answers),
        cmocka_unit_test(version_1_without_its_part_is_malformed),
        cmocka_unit_test(more_addresses_than_the_limit_are_left_out),
        cmocka_unit_test(version_2_asks_and_answers),
        cmocka_unit_test(version_2_wants_data_and_gets_it),
        cmocka_unit_test(version_2_is_exactly_one_of_four),
        cmocka_unit_test(the_dial_back_carries_a_nonce),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
