// SPDX-License-Identifier: MIT
/* Options: ranks, the seeds' spellings, and mistakes that are told with their place. */
#include "base/err.h"
#include "base/mem.h"
#include "node/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char why[CONFIG_WHY];

#define FLAGS(c, ...)                                                                              \
    ({                                                                                             \
        char *const argv_[] = {"up", __VA_ARGS__};                                                 \
        config_read_flags(c, ARRAY_LEN(argv_), argv_, why);                                        \
    })

static void flag_beats_environment_beats_file(void **state)
{
    struct config c;
    char *const env[] = {"CONDUIT_HTTP_PORT=2", "CONDUIT_P2P_PORT=22", NULL};
    config_init(&c);
    assert_int_equal(c.http_port, 8888);
    assert_int_equal(FLAGS(&c, "--http-port", "3"), 0);
    assert_int_equal(config_read_env(&c, env, why), 0);
    assert_int_equal(
        config_read_yaml(&c, BYTES_LIT("http_port: 1\np2p_port: 11\nctx: 111\n"), "f", why), 0);
    assert_int_equal(c.http_port, 3);
    assert_int_equal(c.p2p_port, 22);
    assert_int_equal(c.ctx, 111);
    config_fini(&c);
}

static void lists_are_replaced_not_mixed(void **state)
{
    struct config c;
    config_init(&c);
    assert_int_equal(FLAGS(&c, "--bootstrap", "a:1, b:2", "--bootstrap=c:3"), 0);
    assert_int_equal(c.bootstrap.n, 3);
    assert_string_equal(c.bootstrap.v[1], "b:2");
    assert_int_equal(config_read_yaml(&c, BYTES_LIT("bootstrap: [x:9]\n"), "f", why), 0);
    assert_int_equal(c.bootstrap.n, 3);
    config_fini(&c);
    config_init(&c);
    assert_int_equal(FLAGS(&c, "--bootstrap", ""), 0); /* empty means none */
    assert_int_equal(c.bootstrap.n, 0);
    config_fini(&c);
}

static void seed_conduits_file_works_as_it_is(void **state)
{
    struct config c;
    static const char text[] =
        "# URL of your local OpenAI-compatible backend\n"
        "local_llm: \"http://127.0.0.1:11434/v1\"\n"
        "local_llm_api_key: secret\naccess_key: k\nmodels:\n  - llama-3\n  - b\n"
        "max_context: 4096\nrate_limit:\n  requests_per_minute: 10\n"
        "schedule:\n  start: \"00:00\"\n  end: \"07:00\"\n"
        "http_port: 8888\np2p_port: 8000\nbootstrap_nodes:\n  - /ip4/1.2.3.4/tcp/8000\n";
    config_init(&c);
    assert_int_equal(config_read_yaml(&c, bytes_str(text), "config.yml", why), 0);
    assert_string_equal(c.local_llm, "http://127.0.0.1:11434/v1");
    assert_int_equal(c.requests_per_minute, 10);
    assert_string_equal(c.schedule_end, "07:00");
    assert_int_equal(c.models.n, 2);
    assert_string_equal(c.bootstrap.v[0], "/ip4/1.2.3.4/tcp/8000");
    config_fini(&c);
}

static void seeds_flags_are_understood(void **state)
{
    struct config c;
    config_init(&c);
    assert_int_equal(FLAGS(&c, "--model-path", "m.gguf", "--host", "0.0.0.0", "--port", "8002",
                           "--dht-port", "8003", "--node-id", "n", "--bootstrap-nodes",
                           "localhost:8001", "--n-gpu-layers", "35"),
                     0);
    assert_string_equal(c.model.v[0], "m.gguf");
    assert_string_equal(c.http_host, "0.0.0.0");
    assert_int_equal(c.http_port, 8002);
    assert_int_equal(c.p2p_port, 8003);
    assert_int_equal(c.gpu_layers, 35);
    assert_true(config_is_given(&c, "gpu_layers") && !config_is_given(&c, "ctx"));
    config_fini(&c);
}

static void llamanets_environment_means_nothing_unasked(void **state)
{
    struct config c;
    char *const env[] = {
        "HOST=1.2.3.4", "PORT=77", "BOOTSTRAP_NODES=", "N_CTX=2048", "XDG_DATA_HOME=/d", NULL};
    config_init(&c);
    assert_int_equal(config_read_env(&c, env, why), 0);
    assert_int_equal(c.http_port, 8888);
    char *dir = config_data_dir(&c, env);
    assert_string_equal(dir, "/d/conduit");
    free(dir);
    assert_int_equal(FLAGS(&c, "--compat", "llamanet"), 0);
    assert_int_equal(config_read_env(&c, env, why), 0);
    assert_int_equal(c.http_port, 77);
    assert_int_equal(c.ctx, 2048);
    assert_int_equal(c.bootstrap.n, 0);
    dir = config_data_dir(&c, env);
    assert_string_equal(dir, "/d/conduit/llamanet-8000");
    free(dir);
    config_fini(&c);
}

struct mistake {
    const char *text, *why;
};

static void mistakes_in_the_file_are_named_with_their_line(void **state)
{
    static const struct mistake table[] = {
        {"http_port: 1\nmodles: [a]\n", "f:2: unknown key 'modles'; did you mean 'models'?"},
        {"nonsense_key: 1\n", "f:1: unknown key 'nonsense_key'"},
        {"rate_limit:\n  requests: 1\n",
         "f:2: unknown key 'rate_limit.requests'; did you mean 'rate_limit.per_peer'?"},
        {"http_port: many\n", "f:1: http_port: 'many' is not a number from 0 to 65535"},
        {"http_port: 70000\n", "f:1: http_port: '70000' is not a number from 0 to 65535"},
        {"http_port: [1]\n", "f:1: http_port: one value was expected, not a list"},
        {"http_port:\n  a: 1\n", "f:1: http_port: a value was expected, not a mapping"},
        {"- a\n", "f:1: a list of 'key: value' lines was expected"},
        {"open: perhaps\n", "f:1: open: 'perhaps' is neither true nor false"},
        {"node_id: b: c\n", "f:1: mapping values are not allowed in this context"},
        {"models: [[a]]\n", "f:1: models: a list of plain values was expected"},
        {"models: a\nopen: true\nmodels: b\n", "f:3: models: given twice"},
        {"bootstrap: a\nbootstrap_nodes: b\n", "f:2: bootstrap_nodes: given twice"},
        {"schedule:\n  end: '1:00'\nschedule:\n  end: '2:00'\n", "f:4: schedule.end: given twice"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct config c;
        config_init(&c);
        assert_int_equal(config_read_yaml(&c, bytes_str(table[i].text), "f", why), E_INVALID);
        assert_string_equal(why, table[i].why);
        config_fini(&c);
    }
}

static void mistakes_in_flags_are_named(void **state)
{
    struct config c;
    config_init(&c);
    assert_int_equal(FLAGS(&c, "--http-prot", "1"), E_INVALID);
    assert_string_equal(why, "unknown option --http-prot; did you mean --http-port?");
    assert_int_equal(FLAGS(&c, "--http-port"), E_INVALID);
    assert_string_equal(why, "--http-port needs a value: PORT");
    assert_int_equal(FLAGS(&c, "stray"), E_INVALID);
    assert_string_equal(why, "unexpected argument 'stray'; options begin with --");
    assert_int_equal(FLAGS(&c, "--help"), 1);
    config_fini(&c);
}

/* Of the words of a command line, those that are neither an option nor the value of one. */
static void operands_are_told_from_the_values_of_options(void **state)
{
    static const struct {
        const char *argv[6];
        const char *operand; /* the first, which is taken out */
        int left;
    } rows[] = {
        {{"doctor", "PEER", "--data-dir", "D"}, "PEER", 3},
        {{"doctor", "--data-dir", "D", "PEER"}, "PEER", 3},
        {{"doctor", "--data-dir=D", "PEER", "--open"}, "PEER", 3},
        {{"doctor", "--open", "PEER"}, "PEER", 2},    /* a flag has no value */
        {{"doctor", "--no-mdns", "PEER"}, "PEER", 2}, /* nor has one that is off */
        {{"doctor", "--unheard-of", "PEER"}, "PEER", 2},
        {{"doctor", "--data-dir", "D"}, NULL, 3},
        {{"doctor", "--data-dir"},
         NULL,
         2}, /* its value is missing: said when the options are read */
        {{"doctor", "-h"}, NULL, 2},
        {{"doctor", "--schedule-start", "08:00", "PEER", "SECOND"}, "PEER", 4},
        {{"doctor"}, NULL, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *argv[7] = {0};
        int argc = 0;
        for (; argc < 6 && rows[i].argv[argc]; argc++)
            argv[argc] = (char *)rows[i].argv[argc];
        const char *got = config_take_operand(&argc, argv);
        if (rows[i].operand)
            assert_string_equal(got, rows[i].operand);
        else
            assert_null(got);
        assert_int_equal(argc, rows[i].left);
        assert_null(argv[argc]);
        assert_string_equal(argv[0], "doctor");
    }
}

static void values_must_fit_each_other(void **state)
{
    struct config c;
    char *const env[] = {"HOME=/nonexistent", NULL};
    char *const late[] = {"up", "--schedule-start", "25:00", "--schedule-end", "07:00"};
    char *const half[] = {"up", "--schedule-start", "05:00"};
    char *const none[] = {"up", "--parallel", "0"};
    config_init(&c);
    assert_int_equal(config_load(&c, 5, late, env, why), E_INVALID);
    assert_string_equal(why, "schedule: '25:00' is not a time of day such as 07:30");
    config_fini(&c);
    config_init(&c);
    assert_int_equal(config_load(&c, 3, half, env, why), E_INVALID);
    assert_string_equal(why, "schedule: give both start and end");
    config_fini(&c);
    config_init(&c);
    assert_int_equal(config_load(&c, 3, none, env, why), E_INVALID);
    config_fini(&c);
}

/* Every truncation and one-byte change of a good file: an answer, never a crash or a leak. */
static void any_damaged_file_is_answered(void **state)
{
    static const char good[] = "models: [a, b]\nschedule:\n  start: \"01:00\"\nhttp_port: 1\n";
    for (size_t n = 0; n < sizeof good; n++)
        for (int flip = 0; flip < 3; flip++) {
            char text[sizeof good];
            struct config c;
            memcpy(text, good, sizeof good);
            if (n < sizeof good - 1 && flip)
                text[n] = "x{\xff"[flip];
            config_init(&c);
            size_t len = flip ? sizeof good - 1 : n;
            int err = config_read_yaml(&c, bytes_of(text, len), "f", why);
            assert_true(err == 0 || err == E_INVALID);
            config_fini(&c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flag_beats_environment_beats_file),
        cmocka_unit_test(lists_are_replaced_not_mixed),
        cmocka_unit_test(seed_conduits_file_works_as_it_is),
        cmocka_unit_test(seeds_flags_are_understood),
        cmocka_unit_test(llamanets_environment_means_nothing_unasked),
        cmocka_unit_test(mistakes_in_the_file_are_named_with_their_line),
        cmocka_unit_test(mistakes_in_flags_are_named),
        cmocka_unit_test(operands_are_told_from_the_values_of_options),
        cmocka_unit_test(values_must_fit_each_other),
        cmocka_unit_test(any_damaged_file_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
