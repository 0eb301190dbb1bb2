// SPDX-License-Identifier: MIT
/* A min-heap of 64-bit keys whose nodes live inside the members; for timers. Each node has up to
 * four below it, and the array holds the keys: finding a place looks at no member. */
#ifndef CONDUIT_BASE_HEAP_H
#define CONDUIT_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    uint64_t order; /* breaks ties: first in, first out, so that runs repeat exactly */
    size_t at;      /* 1-based place in the heap; 0 when not in it */
};

struct heap_place {
    uint64_t key, order;
    struct heap_node *node;
};

struct heap {
    struct heap_place *v;
    size_t n, cap;
    uint64_t next_order;
};

void heap_init(struct heap *h);
void heap_fini(struct heap *h);
void heap_insert(struct heap *h, struct heap_node *node, uint64_t key);
void heap_remove(struct heap *h, struct heap_node *node); /* harmless when not in it */
static inline struct heap_node *heap_peek(const struct heap *h)
{
    return h->n ? h->v[0].node : NULL;
}
static inline bool heap_has(const struct heap_node *node)
{
    return node->at != 0;
}

#endif
