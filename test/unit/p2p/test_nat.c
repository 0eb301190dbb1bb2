// SPDX-License-Identifier: MIT
/* What others see of our connections, and which NAT that makes. */
#include "p2p/nat.h"

#include "base/sched.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void note(struct nat *n, const char *by, const char *seen, uint16_t port, bool is_own,
                 bool is_from_listener)
{
    struct net_addr a, b;
    assert_int_equal(net_addr_parse_ip(by, 4001, &a), 0);
    assert_int_equal(net_addr_parse_ip(seen, port, &b), 0);
    nat_note(n, &a, &b, is_own, is_from_listener, US_PER_S);
}

static void kinds(void **state)
{
    struct nat n = {0};
    assert_int_equal(nat_kind(&n, US_PER_S), P2P_NAT_UNKNOWN);
    note(&n, "198.51.100.1", "203.0.113.5", 40000, true, true);
    assert_int_equal(nat_kind(&n, US_PER_S), P2P_NAT_NONE);
    nat_forget(&n);
    note(&n, "198.51.100.1", "203.0.113.5", 40000, false, true);
    assert_int_equal(nat_kind(&n, US_PER_S), P2P_NAT_SOME); /* one view compares with nothing */
    note(&n, "198.51.100.2", "203.0.113.5", 40000, false, true);
    assert_int_equal(nat_kind(&n, US_PER_S), P2P_NAT_ENDPOINT_INDEPENDENT);
    note(&n, "198.51.100.3", "203.0.113.5", 40001, false, true);
    assert_int_equal(nat_kind(&n, US_PER_S), P2P_NAT_ENDPOINT_DEPENDENT);
    assert_int_equal(nat_kind(&n, 3600 * US_PER_S), P2P_NAT_UNKNOWN); /* long ago */
}

static void connections_from_new_ports_tell_only_that_there_is_one(void **state)
{
    struct nat n = {0};
    note(&n, "198.51.100.1", "203.0.113.5", 40000, false, false);
    note(&n, "198.51.100.2", "203.0.113.5", 40001, false, false);
    assert_int_equal(nat_kind(&n, US_PER_S), P2P_NAT_SOME);
}

static void neighbours_and_other_worlds_are_not_compared(void **state)
{
    struct nat n = {0};
    note(&n, "192.168.1.2", "203.0.113.5", 40000, false, true);
    note(&n, "198.51.100.2", "192.168.1.3", 40000, false, true);
    assert_int_equal(nat_kind(&n, US_PER_S), P2P_NAT_UNKNOWN);
    note(&n, "198.51.100.1", "203.0.113.5", 40000, false, true);
    note(&n, "2001:db8::1", "2001:db8:1::5", 40001, false, true);
    assert_int_equal(nat_kind(&n, US_PER_S), P2P_NAT_SOME);
}

static void the_book_is_bounded_and_keeps_the_latest(void **state)
{
    struct nat n = {0};
    char by[32];
    for (int i = 0; i < 3 * NAT_VIEWS; i++) {
        snprintf(by, sizeof by, "198.51.100.%d", i);
        note(&n, by, "203.0.113.5", 40000, false, true);
    }
    assert_int_equal(n.count, NAT_VIEWS);
    assert_string_equal(nat_text(nat_kind(&n, US_PER_S)), "endpoint-independent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),
        cmocka_unit_test(connections_from_new_ports_tell_only_that_there_is_one),
        cmocka_unit_test(neighbours_and_other_worlds_are_not_compared),
        cmocka_unit_test(the_book_is_bounded_and_keeps_the_latest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
