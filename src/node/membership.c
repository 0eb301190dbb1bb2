// SPDX-License-Identifier: MIT
/* Which private network this node is in, whose guest it is, and who are its guests: read before anything listens
 * or dials. */
#include "node/node_impl.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* The private network of --psk, or of the invites. */
static int read_network(struct node *n, char *why)
{
    struct pnet_key invited;
    int err = n->cfg->psk ? network_key_load(n->cfg->psk, &n->network, why) : 0;
    int found = err ? 0 : guest_network(&n->guest, &invited, why);
    if (err || found < 0)
        return err ? err : found;
    if (found && n->cfg->psk && !mem_equal_secret(invited.b, n->network.b, PNET_KEY)) {
        snprintf(why, CONFIG_WHY,
                 "--psk and the invite of --join name different private networks; a node can be in "
                 "one");
        err = E_INVALID;
    } else if (found) {
        n->network = invited;
    }
    pnet_key_fini(&invited);
    n->has_network = !err && (found || n->cfg->psk);
    return err;
}

int node_membership(struct node *n, char *why)
{
    int err = invites_init(&n->invites, n->sched, n->rng, n->dir.path, &n->key, why);
    n->has_invites = true;
    err = err ? err : access_init(&n->access, n->sched, n->cfg, &n->invites.book, why);
    n->has_access = true;
    err = err ? err : guest_read(&n->guest, n->cfg, why);
    err = err ? err : read_network(n, why);
    for (size_t i = 0; !err && i < n->cfg->bootstrap.n; i++)
        strlist_add(&n->bootstrap, n->cfg->bootstrap.v[i], strlen(n->cfg->bootstrap.v[i]));
    guest_addresses(&n->guest, &n->bootstrap);
    for (size_t i = 0; i < n->guest.count; i++)
        access_name(&n->access, &n->guest.invites[i].invite.issuer);
    return err;
}

/* Reasons that do not wait for a connection. */
void node_trust_guests(struct node *n)
{
    for (size_t i = 0; i < n->guest.count; i++)
        trust_add(&n->trust, &n->guest.invites[i].invite.issuer, TRUST_INVITE);
    for (size_t i = 0; i < n->access.allow.n; i++)
        trust_add(&n->trust, &n->access.allow.v[i], TRUST_ALLOWED);
    LIST_FOREACH (&n->invites.book.entries, it)
        node_trust_guest(n, &LIST_ENTRY(it, struct invite_entry, link)->guest);
}

void node_trust_guest(struct node *n, const struct peer_id *peer)
{
    if (peer_id_is_none(peer))
        return;
    if (invite_book_of(&n->invites.book, peer_id_bytes(peer), sched_wall_ms(n->sched) / 1000))
        trust_add(&n->trust, peer, TRUST_INVITE);
    else if (!guest_has_issuer(&n->guest, peer))
        trust_remove(&n->trust, peer, TRUST_INVITE);
}
