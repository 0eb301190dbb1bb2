// SPDX-License-Identifier: MIT
/* The book of where the listening port has sent to. */
#include "p2p/sent.h"

#include "base/limits.h"
#include "base/sched.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MINUTE (60 * US_PER_S)

static struct net_addr at(const char *ip, uint16_t port)
{
    struct net_addr a;
    assert_int_equal(net_addr_parse_ip(ip, port, &a), 0);
    return a;
}

static enum sent_to look(const struct sent *s, const char *ip, uint16_t port, uint64_t now)
{
    struct net_addr a = at(ip, port);
    return sent_look(s, &a, now);
}

static void note(struct sent *s, const char *ip, uint16_t port, uint64_t now)
{
    struct net_addr a = at(ip, port);
    sent_note(s, &a, now);
}

static void an_ip_and_a_port_of_it(void **state)
{
    struct sent s;
    sent_init(&s, 1);
    assert_int_equal(look(&s, "192.0.2.1", 4001, 0), SENT_TO_NOBODY);
    note(&s, "192.0.2.1", 4001, 0);
    note(&s, "2001:db8::1", 4001, 0);
    assert_int_equal(look(&s, "192.0.2.1", 4001, 1), SENT_TO_PORT);
    assert_int_equal(look(&s, "192.0.2.1", 4002, 1), SENT_TO_IP);
    assert_int_equal(look(&s, "192.0.2.2", 4001, 1), SENT_TO_NOBODY);
    assert_int_equal(look(&s, "2001:db8::1", 9, 1), SENT_TO_IP);
    assert_int_equal(look(&s, "2001:db8::2", 4001, 1), SENT_TO_NOBODY);
    sent_fini(&s);
}

static void a_quarter_of_an_hour_after_the_last_time_it_is_forgotten(void **state)
{
    struct sent s;
    sent_init(&s, 2);
    note(&s, "192.0.2.1", 4001, 0);
    note(&s, "192.0.2.2", 4001, 0);
    note(&s, "192.0.2.1", 4001, 10 * MINUTE);
    assert_int_equal(look(&s, "192.0.2.1", 4001, 24 * MINUTE), SENT_TO_PORT);
    assert_int_equal(look(&s, "192.0.2.2", 4001, 16 * MINUTE), SENT_TO_NOBODY);
    note(&s, "192.0.2.3", 4001, 30 * MINUTE);
    assert_int_equal(map_count(&s.places), 1);
    assert_int_equal(map_count(&s.machines), 1);
    sent_fini(&s);
}

/* As long as one port of it is remembered, so is the IP. */
static void an_ip_outlives_one_of_its_ports(void **state)
{
    struct sent s;
    sent_init(&s, 3);
    note(&s, "192.0.2.1", 1, 0);
    note(&s, "192.0.2.1", 2, 10 * MINUTE);
    note(&s, "192.0.2.9", 1, 16 * MINUTE); /* the first is thrown out */
    assert_int_equal(map_count(&s.places), 2);
    assert_int_equal(look(&s, "192.0.2.1", 1, 16 * MINUTE), SENT_TO_IP);
    assert_int_equal(look(&s, "192.0.2.1", 2, 16 * MINUTE), SENT_TO_PORT);
    assert_int_equal(look(&s, "192.0.2.1", 2, 26 * MINUTE), SENT_TO_NOBODY);
    note(&s, "192.0.2.9", 1, 26 * MINUTE);
    note(&s, "192.0.2.8", 1, 26 * MINUTE);
    assert_int_equal(map_count(&s.machines), 2);
    sent_fini(&s);
}

/* Who was pushed out is not taken for a stranger. */
static void a_full_book_is_not_sure_of_anybody(void **state)
{
    struct sent s;
    sent_init(&s, 3);
    for (int i = 0; i < LIMIT_SENT; i++)
        note(&s, "192.0.2.1", (uint16_t)(1 + i), MINUTE);
    assert_int_equal(look(&s, "192.0.2.9", 1, 2 * MINUTE), SENT_TO_NOBODY);
    note(&s, "192.0.2.2", 1, 2 * MINUTE);
    assert_int_equal(map_count(&s.places), LIMIT_SENT);
    assert_int_equal(look(&s, "192.0.2.9", 1, 15 * MINUTE), SENT_TO_IP);
    assert_int_equal(look(&s, "192.0.2.9", 1, 16 * MINUTE), SENT_TO_NOBODY);
    sent_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ip_and_a_port_of_it),
        cmocka_unit_test(an_ip_outlives_one_of_its_ports),
        cmocka_unit_test(a_quarter_of_an_hour_after_the_last_time_it_is_forgotten),
        cmocka_unit_test(a_full_book_is_not_sure_of_anybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
