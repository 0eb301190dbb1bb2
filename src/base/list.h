// SPDX-License-Identifier: MIT
/* A doubly linked ring whose links live inside the members. An unlinked link points at itself, so
 * taking out twice is harmless and `list_is_empty` works on heads and members alike. */
#ifndef CONDUIT_BASE_LIST_H
#define CONDUIT_BASE_LIST_H

#include "base/mem.h"

#include <stdbool.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_remove(struct list *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

/* At the tail of the ring headed by `head`. */
static inline void list_append(struct list *head, struct list *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

static inline void list_prepend(struct list *head, struct list *l)
{
    list_append(head->next, l);
}

/* Moves every member of `from` to the tail of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define LIST_ENTRY(l, type, member) CONTAINER_OF(l, type, member)
#define LIST_FOREACH(head, it)      for (struct list *it = (head)->next; it != (head); it = it->next)
/* `it` may be removed in the body; other members may not. */
#define LIST_FOREACH_SAFE(head, it)                                                                \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

#endif
