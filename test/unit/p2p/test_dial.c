// SPDX-License-Identifier: MIT
/* The race for one peer, in the test's own time: order, stagger, failures, the end; and what the
 * log says of it, word by word. */
#include "base/err.h"
#include "base/mem.h"
#include "base/sched.h"
#include "base/trace.h"
#include "p2p/dial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MS US_PER_MS

static struct net_addr addr(const char *ip)
{
    struct net_addr a;
    assert_int_equal(net_addr_parse_ip(ip, 8000, &a), 0);
    return a;
}

static void add(struct dial *d, const char *ip)
{
    struct net_addr a = addr(ip);
    assert_int_equal(dial_add(d, &a), 0);
}

/* The next effect, as "start 10.0.0.1:8000", "cancel …", "give up E_…", or "-". */
static const char *effect(struct dial *d, uint64_t now)
{
    static char text[200];
    char at[NET_ADDR_TEXT];
    struct dial_effect e;
    if (!dial_next(d, now, &e))
        return "-";
    if (e.kind == DIAL_GIVE_UP)
        snprintf(text, sizeof text, "give up %s", err_name(e.err));
    else
        snprintf(text, sizeof text, "%s %s", e.kind == DIAL_START ? "start" : "cancel",
                 net_addr_format(&e.to.at, at));
    return text;
}

static void failed(struct dial *d, const char *ip, int err, uint64_t now)
{
    struct dial_target a = {.at = addr(ip)};
    dial_failed(d, &a, err, err_text(err), now);
}

static struct dial race(const struct dial_cfg *cfg)
{
    struct dial d;
    struct dial_cfg defaults = dial_cfg_default();
    dial_init(&d, cfg ? cfg : &defaults, "12D3KooWpeer", 0);
    return d;
}

static void relays_come_last_and_later(void **state)
{
    struct dial d = race(NULL);
    struct peer_id relay = {.len = 3, .b = {0, 1, 7}};
    assert_int_equal(dial_add_relayed(&d, &relay), 0);
    assert_int_equal(dial_add_relayed(&d, &relay), E_EXISTS);
    add(&d, "192.0.2.1");
    assert_string_equal(effect(&d, 0), "start 192.0.2.1:8000");
    assert_string_equal(effect(&d, 249 * MS), "-");
    struct dial_effect e;
    assert_true(dial_next(&d, 250 * MS, &e));
    assert_int_equal(e.kind, DIAL_START);
    assert_true(dial_target_is_relayed(&e.to));
    dial_failed(&d, &e.to, E_LIMIT, "the relay is full", 260 * MS);
    failed(&d, "192.0.2.1", E_REFUSED, 270 * MS);
    assert_string_equal(effect(&d, 270 * MS), "give up E_LIMIT");
}

static void near_addresses_go_first(void **state)
{
    struct dial d = race(NULL);
    add(&d, "192.0.2.1");
    add(&d, "2001:db8::1");
    add(&d, "10.0.0.1");
    add(&d, "fd00::1");
    add(&d, "127.0.0.1");
    add(&d, "192.0.2.2");
    assert_string_equal(effect(&d, 0), "start 127.0.0.1:8000");
    assert_string_equal(effect(&d, 0), "-");
    assert_int_equal(dial_deadline(&d), 30 * MS);
    assert_string_equal(effect(&d, 30 * MS), "start [fd00::1]:8000");
    assert_string_equal(effect(&d, 60 * MS), "start 10.0.0.1:8000");
    assert_int_equal(dial_deadline(&d), 310 * MS);
    assert_string_equal(effect(&d, 309 * MS), "-");
    assert_string_equal(effect(&d, 310 * MS), "start [2001:db8::1]:8000");
    assert_string_equal(effect(&d, 560 * MS), "start 192.0.2.1:8000");
    assert_string_equal(effect(&d, 810 * MS), "start 192.0.2.2:8000");
}

static void a_failure_starts_the_next_at_once(void **state)
{
    struct dial d = race(NULL);
    add(&d, "192.0.2.1");
    add(&d, "192.0.2.2");
    assert_string_equal(effect(&d, 0), "start 192.0.2.1:8000");
    failed(&d, "192.0.2.1", E_REFUSED, 5 * MS);
    assert_string_equal(effect(&d, 5 * MS), "start 192.0.2.2:8000");
    failed(&d, "192.0.2.2", E_TIMEOUT, 9 * MS);
    assert_string_equal(effect(&d, 9 * MS), "give up E_REFUSED"); /* says more than a timeout */
    assert_string_equal(effect(&d, 9 * MS), "-");
    assert_int_equal(dial_deadline(&d), SCHED_NEVER);
}

static void the_first_to_win_cancels_the_others(void **state)
{
    struct dial d = race(NULL);
    struct net_addr two = addr("10.0.0.2");
    add(&d, "10.0.0.1");
    add(&d, "10.0.0.2");
    add(&d, "10.0.0.3");
    assert_string_equal(effect(&d, 0), "start 10.0.0.1:8000");
    assert_string_equal(effect(&d, 30 * MS), "start 10.0.0.2:8000");
    dial_won(&d, &(struct dial_target){.at = two});
    assert_string_equal(effect(&d, 31 * MS), "cancel 10.0.0.1:8000");
    assert_string_equal(effect(&d, 31 * MS), "-"); /* and the third never starts */
    failed(&d, "10.0.0.1", E_CANCELLED, 32 * MS);  /* ignored */
    assert_int_equal(dial_deadline(&d), SCHED_NEVER);
}

static void each_attempt_has_its_deadline(void **state)
{
    struct dial d = race(NULL);
    add(&d, "192.0.2.1");
    assert_string_equal(effect(&d, 0), "start 192.0.2.1:8000");
    assert_int_equal(dial_deadline(&d), 10000 * MS);
    assert_string_equal(effect(&d, 9999 * MS), "-");
    assert_string_equal(effect(&d, 10000 * MS), "cancel 192.0.2.1:8000");
    assert_string_equal(effect(&d, 10000 * MS), "give up E_TIMEOUT");
}

static void names_still_resolving_keep_it_open(void **state)
{
    struct dial d = race(NULL);
    dial_expect_more(&d, true);
    assert_string_equal(effect(&d, 0), "-");
    add(&d, "192.0.2.1");
    assert_string_equal(effect(&d, 0), "start 192.0.2.1:8000");
    failed(&d, "192.0.2.1", E_REFUSED, 1 * MS);
    assert_string_equal(effect(&d, 1 * MS), "-");
    dial_expect_more(&d, false);
    assert_string_equal(effect(&d, 2 * MS), "give up E_REFUSED");
}

static void without_addresses_it_says_so(void **state)
{
    struct dial d = race(NULL);
    assert_string_equal(effect(&d, 0), "give up E_NOT_FOUND");
}

static void so_many_at_once_and_no_more(void **state)
{
    struct dial_cfg cfg = dial_cfg_default();
    cfg.max_active = 2;
    struct dial d = race(&cfg);
    add(&d, "10.0.0.1");
    add(&d, "10.0.0.2");
    add(&d, "10.0.0.3");
    assert_string_equal(effect(&d, 0), "start 10.0.0.1:8000");
    assert_string_equal(effect(&d, 30 * MS), "start 10.0.0.2:8000");
    assert_string_equal(effect(&d, 90 * MS), "-");
    failed(&d, "10.0.0.1", E_REFUSED, 100 * MS);
    assert_string_equal(effect(&d, 100 * MS), "start 10.0.0.3:8000");
}

static void addresses_have_a_limit_and_count_once(void **state)
{
    struct dial d = race(NULL);
    struct net_addr a = addr("10.0.0.1");
    for (int i = 0; i < LIMIT_DIAL_ADDRS; i++) {
        a.ip[3] = (uint8_t)(i + 1);
        assert_int_equal(dial_add(&d, &a), 0);
        assert_int_equal(dial_add(&d, &a), E_EXISTS);
    }
    a.ip[3] = 200;
    assert_int_equal(dial_add(&d, &a), E_LIMIT);
}

/* --- the log --- */

static char story[2048];

static void keep_line(void *ctx, enum trace_room room, enum trace_level level, const char *line)
{
    size_t n = strlen(story);
    snprintf(story + n, sizeof story - n, "%s\n", line);
}

static void the_log_tells_the_race(void **state)
{
    struct dial d = race(NULL);
    story[0] = 0;
    trace_set_all(TRACE_DEBUG);
    trace_set_sink(keep_line, NULL);
    add(&d, "10.0.0.1");
    add(&d, "192.0.2.1");
    effect(&d, 0);
    failed(&d, "10.0.0.1", E_REFUSED, 1 * MS);
    effect(&d, 1 * MS);
    failed(&d, "192.0.2.1", E_WRONG_PEER, 40 * MS);
    effect(&d, 40 * MS);
    trace_set_sink(NULL, NULL);
    trace_set_all(TRACE_OFF);
    assert_string_equal(
        story,
        "dial 12D3KooWpeer: 10.0.0.1:8000 -> connecting\n"
        "dial 12D3KooWpeer: 10.0.0.1:8000: connection refused -> trying the next address\n"
        "dial 12D3KooWpeer: 192.0.2.1:8000 -> connecting\n"
        "dial 12D3KooWpeer: 192.0.2.1:8000: another peer answered than the one that was asked"
        " -> none left, giving up\n");
}

int main(void)
{
    trace_set_all(TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_addresses_go_first),
        cmocka_unit_test(relays_come_last_and_later),
        cmocka_unit_test(a_failure_starts_the_next_at_once),
        cmocka_unit_test(the_first_to_win_cancels_the_others),
        cmocka_unit_test(each_attempt_has_its_deadline),
        cmocka_unit_test(names_still_resolving_keep_it_open),
        cmocka_unit_test(without_addresses_it_says_so),
        cmocka_unit_test(so_many_at_once_and_no_more),
        cmocka_unit_test(addresses_have_a_limit_and_count_once),
        cmocka_unit_test(the_log_tells_the_race),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
