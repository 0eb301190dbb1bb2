// SPDX-License-Identifier: MIT
/* A relay: serves /libp2p/circuit/relay/0.2.0/hop on a host, with the book of relay_server.h.
 *
 *   RESERVE  -> a place in the book -> STATUS with our addresses, expiry, limit and a voucher
 *   CONNECT  -> a circuit in the book -> stop stream to the target -> CONNECT -> its STATUS
 *            -> STATUS to the asker -> both streams spliced until one ends or a limit cuts
 *
 * A place is kept as long as its peer is connected; its connection is protected as long as it has a
 * place. Nothing is relayed for or to whom we know over another relay only. */
#ifndef CONDUIT_P2P_RELAY_SERVE_H
#define CONDUIT_P2P_RELAY_SERVE_H

#include "p2p/host.h"
#include "p2p/relay_server.h"

struct relay_serve; /* opaque */

struct relay_serve_cfg {
    struct relay_server_cfg server;
    const struct key_pair *key; /* borrowed; signs vouchers */
    /* One of the owner's own: circuits without a limit. NULL: nobody is. */
    bool (*is_own)(void *ctx, const struct peer_id *peer);
    void *ctx;
};

/* From here on hop is told by identify. NULL when the host serves it already. */
struct relay_serve *relay_serve_new(struct p2p_host *h, const struct relay_serve_cfg *cfg);
/* Not from inside a callback of its. Circuits are cut. */
void relay_serve_free(struct relay_serve *s);

struct relay_serve_view {
    size_t reservations, circuits;
    size_t strangers, owns; /* circuits of either pool */
    uint32_t max_reservations, max_strangers, max_owns;
    uint64_t refused_reservations;                  /* of `refused` */
    uint64_t reserved, refused, opened, cut, bytes; /* since the start */
};
struct relay_serve_view relay_serve_look(struct relay_serve *s);

#endif
