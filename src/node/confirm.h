// SPDX-License-Identifier: MIT
/* Is a peer that we found on the LAN one of the network that we are in? Then it is used without being named: two
 * machines of one home that both name a third. Nothing that it says or stores with us counts; so those we trust
 * already are asked, over the DHT's protocol, who provides what it offers, and whoever they name is confirmed.
 *
 *   a barred peer in the catalogue, and somebody to ask
 *       -> GET_PROVIDERS `model:<its first>` to three of them --3 s--> those named are `confirmed`
 *       -> the next barred one, after a pause that doubles from 2 s to 2 min; from 2 s again when the catalogue
 *          changed, at once when somebody is waiting (confirm_now) */
#ifndef CONDUIT_NODE_CONFIRM_H
#define CONDUIT_NODE_CONFIRM_H

#include "guard/trust.h"
#include "node/kad_port.h"
#include "offer/catalogue.h"

enum { CONFIRM_ASKED = 3 };

struct confirm;
struct confirm_ask {
    struct dht_rpc rpc;
    struct confirm *c;
    bool is_out;
};

struct confirm {
    struct sched *sched;
    struct rng *rng;
    struct kad_port *kad;
    const struct catalogue *offers;
    const struct trust *trust;
    void (*confirmed)(void *ctx, const struct peer_id *peer);
    void (*ended)(void *ctx); /* an asking is over, whatever came of it */
    void *ctx;
    struct timer timer; /* private from here */
    uint64_t pause_us, changes, asked_us;
    bool has_none;        /* nobody is barred, as of these changes */
    bool is_wanted;       /* confirm_now was called, and the timer has not fired since */
    struct peer_id asked; /* the last one that had its turn */
    struct confirm_ask asks[CONFIRM_ASKED];
    struct buf request;
};

/* Takes the fields above `timer` as they are. */
void confirm_init(struct confirm *c);
void confirm_fini(struct confirm *c); /* again: harmless */
/* Somebody waits for a model that a barred peer has. */
void confirm_now(struct confirm *c);
/* Or is about to; `ended` follows. */
bool confirm_is_asking(const struct confirm *c);

#endif
