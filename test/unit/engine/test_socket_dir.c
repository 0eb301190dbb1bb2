// SPDX-License-Identifier: MIT
/* Folders of sockets: what a killed node left is removed, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "engine/socket_dir.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[] = "/tmp/conduit-sdir-XXXXXX";

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void make_socket(const struct socket_dir *d)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s/engine.sock", d->path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd);
}

/* A node that is killed with a socket in its folder. */
static void leave_one(struct socket_dir *d)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct socket_dir mine;
        if (socket_dir_open(&mine, base) != 0)
            _exit(1);
        make_socket(&mine);
        _exit(write(fds[1], &mine, sizeof mine) != sizeof mine);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(fds[0], d, sizeof *d), sizeof *d);
    close(fds[0]);
    close(fds[1]);
    assert_true(is_there(d->path));
}

static void opens_and_closes(void **state)
{
    struct socket_dir d;
    struct stat st;
    assert_int_equal(socket_dir_open(&d, base), 0);
    assert_int_equal(stat(d.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    make_socket(&d);
    socket_dir_close(&d);
    assert_false(is_there(d.path));
    assert_int_equal(socket_dir_open(&d, "/nonexistent"), E_NOT_FOUND);
}

static void a_dead_nodes_is_removed_a_living_ones_stays(void **state)
{
    struct socket_dir alive, dead, next;
    assert_int_equal(socket_dir_open(&alive, base), 0);
    make_socket(&alive);
    leave_one(&dead);
    assert_int_equal(socket_dir_open(&next, base), 0); /* sweeps before it makes one */
    assert_false(is_there(dead.path));
    assert_true(is_there(alive.path) && is_there(next.path));
    assert_int_equal(socket_dir_sweep(base), 0);
    socket_dir_close(&alive);
    socket_dir_close(&next);
}

static void what_is_not_ours_stays(void **state)
{
    static const char *const names[] = {"conduit-llama-abc", "conduit-llama-abcdefg",
                                        "conduit-abcdef", "x-llama-abcdef"};
    struct socket_dir d;
    char path[256], link_path[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", base, names[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    /* A link of our name to somebody's folder, a file of our name, a folder that others may write to. */
    snprintf(path, sizeof path, "%s/conduit-abcdef", base);
    snprintf(link_path, sizeof link_path, "%s/conduit-llama-linked", base);
    assert_int_equal(symlink(path, link_path), 0);
    snprintf(path, sizeof path, "%s/conduit-llama-a-file", base);
    close(open(path, O_CREAT | O_WRONLY, 0700));
    snprintf(path, sizeof path, "%s/conduit-llama-shared", base);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0777), 0);
    if (geteuid() == 0) {
        snprintf(path, sizeof path, "%s/conduit-llama-theirs", base);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(chown(path, 65534, 65534), 0);
    }
    leave_one(&d); /* with more in it than a socket: not ours to delete */
    snprintf(path, sizeof path, "%s/precious", d.path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(socket_dir_sweep(base), 0);
    assert_true(is_there(path) && is_there(link_path));
}

static int make_base(void **state)
{
    return mkdtemp(base) ? 0 : 1;
}

static int remove_base(void **state)
{
    char *cmd = mem_printf("rm -r %s", base);
    int rc = system(cmd);
    free(cmd);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_and_closes),
        cmocka_unit_test(a_dead_nodes_is_removed_a_living_ones_stays),
        cmocka_unit_test(what_is_not_ours_stays),
    };
    return cmocka_run_group_tests(tests, make_base, remove_base);
}
