// SPDX-License-Identifier: MIT
/* A world's options: read, refused with a sentence, and told as one command that means the same. */
#include "base/err.h"
#include "sim/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void what_is_out_of_range_is_refused(void **state)
{
    struct sim_options o;
    char why[SIM_WHY];
    sim_options_init(&o);
    assert_int_equal(sim_options_set(&o, "nodes", "1", why), E_INVALID);
    assert_non_null(strstr(why, "--nodes: '1' is not a number from 2 to 20000"));
    assert_int_equal(sim_options_set(&o, "nodes", "12x", why), E_INVALID);
    assert_int_equal(sim_options_set(&o, "nodes", "-3", why), E_INVALID);
    assert_int_equal(sim_options_set(&o, "nodles", "3", why), E_INVALID);
    assert_non_null(strstr(why, "no option --nodles"));
    assert_int_equal(o.nodes, 50);
    assert_int_equal(sim_options_set(&o, "seed", "99999999999999999999999", why), E_INVALID);
    assert_int_equal(sim_options_set(&o, "seed", "18446744073709551615", why), 0);
}

/* The presets need six minutes. */
static void a_short_run_has_shorter_phases(void **state)
{
    struct sim_options o;
    char why[SIM_WHY];
    for (uint64_t minutes = 1; minutes <= 7; minutes++) {
        sim_options_init(&o);
        o.minutes = minutes;
        sim_options_fit(&o, false, false);
        assert_int_equal(sim_options_check(&o, why), 0);
        assert_int_equal(o.warm_s, minutes < 6 ? minutes * 12 : 120);
        assert_int_equal(o.heal_s, minutes < 6 ? minutes * 24 : 240);
    }
    sim_options_init(&o);
    o.minutes = 3;
    o.warm_s = 20; /* what somebody gave stays */
    sim_options_fit(&o, true, false);
    assert_int_equal(o.warm_s, 20);
    assert_int_equal(o.heal_s, 72);
    o.heal_s = 170;
    sim_options_fit(&o, true, true);
    assert_int_equal(sim_options_check(&o, why), E_INVALID);
    assert_non_null(strstr(why, "--warm 20 and --heal 170 together are longer than --minutes 3"));
}

static void too_short_a_rest_is_said(void **state)
{
    struct sim_options o;
    sim_options_init(&o);
    assert_null(sim_options_warning(&o));
    o.heal_s = 120;
    assert_non_null(sim_options_warning(&o));
    o.heal_s = 121;
    assert_null(sim_options_warning(&o));
    o.heal_s = o.faults = 0; /* there is nothing to heal from */
    assert_null(sim_options_warning(&o));
}

static void faults_are_words(void **state)
{
    struct sim_options o;
    char why[SIM_WHY];
    sim_options_init(&o);
    assert_int_equal(o.faults, (1u << SIM_FAULT_COUNT) - 1);
    assert_int_equal(sim_options_set(&o, "faults", "none", why), 0);
    assert_int_equal(o.faults, 0);
    assert_int_equal(sim_options_set(&o, "faults", "crash,clock", why), 0);
    assert_int_equal(o.faults, 1u << SIM_FAULT_CRASH | 1u << SIM_FAULT_CLOCK);
    assert_int_equal(sim_options_set(&o, "faults", "crash,earthquake", why), E_INVALID);
    assert_int_equal(o.faults, 1u << SIM_FAULT_CRASH | 1u << SIM_FAULT_CLOCK);
}

static void what_does_not_fit_together_is_a_sentence(void **state)
{
    struct sim_options o;
    char why[SIM_WHY];
    sim_options_init(&o);
    assert_int_equal(sim_options_check(&o, why), 0);
    o.minutes = 1;
    assert_int_equal(sim_options_check(&o, why), E_INVALID);
    assert_non_null(strstr(why, "longer than --minutes 1"));
    sim_options_init(&o);
    o.nodes = o.bootstraps;
    assert_int_equal(sim_options_check(&o, why), E_INVALID);
}

/* Reads the command back, word by word. */
static void the_command_means_the_same(void **state)
{
    struct sim_options o, again;
    char why[SIM_WHY], command[1024], *save = NULL;
    sim_options_init(&o);
    o.seed = UINT64_MAX;
    o.nodes = 1234;
    o.faults = 1u << SIM_FAULT_PARTITION | 1u << SIM_FAULT_SILENT;
    sim_options_command(&o, command, sizeof command);
    sim_options_init(&again);
    assert_string_equal(strtok_r(command, " ", &save), "conduit");
    assert_string_equal(strtok_r(NULL, " ", &save), "sim");
    for (char *name; (name = strtok_r(NULL, " ", &save));)
        assert_int_equal(sim_options_set(&again, name + 2, strtok_r(NULL, " ", &save), why), 0);
    assert_memory_equal(&o, &again, sizeof o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_out_of_range_is_refused),
        cmocka_unit_test(a_short_run_has_shorter_phases),
        cmocka_unit_test(too_short_a_rest_is_said),
        cmocka_unit_test(faults_are_words),
        cmocka_unit_test(what_does_not_fit_together_is_a_sentence),
        cmocka_unit_test(the_command_means_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
