// SPDX-License-Identifier: MIT
/* See peer_list.h. */
#include "guard/peer_list.h"

#include "base/limits.h"
#include "base/mem.h"

#include <stdlib.h>

void peer_list_fini(struct peer_list *l)
{
    free(l->v);
    *l = (struct peer_list){0};
}

/* Where it is, or would be. */
static size_t place_of(const struct peer_list *l, const struct peer_id *id)
{
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (peer_id_cmp(&l->v[mid], id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool peer_list_has(const struct peer_list *l, const struct peer_id *id)
{
    size_t at = place_of(l, id);
    return at < l->n && peer_id_eq(&l->v[at], id);
}

int peer_list_add(struct peer_list *l, const struct peer_id *id)
{
    size_t at = place_of(l, id);
    if (at < l->n && peer_id_eq(&l->v[at], id))
        return 0;
    if (l->n >= LIMIT_PEER_LIST)
        return E_LIMIT;
    l->v = mem_resize(l->v, (l->n + 1) * sizeof *l->v);
    memmove(l->v + at + 1, l->v + at, (l->n - at) * sizeof *l->v);
    l->v[at] = *id;
    l->n++;
    return 0;
}

int peer_list_read(struct peer_list *l, struct bytes file, unsigned *line)
{
    struct peer_id id;
    for (*line = 1; file.n; ++*line) {
        struct bytes text = bytes_first(file, bytes_find(file, '\n'));
        file = bytes_skip(file, text.n + 1);
        text = bytes_first(text, bytes_find(text, '#'));
        while (text.n && text.p[text.n - 1] == '\r')
            text.n--;
        text = bytes_trim(text);
        if (text.n == 0)
            continue;
        int err = peer_id_parse(text, &id);
        err = err ? err : peer_list_add(l, &id);
        if (err)
            return err;
    }
    return 0;
}
