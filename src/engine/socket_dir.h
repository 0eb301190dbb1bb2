// SPDX-License-Identifier: MIT
/* The private folder that an engine's unix socket is in, and those that dead nodes left.
 *
 *   $XDG_RUNTIME_DIR/conduit-llama-XXXXXX/engine.sock    (else /tmp; short, since a socket's path is
 *                                                         at most 107 bytes long)
 *
 * The node holds a lock (flock) on its folder as long as it lives; the kernel lets go of it however the
 * node dies. So whose lock can be had is nobody's: that is true across containers that share /tmp, where
 * process ids are not. */
#ifndef CONDUIT_ENGINE_SOCKET_DIR_H
#define CONDUIT_ENGINE_SOCKET_DIR_H

#include <stddef.h>

struct socket_dir {
    int fd; /* holds the lock; -1: not open */
    char path[80];
};

/* Where such folders are made: $XDG_RUNTIME_DIR, or /tmp when that is too long or cannot be written to. */
const char *socket_dir_base(void);
/* Makes one in `base`, and removes those of dead nodes there. 0, or an error from errno. */
int socket_dir_open(struct socket_dir *d, const char *base);
/* Removes it with the socket in it. */
void socket_dir_close(struct socket_dir *d);
/* How many of dead nodes were removed: only our names, our owner, real folders, nothing but a socket in. */
size_t socket_dir_sweep(const char *base);

#endif
