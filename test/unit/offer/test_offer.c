// SPDX-License-Identifier: MIT
/* The signed offer: round trip, its bytes word by word, and what must be refused: forged, changed in
 * any byte, cut, of another peer, expired, oversized, in another encoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/cbor.h"
#include "codec/json.h"
#include "codec/multibase.h"
#include "offer/offer.h"
#include "offer/offer_wire.h"

#include <stdio.h>
#include <stdlib.h>

enum { NOW = 1000000 };

static struct key_pair key_of(uint8_t n)
{
    uint8_t seed[32] = {n};
    struct key_pair k;
    key_pair_from_seed(&k, seed);
    return k;
}

static struct offer full(const struct key_pair *k)
{
    struct offer o = {.peer = k->id,
                      .id = "tiny",
                      .seq = 3,
                      .protocol = "openai",
                      .model = "conduit-tiny",
                      .alias = {"tiny", "stem"},
                      .has_digest = true,
                      .digest = {1, 2, 3},
                      .quant = "Q4_K_M",
                      .context = 2048,
                      .abilities = OFFER_CHAT | OFFER_TOOLS,
                      .max_concurrent = 4,
                      .requests_per_minute = 60,
                      .price_in_micro = 100,
                      .price_out_micro = 500,
                      .hours_start = 1320,
                      .hours_end = 360,
                      .region = "eu",
                      .expires_ms = NOW + 60000};
    return o;
}

static struct buf signed_by(const struct offer *o, const struct key_pair *k)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(offer_sign(o, k, &b), 0);
    return b;
}

static void round_trips(void **state)
{
    struct key_pair k = key_of(1);
    struct offer o = full(&k), back;
    struct buf b = signed_by(&o, &k), again;
    assert_int_equal(offer_verify(buf_view(&b), &k.id, NOW, &back), 0);
    assert_memory_equal(&o, &back, sizeof o);
    again = signed_by(&back, &k);
    assert_true(bytes_eq(buf_view(&b), buf_view(&again))); /* one offer, one encoding */
    buf_fini(&again);
    buf_fini(&b);
    struct offer small = {
        .peer = k.id, .id = "x", .protocol = "openai", .model = "m", .expires_ms = NOW + 1};
    b = signed_by(&small, &k);
    assert_int_equal(offer_verify(buf_view(&b), NULL, NOW, &back), 0);
    assert_memory_equal(&small, &back, sizeof small);
    buf_fini(&b);
}

static void its_bytes(void **state)
{
    struct key_pair k = key_of(1);
    struct offer o = {.peer = k.id,
                      .id = "x",
                      .seq = 1,
                      .protocol = "openai",
                      .model = "m",
                      .context = 512,
                      .abilities = OFFER_CHAT,
                      .expires_ms = 1000};
    struct buf b = signed_by(&o, &k);
    char hex[1024], want[1024], key[80];
    hex_format(buf_view(&b), hex);
    hex_format(bytes_of(k.id.b, k.id.len), key);
    snprintf(want, sizeof want,
             "835847a6015826%s0261780301041903e805666f70656e6169064aa301616d04190200"
             "0501405840",
             key);
    hex[strlen(want)] = 0;
    assert_string_equal(hex, want);
    buf_fini(&b);
}

static void every_change_and_cut_is_refused(void **state)
{
    struct key_pair k = key_of(1);
    struct offer o = full(&k), back;
    struct buf b = signed_by(&o, &k);
    for (size_t i = 0; i < buf_len(&b); i++) {
        b.base[b.head + i] ^= 0x04;
        assert_int_not_equal(offer_verify(buf_view(&b), NULL, NOW, &back), 0);
        assert_int_equal(back.id[0], 0); /* and nothing of it is left */
        b.base[b.head + i] ^= 0x04;
    }
    for (size_t cut = 0; cut < buf_len(&b); cut++)
        assert_int_equal(offer_verify(bytes_first(buf_view(&b), cut), NULL, NOW, &back),
                         E_MALFORMED);
    assert_int_equal(offer_verify(buf_view(&b), NULL, NOW, &back), 0);
    buf_fini(&b);
}

static void other_peers_and_times(void **state)
{
    struct key_pair k = key_of(1), thief = key_of(2);
    struct offer o = full(&k), back;
    struct buf b = signed_by(&o, &k), forged, bare;
    assert_int_equal(offer_verify(buf_view(&b), &thief.id, NOW, &back), E_WRONG_PEER);
    assert_int_equal(offer_verify(buf_view(&b), NULL, o.expires_ms - 1, &back), 0);
    assert_int_equal(offer_verify(buf_view(&b), NULL, o.expires_ms, &back), E_EXPIRED);
    assert_int_equal(offer_sign(&o, &thief, &b), E_INVALID);
    buf_fini(&b);
    o.expires_ms = NOW + LIMIT_OFFER_LIFETIME_MS + 1;
    b = signed_by(&o, &k);
    assert_int_equal(offer_verify(buf_view(&b), NULL, NOW, &back), E_LIMIT);

    /* the thief signs k's offer, and shows his own key beside it, or none */
    struct cbor_reader r;
    struct bytes inner;
    size_t n;
    uint8_t pub[KEY_PUBLIC_MESSAGE], sig[KEY_SIG_SIZE];
    cbor_reader_init(&r, buf_view(&b));
    cbor_get_array(&r, 3, &n);
    cbor_get_bytes(&r, LIMIT_OFFER, &inner);
    buf_init(&forged, 0);
    buf_init(&bare, 0);
    offer_signed_bytes(inner, &bare);
    key_sign(&thief, buf_view(&bare), sig);
    key_pair_public_message(&thief, pub);
    for (int with_key = 0; with_key < 2; with_key++) {
        struct cbor_writer w;
        buf_clear(&forged);
        cbor_writer_init(&w, &forged);
        cbor_put_array(&w, 3);
        cbor_put_bytes(&w, inner);
        cbor_put_bytes(&w, bytes_of(pub, with_key ? sizeof pub : 0));
        cbor_put_bytes(&w, bytes_of(sig, sizeof sig));
        assert_int_equal(offer_verify(buf_view(&forged), NULL, NOW, &back),
                         with_key ? E_WRONG_PEER : E_AUTH);
    }
    buf_fini(&bare);
    buf_fini(&forged);
    buf_fini(&b);
}

/* An offer with a member written by hand at the end, signed well. */
static int verify_with(const struct key_pair *k, uint64_t key, const char *text, struct offer *out)
{
    struct buf inner, message, all;
    struct cbor_writer w;
    uint8_t sig[KEY_SIG_SIZE];
    buf_init(&inner, 0);
    buf_init(&message, 0);
    buf_init(&all, 0);
    cbor_writer_init(&w, &inner);
    cbor_put_map(&w, 5);
    cbor_put_uint(&w, 1);
    cbor_put_bytes(&w, peer_id_bytes(&k->id));
    cbor_put_uint(&w, 2);
    cbor_put_str(&w, "id");
    cbor_put_uint(&w, 4);
    cbor_put_uint(&w, NOW + 1);
    cbor_put_uint(&w, 5);
    cbor_put_str(&w, "echo/1");
    cbor_put_uint(&w, key);
    cbor_put_str(&w, text);
    assert_int_equal(cbor_writer_finish(&w), 0);
    offer_signed_bytes(buf_view(&inner), &message);
    key_sign(k, buf_view(&message), sig);
    cbor_writer_init(&w, &all);
    cbor_put_array(&w, 3);
    cbor_put_bytes(&w, buf_view(&inner));
    cbor_put_bytes(&w, bytes_of("", 0));
    cbor_put_bytes(&w, bytes_of(sig, sizeof sig));
    int err = offer_verify(buf_view(&all), NULL, NOW, out);
    buf_fini(&inner);
    buf_fini(&message);
    buf_fini(&all);
    return err;
}

static void the_future_and_the_malicious(void **state)
{
    struct key_pair k = key_of(1);
    struct offer o;
    assert_int_equal(verify_with(&k, 99, "of a later version", &o), 0);
    assert_string_equal(o.protocol, "echo/1");
    assert_int_equal(verify_with(&k, OFFER_KEY_REGION, "eu", &o), 0);
    assert_int_equal(verify_with(&k, OFFER_KEY_REGION, "a\nb", &o), E_MALFORMED);
    assert_int_equal(verify_with(&k, OFFER_KEY_REGION, "longer than a region may be", &o),
                     E_TOO_BIG);
    assert_int_equal(verify_with(&k, OFFER_KEY_HOURS, "late", &o), E_MALFORMED);
    uint8_t *big = mem_new(LIMIT_OFFER + 1);
    assert_int_equal(offer_verify(bytes_of(big, LIMIT_OFFER + 1), NULL, NOW, &o), E_TOO_BIG);
    free(big);
}

static void the_view_for_people(void **state)
{
    struct key_pair k = key_of(1);
    struct offer o = full(&k);
    struct buf b;
    struct json_doc *d;
    buf_init(&b, 0);
    assert_int_equal(offer_json(&o, &b), 0);
    assert_int_equal(json_parse(buf_view(&b), 4096, &d, NULL), 0);
    assert_true(json_is_str(json_get(json_root(d), "model"), "conduit-tiny"));
    assert_true(json_is_str(json_get(json_root(d), "hours_utc"), "22:00-06:00"));
    assert_int_equal(json_count(json_get(json_root(d), "abilities")), 2);
    assert_int_equal(json_count(json_get(json_root(d), "aliases")), 2);
    json_free(d);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(its_bytes),
        cmocka_unit_test(every_change_and_cut_is_refused),
        cmocka_unit_test(other_peers_and_times),
        cmocka_unit_test(the_future_and_the_malicious),
        cmocka_unit_test(the_view_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
