// SPDX-License-Identifier: MIT
/* This machine woke up, or has other addresses. Nothing that was known of the outside is sure now:
 *
 *   connections  -> doubted: pinged at once, closed after three silent seconds
 *   back-offs    -> over: the fault was ours
 *   observations -> forgotten; every peer is asked again what it sees
 *   peers        -> told our addresses (identify push), as far as they still hear us */
#include "base/trace.h"
#include "p2p/host_impl.h"

void p2p_host_moved(struct p2p_host *h)
{
    if (h->is_closing)
        return;
    TRACE(P2P, INFO, "this machine moved or slept -> connections are tested, peers are told");
    peerstore_forgive(&h->store);
    nat_forget(&h->nat);
    h->observed.count = 0;
    LIST_FOREACH (&h->peers, it) {
        struct host_peer *p = LIST_ENTRY(it, struct host_peer, link);
        LIST_FOREACH (&p->conns, ct)
            conn_doubt(LIST_ENTRY(ct, struct conn, by_owner));
    }
    host_identify_changed(h);
    LIST_FOREACH (&h->peers, it) {
        struct conn *c = host_peer_conn(LIST_ENTRY(it, struct host_peer, link));
        if (c)
            host_identify_start(h, c);
    }
}

enum p2p_nat p2p_host_nat(const struct p2p_host *h)
{
    return nat_kind(&h->nat, sched_now(h->sched));
}
