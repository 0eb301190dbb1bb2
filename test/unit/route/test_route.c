// SPDX-License-Identifier: MIT
/* The choice and its words, the breaker, and the retry budget; a story of one busy evening. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/sched.h"
#include "route/choose.h"
#include "route/failover.h"

#include <stdio.h>

struct world {
    struct catalogue cat;
    struct measures ms;
    struct rng rng;
    struct route_tried tried;
    struct route_choice choice;
    uint64_t now_us;
};

static void begin(struct world *w)
{
    *w = (struct world){.now_us = 1000};
    catalogue_init(&w->cat, 1);
    measures_init(&w->ms, 1);
    rng_init_seeded(&w->rng, 42);
}

static void end(struct world *w)
{
    route_tried_fini(&w->tried);
    catalogue_fini(&w->cat);
    measures_fini(&w->ms);
}

static struct offer serve(struct world *w, uint8_t peer, const char *model, bool is_own)
{
    struct offer o = {.peer = {.len = 3, .b = {0, 1, peer}},
                      .id = "a",
                      .seq = 1,
                      .protocol = "openai",
                      .abilities = OFFER_CHAT,
                      .context = 4096,
                      .expires_ms = UINT64_MAX};
    snprintf(o.model, sizeof o.model, "%s", model);
    assert_int_equal(catalogue_put(&w->cat, &o, is_own), 0);
    return o;
}

static struct measure *of(struct world *w, const struct offer *o)
{
    struct route_key k;
    return measures_of(&w->ms, route_key_of(o, &k));
}

/* Who is chosen for `model`; 0: nobody. */
static uint8_t choose(struct world *w, const char *model, uint32_t needs)
{
    struct route_request req = {.model = bytes_str(model), .needs = needs};
    route_choose(&req, &w->cat, &w->ms, &w->tried, w->now_us, &w->rng, &w->choice);
    return w->choice.offer ? w->choice.offer->offer.peer.b[2] : 0;
}

static void an_evening(void **state)
{
    struct world w;
    char why[160];
    begin(&w);
    assert_int_equal(choose(&w, "tiny", 0), 0);
    assert_string_equal(route_explain(&w.choice, 1, why),
                        "none; 0 offers, 0 tried, 0 broken, 0 unfit");
    struct offer fast = serve(&w, 1, "tiny", false), slow = serve(&w, 2, "tiny", false);
    measure_started(of(&w, &fast));
    measure_succeeded(of(&w, &fast), 10000, 30);
    measure_started(of(&w, &slow));
    measure_succeeded(of(&w, &slow), 90000, 30);
    assert_int_equal(choose(&w, "tiny", 0), 1);
    assert_string_equal(route_explain(&w.choice, 1, why),
                        "peer; best 1 of 2; expected 10 ms; 0 waiting; success 1.00");
    /* it is full: the slower one is sooner */
    measure_told(of(&w, &fast), 1, 1, 20, 30, w.now_us);
    assert_int_equal(choose(&w, "tiny", 0), 2);
    /* what it said of its load is forgotten when it says nothing more */
    w.now_us += LIMIT_LOAD_STALE_US;
    assert_int_equal(choose(&w, "tiny", 0), 1);
    w.now_us -= LIMIT_LOAD_STALE_US;
    /* that one fails this request */
    route_tried_add(&w.tried, &slow);
    assert_int_equal(choose(&w, "tiny", 0), 1);
    assert_string_equal(route_explain(&w.choice, 2, why),
                        "peer; best 1 of 1; expected 220 ms; 21 waiting; success 1.00; attempt 2");
    /* and the fast one fails three times: its breaker opens, for two seconds */
    for (int i = 0; i < MEASURE_TRIP; i++) {
        measure_started(of(&w, &fast));
        measure_failed(of(&w, &fast), w.now_us);
    }
    assert_int_equal(choose(&w, "tiny", 0), 0);
    assert_string_equal(route_explain(&w.choice, 2, why),
                        "none; 2 offers, 1 tried, 1 broken, 0 unfit");
    w.now_us += 2 * US_PER_S;
    assert_int_equal(choose(&w, "tiny", 0), 1);
    assert_int_equal(choose(&w, "tiny", OFFER_VISION), 0);
    assert_int_equal(w.choice.unfit, 2);
    serve(&w, 9, "tiny", true);
    assert_int_equal(choose(&w, "auto", 0), 9);
    end(&w);
}

/* Among equals who is reached directly comes first, however often it is drawn; who is much faster is chosen
 * over its circuit all the same, and says so. */
static void a_circuit_that_will_be_cut_is_the_last_of_equals(void **state)
{
    struct world w;
    char why[160];
    begin(&w);
    struct offer cut = serve(&w, 1, "tiny", false), direct = serve(&w, 2, "tiny", false);
    catalogue_set_limited(&w.cat, &cut.peer, true);
    for (int i = 0; i < 50; i++)
        assert_int_equal(choose(&w, "tiny", 0), 2);
    assert_string_equal(route_explain(&w.choice, 1, why),
                        "peer; best 1 of 2; expected 120 ms; 0 waiting; success 1.00");
    measure_started(of(&w, &cut));
    measure_succeeded(of(&w, &cut), 10000, 30);
    assert_int_equal(choose(&w, "tiny", 0), 1);
    assert_string_equal(route_explain(&w.choice, 2, why),
                        "peer; best 1 of 2; expected 10 ms; 0 waiting; success 1.00; over a "
                        "limited relay; attempt 2");
    measure_started(of(&w, &direct));
    measure_succeeded(of(&w, &direct), 11500, 30); /* a little slower, and whole */
    assert_int_equal(choose(&w, "tiny", 0), 2);
    catalogue_set_limited(&w.cat, &cut.peer, false); /* a hole was punched */
    catalogue_set_limited(&w.cat, &(struct peer_id){.len = 3, .b = {0, 1, 99}}, true); /* nobody */
    assert_int_equal(choose(&w, "tiny", 0), 1);
    end(&w);
}

/* A peer gets what is shared and nothing else of ours; we get all; what others have is nothing to a peer. */
static void peers_get_what_is_shared(void **state)
{
    struct world w;
    begin(&w);
    struct offer own = serve(&w, 1, "m", true);
    serve(&w, 2, "theirs", false);
    struct route_request req = {.model = BYTES_LIT("m"), .own_only = true};
    for (int i = 0; i < 2; i++) {
        bool is_private = i == 1;
        assert_int_equal(catalogue_set_private(&w.cat, &own.peer, own.id, is_private), 0);
        route_choose(&req, &w.cat, &w.ms, &w.tried, w.now_us, &w.rng, &w.choice);
        assert_int_equal(w.choice.offer == NULL, is_private);
        assert_int_equal(w.choice.named, !is_private); /* not even that there is one */
        assert_int_equal(choose(&w, "m", 0), 1);
    }
    own.seq++; /* renewed, it stays private */
    assert_int_equal(catalogue_put(&w.cat, &own, true), 0);
    route_choose(&req, &w.cat, &w.ms, &w.tried, w.now_us, &w.rng, &w.choice);
    assert_null(w.choice.offer);
    req.model = BYTES_LIT("theirs");
    route_choose(&req, &w.cat, &w.ms, &w.tried, w.now_us, &w.rng, &w.choice);
    assert_null(w.choice.offer);
    assert_int_equal(catalogue_set_private(&w.cat, &own.peer, "none", true), E_NOT_FOUND);
    end(&w);
}

static void fail_three_times(struct world *w, const struct offer *o)
{
    for (int i = 0; i < MEASURE_TRIP; i++) {
        assert_false(measure_started(of(w, o)));
        measure_failed(of(w, o), w->now_us);
    }
}

/* Of a crowd that waits for the breaker's pause to be over one request goes, and the rest when that one was
 * answered; another that fails opens it for longer, and one that its client cancelled says nothing. */
static void a_half_open_breaker_lets_one_request_through(void **state)
{
    struct world w;
    begin(&w);
    struct offer o = serve(&w, 1, "m", false);
    struct measure *m = of(&w, &o);
    fail_three_times(&w, &o);
    assert_int_equal(choose(&w, "m", 0), 0);
    w.now_us += 2 * US_PER_S;
    unsigned gone = 0, probes = 0;
    for (int i = 0; i < 100; i++)
        if (choose(&w, "m", 0) == 1) {
            gone++;
            probes += measure_started(m);
        }
    assert_int_equal(gone, 1);
    assert_int_equal(probes, 1);
    assert_int_equal(w.choice.broken, 1);
    measure_probed(m); /* cancelled: the next one probes */
    measure_cancelled(m);
    assert_int_equal(choose(&w, "m", 0), 1);
    assert_true(measure_started(m));
    measure_probed(m);
    measure_failed(m, w.now_us);
    w.now_us += 3 * US_PER_S; /* the pause has doubled */
    assert_int_equal(choose(&w, "m", 0), 0);
    w.now_us += US_PER_S;
    assert_int_equal(choose(&w, "m", 0), 1);
    assert_true(measure_started(m));
    assert_int_equal(choose(&w, "m", 0), 0);
    measure_answered(m); /* its first event: the others need not wait for its end */
    assert_int_equal(choose(&w, "m", 0), 1);
    assert_false(measure_started(m));
    measure_probed(m);
    measure_succeeded(m, 1000, 0);
    measure_succeeded(m, 1000, 0);
    assert_int_equal(m->in_flight, 0);
    end(&w);
}

/* A request from before the breaker opened that ends while the probe is under way does not let a second one
 * through when it fails, and closes the breaker when it is answered. */
static void an_old_request_does_not_end_the_probe(void **state)
{
    struct world w;
    begin(&w);
    struct offer o = serve(&w, 1, "m", false);
    struct measure *m = of(&w, &o);
    assert_false(measure_started(m));
    assert_false(measure_started(m));
    fail_three_times(&w, &o);
    w.now_us += 2 * US_PER_S;
    assert_true(measure_started(m));
    measure_cancelled(m);
    assert_int_equal(choose(&w, "m", 0), 0);
    measure_failed(m, w.now_us);
    w.now_us += 200 * US_PER_S;
    assert_int_equal(choose(&w, "m", 0), 0);
    measure_probed(m);
    measure_cancelled(m);
    assert_int_equal(choose(&w, "m", 0), 1);
    end(&w);
}

static void equals_are_drawn_evenly_and_by_seed(void **state)
{
    int hits[4] = {0};
    unsigned first = 0;
    for (int run = 0; run < 2; run++) {
        struct world w;
        begin(&w);
        for (uint8_t p = 1; p <= 3; p++)
            serve(&w, p, "m", false);
        unsigned sum = 0;
        for (int i = 0; i < 3000; i++) {
            uint8_t p = choose(&w, "m", 0);
            hits[p] += run == 0;
            sum = sum * 31 + p;
        }
        assert_true(w.choice.was_drawn);
        if (run)
            assert_int_equal(sum, first); /* one seed, one run */
        first = sum;
        end(&w);
    }
    for (int p = 1; p <= 3; p++)
        assert_in_range(hits[p], 850, 1150);
}

static void retries_have_a_budget(void **state)
{
    struct retry_budget b;
    struct failover f;
    retry_budget_init(&b, 0);
    failover_init(&f, &b, 3, 1000, 0);
    assert_int_equal(failover_next(&f, &b, 0), FAILOVER_GO);
    assert_int_equal(failover_next(&f, &b, 1000), FAILOVER_DEADLINE);
    assert_int_equal(failover_next(&f, &b, 999), FAILOVER_GO);
    assert_int_equal(failover_next(&f, &b, 999), FAILOVER_ATTEMPTS);
    /* a network in trouble: of 1000 requests at once that all fail, 10 + a fifth are tried again */
    int again = 0;
    retry_budget_init(&b, 0);
    for (int i = 0; i < 1000; i++) {
        failover_init(&f, &b, 2, 1000, 0);
        again += failover_next(&f, &b, 0) == FAILOVER_GO;
    }
    assert_in_range(again, 205, 211);
    failover_init(&f, &b, 2, 10 * US_PER_S, 0);
    b.tokens = 0;
    assert_int_equal(failover_next(&f, &b, 0), FAILOVER_BUDGET);
    assert_int_equal(failover_next(&f, &b, 2 * US_PER_S), FAILOVER_GO); /* a quiet node may */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_evening),
        cmocka_unit_test(a_circuit_that_will_be_cut_is_the_last_of_equals),
        cmocka_unit_test(peers_get_what_is_shared),
        cmocka_unit_test(a_half_open_breaker_lets_one_request_through),
        cmocka_unit_test(an_old_request_does_not_end_the_probe),
        cmocka_unit_test(equals_are_drawn_evenly_and_by_seed),
        cmocka_unit_test(retries_have_a_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
