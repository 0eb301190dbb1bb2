// SPDX-License-Identifier: MIT
/* What the engine keeps in the data directory: logs that stay short, and digests that are computed once
 * per file and never believed of a file that has changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/sched.h"
#include "engine/child_log.h"
#include "engine/digest_shell.h"
#include "loop/loop.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[] = "/tmp/conduit-files-XXXXXX";

static const char *in_base(const char *name)
{
    static char path[4][256];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", base, name);
    return p;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char *get(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s is not there", path);
    char *text = mem_new(1 << 20);
    text[fread(text, 1, (1 << 20) - 1, f)] = 0;
    fclose(f);
    return text;
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* --- logs --- */
static void fill(int fd, size_t n, char c)
{
    char *piece = mem_new(MIB);
    memset(piece, c, MIB);
    for (; n > 0; n -= n < MIB ? n : MIB)
        assert_true(write(fd, piece, n < MIB ? n : MIB) > 0);
    free(piece);
}

static void a_log_is_rotated(void **state)
{
    struct child_log l;
    char last[8] = "";
    child_log_init(&l, in_base("log"));
    child_log_rotate(&l); /* not open: nothing */
    child_log_open(&l);
    int child = dup(l.fd); /* as the engine has it */
    fill(child, LIMIT_ENGINE_LOG - 1, 'a');
    child_log_rotate(&l);
    assert_int_equal(size_of(in_base("log")), LIMIT_ENGINE_LOG - 1); /* not yet */
    assert_int_equal(size_of(in_base("log.1")), -1);
    fill(child, 4096, 'b');
    child_log_rotate(&l);
    assert_int_equal(size_of(in_base("log")), 0);
    assert_int_equal(size_of(in_base("log.1")), LIMIT_ENGINE_LOG); /* the newest of it */
    int fd = open(in_base("log.1"), O_RDONLY);
    assert_int_equal(pread(fd, last, 4, LIMIT_ENGINE_LOG - 4), 4);
    assert_string_equal(last, "bbbb");
    close(fd);
    assert_int_equal(write(child, "next\n", 5),
                     5); /* it goes on at the beginning, without a hole */
    char *text = get(in_base("log"));
    assert_string_equal(text, "next\n");
    free(text);
    fill(child, LIMIT_ENGINE_LOG, 'c');
    child_log_rotate(&l); /* a third time: two files, not three */
    assert_int_equal(size_of(in_base("log.1")), LIMIT_ENGINE_LOG);
    assert_int_equal(size_of(in_base("log.2")), -1);
    close(child);
    child_log_fini(&l);
}

static void the_last_line(void **state)
{
    struct child_log l;
    char said[32];
    child_log_init(&l, in_base("said"));
    child_log_last_line(&l, said, sizeof said);
    assert_string_equal(said, "");
    child_log_open(&l);
    child_log_last_line(&l, said, sizeof said);
    assert_string_equal(said, "");
    static const char lines[] = "loading\nerror: no memory\n\n \n";
    assert_int_equal(write(l.fd, lines, sizeof lines - 1), sizeof lines - 1);
    child_log_last_line(&l, said, sizeof said);
    assert_string_equal(said, "error: no memory");
    fill(l.fd, 5000, 'x'); /* cut at its end, as a log line of its own would be */
    child_log_last_line(&l, said, sizeof said);
    assert_string_equal(said, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    child_log_fini(&l);
}

static void a_log_that_cannot_be(void **state)
{
    struct child_log l;
    child_log_init(&l, in_base("missing/log"));
    child_log_open(&l);
    assert_int_equal(l.fd, -1);
    child_log_rotate(&l);
    child_log_fini(&l);
    /* A link in its place is not followed: it could lead to anything. */
    put(in_base("precious"), "keep");
    assert_int_equal(symlink(in_base("precious"), in_base("linked")), 0);
    child_log_init(&l, in_base("linked"));
    child_log_open(&l);
    assert_int_equal(l.fd, -1);
    child_log_fini(&l);
}

/* --- digests --- */
struct asked {
    struct digest d;
    struct loop *loop;
    int err, dones;
    char hex[80];
};

static void done(struct digest *d, int err, const char *hex)
{
    struct asked *a = CONTAINER_OF(d, struct asked, d);
    a->err = err;
    a->dones++;
    snprintf(a->hex, sizeof a->hex, "%s", hex);
    loop_stop(a->loop);
}

/* The digest of a file, and what came of it. */
static const char *digest_of(const char *file, const char *cache, int expected_err)
{
    static struct asked a;
    a = (struct asked){.d.done = done, .loop = loop_uv_new()};
    digest_open(a.loop, &a.d, file, cache);
    loop_run(a.loop);
    loop_free(a.loop);
    assert_int_equal(a.dones, 1);
    assert_int_equal(a.err, expected_err);
    return a.hex;
}

static const char sha_abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char sha_empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static void a_digest_is_computed_once(void **state)
{
    const char *file = in_base("weights"), *cache = in_base("digest.cache");
    put(file, "abc");
    assert_string_equal(digest_of(file, cache, 0), sha_abc);
    char *line = get(cache);
    assert_int_equal(strlen(line), 130); /* KEY, blank, DIGEST, newline */
    assert_memory_equal(line + 65, sha_abc, 64);
    /* Whether the cache is asked shows when it says something else. */
    memset(line + 65, 'f', 64);
    put(cache, line);
    const char *hex = digest_of(file, cache, 0);
    assert_int_equal(strspn(hex, "f"), 64);
    /* A line that is no line is not believed, and is gone after the next. */
    line[70] = 'X';
    put(cache, line);
    assert_string_equal(digest_of(file, cache, 0), sha_abc);
    put(cache, "\n\nrubbish\n");
    assert_string_equal(digest_of(file, cache, 0), sha_abc);
    free(line);
    line = get(cache);
    assert_int_equal(strlen(line), 130);
    free(line);
}

static void a_changed_file_is_another(void **state)
{
    const char *file = in_base("weights"), *cache = in_base("changed.cache");
    struct timespec times[2] = {{1000000000, 5}, {1000000000, 5}};
    put(file, "abd");
    assert_string_not_equal(digest_of(file, cache, 0), sha_abc);
    put(file, "abc"); /* the same length, another time */
    assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
    assert_string_equal(digest_of(file, cache, 0), sha_abc);
    times[1].tv_nsec = 6; /* a nanosecond later it is another file */
    put(file, "");
    assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
    assert_string_equal(digest_of(file, cache, 0), sha_empty);
    put(in_base("new"), "abc"); /* and so it is when another one is put in its place */
    assert_int_equal(rename(in_base("new"), file), 0);
    assert_string_equal(digest_of(file, cache, 0), sha_abc);
    char *lines = get(cache);
    assert_int_equal(strlen(lines), 4 * 130);
    free(lines);
}

static void the_cache_stays_small(void **state)
{
    const char *file = in_base("weights"), *cache = in_base("full.cache");
    FILE *f = fopen(cache, "w");
    for (int i = 0; i < 5000; i++)
        fprintf(f, "%064x %064x\n", i, i);
    fclose(f);
    put(file, "abc");
    assert_string_equal(digest_of(file, cache, 0), sha_abc);
    assert_true(size_of(cache) <= 1024 * 130);
    assert_string_equal(digest_of(file, cache, 0), sha_abc);
    /* What was computed last is kept, the oldest go. */
    put(in_base("more"), "");
    assert_string_equal(digest_of(in_base("more"), cache, 0), sha_empty);
    char *lines = get(cache), last[65];
    snprintf(last, sizeof last, "%064x", 4999);
    assert_int_equal(strlen(lines), 1024 * 130);
    assert_non_null(strstr(lines, sha_abc));
    assert_non_null(strstr(lines, sha_empty));
    assert_non_null(strstr(lines, last));
    free(lines);
}

static void digests_that_cannot_be(void **state)
{
    assert_string_equal(digest_of(in_base("nowhere"), in_base("digest.cache"), E_NOT_FOUND), "");
    put(in_base("weights"),
        "abc"); /* a cache that cannot be written costs the next start, not this one */
    assert_string_equal(digest_of(in_base("weights"), "/nonexistent/digest.cache", 0), sha_abc);
}

/* A split model's is that of its files one after the other, and a missing one is an error. */
static void a_split_models(void **state)
{
    put(in_base("m-00001-of-00003.gguf"), "a");
    put(in_base("m-00002-of-00003.gguf"), "b");
    assert_string_equal(
        digest_of(in_base("m-00001-of-00003.gguf"), in_base("split.cache"), E_NOT_FOUND), "");
    put(in_base("m-00003-of-00003.gguf"), "c");
    assert_string_equal(digest_of(in_base("m-00001-of-00003.gguf"), in_base("split.cache"), 0),
                        sha_abc);
    put(in_base("m-00002-of-00003.gguf"), "other");
    assert_string_not_equal(digest_of(in_base("m-00001-of-00003.gguf"), in_base("split.cache"), 0),
                            sha_abc);
}

static void closed_while_computed(void **state)
{
    struct asked a = {.d.done = done, .loop = loop_uv_new()};
    put(in_base("weights"), "abc");
    digest_open(a.loop, &a.d, in_base("weights"), in_base("closed.cache"));
    digest_close(&a.d);
    digest_close(&a.d); /* twice is nothing */
    loop_run(a.loop);
    loop_free(a.loop);
    assert_int_equal(a.dones, 0);
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
        cmocka_unit_test(a_log_is_rotated),          cmocka_unit_test(the_last_line),
        cmocka_unit_test(a_log_that_cannot_be),      cmocka_unit_test(a_digest_is_computed_once),
        cmocka_unit_test(a_changed_file_is_another), cmocka_unit_test(the_cache_stays_small),
        cmocka_unit_test(digests_that_cannot_be),    cmocka_unit_test(a_split_models),
        cmocka_unit_test(closed_while_computed),
    };
    return cmocka_run_group_tests(tests, make_base, remove_base);
}
