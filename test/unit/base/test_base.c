// SPDX-License-Identifier: MIT
/* The small containers everything stands on: buffers with limits, the map, the heap under timers. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/net.h"
#include "base/rng.h"
#include "base/sched.h"
#include "base/text.h"
#include "base/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void buf_keeps_its_limit(void **state)
{
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(buf_append(&b, "0123456789", 10), 0);
    assert_int_equal(buf_append(&b, "x", 1), E_LIMIT);
    assert_int_equal(buf_len(&b), 10);
    buf_consume(&b, 4);
    assert_int_equal(buf_append(&b, "abcd", 4), 0);
    assert_int_equal(buf_append(&b, "e", 1), E_LIMIT);
    assert_memory_equal(buf_view(&b).p, "456789abcd", 10);
    assert_int_equal(buf_printf(&b, "%s", "y"), E_LIMIT);
    buf_fini(&b);
}

static void buf_is_a_queue(void **state)
{
    struct rng r;
    struct buf b;
    uint8_t next_in = 0, next_out = 0;
    rng_init_seeded(&r, 7);
    buf_init(&b, 0);
    for (int i = 0; i < 20000; i++) {
        uint8_t chunk[300];
        size_t n = rng_below(&r, sizeof chunk), take;
        for (size_t k = 0; k < n; k++)
            chunk[k] = next_in++;
        assert_int_equal(buf_append(&b, chunk, n), 0);
        take = rng_below(&r, buf_len(&b) + 1);
        for (size_t k = 0; k < take; k++)
            assert_int_equal(buf_view(&b).p[k], next_out++);
        buf_consume(&b, take);
    }
    buf_fini(&b);
}

static void buf_prints_long_lines(void **state)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(buf_printf(&b, "%0500d", 7), 0);
    assert_int_equal(buf_len(&b), 500);
    assert_int_equal(buf_view(&b).p[499], '7');
    char *s = buf_take_str(&b);
    assert_int_equal(strlen(s), 500);
    free(s);
}

static void map_agrees_with_a_model(void **state)
{
    struct map m;
    struct rng r;
    static int values[500];
    bool has[500] = {0};
    size_t count = 0;
    map_init(&m, 42);
    rng_init_seeded(&r, 1);
    for (int i = 0; i < 50000; i++) {
        uint32_t k = (uint32_t)rng_below(&r, 500);
        struct bytes key = bytes_of(&k, sizeof k);
        assert_ptr_equal(map_get(&m, key), has[k] ? &values[k] : NULL);
        if (rng_below(&r, 2)) {
            assert_ptr_equal(map_put(&m, key, &values[k]), has[k] ? &values[k] : NULL);
            count += !has[k];
            has[k] = true;
        } else {
            assert_ptr_equal(map_take(&m, key), has[k] ? &values[k] : NULL);
            count -= has[k];
            has[k] = false;
        }
        assert_int_equal(map_count(&m), count);
    }
    size_t seen = 0;
    for (struct map_entry *e = map_first(&m); e; e = map_next(&m, e))
        seen++;
    assert_int_equal(seen, count);
    map_fini(&m);
}

struct probe {
    struct timer timer;
    struct task task;
    struct sched *s;
    int fired, ran;
    uint64_t again_us;
};

static void probe_fire(struct timer *t)
{
    struct probe *p = CONTAINER_OF(t, struct probe, timer);
    p->fired++;
    if (p->again_us)
        timer_after(p->s, t, p->again_us);
}

static void probe_run(struct task *t)
{
    CONTAINER_OF(t, struct probe, task)->ran++;
}

static void timers_fire_in_order_and_once(void **state)
{
    struct sched s;
    struct probe p[3] = {0};
    sched_init(&s, 100, 0);
    for (int i = 0; i < 3; i++) {
        p[i].s = &s;
        timer_init(&p[i].timer, probe_fire);
        task_init(&p[i].task, probe_run);
    }
    timer_after(&s, &p[0].timer, 50);
    timer_after(&s, &p[1].timer, 20);
    timer_set(&s, &p[2].timer, SCHED_NEVER);
    assert_int_equal(sched_deadline(&s), 120);
    sched_set_now(&s, 130, 0);
    sched_run_timers(&s);
    assert_int_equal(p[0].fired, 0);
    assert_int_equal(p[1].fired, 1);
    timer_after(&s, &p[0].timer, 5); /* moves */
    assert_int_equal(sched_deadline(&s), 135);
    timer_clear(&s, &p[0].timer);
    assert_true(sched_deadline(&s) == SCHED_NEVER);
    task_defer(&s, &p[0].task);
    task_defer(&s, &p[0].task);
    assert_int_equal(sched_deadline(&s), 130);
    sched_run_tasks(&s);
    assert_int_equal(p[0].ran, 1);
    sched_fini(&s);
}

/* A timer that sets itself to "now" must not spin inside one turn. */
/* What is due about then is due in one moment, and never early. */
static void timers_about_a_time_fall_together(void **state)
{
    struct sched s;
    struct timer t[50];
    sched_init(&s, 1234567, 0);
    uint64_t first = 0;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        uint64_t delay = 800000 + 2000 * i;
        timer_init(&t[i], NULL);
        timer_about(&s, &t[i], delay, 500000);
        assert_in_range(t[i].node.key, s.now_us + delay, s.now_us + delay + 499999);
        first = first ? first : t[i].node.key;
        assert_int_equal(t[i].node.key, first);
    }
    timer_about(&s, &t[0], SCHED_NEVER, 500000);
    assert_false(timer_is_set(&t[0]));
    sched_fini(&s);
}

static void a_timer_cannot_starve_the_loop(void **state)
{
    struct sched s;
    struct probe p = {.s = &s};
    sched_init(&s, 0, 0);
    timer_init(&p.timer, probe_fire);
    p.again_us = 0;
    timer_after(&s, &p.timer, 0);
    sched_run_timers(&s);
    assert_int_equal(p.fired, 1);
    p.timer.fire = probe_fire;
    p.again_us = 1;
    timer_after(&s, &p.timer, 0);
    sched_set_now(&s, 10, 0);
    sched_run_timers(&s);
    assert_int_equal(p.fired, 2);
    sched_fini(&s);
}

static void rng_repeats_and_stays_in_bounds(void **state)
{
    struct rng a, b;
    rng_init_seeded(&a, 9);
    rng_init_seeded(&b, 9);
    for (int i = 0; i < 1000; i++) {
        assert_true(rng_u64(&a) == rng_u64(&b));
        assert_true(rng_below(&a, 7) < 7);
        rng_below(&b, 7);
        double u = rng_unit(&a);
        assert_true(u >= 0 && u < 1);
        rng_unit(&b);
        uint64_t j = rng_jitter(&a, 1000, 0.1);
        rng_jitter(&b, 1000, 0.1);
        assert_in_range(j, 900, 1100);
    }
    rng_init_system(&a);
    uint8_t x[600] = {0}, y[600] = {0};
    rng_fill(&a, x, sizeof x);
    rng_fill(&a, y, sizeof y);
    assert_memory_not_equal(x, y, sizeof x);
}

static void arena_stops_at_its_limit(void **state)
{
    struct arena a;
    arena_init(&a, 4096);
    assert_non_null(arena_alloc(&a, 2000));
    assert_string_equal(arena_printf(&a, "%d-%s", 5, "x"), "5-x");
    assert_null(arena_alloc(&a, 5000));
    assert_null(arena_alloc(&a, SIZE_MAX - 4));
    arena_fini(&a);
    assert_non_null(arena_alloc(&a, 2000));
    arena_fini(&a);
}

static void addresses_know_their_kind(void **state)
{
    struct net_addr a;
    char t[NET_ADDR_TEXT];
    assert_int_equal(net_addr_parse_ip("127.0.0.1", 80, &a), 0);
    assert_true(net_addr_is_loopback(&a));
    assert_string_equal(net_addr_format(&a, t), "127.0.0.1:80");
    assert_int_equal(net_addr_parse_ip("[::1]", 80, &a), 0);
    assert_true(net_addr_is_loopback(&a));
    assert_string_equal(net_addr_format(&a, t), "[::1]:80");
    assert_int_equal(net_addr_parse_ip("::ffff:10.1.2.3", 1, &a), 0);
    assert_true(net_addr_is_private(&a));
    assert_int_equal(net_addr_parse_ip("example.com", 1, &a), E_MALFORMED);
    assert_int_equal(net_addr_parse_ip("", 1, &a), E_MALFORMED);
    assert_int_equal(net_addr_parse_ip("0.0.0.0", 1, &a), 0);
    assert_true(net_addr_is_any(&a));
    assert_int_equal(net_addr_parse_ip("::ffff:0.0.0.0", 1, &a),
                     0); /* connects to this machine as well */
    assert_true(net_addr_is_any(&a));
    assert_int_equal(net_addr_parse_ip("::ffff:1.2.3.4", 1, &a), 0);
    assert_false(net_addr_is_any(&a));
    uint8_t g[8], h[8];
    net_addr_parse_ip("2001:db8:0:100::1", 1, &a);
    assert_int_equal(net_addr_group(&a, g), 7);
    net_addr_parse_ip("2001:db8:0:1ff::2", 1, &a);
    net_addr_group(&a, h);
    assert_memory_equal(g, h, 7);
}

static void log_levels_are_parsed(void **state)
{
    char why[128];
    assert_int_equal(trace_configure("error,p2p=debug", why), 0);
    assert_int_equal(trace_levels[ROOM_HTTP], TRACE_ERROR);
    assert_int_equal(trace_levels[ROOM_P2P], TRACE_DEBUG);
    assert_int_equal(trace_configure("warn,nosuch=debug", why), E_MALFORMED);
    assert_string_equal(why, "unknown log room in \"nosuch=debug\"");
    assert_int_equal(trace_levels[ROOM_HTTP], TRACE_ERROR);
    assert_int_equal(trace_configure("p2p=", why), E_MALFORMED);
    trace_set_all(TRACE_WARN);
}

static void keep_line(void *ctx, enum trace_room room, enum trace_level level, const char *line)
{
    text_copy(ctx, 80, line);
}

static void a_log_line_cannot_drive_a_terminal(void **state)
{
    char line[80] = "";
    trace_set_sink(keep_line, line);
    TRACE(P2P, WARN, "said: %s",
          "a\x1b[2J\x7f\nb \xc2\x9b"
          "2J \xc2\x80 \xc2\xa0\xc3\xa9 \xc2");
    trace_set_sink(NULL, NULL);
    assert_string_equal(line, "said: a?[2J??b ??2J ?? \xc2\xa0\xc3\xa9 \xc2");
}

static void numbers_are_read_strictly(void **state)
{
    uint64_t v = 0;
    assert_int_equal(bytes_to_u64(BYTES_LIT("18446744073709551615"), &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(bytes_to_u64(BYTES_LIT("18446744073709551616"), &v), E_LIMIT);
    assert_int_equal(bytes_to_u64(BYTES_LIT(""), &v), E_MALFORMED);
    assert_int_equal(bytes_to_u64(BYTES_LIT("+1"), &v), E_MALFORMED);
    assert_int_equal(bytes_to_u64(BYTES_LIT("1 "), &v), E_MALFORMED);
}

static void text_is_cut_to_what_fits(void **state)
{
    char out[12];
    struct text t = {out, sizeof out};
    text_add(&t, "n=");
    text_add_u64(&t, 0);
    text_add(&t, ";");
    assert_string_equal(out, "n=0;");
    text_add_u64(&t, UINT64_MAX);
    assert_string_equal(out, "n=0;1844674");
    text_add(&t, "more");
    assert_string_equal(out, "n=0;1844674");
}

static void names_differ_by_more_than_case(void **state)
{
    assert_true(bytes_eq_nocase(BYTES_LIT("X-Request-Id"), BYTES_LIT("x-request-iD")));
    assert_false(bytes_eq_nocase(BYTES_LIT("x-request-id"), BYTES_LIT("x-request-ie")));
    assert_false(bytes_eq_nocase(BYTES_LIT("x-request-id"), BYTES_LIT("x-request-i")));
    assert_false(bytes_eq_nocase(BYTES_LIT("@"), BYTES_LIT("`"))); /* 32 apart, but no letters */
    assert_true(bytes_eq_nocase(BYTES_LIT(""), bytes_of(NULL, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_keeps_its_limit),
        cmocka_unit_test(buf_is_a_queue),
        cmocka_unit_test(buf_prints_long_lines),
        cmocka_unit_test(map_agrees_with_a_model),
        cmocka_unit_test(timers_fire_in_order_and_once),
        cmocka_unit_test(timers_about_a_time_fall_together),
        cmocka_unit_test(a_timer_cannot_starve_the_loop),
        cmocka_unit_test(rng_repeats_and_stays_in_bounds),
        cmocka_unit_test(arena_stops_at_its_limit),
        cmocka_unit_test(addresses_know_their_kind),
        cmocka_unit_test(log_levels_are_parsed),
        cmocka_unit_test(a_log_line_cannot_drive_a_terminal),
        cmocka_unit_test(numbers_are_read_strictly),
        cmocka_unit_test(text_is_cut_to_what_fits),
        cmocka_unit_test(names_differ_by_more_than_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
