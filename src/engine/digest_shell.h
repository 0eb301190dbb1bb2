// SPDX-License-Identifier: MIT
/* SHA-256 of weights, computed once per file in a worker, and remembered in "digest.cache" of the data
 * directory. A file is the same while its device, inode, size and time of change are. The digest of a
 * split model is that of its files one after the other. */
#ifndef CONDUIT_ENGINE_DIGEST_SHELL_H
#define CONDUIT_ENGINE_DIGEST_SHELL_H

struct loop;

struct digest {
    /* Once, from the loop, unless closed before: 0 and 64 hex digits, or an error and "". */
    void (*done)(struct digest *d, int err, const char *hex);
    struct digest_job *job; /* private */
};

/* `path` is copied; the first of a split model. `cache`: path of the cache file. */
void digest_open(struct loop *l, struct digest *d, const char *path, const char *cache);
/* Hands off; the worker finishes by itself and is forgotten. */
void digest_close(struct digest *d);

#endif
