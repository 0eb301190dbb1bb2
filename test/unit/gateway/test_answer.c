// SPDX-License-Identifier: MIT
/* The 200, the silence and the end, decided without a socket. */
#include "gateway/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S 1000000u
static const struct answer_config stream = {
    .is_stream = true, .head_wait_us = 15 * S, .keepalive_us = 15 * S, .stall_us = 20 * S};

static void the_200_goes_with_the_first_event(void **state)
{
    struct answer a;
    answer_init(&a, &stream, 0);
    assert_int_equal(answer_tick(&a, 14 * S), 0);
    assert_int_equal(answer_event(&a, false, 14 * S), ANSWER_SEND_HEAD | ANSWER_SEND_EVENT);
    assert_int_equal(answer_event(&a, false, 15 * S), ANSWER_SEND_EVENT);
    assert_false(answer_can_fail_over(&a));
    assert_int_equal(answer_event(&a, true, 15 * S), ANSWER_SEND_EVENT | ANSWER_END_BODY);
    assert_true(answer_deadline(&a) == UINT64_MAX);
}

static void after_head_wait_the_200_goes_alone_and_another_may_still_answer(void **state)
{
    struct answer a;
    answer_init(&a, &stream, 0);
    assert_true(answer_deadline(&a) == 15 * S);
    assert_int_equal(answer_tick(&a, 15 * S), ANSWER_SEND_HEAD | ANSWER_SEND_COMMENT);
    assert_true(answer_can_fail_over(&a));
    answer_life(&a, 16 * S);
    assert_int_equal(answer_tick(&a, 29 * S), 0);
    assert_int_equal(answer_tick(&a, 30 * S), ANSWER_SEND_COMMENT);
    assert_int_equal(answer_event(&a, false, 31 * S), ANSWER_SEND_EVENT);
}

static void failing_early_is_a_status_failing_late_an_event(void **state)
{
    struct answer a;
    answer_init(&a, &stream, 0);
    assert_int_equal(answer_failed(&a), ANSWER_SEND_STATUS);
    assert_int_equal(answer_failed(&a), 0);
    answer_init(&a, &stream, 0);
    answer_tick(&a, 15 * S);
    assert_int_equal(answer_failed(&a), ANSWER_SEND_ERROR_EVENT | ANSWER_END_BODY);
    answer_init(&a, &stream, 0);
    answer_event(&a, false, 1);
    assert_int_equal(answer_failed(&a), ANSWER_SEND_ERROR_EVENT | ANSWER_END_BODY);
}

static void signs_of_life_put_off_the_stall(void **state)
{
    struct answer a;
    answer_init(&a, &stream, 0);
    assert_false(answer_is_stalled(&a, 19 * S));
    answer_life(&a, 19 * S);
    assert_false(answer_is_stalled(&a, 38 * S));
    assert_true(answer_is_stalled(&a, 39 * S));
    answer_watch(&a, true, 39 * S);
    assert_false(answer_is_stalled(&a, 40 * S));
}

static void a_provider_shows_life_before_its_head(void **state)
{
    struct answer a;
    struct answer_config cfg = {
        .is_stream = false, .shows_life_early = true, .keepalive_us = 5 * S};
    answer_init(&a, &cfg, 0);
    assert_int_equal(answer_tick(&a, 5 * S), ANSWER_SEND_COMMENT);
    assert_int_equal(answer_tick(&a, 9 * S), 0);
    assert_int_equal(answer_tick(&a, 10 * S), ANSWER_SEND_COMMENT);
    cfg.shows_life_early = false;
    answer_init(&a, &cfg, 0);
    assert_int_equal(answer_tick(&a, 100 * S), 0);
}

static void keepalives_can_be_turned_off(void **state)
{
    struct answer a;
    struct answer_config cfg = {.is_stream = true};
    answer_init(&a, &cfg, 0);
    assert_true(answer_deadline(&a) == UINT64_MAX);
    assert_int_equal(answer_tick(&a, 3600u * S), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_200_goes_with_the_first_event),
        cmocka_unit_test(after_head_wait_the_200_goes_alone_and_another_may_still_answer),
        cmocka_unit_test(failing_early_is_a_status_failing_late_an_event),
        cmocka_unit_test(signs_of_life_put_off_the_stall),
        cmocka_unit_test(a_provider_shows_life_before_its_head),
        cmocka_unit_test(keepalives_can_be_turned_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
