// SPDX-License-Identifier: MIT
/* Small worlds from beginning to end. */
#include "base/err.h"
#include "codec/json.h"
#include "sim/sim.h"
#include "sim/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct outcome {
    uint64_t violations, hash;
    char *json, *picture;
};

static struct outcome run(const struct sim_options *o)
{
    char why[SIM_WHY];
    struct outcome r;
    struct buf b;
    struct sim *s = sim_new(o, NULL, why);
    if (!s)
        fail_msg("%s", why);
    r.violations = sim_run(s, NULL, NULL);
    r.hash = sim_log_hash(s);
    buf_init(&b, 0);
    sim_summary_json(s, 1, &b);
    r.json = buf_take_str(&b);
    sim_picture(s, &b);
    r.picture = buf_take_str(&b);
    sim_free(s);
    if (r.violations)
        fail_msg("%s", r.json);
    return r;
}

static void forget(struct outcome *r)
{
    free(r->json);
    free(r->picture);
}

static struct sim_options small(void)
{
    struct sim_options o;
    sim_options_init(&o);
    o.nodes = 8;
    o.minutes = 2;
    o.warm_s = 20;
    o.heal_s = 60;
    o.ask_s = 10;
    o.nat_providers =
        0; /* one behind a NAT is found when it knows that it is, some ten seconds after its start */
    return o;
}

static uint64_t number(const struct outcome *r, const char *key)
{
    struct json_doc *doc;
    uint64_t v = 0;
    assert_int_equal(json_parse(bytes_str(r->json), MIB, &doc, NULL), 0);
    assert_true(json_u64(json_get(json_root(doc), key), &v));
    json_free(doc);
    return v;
}

static void questions_are_answered(void **state)
{
    struct sim_options o = small();
    o.faults = 0;
    struct outcome r = run(&o);
    assert_true(number(&r, "asked") > 20);
    assert_int_equal(number(&r, "failed"), 0);
    assert_int_equal(number(&r, "alive"), 8);
    assert_true(number(&r, "lies") > 0); /* and none was believed */
    assert_non_null(strstr(r.picture, "<svg"));
    assert_non_null(strstr(r.picture, "</svg>"));
    forget(&r);
}

/* A node that follows two providers at a time finds the others when they are asked for, and one liar among sixteen,
 * who names providers that do not exist, hides nobody. */
static void what_is_not_followed_is_searched(void **state)
{
    struct sim_options o = small();
    o.faults = 0;
    o.nodes = 16;
    o.minutes = 3;
    o.providers = 60;
    o.models = 8;
    o.feeds = 2;
    struct outcome r = run(&o);
    assert_true(number(&r, "cold") > 10);
    assert_int_equal(number(&r, "failed"), 0);
    forget(&r);
}

static const struct json *find(struct json_doc *doc, const char *key, const char *part)
{
    return json_get(json_get(json_root(doc), key), part);
}

/* All but the three bootstrap nodes are behind NATs, some of them such that no hole can be punched. */
static void providers_behind_nats_are_found_and_used(void **state)
{
    struct sim_options o = small();
    o.seed = 2; /* which says who has which kind of NAT */
    o.nodes = 10;
    o.minutes = 3;
    o.faults = o.mutes = 0;
    o.nat = o.nat_providers = 100;
    struct outcome r = run(&o);
    uint64_t from_nat = number(&r, "from_nat"), relayed = number(&r, "relayed");
    assert_true(relayed > 10);
    assert_true(from_nat > relayed + 10); /* others were punched, or dialled us themselves */
    forget(&r);
}

static void new_offers_come_and_are_seen(void **state)
{
    struct sim_options o = small();
    struct json_doc *doc;
    uint64_t seen = 0, longest = 0;
    o.faults = 0;
    o.offer_s = 10;
    struct outcome r = run(&o);
    assert_int_equal(json_parse(bytes_str(r.json), MIB, &doc, NULL), 0);
    assert_true(json_u64(find(doc, "offer_seen", "count"), &seen));
    assert_true(json_u64(find(doc, "offer_seen", "max_us"), &longest));
    assert_true(number(&r, "offers") > 5);
    assert_true(seen > 10);
    assert_in_range(longest, 1, 1000000);
    json_free(doc);
    forget(&r);
}

/* The others are too short for a question that must be answered: a provider has to be in reach for two minutes. */
static uint64_t not_found(bool hides_provider)
{
    char why[SIM_WHY];
    struct sim_options o = small();
    o.minutes = 4;
    o.heal_s = 180;
    o.faults = o.liars = o.mutes = o.offer_s = 0;
    struct sim *s = sim_new(&o, NULL, why);
    struct loop_virtual_link cut = {.is_cut = true};
    assert_non_null(s);
    sim_step(s, 150 * US_PER_S);
    for (size_t i = 0; i < s->box_count; i++)
        for (size_t j = 0; j < s->box_count && hides_provider; j++)
            if (i != j && s->boxes[i].is_provider)
                loop_virtual_set_link(s->world, s->boxes[i].loop, s->boxes[j].loop, &cut);
    uint64_t violations = s->tally.violations, answered = s->tally.ends[SIM_ANSWERED];
    assert_int_equal(violations, 0);
    sim_step(s, s->end_us);
    violations = s->tally.violations;
    if (violations)
        assert_non_null(
            strstr(s->tally.violation[0], "of which there are providers in reach, failed"));
    assert_true(s->tally.ends[SIM_ANSWERED] >
                answered); /* the provider's own user is served at least */
    sim_free(s);
    return violations;
}

static void what_is_in_reach_must_be_found(void **state)
{
    assert_int_equal(not_found(false), 0);
    assert_true(not_found(true) > 0);
}

/* More of them than nodes, all in one /24: nobody is hidden, and nothing that they say is believed. */
static void sybils_hide_nobody(void **state)
{
    struct sim_options o = small();
    o.faults = 0;
    o.nodes = 12;
    o.minutes = 4;
    o.heal_s = 180;
    o.providers = 40;
    o.models = 4;
    o.feeds = 2;
    o.sybils = 20;
    struct outcome r = run(&o), without;
    o.sybils = 0;
    without = run(&o);
    assert_int_equal(number(&r, "failed"), 0);
    assert_true(number(&r, "lies") > 2 * number(&without, "lies"));
    forget(&r);
    forget(&without);
}

static void one_seed_gives_one_run(void **state)
{
    struct sim_options o = small(), other = small();
    o.nat_providers = other.nat_providers = 50;
    other.seed = 2;
    struct outcome a = run(&o), b = run(&o), c = run(&other);
    assert_int_equal(a.hash, b.hash);
    assert_string_equal(a.picture, b.picture);
    assert_int_not_equal(a.hash, c.hash);
    forget(&a);
    forget(&b);
    forget(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_are_answered),
        cmocka_unit_test(what_is_not_followed_is_searched),
        cmocka_unit_test(providers_behind_nats_are_found_and_used),
        cmocka_unit_test(new_offers_come_and_are_seen),
        cmocka_unit_test(what_is_in_reach_must_be_found),
        cmocka_unit_test(sybils_hide_nobody),
        cmocka_unit_test(one_seed_gives_one_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
