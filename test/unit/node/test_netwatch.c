// SPDX-License-Identifier: MIT
/* What counts as having moved or slept. */
#include "node/netwatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define S UINT64_C(1000000)

static struct net_addr ip(const char *text)
{
    struct net_addr a;
    assert_int_equal(net_addr_parse_ip(text, 0, &a), 0);
    return a;
}

static void nothing_changes_on_a_quiet_machine(void **state)
{
    struct netwatch w = {0};
    struct net_addr a[] = {ip("10.0.0.1"), ip("127.0.0.1"), ip("2001:db8::1")};
    struct net_addr b[] = {ip("2001:db8::1"), ip("10.0.0.1")}; /* another order, no loopback */
    assert_int_equal(netwatch_step(&w, a, 3, S, 0), NETWATCH_SAME);
    assert_true(netwatch_deadline(&w) == S + NETWATCH_EVERY_US);
    assert_int_equal(netwatch_step(&w, a, 3, 3 * S, 0), NETWATCH_SAME);
    assert_int_equal(netwatch_step(&w, b, 2, 5 * S, 0), NETWATCH_SAME);
    assert_true(netwatch_is_connected(&w));
}

static void an_address_that_came_or_went_is_a_move(void **state)
{
    struct netwatch w = {0};
    struct net_addr a[] = {ip("10.0.0.1"), ip("10.0.0.2")}, c[] = {ip("10.0.0.3")};
    netwatch_step(&w, a, 1, S, 0);
    assert_int_equal(netwatch_step(&w, a, 2, 3 * S, 0), NETWATCH_MOVED);
    assert_int_equal(netwatch_step(&w, a, 2, 5 * S, 0), NETWATCH_SAME);
    assert_int_equal(netwatch_step(&w, c, 1, 7 * S, 0), NETWATCH_MOVED);
    assert_int_equal(netwatch_step(&w, c, 0, 9 * S, 0), NETWATCH_MOVED);
    assert_false(netwatch_is_connected(&w));
    assert_int_equal(netwatch_step(&w, c, 1, 11 * S, 0), NETWATCH_MOVED);
}

static void link_local_addresses_say_nothing(void **state)
{
    struct netwatch w = {0};
    struct net_addr a[] = {ip("10.0.0.1"), ip("fe80::1")};
    netwatch_step(&w, a, 1, S, 0);
    assert_int_equal(netwatch_step(&w, a, 2, 3 * S, 0), NETWATCH_SAME);
}

static void sleep_shows_in_either_way(void **state)
{
    struct netwatch w = {0};
    struct net_addr a = ip("10.0.0.1");
    netwatch_step(&w, &a, 1, S, 1000 * S); /* it slept before the node started */
    assert_int_equal(netwatch_step(&w, &a, 1, 6 * S, 1000 * S), NETWATCH_SAME); /* busy, 3 s late */
    assert_int_equal(netwatch_step(&w, &a, 1, 60 * S, 1000 * S), NETWATCH_WOKE);
    assert_int_equal(netwatch_step(&w, &a, 1, 62 * S, 1000 * S), NETWATCH_SAME);
    assert_int_equal(netwatch_step(&w, &a, 1, 64 * S, 4600 * S), NETWATCH_WOKE); /* stood still */
    assert_int_equal(netwatch_step(&w, &a, 1, 66 * S, 4600 * S), NETWATCH_SAME);
    assert_int_equal(netwatch_step(&w, &a, 1, 68 * S, 4604 * S), NETWATCH_SAME); /* a nod */
}

static void many_interfaces_are_bounded(void **state)
{
    struct netwatch w = {0};
    struct net_addr a[100];
    for (int i = 0; i < 100; i++) {
        a[i] = ip("10.0.0.1");
        a[i].ip[3] = (uint8_t)i;
    }
    netwatch_step(&w, a, 100, S, 0);
    assert_int_equal(w.count, NETWATCH_ADDRS);
    assert_int_equal(netwatch_step(&w, a, 100, 3 * S, 0), NETWATCH_SAME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changes_on_a_quiet_machine),
        cmocka_unit_test(an_address_that_came_or_went_is_a_move),
        cmocka_unit_test(link_local_addresses_say_nothing),
        cmocka_unit_test(sleep_shows_in_either_way),
        cmocka_unit_test(many_interfaces_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
