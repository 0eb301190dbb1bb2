// SPDX-License-Identifier: MIT
/* Making, locking, reading and writing the data directory; see datadir.h. */
#include "node/datadir.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

char *datadir_file(const char *dir, const char *name)
{
    return mem_printf("%s/%s", dir, name);
}

static int make_path(const char *path)
{
    char *p = mem_strdup(path);
    int err = 0;
    for (char *s = p + 1; !err; s++) {
        if (*s != '/' && *s)
            continue;
        char was = *s;
        *s = 0;
        if (mkdir(p, 0700) != 0 && errno != EEXIST)
            err = err_from_errno(errno);
        *s = was;
        if (!was)
            break;
    }
    free(p);
    return err;
}

static int refuse(const struct datadir *d, char *why)
{
    char pid[24] = "";
    ssize_t n = pread(d->lock_fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? strcspn(pid, "\n") : 0] = 0;
    snprintf(why, DATADIR_WHY,
             "a node with pid %s already uses %s; stop it, or give this one its own --data-dir",
             *pid ? pid : "?", d->path);
    return E_IN_USE;
}

int datadir_open(struct datadir *d, const char *path, char why[static DATADIR_WHY])
{
    *d = (struct datadir){.path = mem_strdup(path), .lock_fd = -1};
    int err = make_path(path);
    char *lock = datadir_file(path, "lock");
    if (!err) {
        d->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        err = d->lock_fd < 0 ? err_from_errno(errno) : 0;
    }
    free(lock);
    if (err) {
        snprintf(why, DATADIR_WHY, "%s: cannot be used as data directory: %s", path, err_text(err));
    } else if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        err = refuse(d, why);
    } else {
        char pid[24];
        int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
        if (ftruncate(d->lock_fd, 0) != 0 || pwrite(d->lock_fd, pid, (size_t)n, 0) != n)
            err = err_from_errno(errno);
    }
    if (err)
        datadir_close(d);
    return err;
}

void datadir_close(struct datadir *d)
{
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    free(d->path);
    *d = (struct datadir){.lock_fd = -1};
}

int datadir_read(const char *dir, const char *name, size_t max, uint8_t **out, size_t *n)
{
    char *path = datadir_file(dir, name);
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
    free(path);
    if (fd < 0)
        return err_from_errno(errno);
    if (fstat(fd, &st) != 0)
        err = err_from_errno(errno);
    else if (st.st_size < 0 || (uint64_t)st.st_size > max)
        err = E_TOO_BIG;
    if (!err) {
        *out = mem_new((size_t)st.st_size + 1);
        *n = (size_t)st.st_size;
        if (read(fd, *out, *n) != (ssize_t)*n) {
            free(*out);
            err = E_IO;
        }
    }
    close(fd);
    return err;
}

int datadir_write(const char *dir, const char *name, const void *p, size_t n, unsigned mode)
{
    char *path = datadir_file(dir, name), *temp = mem_printf("%s/.%s.new", dir, name);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode), err = 0;
    if (fd < 0)
        err = err_from_errno(errno);
    else if (fchmod(fd, mode) != 0 || write(fd, p, n) != (ssize_t)n || fsync(fd) != 0)
        err = E_IO;
    if (fd >= 0)
        close(fd);
    if (!err && rename(temp, path) != 0)
        err = err_from_errno(errno);
    if (err)
        unlink(temp);
    free(temp);
    free(path);
    return err;
}
