// SPDX-License-Identifier: MIT
/* Who is used and who is served: each reason alone, and the stranger in the café against all of them. */
#include "base/limits.h"
#include "guard/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct peer_id id_of(unsigned n)
{
    struct peer_id id = {.len = 38, .b = {0, 36, 8, 1, 18, 32, (uint8_t)n, (uint8_t)(n >> 8)}};
    return id;
}

static void each_reason(void **state)
{
    static const struct {
        enum trust_reason why;
        bool used, served_as_stranger, from_lan;
        const char *word;
    } rows[] = {
        {TRUST_LAN, false, false, true, "lan"},
        {TRUST_BOOTSTRAP, true, true, false, "bootstrap"},
        {TRUST_INVITE, true, true, false, "invite"},
        {TRUST_ALLOWED, true, true, false, "allowed"},
        {TRUST_NETWORK, true, false, false, "network"},
        {TRUST_LOCAL, true, false, false, "this machine"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int lan = 0; lan < 2; lan++) { /* alone, and for a peer that is on the LAN too */
            struct trust t;
            struct peer_id p = id_of(1);
            trust_init(&t, false, false, 1);
            if (lan)
                trust_add(&t, &p, TRUST_LAN);
            trust_add(&t, &p, rows[i].why);
            assert_int_equal(trust_may_use(&t, &p), rows[i].used);
            assert_int_equal(trust_may_serve(&t, &p, true), rows[i].served_as_stranger);
            assert_true(trust_may_serve(&t, &p, false)); /* it names us */
            assert_int_equal(trust_is_from_lan(&t, &p), rows[i].from_lan);
            if (!lan)
                assert_string_equal(trust_source(&t, &p), rows[i].word);
            trust_remove(&t, &p, rows[i].why);
            assert_false(trust_may_use(&t, &p));
            trust_fini(&t);
        }
}

static void open_and_private_are_for_everybody(void **state)
{
    struct peer_id p = id_of(1);
    for (int private = 0; private < 2; private ++) {
        struct trust t;
        trust_init(&t, !private, private, 1);
        trust_add(&t, &p, TRUST_LAN);
        assert_true(trust_may_use(&t, &p));
        assert_true(trust_may_serve(&t, &p, true));
        assert_false(trust_is_stranger(&t, &p));
        /* An open node still tells others how it found them; in a private network it is no matter. */
        assert_int_equal(trust_is_from_lan(&t, &p), !private);
        trust_fini(&t);
    }
}

/* It dials us, claims to name us, tells our DHT of itself and of a friend on the internet. */
static void the_stranger_in_the_cafe(void **state)
{
    struct trust t;
    struct peer_id stranger = id_of(1), friend = id_of(2);
    trust_init(&t, false, false, 1);
    trust_connected(&t, &stranger, TRUST_FROM_LAN, true);
    assert_false(trust_may_use(&t, &stranger));
    assert_true(trust_is_stranger(&t, &stranger));
    assert_string_equal(trust_verdict(&t, &stranger), "listed");
    trust_heard(&t, &stranger, false);
    assert_false(trust_may_use(&t, &stranger));
    assert_false(trust_is_stranger(&t, &stranger)); /* served, as the one that named us is */
    assert_string_equal(trust_verdict(&t, &stranger), "served");
    trust_told(&t, &stranger);
    trust_told(&t, &friend);
    trust_connected(&t, &friend, TRUST_FROM_AFAR, false);
    assert_false(trust_may_use(&t, &stranger));
    assert_false(trust_may_use(&t, &friend));
    assert_false(trust_has_network(&t));
    trust_disconnected(&t, &stranger);
    trust_connected(&t, &stranger, TRUST_FROM_LAN, true);
    assert_true(trust_is_stranger(&t, &stranger)); /* it has said nothing yet */
    trust_fini(&t);
}

static void the_network_counts_while_we_are_in_it(void **state)
{
    struct trust t;
    struct peer_id bootstrap = id_of(1), provider = id_of(2), other = id_of(3);
    trust_init(&t, false, false, 1);
    trust_add(&t, &bootstrap, TRUST_BOOTSTRAP);
    trust_told(&t, &provider);
    assert_false(trust_may_use(&t, &provider)); /* named, but not reached */
    trust_connected(&t, &bootstrap, TRUST_FROM_LAN, false);
    assert_true(trust_has_network(&t));
    trust_add(&t, &provider, TRUST_LAN); /* found by mDNS as well */
    trust_told(&t, &provider);           /* by our own DHT, which may have it from itself */
    assert_false(trust_may_use(&t, &provider));
    trust_confirmed(&t, &provider);
    assert_true(trust_may_use(&t, &provider));
    assert_false(trust_is_from_lan(&t, &provider));
    assert_string_equal(trust_source(&t, &provider), "lan");
    trust_disconnected(&t, &bootstrap);
    trust_told(&t, &other);
    trust_confirmed(&t, &other);
    assert_false(trust_may_use(&t, &other));
    trust_fini(&t);
}

/* Others join us, and one of them from the internet; our DHT says what a stranger of the LAN put into it. */
static void where_others_join_the_dht_is_no_word_for_the_lan(void **state)
{
    struct trust t;
    struct peer_id joined = id_of(1), stranger = id_of(2), afar = id_of(3);
    trust_init(&t, false, false, 1);
    trust_connected(&t, &joined, TRUST_FROM_AFAR, true);
    trust_connected(&t, &stranger, TRUST_FROM_LAN, true);
    trust_heard(&t, &stranger, false);
    assert_false(trust_is_stranger(&t, &stranger)); /* it joined us: others find it through us */
    trust_told(&t, &stranger);
    trust_told(&t, &afar);
    assert_false(trust_may_use(&t, &stranger));
    assert_true(trust_may_use(&t, &afar));
    t.names_others = true;
    assert_true(
        trust_is_stranger(&t, &stranger)); /* we joined somebody: its naming us says nothing */
    assert_string_equal(trust_verdict(&t, &stranger), "served");
    trust_fini(&t);
}

static void whoever_comes_from_the_internet(void **state)
{
    struct trust t;
    struct peer_id inbound = id_of(1), local = id_of(2), dialled = id_of(3), lan = id_of(4);
    trust_init(&t, false, false, 1);
    trust_connected(&t, &dialled, TRUST_FROM_AFAR, false); /* somebody told us to */
    assert_false(trust_may_use(&t, &dialled));
    trust_connected(&t, &inbound, TRUST_FROM_AFAR, true);
    assert_true(trust_may_use(&t, &inbound));
    trust_connected(&t, &local, TRUST_FROM_SELF, true);
    assert_true(trust_may_use(&t, &local));
    trust_add(&t, &lan, TRUST_LAN); /* found by mDNS, with a public address */
    trust_connected(&t, &lan, TRUST_FROM_AFAR, true);
    assert_false(trust_may_use(&t, &lan));
    trust_fini(&t);
}

static void a_provider_that_refuses(void **state)
{
    struct trust t;
    struct peer_id p = id_of(1);
    trust_init(&t, true, false, 1);
    trust_connected(&t, &p, TRUST_FROM_LAN, false);
    trust_refuses(&t, &p, true);
    assert_true(trust_does_refuse(&t, &p));
    assert_string_equal(trust_verdict(&t, &p), "does not serve us");
    trust_disconnected(&t, &p);
    assert_false(trust_does_refuse(&t, &p));
    trust_fini(&t);
}

static void a_flood_of_peers_pushes_out_nobody_who_counts(void **state)
{
    struct trust t;
    struct peer_id named = id_of(65000), connected = id_of(65001);
    trust_init(&t, false, false, 1);
    trust_add(&t, &named, TRUST_BOOTSTRAP);
    trust_connected(&t, &connected, TRUST_FROM_AFAR, true);
    for (unsigned i = 0; i < 3 * LIMIT_TRUST_PEERS; i++) {
        struct peer_id p = id_of(i);
        trust_add(&t, &p, TRUST_LAN);
    }
    assert_int_equal(map_count(&t.peers), LIMIT_TRUST_PEERS);
    assert_true(trust_may_use(&t, &named));
    assert_true(trust_may_use(&t, &connected));
    for (unsigned i = 0; i < LIMIT_TRUST_PEERS + 10; i++) { /* full of those who stay */
        struct peer_id p = id_of(i);
        trust_connected(&t, &p, TRUST_FROM_LAN, true);
    }
    assert_int_equal(map_count(&t.peers), LIMIT_TRUST_PEERS);
    struct peer_id late = id_of(LIMIT_TRUST_PEERS + 9);
    assert_false(trust_may_use(&t, &late));
    trust_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reason),
        cmocka_unit_test(open_and_private_are_for_everybody),
        cmocka_unit_test(the_stranger_in_the_cafe),
        cmocka_unit_test(the_network_counts_while_we_are_in_it),
        cmocka_unit_test(where_others_join_the_dht_is_no_word_for_the_lan),
        cmocka_unit_test(whoever_comes_from_the_internet),
        cmocka_unit_test(a_provider_that_refuses),
        cmocka_unit_test(a_flood_of_peers_pushes_out_nobody_who_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
