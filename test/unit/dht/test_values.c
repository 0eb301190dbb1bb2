// SPDX-License-Identifier: MIT
/* Signed values: the bytes, every way to be wrong, the store and its limits, and put and get among nodes. */
#include "dht_world.h"

#include "codec/cbor.h"
#include "codec/envelope.h"

enum { HOUR_MS = 3600 * 1000 };

struct signer {
    struct key_pair key;
    char text[LIMIT_DHT_KEY + 1];
    struct bytes at; /* its key in the DHT */
};

static void signer_init(struct signer *s, uint8_t n)
{
    uint8_t seed[32] = {n, 1};
    key_pair_from_seed(&s->key, seed);
    int len = dht_record_key("node", &s->key.id, s->text);
    assert_true(len > 0);
    s->at = bytes_of(s->text, (size_t)len);
}

static struct bytes sign(const struct signer *s, uint64_t seq, uint64_t expires_ms,
                         const char *body, struct buf *out)
{
    buf_clear(out);
    assert_int_equal(dht_record_sign(&s->key, "node", seq, expires_ms, bytes_str(body), out), 0);
    return buf_view(out);
}

static void what_is_signed_is_read(void **state)
{
    struct signer s;
    struct buf v;
    struct dht_record r;
    buf_init(&v, 0);
    signer_init(&s, 1);
    assert_memory_equal(s.text, "/conduit/node/12D3Koo", 21);
    struct bytes value = sign(&s, 7, HOUR_MS, "hello", &v);
    assert_int_equal(dht_record_check(s.at, value, 1, &r), 0);
    assert_int_equal(r.seq, 7);
    assert_int_equal(r.expires_ms, HOUR_MS);
    assert_true(bytes_eq_str(r.body, "hello"));
    assert_true(peer_id_eq(&r.peer, &s.key.id));
    assert_int_equal(dht_record_key("offer", &s.key.id, s.text), E_UNSUPPORTED);
    buf_fini(&v);
}

static void every_way_to_be_wrong(void **state)
{
    struct signer s, other;
    struct buf v, big;
    struct dht_record r;
    buf_init(&v, 0);
    buf_init(&big, 0);
    signer_init(&s, 1);
    signer_init(&other, 2);
    struct bytes value = sign(&s, 7, HOUR_MS, "hello", &v);
    static const struct {
        const char *key;
        int err;
    } keys[] = {{"/pk/x", E_UNSUPPORTED},
                {"/conduit/offer/12D3KooWx", E_UNSUPPORTED},
                {"/conduit/node", E_UNSUPPORTED},
                {"/conduit/node/", E_MALFORMED},
                {"/conduit/node/nobody", E_MALFORMED},
                {"", E_UNSUPPORTED}};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        assert_int_equal(dht_record_check(bytes_str(keys[i].key), value, 1, &r), keys[i].err);
    assert_int_equal(dht_record_check(other.at, value, 1, &r), E_WRONG_PEER);
    assert_int_equal(dht_record_check(s.at, value, HOUR_MS, &r), E_EXPIRED);
    assert_int_equal(dht_record_check(s.at, value, HOUR_MS - 1, &r), 0);
    value = sign(&s, 7, LIMIT_DHT_VALUE_LIFETIME_MS + 2, "x", &v);
    assert_int_equal(dht_record_check(s.at, value, 1, &r), E_LIMIT);
    assert_int_equal(dht_record_check(s.at, value, 2, &r), 0);
    char body[LIMIT_DHT_VALUE] = {0};
    assert_int_equal(dht_record_sign(&s.key, "node", 1, HOUR_MS, bytes_of(body, sizeof body), &big),
                     E_TOO_BIG);
    assert_int_equal(dht_record_check(s.at, buf_view(&big), 1, &r), E_TOO_BIG);
    assert_int_equal(dht_record_sign(&s.key, "pk", 1, HOUR_MS, BYTES_LIT(""), &big), E_UNSUPPORTED);
    /* one character of it changed, anywhere; or cut, anywhere */
    value = sign(&s, 7, HOUR_MS, "hello", &v);
    for (size_t i = 0; i < value.n; i++) {
        uint8_t *p = (uint8_t *)value.p + i;
        *p ^= 1;
        assert_int_not_equal(dht_record_check(s.at, value, 1, &r), 0);
        *p ^= 1;
        assert_int_not_equal(dht_record_check(s.at, bytes_first(value, i), 1, &r), 0);
    }
    buf_fini(&v);
    buf_fini(&big);
}

/* A good signature of something else: another key in the payload, another domain, another shape. */
static void a_good_signature_is_not_enough(void **state)
{
    struct signer s, other;
    struct buf v, payload;
    struct dht_record r;
    struct cbor_writer w;
    buf_init(&v, 0);
    buf_init(&payload, 0);
    signer_init(&s, 1);
    signer_init(&other, 2);
    for (int i = 0; i < 4; i++) {
        buf_clear(&v);
        buf_clear(&payload);
        cbor_writer_init(&w, &payload);
        cbor_put_map(&w, i == 2 ? 3 : 4);
        cbor_put_uint(&w, 1);
        cbor_put_str(&w, i == 0 ? other.text : s.text);
        for (uint64_t f = 2; f < 4; f++) {
            cbor_put_uint(&w, f);
            cbor_put_uint(&w, HOUR_MS);
        }
        if (i != 2) {
            cbor_put_uint(&w, 4);
            cbor_put_bytes(&w, BYTES_LIT("x"));
        }
        assert_int_equal(cbor_writer_finish(&w), 0);
        envelope_seal(&s.key, i == 1 ? "libp2p-peer-record" : "conduit-dht-record",
                      i == 3 ? BYTES_LIT("/other") : BYTES_LIT("/conduit/dht-record"),
                      buf_view(&payload), &v);
        static const int errs[] = {E_WRONG_PEER, E_AUTH, E_MALFORMED, E_MALFORMED};
        assert_int_equal(dht_record_check(s.at, buf_view(&v), 1, &r), errs[i]);
    }
    buf_fini(&v);
    buf_fini(&payload);
}

static void the_better_one_is_the_same_for_all(void **state)
{
    struct dht_record a = {.seq = 2, .expires_ms = 5}, b = {.seq = 1, .expires_ms = 9};
    assert_true(dht_record_cmp(&a, BYTES_LIT("a"), &b, BYTES_LIT("b")) > 0);
    b.seq = 2;
    assert_true(dht_record_cmp(&a, BYTES_LIT("a"), &b, BYTES_LIT("b")) < 0);
    b.expires_ms = 5;
    assert_true(dht_record_cmp(&a, BYTES_LIT("a"), &b, BYTES_LIT("b")) < 0);
    assert_true(dht_record_cmp(&a, BYTES_LIT("bb"), &b, BYTES_LIT("b")) > 0);
    assert_int_equal(dht_record_cmp(&a, BYTES_LIT("b"), &b, BYTES_LIT("b")), 0);
}

/* --- the store --- */

static void an_old_one_does_not_come_back(void **state)
{
    struct signer s;
    struct dht_values v;
    struct dht_key self = {0};
    struct buf old, fresh;
    buf_init(&old, 0);
    buf_init(&fresh, 0);
    signer_init(&s, 1);
    dht_values_init(&v, &self, 1);
    sign(&s, 1, HOUR_MS, "old", &old);
    sign(&s, 2, HOUR_MS, "new", &fresh);
    assert_int_equal(dht_values_put(&v, s.at, buf_view(&old), 1), 0);
    assert_int_equal(dht_values_put(&v, s.at, buf_view(&fresh), 1), 0);
    assert_int_equal(dht_values_put(&v, s.at, buf_view(&fresh), 1), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(dht_values_put(&v, s.at, buf_view(&old), 1), E_DUPLICATE);
    assert_true(bytes_eq_str(dht_values_get(&v, s.at, 1)->record.body, "new"));
    assert_null(dht_values_get(&v, s.at, HOUR_MS));
    dht_values_expire(&v, HOUR_MS);
    assert_int_equal(map_count(&v.by_key), 0);
    dht_values_fini(&v);
    buf_fini(&old);
    buf_fini(&fresh);
}

/* More names than places: the nearest to us stay, whoever came first. */
static void a_flood_keeps_the_nearest(void **state)
{
    struct dht_values v;
    struct signer honest;
    struct dht_key self;
    struct buf b;
    size_t refused = 0;
    buf_init(&b, 0);
    signer_init(&honest, 200);
    self = dht_key_of(honest.at); /* it belongs here */
    dht_values_init(&v, &self, 1);
    for (uint32_t i = 0; i < LIMIT_DHT_VALUES + 300; i++) {
        struct signer s;
        uint8_t seed[32] = {9, (uint8_t)(i >> 8), (uint8_t)i};
        key_pair_from_seed(&s.key, seed);
        s.at = bytes_of(s.text, (size_t)dht_record_key("node", &s.key.id, s.text));
        int err = dht_values_put(&v, s.at, sign(&s, 1, HOUR_MS, "x", &b), 1);
        assert_true(err == 0 || err == E_LIMIT);
        refused += err == E_LIMIT;
    }
    assert_int_equal(map_count(&v.by_key), LIMIT_DHT_VALUES);
    assert_in_range(refused, 1, 299);
    assert_int_equal(dht_values_put(&v, honest.at, sign(&honest, 1, HOUR_MS, "x", &b), 1), 0);
    assert_int_equal(map_count(&v.by_key), LIMIT_DHT_VALUES);
    assert_non_null(dht_values_get(&v, honest.at, 1));
    dht_values_fini(&v);
    buf_fini(&b);
}

/* --- among nodes --- */

struct got {
    int values, done, err;
    uint64_t seq;
};

static void on_value(void *ctx, struct bytes value, const struct dht_record *record)
{
    struct got *g = ctx;
    g->values++;
    g->seq = record->seq;
}

static void on_got(void *ctx, int err)
{
    struct got *g = ctx;
    g->done++;
    g->err = err;
}

static void put_and_get(void **state)
{
    struct world *w = world_new(25, 1);
    struct signer s;
    struct buf v;
    struct got g = {0};
    buf_init(&v, 0);
    signer_init(&s, 1);
    for (int i = 1; i < 25; i++)
        meet(&w->nodes[0], &w->nodes[i]);
    run_for(w, 10 * US_PER_S);
    assert_int_equal(dht_put_value(w->nodes[1].d, s.at, BYTES_LIT("rubbish")), E_MALFORMED);
    assert_int_equal(dht_put_value(w->nodes[1].d, s.at, sign(&s, 1, HOUR_MS, "one", &v)), 0);
    run_for(w, 10 * US_PER_S);
    int holders = 0;
    for (int i = 0; i < 25; i++)
        holders += dht_stats(w->nodes[i].d).values == 1;
    assert_in_range(holders, 15, 25);
    dht_get_value(w->nodes[2].d, s.at, on_value, on_got, &g);
    assert_int_equal(g.done, 0);
    run_for(w, 10 * US_PER_S);
    assert_int_equal(g.done, 1);
    assert_int_equal(g.err, 0);
    assert_int_equal(g.values, 1);
    assert_int_equal(g.seq, 1);
    /* one has a newer one, and everybody else is put right by whoever asks */
    assert_int_equal(
        dht_values_put(&w->nodes[5].d->values, s.at, sign(&s, 2, HOUR_MS, "two", &v), 1), 0);
    g = (struct got){0};
    for (int i = 6; i < 12 && g.seq != 2; i++) {
        g = (struct got){0};
        dht_get_value(w->nodes[i].d, s.at, on_value, on_got, &g);
        run_for(w, 10 * US_PER_S);
    }
    assert_int_equal(g.seq, 2);
    int corrected = 0;
    for (int i = 0; i < 25; i++) {
        const struct dht_value *have = dht_values_get(&w->nodes[i].d->values, s.at, w->s.wall_ms);
        corrected += have && have->record.seq == 2;
    }
    assert_in_range(corrected, 6, 25);
    struct signer nobody;
    signer_init(&nobody, 77);
    g = (struct got){0};
    dht_get_value(w->nodes[2].d, nobody.at, on_value, on_got, &g);
    run_for(w, 10 * US_PER_S);
    assert_int_equal(g.values, 0);
    assert_int_equal(g.err, E_NOT_FOUND);
    buf_fini(&v);
    world_free(w);
}

static int has_a_forged_one(struct node *n, const struct dht_message *m, struct buf *reply)
{
    dht_message_begin(reply, (enum dht_type)m->type, m->key);
    return dht_message_put_value(reply, m->key, BYTES_LIT("\x0a\x00 no such thing"));
}

/* What a liar answers is not told to the user, and does not stop the others' from being. */
static void a_forged_answer_is_passed_over(void **state)
{
    struct world *w = world_new(10, 1);
    struct signer s;
    struct buf v;
    struct got g = {0};
    buf_init(&v, 0);
    signer_init(&s, 1);
    for (int i = 1; i < 10; i++)
        meet(&w->nodes[0], &w->nodes[i]);
    run_for(w, 10 * US_PER_S);
    dht_put_value(w->nodes[1].d, s.at, sign(&s, 1, HOUR_MS, "one", &v));
    run_for(w, 10 * US_PER_S);
    for (int i = 3; i < 7; i++)
        w->nodes[i].lie = has_a_forged_one;
    dht_values_remove(&w->nodes[2].d->values, s.at);
    dht_get_value(w->nodes[2].d, s.at, on_value, on_got, &g);
    run_for(w, 10 * US_PER_S);
    assert_int_equal(g.values, 1);
    assert_int_equal(g.seq, 1);
    buf_fini(&v);
    world_free(w);
}

static void a_server_keeps_what_it_can_check(void **state)
{
    struct world *w = world_new(2, 1);
    struct node *me = &w->nodes[0], *you = &w->nodes[1];
    struct signer s;
    struct buf v, m, reply;
    struct dht_message got;
    struct bytes value;
    buf_init(&v, 0);
    buf_init(&m, 0);
    buf_init(&reply, 0);
    signer_init(&s, 1);
    sign(&s, 1, HOUR_MS, "one", &v);
    dht_message_begin(&m, DHT_PUT_VALUE, s.at);
    dht_message_put_value(&m, s.at, buf_view(&v));
    assert_int_equal(dht_serve(me->d, &you->id, NULL, buf_view(&m), &reply), 0);
    assert_true(bytes_eq(buf_view(&reply), buf_view(&m))); /* the request is the answer */
    buf_clear(&reply);
    assert_int_equal(serve(me, you, DHT_GET_VALUE, s.at, &reply), 0);
    assert_int_equal(dht_message_decode(buf_view(&reply), &got), 0);
    assert_int_equal(dht_message_value(&got, &value), 0);
    assert_true(bytes_eq(value, buf_view(&v)));
    /* for another key than the message's; under a namespace that nobody here can check */
    buf_clear(&m);
    buf_clear(&reply);
    dht_message_begin(&m, DHT_PUT_VALUE, BYTES_LIT("/conduit/node/x"));
    dht_message_put_value(&m, s.at, buf_view(&v));
    assert_int_equal(dht_serve(me->d, &you->id, NULL, buf_view(&m), &reply), E_MALFORMED);
    buf_clear(&m);
    dht_message_begin(&m, DHT_PUT_VALUE, BYTES_LIT("/pk/x"));
    dht_message_put_value(&m, BYTES_LIT("/pk/x"), buf_view(&v));
    assert_int_equal(dht_serve(me->d, &you->id, NULL, buf_view(&m), &reply), E_UNSUPPORTED);
    assert_int_equal(dht_stats(me->d).values, 1);
    buf_fini(&v);
    buf_fini(&m);
    buf_fini(&reply);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_is_read),
        cmocka_unit_test(every_way_to_be_wrong),
        cmocka_unit_test(a_good_signature_is_not_enough),
        cmocka_unit_test(the_better_one_is_the_same_for_all),
        cmocka_unit_test(an_old_one_does_not_come_back),
        cmocka_unit_test(a_flood_keeps_the_nearest),
        cmocka_unit_test(put_and_get),
        cmocka_unit_test(a_forged_answer_is_passed_over),
        cmocka_unit_test(a_server_keeps_what_it_can_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
