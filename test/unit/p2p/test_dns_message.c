// SPDX-License-Identifier: MIT
/* DNS messages byte by byte: names and their pointers, records, and what is malformed. */
#include "base/err.h"
#include "p2p/dns_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct dns_name name_of(const char *text)
{
    struct dns_name n;
    assert_int_equal(dns_name_parse(bytes_str(text), &n), 0);
    return n;
}

/* A question for _p2p._udp.local, PTR, as go, js and rust send it. */
static const uint8_t query[] = "\x12\x34\0\0\0\1\0\0\0\0\0\0"
                               "\4_p2p\4_udp\5local\0\0\x0c\0\1";

/* An answer: PTR with a pointer to the question's place, TXT under the PTR's target. */
static const uint8_t answer[] = "\0\0\x84\0\0\0\0\1\0\0\0\1"
                                "\4_p2p\4_udp\5local\0\0\x0c\0\1\0\0\0\x78\0\4\1a\xc0\x0c"
                                "\xc0\x27\0\x10\x80\1\0\0\1\2\0\x0b\7dns=/a\3\2hi";

static void names(void **state)
{
    struct dns_name n = name_of("_p2p._udp.local"), m = name_of("_P2P._udp.LOCAL."), rest;
    struct bytes label;
    char text[DNS_NAME_TEXT], big[300];
    assert_int_equal(n.n, 17);
    assert_memory_equal(n.b, "\4_p2p\4_udp\5local\0", 17);
    assert_true(dns_name_eq(&n, &m));
    assert_string_equal(dns_name_text(&n, text, sizeof text), "_p2p._udp.local.");
    assert_true(dns_name_split(&n, &label, &rest));
    assert_true(bytes_eq_str(label, "_p2p"));
    m = name_of("_udp.local");
    assert_true(dns_name_eq(&rest, &m));
    m = name_of("");
    assert_int_equal(m.n, 1);
    assert_false(dns_name_split(&m, &label, &rest));
    const char *bad[] = {"a..b", ".a", "..", "a.."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(dns_name_parse(bytes_str(bad[i]), &m), E_MALFORMED);
    memset(big, 'x', sizeof big);
    assert_int_equal(dns_name_parse(bytes_of(big, 64), &m), E_MALFORMED);
    assert_int_equal(dns_name_parse(bytes_of(big, 63), &m), 0);
    for (size_t i = 63; i < sizeof big; i += 64)
        big[i] = '.';
    assert_int_equal(dns_name_parse(bytes_of(big, 253), &m), 0);
    assert_int_equal(m.n, 255);
    assert_int_equal(dns_name_parse(bytes_of(big, 254), &m), E_TOO_BIG);
}

static void odd_bytes_are_shown_as_numbers(void **state)
{
    struct dns_name n = {.n = 5, .b = "\3\n.z"};
    char text[DNS_NAME_TEXT], tiny[8];
    assert_string_equal(dns_name_text(&n, text, sizeof text), "\\010\\046z.");
    assert_true(strlen(dns_name_text(&n, tiny, sizeof tiny)) < sizeof tiny);
}

static void a_question_is_read(void **state)
{
    struct dns_reader r;
    struct dns_question q;
    struct dns_record rec;
    struct dns_name service = name_of("_p2p._udp.local");
    uint8_t m[sizeof query - 1];
    memcpy(m, query, sizeof m);
    assert_int_equal(dns_read(&r, bytes_of(m, sizeof m)), 0);
    assert_int_equal(r.id, 0x1234);
    assert_int_equal(dns_read_question(&r, &q), 1);
    assert_true(dns_name_eq(&q.name, &service));
    assert_int_equal(q.type, DNS_TYPE_PTR);
    assert_int_equal(q.class, DNS_CLASS_IN);
    assert_false(q.wants_unicast);
    assert_int_equal(dns_read_question(&r, &q), 0);
    assert_int_equal(dns_read_record(&r, &rec), 0);
    m[sizeof m - 2] = 0x80;
    assert_int_equal(dns_read(&r, bytes_of(m, sizeof m)), 0);
    assert_int_equal(dns_read_question(&r, &q), 1);
    assert_true(q.wants_unicast);
    assert_int_equal(q.class, DNS_CLASS_IN);
}

static void an_answer_is_read(void **state)
{
    struct dns_reader r;
    struct dns_record rec;
    struct dns_name target, instance = name_of("a._p2p._udp.local");
    struct bytes text;
    size_t at = 0;
    assert_int_equal(dns_read(&r, bytes_of(answer, sizeof answer - 1)), 0);
    assert_int_equal(dns_read_record(&r, &rec), 1);
    assert_int_equal(rec.section, DNS_ANSWER);
    assert_int_equal(rec.ttl_s, 120);
    assert_false(rec.is_flush);
    assert_int_equal(dns_record_target(&r, &rec, &target), 0);
    assert_true(dns_name_eq(&target, &instance));
    assert_int_equal(dns_read_record(&r, &rec), 1);
    assert_int_equal(rec.section, DNS_ADDITIONAL);
    assert_true(dns_name_eq(&rec.name, &instance));
    assert_int_equal(rec.type, DNS_TYPE_TXT);
    assert_true(rec.is_flush);
    assert_int_equal(rec.ttl_s, 258);
    assert_int_equal(dns_record_target(&r, &rec, &target), E_MALFORMED);
    assert_int_equal(dns_next_string(rec.data, &at, &text), 1);
    assert_true(bytes_eq_str(text, "dns=/a\3"));
    assert_int_equal(dns_next_string(rec.data, &at, &text), 1);
    assert_true(bytes_eq_str(text, "hi"));
    assert_int_equal(dns_next_string(rec.data, &at, &text), 0);
    assert_int_equal(dns_read_record(&r, &rec), 0);
}

/* Whatever is cut off is malformed, never read past. The copies are on the heap, for ASan. */
static void cut_anywhere_is_malformed(void **state)
{
    for (size_t n = 0; n < sizeof answer - 1; n++) {
        uint8_t *m = malloc(n ? n : 1);
        struct dns_reader r;
        struct dns_record rec;
        int rc;
        memcpy(m, answer, n);
        rc = dns_read(&r, bytes_of(m, n));
        assert_int_equal(rc, n < DNS_HEADER ? E_MALFORMED : 0);
        while (!rc && (rc = dns_read_record(&r, &rec)) == 1)
            rc = 0;
        assert_int_equal(rc, E_MALFORMED);
        free(m);
    }
}

static int read_first_name(const uint8_t *tail, size_t n)
{
    uint8_t m[DNS_HEADER + 600] = {0, 0, 0, 0, 0, 1};
    struct dns_reader r;
    struct dns_question q;
    memcpy(m + DNS_HEADER, tail, n);
    assert_int_equal(dns_read(&r, bytes_of(m, DNS_HEADER + n)), 0);
    return dns_read_question(&r, &q);
}

static void pointers_never_loop(void **state)
{
    uint8_t big[600];
    size_t n = 0;
    assert_int_equal(read_first_name((const uint8_t *)"\xc0\x0c\0\1\0\1", 6),
                     E_MALFORMED); /* itself */
    assert_int_equal(read_first_name((const uint8_t *)"\xc0\x0e\0\1\0\1", 6), E_MALFORMED); /* on */
    assert_int_equal(read_first_name((const uint8_t *)"\1a\xc0\x0c\0\1\0\1", 8), E_MALFORMED);
    assert_int_equal(read_first_name((const uint8_t *)"\xff\xff\0\1\0\1", 6), E_MALFORMED);
    assert_int_equal(read_first_name((const uint8_t *)"\xc0", 1), E_MALFORMED);
    assert_int_equal(read_first_name((const uint8_t *)"\x40z\0\0\1\0\1", 7), E_MALFORMED);
    assert_int_equal(read_first_name((const uint8_t *)"\x80z\0\0\1\0\1", 7), E_MALFORMED);
    /* Into the header, which reads as an empty name: backwards, so allowed. */
    assert_int_equal(read_first_name((const uint8_t *)"\1a\xc0\0\0\1\0\1", 8), 1);
    for (; n < 256; n += 2)
        memcpy(big + n, "\1x", 2);
    memcpy(big + n, "\0\0\1\0\1", 5);
    assert_int_equal(read_first_name(big, n + 5), E_MALFORMED); /* 257 bytes of name */
    memcpy(big + 254, "\0\0\1\0\1", 5);
    assert_int_equal(read_first_name(big, 259), 1);
}

/* Each of many records points at the one before: the parts grow, the total is refused at 255. */
static void long_chains_are_refused(void **state)
{
    uint8_t m[4096] = {0, 0, 0x84, 0, 0, 0, 0, 200};
    size_t n = DNS_HEADER, last = 0;
    struct dns_reader r;
    struct dns_record rec;
    int rc, count = 0;
    for (int i = 0; i < 200; i++) {
        size_t at = n;
        m[n++] = 1;
        m[n++] = 'x';
        if (i) {
            m[n++] = (uint8_t)(0xc0 | last >> 8);
            m[n++] = (uint8_t)last;
        } else {
            m[n++] = 0;
        }
        memset(m + n, 0, 10);
        n += 10;
        last = at;
    }
    assert_int_equal(dns_read(&r, bytes_of(m, n)), 0);
    while ((rc = dns_read_record(&r, &rec)) == 1)
        count++;
    assert_int_equal(rc, E_MALFORMED);
    assert_int_equal(count, 127); /* 2 × 127 + 1 = 255 */
}

static void counts_that_lie(void **state)
{
    uint8_t m[sizeof answer - 1];
    struct dns_reader r;
    struct dns_record rec;
    memcpy(m, answer, sizeof m);
    m[6] = 0xff; /* 65281 answers */
    assert_int_equal(dns_read(&r, bytes_of(m, sizeof m)), 0);
    assert_int_equal(dns_read_record(&r, &rec), 1);
    assert_int_equal(dns_read_record(&r, &rec), 1);
    assert_int_equal(dns_read_record(&r, &rec), E_MALFORMED);
    m[43 + 2 + 8] = 0xff; /* data longer than the message */
    assert_int_equal(dns_read(&r, bytes_of(m, sizeof m)), 0);
    assert_int_equal(dns_read_record(&r, &rec), 1);
    assert_int_equal(dns_read_record(&r, &rec), E_MALFORMED);
}

static void too_big_is_not_read(void **state)
{
    uint8_t *m = calloc(1, LIMIT_MDNS_PACKET + 1);
    struct dns_reader r;
    assert_int_equal(dns_read(&r, bytes_of(m, LIMIT_MDNS_PACKET)), 0);
    assert_int_equal(dns_read(&r, bytes_of(m, LIMIT_MDNS_PACKET + 1)), E_TOO_BIG);
    free(m);
}

static void strings_that_lie(void **state)
{
    struct bytes text;
    size_t at = 0;
    assert_int_equal(dns_next_string(BYTES_LIT(""), &at, &text), 0);
    assert_int_equal(dns_next_string(BYTES_LIT("\3ab"), &at, &text), E_MALFORMED);
    assert_int_equal(dns_next_string(BYTES_LIT("\0"), &at, &text), 1);
    assert_int_equal(text.n, 0);
}

static void writing_compresses_and_reads_back(void **state)
{
    static const uint8_t expected[] = "\x12\x34\x84\0\0\0\0\1\0\0\0\1"
                                      "\4_p2p\4_udp\5local\0\0\x0c\0\1\0\0\0\x78\0\5\2ab\xc0\x0c"
                                      "\xc0\x27\0\x10\0\1\0\0\0\x78\0\x0a\x09"
                                      "dnsaddr=x";
    uint8_t b[512];
    struct dns_writer w;
    struct dns_name service = name_of("_p2p._udp.local"), instance = name_of("ab._p2p._udp.local");
    dns_write(&w, b, sizeof b, 0x1234, DNS_FLAG_RESPONSE | DNS_FLAG_AUTHORITATIVE);
    dns_put_ptr(&w, DNS_ANSWER, &service, 120, &instance);
    dns_put_txt(&w, DNS_ADDITIONAL, &instance, 120, BYTES_LIT("dnsaddr=x"));
    struct bytes m = dns_written(&w);
    assert_int_equal(m.n, sizeof expected - 1);
    assert_memory_equal(m.p, expected, m.n);
    dns_write(&w, b, sizeof b, 0x1234, 0);
    dns_put_question(&w, &service, DNS_TYPE_PTR);
    m = dns_written(&w);
    assert_int_equal(m.n, sizeof query - 1);
    assert_memory_equal(m.p, query, m.n);
}

/* A record that does not fit leaves no trace, for each size of the room. */
static void what_does_not_fit_is_left_out(void **state)
{
    struct dns_name service = name_of("_p2p._udp.local"), instance = name_of("ab._p2p._udp.local");
    for (size_t size = 0; size < 120; size++) {
        uint8_t *b = malloc(size ? size : 1);
        struct dns_writer w;
        struct dns_reader r;
        struct dns_record rec;
        int rc, count = 0;
        dns_write(&w, b, size, 0, DNS_FLAG_RESPONSE);
        dns_put_ptr(&w, DNS_ANSWER, &service, 120, &instance);
        dns_put_txt(&w, DNS_ADDITIONAL, &instance, 120, BYTES_LIT("dnsaddr=/ip4/1.2.3.4"));
        struct bytes m = dns_written(&w);
        assert_true(m.n <= size);
        if (size >= DNS_HEADER) {
            assert_int_equal(dns_read(&r, m), 0);
            while ((rc = dns_read_record(&r, &rec)) == 1)
                count++;
            assert_int_equal(rc, 0);
            assert_int_equal(count, size >= 77 ? 2 : size >= 44 ? 1 : 0);
            assert_int_equal(w.is_full, size < 77);
        }
        free(b);
    }
}

static void a_text_over_255_is_left_out(void **state)
{
    uint8_t b[1024], text[256] = {0};
    struct dns_writer w;
    struct dns_name instance = name_of("ab.local");
    dns_write(&w, b, sizeof b, 0, 0);
    dns_put_txt(&w, DNS_ADDITIONAL, &instance, 1, bytes_of(text, 256));
    assert_int_equal(dns_written(&w).n, DNS_HEADER);
    dns_write(&w, b, sizeof b, 0, 0);
    dns_put_txt(&w, DNS_ADDITIONAL, &instance, 1, bytes_of(text, 255));
    assert_true(dns_written(&w).n > 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(odd_bytes_are_shown_as_numbers),
        cmocka_unit_test(a_question_is_read),
        cmocka_unit_test(an_answer_is_read),
        cmocka_unit_test(cut_anywhere_is_malformed),
        cmocka_unit_test(pointers_never_loop),
        cmocka_unit_test(long_chains_are_refused),
        cmocka_unit_test(counts_that_lie),
        cmocka_unit_test(too_big_is_not_read),
        cmocka_unit_test(strings_that_lie),
        cmocka_unit_test(writing_compresses_and_reads_back),
        cmocka_unit_test(what_does_not_fit_is_left_out),
        cmocka_unit_test(a_text_over_255_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
