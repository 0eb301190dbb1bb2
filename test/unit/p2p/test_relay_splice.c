// SPDX-License-Identifier: MIT
/* Two fake streams spliced: nothing is lost, nothing is read that cannot be written, ends and breaks pass
 * on, limits cut. */
#include "base/trace.h"
#include "fake_stream.h"
#include "p2p/relay_splice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct bench {
    struct fake_world world;
    struct rng rng;
    struct relay_server book;
    struct relay_circuit circuit;
    struct relay_splice splice;
    struct fake_stream *a, *b;
    int over;
};

static void on_over(struct relay_splice *sp)
{
    CONTAINER_OF(sp, struct bench, splice)->over++;
}

static void bench_init(struct bench *t, const struct relay_server_cfg *cfg)
{
    struct relay_server_cfg defaults = relay_server_cfg_default();
    struct peer_id from = {.len = 3, .b = {0, 1, 1}}, to = {.len = 3, .b = {0, 1, 2}};
    struct net_addr at;
    uint64_t until;
    *t = (struct bench){0};
    fake_world_init(&t->world);
    rng_init_seeded(&t->rng, 1);
    relay_server_init(&t->book, cfg ? cfg : &defaults, &t->rng);
    assert_int_equal(net_addr_parse_ip("192.0.2.1", 1, &at), 0);
    uint64_t now = sched_now(&t->world.sched);
    assert_int_equal(relay_server_reserve(&t->book, &to, &at, false, now, &until), RELAY_OK);
    assert_int_equal(relay_server_connect(&t->book, &t->circuit, &from, &at, &to, false, now),
                     RELAY_OK);
    t->a = fake_stream_new(&t->world);
    t->b = fake_stream_new(&t->world);
    relay_splice_start(&t->splice, &t->world.sched, &t->circuit, &t->a->s, &t->b->s, on_over);
}

static void bench_fini(struct bench *t)
{
    assert_int_equal(t->book.strangers, 0);
    relay_server_fini(&t->book);
    fake_world_fini(&t->world);
}

static void bytes_and_ends_pass_both_ways(void **state)
{
    struct bench t;
    bench_init(&t, NULL);
    fake_feed_str(t.a, "hello");
    fake_feed_str(t.b, "who?");
    fake_world_run(&t.world);
    assert_string_equal(fake_sent(t.b), "hello");
    assert_string_equal(fake_sent(t.a), "who?");
    fake_eof(t.a);
    fake_world_run(&t.world);
    assert_true(t.b->is_finished);
    assert_false(t.a->is_finished);
    assert_int_equal(t.over, 0);
    fake_feed_str(t.b, " still here"); /* half closed is not closed */
    fake_world_run(&t.world);
    assert_string_equal(fake_sent(t.a), "who? still here");
    fake_eof(t.b);
    fake_world_run(&t.world);
    assert_int_equal(t.over, 1);
    assert_true(t.a->is_closed && t.b->is_closed);
    assert_false(t.a->is_reset || t.b->is_reset);
    assert_int_equal(t.circuit.passed[0], 5);
    assert_int_equal(t.circuit.passed[1], 15);
    assert_int_equal(t.book.counts.cut, 0);
    bench_fini(&t);
}

static void nothing_is_read_that_cannot_be_written(void **state)
{
    static uint8_t data[100000];
    struct bench t;
    bench_init(&t, NULL);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    t.b->window = 1000;
    fake_feed(t.a, data, sizeof data);
    fake_world_run(&t.world);
    assert_int_equal(fake_sent_len(t.b), 1000);
    assert_true(sizeof data - buf_len(&t.a->in) <= 16384); /* one chunk in hand */
    assert_false(t.a->s.wants_read);
    for (int i = 0; i < 1000 && fake_sent_len(t.b) < sizeof data; i++) {
        t.b->window = 777;
        fake_world_run(&t.world);
    }
    assert_int_equal(fake_sent_len(t.b), sizeof data);
    assert_memory_equal(fake_sent(t.b), data, sizeof data);
    relay_splice_abort(&t.splice);
    assert_int_equal(t.over, 0);
    bench_fini(&t);
}

/* What arrives may be just what one turn takes: its last piece, or its end, waits for nothing. */
static void whatever_comes_at_once_passes_at_once(void **state)
{
    static uint8_t data[10 * 16384];
    struct relay_server_cfg cfg = relay_server_cfg_default();
    cfg.limit = (struct relay_limit){0};
    for (size_t n = 15 * 1024; n <= sizeof data; n += 1024)
        for (int ends = 0; ends < 2; ends++) {
            struct bench t;
            bench_init(&t, &cfg);
            fake_feed(t.a, data, n);
            if (ends)
                fake_eof(t.a);
            fake_world_run(&t.world);
            assert_int_equal(fake_sent_len(t.b), n);
            assert_int_equal(t.b->is_finished, ends);
            relay_splice_abort(&t.splice);
            bench_fini(&t);
        }
}

static void an_end_waits_for_what_is_held(void **state)
{
    struct bench t;
    bench_init(&t, NULL);
    t.b->window = 2;
    fake_feed_str(t.a, "abcdef");
    fake_eof(t.a);
    fake_world_run(&t.world);
    assert_false(t.b->is_finished);
    t.b->window = 100;
    fake_world_run(&t.world);
    assert_string_equal(fake_sent(t.b), "abcdef");
    assert_true(t.b->is_finished);
    relay_splice_abort(&t.splice);
    bench_fini(&t);
}

static void a_break_breaks_the_other(void **state)
{
    for (int which = 0; which < 2; which++) {
        struct bench t;
        bench_init(&t, NULL);
        fake_break(which ? t.a : t.b, E_RESET);
        fake_world_run(&t.world);
        assert_int_equal(t.over, 1);
        assert_true((which ? t.b : t.a)->is_reset);
        assert_true(t.a->is_closed && t.b->is_closed);
        bench_fini(&t);
    }
}

static void bytes_are_cut_at_the_limit(void **state)
{
    static uint8_t data[LIMIT_RELAY_DATA + 5000];
    struct bench t;
    bench_init(&t, NULL);
    fake_feed(t.a, data, sizeof data);
    fake_world_run(&t.world);
    assert_int_equal(fake_sent_len(t.b), LIMIT_RELAY_DATA);
    assert_int_equal(t.over, 1);
    assert_true(t.a->is_reset && t.b->is_reset);
    assert_int_equal(t.book.counts.cut, 1);
    bench_fini(&t);
}

/* Over, but one side takes nothing of what is in hand: it is waited for, not spun on, and not for ever. */
static void who_takes_nothing_at_the_limit_costs_nothing(void **state)
{
    static uint8_t data[LIMIT_RELAY_DATA];
    struct bench t;
    bench_init(&t, NULL);
    t.a->window = 0;
    fake_feed_str(t.b, "never read");
    fake_world_run(&t.world);
    fake_feed(t.a, data, sizeof data);
    fake_world_run(&t.world);
    assert_int_equal(fake_sent_len(t.b), LIMIT_RELAY_DATA);
    assert_int_equal(t.over, 0);
    assert_true(sched_deadline(&t.world.sched) >= t.world.sched.now_us + 60 * US_PER_S);
    fake_world_advance(&t.world, 121 * US_PER_S);
    assert_int_equal(t.over, 1);
    assert_int_equal(t.book.counts.cut, 1);
    bench_fini(&t);
}

static void time_is_cut_at_the_limit(void **state)
{
    struct bench t;
    bench_init(&t, NULL);
    fake_feed_str(t.a, "x");
    fake_world_advance(&t.world, 119 * US_PER_S);
    assert_int_equal(t.over, 0);
    fake_world_advance(&t.world, 2 * US_PER_S);
    assert_int_equal(t.over, 1);
    assert_true(t.a->is_reset);
    bench_fini(&t);
}

static void where_nothing_passes_it_ends(void **state)
{
    struct relay_server_cfg cfg = relay_server_cfg_default();
    struct bench t;
    cfg.limit = (struct relay_limit){0};
    bench_init(&t, &cfg);
    for (int i = 0; i < 10; i++) {
        fake_feed_str(i & 1 ? t.a : t.b, "x");
        fake_world_advance(&t.world, 299 * US_PER_S);
    }
    assert_int_equal(t.over, 0);
    fake_world_advance(&t.world, 2 * US_PER_S);
    assert_int_equal(t.over, 1);
    assert_int_equal(t.book.counts.cut, 1);
    bench_fini(&t);
}

static void bandwidth_slows_and_does_not_stall(void **state)
{
    static uint8_t data[500000];
    struct relay_server_cfg cfg = relay_server_cfg_default();
    struct bench t;
    cfg.limit = (struct relay_limit){0};
    cfg.bytes_per_s = 100000;
    bench_init(&t, &cfg);
    fake_feed(t.a, data, sizeof data);
    fake_world_advance(&t.world, 2 * US_PER_S);
    assert_in_range(fake_sent_len(t.b), 150000, 310000);
    fake_world_advance(&t.world, 3 * US_PER_S);
    assert_int_equal(fake_sent_len(t.b), sizeof data);
    relay_splice_abort(&t.splice);
    bench_fini(&t);
}

int main(void)
{
    trace_set_all(TRACE_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_and_ends_pass_both_ways),
        cmocka_unit_test(nothing_is_read_that_cannot_be_written),
        cmocka_unit_test(whatever_comes_at_once_passes_at_once),
        cmocka_unit_test(an_end_waits_for_what_is_held),
        cmocka_unit_test(a_break_breaks_the_other),
        cmocka_unit_test(bytes_are_cut_at_the_limit),
        cmocka_unit_test(who_takes_nothing_at_the_limit_costs_nothing),
        cmocka_unit_test(time_is_cut_at_the_limit),
        cmocka_unit_test(where_nothing_passes_it_ends),
        cmocka_unit_test(bandwidth_slows_and_does_not_stall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
