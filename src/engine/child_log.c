// SPDX-License-Identifier: MIT
/* Logs of engines: see child_log.h. The child's descriptor is this one, opened for appending: after the file
 * is emptied it goes on at the beginning. What it writes between the copy and that is lost. */
#include "engine/child_log.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void child_log_init(struct child_log *l, const char *path)
{
    l->path = mem_strdup(path);
    l->fd = -1;
}

void child_log_fini(struct child_log *l)
{
    if (l->fd >= 0)
        close(l->fd);
    free(l->path);
}

void child_log_open(struct child_log *l)
{
    if (l->fd < 0)
        l->fd = open(l->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->fd < 0)
        TRACE(ENGINE, WARN, "%s: no log (%s) -> without", l->path, strerror(errno));
}

static void copy(int from_fd, off_t from, off_t to, int out)
{
    enum { PIECE = 64 * KIB };
    char *piece = mem_new(PIECE);
    while (from < to) {
        ssize_t n = pread(from_fd, piece, PIECE, from);
        if (n <= 0 || write(out, piece, (size_t)n) != n)
            break;
        from += n;
    }
    free(piece);
}

void child_log_rotate(struct child_log *l)
{
    struct stat st;
    if (l->fd < 0 || fstat(l->fd, &st) != 0 || (uint64_t)st.st_size < LIMIT_ENGINE_LOG)
        return;
    char *old = mem_printf("%s.1", l->path);
    int out = open(old, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out >= 0) {
        copy(l->fd, st.st_size - (off_t)LIMIT_ENGINE_LOG, st.st_size, out);
        close(out);
    }
    free(old);
    if (ftruncate(l->fd, 0) != 0)
        TRACE(ENGINE, WARN, "%s: cannot be rotated (%s)", l->path, strerror(errno));
}

void child_log_last_line(const struct child_log *l, char *out, size_t size)
{
    enum { LOOKED_AT = 4 * KIB };
    char text[LOOKED_AT];
    struct stat st;
    out[0] = 0;
    if (l->fd < 0 || fstat(l->fd, &st) != 0)
        return;
    ssize_t n =
        pread(l->fd, text, sizeof text, st.st_size > LOOKED_AT ? st.st_size - LOOKED_AT : 0);
    while (n > 0 && (uint8_t)text[n - 1] <= ' ')
        n--;
    const char *nl = n > 0 ? memrchr(text, '\n', (size_t)n) : NULL, *line = nl ? nl + 1 : text;
    size_t length = n > 0 ? (size_t)(text + n - line) : 0;
    length = length < size ? length : size - 1;
    memcpy(out, line, length);
    out[length] = 0;
}
