// SPDX-License-Identifier: MIT
/* Timeouts that follow what answers take; and a request's two phases, dialling and waiting. */
#include "dht_world.h"

static void a_guess_until_something_is_known(void **state)
{
    struct dht_pace p = {0};
    assert_int_equal(dht_pace_soft_us(&p, 250000), 500000);
    assert_int_equal(dht_pace_hard_us(&p, 250000), 1000000);
    assert_int_equal(dht_pace_soft_us(&p, 10000), 50000); /* never nervous */
    assert_int_equal(dht_pace_hard_us(&p, 4000000), 5000000);
    assert_int_equal(dht_pace_soft_us(&p, 4000000), 2500000);
}

static void it_follows_what_answers_take(void **state)
{
    struct dht_pace p = {0};
    dht_pace_add(&p, 60000);
    assert_int_equal(p.mean_us, 60000);
    assert_int_equal(p.dev_us, 30000);
    for (int i = 0; i < 40; i++)
        dht_pace_add(&p, 60000);
    assert_int_equal(p.mean_us, 60000);
    assert_true(p.dev_us < 10);
    assert_in_range(dht_pace_soft_us(&p, 1), 60000, 61000);
    assert_int_equal(dht_pace_hard_us(&p, 1), 1000000);
    for (int i = 0; i < 40; i++)
        dht_pace_add(&p,
                     900000); /* the network became slow: nobody is given up too early for long */
    assert_in_range(dht_pace_soft_us(&p, 1), 880000, 1400000);
    assert_in_range(dht_pace_hard_us(&p, 1), 2600000, 2800000);
    dht_pace_add(&p, UINT64_MAX); /* a clock that jumped */
    dht_pace_add(&p, 0);
    assert_int_equal(dht_pace_hard_us(&p, 1), 5000000);
}

/* --- the two phases of a request, by a port that the test plays --- */

static struct dht_rpc *the_rpc;
static int cancelled, slow_calls, done_calls, done_err;

static void take_rpc(void *ctx, struct dht_rpc *rpc)
{
    the_rpc = rpc;
}

static void count_cancel(void *ctx, struct dht_rpc *rpc)
{
    cancelled++;
}

static void on_slow(struct dht_ask *a)
{
    slow_calls++;
}

static void on_end(struct dht_ask *a, int err, struct bytes reply)
{
    done_calls++;
    done_err = err;
}

static struct world *one_that_asks(void)
{
    struct world *w = world_new(2, 1);
    struct dht *d = w->nodes[0].d;
    struct dht_peer p = peer_of(&w->nodes[1]);
    d->cfg.port.send = take_rpc;
    d->cfg.port.cancel = count_cancel;
    cancelled = slow_calls = done_calls = 0;
    dht_ask_send(d, &p, BYTES_LIT("\x08\x05"), true, on_end, on_slow, NULL);
    return w;
}

static void who_takes_the_connection_and_says_nothing(void **state)
{
    struct world *w = one_that_asks();
    run_for(w, 90 * US_PER_MS); /* three round trips of 30 ms */
    dht_rpc_sent(the_rpc);
    run_for(w, 89 * US_PER_MS);
    assert_int_equal(slow_calls, 0);
    run_for(w,
            2 * US_PER_MS); /* twice 45 ms: slow; without `sent` it would be after half a second */
    assert_int_equal(slow_calls, 1);
    assert_int_equal(done_calls, 0);
    run_for(w, 910 * US_PER_MS);
    assert_int_equal(done_calls, 1);
    assert_int_equal(done_err, E_TIMEOUT);
    assert_int_equal(cancelled, 1);
    world_free(w);
}

static void a_long_dial_is_no_silence(void **state)
{
    struct world *w = one_that_asks();
    run_for(w, 900 * US_PER_MS);
    assert_int_equal(slow_calls, 1);
    dht_rpc_sent(the_rpc); /* far away: the second begins anew */
    run_for(w, 900 * US_PER_MS);
    assert_int_equal(done_calls, 0);
    dht_rpc_done(the_rpc, 0, BYTES_LIT("\x08\x05"));
    assert_int_equal(done_calls, 1);
    assert_int_equal(done_err, 0);
    assert_int_equal(slow_calls, 1);
    assert_int_equal(w->nodes[0].d->answer.mean_us, 900000);
    assert_int_equal(w->nodes[0].d->whole.mean_us, 1800000);
    world_free(w);
}

/* A peer of the table is measured by its own answers: a near one among far ones is missed early. */
static void each_peer_by_its_own(void **state)
{
    struct world *w = world_new(2, 1);
    struct dht *d = w->nodes[0].d;
    struct dht_peer p = peer_of(&w->nodes[1]);
    meet(&w->nodes[0], &w->nodes[1]);
    run_for(w, 10 * US_PER_S);
    struct dht_contact *c = dht_table_find(&d->table, &p.id);
    c->pace = (struct dht_pace){40000, 5000};
    d->answer = (struct dht_pace){400000, 100000};
    d->cfg.port.send = take_rpc;
    d->cfg.port.cancel = count_cancel;
    cancelled = slow_calls = done_calls = 0;
    dht_ask_send(d, &p, BYTES_LIT("\x08\x05"), true, on_end, on_slow, NULL);
    dht_rpc_sent(the_rpc); /* there was a connection */
    run_for(w, 51 * US_PER_MS);
    assert_int_equal(slow_calls, 1);
    run_for(w, 960 * US_PER_MS);
    assert_int_equal(done_err, E_TIMEOUT);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guess_until_something_is_known),
        cmocka_unit_test(it_follows_what_answers_take),
        cmocka_unit_test(who_takes_the_connection_and_says_nothing),
        cmocka_unit_test(a_long_dial_is_no_silence),
        cmocka_unit_test(each_peer_by_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
