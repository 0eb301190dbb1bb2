// SPDX-License-Identifier: MIT
/* conduit up: runs a node until it is told to stop. */
#include "command.h"

#include "base/mem.h"
#include "base/trace.h"
#include "codec/json.h"
#include "loop/loop.h"
#include "node/node.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

extern char **environ;

struct up {
    struct loop *loop;
    struct node *node;
    int signals;
};

static void on_stopped(void *ctx)
{
    loop_stop(((struct up *)ctx)->loop);
}

static void on_signal(void *ctx, int signum)
{
    struct up *u = ctx;
    if (++u->signals == 1)
        fprintf(stderr, "conduit: stopping; once more to stop at once\n");
    if (u->signals > 2)
        _Exit(128 + signum);
    node_stop(u->node, on_stopped, u);
}

static void print_line(void *ctx, const char *text)
{
    printf("  serving  %s\n", text);
}

static void print_ready(struct node *n, bool json)
{
    char address[512], lan[256];
    node_address(n, 0, address, sizeof address);
    if (json) {
        struct buf b;
        buf_init(&b, 0);
        struct json_writer w = json_write(&b);
        json_open_object(&w);
        json_member_str(&w, "event", "ready");
        json_member_str(&w, "peer", node_peer(n));
        json_member_str(&w, "api", node_api(n));
        json_member_str(&w, "address", address);
        json_member_str(&w, "lan", node_lan(n, lan, sizeof lan));
        json_key(&w, "addresses");
        json_open_array(&w);
        for (size_t i = 0; *node_address(n, i, address, sizeof address); i++)
            json_put_str(&w, address);
        json_close_array(&w);
        json_close_object(&w);
        printf("%.*s\n", BYTES_FMT(buf_view(&b)));
        buf_fini(&b);
    } else {
        printf("conduit %s\n  API      %s\n", conduit_version, node_api(n));
        for (size_t i = 0; *node_address(n, i, address, sizeof address); i++)
            printf("  %s  %s\n", i ? "       " : "address", address);
        if (*node_lan(n, address, sizeof address))
            printf("  LAN      %s\n", address);
        node_describe(n, print_line, NULL);
        printf(
            "A provider can read the prompts it serves. Others join with --bootstrap ADDRESS.\n");
    }
    fflush(stdout);
}

/* As many files as the system allows: each idle client is one. */
static void raise_file_limit(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
}

struct drain {
    struct timer timer;
    struct loop *loop;
};

static void on_drained(struct timer *t)
{
    loop_stop(CONTAINER_OF(t, struct drain, timer)->loop);
}

/* Turns of the loop in which what was cancelled completes and last bytes leave. */
static void drain(struct loop *loop)
{
    struct drain d = {.loop = loop};
    timer_init(&d.timer, on_drained);
    timer_after(loop_sched(loop), &d.timer, 50 * US_PER_MS);
    loop_run(loop);
    timer_clear(loop_sched(loop), &d.timer);
}

static int run(const struct config *cfg, bool json)
{
    struct up u = {0};
    struct loop_signal *term = NULL, *intr = NULL;
    char why[CONFIG_WHY];
    raise_file_limit();
    u.loop = loop_uv_new();
    if (!u.loop) {
        fprintf(stderr, "conduit up: the system gives no more files\n");
        return EXIT_FAILED;
    }
    int err = node_start(u.loop, cfg, environ, conduit_version, &u.node, why);
    if (err) {
        fprintf(stderr, "conduit up: %s\n", why);
        drain(u.loop);
        loop_free(u.loop);
        return EXIT_FAILED;
    }
    (void)loop_signal(u.loop, SIGTERM, on_signal, &u, &term);
    (void)loop_signal(u.loop, SIGINT, on_signal, &u, &intr);
    print_ready(u.node, json);
    loop_run(u.loop);
    node_free(u.node);
    loop_signal_close(term);
    loop_signal_close(intr);
    drain(u.loop);
    loop_free(u.loop);
    return EXIT_OK;
}

static void print_help(void)
{
    puts("conduit up [OPTION]…: start a node\n\n"
         "A node serves what it is told to share, uses what others share, and helps others find "
         "each other.\n"
         "Every option is also a key of the configuration file and an environment variable.\n\n"
         "  conduit up --model models/conduit-tiny.gguf\n"
         "  conduit up --backend http://127.0.0.1:11434/v1 --bootstrap HOST:8000\n\n"
         "  --json                           one line of JSON when ready, instead of text");
    config_print_help(stdout);
}

int command_up(int argc, char **argv)
{
    struct config cfg;
    char why[CONFIG_WHY];
    bool json = option_take_flag(&argc, argv, "json");
    if (option_take_flag(&argc, argv, "help-markdown")) {
        config_print_markdown(stdout);
        return EXIT_OK;
    }
    /* Without a subcommand (seed Conduit's way) argv[1] is already an option. */
    config_init(&cfg);
    int rc = config_load(&cfg, argc, argv, environ, why);
    if (rc == 1)
        print_help();
    else if (rc == 0 && cfg.log_level && trace_configure(cfg.log_level, why))
        rc = -1;
    if (rc < 0)
        fprintf(stderr, "conduit up: %s\n", why);
    int status = rc == 1 ? EXIT_OK : rc < 0 ? EXIT_USAGE : run(&cfg, json);
    config_fini(&cfg);
    return status;
}
