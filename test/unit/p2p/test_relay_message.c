// SPDX-License-Identifier: MIT
/* Hop and stop messages byte by byte, the voucher, and reading one message off a stream. */
#include "base/err.h"
#include "base/trace.h"
#include "codec/varint.h"
#include "fake_stream.h"
#include "p2p/message_read.h"
#include "p2p/relay_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ID_LIT                                                                                     \
    "\x00\x24\x08\x01\x12\x20"                                                                     \
    "0123456789abcdef0123456789abcdef"

static struct peer_id an_id(void)
{
    struct peer_id id;
    assert_int_equal(peer_id_decode(BYTES_LIT(ID_LIT), &id), 0);
    return id;
}

static void assert_encodes(int (*encode)(const struct relay_message *, struct buf *),
                           const struct relay_message *m, struct bytes want)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(encode(m, &b), 0);
    assert_int_equal(buf_len(&b), want.n);
    assert_memory_equal(buf_view(&b).p, want.p, want.n);
    buf_fini(&b);
}

/* --- bytes --- */

static void reserve_is_three_bytes(void **state)
{
    struct relay_message m = {.type = RELAY_RESERVE}, back;
    assert_encodes(relay_hop_encode, &m, BYTES_LIT("\x02\x08\x00"));
    assert_int_equal(relay_hop_decode(BYTES_LIT("\x08\x00"), &back), 0);
    assert_int_equal(back.type, RELAY_RESERVE);
    assert_false(back.has_peer);
}

static void connect_names_the_peer(void **state)
{
    struct relay_message m = {.type = RELAY_CONNECT, .has_peer = true, .peer = an_id()}, back;
    assert_encodes(relay_hop_encode, &m, BYTES_LIT("\x2c\x08\x01\x12\x28\x0a\x26" ID_LIT));
    assert_int_equal(relay_hop_decode(BYTES_LIT("\x08\x01\x12\x28\x0a\x26" ID_LIT), &back), 0);
    assert_true(peer_id_eq(&back.peer, &m.peer));
    /* the same on stop is type 0, and may carry the circuit's limit */
    m.limit = (struct relay_limit){.duration_s = 120, .bytes = 131072};
    struct bytes stop =
        BYTES_LIT("\x34\x08\x00\x12\x28\x0a\x26" ID_LIT "\x1a\x06\x08\x78\x10\x80\x80\x08");
    assert_encodes(relay_stop_encode, &m, stop);
    assert_int_equal(relay_stop_decode(bytes_skip(stop, 1), &back), 0);
    assert_int_equal(back.type, RELAY_CONNECT);
    assert_int_equal(back.limit.duration_s, 120);
    assert_int_equal(back.limit.bytes, 131072);
}

static void status_carries_the_reservation(void **state)
{
    struct relay_message m = {
        .type = RELAY_STATUS,
        .status = RELAY_OK,
        .has_reservation = true,
        .expires_s = 1700000000,
        .addr_count = 1,
        .voucher = BYTES_LIT("vv"),
        .limit = {.duration_s = 1},
    };
    struct relay_message back;
    m.addrs[0] = BYTES_LIT("\x04\x7f\x00\x00\x01\x06\x0f\xa1");
    struct bytes want = BYTES_LIT("\x1e\x08\x02"
                                  "\x1a\x14\x08\x80\xe2\xcf\xaa\x06"
                                  "\x12\x08\x04\x7f\x00\x00\x01\x06\x0f\xa1"
                                  "\x1a\x02vv"
                                  "\x22\x02\x08\x01"
                                  "\x28\x64");
    assert_encodes(relay_hop_encode, &m, want);
    assert_int_equal(relay_hop_decode(bytes_skip(want, 1), &back), 0);
    assert_int_equal(back.status, RELAY_OK);
    assert_true(back.has_reservation);
    assert_int_equal(back.expires_s, 1700000000);
    assert_int_equal(back.addr_count, 1);
    assert_true(bytes_eq(back.addrs[0], m.addrs[0]));
    assert_true(bytes_eq(back.voucher, m.voucher));
    struct relay_message plain = {.type = RELAY_STATUS, .status = RELAY_MALFORMED};
    assert_encodes(relay_stop_encode, &plain, BYTES_LIT("\x05\x08\x01\x20\x90\x03"));
    assert_encodes(relay_hop_encode, &plain, BYTES_LIT("\x05\x08\x02\x28\x90\x03"));
}

static void what_is_no_message_is_refused(void **state)
{
    static const struct {
        struct bytes in;
        const char *why;
    } hops[] = {
        {BYTES_LIT(""), "empty"},
        {BYTES_LIT("\x28\x64"), "no type"},
        {BYTES_LIT("\x08\x03"), "an unknown type"},
        {BYTES_LIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "a type of 64 bits"},
        {BYTES_LIT("\x08\x01"), "CONNECT to nobody"},
        {BYTES_LIT("\x08\x01\x12\x00"), "a peer without an id"},
        {BYTES_LIT("\x08\x01\x12\x04\x0a\x02hi"), "a peer id that is none"},
        {BYTES_LIT("\x08"), "cut in a varint"},
        {BYTES_LIT("\x08\x00\x12\x7f"), "a length past the end"},
        {BYTES_LIT("\x08\x00\x0b"), "a group"},
        {BYTES_LIT("\x08\x02\x1a\x02\x08\x80"), "a reservation cut short"},
        {BYTES_LIT("\x08\x02\x22\x01\x08"), "a limit cut short"},
    };
    struct relay_message m;
    for (size_t i = 0; i < sizeof hops / sizeof *hops; i++)
        if (relay_hop_decode(hops[i].in, &m) != E_MALFORMED)
            fail_msg("%s", hops[i].why);
    assert_int_equal(relay_stop_decode(BYTES_LIT("\x08\x02"), &m), E_MALFORMED);
    m = (struct relay_message){.type = RELAY_RESERVE};
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(relay_stop_encode(&m, &b), E_INVALID);
    buf_fini(&b);
}

static void unknown_fields_are_skipped_and_addresses_bounded(void **state)
{
    struct relay_message m;
    assert_int_equal(relay_hop_decode(BYTES_LIT("\x7a\x01x\x08\x00\xfd\xff\xff\xff\x0f"
                                                "abcd"),
                                      &m),
                     0);
    struct buf b;
    uint8_t inner[3 * 100];
    buf_init(&b, 0);
    for (int i = 0; i < 100; i++)
        memcpy(inner + 3 * i, "\x12\x01z", 3);
    assert_int_equal(buf_append(&b, "\x08\x02\x1a\xac\x02", 5), 0);
    assert_int_equal(buf_append(&b, inner, sizeof inner), 0);
    assert_int_equal(relay_hop_decode(buf_view(&b), &m), 0);
    assert_int_equal(m.addr_count, LIMIT_RELAY_ADDRS);
    buf_fini(&b);
}

static void a_message_is_bounded(void **state)
{
    static uint8_t big[LIMIT_RELAY_MESSAGE + 1];
    struct relay_message m;
    assert_int_equal(relay_hop_decode(bytes_of(big, sizeof big), &m), E_TOO_BIG);
    m = (struct relay_message){
        .type = RELAY_STATUS, .has_reservation = true, .voucher = bytes_of(big, 4090)};
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(relay_hop_encode(&m, &b), E_TOO_BIG);
    assert_int_equal(buf_len(&b), 0);
    buf_fini(&b);
}

static void every_cut_is_refused_or_another_message(void **state)
{
    struct bytes whole = BYTES_LIT("\x08\x02"
                                   "\x1a\x14\x08\x80\xe2\xcf\xaa\x06"
                                   "\x12\x08\x04\x7f\x00\x00\x01\x06\x0f\xa1"
                                   "\x1a\x02vv\x22\x02\x08\x01\x28\x64");
    static const size_t borders[] = {2, 24, 28, 30};
    struct relay_message m;
    for (size_t n = 0; n < whole.n; n++) {
        bool is_border = false;
        for (size_t i = 0; i < 4; i++)
            is_border |= borders[i] == n;
        assert_int_equal(relay_hop_decode(bytes_first(whole, n), &m), is_border ? 0 : E_MALFORMED);
    }
}

/* --- the voucher --- */

static void a_voucher_says_who_holds_what(void **state)
{
    struct rng rng;
    struct key_pair relay;
    struct relay_voucher v;
    struct peer_id peer = an_id();
    struct buf b;
    rng_init_seeded(&rng, 1);
    key_pair_generate(&relay, &rng);
    buf_init(&b, 0);
    assert_int_equal(relay_voucher_seal(&relay, &peer, 1700000000, &b), 0);
    assert_int_equal(relay_voucher_open(buf_view(&b), &v), 0);
    assert_true(peer_id_eq(&v.relay, &relay.id));
    assert_true(peer_id_eq(&v.peer, &peer));
    assert_int_equal(v.expires_s, 1700000000);
    for (size_t i = 0; i < buf_len(&b); i++) { /* no byte of it may be another */
        uint8_t *at = (uint8_t *)buf_view(&b).p + i;
        *at ^= 1;
        assert_int_not_equal(relay_voucher_open(buf_view(&b), &v), 0);
        *at ^= 1;
    }
    buf_fini(&b);
    key_pair_fini(&relay);
}

/* --- off a stream --- */

struct wire {
    struct fake_world world;
    struct fake_stream *a, *b;
    struct message_read in;
};

static void wire_init(struct wire *w)
{
    fake_world_init(&w->world);
    fake_pair(&w->world, SIZE_MAX, &w->a, &w->b);
    message_read_init(&w->in);
}

static void wire_fini(struct wire *w)
{
    stream_close(&w->a->s);
    stream_close(&w->b->s);
    fake_world_fini(&w->world);
}

static void send_bytes(struct wire *w, struct bytes b)
{
    assert_int_equal(stream_write(&w->a->s, b), b.n);
    fake_world_run(&w->world);
}

static void one_message_and_no_byte_more_at_every_split(void **state)
{
    struct bytes all = BYTES_LIT("\x03"
                                 "abc"
                                 "\x02"
                                 "de"
                                 "rest");
    for (size_t cut = 0; cut <= all.n; cut++) {
        struct wire w;
        struct bytes m;
        char rest[8];
        wire_init(&w);
        if (cut)
            send_bytes(&w, bytes_first(all, cut));
        int err = message_read_step(&w.in, &w.b->s, &m);
        assert_int_equal(err, cut >= 4 ? 0 : E_AGAIN);
        if (cut < all.n)
            send_bytes(&w, bytes_skip(all, cut));
        if (err)
            assert_int_equal(message_read_step(&w.in, &w.b->s, &m), 0);
        assert_true(bytes_eq_str(m, "abc"));
        message_read_init(&w.in);
        assert_int_equal(message_read_step(&w.in, &w.b->s, &m), 0);
        assert_true(bytes_eq_str(m, "de"));
        assert_int_equal(stream_read(&w.b->s, rest, sizeof rest), 4);
        wire_fini(&w);
    }
}

static void lengths_that_cannot_be_are_refused_at_once(void **state)
{
    static const struct {
        struct bytes in;
        int err;
    } cases[] = {
        {BYTES_LIT("\x00"), E_MALFORMED},
        {BYTES_LIT("\x81\x20"), E_TOO_BIG}, /* 4097 */
        {BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), E_TOO_BIG},
        {BYTES_LIT("\x80\x00"), E_MALFORMED},
        {BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), E_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire w;
        struct bytes m;
        wire_init(&w);
        send_bytes(&w, cases[i].in);
        assert_int_equal(message_read_step(&w.in, &w.b->s, &m), cases[i].err);
        wire_fini(&w);
    }
    struct wire w;
    struct bytes m;
    wire_init(&w);
    send_bytes(&w, BYTES_LIT("\x05"
                             "ab"));
    stream_finish(&w.a->s);
    fake_world_run(&w.world);
    assert_int_equal(message_read_step(&w.in, &w.b->s, &m), E_EOF);
    wire_fini(&w);
}

int main(void)
{
    trace_set_all(TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserve_is_three_bytes),
        cmocka_unit_test(connect_names_the_peer),
        cmocka_unit_test(status_carries_the_reservation),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(unknown_fields_are_skipped_and_addresses_bounded),
        cmocka_unit_test(a_message_is_bounded),
        cmocka_unit_test(every_cut_is_refused_or_another_message),
        cmocka_unit_test(a_voucher_says_who_holds_what),
        cmocka_unit_test(one_message_and_no_byte_more_at_every_split),
        cmocka_unit_test(lengths_that_cannot_be_are_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
