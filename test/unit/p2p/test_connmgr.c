// SPDX-License-Identifier: MIT
/* The books of connections: every limit is exceeded once; silence of a peer, by the clock. */
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/sched.h"
#include "p2p/connmgr.h"
#include "p2p/keepalive.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct rng rng;

static struct net_addr from(unsigned i)
{
    struct net_addr a;
    assert_int_equal(net_addr_parse_ip("192.0.0.0", 1000, &a), 0);
    a.ip[1] = (uint8_t)(i >> 16);
    a.ip[2] = (uint8_t)(i >> 8);
    a.ip[3] = (uint8_t)i;
    return a;
}

static void pending_is_bounded_per_ip_and_in_total(void **state)
{
    struct connmgr m;
    struct connmgr_cfg cfg = connmgr_cfg_default();
    struct net_addr one = from(1);
    connmgr_init(&m, &cfg, &rng);
    for (int i = 0; i < LIMIT_CONNS_PENDING_IP; i++)
        assert_int_equal(connmgr_accept(&m, &one, 0), 0);
    assert_int_equal(connmgr_accept(&m, &one, 0), E_LIMIT);
    assert_int_equal(m.counts.refused_ip, 1);
    for (unsigned i = LIMIT_CONNS_PENDING_IP; i < LIMIT_CONNS_PENDING; i++) {
        struct net_addr a = from(1000 + i);
        assert_int_equal(connmgr_accept(&m, &a, 0), 0);
    }
    struct net_addr last = from(9999);
    assert_int_equal(connmgr_accept(&m, &last, 0), E_LIMIT);
    assert_int_equal(m.counts.refused_pending, 1);
    connmgr_settle(&m, &one, 0);
    assert_int_equal(connmgr_accept(&m, &one, 0), 0);
    connmgr_fini(&m);
}

static void accepting_has_a_rate_per_ip(void **state)
{
    struct connmgr m;
    struct connmgr_cfg cfg = connmgr_cfg_default();
    struct net_addr one = from(1);
    int taken = 0;
    connmgr_init(&m, &cfg, &rng);
    for (int i = 0; i < 100; i++)
        if (connmgr_accept(&m, &one, 0) == 0) {
            taken++;
            connmgr_settle(&m, &one, 0);
        }
    assert_int_equal(taken, LIMIT_ACCEPT_BURST);
    assert_int_equal(m.counts.refused_rate, 100 - LIMIT_ACCEPT_BURST);
    taken = 0;
    for (int i = 0; i < 100; i++)
        if (connmgr_accept(&m, &one, US_PER_S) == 0) {
            taken++;
            connmgr_settle(&m, &one, US_PER_S);
        }
    assert_int_equal(taken, LIMIT_ACCEPT_RATE);
    connmgr_fini(&m);
}

static void loopback_is_exempt(void **state)
{
    struct connmgr m;
    struct connmgr_cfg cfg = connmgr_cfg_default();
    struct net_addr lo;
    connmgr_init(&m, &cfg, &rng);
    net_addr_parse_ip("127.0.0.1", 1, &lo);
    for (int i = 0; i < LIMIT_CONNS_PENDING; i++)
        assert_int_equal(connmgr_accept(&m, &lo, 0), 0);
    assert_int_equal(connmgr_accept(&m, &lo, 0), E_LIMIT); /* the total holds for it too */
    connmgr_fini(&m);
}

static struct bytes name(unsigned i, uint8_t out[38])
{
    memset(out, 0, 38);
    memcpy(out, &i, sizeof i);
    return bytes_of(out, 38);
}

static int circuit(struct connmgr *m, unsigned relay, unsigned peer, uint64_t now)
{
    uint8_t r[38], p[38];
    return connmgr_accept_circuit(m, name(relay, r), name(peer, p), now);
}

static void settle(struct connmgr *m, unsigned relay)
{
    uint8_t r[38];
    connmgr_settle_circuit(m, name(relay, r));
}

/* Whoever comes over a relay is not one stranger with all the others, nor with the relay. */
static void circuits_are_counted_by_relay_and_peer(void **state)
{
    struct connmgr m;
    struct connmgr_cfg cfg = connmgr_cfg_default();
    struct net_addr relay_at = from(1);
    int taken = 0;
    connmgr_init(&m, &cfg, &rng);
    for (unsigned i = 0; i < LIMIT_CONNS_PENDING_RELAY; i++)
        assert_int_equal(circuit(&m, 1, 100 + i, 0), 0);
    assert_int_equal(circuit(&m, 1, 500, 0), E_LIMIT);
    assert_int_equal(m.counts.refused_relay, 1);
    assert_int_equal(circuit(&m, 2, 500, 0), 0);     /* another relay */
    for (int i = 0; i < LIMIT_CONNS_PENDING_IP; i++) /* and those who come from its address */
        assert_int_equal(connmgr_accept(&m, &relay_at, 0), 0);
    for (unsigned i = 0; i < LIMIT_CONNS_PENDING_RELAY; i++)
        settle(&m, 1);
    settle(&m, 2);
    assert_int_equal(m.pending, LIMIT_CONNS_PENDING_IP);
    for (int i = 0; i < LIMIT_CONNS_PENDING_IP; i++)
        connmgr_settle(&m, &relay_at, 0);
    /* one peer, over and over: its own rate, and the relay has as much left for the others */
    for (int i = 0; i < 100; i++)
        if (circuit(&m, 3, 7, 0) == 0) {
            taken++;
            settle(&m, 3);
        }
    assert_int_equal(taken, LIMIT_ACCEPT_BURST);
    for (unsigned i = 0; i < 200; i++)
        if (circuit(&m, 3, 1000 + i, 0) == 0) {
            taken++;
            settle(&m, 3);
        }
    assert_int_equal(taken, LIMIT_ACCEPT_BURST_RELAY);
    taken = 0;
    for (unsigned i = 0; i < 200; i++)
        if (circuit(&m, 3, 2000 + i, US_PER_S) == 0) {
            taken++;
            settle(&m, 3);
        }
    assert_int_equal(taken, LIMIT_ACCEPT_RATE_RELAY);
    assert_int_equal(circuit(&m, 3, 3, 100 * US_PER_S), 0); /* a relay that is a peer, too */
    assert_true(map_count(&m.groups) <= 2);                 /* the others are forgotten */
    settle(&m, 3);
    connmgr_fini(&m);
}

/* The total holds for circuits, too. */
static void circuits_are_bounded_in_total(void **state)
{
    struct connmgr m;
    struct connmgr_cfg cfg = connmgr_cfg_default();
    connmgr_init(&m, &cfg, &rng);
    for (unsigned i = 0; i < LIMIT_CONNS_PENDING; i++)
        assert_int_equal(circuit(&m, i / LIMIT_CONNS_PENDING_RELAY, 1000 + i, 0), 0);
    assert_int_equal(circuit(&m, 99, 9999, 0), E_LIMIT);
    assert_int_equal(m.counts.refused_pending, 1);
    connmgr_fini(&m);
}

static void groups_are_forgotten(void **state)
{
    struct connmgr m;
    struct connmgr_cfg cfg = connmgr_cfg_default();
    connmgr_init(&m, &cfg, &rng);
    for (unsigned i = 0; i < LIMIT_ACCEPT_GROUPS + 100; i++) {
        struct net_addr a = from(i);
        if (connmgr_accept(&m, &a, 0) == 0)
            connmgr_settle(&m, &a, 0);
    }
    assert_int_equal(map_count(&m.groups), LIMIT_ACCEPT_GROUPS);
    struct net_addr late = from(99999);
    assert_int_equal(connmgr_accept(&m, &late, 100 * US_PER_S), 0);
    assert_int_equal(map_count(&m.groups), 1);
    connmgr_fini(&m);
}

static void admission_is_bounded(void **state)
{
    struct connmgr m;
    struct connmgr_cfg cfg = connmgr_cfg_default();
    connmgr_init(&m, &cfg, &rng);
    assert_int_equal(connmgr_admit(&m, LIMIT_CONNS_PEER), E_LIMIT);
    for (int i = 0; i < LIMIT_CONNS; i++)
        assert_int_equal(connmgr_admit(&m, 0), 0);
    assert_int_equal(connmgr_admit(&m, 0), E_LIMIT);
    assert_int_equal(m.counts.refused_total, 1);
    assert_true(connmgr_may_come(&m, 0, 2)); /* it may displace one … */
    assert_true(connmgr_may_come(&m, 7, 16));
    assert_false(connmgr_may_come(&m, 0, 1)); /* … of a crowd only, and not to make one */
    assert_false(connmgr_may_come(&m, 8, 16));
    assert_int_equal(m.counts.refused_total, 3);
    assert_true(connmgr_is_over(&m));
    connmgr_drop(&m);
    assert_true(connmgr_may_come(&m, 8, 8));
    assert_int_equal(connmgr_admit(&m, 0), 0);
    connmgr_fini(&m);
}

static void worth_spares_what_is_used(void **state)
{
    struct connmgr m;
    struct connmgr_cfg cfg = connmgr_cfg_default();
    uint64_t now = 1000 * US_PER_S;
    connmgr_init(&m, &cfg, &rng);
    struct connmgr_view old = {.opened_us = 1, .used_us = 2};
    struct connmgr_view known = {.opened_us = 1, .used_us = 2, .is_known = true};
    struct connmgr_view idle = {.opened_us = 1, .used_us = 1, .streams = 1};
    struct connmgr_view moving = {.used_us = now - 1, .streams = 1}, dear = {.is_needed = true};
    struct connmgr_view young = {.opened_us = now - 1};
    assert_true(connmgr_worth(&m, &old, now) < connmgr_worth(&m, &known, now));
    assert_true(connmgr_worth(&m, &known, now) < CONNMGR_LAST_RESORT);
    assert_in_range(connmgr_worth(&m, &idle, now), CONNMGR_LAST_RESORT, UINT64_MAX - 1);
    assert_true(connmgr_worth(&m, &moving, now) == UINT64_MAX);
    assert_true(connmgr_worth(&m, &dear, now) == UINT64_MAX);
    assert_true(connmgr_worth(&m, &young, now) == UINT64_MAX);
    connmgr_fini(&m);
}

/* --- keepalive --- */

/* Steps at each deadline, hearing nothing: when it pinged first and when it gave up. */
static void run_silent(struct keepalive *k, uint64_t now, uint64_t *ping, uint64_t *dead)
{
    *ping = *dead = 0;
    for (int i = 0; i < 100 && !*dead; i++) {
        now = keepalive_deadline(k);
        enum keepalive_act act = keepalive_step(k, now);
        if (act == KEEPALIVE_PING && !*ping)
            *ping = now;
        if (act == KEEPALIVE_DEAD)
            *dead = now;
    }
}

static void silence_is_noticed_in_time(void **state)
{
    struct keepalive_cfg cfg = keepalive_cfg_default();
    struct keepalive k;
    uint64_t ping, dead;
    keepalive_init(&k, &cfg, 0);
    run_silent(&k, 0, &ping, &dead);
    assert_int_equal(ping, 11 * US_PER_S);
    assert_true(dead < 15 * US_PER_S);
    keepalive_init(&k, &cfg, 0);
    keepalive_rest(&k, true, 0);
    run_silent(&k, 0, &ping, &dead);
    assert_int_equal(ping, 115 * US_PER_S);
    assert_int_equal(dead, 135 * US_PER_S);
    keepalive_init(&k, &cfg, 0);
    keepalive_rest(&k, true, 0);
    keepalive_rest(&k, false, 50 * US_PER_S); /* needed again: asked at once */
    run_silent(&k, 50 * US_PER_S, &ping, &dead);
    assert_int_equal(ping, 50 * US_PER_S);
    assert_int_equal(dead, 53 * US_PER_S);
    keepalive_init(&k, &cfg, 0);
    keepalive_busy(&k, true, 100 * US_PER_S);
    run_silent(&k, 100 * US_PER_S, &ping, &dead);
    assert_int_equal(ping - 100 * US_PER_S, 250 * US_PER_MS);
    assert_true(dead - 100 * US_PER_S < US_PER_S);
}

/* Whatever the moment they were last heard, those at rest are seen to in the same few moments. */
static void those_at_rest_wake_us_once_for_all(void **state)
{
    struct keepalive_cfg cfg = keepalive_cfg_default();
    struct keepalive k;
    uint64_t seen[9], n = 0;
    for (uint64_t heard = 0; heard < 20 * US_PER_S; heard += 100 * US_PER_MS) {
        keepalive_init(&k, &cfg, heard);
        keepalive_rest(&k, true, heard);
        uint64_t at[2] = {keepalive_deadline(&k)};
        assert_true(at[0] - heard >= 115 * US_PER_S && at[0] - heard < 120 * US_PER_S);
        assert_int_equal(keepalive_step(&k, at[0]), KEEPALIVE_PING);
        at[1] = keepalive_deadline(&k);
        assert_true(at[1] - heard >= 135 * US_PER_S && at[1] - heard < 140 * US_PER_S);
        assert_int_equal(keepalive_step(&k, at[1]), KEEPALIVE_DEAD);
        for (size_t i = 0; i < 2; i++) {
            bool is_there = false;
            for (size_t j = 0; j < n; j++)
                is_there |= seen[j] == at[i];
            assert_true(is_there || n < ARRAY_LEN(seen));
            if (!is_there)
                seen[n++] = at[i];
        }
    }
}

static void a_slow_path_gets_more_patience(void **state)
{
    struct keepalive_cfg cfg = keepalive_cfg_default();
    struct keepalive k;
    uint64_t ping, dead;
    keepalive_init(&k, &cfg, 0);
    k.rtt_us = 400 * US_PER_MS;
    keepalive_busy(&k, true, 0);
    run_silent(&k, 0, &ping, &dead);
    assert_int_equal(dead, 2650 * US_PER_MS);
}

static void our_own_sleep_is_not_their_silence(void **state)
{
    struct keepalive_cfg cfg = keepalive_cfg_default();
    struct keepalive k;
    keepalive_init(&k, &cfg, 0);
    keepalive_busy(&k, true, 0);
    assert_int_equal(keepalive_step(&k, keepalive_deadline(&k)), KEEPALIVE_PING);
    keepalive_deadline(&k);
    assert_int_equal(keepalive_step(&k, 3600 * US_PER_S), KEEPALIVE_WAIT); /* suspended */
    assert_int_equal(keepalive_deadline(&k), 3600 * US_PER_S + 250 * US_PER_MS);
}

static void doubt_asks_at_once_and_waits_three_seconds(void **state)
{
    struct keepalive_cfg cfg = keepalive_cfg_default();
    struct keepalive k;
    uint64_t ping, dead;
    keepalive_init(&k, &cfg, 0);
    keepalive_doubt(&k, 5 * US_PER_S);
    run_silent(&k, 5 * US_PER_S, &ping, &dead);
    assert_int_equal(ping, 5 * US_PER_S);
    assert_int_equal(dead, 8 * US_PER_S);
    keepalive_doubt(&k, 5 * US_PER_S);
    keepalive_heard(&k, 6 * US_PER_S); /* it lives: the old patience again */
    run_silent(&k, 6 * US_PER_S, &ping, &dead);
    assert_int_equal(ping, 17 * US_PER_S);
}

/* A request on a doubted connection is not what makes it trustworthy: asked at once, and the short patience holds. */
static void a_request_keeps_the_doubt(void **state)
{
    struct keepalive_cfg cfg = keepalive_cfg_default();
    struct keepalive k;
    uint64_t ping, dead;
    keepalive_init(&k, &cfg, 0);
    keepalive_doubt(&k, 5 * US_PER_S); /* not asked yet when the request comes */
    keepalive_busy(&k, true, 5 * US_PER_S);
    assert_true(k.is_doubted); /* others are preferred still */
    run_silent(&k, 5 * US_PER_S, &ping, &dead);
    assert_int_equal(ping, 5 * US_PER_S);
    assert_int_equal(dead, 5900 * US_PER_MS);
    keepalive_init(&k, &cfg, 0);
    keepalive_doubt(&k, 5 * US_PER_S);
    assert_int_equal(keepalive_step(&k, keepalive_deadline(&k)), KEEPALIVE_PING);
    keepalive_deadline(&k);
    keepalive_busy(&k, true, 7 * US_PER_S); /* the question is on its way */
    run_silent(&k, 7 * US_PER_S, &ping, &dead);
    assert_int_equal(ping, 0);
    assert_int_equal(dead, 7900 * US_PER_MS);
    keepalive_init(&k, &cfg, 0);
    keepalive_doubt(&k, 5 * US_PER_S);
    keepalive_busy(&k, true, 5 * US_PER_S);
    keepalive_heard(&k, 5100 * US_PER_MS);
    assert_false(k.is_doubted);
}

/* A rest ends with the next request: its patience is the short one, and old silence is not held against the peer. */
static void a_request_ends_the_rest(void **state)
{
    struct keepalive_cfg cfg = keepalive_cfg_default();
    struct keepalive k;
    uint64_t ping, dead;
    keepalive_init(&k, &cfg, 0);
    keepalive_rest(&k, true, 0);
    keepalive_busy(&k, true, 50 * US_PER_S);
    run_silent(&k, 50 * US_PER_S, &ping, &dead);
    assert_int_equal(ping, 50 * US_PER_S + 250 * US_PER_MS);
    assert_true(dead < 51 * US_PER_S);
}

/* What is sent anyway takes the question along, once it would soon be asked. */
static void a_question_rides_along(void **state)
{
    struct keepalive_cfg cfg = keepalive_cfg_default();
    struct keepalive k;
    keepalive_init(&k, &cfg, 0);
    assert_false(keepalive_rides(&k, 8 * US_PER_S));
    assert_true(keepalive_rides(&k, 9 * US_PER_S));
    assert_false(keepalive_rides(&k, 10 * US_PER_S)); /* it is on its way */
    assert_int_equal(keepalive_deadline(&k), 14500 * US_PER_MS);
    assert_int_equal(keepalive_step(&k, 14500 * US_PER_MS), KEEPALIVE_DEAD);
    keepalive_heard(&k, 15 * US_PER_S);
    assert_false(keepalive_rides(&k, 16 * US_PER_S));
}

static void hearing_anything_counts(void **state)
{
    struct keepalive_cfg cfg = keepalive_cfg_default();
    struct keepalive k;
    keepalive_init(&k, &cfg, 0);
    keepalive_busy(&k, true, 0);
    for (uint64_t now = 0; now < 5 * US_PER_S; now += 200 * US_PER_MS) {
        keepalive_heard(&k, now);
        keepalive_deadline(&k);
        assert_int_equal(keepalive_step(&k, now + 100 * US_PER_MS), KEEPALIVE_WAIT);
    }
}

int main(void)
{
    rng_init_seeded(&rng, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pending_is_bounded_per_ip_and_in_total),
        cmocka_unit_test(accepting_has_a_rate_per_ip),
        cmocka_unit_test(loopback_is_exempt),
        cmocka_unit_test(circuits_are_counted_by_relay_and_peer),
        cmocka_unit_test(circuits_are_bounded_in_total),
        cmocka_unit_test(groups_are_forgotten),
        cmocka_unit_test(admission_is_bounded),
        cmocka_unit_test(worth_spares_what_is_used),
        cmocka_unit_test(silence_is_noticed_in_time),
        cmocka_unit_test(those_at_rest_wake_us_once_for_all),
        cmocka_unit_test(a_slow_path_gets_more_patience),
        cmocka_unit_test(our_own_sleep_is_not_their_silence),
        cmocka_unit_test(doubt_asks_at_once_and_waits_three_seconds),
        cmocka_unit_test(a_request_keeps_the_doubt),
        cmocka_unit_test(a_request_ends_the_rest),
        cmocka_unit_test(a_question_rides_along),
        cmocka_unit_test(hearing_anything_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
