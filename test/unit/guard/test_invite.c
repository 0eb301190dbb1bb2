// SPDX-License-Identifier: MIT
/* The text of an invite: made, read, spoiled in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/cbor.h"
#include "codec/multibase.h"
#include "guard/invite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct key_pair key_of(uint8_t n)
{
    uint8_t seed[32];
    struct key_pair k;
    memset(seed, n, sizeof seed);
    key_pair_from_seed(&k, seed);
    return k;
}

static struct invite small(const struct key_pair *k)
{
    struct invite v = {.issuer = k->id, .expires_s = 1800000000, .addr_count = 1};
    memset(v.id, 0xab, sizeof v.id);
    assert_int_equal(multiaddr_parse(bytes_str("/ip4/192.0.2.7/tcp/8000"), &v.addrs[0]), 0);
    return v;
}

static struct invite full(const struct key_pair *k)
{
    struct invite v = small(k);
    strcpy(v.name, "Žofie's laptop");
    v.has_network = true;
    memset(v.network, 0x5c, sizeof v.network);
    v.addr_count = 2;
    assert_int_equal(multiaddr_parse(bytes_str("/dns4/home.example.org/tcp/443"), &v.addrs[1]), 0);
    strcpy(v.terms.models[0], "conduit-tiny");
    strcpy(v.terms.models[1], "llama-3.1-8b");
    v.terms.requests_per_day = 100;
    v.terms.tokens_per_day = 50000;
    v.terms.concurrent = 2;
    assert_int_equal(schedule_init(&v.terms.hours, "08:00", "22:00"), 0);
    return v;
}

static char *text_of(const struct invite *v, const struct key_pair *k)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(invite_text(v, k, &b), 0);
    return buf_take_str(&b);
}

static void assert_same(const struct invite *a, const struct invite *b)
{
    struct buf x, y;
    buf_init(&x, 0);
    buf_init(&y, 0);
    assert_int_equal(invite_encode(a, &x), 0);
    assert_int_equal(invite_encode(b, &y), 0);
    assert_true(bytes_eq(buf_view(&x), buf_view(&y)));
    buf_fini(&x);
    buf_fini(&y);
}

static void what_is_written_is_read(void **state)
{
    struct key_pair k = key_of(1);
    struct invite made[] = {small(&k), full(&k)}, read;
    const char *why;
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        char *text = text_of(&made[i], &k);
        assert_true(invite_is_text(bytes_str(text)));
        assert_int_equal(invite_read(bytes_str(text), &read, &why), 0);
        assert_same(&made[i], &read);
        assert_true(peer_id_eq(&read.issuer, &k.id));
        free(text);
    }
    assert_string_equal(read.name, "Žofie's laptop");
    assert_true(read.has_network && read.network[31] == 0x5c);
    assert_true(read.terms.hours.is_set && read.terms.hours.start == 480 &&
                read.terms.hours.end == 1320);
    assert_string_equal(read.terms.models[1], "llama-3.1-8b");
    assert_string_equal(read.terms.models[2], "");
    assert_true(read.terms.requests_per_day == 100 && read.terms.tokens_per_day == 50000 &&
                read.terms.concurrent == 2);
}

/* The bytes of docs/PROTOCOL-INVITE.md: another implementation starts from them. */
static void the_payload_byte_by_byte(void **state)
{
    struct key_pair k = key_of(1);
    struct invite v = full(&k);
    struct buf b;
    char hex[2000];
    v.addr_count = 1;
    v.terms.models[1][0] = 0;
    strcpy(v.name, "Ann");
    buf_init(&b, 0);
    assert_int_equal(invite_encode(&v, &b), 0);
    hex_format(buf_view(&b), hex);
    assert_string_equal(hex, "ab"
                             "015820"
                             "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
                             "0250"
                             "abababababababababababababababab"
                             "03"
                             "1a6b49d200"
                             "0481"
                             "48"
                             "04c0000207"
                             "061f40"
                             "0563"
                             "416e6e"
                             "065820"
                             "5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c"
                             "0781"
                             "6c"
                             "636f6e647569742d74696e79"
                             "081864"
                             "0919c350"
                             "0a82"
                             "1901e0"
                             "190528"
                             "0b02");
    buf_fini(&b);
}

static void one_address_stays_short(void **state)
{
    struct key_pair k = key_of(1);
    struct invite v = full(&k), plain = small(&k);
    v.addr_count = 1;
    v.terms.models[1][0] = 0;
    char *with_network = text_of(&v, &k);
    v.has_network = false;
    char *limited = text_of(&v, &k), *bare = text_of(&plain, &k);
    printf("%zu characters; with all limits %zu; and a network's key %zu\n", strlen(bare),
           strlen(limited), strlen(with_network));
    assert_true(strlen(bare) < 200);
    assert_true(strlen(limited) < 300);
    assert_true(strlen(with_network) < 320);
    free(bare);
    free(limited);
    free(with_network);
}

static void white_space_in_it_is_ignored(void **state)
{
    struct key_pair k = key_of(1);
    struct invite v = full(&k), read;
    char *text = text_of(&v, &k), wrapped[2000];
    const char *why;
    size_t n = 0;
    wrapped[n++] = '\n';
    for (size_t i = 0; text[i]; i++) {
        wrapped[n++] = text[i];
        if (i > 8 && i % 60 == 0) {
            wrapped[n++] = '\r';
            wrapped[n++] = '\n';
            wrapped[n++] = ' ';
        }
    }
    wrapped[n] = 0;
    assert_int_equal(invite_read(bytes_str(wrapped), &read, &why), 0);
    assert_same(&v, &read);
    free(text);
}

/* Every position, every other character that could stand there: always found by the sum, never left to the
 * signature; and always said to be a slip. */
static void one_changed_character_is_always_found(void **state)
{
    static const char others[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=";
    struct key_pair k = key_of(1);
    struct invite v = full(&k), read;
    char *text = text_of(&v, &k);
    const char *why;
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        for (const char *o = others; *o; o++) {
            char was = text[i];
            if (was == *o)
                continue;
            text[i] = *o;
            assert_int_equal(invite_read(bytes_str(text), &read, &why), E_MALFORMED);
            assert_non_null(strstr(why, i < 9 ? "begins with" : "missing or was changed"));
            text[i] = was;
        }
    for (size_t i = 9; i + 1 < n; i++) { /* neighbours swapped */
        char was = text[i];
        if (was == text[i + 1])
            continue;
        text[i] = text[i + 1];
        text[i + 1] = was;
        assert_int_equal(invite_read(bytes_str(text), &read, &why), E_MALFORMED);
        text[i + 1] = text[i];
        text[i] = was;
    }
    for (size_t i = 0; i < n; i++) { /* cut anywhere, and one left out */
        assert_int_equal(invite_read(bytes_of(text, i), &read, &why), E_MALFORMED);
        char *less = mem_strdup(text);
        memmove(less + i, less + i + 1, n - i);
        assert_int_equal(invite_read(bytes_str(less), &read, &why), E_MALFORMED);
        free(less);
    }
    free(text);
}

/* --- forged: the sum is right, the signature is not --- */

static uint32_t sum_again(struct bytes b)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < b.n; i++) {
        crc ^= b.p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
    }
    return ~crc;
}

static int read_parts(struct bytes payload, struct bytes sig, const char **why)
{
    struct buf b, text;
    struct invite read;
    buf_init(&b, 0);
    buf_init(&text, 0);
    (void)buf_append_bytes(&b, payload);
    (void)buf_append_bytes(&b, sig);
    uint32_t sum = sum_again(buf_view(&b));
    for (int i = 24; i >= 0; i -= 8)
        (void)buf_append_byte(&b, (uint8_t)(sum >> i));
    (void)buf_append_str(&text, "conduit1:");
    (void)base_encode(BASE_64URL, buf_view(&b), &text);
    int err = invite_read(buf_view(&text), &read, why);
    buf_fini(&b);
    buf_fini(&text);
    return err;
}

static void sign(const struct key_pair *k, const char *domain, size_t domain_n,
                 struct bytes payload, uint8_t sig[static KEY_SIG_SIZE])
{
    struct buf m;
    buf_init(&m, 0);
    (void)buf_append(&m, domain, domain_n);
    (void)buf_append_bytes(&m, payload);
    key_sign(k, buf_view(&m), sig);
    buf_fini(&m);
}

static void a_forged_one_is_refused(void **state)
{
    static const char domain[] = "conduit/invite/v1";
    struct key_pair k = key_of(1), thief = key_of(2);
    struct invite v = full(&k);
    struct buf payload;
    uint8_t sig[KEY_SIG_SIZE];
    const char *why;
    buf_init(&payload, 0);
    assert_int_equal(invite_encode(&v, &payload), 0);
    sign(&k, domain, sizeof domain, buf_view(&payload), sig);
    assert_int_equal(read_parts(buf_view(&payload), bytes_of(sig, sizeof sig), &why), 0);
    sign(&thief, domain, sizeof domain, buf_view(&payload), sig);
    assert_int_equal(read_parts(buf_view(&payload), bytes_of(sig, sizeof sig), &why), E_AUTH);
    assert_non_null(strstr(why, "forged"));
    sign(&k, "conduit/offer/v1", sizeof domain - 1, buf_view(&payload),
         sig); /* of something else */
    assert_int_equal(read_parts(buf_view(&payload), bytes_of(sig, sizeof sig), &why), E_AUTH);
    /* more than it says: 100 requests become 200 under the old signature */
    sign(&k, domain, sizeof domain, buf_view(&payload), sig);
    v.terms.requests_per_day = 200;
    buf_clear(&payload);
    assert_int_equal(invite_encode(&v, &payload), 0);
    assert_int_equal(read_parts(buf_view(&payload), bytes_of(sig, sizeof sig), &why), E_AUTH);
    /* any bit of the signature */
    v.terms.requests_per_day = 100;
    buf_clear(&payload);
    assert_int_equal(invite_encode(&v, &payload), 0);
    for (size_t i = 0; i < sizeof sig; i++) {
        sig[i] ^= 0x10;
        assert_int_equal(read_parts(buf_view(&payload), bytes_of(sig, sizeof sig), &why), E_AUTH);
        sig[i] ^= 0x10;
    }
    buf_fini(&payload);
}

static int decode_hex(const char *hex)
{
    struct buf b;
    struct invite v;
    buf_init(&b, 0);
    assert_int_equal(base_decode(BASE_HEX, bytes_str(hex), &b), 0);
    int err = invite_decode(buf_view(&b), &v);
    buf_fini(&b);
    return err;
}

#define ISSUER "0158208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
#define ID     "0250abababababababababababababababab"
#define EXP    "031a6b49d200"
#define ADDRS  "04814804c0000207061f40"

static void only_the_one_encoding_is_read(void **state)
{
    static const struct {
        const char *hex;
        int err;
    } rows[] = {
        {"a4" ISSUER ID EXP ADDRS, 0},
        {"a4" ISSUER ID EXP "0480", 0},                   /* no address: the guest knows it */
        {"a5" ISSUER ID EXP ADDRS "0c01", E_UNSUPPORTED}, /* a restriction of tomorrow's */
        {"a5" ISSUER ID EXP ADDRS "1901000a", E_UNSUPPORTED},
        {"a3" ID EXP ADDRS, E_MALFORMED}, /* one of the four is missing */
        {"a3" ISSUER EXP ADDRS, E_MALFORMED},
        {"a3" ISSUER ID ADDRS, E_MALFORMED},
        {"a3" ISSUER ID EXP, E_MALFORMED},
        {"a4" ID ISSUER EXP ADDRS, E_MALFORMED}, /* order */
        {"a5" ISSUER ID EXP ADDRS ADDRS, E_MALFORMED},
        {"a4" ISSUER ID EXP ADDRS "00", E_MALFORMED}, /* behind it */
        {"a4" ISSUER ID "0300" ADDRS, E_MALFORMED},
        {"a4" ISSUER ID "031b7fffffffffffffff" ADDRS, E_MALFORMED}, /* not in milliseconds */
        {"a4" ISSUER ID "03181a" ADDRS, 0},
        {"a4" ISSUER ID "031818" ADDRS, 0},
        {"a4" ISSUER ID "031817" ADDRS, E_MALFORMED}, /* longer than needed */
        {"a4" ISSUER ID EXP "04814704c0000207061f", E_MALFORMED},
        {"a4" ISSUER ID EXP "0485"
         "4804c0000207061f40"
         "4804c0000207061f40"
         "4804c0000207061f40"
         "4804c0000207061f40"
         "4804c0000207061f40",
         E_LIMIT},
        {"a5" ISSUER ID EXP ADDRS "0560", E_MALFORMED},   /* an empty name */
        {"a5" ISSUER ID EXP ADDRS "05611b", E_MALFORMED}, /* Escape */
        {"a5" ISSUER ID EXP ADDRS "064100", E_MALFORMED},
        {"a5" ISSUER ID EXP ADDRS "0780", E_MALFORMED}, /* no model at all */
        {"a5" ISSUER ID EXP ADDRS "0789"
         "6161"
         "6161"
         "6161"
         "6161"
         "6161"
         "6161"
         "6161"
         "6161"
         "6161",
         E_LIMIT},
        {"a5" ISSUER ID EXP ADDRS "0800", E_MALFORMED}, /* 0 would mean no limit */
        {"a5" ISSUER ID EXP ADDRS "0820", E_MALFORMED},
        {"a5" ISSUER ID EXP ADDRS "0900", E_MALFORMED},
        {"a5" ISSUER ID EXP ADDRS "0a820001", 0},
        {"a5" ISSUER ID EXP ADDRS "0a8200"
         "1905a0",
         E_MALFORMED}, /* 24:00 */
        {"a5" ISSUER ID EXP ADDRS "0a820101", E_MALFORMED},
        {"a5" ISSUER ID EXP ADDRS "0a8101", E_MALFORMED},
        {"a5" ISSUER ID EXP ADDRS "0b1b0000000100000000", E_MALFORMED},
        {"a0", E_MALFORMED},
        {"80", E_MALFORMED},
        {"", E_MALFORMED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (decode_hex(rows[i].hex) != rows[i].err)
            fail_msg("row %zu: %s, not %s", i, err_name(decode_hex(rows[i].hex)),
                     err_name(rows[i].err));
}

static void sizes_are_bounded(void **state)
{
    struct key_pair k = key_of(1);
    struct invite v = full(&k), read;
    const char *why;
    struct buf b;
    for (int i = 0; i < INVITE_MODELS; i++) {
        memset(v.terms.models[i], 'm', OFFER_NAME - 1);
        v.terms.models[i][OFFER_NAME - 1] = 0;
    }
    v.addr_count = INVITE_ADDRS;
    for (int i = 0; i < INVITE_ADDRS; i++) {
        char text[400] = "/dns4/";
        memset(text + 6, 'a', 250);
        strcpy(text + 256, "/tcp/1");
        assert_int_equal(multiaddr_parse(bytes_str(text), &v.addrs[i]), 0);
    }
    buf_init(&b, 0);
    assert_int_equal(invite_text(&v, &k, &b), E_INVALID); /* each part fits, together they do not */
    buf_clear(&b);
    (void)buf_append_str(&b, "conduit1:");
    for (size_t i = 0; i < LIMIT_INVITE_TEXT; i++)
        (void)buf_append_byte(&b, 'A');
    assert_int_equal(invite_read(buf_view(&b), &read, &why), E_LIMIT);
    assert_non_null(strstr(why, "too long"));
    buf_fini(&b);
    /* signed by another key than the issuer's */
    struct key_pair other = key_of(9);
    buf_init(&b, 0);
    v = small(&k);
    assert_int_equal(invite_text(&v, &other, &b), E_INVALID);
    buf_fini(&b);
}

static void models_are_named_as_offers_are(void **state)
{
    struct invite_terms t = {0};
    struct offer o = {.model = "llama-3.1-8b", .quant = "Q4_K_M"};
    strcpy(o.alias[0], "llama");
    assert_true(invite_allows_model(&t, &o));
    strcpy(t.models[0], "other");
    assert_false(invite_allows_model(&t, &o));
    strcpy(t.models[1], "llama");
    assert_true(invite_allows_model(&t, &o));
    strcpy(t.models[1], "llama-3.1-8b:Q4_K_M");
    assert_true(invite_allows_model(&t, &o));
    strcpy(t.models[1], "llama-3.1-8b:Q8_0");
    assert_false(invite_allows_model(&t, &o));
}

/* --- what stays in memory --- */

enum { NEEDLE = 16, MASK = 0x5a, CHUNK = 1 << 20 };

/* Sixteen bytes that are looked for, never written down as they are. */
struct needle {
    uint8_t masked[NEEDLE];
};

static struct needle needle_of(const void *p)
{
    struct needle n;
    for (int i = 0; i < NEEDLE; i++)
        n.masked[i] = ((const uint8_t *)p)[i] ^ MASK;
    return n;
}

static int count_in(const uint8_t *p, size_t n, const struct needle *what)
{
    int found = 0;
    for (size_t i = 0; i + NEEDLE <= n; i++) {
        int k = 0;
        while (k < NEEDLE && (p[i + (size_t)k] ^ MASK) == what->masked[k])
            k++;
        found += k == NEEDLE;
    }
    return found;
}

/* In all of this process's writable memory but the stack; freed memory is still there, and the sanitizer keeps it
 * unused for long. -1: it cannot be looked at here. */
static int count_in_memory(const struct needle *what)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    int mem = open("/proc/self/mem", O_RDONLY), found = 0;
    uint8_t *chunk = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!maps || mem < 0)
        found = -1;
    while (found >= 0 && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3 || strncmp(rights, "rw", 2) != 0 ||
            strstr(line, "[stack]") || to - from > (1ul << 28))
            continue;
        for (unsigned long at = from, n; at < to; at += n - NEEDLE + 1) {
            n = to - at < CHUNK ? to - at : CHUNK;
            if (n < NEEDLE)
                break;
            bool is_ours = at < (uintptr_t)chunk + CHUNK && at + n > (uintptr_t)chunk;
            ssize_t got = is_ours ? 0 : pread(mem, chunk, n, (off_t)at);
            found += got > 0 ? count_in(chunk, (size_t)got, what) : 0;
        }
    }
    munmap(chunk, CHUNK);
    if (maps)
        fclose(maps);
    close(mem);
    return found;
}

/* Neither of the text nor of the network's key in it; also not of one that is wrong. */
static void nothing_of_it_stays_behind(void **state)
{
    struct key_pair k = key_of(1);
    struct invite v = full(&k), read;
    const char *why;
    struct buf text;
    for (int i = 0; i < INVITE_NETWORK; i++) /* of no other test */
        v.network[i] = (uint8_t)(i * 7 + 3);
    for (int i = 0; i < INVITE_ID; i++)
        v.id[i] = (uint8_t)(i * 13 + 5);
    struct needle key = needle_of(v.network), letters;
    buf_init(&text, 0);
    assert_int_equal(buf_reserve(&text, LIMIT_INVITE_TEXT, &(uint8_t *){0}), 0);
    assert_int_equal(invite_text(&v, &k, &text), 0);
    letters = needle_of(buf_view(&text).p + 64);
    int found = count_in_memory(&letters);
    if (found < 0)
        skip();
    assert_int_equal(found, 1); /* it is found where it is */
    assert_int_equal(invite_read(buf_view(&text), &read, &why), 0);
    invite_fini(&read);
    text.base[text.tail - 1] ^= 1;
    assert_int_not_equal(invite_read(buf_view(&text), &read, &why), 0);
    buf_wipe(&text);
    invite_fini(&v);
    assert_int_equal(count_in_memory(&letters), 0);
    assert_int_equal(count_in_memory(&key), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_payload_byte_by_byte),
        cmocka_unit_test(one_address_stays_short),
        cmocka_unit_test(white_space_in_it_is_ignored),
        cmocka_unit_test(one_changed_character_is_always_found),
        cmocka_unit_test(a_forged_one_is_refused),
        cmocka_unit_test(only_the_one_encoding_is_read),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(models_are_named_as_offers_are),
        cmocka_unit_test(nothing_of_it_stays_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
