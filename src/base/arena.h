// SPDX-License-Identifier: MIT
/* Memory that lives as long as one request: many small allocations, one release. Returned memory
 * is not zeroed. `limit` bounds the sum of all chunks; over it allocation returns NULL. */
#ifndef CONDUIT_BASE_ARENA_H
#define CONDUIT_BASE_ARENA_H

#include "base/bytes.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *head;
    size_t used, limit; /* limit 0: none */
};

void arena_init(struct arena *a, size_t limit);
void arena_fini(struct arena *a);
void *arena_alloc(struct arena *a, size_t n); /* aligned for any type; NULL over the limit */
char *arena_strdup(struct arena *a, struct bytes s);
struct bytes arena_copy(struct arena *a, struct bytes s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
