// SPDX-License-Identifier: MIT
/* Whom AutoNAT asks, and what it makes of the answers. */
#include "p2p/autonat.h"

#include "base/sched.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct rng rng;
    struct autonat a;
    uint64_t now;
    struct multiaddr addrs[12];
    struct bytes views[12];
    bool is_stranger; /* who is seen from now on */
};

static void fixture_init_at(struct fixture *f, int addrs, bool is_own)
{
    struct autonat_candidate candidates[12];
    char text[64];
    *f = (struct fixture){.now = US_PER_S};
    rng_init_seeded(&f->rng, 1);
    autonat_init(&f->a, &f->rng, f->now);
    for (int i = 0; i < addrs; i++) {
        snprintf(text, sizeof text, "/ip4/203.0.113.5/tcp/%d", 8000 + i);
        assert_int_equal(multiaddr_parse(bytes_str(text), &f->addrs[i]), 0);
        f->views[i] = multiaddr_bytes(&f->addrs[i]);
        candidates[i] = (struct autonat_candidate){f->views[i], is_own};
    }
    autonat_set_addrs(&f->a, candidates, (size_t)addrs, f->now);
}

/* On the internet itself: the addresses are our interfaces'. */
static void fixture_init(struct fixture *f, int addrs)
{
    fixture_init_at(f, addrs, true);
}

/* The addresses are those of a NAT. */
static void fixture_init_behind(struct fixture *f, int addrs)
{
    fixture_init_at(f, addrs, false);
}

static struct peer_id peer(int i)
{
    return (struct peer_id){.len = 3, .b = {0, 1, (uint8_t)i}};
}

static void seen(struct fixture *f, int i, const char *ip, bool has_v2)
{
    struct peer_id id = peer(i);
    struct net_addr at;
    net_addr_parse_ip(ip, 4001, &at);
    autonat_server_seen(&f->a, &id, &at, !has_v2, has_v2, f->is_stranger, f->now);
}

/* Goes to the next question; who is asked, or -1. */
static int next(struct fixture *f, struct autonat_question *q)
{
    uint64_t at = autonat_deadline(&f->a);
    if (at == SCHED_NEVER)
        return -1;
    f->now = at > f->now ? at : f->now;
    assert_true(autonat_next(&f->a, f->now, q));
    return q->server.b[2];
}

static int answer(struct fixture *f, enum autonat_result result)
{
    struct autonat_question q;
    int who = next(f, &q);
    assert_true(who >= 0);
    autonat_answered(&f->a, result, (struct bytes){0}, f->now);
    return who;
}

static void nobody_to_ask_is_unknown(void **state)
{
    struct fixture f;
    fixture_init(&f, 1);
    assert_true(autonat_deadline(&f.a) == SCHED_NEVER);
    assert_int_equal(f.a.reach, AUTONAT_UNKNOWN);
    fixture_init(&f, 0);
    seen(&f, 1, "198.51.100.1", true);
    assert_true(autonat_deadline(&f.a) == SCHED_NEVER);
}

static void one_proof_is_enough(void **state)
{
    struct fixture f;
    fixture_init(&f, 1);
    seen(&f, 1, "198.51.100.1", true);
    assert_true(autonat_deadline(&f.a) > f.now); /* others may still come */
    answer(&f, AUTONAT_PROVED);
    assert_int_equal(f.a.reach, AUTONAT_PUBLIC);
    assert_int_equal(f.a.addrs[0].verdict, AUTONAT_REACHABLE);
    assert_true(autonat_deadline(&f.a) > f.now + 10 * 60 * US_PER_S);
}

static void a_single_server_has_to_say_no_twice(void **state)
{
    struct fixture f;
    fixture_init(&f, 1);
    seen(&f, 1, "198.51.100.1", true);
    answer(&f, AUTONAT_NO);
    assert_int_equal(f.a.reach, AUTONAT_UNKNOWN);
    uint64_t first = f.now;
    answer(&f, AUTONAT_NO);
    assert_true(f.now - first < 5 * US_PER_S); /* whoever is behind a NAT waits for this */
    assert_int_equal(f.a.reach, AUTONAT_PRIVATE);
}

static void three_networks_decide_where_there_are_three(void **state)
{
    struct fixture f;
    fixture_init(&f, 1);
    seen(&f, 1, "198.51.100.1", false);
    seen(&f, 2, "198.51.100.2", false); /* the same /16 as 1 */
    seen(&f, 3, "192.0.2.1", false);
    seen(&f, 4, "8.8.8.8", false);
    int a = answer(&f, AUTONAT_YES), b = answer(&f, AUTONAT_YES);
    assert_int_equal(f.a.reach, AUTONAT_UNKNOWN);
    int c = answer(&f, AUTONAT_YES);
    assert_int_equal(f.a.reach, AUTONAT_PUBLIC);
    assert_true(a != b && b != c && a != c);
    assert_false((a == 1 || b == 1 || c == 1) && (a == 2 || b == 2 || c == 2)); /* one of them */
}

static void one_liar_decides_nothing(void **state)
{
    struct fixture f;
    fixture_init(&f, 1);
    seen(&f, 1, "198.51.100.1", false);
    seen(&f, 2, "192.0.2.1", false);
    seen(&f, 3, "8.8.8.8", false);
    seen(&f, 4, "9.9.9.9", false);
    for (int i = 0; i < 4; i++) {
        struct autonat_question q;
        int who = next(&f, &q);
        autonat_answered(&f.a, who == 1 ? AUTONAT_NO : AUTONAT_YES, (struct bytes){0}, f.now);
    }
    assert_int_equal(f.a.reach, AUTONAT_PUBLIC);
}

static void one_network_is_one_voice(void **state)
{
    struct fixture f;
    char ip[32];
    fixture_init(&f, 1);
    for (int i = 0; i < 20; i++) {
        snprintf(ip, sizeof ip, "198.51.100.%d", i);
        seen(&f, 10 + i, ip, false);
    }
    seen(&f, 1, "192.0.2.1", false);
    seen(&f, 2, "8.8.8.8", false);
    for (int i = 0; i < 12; i++) { /* the liars say yes, the two say no */
        struct autonat_question q;
        int who = next(&f, &q);
        autonat_answered(&f.a, who >= 10 ? AUTONAT_YES : AUTONAT_NO, (struct bytes){0}, f.now);
    }
    assert_int_not_equal(f.a.reach, AUTONAT_PUBLIC);
}

static void version_2_is_preferred_and_no_answer_is_no_vote(void **state)
{
    struct fixture f;
    struct autonat_question q;
    fixture_init(&f, 1);
    seen(&f, 1, "198.51.100.1", false);
    seen(&f, 2, "192.0.2.1", true);
    assert_int_equal(next(&f, &q), 2);
    assert_true(q.is_v2);
    autonat_answered(&f.a, AUTONAT_NO_ANSWER, (struct bytes){0}, f.now);
    assert_int_equal(f.a.addrs[0].vote_count, 0);
    assert_int_equal(next(&f, &q), 1); /* the other one gets a pause */
    assert_false(q.is_v2);
    autonat_answered(&f.a, AUTONAT_NO_ANSWER, (struct bytes){0}, f.now);
    uint64_t before = f.now;
    next(&f, &q);
    assert_true(f.now - before > 15 * US_PER_S);
    assert_int_equal(f.a.reach, AUTONAT_UNKNOWN);
}

static void pauses_after_no_answer_double_up_to_a_quarter_of_an_hour(void **state)
{
    struct fixture f;
    struct autonat_question q;
    uint64_t last = 0;
    fixture_init(&f, 1);
    seen(&f, 1, "198.51.100.1", true);
    for (int i = 0; i < 10; i++) {
        uint64_t before = f.now;
        next(&f, &q);
        last = f.now - before;
        autonat_answered(&f.a, AUTONAT_NO_ANSWER, (struct bytes){0}, f.now);
    }
    assert_true(last > 13 * 60 * US_PER_S && last < 17 * 60 * US_PER_S);
}

static void private_when_all_addresses_fail_public_when_one_works(void **state)
{
    struct fixture f;
    fixture_init(&f, 2);
    seen(&f, 1, "198.51.100.1", true);
    answer(&f, AUTONAT_NO);
    assert_int_equal(f.a.reach, AUTONAT_UNKNOWN); /* the second one is not known yet */
    answer(&f, AUTONAT_NO);
    assert_int_equal(f.a.reach, AUTONAT_PRIVATE); /* two ports of one IP: twice no */
    assert_int_equal(f.a.addrs[0].verdict, AUTONAT_UNDECIDED);
    answer(&f, AUTONAT_NO);
    answer(&f, AUTONAT_NO);
    assert_int_equal(f.a.addrs[1].verdict, AUTONAT_UNREACHABLE);
    answer(&f, AUTONAT_PROVED); /* five minutes on: a port was opened */
    assert_int_equal(f.a.reach, AUTONAT_PUBLIC);
}

static void what_was_lost_is_noticed_by_the_next_refresh(void **state)
{
    struct fixture f;
    fixture_init(&f, 1);
    seen(&f, 1, "198.51.100.1", true);
    answer(&f, AUTONAT_PROVED);
    answer(&f, AUTONAT_NO); /* one lost answer takes nothing away */
    assert_int_equal(f.a.reach, AUTONAT_PUBLIC);
    uint64_t first = f.now;
    answer(&f, AUTONAT_NO);
    assert_true(f.now - first < 5 * US_PER_S); /* but doubt is settled at once */
    assert_int_equal(f.a.reach, AUTONAT_PRIVATE);
}

static void another_network_is_asked_about_anew(void **state)
{
    struct fixture f;
    fixture_init(&f, 1);
    seen(&f, 1, "198.51.100.1", true);
    answer(&f, AUTONAT_PROVED);
    autonat_forget(&f.a, f.now);
    assert_int_equal(f.a.reach, AUTONAT_PUBLIC); /* until something else is known */
    assert_true(autonat_deadline(&f.a) <= f.now + 3 * US_PER_S);
    answer(&f, AUTONAT_NO);
    answer(&f, AUTONAT_NO);
    assert_int_equal(f.a.reach, AUTONAT_PRIVATE);
}

static void version_1_follows_where_version_2_says_nothing(void **state)
{
    struct fixture f;
    struct autonat_question q;
    struct peer_id one = peer(1);
    struct net_addr at;
    fixture_init(&f, 1);
    net_addr_parse_ip("198.51.100.1", 4001, &at);
    autonat_server_seen(&f.a, &one, &at, true, true, false, f.now);
    next(&f, &q);
    assert_true(q.is_v2);
    autonat_answered(&f.a, AUTONAT_NO_ANSWER, (struct bytes){0}, f.now);
    uint64_t before = f.now;
    next(&f, &q);
    assert_false(q.is_v2);
    assert_true(f.now - before < 5 * US_PER_S);
    autonat_answered(&f.a, AUTONAT_NO, (struct bytes){0}, f.now);
    next(&f, &q);
    assert_false(q.is_v2); /* it works */
    autonat_answered(&f.a, AUTONAT_NO_ANSWER, (struct bytes){0}, f.now);
    before = f.now;
    next(&f, &q); /* neither: a pause, and from the beginning */
    assert_true(q.is_v2);
    assert_true(f.now - before > 15 * US_PER_S);
}

static void the_address_that_was_reached_gets_the_vote(void **state)
{
    struct fixture f;
    struct autonat_question q;
    fixture_init(&f, 2);
    seen(&f, 1, "198.51.100.1", false);
    next(&f, &q);
    assert_true(bytes_eq(q.addr, f.views[0]));
    autonat_answered(&f.a, AUTONAT_YES, f.views[1], f.now);
    assert_int_equal(f.a.addrs[0].vote_count, 0);
    assert_int_equal(f.a.addrs[1].vote_count, 1);
}

static void servers_and_addresses_are_bounded(void **state)
{
    struct fixture f;
    fixture_init(&f, 12);
    assert_int_equal(f.a.addr_count, LIMIT_AUTONAT_CANDIDATES);
    for (int i = 0; i < LIMIT_AUTONAT_SERVERS + 5; i++)
        seen(&f, i, "198.51.100.1", true);
    assert_int_equal(f.a.server_count, LIMIT_AUTONAT_SERVERS);
    struct peer_id gone = peer(3);
    autonat_server_gone(&f.a, &gone);
    assert_int_equal(f.a.server_count, LIMIT_AUTONAT_SERVERS - 1);
}

static void a_server_that_left_has_no_voice(void **state)
{
    struct fixture f;
    struct autonat_question q;
    struct peer_id one = peer(1);
    fixture_init(&f, 1);
    seen(&f, 1, "198.51.100.1", true);
    next(&f, &q);
    assert_false(autonat_next(&f.a, f.now + US_PER_S, &q)); /* one at a time */
    autonat_server_gone(&f.a, &one);
    autonat_answered(&f.a, AUTONAT_PROVED, (struct bytes){0}, f.now);
    assert_int_equal(f.a.reach, AUTONAT_UNKNOWN);
}

/* --- behind a NAT --- */

static void no_nat_is_before_our_own_address(void **state)
{
    struct fixture f;
    fixture_init(&f, 1);
    seen(&f, 1, "198.51.100.1", true);
    answer(&f, AUTONAT_REACHED); /* the only bootstrap node, which we dialled */
    assert_int_equal(f.a.reach, AUTONAT_PUBLIC);
}

static void whom_we_dialled_makes_it_likely_however_often(void **state)
{
    struct fixture f;
    fixture_init_behind(&f, 1);
    seen(&f, 1, "198.51.100.1", true);
    for (int i = 0; i < 5; i++) {
        answer(&f, AUTONAT_REACHED);
        assert_int_equal(f.a.addrs[0].verdict, AUTONAT_LIKELY_REACHABLE);
        assert_int_equal(f.a.reach, AUTONAT_LIKELY);
        assert_true(autonat_deadline(&f.a) > f.now + 4 * 60 * US_PER_S); /* nobody else is there */
    }
}

static void nor_do_many_of_them_make_it_public(void **state)
{
    static const char *const ips[] = {"198.51.100.1", "192.0.2.1", "8.8.8.8", "9.9.9.9", "7.7.7.7"};
    struct fixture f;
    fixture_init_behind(&f, 1);
    for (int i = 0; i < 5; i++)
        seen(&f, i, ips[i], i % 2);
    for (int i = 0; i < 20; i++) {
        struct autonat_question q;
        next(&f, &q);
        autonat_answered(&f.a, q.is_v2 ? AUTONAT_REACHED : AUTONAT_YES, (struct bytes){0}, f.now);
    }
    assert_int_equal(f.a.reach, AUTONAT_LIKELY);
}

static void a_stranger_is_asked_at_once_and_makes_it_public(void **state)
{
    struct fixture f;
    fixture_init_behind(&f, 1);
    seen(&f, 1, "198.51.100.1", true);
    answer(&f, AUTONAT_REACHED);
    seen(&f, 2, "192.0.2.1", true); /* dialled as well */
    f.is_stranger = true;
    seen(&f, 3, "8.8.8.8", true);
    uint64_t before = f.now;
    assert_int_equal(answer(&f, AUTONAT_PROVED), 3);
    assert_true(f.now - before < 5 * US_PER_S);
    assert_int_equal(f.a.reach, AUTONAT_PUBLIC);
    assert_int_equal(f.a.addrs[0].verdict, AUTONAT_REACHABLE);
}

/* The NAT lets in whom we dialled, and nobody else. */
static void strangers_know_better_than_whom_we_dialled(void **state)
{
    static const char *const ips[] = {"192.0.2.1", "8.8.8.8", "9.9.9.9"};
    struct fixture f;
    fixture_init_behind(&f, 1);
    seen(&f, 1, "198.51.100.1", true);
    answer(&f, AUTONAT_REACHED);
    f.is_stranger = true;
    for (int i = 0; i < 3; i++) {
        seen(&f, 2 + i, ips[i], true);
        assert_int_equal(answer(&f, AUTONAT_NO), 2 + i);
    }
    assert_int_equal(f.a.reach, AUTONAT_PRIVATE);
    for (int i = 0; i < 6; i++) { /* and it stays so, whatever the first one says */
        struct autonat_question q;
        int who = next(&f, &q);
        autonat_answered(&f.a, who == 1 ? AUTONAT_REACHED : AUTONAT_NO, (struct bytes){0}, f.now);
        assert_int_equal(f.a.reach, AUTONAT_PRIVATE);
    }
}

static void a_network_that_has_a_stranger_in_it_speaks_by_him(void **state)
{
    struct fixture f;
    fixture_init_behind(&f, 1);
    f.is_stranger = true;
    seen(&f, 1, "198.51.100.1", true);
    answer(&f, AUTONAT_NO);
    struct peer_id gone = peer(1);
    autonat_server_gone(&f.a, &gone);
    f.is_stranger = false;
    seen(&f, 2, "198.51.100.2", true);
    answer(&f, AUTONAT_REACHED);
    assert_int_equal(f.a.reach, AUTONAT_UNKNOWN);
    f.is_stranger = true;
    seen(&f, 1, "198.51.100.1", true);
    answer(&f, AUTONAT_NO);
    assert_int_equal(f.a.reach, AUTONAT_PRIVATE);
}

static void what_was_likely_can_be_lost(void **state)
{
    struct fixture f;
    fixture_init_behind(&f, 1);
    seen(&f, 1, "198.51.100.1", true);
    answer(&f, AUTONAT_REACHED);
    answer(&f, AUTONAT_NO);
    assert_int_equal(f.a.reach, AUTONAT_LIKELY);
    answer(&f, AUTONAT_NO);
    assert_int_equal(f.a.reach, AUTONAT_PRIVATE);
    answer(&f, AUTONAT_REACHED); /* the port was forwarded */
    assert_int_equal(f.a.reach, AUTONAT_LIKELY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_to_ask_is_unknown),
        cmocka_unit_test(one_proof_is_enough),
        cmocka_unit_test(a_single_server_has_to_say_no_twice),
        cmocka_unit_test(three_networks_decide_where_there_are_three),
        cmocka_unit_test(one_liar_decides_nothing),
        cmocka_unit_test(one_network_is_one_voice),
        cmocka_unit_test(version_2_is_preferred_and_no_answer_is_no_vote),
        cmocka_unit_test(pauses_after_no_answer_double_up_to_a_quarter_of_an_hour),
        cmocka_unit_test(private_when_all_addresses_fail_public_when_one_works),
        cmocka_unit_test(what_was_lost_is_noticed_by_the_next_refresh),
        cmocka_unit_test(another_network_is_asked_about_anew),
        cmocka_unit_test(version_1_follows_where_version_2_says_nothing),
        cmocka_unit_test(the_address_that_was_reached_gets_the_vote),
        cmocka_unit_test(servers_and_addresses_are_bounded),
        cmocka_unit_test(a_server_that_left_has_no_voice),
        cmocka_unit_test(no_nat_is_before_our_own_address),
        cmocka_unit_test(whom_we_dialled_makes_it_likely_however_often),
        cmocka_unit_test(nor_do_many_of_them_make_it_public),
        cmocka_unit_test(a_stranger_is_asked_at_once_and_makes_it_public),
        cmocka_unit_test(strangers_know_better_than_whom_we_dialled),
        cmocka_unit_test(a_network_that_has_a_stranger_in_it_speaks_by_him),
        cmocka_unit_test(what_was_likely_can_be_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
