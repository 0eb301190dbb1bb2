// SPDX-License-Identifier: MIT
/* Folders of engines' sockets: see socket_dir.h. The hard thing is a sweep that meets a folder between
 * its mkdtemp and its lock: the maker looks whether it is still there once it has the lock, and makes
 * another one if not. */
#include "engine/socket_dir.h"

#include "base/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char prefix[] = "conduit-llama-", socket_name[] = "engine.sock";
enum { BASE_MAX = 48, TRIES = 8, LOOKED_AT = 16384 /* a huge /tmp is not read to its end */ };

const char *socket_dir_base(void)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    bool is_fit = base && base[0] == '/' && strlen(base) <= BASE_MAX && access(base, W_OK) == 0;
    return is_fit ? base : "/tmp";
}

static int open_folder(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_there(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

int socket_dir_open(struct socket_dir *d, const char *base)
{
    socket_dir_sweep(base);
    for (int i = 0; i < TRIES; i++) {
        int n = snprintf(d->path, sizeof d->path, "%s/%sXXXXXX", base, prefix);
        d->fd = -1;
        if (n >= (int)sizeof d->path)
            return E_TOO_BIG;
        if (!mkdtemp(d->path))
            return err_from_errno(errno);
        d->fd = open_folder(AT_FDCWD, d->path);
        if (d->fd >= 0 && flock(d->fd, LOCK_EX) == 0 && is_there(d->fd))
            return 0;
        socket_dir_close(d); /* swept away meanwhile */
    }
    return E_IO;
}

void socket_dir_close(struct socket_dir *d)
{
    char path[sizeof d->path + sizeof socket_name];
    snprintf(path, sizeof path, "%s/%s", d->path, socket_name);
    unlink(path);
    rmdir(d->path);
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}

static bool is_ours(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 0777) == 0700;
}

static bool sweep_one(int base, const char *name)
{
    struct stat st;
    int fd = open_folder(base, name);
    bool is_gone = false;
    if (fd >= 0 && is_ours(fd) && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        if (fstatat(fd, socket_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode))
            unlinkat(fd, socket_name, 0);
        is_gone = unlinkat(base, name, AT_REMOVEDIR) == 0;
    }
    if (fd >= 0)
        close(fd);
    return is_gone;
}

size_t socket_dir_sweep(const char *base)
{
    DIR *dir = opendir(base);
    size_t gone = 0;
    const struct dirent *entry;
    for (int i = 0; dir && i < LOOKED_AT && (entry = readdir(dir)); i++) {
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) == 0 &&
            strlen(entry->d_name) == sizeof prefix - 1 + 6)
            gone += sweep_one(dirfd(dir), entry->d_name);
    }
    if (dir)
        closedir(dir);
    return gone;
}
