// SPDX-License-Identifier: MIT
/* Who is in reach by the rules of a world: boxes put by hand, no node runs. */
#include "base/limits.h"
#include "sim/rules.h"
#include "sim/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S UINT64_C(1000000)

enum { RELAY, ASKER, PROVIDER, OTHER, BOXES };

static struct sim world;
static struct sim_box boxes[BOXES];
static struct loop_virtual_nat *const some_nat =
    (void *)&world; /* only whether there is one counts */

/* All run since the first second; the provider of model-2 and who asks are behind NATs. */
static int begin(void **state)
{
    memset(&world, 0, sizeof world);
    memset(boxes, 0, sizeof boxes);
    world.boxes = boxes;
    world.box_count = BOXES;
    for (unsigned i = 0; i < BOXES; i++)
        boxes[i] = (struct sim_box){
            .sim = &world, .index = i, .state = SIM_BOX_UP, .since_us = S, .model = 2};
    boxes[PROVIDER].is_provider = true;
    boxes[PROVIDER].nat = boxes[ASKER].nat = boxes[OTHER].nat = some_nat;
    return 0;
}

static bool must_find(uint64_t asked_s)
{
    return sim_rules_must_find(&boxes[ASKER], 2, asked_s * S);
}

static void who_is_behind_a_nat_is_reached_over_a_relay(void **state)
{
    assert_true(sim_rules_reach(&boxes[ASKER], &boxes[PROVIDER], S));
    assert_true(must_find(121));
    assert_false(sim_rules_must_find(&boxes[ASKER], 1, 121 * S)); /* nobody has that one */
    boxes[RELAY].nat = some_nat;
    assert_false(must_find(121));
    boxes[PROVIDER].nat = NULL; /* who is not behind one needs none */
    assert_true(must_find(121));
    boxes[PROVIDER].nat = some_nat;
    boxes[ASKER].nat = NULL; /* nor does who can be dialled himself */
    assert_true(must_find(121));
}

static void everything_must_have_been_so_for_a_while(void **state)
{
    assert_false(must_find(120));
    assert_true(must_find(121));
    uint64_t *const since[] = {&boxes[RELAY].since_us,     &boxes[ASKER].since_us,
                               &boxes[PROVIDER].since_us,  &boxes[ASKER].forgot_us,
                               &boxes[PROVIDER].forgot_us, &world.faults.parted_us};
    for (size_t i = 0; i < sizeof since / sizeof *since; i++) {
        uint64_t before = *since[i];
        *since[i] = 2 * S;
        assert_false(must_find(121));
        assert_true(must_find(122));
        *since[i] = before;
    }
}

static void who_does_not_run_is_not_found(void **state)
{
    static const int needed[] = {RELAY, ASKER, PROVIDER};
    for (size_t i = 0; i < 3; i++) {
        boxes[needed[i]].state = SIM_BOX_OFF;
        assert_false(must_find(500));
        boxes[needed[i]].state = SIM_BOX_STOPPING;
        assert_false(must_find(500));
        boxes[needed[i]].state = SIM_BOX_UP;
    }
    assert_true(must_find(500));
}

static void a_partition_is_in_the_way(void **state)
{
    for (unsigned i = 0; i < 3; i++) { /* one of the three is on the other side */
        boxes[i].side = 1;
        assert_false(must_find(500));
        boxes[i].side = 0;
    }
    boxes[OTHER].side = 1;
    assert_true(must_find(500));
}

/* As many behind NATs, and as many of them providers, as the relay has circuits for; and one more. */
static void relays_have_room_for_so_many(void **state)
{
    static struct sim_box many[4 + LIMIT_RELAY_CIRCUITS];
    world.boxes = many;
    for (unsigned i = 0; i < 4 + LIMIT_RELAY_CIRCUITS; i++) {
        many[i] = boxes[OTHER];
        many[i].index = i;
    }
    many[RELAY] = boxes[RELAY];
    many[PROVIDER] = boxes[PROVIDER];
    world.box_count = 1 + LIMIT_RELAY_CIRCUITS;
    assert_true(sim_rules_must_find(&many[ASKER], 2, 500 * S));
    world.box_count++;
    assert_false(sim_rules_must_find(&many[ASKER], 2, 500 * S));
    many[world.box_count - 1].nat = NULL; /* another relay */
    assert_true(sim_rules_must_find(&many[ASKER], 2, 500 * S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_is_behind_a_nat_is_reached_over_a_relay, begin),
        cmocka_unit_test_setup(everything_must_have_been_so_for_a_while, begin),
        cmocka_unit_test_setup(who_does_not_run_is_not_found, begin),
        cmocka_unit_test_setup(a_partition_is_in_the_way, begin),
        cmocka_unit_test_setup(relays_have_room_for_so_many, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
