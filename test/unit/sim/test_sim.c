// SPDX-License-Identifier: MIT
/* Small worlds from beginning to end. */
#include "base/err.h"
#include "codec/json.h"
#include "sim/sim.h"

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
        cmocka_unit_test(one_seed_gives_one_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
