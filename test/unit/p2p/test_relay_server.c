// SPDX-License-Identifier: MIT
/* The relay's book in the test's own time: every limit reached and exceeded, places that run out. */
#include "base/err.h"
#include "base/sched.h"
#include "base/trace.h"
#include "p2p/relay_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define S US_PER_S

static struct rng rng;

static struct peer_id id(unsigned i)
{
    struct peer_id p = {.len = 38, .b = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20}};
    memcpy(p.b + 6, &i, sizeof i);
    return p;
}

static struct net_addr ip(unsigned i)
{
    char text[40];
    struct net_addr a;
    snprintf(text, sizeof text, "192.%u.%u.%u", 1 + (i >> 16), i >> 8 & 255, i & 255);
    assert_int_equal(net_addr_parse_ip(text, 4001, &a), 0);
    return a;
}

static int reserve_at(struct relay_server *s, unsigned peer, unsigned at, bool is_own, uint64_t now)
{
    struct peer_id p = id(peer);
    struct net_addr a = ip(at);
    uint64_t until = 0;
    int status = (int)relay_server_reserve(s, &p, &a, is_own, now, &until);
    assert_int_equal(until, status == RELAY_OK ? now + LIMIT_RELAY_TTL_S * S : 0);
    return status;
}

static int reserve(struct relay_server *s, unsigned peer, uint64_t now)
{
    return reserve_at(s, peer, peer, false, now);
}

static int connect_own(struct relay_server *s, struct relay_circuit *c, unsigned from, unsigned to,
                       bool is_own, uint64_t now)
{
    struct peer_id f = id(from), t = id(to);
    struct net_addr a = ip(from);
    return (int)relay_server_connect(s, c, &f, &a, &t, is_own, now);
}

static int connect_at(struct relay_server *s, struct relay_circuit *c, unsigned from, unsigned at,
                      bool is_own, uint64_t now)
{
    struct peer_id f = id(from), t = id(2);
    struct net_addr a = ip(at);
    return (int)relay_server_connect(s, c, &f, &a, &t, is_own, now);
}

static int connect_to(struct relay_server *s, struct relay_circuit *c, unsigned from, unsigned to,
                      uint64_t now)
{
    return connect_own(s, c, from, to, false, now);
}

#define BOOK(s, cfg)                                                                               \
    struct relay_server s;                                                                         \
    struct relay_server_cfg s##_defaults = relay_server_cfg_default();                             \
    const struct relay_server_cfg *s##_cfg = cfg;                                                  \
    relay_server_init(&s, s##_cfg ? s##_cfg : &s##_defaults, &rng)

static void a_place_runs_out_unless_refreshed(void **state)
{
    BOOK(s, NULL);
    struct peer_id p = id(1);
    assert_int_equal(reserve(&s, 1, 0), RELAY_OK);
    assert_true(relay_server_has_place(&s, &p, 3600 * S - 1));
    assert_false(relay_server_has_place(&s, &p, 3600 * S));
    assert_int_equal(reserve(&s, 1, 2400 * S), RELAY_OK);
    assert_int_equal(s.counts.reserved, 1); /* the same place */
    assert_true(relay_server_has_place(&s, &p, 5999 * S));
    assert_int_equal(relay_server_places(&s, 5999 * S), 1);
    assert_int_equal(relay_server_places(&s, 6000 * S), 0);
    assert_int_equal(reserve(&s, 1, 6001 * S), RELAY_OK);
    relay_server_drop(&s, &p);
    assert_false(relay_server_has_place(&s, &p, 6001 * S));
    relay_server_drop(&s, &p); /* again: harmless */
    relay_server_fini(&s);
}

/* Places won from many addresses may not be refreshed all from one. */
static void a_refresh_counts_where_it_comes_from(void **state)
{
    BOOK(s, NULL);
    for (unsigned i = 0; i < LIMIT_RELAY_PER_IP; i++)
        assert_int_equal(reserve_at(&s, i, 7 << 8, false, i), RELAY_OK);
    assert_int_equal(reserve_at(&s, 100, 9 << 8, false, 100), RELAY_OK);
    assert_int_equal(reserve_at(&s, 100, 7 << 8, false, 101), RELAY_RESOURCE_LIMIT);
    assert_int_equal(reserve_at(&s, 100, 9 << 8, false, 102), RELAY_OK);
    assert_int_equal(reserve_at(&s, 0, 7 << 8, false, 103), RELAY_OK);
    assert_int_equal(s.counts.refused_places, 1);
    relay_server_fini(&s);
}

static void the_hundred_and_twenty_ninth_is_refused(void **state)
{
    BOOK(s, NULL);
    for (unsigned i = 0; i < LIMIT_RELAY_RESERVATIONS; i++)
        assert_int_equal(reserve_at(&s, i, i << 8, false, i), RELAY_OK);
    assert_int_equal(reserve_at(&s, 1000, 1000 << 8, false, 999), RELAY_RESOURCE_LIMIT);
    assert_int_equal(reserve_at(&s, 0, 0, false, 999), RELAY_OK); /* who has one keeps it */
    assert_int_equal(reserve_at(&s, 1000, 1000 << 8, false, 3600 * S + 128), RELAY_OK);
    assert_int_equal(s.counts.refused, 1);
    relay_server_fini(&s);
}

static void one_address_has_eight_places(void **state)
{
    BOOK(s, NULL);
    for (unsigned i = 0; i < LIMIT_RELAY_PER_IP; i++)
        assert_int_equal(reserve_at(&s, i, 7, false, 0), RELAY_OK);
    assert_int_equal(reserve_at(&s, 100, 7, false, 0), RELAY_RESOURCE_LIMIT);
    assert_int_equal(reserve_at(&s, 100, 8, false, 0), RELAY_OK);
    assert_int_equal(reserve_at(&s, 3, 7, false, 0), RELAY_OK);  /* a refresh is no new one */
    assert_int_equal(reserve_at(&s, 101, 7, true, 0), RELAY_OK); /* one's own is not counted so */
    struct peer_id p;
    struct net_addr here;
    uint64_t until;
    assert_int_equal(net_addr_parse_ip("127.0.0.1", 1, &here), 0);
    for (unsigned i = 200; i < 220; i++) {
        p = id(i);
        assert_int_equal(relay_server_reserve(&s, &p, &here, false, 0, &until), RELAY_OK);
    }
    relay_server_fini(&s);
}

static void a_peer_may_ask_thirty_times_and_an_address_sixty(void **state)
{
    BOOK(s, NULL);
    for (int i = 0; i < LIMIT_RELAY_BURST_PEER; i++)
        assert_int_equal(reserve(&s, 1, S), RELAY_OK);
    assert_int_equal(reserve(&s, 1, S), RELAY_RESOURCE_LIMIT);
    assert_int_equal(reserve(&s, 1, 100 * S), RELAY_RESOURCE_LIMIT);
    assert_int_equal(reserve(&s, 1, 122 * S), RELAY_OK); /* one more in two minutes */
    for (unsigned i = 0; i < LIMIT_RELAY_BURST_IP; i++)
        assert_int_equal(reserve_at(&s, 10 + i % 8, 99, false, 200 * S), RELAY_OK);
    assert_int_equal(reserve_at(&s, 10, 99, false, 200 * S), RELAY_RESOURCE_LIMIT);
    for (int i = 0; i < 200; i++)
        assert_int_equal(reserve_at(&s, 50, 50, true, 200 * S), RELAY_OK);
    relay_server_fini(&s);
}

/* Without limits on circuits one address still has so many places, and asks so often. */
static void unlimited_is_not_for_one_address_alone(void **state)
{
    struct relay_server_cfg cfg = relay_server_cfg_default();
    cfg.is_unlimited = true;
    cfg.rate = 2;
    BOOK(s, &cfg);
    for (unsigned i = 0; i < LIMIT_RELAY_PER_IP; i++)
        assert_int_equal(reserve_at(&s, i, 7, false, 0), RELAY_OK);
    assert_int_equal(reserve_at(&s, 100, 7, false, 0), RELAY_RESOURCE_LIMIT);
    for (int i = 0; i < 2 * LIMIT_RELAY_BURST_PEER; i++)
        assert_int_equal(reserve(&s, 50, S), RELAY_OK);
    assert_int_equal(reserve(&s, 50, S), RELAY_RESOURCE_LIMIT);
    relay_server_fini(&s);
}

static void circuits_need_a_place_and_room(void **state)
{
    BOOK(s, NULL);
    struct relay_circuit c[64];
    assert_int_equal(connect_to(&s, &c[0], 1, 2, 0), RELAY_NO_RESERVATION);
    assert_int_equal(reserve(&s, 2, 0), RELAY_OK);
    assert_int_equal(connect_to(&s, &c[0], 2, 2, 0), RELAY_NO_RESERVATION); /* oneself */
    for (unsigned i = 0; i < LIMIT_RELAY_CIRCUITS_PEER; i++)
        assert_int_equal(connect_to(&s, &c[i], 1, 2, 0), RELAY_OK);
    assert_int_equal(connect_to(&s, &c[60], 1, 2, 0), RELAY_RESOURCE_LIMIT);
    for (unsigned i = LIMIT_RELAY_CIRCUITS_PEER; i < LIMIT_RELAY_CIRCUITS; i++)
        assert_int_equal(connect_to(&s, &c[i], 100 + i, 2, 0), RELAY_OK);
    assert_int_equal(connect_to(&s, &c[60], 200, 2, 0), RELAY_RESOURCE_LIMIT);
    /* strangers cannot take one's own room */
    assert_int_equal(connect_own(&s, &c[60], 201, 2, true, 0), RELAY_OK);
    relay_circuit_end(&c[60], false);
    relay_circuit_end(&c[0], false);
    relay_circuit_end(&c[0], false); /* again: harmless */
    assert_int_equal(connect_to(&s, &c[0], 200, 2, 0), RELAY_OK);
    for (unsigned i = 0; i < LIMIT_RELAY_CIRCUITS; i++)
        relay_circuit_end(&c[i], false);
    assert_int_equal(s.strangers + s.owns, 0);
    relay_server_fini(&s);
}

/* As many names as one likes from one address: they do not hold all that a relay has for strangers. */
static void one_address_has_six_circuits(void **state)
{
    BOOK(s, NULL);
    struct relay_circuit c[LIMIT_RELAY_CIRCUITS_IP], other[2], more;
    assert_int_equal(reserve(&s, 2, 0), RELAY_OK);
    for (unsigned i = 0; i < LIMIT_RELAY_CIRCUITS_IP; i++)
        assert_int_equal(connect_at(&s, &c[i], 10 + i / 2, 7, false, 0), RELAY_OK);
    assert_int_equal(connect_at(&s, &other[0], 50, 7, false, 0), RELAY_RESOURCE_LIMIT);
    assert_int_equal(connect_at(&s, &other[0], 50, 8, false, 0), RELAY_OK); /* of another */
    assert_int_equal(connect_at(&s, &other[1], 51, 7, true, 0),
                     RELAY_OK); /* one's own is not counted so */
    relay_circuit_end(&c[0], false);
    assert_int_equal(connect_at(&s, &c[0], 52, 7, false, 0), RELAY_OK);
    assert_int_equal(connect_at(&s, &more, 53, 7, false, 0), RELAY_RESOURCE_LIMIT);
    for (unsigned i = 0; i < LIMIT_RELAY_CIRCUITS_IP; i++)
        relay_circuit_end(&c[i], false);
    relay_circuit_end(&other[0], false);
    relay_circuit_end(&other[1], false);
    struct relay_circuit near[LIMIT_RELAY_CIRCUITS];
    struct net_addr here;
    assert_int_equal(net_addr_parse_ip("127.0.0.1", 1, &here), 0);
    for (unsigned i = 0; i < LIMIT_RELAY_CIRCUITS;
         i++) { /* loopback is one address for everybody */
        struct peer_id f = id(100 + i), t = id(2);
        assert_int_equal(relay_server_connect(&s, &near[i], &f, &here, &t, false, S), RELAY_OK);
    }
    for (unsigned i = 0; i < LIMIT_RELAY_CIRCUITS; i++)
        relay_circuit_end(&near[i], false);
    relay_server_fini(&s);
}

/* A relay without limits has a pool of its own, with more for each. */
static void one_address_has_so_many_of_ones_own(void **state)
{
    struct relay_server_cfg cfg = relay_server_cfg_default();
    cfg.is_unlimited = true;
    cfg.rate = 20;
    BOOK(s, &cfg);
    static struct relay_circuit c[LIMIT_RELAY_CIRCUITS_OWN_IP], more;
    assert_int_equal(reserve(&s, 2, 0), RELAY_OK);
    for (unsigned i = 0; i < LIMIT_RELAY_CIRCUITS_OWN_IP; i++)
        assert_int_equal(connect_at(&s, &c[i], 10 + i / 8, 7, false, 0), RELAY_OK);
    assert_int_equal(connect_at(&s, &more, 500, 7, false, 0), RELAY_RESOURCE_LIMIT);
    assert_int_equal(connect_at(&s, &more, 500, 8, false, 0), RELAY_OK);
    relay_circuit_end(&more, false);
    for (unsigned i = 0; i < LIMIT_RELAY_CIRCUITS_OWN_IP; i++)
        relay_circuit_end(&c[i], false);
    relay_server_fini(&s);
}

static void ones_own_have_limits_too(void **state)
{
    struct relay_server_cfg cfg = relay_server_cfg_default();
    cfg.is_unlimited = true;
    cfg.max_own_circuits = 6;
    BOOK(s, &cfg);
    struct relay_circuit c[8];
    s.cfg.max_own_circuits_peer = 3;
    assert_int_equal(reserve(&s, 2, 0), RELAY_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(connect_to(&s, &c[i], 1, 2, 0), RELAY_OK);
    assert_int_equal(connect_to(&s, &c[7], 1, 2, 0), RELAY_RESOURCE_LIMIT);
    for (unsigned i = 3; i < 6; i++)
        assert_int_equal(connect_to(&s, &c[i], 10 + i, 2, 0), RELAY_OK);
    assert_int_equal(connect_to(&s, &c[7], 50, 2, 0), RELAY_RESOURCE_LIMIT);
    for (unsigned i = 0; i < 6; i++)
        relay_circuit_end(&c[i], false);
    relay_server_fini(&s);
}

static void a_strangers_circuit_ends_by_bytes_each_way(void **state)
{
    BOOK(s, NULL);
    struct relay_circuit c;
    assert_int_equal(reserve(&s, 2, 0), RELAY_OK);
    assert_int_equal(connect_to(&s, &c, 1, 2, 0), RELAY_OK);
    struct relay_limit l = relay_circuit_limit(&c);
    assert_int_equal(l.bytes, LIMIT_RELAY_DATA);
    assert_int_equal(l.duration_s, 120);
    relay_circuit_start(&c, 0);
    assert_int_equal(relay_circuit_allow(&c, 0, 1000000, 0), LIMIT_RELAY_DATA);
    relay_circuit_passed(&c, 0, LIMIT_RELAY_DATA - 1);
    assert_int_equal(relay_circuit_allow(&c, 0, 1000, 0), 1);
    assert_int_equal(relay_circuit_allow(&c, 1, 1000, 0), 1000);
    assert_false(relay_circuit_is_over(&c, 0));
    relay_circuit_passed(&c, 0, 1);
    assert_true(relay_circuit_is_over(&c, 0));
    assert_int_equal(relay_circuit_allow(&c, 1, 1000, 0), 0);
    relay_circuit_end(&c, true);
    assert_int_equal(s.counts.cut, 1);
    assert_int_equal(s.counts.bytes, LIMIT_RELAY_DATA);
    relay_server_fini(&s);
}

static void a_strangers_circuit_ends_by_time(void **state)
{
    BOOK(s, NULL);
    struct relay_circuit c;
    assert_int_equal(reserve(&s, 2, 0), RELAY_OK);
    assert_int_equal(connect_to(&s, &c, 1, 2, 0), RELAY_OK);
    assert_false(relay_circuit_is_over(&c, 500 * S)); /* not started */
    relay_circuit_start(&c, 500 * S);
    assert_false(relay_circuit_is_over(&c, 620 * S - 1));
    assert_true(relay_circuit_is_over(&c, 620 * S));
    relay_circuit_end(&c, true);
    relay_server_fini(&s);
}

static void ones_own_circuit_has_no_limit(void **state)
{
    BOOK(s, NULL);
    struct relay_circuit c;
    assert_int_equal(reserve_at(&s, 2, 2, true, 0), RELAY_OK);
    assert_int_equal(connect_to(&s, &c, 1, 2, 0), RELAY_OK); /* the target is one's own */
    assert_true(c.is_own);
    struct relay_limit l = relay_circuit_limit(&c);
    assert_false(relay_limit_is_any(&l));
    relay_circuit_start(&c, 0);
    relay_circuit_passed(&c, 0, 1 << 30);
    assert_false(relay_circuit_is_over(&c, 86400 * S));
    assert_int_equal(relay_circuit_allow(&c, 0, 65536, 86400 * S), 65536);
    relay_circuit_end(&c, false);
    relay_server_fini(&s);
}

static void bandwidth_is_shared_by_all(void **state)
{
    struct relay_server_cfg cfg = relay_server_cfg_default();
    cfg.is_unlimited = true;
    cfg.bytes_per_s = 100000;
    BOOK(s, &cfg);
    struct relay_circuit a, b;
    assert_int_equal(reserve(&s, 2, 0), RELAY_OK);
    assert_int_equal(connect_to(&s, &a, 1, 2, 0), RELAY_OK);
    assert_int_equal(connect_to(&s, &b, 3, 2, 0), RELAY_OK);
    uint64_t now = S, sum = 0;
    for (; now < 11 * S; now += 1000)
        for (int i = 0; i < 4; i++) {
            struct relay_circuit *c = i & 1 ? &a : &b;
            size_t n = relay_circuit_allow(c, i >> 1, 16384, now);
            if (n == 0)
                assert_true(relay_circuit_again(c, now) > now);
            assert_true(relay_circuit_again(c, now) <= now + 30000);
            relay_circuit_passed(c, i >> 1, n);
            sum += n;
        }
    assert_in_range(sum, 1000000, 1110000); /* ten seconds, and the first burst */
    relay_circuit_end(&a, false);
    relay_circuit_end(&b, false);
    relay_server_fini(&s);
}

int main(void)
{
    trace_set_all(TRACE_OFF);
    rng_init_seeded(&rng, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_runs_out_unless_refreshed),
        cmocka_unit_test(a_refresh_counts_where_it_comes_from),
        cmocka_unit_test(the_hundred_and_twenty_ninth_is_refused),
        cmocka_unit_test(one_address_has_eight_places),
        cmocka_unit_test(a_peer_may_ask_thirty_times_and_an_address_sixty),
        cmocka_unit_test(unlimited_is_not_for_one_address_alone),
        cmocka_unit_test(circuits_need_a_place_and_room),
        cmocka_unit_test(one_address_has_six_circuits),
        cmocka_unit_test(one_address_has_so_many_of_ones_own),
        cmocka_unit_test(ones_own_have_limits_too),
        cmocka_unit_test(a_strangers_circuit_ends_by_bytes_each_way),
        cmocka_unit_test(a_strangers_circuit_ends_by_time),
        cmocka_unit_test(ones_own_circuit_has_no_limit),
        cmocka_unit_test(bandwidth_is_shared_by_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
