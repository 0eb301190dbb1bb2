// SPDX-License-Identifier: MIT
/* Who is served: rates, hours, sizes, turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/sched.h"
#include "guard/guard.h"
#include "guard/queue.h"

static struct principal peer(uint8_t n)
{
    return (struct principal){.kind = PRINCIPAL_PEER, .id_len = 1, .id = {n}};
}

static void rates_hours_and_sizes(void **state)
{
    struct guard_config cfg = {
        .per_minute = 4, .per_minute_per_peer = 2, .max_body = 1000, .max_prompt_tokens = 50};
    struct guard g;
    struct guard_refusal why;
    struct principal a = peer(1), b = peer(2), c = peer(3), owner = {.kind = PRINCIPAL_OWNER};
    assert_int_equal(schedule_init(&cfg.schedule, "22:00", "06:00"), 0);
    guard_init(&g, &cfg, 0, 1);
    assert_int_equal(guard_check(&g, &a, 10, 0, 0, 12 * 60, &why), E_DENIED);
    assert_string_equal(why.code, "outside_schedule");
    assert_true(why.status == 503 && why.retry_after_s == 10 * 3600);
    assert_int_equal(guard_check(&g, &a, 1001, 0, 0, 0, &why), E_DENIED);
    assert_int_equal(why.status, 413);
    assert_int_equal(guard_check(&g, &a, 10, 51, 0, 0, &why), E_DENIED);
    assert_int_equal(guard_check(&g, &a, 1000, 50, 0, 0, &why), 0);
    assert_int_equal(guard_check(&g, &a, 10, 0, 0, 0, &why), 0);
    assert_int_equal(guard_check(&g, &a, 10, 0, 0, 0, &why), E_DENIED); /* its own two */
    assert_true(why.status == 429 && why.retry_after_s == 30);
    assert_int_equal(guard_check(&g, &b, 10, 0, 0, 0, &why), 0);
    assert_int_equal(guard_check(&g, &c, 10, 0, 0, 0, &why), 0);
    assert_int_equal(guard_check(&g, &c, 10, 0, 0, 0, &why), E_DENIED); /* all four are used */
    assert_true(why.status == 429 && why.retry_after_s == 15);
    assert_int_equal(guard_check(&g, &owner, 99999, 99999, 0, 12 * 60, &why), 0);
    assert_int_equal(guard_check(&g, &c, 10, 0, 15 * US_PER_S, 0, &why), 0);
    g.is_paused = true;
    assert_int_equal(guard_check(&g, &b, 10, 0, 99 * US_PER_S, 0, &why), E_DENIED);
    assert_string_equal(why.code, "paused");
    guard_fini(&g);
}

static void hours(void **state)
{
    struct schedule s;
    assert_int_equal(schedule_init(&s, "22:00", "06:00"), 0);
    assert_false(schedule_is_open(&s, 22 * 60 - 1));
    assert_true(schedule_is_open(&s, 22 * 60) && schedule_is_open(&s, 0) &&
                schedule_is_open(&s, 359));
    assert_false(schedule_is_open(&s, 360)); /* "until 6" is over at 6:00 */
    for (unsigned m = 0; m < 24 * 60; m++) { /* the next change is the first minute that differs */
        unsigned n = 1;
        while (schedule_is_open(&s, (m + n) % (24 * 60)) == schedule_is_open(&s, m))
            n++;
        assert_int_equal(schedule_until_change(&s, m), n);
    }
    assert_int_equal(schedule_init(&s, "24:00", "06:00"), E_MALFORMED);
    assert_int_equal(schedule_init(&s, "1", "06:00"), E_MALFORMED);
}

static void memory_of_rates_is_bounded(void **state)
{
    struct guard_config cfg = {.per_minute_per_peer = 1};
    struct guard g;
    struct guard_refusal why;
    guard_init(&g, &cfg, 0, 1);
    for (unsigned i = 0; i < LIMIT_GUARD_PEERS + 100; i++) {
        struct principal p = {
            .kind = PRINCIPAL_PEER, .id_len = 2, .id = {(uint8_t)i, (uint8_t)(i >> 8)}};
        assert_int_equal(guard_check(&g, &p, 0, 0, 0, 0, &why), 0);
    }
    assert_int_equal(map_count(&g.by_peer), LIMIT_GUARD_PEERS);
    guard_fini(&g);
}

static int went[64], went_count;
struct named {
    struct queue_ticket t;
    int name;
};
static void go(struct queue_ticket *t)
{
    went[went_count++] = CONTAINER_OF(t, struct named, t)->name;
}

static void turns_are_fair(void **state)
{
    struct queue q;
    struct named v[6] = {0};
    struct principal a = peer(1), b = peer(2), owner = {.kind = PRINCIPAL_OWNER};
    const struct principal *who[] = {&a, &a, &a, &a, &b, &owner};
    queue_init(&q, 1);
    for (int i = 0; i < 6; i++) {
        v[i].name = i;
        v[i].t.go = go;
        assert_int_equal(queue_enter(&q, &v[i].t, who[i]), i == 0);
    }
    assert_int_equal(queue_ahead(&q, &v[4].t), 2); /* the owner, and one of a's */
    queue_leave(&q, &v[3].t);                      /* gave up */
    went_count = 0;
    static const int order[] = {0, 5, 1, 4, 2};
    for (int i = 0; i < 5; i++)
        queue_leave(&q, &v[order[i]].t);
    assert_int_equal(went_count, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(went[i], order[i + 1]);
    assert_int_equal(q.running + q.waiting, 0);
}

static void the_queue_is_bounded(void **state)
{
    struct queue q;
    static struct queue_ticket t[LIMIT_GUARD_QUEUE_PEER + 2];
    struct principal a = peer(1), b = peer(2);
    struct queue_ticket other;
    queue_init(&q, 1);
    for (int i = 0; i <= LIMIT_GUARD_QUEUE_PEER; i++)
        assert_int_equal(queue_enter(&q, &t[i], &a), i == 0);
    assert_int_equal(queue_enter(&q, &t[LIMIT_GUARD_QUEUE_PEER + 1], &a), E_LIMIT);
    assert_int_equal(queue_enter(&q, &other, &b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_hours_and_sizes),      cmocka_unit_test(hours),
        cmocka_unit_test(memory_of_rates_is_bounded), cmocka_unit_test(turns_are_fair),
        cmocka_unit_test(the_queue_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
