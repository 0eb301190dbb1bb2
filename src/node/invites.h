// SPDX-License-Identifier: MIT
/* The invites that this node gives out: made and taken back by its owner (control socket), shown by guests
 * (POST /conduit/v1/invite of docs/PROTOCOL-INVITE.md), kept in DIR/invites.cbor (0600).
 *
 * What binds or ends an invite is on disk before it is answered, and what a limited one uses before it is used
 * (invite_book.h); the rest is written a moment later. */
#ifndef CONDUIT_NODE_INVITES_H
#define CONDUIT_NODE_INVITES_H

#include "base/rates.h"
#include "base/sched.h"
#include "gateway/gateway.h"
#include "guard/invite_book.h"
#include "node/config.h"

struct invites {
    struct sched *sched;
    struct rng *rng;
    const char *dir;            /* borrowed */
    const struct key_pair *key; /* borrowed */
    struct invite_book book;
    bool is_dirty, is_failing; /* it could not be written */
    struct timer save, minute;
    struct rates shows_ip, shows; /* of one IP group; of all strangers */
    uint64_t shows_refused;
    /* A guest's invite has expired; may be NULL. */
    void (*ended)(void *ctx, const struct peer_id *guest);
    void *ctx;
};

/* Reads the file. 0, or an error with a sentence. */
int invites_init(struct invites *v, struct sched *sched, struct rng *rng, const char *dir,
                 const struct key_pair *key, char why[static CONFIG_WHY]);
void invites_fini(struct invites *v); /* writes what is not written */
/* The time as invites count it. */
struct invite_now invites_now(const struct invites *v);

/* May this peer show one now, guest or not yet? Each try costs a signature's verification; counted. `from` NULL: over a
 * circuit, where the address is the relay's. */
bool invites_may_show(struct invites *v, const struct peer_id *who, const struct net_addr *from,
                      bool is_guest);

/* Its guest's standing has changed: what it sees of our offers changes now; what it may, with its next request. */
void invites_standing_changed(void *node, const struct peer_id *peer);

/* Routes of the node (node/routes.c): for the owner … */
void invites_serve_make(void *node, struct http_exchange *x, const struct http_head *head,
                        const struct router_match *match, struct bytes body);
void invites_serve_list(void *node, struct http_exchange *x, const struct http_head *head,
                        const struct router_match *match, struct bytes body);
void invites_serve_revoke(void *node, struct http_exchange *x, const struct http_head *head,
                          const struct router_match *match, struct bytes body);
/* … and for peers. */
void invites_serve_show(void *node, struct http_exchange *x, const struct http_head *head,
                        const struct router_match *match, struct bytes body);

#endif
