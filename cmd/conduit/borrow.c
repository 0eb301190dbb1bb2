// SPDX-License-Identifier: MIT
/* fork, exec ourselves, one line of JSON from the child, and the end of it all. */
#include "borrow.h"

#include "api.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { READY_MS = 20000, STOP_MS = 5000, STEP_MS = 50 };

static sigset_t interrupts(void)
{
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGINT);
    sigaddset(&s, SIGTERM);
    return s;
}

bool borrow_pause(uint32_t ms)
{
    sigset_t s = interrupts();
    const struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    return sigtimedwait(&s, NULL, &t) > 0;
}

/* In the child: never returns. */
static void become_node(const struct borrowed *b, int out, pid_t parent, char *const *argv)
{
    char log[300];
    snprintf(log, sizeof log, "%s/log", b->dir);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int err = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigprocmask(SIG_SETMASK, &b->before, NULL);
    if (getppid() != parent || null < 0 || err < 0)
        _exit(127);
    dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execv("/proc/self/exe", argv);
    _exit(127);
}

/* The last line of its log says why it did not start. */
static int say_why(struct borrowed *b, const char *else_)
{
    char path[300], line[512] = "", last[512] = "";
    snprintf(path, sizeof path, "%s/log", b->dir);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (line[0] != '\n')
            memcpy(last, line, sizeof last);
    if (f)
        fclose(f);
    last[strcspn(last, "\n")] = '\0';
    static const char prefix[] = "conduit up: ";
    bool has_prefix = strncmp(last, prefix, sizeof prefix - 1) == 0;
    snprintf(b->why, sizeof b->why, "%s",
             !*last ? else_ : last + (has_prefix ? sizeof prefix - 1 : 0));
    return EXIT_FAILED;
}

/* A line on its stdout means that it is ready. */
static int wait_ready(struct borrowed *b)
{
    for (int waited = 0; waited < READY_MS; waited += STEP_MS) {
        struct pollfd p = {b->out, POLLIN, 0};
        char text[4096];
        if (borrow_pause(0))
            return EXIT_INTERRUPTED;
        if (poll(&p, 1, STEP_MS) <= 0)
            continue;
        ssize_t n = read(b->out, text, sizeof text);
        if (n == 0)
            return say_why(b, "it ended by itself");
        if (n > 0 && memchr(text, '\n', (size_t)n))
            return 0;
    }
    return say_why(b, "it took too long");
}

/* A place for its log, and for its data when it has none of its own. */
static int make_place(struct borrowed *b)
{
    const char *tmp = getenv("TMPDIR");
    sigset_t s = interrupts();
    *b = (struct borrowed){.out = -1};
    sigprocmask(SIG_BLOCK, &s, &b->before);
    snprintf(b->dir, sizeof b->dir, "%s/conduit-ask.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (mkdtemp(b->dir))
        return 0;
    snprintf(b->why, sizeof b->why, "no temporary directory for a node: %s", strerror(errno));
    b->dir[0] = '\0';
    return EXIT_FAILED;
}

static int start(struct borrowed *b, char *const *argv)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        snprintf(b->why, sizeof b->why, "no pipe: %s", strerror(errno));
        return EXIT_FAILED;
    }
    pid_t parent = getpid();
    b->pid = fork();
    if (b->pid == 0)
        become_node(b, fds[1], parent, argv);
    close(fds[1]);
    b->out = fds[0];
    if (b->pid < 0) {
        snprintf(b->why, sizeof b->why, "no process for a node: %s", strerror(errno));
        b->pid = 0;
        return EXIT_FAILED;
    }
    return wait_ready(b);
}

int borrow_start(struct borrowed *b, const char *command, const char *bootstrap)
{
    int rc = make_place(b);
    const char *const argv[] = {
        "conduit",     "up", "--json",  "--data-dir", b->dir,        "--p2p-port", "0",
        "--http-port", "0",  "--share", "none",       "--bootstrap", bootstrap,    NULL,
    };
    snprintf(b->socket, sizeof b->socket, "%s/control.sock", b->dir);
    if (rc == 0)
        rc = start(b, (char *const *)argv);
    if (rc == EXIT_FAILED)
        return api_failf(command, "a node for this question did not start: %s", b->why);
    return rc;
}

int borrow_up(struct borrowed *b, const char *data_dir, int argc, char *const *options)
{
    enum { FIXED = 5 };
    int rc = make_place(b);
    char **argv = mem_array((size_t)argc + FIXED + 1, sizeof *argv);
    static char *const first[FIXED] = {"conduit", "up", "--json", "--share", "none"};
    memcpy(argv, first, sizeof first);
    for (int i = 0; i < argc; i++)
        argv[FIXED + i] = options[i];
    snprintf(b->socket, sizeof b->socket, "%s/control.sock", data_dir);
    if (rc == 0)
        rc = start(b, argv);
    free(argv);
    return rc;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

void borrow_stop(struct borrowed *b)
{
    if (b->pid > 0) {
        const struct timespec step = {0, STEP_MS * 1000000L};
        int waited = 0;
        kill(b->pid, SIGTERM);
        while (waitpid(b->pid, NULL, WNOHANG) == 0) {
            if (waited == STOP_MS)
                kill(b->pid, SIGKILL);
            nanosleep(&step, NULL);
            waited += STEP_MS;
        }
    }
    if (b->out >= 0)
        close(b->out);
    if (b->dir[0])
        (void)nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    sigprocmask(SIG_SETMASK, &b->before, NULL);
    b->pid = 0;
}
