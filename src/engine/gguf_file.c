// SPDX-License-Identifier: MIT
/* GGUFs on disk: read with pread through the checker's window, not mapped, so that a file that is cut
 * short meanwhile is an error and not a signal. */
#include "engine/gguf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_at(void *ctx, uint64_t at, void *p, size_t n)
{
    int fd = *(int *)ctx;
    for (uint8_t *to = p; n > 0;) {
        ssize_t got = pread(fd, to, n, (off_t)at);
        if (got <= 0)
            return E_IO;
        to += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

static int check_one(const char *path, uint64_t seed, struct gguf_summary *out, char *why)
{
    char text[GGUF_WHY];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not be waited for */
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        snprintf(why, GGUF_FILE_WHY, "%s: %s", path, fd < 0 ? strerror(errno) : "not a file");
        if (fd >= 0)
            close(fd);
        return E_NOT_FOUND;
    }
    struct gguf_source src = {read_at, &fd, (uint64_t)st.st_size, seed};
    int err = gguf_check(&src, out, text);
    if (err)
        snprintf(why, GGUF_FILE_WHY, "%s: %s", path, text);
    close(fd);
    return err;
}

static int check_rest(const char *path, unsigned count, uint64_t seed, struct gguf_summary *out,
                      char *why)
{
    for (unsigned i = 2; i <= count; i++) {
        struct gguf_summary part;
        char shard[PATH_MAX];
        int err = gguf_split_path(path, i, shard, sizeof shard);
        err = err ? err : check_one(shard, seed, &part, why);
        if (err)
            return err;
        if (part.split_no != i - 1 || part.split_count != count) {
            snprintf(why, GGUF_FILE_WHY, "%s: it says it is part %u of %u", shard,
                     part.split_no + 1, part.split_count);
            return E_MALFORMED;
        }
        out->parameters += part.parameters;
        out->tensor_bytes += part.tensor_bytes;
        out->tensor_count += part.tensor_count;
    }
    return 0;
}

int gguf_file_check(const char *path, uint64_t seed, struct gguf_summary *out,
                    char why[static GGUF_FILE_WHY])
{
    unsigned no = 1, count = 1;
    size_t stem;
    bool is_split = gguf_split_parse(path, &no, &count, &stem);
    int err = check_one(path, seed, out, why);
    if (err)
        return err;
    if (is_split && no != 1) {
        snprintf(why, GGUF_FILE_WHY,
                 "%s: give the first file of a split model, …-00001-of-%05u.gguf", path, count);
        return E_INVALID;
    }
    if ((out->split_count > 1) != (is_split && count > 1) ||
        (is_split && out->split_count != count)) {
        snprintf(why, GGUF_FILE_WHY,
                 "%s: it is part of a model split into %u files; its name says %u", path,
                 out->split_count ? out->split_count : 1, count);
        return E_MALFORMED;
    }
    return check_rest(path, count, seed, out, why);
}
