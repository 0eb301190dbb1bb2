// SPDX-License-Identifier: MIT
/* conduit sim: a whole network in this process, in virtual time. */
#include "api.h"

#include "base/mem.h"
#include "sim/sim.h"

#include <errno.h>
#include <signal.h>
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
    bool has_warm = false, has_heal = false;
    sim_options_init(o);
    for (size_t i = 0; (name = sim_options_name(i)); i++) {
        if ((value = option_take(argc, argv, name)) && sim_options_set(o, name, value, why))
            return -1;
        has_warm |= value && strcmp(name, "warm") == 0;
        has_heal |= value && strcmp(name, "heal") == 0;
    }
    sim_options_fit(o, has_warm, has_heal);
    return sim_options_check(o, why);
}

/* What is left of argv is nothing that sim knows, or stands there without its value. */
static int complain(const char *left)
{
    const char *name;
    bool is_ours = strcmp(left, "--svg") == 0 || strcmp(left, "--log") == 0;
    for (size_t i = 0; (name = sim_options_name(i)); i++)
        is_ours |= strncmp(left, "--", 2) == 0 && strcmp(left + 2, name) == 0;
    if (is_ours)
        return usage_error("sim", "%s needs a value; see conduit sim --help", left);
    return usage_error("sim", "what is '%s'? Try conduit sim --help", left);
}

/* --- files --- */

/* Opened before the run, which may take hours. */
struct files {
    const char *svg_path, *log_path; /* or NULL */
    FILE *svg, *log;
};

static int cannot_write(const char *path, int err)
{
    fprintf(stderr, "conduit sim: %s cannot be written: %s\n", path, strerror(err));
    return EXIT_FAILED;
}

static void close_files(struct files *f)
{
    if (f->svg)
        fclose(f->svg);
    if (f->log)
        fclose(f->log);
}

static int open_files(struct files *f)
{
    if (f->svg_path && !(f->svg = fopen(f->svg_path, "we")))
        return cannot_write(f->svg_path, errno);
    if (f->log_path && !(f->log = fopen(f->log_path, "we")))
        return cannot_write(f->log_path, errno);
    return EXIT_OK;
}

static int write_picture(struct sim *s, struct files *f)
{
    struct buf b;
    buf_init(&b, 0);
    sim_picture(s, &b);
    bool ok = fwrite(buf_view(&b).p, 1, buf_len(&b), f->svg) == buf_len(&b) && fflush(f->svg) == 0;
    buf_fini(&b);
    return ok ? EXIT_OK : cannot_write(f->svg_path, errno);
}

/* --- the run --- */

static volatile sig_atomic_t caught;

static void on_signal(int signum)
{
    caught = signum;
}

/* The first one ends the run, and the nodes' files with it; the second is not waited for. */
static void catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

static int run(struct sim *s, bool json, bool quiet, struct files *f)
{
    unsigned minute = 0;
    struct buf out;
    uint64_t from = real_us();
    sim_stop_when(s, &caught);
    (void)sim_run(s, quiet ? NULL : on_tick, &minute);
    uint64_t took = real_us() - from;
    if (!quiet)
        fprintf(stderr, "\r          \r");
    if (caught)
        return 128 + caught;
    uint64_t violations = sim_end(s);
    buf_init(&out, 0);
    if (json)
        sim_summary_json(s, took, &out);
    else
        sim_summary_text(s, took, &out);
    fwrite(buf_view(&out).p, 1, buf_len(&out), stdout);
    buf_fini(&out);
    int rc = f->svg ? write_picture(s, f) : EXIT_OK;
    return violations ? EXIT_FAILED : rc;
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
    struct files f = {.svg_path = option_take(&argc, argv, "svg"),
                      .log_path = option_take(&argc, argv, "log")};
    if (option_take_flag(&argc, argv, "help")) {
        print_help();
        return EXIT_OK;
    }
    if (read_options(&o, &argc, argv, why))
        return usage_error("sim", "%s", why);
    if (argc > 1)
        return complain(argv[1]);
    if (sim_options_warning(&o))
        fprintf(stderr, "conduit sim: note: %s\n", sim_options_warning(&o));
    int rc = open_files(&f);
    setenv("TZ", "UTC", 1); /* schedules are in local time */
    catch_signals();
    struct sim *s = rc == EXIT_OK ? sim_new(&o, f.log, why) : NULL;
    if (s)
        rc = run(s, json, quiet, &f);
    else if (rc == EXIT_OK)
        rc = api_failf("sim", "%s", why);
    if (s)
        sim_free(s);
    close_files(&f);
    return rc;
}
