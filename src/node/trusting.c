// SPDX-License-Identifier: MIT
/* Where the book of reasons (guard/trust.h) meets the parts that act on it: whose offers are used, who is in the
 * DHT's table, who is served, and how we ask. */
#include "node/node_impl.h"

#include <stdio.h>

static enum catalogue_bar bar_of(void *ctx, const struct peer_id *peer)
{
    const struct trust *t = ctx;
    if (!trust_may_use(t, peer))
        return CATALOGUE_STRANGER;
    return trust_does_refuse(t, peer) ? CATALOGUE_REFUSES : CATALOGUE_USED;
}

void node_trust_init(struct node *n)
{
    trust_init(&n->trust, n->cfg->open, n->has_network, rng_u64(n->rng));
    n->trust.names_others = n->bootstrap.n > 0;
    n->offers.bar = bar_of;
    n->offers.ctx = &n->trust;
}

void node_on_learnt(void *node, const struct peer_id *peer)
{
    struct node *n = node;
    catalogue_review(&n->offers, peer);
    if (n->has_feeds)
        feeds_review(&n->feeds, peer);
    if (n->has_kad)
        kad_port_review(&n->kad, peer);
    if (n->has_discover)
        discover_poke(&n->discover);
}

void node_on_named(void *node, const struct peer_id *peer)
{
    struct node *n = node;
    trust_add(&n->trust, peer, TRUST_BOOTSTRAP);
    node_on_learnt(n, peer);
}

void node_on_kept(void *node, const struct peer_id *peer)
{
    struct node *n = node;
    trust_add(&n->trust, peer, TRUST_NETWORK);
}

bool node_may_keep(void *node, const struct peer_id *peer)
{
    return trust_is_known(&((struct node *)node)->trust, peer);
}

void node_on_told(void *node, const struct peer_id *peer)
{
    struct node *n = node;
    trust_told(&n->trust, peer);
    node_on_learnt(n, peer);
    if (!trust_may_use(&n->trust, peer))
        confirm_now(&n->confirm); /* somebody searches for what it has */
}

static void on_confirmed(void *node, const struct peer_id *peer)
{
    struct node *n = node;
    if (trust_may_use(&n->trust, peer))
        return;
    trust_confirmed(&n->trust, peer);
    node_on_learnt(n, peer);
}

static void on_confirm_ended(void *node)
{
    struct node *n = node;
    if (n->has_discover)
        discover_poke(&n->discover);
}

void node_confirm_init(struct node *n)
{
    n->confirm = (struct confirm){.sched = n->sched,
                                  .rng = n->rng,
                                  .kad = &n->kad,
                                  .offers = &n->offers,
                                  .trust = &n->trust,
                                  .confirmed = on_confirmed,
                                  .ended = on_confirm_ended,
                                  .ctx = n};
    confirm_init(&n->confirm);
}

bool node_admits(void *node, const struct principal *who, bool says_lan)
{
    struct node *n = node;
    struct peer_id peer;
    if (who->kind == PRINCIPAL_INVITE)
        return true;
    if (peer_id_decode(bytes_of(who->id, who->id_len), &peer) != 0)
        return true; /* no peer: others decide about it */
    bool was_stranger = trust_is_stranger(&n->trust, &peer);
    trust_heard(&n->trust, &peer, says_lan);
    if (was_stranger && !trust_is_stranger(&n->trust, &peer) && n->has_kad)
        kad_port_review(&n->kad, &peer);
    return trust_may_serve(&n->trust, &peer, says_lan);
}

/* Who listens on loopback alone is not on the LAN. */
bool node_has_mdns(const struct node *n)
{
    struct net_addr at;
    return n->cfg->mdns && !(n->cfg->p2p_host && net_addr_parse_ip(n->cfg->p2p_host, 0, &at) == 0 &&
                             net_addr_is_loopback(&at));
}

const char *node_lan(const struct node *n, char *out, size_t size)
{
    char names[128];
    out[0] = 0;
    if (!node_has_mdns(n))
        return out;
    if (!*lan_interfaces(&n->lan, names, sizeof names))
        snprintf(out, size, "none yet: no interface with multicast; looked for every few seconds");
    else
        snprintf(out, size, "joined on %s: nodes found there are %s", names,
                 n->cfg->open     ? "used and served (--open)"
                 : n->has_network ? "of this private network"
                                  : "listed; named, invited or with --open also used and served");
    return out;
}

void node_takes(void *node, const struct stream *s)
{
    p2p_stream_keep((struct stream *)s);
}
