// SPDX-License-Identifier: MIT
/* Who is at the other end of a stream. The stream says it; `guard` decides by it and by nothing
 * else. A principal is a small value and is copied freely. */
#ifndef CONDUIT_BASE_PRINCIPAL_H
#define CONDUIT_BASE_PRINCIPAL_H

#include <stdbool.h>
#include <stdint.h>

enum principal_kind {
    PRINCIPAL_NONE = 0, /* not known: an unauthenticated TCP client on a non-loopback listener */
    PRINCIPAL_OWNER,    /* the control socket, or the owner's own loopback client */
    PRINCIPAL_LOCAL,    /* another user of this machine */
    PRINCIPAL_KEY,      /* an API key; `name` is the key's label, never the key */
    PRINCIPAL_PEER,     /* a libp2p peer; `id` is its peer id (multihash bytes) */
    PRINCIPAL_INVITE,   /* a peer under an invite; `id` is its peer id */
    PRINCIPAL_STRANGER, /* a libp2p peer that this node does not serve; `id` is its peer id */
};

struct principal {
    enum principal_kind kind;
    uint8_t id_len;
    uint8_t id[42];
    char name[56]; /* for people: label of a key, text of a peer id; NUL-terminated */
};

static inline bool principal_is_owner(const struct principal *p)
{
    return p->kind == PRINCIPAL_OWNER;
}

#endif
