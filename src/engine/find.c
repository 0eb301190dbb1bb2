// SPDX-License-Identifier: MIT
/* Finding and checking a llama-server: see find.h. */
#include "engine/find.h"

#include "base/err.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The installer travels inside the program, so that an installed one has it too. */
__asm__(".section .rodata\n"
        ".globl engine_install_script\nengine_install_script:\n"
        ".incbin \"tools/engine/install.sh\"\n"
        ".globl engine_install_script_end\nengine_install_script_end: .byte 0\n"
        ".previous\n");

enum { ANSWER_S = 20 };

static const char *env_of(const char *name)
{
    return getenv(name);
}

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *engine_cache_dir(const char *(*env)(const char *name))
{
    env = env ? env : env_of;
    const char *xdg = env("XDG_CACHE_HOME"), *home = env("HOME");
    if (xdg && xdg[0] == '/')
        return mem_printf("%s/conduit/engine", xdg);
    return mem_printf("%s/.cache/conduit/engine", home && home[0] ? home : "/root");
}

static char *find_in_path(const char *path)
{
    while (path && *path) {
        size_t n = strcspn(path, ":");
        char *p = mem_printf("%.*s/llama-server", (int)n, path);
        if (n > 0 && is_program(p))
            return p;
        free(p);
        path += n + (path[n] == ':');
    }
    return NULL;
}

static char *find_in_cache(const char *(*env)(const char *name))
{
    char *dir = engine_cache_dir(env), *p = mem_printf("%s/bin/llama-server", dir);
    free(dir);
    if (is_program(p))
        return p;
    free(p);
    return NULL;
}

char *engine_find(const char *given, const char *(*env)(const char *name), enum find_source *source,
                  char *why, size_t why_size)
{
    env = env ? env : env_of;
    const char *asked = given && given[0] ? given : env("CONDUIT_LLAMA_SERVER");
    if (asked && asked[0]) {
        *source = FIND_GIVEN;
        if (is_program(asked))
            return mem_strdup(asked);
        snprintf(why, why_size, "%s is not a program that can be run", asked);
        return NULL;
    }
    *source = FIND_PATH;
    char *p = find_in_path(env("PATH"));
    if (p)
        return p;
    *source = FIND_CACHE;
    p = find_in_cache(env);
    if (p)
        return p;
    *source = FIND_NONE;
    snprintf(why, why_size, "no llama-server was found; `conduit engine install` gets one");
    return NULL;
}

unsigned engine_build_parse(const char *text)
{
    const char *v = strstr(text, "version:");
    if (!v)
        return 0;
    static const char *const marks[] = {"(build ", "(b"};
    const char *end = strchr(v, '\n');
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        const char *b = strstr(v, marks[i]);
        size_t n = strlen(marks[i]);
        if (b && (!end || b < end) && isdigit((unsigned char)b[n]))
            return (unsigned)strtoul(b + n, NULL, 10);
    }
    v += strlen("version:");
    char *rest;
    unsigned long n = strtoul(v, &rest, 10);
    return rest != v && *rest != '.' ? (unsigned)n : 0;
}

static void become(const char *path, int out_fd)
{
    int nothing = open("/dev/null", O_RDONLY);
    setpgid(0, 0); /* so that what it starts is ended with it */
    alarm(
        ANSWER_S); /* outlives exec: also one that ends its output and stays is waited for in vain */
    dup2(nothing, 0);
    dup2(out_fd, 1);
    dup2(out_fd, 2);
    execl(path, path, "--version", (char *)NULL);
    _exit(127);
}

/* What comes until the end, ANSWER_S at most. */
static int read_answer(int fd, char *text, size_t size)
{
    struct timespec from, now;
    char rest[4096]; /* what is not kept is read all the same, or it would not end */
    size_t n = 0;
    ssize_t got = 1;
    clock_gettime(CLOCK_MONOTONIC, &from);
    while (got > 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        long left_ms = (ANSWER_S + from.tv_sec - now.tv_sec) * 1000L;
        struct pollfd p = {fd, POLLIN, 0};
        if (left_ms <= 0 || poll(&p, 1, (int)left_ms) == 0)
            return E_TIMEOUT;
        bool is_kept = n + 1 < size;
        got = is_kept ? read(fd, text + n, size - 1 - n) : read(fd, rest, sizeof rest);
        n += got > 0 && is_kept ? (size_t)got : 0;
        text[n] = 0;
        if (got < 0 && errno == EINTR)
            got = 1;
    }
    return 0;
}

/* Its output of --version into `text`: 0, E_TIMEOUT, or E_UNAVAILABLE when it exits otherwise than 0. */
static int ask_version(const char *path, char *text, size_t size)
{
    int fds[2], status = -1;
    text[0] = 0;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return E_UNAVAILABLE;
    pid_t pid = fork();
    if (pid == 0)
        become(path, fds[1]);
    close(fds[1]);
    int err = pid > 0 ? read_answer(fds[0], text, size) : E_UNAVAILABLE;
    if (err && pid > 0)
        kill(-pid, SIGKILL);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(fds[0]);
    return err ? err : status == 0 ? 0 : E_UNAVAILABLE;
}

int engine_version(const char *path, unsigned *build, char *line, size_t line_size, char *why,
                   size_t why_size)
{
    char text[4096];
    *build = 0;
    int err = ask_version(path, text, sizeof text);
    const char *v = strstr(text, "version:");
    if (err || !v) {
        snprintf(why, why_size, "%s --version %s%s%.*s", path,
                 err == E_TIMEOUT ? "does not answer" : "failed", text[0] ? ": " : "",
                 (int)strcspn(text, "\n"), text);
        return E_UNAVAILABLE;
    }
    snprintf(line, line_size, "%.*s", (int)strcspn(v, "\n"), v);
    *build = engine_build_parse(text);
    if (*build == 0 || *build >= ENGINE_FLOOR_BUILD)
        return 0;
    snprintf(why, why_size,
             "%s is build %u; builds before %d have known holes in their loader and are not used. "
             "`conduit engine install` gets a newer one",
             path, *build, ENGINE_FLOOR_BUILD);
    return E_UNSUPPORTED;
}

static int try_server(char *path, struct engine_server *out, char *why, size_t why_size)
{
    int err = engine_version(path, &out->build, out->line, sizeof out->line, why, why_size);
    if (!err && out->build == 0 && out->source != FIND_GIVEN) {
        snprintf(
            why, why_size,
            "%s does not say which build it is (%s); builds before %d have known holes in their "
            "loader. `conduit engine install` gets one that does; --llama-server names this one "
            "anyway",
            path, out->line, ENGINE_FLOOR_BUILD);
        err = E_UNSUPPORTED;
    }
    if (err) {
        free(path);
        path = NULL;
    }
    out->path = path;
    return err;
}

int engine_choose(const char *given, const char *(*env)(const char *name),
                  struct engine_server *out, char *why, size_t why_size)
{
    char ignored[512];
    memset(out, 0, sizeof *out);
    char *path = engine_find(given, env, &out->source, why, why_size);
    if (!path) {
        out->source = FIND_NONE;
        return E_NOT_FOUND;
    }
    int err = try_server(path, out, why, why_size);
    if (err && out->source == FIND_PATH && (path = find_in_cache(env))) {
        out->source = FIND_CACHE;
        if (try_server(path, out, ignored, sizeof ignored) == 0)
            err = 0;
    }
    if (err)
        out->source = FIND_NONE;
    return err;
}

int engine_install(void)
{
    int in[2];
    if (pipe(in) != 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], 0);
        close(in[0]);
        close(in[1]);
        execl("/bin/sh", "sh", "-s", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    const char *p = engine_install_script;
    while (pid > 0 && p < engine_install_script_end) {
        ssize_t n = write(in[1], p, (size_t)(engine_install_script_end - p));
        if (n <= 0)
            break;
        p += n;
    }
    close(in[1]);
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
