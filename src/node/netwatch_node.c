// SPDX-License-Identifier: MIT
/* See netwatch_node.h. */
#include "node/netwatch_node.h"

#include "base/mem.h"
#include "base/trace.h"
#include "node/node_impl.h"

#include <stdlib.h>

#define AGAIN_US (4 * US_PER_S)

static void forget_peers(struct netwatch_node *w)
{
    for (int i = 0; i < w->peer_count; i++)
        if (w->peers[i].is_dialling)
            p2p_connect_cancel(&w->peers[i].connect);
    w->peer_count = 0;
    free(w->peers);
    w->peers = NULL;
}

static void note_peers(struct netwatch_node *w)
{
    struct p2p_peer_view v;
    void *cursor = NULL;
    forget_peers(w);
    w->peers = mem_array(NETWATCH_PEERS, sizeof *w->peers);
    while (w->peer_count < NETWATCH_PEERS && p2p_host_peers(w->node->host, &cursor, &v))
        if (v.is_conduit)
            w->peers[w->peer_count++] = (struct netwatch_peer){.id = *v.id};
}

static void dialled(struct p2p_connect *r, int err, const struct peer_id *peer, const char *why)
{
    CONTAINER_OF(r, struct netwatch_peer, connect)->is_dialling = false;
}

static void dial_lost(struct netwatch_node *w)
{
    for (int i = 0; i < w->peer_count; i++) {
        struct netwatch_peer *p = &w->peers[i];
        if (p->is_dialling || p2p_host_is_connected(w->node->host, &p->id))
            continue;
        p->is_dialling = true;
        p->connect = (struct p2p_connect){.peer = &p->id, .is_urgent = true, .done = dialled};
        p2p_host_connect(w->node->host, &p->connect);
    }
}

static void look(struct netwatch_node *w)
{
    struct node *n = w->node;
    struct net_addr addrs[NETWATCH_ADDRS];
    size_t count = loop_interfaces(n->loop, addrs, NETWATCH_ADDRS);
    unsigned news =
        netwatch_step(&w->watch, addrs, count, sched_now(n->sched), loop_suspended_us(n->loop));
    if (news == NETWATCH_SAME)
        return;
    w->moves++;
    TRACE(NODE, INFO, "%s -> telling peers, connecting again",
          news & NETWATCH_WOKE ? "this machine slept" : "this machine's addresses changed");
    note_peers(w);
    p2p_host_moved(n->host);
    autonat_host_forget(n->autonat);
    join_now(&n->join);
    if (news & NETWATCH_MOVED)
        node_record_changed(n); /* it names our addresses */
    w->rounds_left = NETWATCH_ROUNDS;
    timer_after(n->sched, &w->again, AGAIN_US);
}

static void on_timer(struct timer *t)
{
    struct netwatch_node *w = CONTAINER_OF(t, struct netwatch_node, timer);
    look(w);
    uint64_t now = sched_now(w->node->sched);
    timer_about(w->node->sched, t, netwatch_deadline(&w->watch) - now, US_PER_S / 2);
}

/* By now dead connections are closed and new ones are there. */
static void on_again(struct timer *t)
{
    struct netwatch_node *w = CONTAINER_OF(t, struct netwatch_node, again);
    struct node *n = w->node;
    dial_lost(w);
    join_now(&n->join);
    dht_bootstrap(n->kad.dht);
    dht_provide_again(n->kad.dht);
    if (--w->rounds_left > 0)
        timer_after(n->sched, t, AGAIN_US);
}

void netwatch_node_init(struct netwatch_node *w, struct node *n)
{
    *w = (struct netwatch_node){.node = n};
    timer_init(&w->timer, on_timer);
    timer_init(&w->again, on_again);
    on_timer(&w->timer);
}

void netwatch_node_fini(struct netwatch_node *w)
{
    timer_clear(w->node->sched, &w->timer);
    timer_clear(w->node->sched, &w->again);
    forget_peers(w);
}
