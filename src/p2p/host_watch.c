// SPDX-License-Identifier: MIT
/* Who is told of the host's news, and telling them. A watcher may go, and take others with it, while the
 * news is told: each walk over the watchers is known to the host, and who leaves moves it on.
 *
 *   walk.next ──> the watcher that is told next; never one that is not in the list */
#include "p2p/host_impl.h"

void p2p_host_watch(struct p2p_host *h, struct p2p_watch *w)
{
    w->host = h;
    list_append(&h->watches, &w->link);
}

void p2p_host_unwatch(struct p2p_watch *w)
{
    struct p2p_host *h = w->host;
    if (!h)
        return;
    LIST_FOREACH (&h->walks, it) {
        struct host_walk *walk = LIST_ENTRY(it, struct host_walk, link);
        if (walk->next == &w->link)
            walk->next = w->link.next;
    }
    list_remove(&w->link);
    w->host = NULL;
}

void host_walk_begin(struct p2p_host *h, struct host_walk *walk)
{
    walk->next = h->watches.next;
    list_append(&h->walks, &walk->link);
}

struct p2p_watch *host_walk_next(struct p2p_host *h, struct host_walk *walk)
{
    struct list *it = walk->next;
    if (it == &h->watches) {
        list_remove(&walk->link);
        return NULL;
    }
    walk->next = it->next;
    return LIST_ENTRY(it, struct p2p_watch, link);
}
