// SPDX-License-Identifier: MIT
/* Kademlia's message: the bytes, every truncation, every limit. And the key space. */
#include "dht/key.h"
#include "dht/message.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct peer_id id_of(uint8_t n)
{
    uint8_t b[34] = {0x12, 0x20, n};
    struct peer_id id;
    assert_int_equal(peer_id_decode(bytes_of(b, sizeof b), &id), 0);
    return id;
}

static void key_of_a_text(void **state)
{
    /* FIPS 180-2, the first example */
    uint8_t out[DHT_KEY_TEXT], zero[32] = {0};
    dht_key_text(BYTES_LIT("abc"), out);
    assert_memory_equal(out, "\x12\x20\xba\x78\x16\xbf\x8f\x01\xcf\xea", 10);
    struct dht_key a = dht_key_of(BYTES_LIT("abc")), b = a;
    assert_memory_equal(a.b, out + 2, 32);
    assert_int_equal(dht_key_common_bits(&a, &b), 256);
    struct dht_key d = dht_key_distance(&a, &b);
    assert_memory_equal(d.b, zero, 32);
    for (int bit = 0; bit < 256; bit++) {
        b = a;
        b.b[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        assert_int_equal(dht_key_common_bits(&a, &b), bit);
    }
}

static void find_node_bytes(void **state)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(dht_message_begin(&b, DHT_FIND_NODE, BYTES_LIT("key")), 0);
    assert_int_equal(buf_len(&b), 7);
    assert_memory_equal(buf_view(&b).p, "\x08\x04\x12\x03key", 7);
    struct bytes addr = BYTES_LIT("\x04\x7f\x00\x00\x01\x06\x0f\xa1");
    struct dht_peer p = {id_of(9), &addr, 1};
    assert_int_equal(dht_message_add(&b, DHT_CLOSER, &p, LIMIT_DHT_REPLY), 0);
    struct bytes peer = bytes_skip(buf_view(&b), 7);
    assert_memory_equal(peer.p, "\x42\x30\x0a\x22\x12\x20\x09", 7);
    assert_memory_equal(peer.p + 2 + 36, "\x12\x08\x04\x7f\x00\x00\x01\x06\x0f\xa1\x18\x02", 12);
    buf_fini(&b);
}

static void build(struct buf *b, int closer, int providers)
{
    uint8_t a[2][12] = {{4, 192, 0, 2, 1, 6, 1, 1}, {4, 192, 0, 2, 2, 6, 1, 2}};
    struct bytes addrs[2] = {bytes_of(a[0], 8), bytes_of(a[1], 8)};
    buf_init(b, 0);
    dht_message_begin(b, DHT_GET_PROVIDERS, BYTES_LIT("key"));
    for (int i = 0; i < closer + providers; i++) {
        struct dht_peer p = {id_of((uint8_t)i), addrs, 1 + i % 2};
        assert_int_equal(
            dht_message_add(b, i < closer ? DHT_CLOSER : DHT_PROVIDERS, &p, LIMIT_DHT_REPLY), 0);
    }
}

static void peers_are_walked(void **state)
{
    struct buf b;
    struct dht_message m;
    struct dht_message_peer p;
    build(&b, 3, 2);
    assert_int_equal(dht_message_decode(buf_view(&b), &m), 0);
    assert_int_equal(m.type, DHT_GET_PROVIDERS);
    assert_true(bytes_eq_str(m.key, "key"));
    int n = 0;
    for (struct bytes rest = m.whole; dht_message_next(DHT_CLOSER, &rest, &p); n++) {
        struct peer_id want = id_of((uint8_t)n);
        assert_true(peer_id_eq(&p.peer.id, &want));
        assert_int_equal(p.peer.addr_count, 1 + n % 2);
        assert_int_equal(p.addrs[0].n, 8);
    }
    assert_int_equal(n, 3);
    n = 0;
    for (struct bytes rest = m.whole; dht_message_next(DHT_PROVIDERS, &rest, &p);)
        n++;
    assert_int_equal(n, 2);
    buf_fini(&b);
}

/* Cut anywhere: an error, or fewer peers; never a byte too far (the copy is exactly as long). */
static void every_truncation(void **state)
{
    struct buf b;
    build(&b, 2, 2);
    size_t whole = buf_len(&b), errors = 0;
    for (size_t n = 0; n < whole; n++) {
        uint8_t *copy = mem_new(n);
        struct dht_message m;
        struct dht_message_peer p;
        memcpy(copy, buf_view(&b).p, n);
        if (dht_message_decode(bytes_of(copy, n), &m) != 0) {
            errors++;
        } else {
            int peers = 0;
            for (struct bytes rest = m.whole; dht_message_next(DHT_CLOSER, &rest, &p);)
                peers++;
            for (struct bytes rest = m.whole; dht_message_next(DHT_PROVIDERS, &rest, &p);)
                peers++;
            assert_true(peers < 4);
        }
        free(copy);
    }
    assert_true(errors > whole * 9 / 10); /* only between two fields is it a message again */
    buf_fini(&b);
}

static void unknown_and_absent_fields(void **state)
{
    struct dht_message m;
    struct dht_message_peer p;
    assert_int_equal(dht_message_decode(BYTES_LIT(""), &m), 0);
    assert_int_equal(m.type, DHT_PUT_VALUE); /* proto3: absent is zero */
    assert_int_equal(m.key.n, 0);
    assert_int_equal(
        dht_message_decode(BYTES_LIT("\x50\x07\xfa\x01\x02zz\x08\x05\x1a\x02\x0a\x00"), &m), 0);
    assert_int_equal(m.type, DHT_PING);
    assert_true(dht_message_decode(BYTES_LIT("\x0b"), &m) < 0); /* a group */
    assert_true(dht_message_decode(BYTES_LIT("\x12\xff\xff\xff\xff\x0f"), &m) < 0);
    /* peers without an id, with a bad one, and with garbage inside are left out */
    struct bytes in = BYTES_LIT("\x42\x02\x18\x01"
                                "\x42\x05\x0a\x03xyz"
                                "\x42\x02\x0a\x7f");
    assert_int_equal(dht_message_decode(in, &m), 0);
    struct bytes rest = m.whole;
    assert_false(dht_message_next(DHT_CLOSER, &rest, &p));
    assert_int_equal(rest.n, 0);
}

static void limits(void **state)
{
    struct dht_message m;
    struct dht_message_peer p;
    struct bytes addrs[LIMIT_DHT_ADDRS + 4];
    uint8_t *big = mem_new(LIMIT_DHT_MESSAGE + 1);
    struct buf b;
    assert_int_equal(dht_message_decode(bytes_of(big, LIMIT_DHT_MESSAGE + 1), &m), E_TOO_BIG);
    for (size_t i = 0; i < ARRAY_LEN(addrs); i++)
        addrs[i] = bytes_of(big, i == 1 ? LIMIT_DHT_ADDR + 1 : 9);
    struct dht_peer many = {id_of(1), addrs, LIMIT_DHT_ADDRS};
    buf_init(&b, 0);
    dht_message_begin(&b, DHT_FIND_NODE, BYTES_LIT("k"));
    assert_int_equal(dht_message_add(&b, DHT_CLOSER, &many, LIMIT_DHT_REPLY), 0);
    assert_int_equal(dht_message_decode(buf_view(&b), &m), 0);
    struct bytes rest = m.whole;
    assert_true(dht_message_next(DHT_CLOSER, &rest, &p));
    assert_int_equal(p.peer.addr_count, LIMIT_DHT_ADDRS - 1); /* without the long one */
    /* the reply's limit: nothing is appended beyond it */
    int added = 1;
    many.addr_count = 1;
    while (dht_message_add(&b, DHT_CLOSER, &many, LIMIT_DHT_REPLY) == 0)
        added++;
    assert_true(buf_len(&b) <= LIMIT_DHT_REPLY && buf_len(&b) > LIMIT_DHT_REPLY - 100);
    assert_int_equal(dht_message_decode(buf_view(&b), &m), 0);
    for (rest = m.whole; dht_message_next(DHT_CLOSER, &rest, &p);)
        added--;
    assert_int_equal(added, 0);
    buf_fini(&b);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_of_a_text),
        cmocka_unit_test(find_node_bytes),
        cmocka_unit_test(peers_are_walked),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(unknown_and_absent_fields),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
