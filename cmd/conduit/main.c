// SPDX-License-Identifier: MIT
/* `conduit`: the table of subcommands and what they share. */
#include "command.h"

#include "base/mem.h"
#include "node/config.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static const struct command commands[] = {
    {"up", "[OPTION]…", "start a node: provider, consumer and bootstrap node in one", command_up},
    {"ask", "QUESTION", "ask a model once and print the answer as it comes", command_ask},
    {"chat", "", "talk with a model; keeps the conversation", command_chat},
    {"models", "", "the models that can be asked now", command_models},
    {"peers", "", "the peers that are connected", command_peers},
    {"status", "", "what the node is, serves and does", command_status},
    {"doctor", "[PEER] [OPTION]…", "what stands in the way, and what to do about it",
     command_doctor},
    {"invite", "[list|revoke]", "let one guest use this node; list, take back", command_invite},
    {"key", "[psk FILE]", "print this node's peer id; make the key of a private network",
     command_key},
    {"dht", "get KEY|status", "who stands behind a key of the DHT, and how it is there now",
     command_dht},
    {"engine", "install|version", "get or show the llama-server that serves GGUF files",
     command_engine},
    {"engine-exec", "", "", command_engine_exec, true},
    {"sim", "", "a whole network in this process, in virtual time; what became of it", command_sim},
    {"version", "", "print the version", command_version},
};

static void print_help(FILE *out)
{
    fprintf(out,
            "conduit: every machine that can run a language model, behind one OpenAI-compatible "
            "address\n\n  conduit COMMAND [OPTION]…\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (!commands[i].is_hidden)
            fprintf(out, "  %-8s %-18s %s\n", commands[i].name, commands[i].args,
                    commands[i].summary);
    fprintf(out, "\nEvery command knows --help and --json. Start with:\n"
                 "  conduit up --model models/conduit-tiny.gguf\n"
                 "  conduit ask \"What is the capital of France?\"\n");
}

static const char *next_command(void *ctx)
{
    size_t *i = ctx;
    while (*i < ARRAY_LEN(commands) && commands[*i].is_hidden)
        ++*i;
    return *i < ARRAY_LEN(commands) ? commands[(*i)++].name : NULL;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0)
        return command_version(1, argv + 1);
    /* Seed Conduit has no subcommands: `conduit --p2p-port 8000 …` starts a node. */
    if (strncmp(argv[1], "--", 2) == 0)
        return command_up(argc, argv);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    size_t i = 0;
    const char *near = config_nearest(argv[1], next_command, &i);
    fprintf(stderr, "conduit: unknown command '%s'%s%s%s; try conduit --help\n", argv[1],
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return EXIT_USAGE;
}

int usage_error(const char *name, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "conduit %s: ", name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

/* Removes argv[i..i+count). */
static void cut(int *argc, char **argv, int i, int count)
{
    memmove(argv + i, argv + i + count, (size_t)(*argc - i - count + 1) * sizeof *argv);
    *argc -= count;
}

const char *option_take(int *argc, char **argv, const char *name)
{
    size_t n = strlen(name);
    for (int i = 1; i < *argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0 || strncmp(argv[i] + 2, name, n) != 0)
            continue;
        const char *rest = argv[i] + 2 + n;
        if (*rest == '=') {
            cut(argc, argv, i, 1);
            return rest + 1;
        }
        if (!*rest && i + 1 < *argc) {
            const char *value = argv[i + 1];
            cut(argc, argv, i, 2);
            return value;
        }
    }
    return NULL;
}

bool option_take_flag(int *argc, char **argv, const char *name)
{
    for (int i = 1; i < *argc; i++)
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0) {
            cut(argc, argv, i, 1);
            return true;
        }
    return false;
}

int common_take(struct common *c, int argc, char **argv)
{
    *c = (struct common){0};
    c->json = option_take_flag(&argc, argv, "json");
    c->help = option_take_flag(&argc, argv, "help");
    c->data_dir = option_take(&argc, argv, "data-dir");
    c->api = option_take(&argc, argv, "api");
    c->bootstrap = option_take(&argc, argv, "bootstrap");
    c->key = getenv("CONDUIT_ACCESS_KEY");
    return argc;
}

char *common_socket(const struct common *c)
{
    struct config cfg;
    char why[CONFIG_WHY];
    config_init(&cfg);
    if (c->data_dir)
        (void)config_set(&cfg, "data_dir", c->data_dir, RANK_FLAG, why);
    else
        (void)config_read_env(&cfg, environ, why);
    char *dir = config_data_dir(&cfg, environ), *path = mem_printf("%s/control.sock", dir);
    free(dir);
    config_fini(&cfg);
    return path;
}
