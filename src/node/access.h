// SPDX-License-Identifier: MIT
/* Who of the network may connect to this node, and as whom it is served.
 *
 *   connects:  not denied; and, with an allow list: on it, or a guest, or named by us (bootstrap, the node
 *              that invited us), or anybody as long as an invite waits for its guest to show it
 *   is served: under an invite, within it (PRINCIPAL_INVITE)
 *              else, with --invite-only or an allow list, or when its invite was taken back, only when on the list
 *              else as any peer (PRINCIPAL_PEER)
 *
 * Who is not served may still show an invite, and be found and asked in the DHT: PRINCIPAL_STRANGER. */
#ifndef CONDUIT_NODE_ACCESS_H
#define CONDUIT_NODE_ACCESS_H

#include "base/net.h"
#include "base/sched.h"
#include "guard/invite_book.h"
#include "guard/peer_list.h"
#include "node/config.h"

struct access {
    struct sched *sched;
    const struct invite_book *invites; /* borrowed */
    struct peer_list allow, deny, named;
    bool has_allow, is_closed;
};

/* Reads the lists. 0, or E_INVALID with a sentence. */
int access_init(struct access *a, struct sched *sched, const struct config *c,
                const struct invite_book *invites, char why[static CONFIG_WHY]);
void access_fini(struct access *a);
/* We named this peer ourselves. */
void access_name(struct access *a, const struct peer_id *peer);
/* For p2p_host_gate; ctx is the access. */
bool access_may_connect(void *ctx, const struct peer_id *peer, const struct net_addr *from);
/* As whom is a connected peer served? Changes the kind of `who`, a peer's principal. */
void access_judge(const struct access *a, struct principal *who);

#endif
