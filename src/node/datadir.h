// SPDX-License-Identifier: MIT
/* The directory that is a node's memory: made 0700, locked by the one node that uses it.
 *
 *   DIR/identity.key   0600   DIR/control.sock   0600   DIR/lock   pid of the holder
 *
 * The lock is flock(2): it goes with the process, however that ends. */
#ifndef CONDUIT_NODE_DATADIR_H
#define CONDUIT_NODE_DATADIR_H

#include <stddef.h>
#include <stdint.h>

struct datadir {
    char *path;
    int lock_fd;
};

enum { DATADIR_WHY = 512 };

/* Makes and locks. E_IN_USE when another process holds it (why names its pid and --data-dir). */
int datadir_open(struct datadir *d, const char *path, char why[static DATADIR_WHY]);
void datadir_close(struct datadir *d);
/* DIR/name; heap, yours. */
char *datadir_file(const char *dir, const char *name);
/* A whole small file: 0 and heap bytes (yours), E_NOT_FOUND, E_TOO_BIG, E_IO. */
int datadir_read(const char *dir, const char *name, size_t max, uint8_t **out, size_t *n);
/* Atomically, by rename; `mode` as 0600. */
int datadir_write(const char *dir, const char *name, const void *p, size_t n, unsigned mode);

#endif
