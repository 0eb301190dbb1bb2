// SPDX-License-Identifier: MIT
/* See heap.h. */
#include "base/heap.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_fini(struct heap *h)
{
    free(h->v);
    *h = (struct heap){0};
}

enum { BELOW = 4 };

static bool less(const struct heap_place *a, const struct heap_place *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void put(struct heap *h, size_t i, struct heap_place what)
{
    h->v[i] = what;
    what.node->at = i + 1;
}

static void sift_up(struct heap *h, size_t i, struct heap_place what)
{
    while (i && less(&what, &h->v[(i - 1) / BELOW])) {
        put(h, i, h->v[(i - 1) / BELOW]);
        i = (i - 1) / BELOW;
    }
    put(h, i, what);
}

static void sift_down(struct heap *h, size_t i, struct heap_place what)
{
    for (;;) {
        size_t first = BELOW * i + 1, least = first;
        if (first >= h->n)
            break;
        for (size_t at = first + 1; at < first + BELOW && at < h->n; at++)
            if (less(&h->v[at], &h->v[least]))
                least = at;
        if (!less(&h->v[least], &what))
            break;
        put(h, i, h->v[least]);
        i = least;
    }
    put(h, i, what);
}

void heap_insert(struct heap *h, struct heap_node *node, uint64_t key)
{
    assert(!heap_has(node));
    if (h->n == h->cap) {
        h->cap = h->cap ? 2 * h->cap : 16;
        h->v = mem_resize(h->v, h->cap * sizeof *h->v);
    }
    node->key = key;
    node->order = h->next_order++;
    sift_up(h, h->n++, (struct heap_place){key, node->order, node});
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    if (!heap_has(node))
        return;
    size_t i = node->at - 1;
    struct heap_place last = h->v[--h->n];
    node->at = 0;
    if (last.node == node)
        return;
    if (i && less(&last, &h->v[(i - 1) / BELOW]))
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}
