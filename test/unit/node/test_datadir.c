// SPDX-License-Identifier: MIT
/* One node a directory, told apart by a lock; files that are never half written. */
#include "base/err.h"
#include "node/datadir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char base[] = "/tmp/conduit-datadir-XXXXXX";

static int set_up(void **state)
{
    return mkdtemp(base) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[80];
    snprintf(command, sizeof command, "rm -rf %s", base);
    return system(command);
}

static void a_second_node_is_told_who_is_there(void **state)
{
    char path[80], why[DATADIR_WHY], pid[24];
    struct datadir a, b;
    snprintf(path, sizeof path, "%s/x/y", base);
    assert_int_equal(datadir_open(&a, path, why), 0);
    assert_int_equal(datadir_open(&b, path, why), E_IN_USE);
    snprintf(pid, sizeof pid, "pid %ld ", (long)getpid());
    assert_non_null(strstr(why, pid));
    assert_non_null(strstr(why, "--data-dir"));
    datadir_close(&a);
    assert_int_equal(datadir_open(&b, path, why), 0);
    datadir_close(&b);
}

static void the_lock_goes_with_the_process(void **state)
{
    char path[80], why[DATADIR_WHY];
    struct datadir d;
    snprintf(path, sizeof path, "%s/z", base);
    pid_t child = fork();
    if (child == 0)
        _exit(datadir_open(&d, path, why) ? 1 : 0);
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(datadir_open(&d, path, why), 0);
    datadir_close(&d);
}

static void files_are_private_and_bounded(void **state)
{
    uint8_t *p;
    size_t n;
    struct stat st;
    char path[80];
    assert_int_equal(datadir_write(base, "f", "hello", 5, 0600), 0);
    assert_int_equal(datadir_read(base, "f", 5, &p, &n), 0);
    assert_memory_equal(p, "hello", 5);
    free(p);
    assert_int_equal(datadir_read(base, "f", 4, &p, &n), E_TOO_BIG);
    assert_int_equal(datadir_read(base, "none", 4, &p, &n), E_NOT_FOUND);
    snprintf(path, sizeof path, "%s/f", base);
    stat(path, &st);
    assert_int_equal(st.st_mode & 0777, 0600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_node_is_told_who_is_there),
        cmocka_unit_test(the_lock_goes_with_the_process),
        cmocka_unit_test(files_are_private_and_bounded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
