// SPDX-License-Identifier: MIT
/* The life of a llama-server as a machine: its stories, and random walks that keep its invariants. And
 * its command line, finding one, and backends' URLs, lists and health. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"
#include "engine/backend.h"
#include "engine/find.h"
#include "engine/llama.h"
#include "engine/llama_args.h"

#include <sys/stat.h>
#include <unistd.h>

static uint64_t now;

static unsigned step(struct llama *l, enum llama_event ev)
{
    unsigned fx = llama_step(l, ev, now);
    if (llama_broken(l))
        fail_msg("%s (in state '%s')", llama_broken(l), llama_state_text(l->state));
    return fx;
}

/* Lets time pass to the next deadline and ticks. */
static unsigned wait(struct llama *l)
{
    uint64_t at = llama_deadline(l);
    assert_true(at != SCHED_NEVER && at >= now);
    now = at;
    return step(l, LLAMA_TICK);
}

static void to_ready(struct llama *l)
{
    now = US_PER_S;
    llama_init(l, now);
    assert_int_equal(step(l, LLAMA_START), LLAMA_DO_SPAWN);
    step(l, LLAMA_SPAWNED);
    assert_int_equal(l->state, LLAMA_LOADING);
    assert_int_equal(wait(l), LLAMA_DO_CHECK);
    step(l, LLAMA_STILL_LOADING);
    assert_int_equal(wait(l), LLAMA_DO_CHECK);
    assert_int_equal(step(l, LLAMA_HEALTHY), LLAMA_DO_TELL);
    assert_true(llama_is_ready(l));
}

static void starts_and_stops(void **state)
{
    struct llama l;
    to_ready(&l);
    assert_int_equal(step(&l, LLAMA_STOP), LLAMA_DO_TERM | LLAMA_DO_TELL);
    assert_int_equal(wait(&l), LLAMA_DO_KILL); /* it does not listen */
    assert_int_equal(wait(&l), LLAMA_DO_KILL);
    step(&l, LLAMA_EXITED);
    assert_int_equal(l.state, LLAMA_STOPPED);
    assert_true(llama_deadline(&l) == SCHED_NEVER);
}

static void restarts_with_backoff(void **state)
{
    struct llama l;
    to_ready(&l);
    uint64_t expected = LLAMA_BACKOFF_US;
    for (int i = 0; i < 12; i++) {
        unsigned fx = step(&l, LLAMA_EXITED);
        assert_true(i > 0 || fx & LLAMA_DO_TELL);
        assert_int_equal(l.state, LLAMA_BACKING_OFF);
        uint64_t from = now;
        assert_int_equal(wait(&l), LLAMA_DO_SPAWN);
        assert_true(now - from == expected);
        expected = expected * 2 < LLAMA_BACKOFF_MAX_US ? expected * 2 : LLAMA_BACKOFF_MAX_US;
        step(&l, LLAMA_SPAWNED);
    }
    /* It was ready once, so it is never given up; a minute of health forgets. */
    wait(&l);
    step(&l, LLAMA_HEALTHY);
    now += LLAMA_FORGET_US;
    step(&l, LLAMA_EXITED);
    assert_int_equal(l.deaths, 1);
    assert_true(l.backoff_us == LLAMA_BACKOFF_US);
}

static void gives_up(void **state)
{
    struct llama l;
    now = US_PER_S;
    llama_init(&l, now);
    step(&l, LLAMA_START);
    for (int i = 0; i < LLAMA_DEATHS; i++) {
        if (i > 0)
            assert_int_equal(wait(&l), LLAMA_DO_SPAWN);
        if (i % 2) {
            step(&l, LLAMA_SPAWN_FAILED);
        } else {
            step(&l, LLAMA_SPAWNED);
            step(&l, LLAMA_EXITED);
        }
    }
    assert_int_equal(l.state, LLAMA_GAVE_UP);
    assert_true(llama_deadline(&l) == SCHED_NEVER);
    assert_int_equal(step(&l, LLAMA_START), LLAMA_DO_SPAWN); /* asked again */
}

static void unhealthy_is_killed(void **state)
{
    struct llama l;
    to_ready(&l);
    for (int i = 0; i < LLAMA_BAD_CHECKS; i++) {
        assert_int_equal(wait(&l), LLAMA_DO_CHECK);
        step(&l, LLAMA_NO_ANSWER);
    }
    assert_int_equal(l.state, LLAMA_UNHEALTHY);
    assert_int_equal(wait(&l), LLAMA_DO_CHECK); /* it may come back */
    step(&l, LLAMA_HEALTHY);
    assert_true(llama_is_ready(&l));
    unsigned fx = 0;
    while (l.state != LLAMA_KILLING) {
        fx = wait(&l);
        if (fx & LLAMA_DO_CHECK)
            step(&l, LLAMA_NO_ANSWER);
    }
    assert_true(fx & LLAMA_DO_TERM);
    assert_true(wait(&l) & LLAMA_DO_KILL);
    step(&l, LLAMA_EXITED);
    assert_int_equal(l.state, LLAMA_BACKING_OFF);
}

static void stop_while_starting(void **state)
{
    struct llama l;
    now = US_PER_S;
    llama_init(&l, now);
    step(&l, LLAMA_START);
    assert_int_equal(step(&l, LLAMA_STOP), 0);
    assert_true(step(&l, LLAMA_SPAWNED) & LLAMA_DO_TERM);
    step(&l, LLAMA_START); /* wanted again before it is gone */
    assert_int_equal(step(&l, LLAMA_EXITED), LLAMA_DO_SPAWN);
}

/* Any events in any order: never an illegal move (asserted within), always watched. */
static void random_walks(void **state)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rng r;
        struct llama l;
        rng_init_seeded(&r, seed);
        now = US_PER_S;
        llama_init(&l, now);
        for (int i = 0; i < 400; i++) {
            enum llama_event ev = (enum llama_event)rng_below(&r, LLAMA_TICK + 1);
            now += rng_below(&r, 20) * US_PER_S / 4;
            step(&l, ev);
            uint64_t at = llama_deadline(&l);
            if (at != SCHED_NEVER && at < now)
                step(&l, LLAMA_TICK);
            if (llama_deadline(&l) < now && l.state != LLAMA_BACKING_OFF)
                fail_msg("seed %d: a deadline in the past that a tick does not move", (int)seed);
        }
    }
}

/* --- the command line --- */
static bool has_arg(const struct llama_args *a, const char *flag, const char *value)
{
    for (size_t i = 0; i + 1 < a->n; i++) {
        if (strcmp(a->v[i], flag) == 0 && (!value || strcmp(a->v[i + 1], value) == 0))
            return true;
    }
    return false;
}

static void command_line(void **state)
{
    static const char *const lora[] = {"/l1.gguf", "/l2.gguf", NULL};
    struct engine_llama_options o = {.ctx = 1000,
                                     .parallel = 3,
                                     .threads = 5,
                                     .gpu_layers = 0,
                                     .has_gpu_layers = true,
                                     .batch = 64,
                                     .mmproj = "/p.gguf",
                                     .lora = lora};
    struct llama_plan p = {.server = "/bin/sh",
                           .self = "/c",
                           .file = "/m-00001-of-00002.gguf",
                           .socket = "/s/e.sock",
                           .socket_dir = "/s",
                           .name = "n",
                           .options = &o,
                           .parent = 42,
                           .cores = 8};
    struct llama_args a;
    llama_args_init(&a, &p);
    assert_string_equal(a.v[0], "/c");
    assert_true(has_arg(&a, "--ctx-size", "3000")); /* per slot, times slots */
    assert_true(has_arg(&a, "--parallel", "3") && has_arg(&a, "--threads", "5"));
    assert_true(has_arg(&a, "--n-gpu-layers", "0") && has_arg(&a, "--batch-size", "64"));
    assert_true(has_arg(&a, "--mmproj", "/p.gguf") && has_arg(&a, "--lora", "/l2.gguf"));
    assert_true(has_arg(&a, "--ro", "/m-00001-of-00002.gguf") &&
                has_arg(&a, "--ro", "/m-00002-of-00002.gguf"));
    assert_true(has_arg(&a, "--ro", "/l1.gguf") && has_arg(&a, "--rw", "/s") &&
                has_arg(&a, "--parent", "42"));
    assert_true(
        has_arg(&a, "--ubatch-size", "63")); /* a multiple of the slots, else llama.cpp aborts */
    assert_null(a.v[a.n]);
    llama_args_fini(&a);
    o.batch = 0;
    llama_args_init(&a, &p);
    assert_true(has_arg(&a, "--ubatch-size", "510") && !has_arg(&a, "--batch-size", NULL));
    llama_args_fini(&a);
    o.parallel = 4;
    llama_args_init(&a, &p);
    assert_false(has_arg(&a, "--ubatch-size", NULL));
    llama_args_fini(&a);
    struct engine_llama_options none = {0};
    p.options = &none;
    p.ctx_train = 512;
    p.weight_bytes = UINT64_C(4) << 30;
    assert_int_equal(llama_plan_ctx(&p), 512);
    assert_int_equal(llama_plan_threads(&p), 7);
    p.weight_bytes = 1 << 20;
    assert_int_equal(llama_plan_threads(&p), 1);
}

/* --- finding --- */
static const char *no_env(const char *name)
{
    return strcmp(name, "PATH") == 0             ? "/nonexistent:/tmp"
           : strcmp(name, "XDG_CACHE_HOME") == 0 ? "/nonexistent"
                                                 : NULL;
}

/* A program DIR/NAME that prints `says` for --version. */
static char *fake_server(const char *dir, const char *says)
{
    char *p = mem_printf("%s/llama-server", dir);
    mkdir(dir, 0700);
    FILE *f = fopen(p, "w");
    fprintf(f, "#!/bin/sh\necho '%s'\n", says);
    fclose(f);
    chmod(p, 0700);
    return p;
}

static void finding(void **state)
{
    enum find_source source;
    char why[256] = "", line[64];
    unsigned build;
    assert_null(engine_find(NULL, no_env, &source, why, sizeof why));
    assert_non_null(strstr(why, "conduit engine install"));
    assert_null(engine_find("/nonexistent/x", no_env, &source, why, sizeof why));
    assert_non_null(strstr(why, "/nonexistent/x"));
    char *p = engine_find("/bin/sh", no_env, &source, why, sizeof why);
    assert_string_equal(p, "/bin/sh");
    assert_int_equal(source, FIND_GIVEN);
    free(p);
    assert_int_equal(engine_build_parse("version: 0.7.0 (build 11669, commit Debian)\nbuilt"),
                     11669);
    assert_int_equal(engine_build_parse("version: 0.7.0 (b11669)"), 11669);
    assert_int_equal(engine_build_parse("ggml: found\nversion: 5662 (fb85a288)\n"), 5662);
    assert_int_equal(engine_build_parse("version: 0.7.0\nbuilt with (build 9)"), 0);
    assert_int_equal(engine_build_parse("nothing"), 0);
    char file[] = "/tmp/conduit-old-XXXXXX";
    int fd = mkstemp(file);
    dprintf(fd, "#!/bin/sh\necho 'version: 5000 (abc)'\n");
    fchmod(fd, 0700);
    close(fd);
    assert_int_equal(engine_version(file, &build, line, sizeof line, why, sizeof why),
                     E_UNSUPPORTED);
    assert_int_equal(build, 5000);
    assert_non_null(strstr(why, "is build 5000; builds before"));
    unlink(file);
    assert_int_equal(engine_version("/bin/false", &build, line, sizeof line, why, sizeof why),
                     E_UNAVAILABLE);
    /* No shell reads its path. */
    char odd[] = "/tmp/conduit-o'dd-XXXXXX";
    assert_non_null(mkdtemp(odd));
    char *server =
        fake_server(odd, "version: 12000 (its)'; head -c 300000 /dev/zero | tr '\\0' 'x");
    assert_int_equal(engine_version(server, &build, line, sizeof line, why, sizeof why), 0);
    assert_int_equal(build, 12000);
    unlink(server);
    rmdir(odd);
    free(server);
    assert_true(engine_install_script_end - engine_install_script > 1000);
    assert_memory_equal(engine_install_script, "#!/bin/sh", 9);
}

static char fake_path[64], fake_cache[64];

static const char *fake_env(const char *name)
{
    return strcmp(name, "PATH") == 0             ? fake_path
           : strcmp(name, "XDG_CACHE_HOME") == 0 ? fake_cache
                                                 : NULL;
}

static void remove_tree(const char *dir)
{
    char *cmd = mem_printf("rm -r %s", dir);
    assert_int_equal(system(cmd), 0);
    free(cmd);
}

/* One of PATH that is too old, or does not say how old it is, gives way to the cache's, which is
 * what `conduit engine install` promises. */
static void choosing(void **state)
{
    static const struct {
        const char *in_path, *in_cache; /* NULL: none */
        enum find_source source;
        const char *why; /* NULL: found */
    } rows[] = {
        {"version: 0.7.0 (build 11669, commit Debian)", "version: 12000 (abc)", FIND_PATH, NULL},
        {"version: 5000 (abc)", "version: 12000 (abc)", FIND_CACHE, NULL},
        {"version: 0 (unknown)", "version: 12000 (abc)", FIND_CACHE, NULL},
        {"no idea", "version: 12000 (abc)", FIND_CACHE, NULL},
        {NULL, "version: 12000 (abc)", FIND_CACHE, NULL},
        {"version: 5000 (abc)", NULL, FIND_NONE, "is build 5000; builds before"},
        {"version: 5000 (abc)", "version: 5001 (abc)", FIND_NONE, "is build 5000; builds before"},
        {"version: 0 (unknown)", NULL, FIND_NONE, "does not say which build it is"},
        {NULL, NULL, FIND_NONE, "`conduit engine install` gets one"},
    };
    char base[] = "/tmp/conduit-pick-XXXXXX", why[512];
    assert_non_null(mkdtemp(base));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct engine_server s;
        snprintf(fake_path, sizeof fake_path, "%s/%zu", base, i);
        snprintf(fake_cache, sizeof fake_cache, "%s/c%zu", base, i);
        if (rows[i].in_path)
            free(fake_server(fake_path, rows[i].in_path));
        char *bin = mem_printf("%s/conduit/engine/bin", fake_cache),
             *cmd = mem_printf("mkdir -p %s", bin);
        assert_int_equal(system(cmd), 0);
        if (rows[i].in_cache)
            free(fake_server(bin, rows[i].in_cache));
        free(cmd);
        free(bin);
        int err = engine_choose(NULL, fake_env, &s, why, sizeof why);
        if ((err == 0) != !rows[i].why || s.source != rows[i].source ||
            (rows[i].why && !strstr(why, rows[i].why)))
            fail_msg("row %zu: err %d source %d: %s", i, err, (int)s.source, err ? why : s.path);
        assert_true((s.path != NULL) == !rows[i].why);
        free(s.path);
    }
    /* Named, it is used although it does not say its build, but never when it says a bad one. */
    struct engine_server s;
    snprintf(fake_path, sizeof fake_path, "%s/named", base);
    char *named = fake_server(fake_path, "version: 0 (unknown)");
    assert_int_equal(engine_choose(named, fake_env, &s, why, sizeof why), 0);
    assert_int_equal(s.build, 0);
    assert_int_equal(s.source, FIND_GIVEN);
    free(s.path);
    free(named);
    named = fake_server(fake_path, "version: 5000 (abc)");
    assert_int_equal(engine_choose(named, fake_env, &s, why, sizeof why), E_UNSUPPORTED);
    free(named);
    remove_tree(base);
}

/* --- backends --- */
static void places(void **state)
{
    static const struct {
        const char *url, *base, *host;
        bool is_near;
    } rows[] = {
        {"http://127.0.0.1:11434", "/v1", "127.0.0.1:11434", true},
        {"http://localhost:8080/", "/v1", "localhost:8080", true},
        {"http://10.0.0.7:8000/v1", "/v1", "10.0.0.7:8000", true},
        {"http://10.0.0.7:8000/v1/", "/v1", "10.0.0.7:8000", true},
        {"https://api.example.com/openai/v2", "/openai/v2", "api.example.com", false},
        {"https://api.example.com/openai", "/openai/v1", "api.example.com", false},
        {"box.local:1234", "/v1", "box.local:1234", true},
        {"http://8.8.8.8/vx", "/vx/v1", "8.8.8.8", false},
    };
    struct backend_place p;
    char why[ENGINE_WHY], name[ENGINE_NAME], key[ENGINE_NAME + 32];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (backend_place(rows[i].url, &p, why) != 0)
            fail_msg("%s: %s", rows[i].url, why);
        if (strcmp(p.base_path, rows[i].base) || strcmp(p.host, rows[i].host) ||
            p.is_near != rows[i].is_near)
            fail_msg("%s: base %s host %s near %d", rows[i].url, p.base_path, p.host, p.is_near);
    }
    assert_int_equal(backend_place("ftp://x", &p, why), E_MALFORMED);
    assert_non_null(strstr(why, "ftp://x"));
    assert_int_equal(backend_place("http://x/?a=b", &p, why), E_MALFORMED);
    backend_place("http://127.0.0.1:11434", &p, why);
    backend_default_name(&p, name);
    assert_string_equal(name, "ollama");
    backend_place("https://api.openai.com/v1", &p, why);
    backend_default_name(&p, name);
    assert_string_equal(name, "api.openai.com");
    backend_key_variable("my-openai.2", key);
    assert_string_equal(key, "CONDUIT_BACKEND_MY_OPENAI_2_KEY");
}

static void lists(void **state)
{
    struct backend_list l;
    char why[ENGINE_WHY];
    assert_int_equal(
        backend_list_parse(
            BYTES_LIT(
                "{\"data\":[{\"id\":\"a/b:c\",\"owned_by\":\"llamacpp\",\"meta\":{\"n_ctx\":4096}},"
                "{\"id\":\"d\",\"max_model_len\":99},{\"id\":\"\"},{},7]}"),
            &l, why),
        0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.v[0].id, "a/b:c");
    assert_int_equal(l.v[0].ctx, 4096);
    assert_int_equal(l.v[1].ctx, 99);
    assert_true(l.is_llama_server);
    backend_list_fini(&l);
    assert_int_equal(backend_list_parse(BYTES_LIT("[{\"id\":\"x\"}]"), &l, why), 0);
    assert_false(l.is_llama_server);
    backend_list_fini(&l);
    assert_int_equal(backend_list_parse(BYTES_LIT("<html>"), &l, why), E_MALFORMED);
    assert_int_equal(backend_list_parse(BYTES_LIT("{}"), &l, why), E_MALFORMED);
    struct buf big;
    buf_init(&big, 0);
    buf_append_str(&big, "[0");
    for (int i = 0; i < LIMIT_BACKEND_MODELS; i++)
        buf_append_str(&big, ",0");
    buf_append_str(&big, "]");
    assert_int_equal(backend_list_parse(buf_view(&big), &l, why), E_LIMIT);
    buf_fini(&big);
}

static void health(void **state)
{
    struct backend_health h = {0};
    assert_true(backend_health_step(&h, false) == US_PER_S && !h.is_up);
    assert_true(backend_health_step(&h, false) == 2 * US_PER_S);
    assert_true(backend_health_step(&h, true) == 30 * US_PER_S && h.is_up);
    assert_true(backend_health_step(&h, false) == US_PER_S && h.is_up); /* once may be chance */
    backend_health_step(&h, false);
    assert_false(h.is_up);
    for (int i = 0; i < 20; i++)
        backend_health_step(&h, false);
    assert_true(backend_health_step(&h, false) == 60 * US_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_and_stops),
        cmocka_unit_test(restarts_with_backoff),
        cmocka_unit_test(gives_up),
        cmocka_unit_test(unhealthy_is_killed),
        cmocka_unit_test(stop_while_starting),
        cmocka_unit_test(random_walks),
        cmocka_unit_test(command_line),
        cmocka_unit_test(finding),
        cmocka_unit_test(choosing),
        cmocka_unit_test(places),
        cmocka_unit_test(lists),
        cmocka_unit_test(health),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
