// SPDX-License-Identifier: MIT
/* conduit sim: a whole network in this process, in virtual time. */
#include "command.h"

#include "base/mem.h"
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TUNABLES "GLIBC_TUNABLES"

static void print_help(void)
{
    printf(
        "conduit sim [OPTION]…: a network of whole nodes in this process, in virtual time; prints "
        "what\nbecame of it. The same seed gives the same run.\n\n");
    sim_options_help(stdout);
    printf("\n  --svg FILE     a timeline as a picture\n"
           "  --log FILE     everything that happened, one line each\n"
           "  --json         the summary as JSON\n"
           "  --quiet        no progress on stderr\n");
}

static uint64_t real_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void on_tick(void *ctx, const struct sim *s)
{
    unsigned *minute = ctx;
    fprintf(stderr, "\r%u min ", (*minute)++);
}

static int read_options(struct sim_options *o, int *argc, char **argv, char *why)
{
    const char *name, *value;
    sim_options_init(o);
    for (size_t i = 0; (name = sim_options_name(i)); i++)
        if ((value = option_take(argc, argv, name)) && sim_options_set(o, name, value, why))
            return -1;
    return sim_options_check(o, why);
}

static int write_picture(struct sim *s, const char *path)
{
    struct buf b;
    FILE *f = fopen(path, "we");
    buf_init(&b, 0);
    sim_picture(s, &b);
    bool ok = f && fwrite(buf_view(&b).p, 1, buf_len(&b), f) == buf_len(&b);
    ok = f && fclose(f) == 0 && ok;
    buf_fini(&b);
    if (!ok)
        fprintf(stderr, "conduit sim: %s cannot be written\n", path);
    return ok ? EXIT_OK : EXIT_FAILED;
}

static int run(struct sim *s, bool json, bool quiet, const char *svg)
{
    unsigned minute = 0;
    struct buf out;
    uint64_t from = real_us();
    uint64_t violations = sim_run(s, quiet ? NULL : on_tick, &minute);
    if (!quiet)
        fprintf(stderr, "\r          \r");
    buf_init(&out, 0);
    if (json)
        sim_summary_json(s, real_us() - from, &out);
    else
        sim_summary_text(s, real_us() - from, &out);
    fwrite(buf_view(&out).p, 1, buf_len(&out), stdout);
    buf_fini(&out);
    int rc = svg ? write_picture(s, svg) : EXIT_OK;
    uint64_t at_end = sim_end(s) - violations;
    if (at_end)
        fprintf(stderr,
                "conduit sim: %llu nodes left something behind when they ended: see --log\n",
                (unsigned long long)at_end);
    return violations || at_end ? EXIT_FAILED : rc;
}

/* A large world is gigabytes that are touched here and there: in large pages it takes a sixth less time. glibc reads
 * that wish only when a process begins, so it begins again; where it cannot, all goes on as it is. */
static void begin_with_large_pages(int argc, char **argv)
{
    if (getenv(TUNABLES))
        return;
    char **all = mem_array((size_t)argc + 2, sizeof *all);
    all[0] = (char *)(uintptr_t) "conduit";
    memcpy(all + 1, argv, (size_t)argc * sizeof *all);
    setenv(TUNABLES, "glibc.malloc.hugetlb=1", 1);
    execv("/proc/self/exe", all);
    free(all);
}

int command_sim(int argc, char **argv)
{
    struct sim_options o;
    char why[SIM_WHY];
    begin_with_large_pages(argc, argv);
    bool json = option_take_flag(&argc, argv, "json");
    bool quiet = option_take_flag(&argc, argv, "quiet");
    const char *svg = option_take(&argc, argv, "svg"), *log = option_take(&argc, argv, "log");
    if (option_take_flag(&argc, argv, "help")) {
        print_help();
        return EXIT_OK;
    }
    if (read_options(&o, &argc, argv, why))
        return usage_error("sim", "%s", why);
    if (argc > 1)
        return usage_error("sim", "what is '%s'? Try conduit sim --help", argv[1]);
    FILE *file = log ? fopen(log, "we") : NULL;
    if (log && !file)
        return usage_error("sim", "%s cannot be written", log);
    setenv("TZ", "UTC", 1); /* schedules are in local time */
    struct sim *s = sim_new(&o, file, why);
    int rc = EXIT_FAILED;
    if (s)
        rc = run(s, json, quiet, svg);
    else
        fprintf(stderr, "conduit sim: %s\n", why);
    if (s)
        sim_free(s);
    if (file)
        fclose(file);
    return rc;
}
