// SPDX-License-Identifier: MIT
/* Finding and checking a llama-server: see find.h. */
#include "engine/find.h"

#include "base/err.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The installer travels inside the program, so that an installed one has it too. */
__asm__(".section .rodata\n"
        ".globl engine_install_script\nengine_install_script:\n"
        ".incbin \"tools/engine/install.sh\"\n"
        ".globl engine_install_script_end\nengine_install_script_end: .byte 0\n"
        ".previous\n");

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

int engine_version(const char *path, unsigned *build, char *line, size_t line_size, char *why,
                   size_t why_size)
{
    char text[4096];
    *build = 0;
    if (strchr(path, '\'')) {
        snprintf(why, why_size, "%s: a path with a quote in it cannot be used", path);
        return E_INVALID;
    }
    char *cmd = mem_printf("timeout 20 '%s' --version 2>&1", path);
    FILE *f = popen(cmd, "re");
    free(cmd);
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    int rc = f ? pclose(f) : -1;
    text[n] = 0;
    const char *v = strstr(text, "version:");
    if (rc != 0 || !v) {
        snprintf(why, why_size, "%s --version failed%s%.*s", path, n ? ": " : "",
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
        snprintf(why, why_size,
                 "%s does not say which build it is (%s); builds before %d have known holes in their "
                 "loader. `conduit engine install` gets one that does; --llama-server names this one anyway",
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

int engine_choose(const char *given, const char *(*env)(const char *name), struct engine_server *out,
                  char *why, size_t why_size)
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
