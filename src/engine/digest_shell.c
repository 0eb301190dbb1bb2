// SPDX-License-Identifier: MIT
/* Digests of weights: see digest_shell.h. The job belongs to itself, not to who asked: a worker in
 * the middle of 40 GB cannot be called back, only told to stop. */
#include "engine/digest_shell.h"

#include "base/mem.h"
#include "base/trace.h"
#include "codec/sha256.h"
#include "engine/gguf.h"
#include "loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, CACHE_LINES = 1024, HEX = 2 * SHA256_SIZE };

struct digest_job {
    struct loop_work work;
    struct digest *owner; /* NULL when nobody wants it any more */
    char *path, *cache;
    atomic_bool is_unwanted;
    int err;
    char key[HEX + 1], hex[HEX + 1];
};

static void to_hex(const uint8_t *in, char out[static HEX + 1])
{
    for (int i = 0; i < SHA256_SIZE; i++)
        snprintf(out + 2 * i, 3, "%02x", in[i]);
}

static unsigned file_count(const char *path)
{
    unsigned no, count;
    size_t stem;
    return gguf_split_parse(path, &no, &count, &stem) ? count : 1;
}

static int file_at(const char *path, unsigned i, char out[static PATH_MAX])
{
    if (file_count(path) > 1)
        return gguf_split_path(path, i + 1, out, PATH_MAX);
    return snprintf(out, PATH_MAX, "%s", path) < PATH_MAX ? 0 : E_TOO_BIG;
}

static int take_key(struct digest_job *j)
{
    struct sha256_state *s = sha256_new();
    uint8_t out[SHA256_SIZE];
    char path[PATH_MAX];
    int err = 0;
    for (unsigned i = 0; i < file_count(j->path) && !err; i++) {
        struct stat st;
        err = file_at(j->path, i, path);
        if (!err && stat(path, &st) != 0)
            err = err_from_errno(errno);
        if (err)
            break;
        uint64_t id[] = {st.st_dev, st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
                         (uint64_t)st.st_mtim.tv_nsec};
        sha256_add(s, bytes_of(id, sizeof id));
    }
    sha256_finish(s, out);
    to_hex(out, j->key);
    return err;
}

/* --- the cache: lines "KEY DIGEST", newest last --- */
static bool is_line(const char *line)
{
    return strlen(line) == 2 * HEX + 2 && line[HEX] == ' ' && line[2 * HEX + 1] == '\n';
}

static bool look_up(struct digest_job *j)
{
    char line[256];
    FILE *f = fopen(j->cache, "re");
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        if (!is_line(line) || memcmp(line, j->key, HEX) != 0)
            continue;
        memcpy(j->hex, line + HEX + 1, HEX);
        j->hex[HEX] = 0;
        found = strspn(j->hex, "0123456789abcdef") == HEX;
    }
    if (f)
        fclose(f);
    return found;
}

/* Every line of `from` but the first `skipped`, and those of this key. */
static int copy_lines(const struct digest_job *j, FILE *from, FILE *to, int skipped)
{
    char line[256];
    int lines = 0;
    while (from && fgets(line, sizeof line, from)) {
        if (!is_line(line) || memcmp(line, j->key, HEX) == 0)
            continue;
        if (++lines > skipped && to)
            fputs(line, to);
    }
    return lines;
}

static void remember(const struct digest_job *j)
{
    char *next = mem_printf("%s.%d.%p", j->cache, (int)getpid(), (const void *)j);
    FILE *old = fopen(j->cache, "re"), *f = fopen(next, "wxe");
    int lines = copy_lines(j, old, NULL, 0);
    if (old)
        rewind(old);
    copy_lines(j, old, f, lines - (CACHE_LINES - 1));
    bool is_whole = f && fprintf(f, "%s %s\n", j->key, j->hex) > 0;
    if (f && fclose(f) != 0)
        is_whole = false;
    if (!is_whole || rename(next, j->cache) != 0)
        unlink(next);
    if (old)
        fclose(old);
    free(next);
}

/* --- the worker --- */
static int hash_file(struct digest_job *j, struct sha256_state *s, const char *path, uint8_t *chunk)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    ssize_t n;
    while ((n = read(fd, chunk, CHUNK)) > 0 && !atomic_load(&j->is_unwanted))
        sha256_add(s, bytes_of(chunk, (size_t)n));
    close(fd);
    return n < 0 ? E_IO : n > 0 ? E_CANCELLED : 0;
}

static void work(struct loop_work *w)
{
    struct digest_job *j = CONTAINER_OF(w, struct digest_job, work);
    char path[PATH_MAX];
    j->err = take_key(j);
    if (j->err || look_up(j))
        return;
    struct sha256_state *s = sha256_new();
    uint8_t *chunk = mem_new(CHUNK), out[SHA256_SIZE];
    for (unsigned i = 0; i < file_count(j->path) && !j->err; i++) {
        j->err = file_at(j->path, i, path);
        if (!j->err)
            j->err = hash_file(j, s, path, chunk);
    }
    sha256_finish(s, out);
    free(chunk);
    if (j->err)
        return;
    to_hex(out, j->hex);
    remember(j);
}

static void worked(struct loop_work *w, int err)
{
    struct digest_job *j = CONTAINER_OF(w, struct digest_job, work);
    err = err ? err : j->err;
    struct digest *d = j->owner;
    if (d) {
        d->job = NULL;
        d->done(d, err, err ? "" : j->hex);
    }
    free(j->path);
    free(j->cache);
    free(j);
}

void digest_open(struct loop *l, struct digest *d, const char *path, const char *cache)
{
    struct digest_job *j = MEM_NEW(struct digest_job);
    j->work.run = work;
    j->work.done = worked;
    j->owner = d;
    j->path = mem_strdup(path);
    j->cache = mem_strdup(cache);
    d->job = j;
    loop_work(l, &j->work);
}

void digest_close(struct digest *d)
{
    if (!d->job)
        return;
    atomic_store(&d->job->is_unwanted, true);
    d->job->owner = NULL;
    d->job = NULL;
}
