// SPDX-License-Identifier: MIT
/* What an engine prints, in two files: PATH, and PATH.1 with what came before. The engine holds PATH open
 * while it runs, so PATH is copied and emptied, not renamed. */
#ifndef CONDUIT_ENGINE_CHILD_LOG_H
#define CONDUIT_ENGINE_CHILD_LOG_H

#include <stddef.h>

struct child_log {
    char *path;
    int fd; /* for the child's stdout and stderr; -1: none */
};

void child_log_init(struct child_log *l, const char *path); /* copies it */
void child_log_fini(struct child_log *l);
/* Opens it, if it is not. Without one the engine runs all the same. */
void child_log_open(struct child_log *l);
/* When it is as long as LIMIT_ENGINE_LOG: its last LIMIT_ENGINE_LOG bytes become PATH.1. */
void child_log_rotate(struct child_log *l);
/* The last line that is not blank, cut to `size`; "" when there is none. */
void child_log_last_line(const struct child_log *l, char *out, size_t size);

#endif
