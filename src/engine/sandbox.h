// SPDX-License-Identifier: MIT
/* The sandbox of an engine: what `conduit engine-exec` puts on itself before it becomes llama-server.
 *
 *   engine-exec --parent PID [--ro PATH]… [--rw PATH]… -- PROGRAM ARG…
 *
 *   1 dies with its parent (also when that is killed)      4 Landlock: only the listed paths, no TCP,
 *   2 rlimits: no core files, few files                      no signals to others
 *   3 no_new_privs                                         5 seccomp: no sockets but unix ones that
 *                                                            listen; no ptrace, mount, keys, bpf …
 *
 * And of the environment only what chooses processors and cards stays: keys and tokens do not.
 *
 * A step that the kernel does not know is reported on stderr (the engine's log) and left out: an old
 * kernel runs the model with less protection, and says so. */
#ifndef CONDUIT_ENGINE_SANDBOX_H
#define CONDUIT_ENGINE_SANDBOX_H

#include <stddef.h>
#include <sys/types.h>

enum { SANDBOX_PATHS = 64 };

struct sandbox {
    pid_t parent;                  /* 0: not checked */
    const char *ro[SANDBOX_PATHS]; /* read and execute; missing ones are skipped */
    const char *rw[SANDBOX_PATHS]; /* also write, and make files and sockets within */
    size_t ro_count, rw_count;
};

/* What holds afterwards: bits of enum sandbox_step. Never fails; says on stderr what it could not do. */
enum sandbox_step {
    SANDBOX_DEATH = 1,
    SANDBOX_RLIMITS = 2,
    SANDBOX_PRIVS = 4,
    SANDBOX_LANDLOCK = 8,
    SANDBOX_LANDLOCK_NET = 16,
    SANDBOX_SECCOMP = 32
};
unsigned sandbox_enter(const struct sandbox *s);

/* The subcommand: argv[0] is "engine-exec". Returns only when it failed: 126 or 127. */
int engine_exec_main(int argc, char **argv);

#endif
