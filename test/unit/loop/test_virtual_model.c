// SPDX-License-Identifier: MIT
/* Paths that nobody set, partitions, wrong clocks, and what is left on a machine. */
#include "unit/loop/world.h"

struct pair {
    struct loop_virtual *v;
    struct loop *a, *b;
    struct net_addr to;
    struct loop_listener *ln;
    struct loop_dial dial;
    struct stream *near, *far;
    uint64_t dialled_us, heard_us;
    int err;
};

static void on_dialled(struct loop_dial *d, int err, struct stream *s)
{
    struct pair *p = CONTAINER_OF(d, struct pair, dial);
    p->err = err;
    p->near = s;
    p->dialled_us = sched_now(loop_sched(p->a));
}

static void on_readable(void *ctx)
{
    struct pair *p = ctx;
    uint8_t b[64];
    while (stream_read(p->far, b, sizeof b) > 0)
        p->heard_us = sched_now(loop_sched(p->b));
}

static void on_closed(void *ctx, int err)
{
}

static const struct stream_events far_events = {on_readable, NULL, on_closed};

static void on_accepted(void *ctx, struct stream *s)
{
    struct pair *p = ctx;
    p->far = s;
    stream_listen(s, &far_events, p);
    stream_want_read(s, true);
}

static void pair_up(struct pair *p, uint64_t seed, const struct loop_virtual_model *model)
{
    struct net_addr at;
    *p = (struct pair){.v = loop_virtual_new(seed), .dial.done = on_dialled, .err = 1};
    if (model)
        loop_virtual_set_model(p->v, model);
    assert_int_equal(net_addr_parse_ip("20.0.0.1", 0, &at), 0);
    p->a = loop_virtual_machine(p->v, &at);
    assert_int_equal(net_addr_parse_ip("21.0.0.1", 7, &p->to), 0);
    p->b = loop_virtual_machine(p->v, &p->to);
    struct loop_listen_options o = {.at = p->to, .accepted = on_accepted, .ctx = p};
    assert_int_equal(loop_listen(p->b, &o, &p->ln), 0);
}

static void pair_down(struct pair *p)
{
    if (p->near)
        stream_close(p->near);
    if (p->far)
        stream_close(p->far);
    loop_virtual_free(p->v);
}

static void run_for(struct pair *p, uint64_t us)
{
    loop_virtual_run(p->v, loop_virtual_now(p->v) + us, NULL, NULL);
}

static uint64_t dial_time(uint64_t seed, const struct loop_virtual_model *model)
{
    struct pair p;
    pair_up(&p, seed, model);
    loop_dial(p.a, &p.dial, &p.to, NULL, 30 * US_PER_S);
    run_for(&p, 30 * US_PER_S);
    assert_int_equal(p.err, 0);
    pair_down(&p);
    return p.dialled_us - US_PER_S;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Connecting takes a round trip: over many worlds their median and spread are what was asked for. */
static void round_trips_are_lognormal(void **state)
{
    struct loop_virtual_model model = {.rtt_us = 60000, .sigma = 0.6};
    uint64_t v[400];
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        v[i] = dial_time(i + 1, &model);
    assert_int_equal(v[7], dial_time(8, &model));
    qsort(v, ARRAY_LEN(v), sizeof *v, ascending);
    assert_in_range(v[200], 52000, 69000);
    assert_in_range(v[335], 60000 * 1.5, 60000 * 2.2); /* one sigma up: times 1.82 */
    assert_in_range(v[65], 60000 / 2.2, 60000 / 1.5);
}

static void bandwidth_and_jitter_take_time(void **state)
{
    struct loop_virtual_model model = {.rtt_us = 2000, .bytes_per_s = 100000};
    struct pair p;
    static uint8_t block[50000];
    pair_up(&p, 1, &model);
    loop_dial(p.a, &p.dial, &p.to, NULL, US_PER_S);
    run_for(&p, US_PER_S);
    uint64_t from = loop_virtual_now(p.v);
    assert_int_equal(stream_write(p.near, bytes_of(block, sizeof block)), sizeof block);
    run_for(&p, 5 * US_PER_S);
    assert_in_range(p.heard_us - from, 900000, 1200000); /* out of one link and into the other */
    assert_true(loop_virtual_count(p.v).bytes >= sizeof block);
    pair_down(&p);
}

static void what_is_lost_comes_later(void **state)
{
    struct loop_virtual_model sure = {.rtt_us = 20000}, lossy = {.rtt_us = 20000, .loss = 0.5};
    uint64_t late = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair p;
        pair_up(&p, seed, &lossy);
        loop_dial(p.a, &p.dial, &p.to, NULL, 30 * US_PER_S);
        run_for(&p, 30 * US_PER_S);
        assert_int_equal(p.err, 0);
        uint64_t from = loop_virtual_now(p.v);
        assert_int_equal(stream_write(p.near, BYTES_LIT("hello")), 5);
        run_for(&p, 60 * US_PER_S);
        assert_true(p.heard_us >= from); /* never gone */
        late += p.heard_us - from > 200000;
        pair_down(&p);
    }
    assert_in_range(late, 4, 16);
    assert_true(dial_time(1, &sure) < 200000);
}

static void sides_do_not_hear_each_other_until_they_are_one(void **state)
{
    struct pair p;
    pair_up(&p, 1, NULL);
    loop_dial(p.a, &p.dial, &p.to, NULL, US_PER_S);
    run_for(&p, US_PER_S);
    loop_virtual_set_side(p.v, p.b, 1);
    assert_int_equal(stream_write(p.near, BYTES_LIT("hello")), 5);
    run_for(&p, 60 * US_PER_S);
    assert_int_equal(p.heard_us, 0);
    struct stream *first = p.near;
    p.err = 1;
    loop_dial(p.a, &p.dial, &p.to, NULL, US_PER_S);
    run_for(&p, 2 * US_PER_S);
    assert_int_equal(p.err, E_TIMEOUT);
    p.near = first;
    loop_virtual_set_side(p.v, p.a, 1);
    run_for(&p, US_PER_S);
    assert_true(p.heard_us > 60 * US_PER_S);
    pair_down(&p);
}

static void clocks_may_be_wrong(void **state)
{
    struct pair p;
    pair_up(&p, 1, NULL);
    uint64_t from = sched_wall_ms(loop_sched(p.a));
    loop_virtual_set_clock(p.v, p.a, -5000, 1000); /* a thousandth too fast */
    assert_int_equal(sched_wall_ms(loop_sched(p.a)), from - 5000);
    run_for(&p, 100 * US_PER_S);
    assert_int_equal(sched_wall_ms(loop_sched(p.a)), from + 100000 - 5000 + 100);
    assert_int_equal(sched_wall_ms(loop_sched(p.b)), from + 100000);
    assert_int_equal(sched_now(loop_sched(p.a)), sched_now(loop_sched(p.b)));
    pair_down(&p);
}

static void what_is_held_is_told(void **state)
{
    struct pair p;
    struct timer t;
    pair_up(&p, 1, NULL);
    loop_dial(p.a, &p.dial, &p.to, NULL, US_PER_S);
    run_for(&p, US_PER_S);
    timer_init(&t, NULL);
    timer_after(loop_sched(p.a), &t, US_PER_S);
    struct loop_virtual_held a = loop_virtual_held(p.a), b = loop_virtual_held(p.b);
    assert_int_equal(a.streams, 1);
    assert_int_equal(a.timers, 1);
    assert_int_equal(b.listeners, 1);
    assert_int_equal(b.streams, 1);
    timer_clear(loop_sched(p.a), &t);
    stream_close(p.near);
    p.near = NULL;
    a = loop_virtual_held(p.a);
    assert_int_equal(a.streams + a.timers + a.tasks + a.listeners + a.udps, 0);
    pair_down(&p);
}

/* As when a node is killed in that moment: what knocks at its door was never given to it. */
static void who_still_knocks_is_held_by_nobody(void **state)
{
    struct loop_virtual_model model = {.rtt_us = 20000};
    for (uint64_t us = 0; us < 30000; us += 2500) {
        struct pair p;
        pair_up(&p, 1, &model);
        loop_dial(p.a, &p.dial, &p.to, NULL, US_PER_S);
        run_for(&p, us);
        bool was_given = p.far != NULL;
        if (!was_given)
            loop_listener_close(p.ln);
        assert_int_equal(loop_virtual_held(p.b).streams, was_given);
        assert_int_equal(loop_virtual_held(p.a).streams, p.near != NULL);
        run_for(&p, US_PER_S);
        pair_down(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips_are_lognormal),
        cmocka_unit_test(bandwidth_and_jitter_take_time),
        cmocka_unit_test(what_is_lost_comes_later),
        cmocka_unit_test(sides_do_not_hear_each_other_until_they_are_one),
        cmocka_unit_test(clocks_may_be_wrong),
        cmocka_unit_test(what_is_held_is_told),
        cmocka_unit_test(who_still_knocks_is_held_by_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
