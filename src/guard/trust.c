// SPDX-License-Identifier: MIT
/* Reasons; see trust.h. */
#include "guard/trust.h"

#include "base/mem.h"

#include <stdlib.h>

/* What makes a peer worth our prompts, and which of them the owner said himself. */
enum {
    BY_OWNER = TRUST_BOOTSTRAP | TRUST_INVITE | TRUST_ALLOWED,
    USABLE = BY_OWNER | TRUST_NETWORK | TRUST_LOCAL,
};

struct record {
    unsigned reasons;
    bool is_connected, refuses;
};

void trust_init(struct trust *t, bool is_open, bool is_private, uint64_t seed)
{
    *t = (struct trust){.is_open = is_open, .is_private = is_private};
    map_init(&t->peers, seed);
}

void trust_fini(struct trust *t)
{
    for (struct map_entry *e = map_first(&t->peers); e; e = map_next(&t->peers, e))
        free(e->value);
    map_fini(&t->peers);
}

static struct record *find(const struct trust *t, const struct peer_id *peer)
{
    return map_get(&t->peers, peer_id_bytes(peer));
}

static bool make_room(struct trust *t)
{
    for (struct map_entry *e = map_first(&t->peers); e; e = map_next(&t->peers, e)) {
        const struct record *r = e->value;
        if (r->is_connected || (r->reasons & BY_OWNER))
            continue;
        free(map_take(&t->peers, map_key(e)));
        return true;
    }
    return false;
}

/* NULL when the book is full of those who stay. */
static struct record *touch(struct trust *t, const struct peer_id *peer)
{
    struct record *r = find(t, peer);
    if (r || (map_count(&t->peers) >= LIMIT_TRUST_PEERS && !make_room(t)))
        return r;
    r = MEM_NEW(struct record);
    (void)map_put(&t->peers, peer_id_bytes(peer), r);
    return r;
}

void trust_add(struct trust *t, const struct peer_id *peer, enum trust_reason why)
{
    struct record *r = touch(t, peer);
    if (r)
        r->reasons |= why;
}

void trust_remove(struct trust *t, const struct peer_id *peer, enum trust_reason why)
{
    struct record *r = find(t, peer);
    if (r)
        r->reasons &= ~(unsigned)why;
}

void trust_connected(struct trust *t, const struct peer_id *peer, enum trust_path path,
                     bool is_inbound)
{
    bool has_network = trust_has_network(t); /* without this one */
    struct record *r = touch(t, peer);
    if (!r)
        return;
    r->is_connected = true;
    if (path == TRUST_FROM_SELF)
        r->reasons |= TRUST_LOCAL;
    else if (path == TRUST_FROM_LAN)
        r->reasons |= TRUST_LAN;
    else if (!(r->reasons & TRUST_LAN) && (is_inbound || has_network))
        r->reasons |= TRUST_NETWORK;
}

void trust_disconnected(struct trust *t, const struct peer_id *peer)
{
    struct record *r = find(t, peer);
    if (!r)
        return;
    r->is_connected = r->refuses = false;
    r->reasons &= ~(unsigned)TRUST_NAMED_US;
}

void trust_heard(struct trust *t, const struct peer_id *peer, bool says_lan)
{
    struct record *r = find(t, peer);
    if (!r)
        return;
    if (says_lan)
        r->reasons &= ~(unsigned)TRUST_NAMED_US;
    else
        r->reasons |= TRUST_NAMED_US;
}

void trust_told(struct trust *t, const struct peer_id *peer)
{
    if (!(trust_reasons(t, peer) & TRUST_LAN))
        trust_confirmed(t, peer);
}

void trust_confirmed(struct trust *t, const struct peer_id *peer)
{
    if (trust_has_network(t))
        trust_add(t, peer, TRUST_NETWORK);
}

void trust_refuses(struct trust *t, const struct peer_id *peer, bool refuses)
{
    struct record *r = find(t, peer);
    if (r)
        r->refuses = refuses;
}

unsigned trust_reasons(const struct trust *t, const struct peer_id *peer)
{
    const struct record *r = find(t, peer);
    return r ? r->reasons : 0;
}

bool trust_is_known(const struct trust *t, const struct peer_id *peer)
{
    return t->is_private || (trust_reasons(t, peer) & USABLE);
}

bool trust_may_use(const struct trust *t, const struct peer_id *peer)
{
    return t->is_open || trust_is_known(t, peer);
}

bool trust_does_refuse(const struct trust *t, const struct peer_id *peer)
{
    const struct record *r = find(t, peer);
    return r && r->refuses;
}

bool trust_may_serve(const struct trust *t, const struct peer_id *peer, bool says_lan)
{
    return !says_lan || t->is_open || t->is_private || (trust_reasons(t, peer) & BY_OWNER);
}

bool trust_is_from_lan(const struct trust *t, const struct peer_id *peer)
{
    unsigned reasons = trust_reasons(t, peer);
    return !t->is_private && (reasons & TRUST_LAN) && !(reasons & USABLE);
}

bool trust_is_stranger(const struct trust *t, const struct peer_id *peer)
{
    return trust_is_from_lan(t, peer) && !t->is_open &&
           (t->names_others || !(trust_reasons(t, peer) & TRUST_NAMED_US));
}

bool trust_has_network(const struct trust *t)
{
    for (struct map_entry *e = map_first(&t->peers); e; e = map_next(&t->peers, e)) {
        const struct record *r = e->value;
        if (r->is_connected && (t->is_private || (r->reasons & USABLE)))
            return true;
    }
    return false;
}

const char *trust_source(const struct trust *t, const struct peer_id *peer)
{
    static const struct {
        unsigned reason;
        const char *word;
    } words[] = {
        {TRUST_BOOTSTRAP, "bootstrap"}, {TRUST_INVITE, "invite"}, {TRUST_ALLOWED, "allowed"},
        {TRUST_LOCAL, "this machine"},  {TRUST_LAN, "lan"},       {TRUST_NETWORK, "network"},
    };
    unsigned reasons = trust_reasons(t, peer);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (reasons & words[i].reason)
            return words[i].word;
    return t->is_private ? "private network" : "network";
}

const char *trust_verdict(const struct trust *t, const struct peer_id *peer)
{
    bool uses = trust_may_use(t, peer), refuses = trust_does_refuse(t, peer);
    bool says_lan = trust_is_from_lan(t, peer) && !(trust_reasons(t, peer) & TRUST_NAMED_US);
    bool serves = trust_may_serve(t, peer, says_lan);
    if (uses && refuses)
        return "does not serve us";
    if (uses)
        return "used and served";
    return serves ? "served" : "listed";
}
