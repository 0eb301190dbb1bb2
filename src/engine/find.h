// SPDX-License-Identifier: MIT
/* Which llama-server is used: --llama-server or CONDUIT_LLAMA_SERVER; PATH; the one that `conduit
 * engine install` put into the user's cache. And whether it is new enough to be given a stranger's
 * model or prompt. */
#ifndef CONDUIT_ENGINE_FIND_H
#define CONDUIT_ENGINE_FIND_H

#include <stdbool.h>
#include <stddef.h>

/* llama.cpp of 14 August 2026: the loader bugs found until then are fixed (6fed9f6f). b10252 (3 August)
 * is known to be bad. */
enum { ENGINE_FLOOR_BUILD = 10400 };

enum find_source { FIND_NONE, FIND_GIVEN, FIND_PATH, FIND_CACHE };

/* The path, heap; NULL with a sentence in `why` that says what to do. `given` may be NULL. `env` is as
 * getenv; NULL: getenv itself. */
char *engine_find(const char *given, const char *(*env)(const char *name), enum find_source *source,
                  char *why, size_t why_size);
/* The build's number in the output of --version ("version: 0.7.0 (build 11669, …)",
 * "version: 0.7.0 (b11669)", "version: 5662 (abc)"): 0
 * when there is none. */
unsigned engine_build_parse(const char *text);
/* Runs `path --version` (at most 20 s; blocking: for commands and before the loop runs). 0 and the build,
 * or an error with a sentence: not runnable, or below the floor. */
int engine_version(const char *path, unsigned *build, char *line, size_t line_size, char *why,
                   size_t why_size);
/* The one that is used: of `engine_find`'s places the first whose build is known and not below the floor.
 * One that was named is used even if it does not say its build (build 0: say so to the user), since who
 * compiles it without git's history has no other way. */
struct engine_server {
    char *path; /* heap; NULL when none */
    enum find_source source;
    unsigned build;
    char line[128]; /* "version: …" */
};
int engine_choose(const char *given, const char *(*env)(const char *name),
                  struct engine_server *out, char *why, size_t why_size);
/* "$XDG_CACHE_HOME/conduit/engine"; heap. */
char *engine_cache_dir(const char *(*env)(const char *name));
/* Runs the installer that is built into this program; its progress goes to stderr. Its exit status. */
int engine_install(void);

extern const char engine_install_script[];
extern const char engine_install_script_end[];

#endif
