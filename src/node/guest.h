// SPDX-License-Identifier: MIT
/* This node as a guest: the invites it was started with (--join). Their addresses are bootstrap addresses, their
 * network's key is ours, and to the node that made one it is shown at each connection:
 *
 *   identified -> SHOWING --200--> SHOWN        refused: said in the log, and again at the next connection
 *                    \--no answer--> a pause -> SHOWING
 *
 * The issuer's offers are read once it knows us: what it would tell a stranger is nothing. */
#ifndef CONDUIT_NODE_GUEST_H
#define CONDUIT_NODE_GUEST_H

#include "guard/invite.h"
#include "http/client.h"
#include "node/config.h"
#include "node/feeds.h"
#include "p2p/host.h"
#include "p2p/pnet_key.h"

enum guest_state { GUEST_AWAY, GUEST_SHOWING, GUEST_SHOWN, GUEST_REFUSED };

struct guest_invite {
    struct guest *g;
    struct invite invite;
    char *body; /* {"invite":"…"}: what is shown; wiped */
    enum guest_state state;
    struct p2p_open open;
    bool is_opening;
    struct http_call *call;
    int status;
    struct buf answer;
    char why[200];   /* the refusal, for people */
    bool has_failed; /* the last try: what is looked for elsewhere no longer waits for it */
    struct timer again;
};

struct guest {
    struct p2p_host *host;
    struct sched *sched;
    struct http_client *client;
    struct feeds *feeds;
    struct guest_invite *invites;
    size_t count;
    struct p2p_watch watch;
    bool is_started;
};

/* Reads what --join gives: texts, or files with one. 0, or E_INVALID with a sentence. */
int guest_read(struct guest *g, const struct config *c, char why[static CONFIG_WHY]);
/* The private network of the invites: 1 and the key, 0 none, E_INVALID when they name different ones. */
int guest_network(const struct guest *g, struct pnet_key *out, char why[static CONFIG_WHY]);
/* Adds the issuers' addresses, with their ids. */
void guest_addresses(const struct guest *g, struct strlist *out);
void guest_start(struct guest *g, struct p2p_host *host, struct sched *sched,
                 struct http_client *client, struct feeds *feeds);
void guest_fini(struct guest *g);
/* An invite is being shown to this peer or will be: what it offers is not known yet. NULL: to anybody who has not
 * failed to answer. */
bool guest_is_showing(const struct guest *g, const struct peer_id *peer);
/* "shown", "refused: …" and so on, for people: borrowed, or in `out`. */
const char *guest_state_text(const struct guest_invite *v, char *out, size_t size);
/* Do we hold an invite of this peer's? Then it is trusted with our prompts. */
bool guest_has_issuer(const struct guest *g, const struct peer_id *peer);

#endif
