// SPDX-License-Identifier: MIT
/* The catalogue: newer replaces older, expiry, eviction by use, limits, names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/limits.h"
#include "offer/catalogue.h"

#include <stdio.h>

static struct offer make(unsigned peer, unsigned id, uint64_t seq)
{
    struct offer o = {.peer = {.len = 4, .b = {0, 2, (uint8_t)peer, (uint8_t)(peer >> 8)}},
                      .seq = seq,
                      .protocol = "openai",
                      .model = "llama3:8b",
                      .alias = {"stem"},
                      .quant = "Q4_K_M",
                      .has_digest = true,
                      .digest = {0xab, 0xcd, 0xef, 0x01},
                      .abilities = OFFER_CHAT,
                      .expires_ms = 1000 + peer};
    snprintf(o.id, sizeof o.id, "o%u", id);
    return o;
}

static void newer_replaces_older(void **state)
{
    struct catalogue c;
    catalogue_init(&c, 1);
    struct offer o = make(1, 1, 5);
    assert_int_equal(catalogue_put(&c, &o, false), 0);
    uint64_t changes = c.changes;
    assert_int_equal(catalogue_put(&c, &o, false), E_DUPLICATE);
    o.seq = 4;
    assert_int_equal(catalogue_put(&c, &o, false), E_DUPLICATE);
    assert_true(c.changes == changes);
    o.seq = 6;
    o.context = 77;
    assert_int_equal(catalogue_put(&c, &o, false), 0);
    assert_true(c.changes > changes);
    assert_int_equal(catalogue_next(&c, NULL)->offer.context, 77);
    assert_int_equal(catalogue_withdraw(&c, &o.peer, "o9"), E_NOT_FOUND);
    assert_int_equal(catalogue_withdraw(&c, &o.peer, "o1"), 0);
    assert_null(catalogue_next(&c, NULL));
    catalogue_fini(&c);
}

/* What its peer took back comes back as a new one only, however often the old one is sent. */
static void what_was_withdrawn_stays_withdrawn(void **state)
{
    struct catalogue c;
    catalogue_init(&c, 1);
    struct offer o = make(1, 1, 5), older = make(1, 1, 4), newer = make(1, 1, 6);
    assert_int_equal(catalogue_put(&c, &o, false), 0);
    assert_int_equal(catalogue_withdraw(&c, &o.peer, "o1"), 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(catalogue_put(&c, &o, false), E_DUPLICATE);
        assert_int_equal(catalogue_put(&c, &older, false), E_DUPLICATE);
    }
    assert_null(catalogue_next(&c, NULL));
    assert_int_equal(catalogue_peer_count(&c), 0);
    assert_int_equal(catalogue_put(&c, &newer, false), 0);
    assert_int_equal(map_count(&c.gone), 0);
    catalogue_drop_peer(&c, &o.peer); /* disconnected: that says nothing about its offers */
    assert_int_equal(catalogue_put(&c, &newer, false), 0);
    /* only so many are remembered */
    for (unsigned i = 0; i < LIMIT_CATALOGUE_GONE + 100; i++) {
        struct offer many = make(i + 2, 1, 1);
        assert_int_equal(catalogue_put(&c, &many, false), 0);
        assert_int_equal(catalogue_withdraw(&c, &many.peer, "o1"), 0);
    }
    assert_int_equal(map_count(&c.gone), LIMIT_CATALOGUE_GONE);
    catalogue_fini(&c);
}

static void expiry_and_order(void **state)
{
    struct catalogue c;
    unsigned seen = 0;
    catalogue_init(&c, 1);
    for (unsigned p = 1; p <= 3; p++)
        for (unsigned id = 1; id <= 2; id++) {
            struct offer o = make(p, id, 1);
            assert_int_equal(catalogue_put(&c, &o, p == 3), 0);
        }
    static const unsigned order[] = {3, 3, 1, 1, 2, 2}; /* own first, then by age */
    for (const struct catalogue_offer *o = NULL; (o = catalogue_next(&c, o));)
        assert_int_equal(o->offer.peer.b[2], order[seen++]);
    assert_int_equal(seen, 6);
    assert_int_equal(catalogue_expire(&c, 1000), 1001);
    assert_int_equal(catalogue_expire(&c, 1002), 1003);
    assert_int_equal(catalogue_peer_count(&c), 1);
    catalogue_fini(&c);
}

static void limits_and_eviction(void **state)
{
    struct catalogue c;
    catalogue_init(&c, 1);
    struct offer own = make(60000, 1, 1);
    assert_int_equal(catalogue_put(&c, &own, true), 0);
    for (unsigned i = 0; i <= LIMIT_OFFERS_PER_PEER; i++) {
        struct offer o = make(1, i, 1);
        assert_int_equal(catalogue_put(&c, &o, false), i < LIMIT_OFFERS_PER_PEER ? 0 : E_LIMIT);
    }
    for (unsigned p = 2; p < LIMIT_CATALOGUE_PEERS + 50; p++) {
        struct offer o = make(p, 1, 1);
        assert_int_equal(catalogue_put(&c, &o, false), 0);
        struct offer used = make(2, 1, 1);
        catalogue_touch(&c, &used.peer);
    }
    assert_true(catalogue_peer_count(&c) <= LIMIT_CATALOGUE_PEERS);
    assert_int_equal(catalogue_withdraw(&c, &own.peer, "o1"), 0); /* never evicted */
    struct offer used = make(2, 1, 1), old = make(3, 1, 1);
    assert_int_equal(catalogue_withdraw(&c, &used.peer, "o1"), 0); /* used: kept */
    assert_int_equal(catalogue_withdraw(&c, &old.peer, "o1"), E_NOT_FOUND);
    catalogue_fini(&c);
}

static void names(void **state)
{
    struct offer o = make(1, 1, 1);
    static const char *const good[] = {"llama3:8b",
                                       "stem",
                                       "llama3:8b:q4_k_m",
                                       "stem:Q4_K_M",
                                       "stem@sha256:abcdef01",
                                       "llama3:8b:Q4_K_M@sha256:ABCDEF0100"};
    static const char *const bad[] = {
        "llama3",         "",     "stem:Q8_0",           "stem@sha256:abcdef02",
        "stem@sha256:ab", "STEM", "stem@sha256:abcdefzz"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!catalogue_is_named(&o, bytes_str(good[i])))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (catalogue_is_named(&o, bytes_str(bad[i])))
            fail_msg("%s", bad[i]);
    assert_true(catalogue_is_any(bytes_str("auto")) && catalogue_is_any(bytes_str("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newer_replaces_older),
        cmocka_unit_test(what_was_withdrawn_stays_withdrawn),
        cmocka_unit_test(expiry_and_order),
        cmocka_unit_test(limits_and_eviction),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
