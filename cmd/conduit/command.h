// SPDX-License-Identifier: MIT
/* The subcommands: one file each, one table in main.c. */
#ifndef CONDUIT_CMD_COMMAND_H
#define CONDUIT_CMD_COMMAND_H

#include <stdbool.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command {
    const char *name;
    const char *args;                  /* for the usage line */
    const char *summary;               /* one sentence */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
    bool is_hidden;
};

int command_up(int argc, char **argv);
int command_ask(int argc, char **argv);
int command_chat(int argc, char **argv);
int command_models(int argc, char **argv);
int command_peers(int argc, char **argv);
int command_status(int argc, char **argv);
int command_invite(int argc, char **argv);
int command_key(int argc, char **argv);
int command_dht(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_engine(int argc, char **argv);
int command_engine_exec(int argc, char **argv);
int command_sim(int argc, char **argv);
int command_version(int argc, char **argv);

extern const char conduit_version[], conduit_git[];

/* Options that the small commands share, taken out of argv wherever they stand. */
struct common {
    bool json, help;
    const char *data_dir; /* or NULL */
    const char *api;      /* "http://127.0.0.1:8888/v1": ask that address instead of the socket */
    const char *bootstrap;
    const char *key;
};

/* Takes the shared options; leaves the others in order and returns how many, or -1 after printing what
 * was wrong with usage on stderr. */
int common_take(struct common *c, int argc, char **argv);
/* The option `--name VALUE` or `--name=VALUE`, taken out of argv; NULL when absent. */
const char *option_take(int *argc, char **argv, const char *name);
bool option_take_flag(int *argc, char **argv, const char *name);
/* The control socket of the node that is meant; heap, yours. */
char *common_socket(const struct common *c);
/* Prints "conduit NAME: …" to stderr; returns EXIT_USAGE. */
int usage_error(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
