// SPDX-License-Identifier: MIT
/* Who may connect: counts and limits of connections, before and after a peer has proved itself.
 * A pure book; the host asks before it accepts and tells what happened.
 *
 *   accepted -> PENDING (total, per IP group, rate) -> proved -> ADMITTED (total, per peer) -> gone
 *
 * What comes over a circuit has no address of its own: it is counted by the relay, and its rate by the peer that
 * the relay names as well, so that many peers behind one relay are not one stranger. Loopback is exempt from what counts
 * by IP: there everybody is one address.
 *
 * Over the high mark of admitted connections the host trims (host_trim.c): `connmgr_worth` orders those that may go. What
 * has no streams goes first, down to the low mark; what has only streams of the peer's on which nothing has come for a
 * while goes as a last resort, down to the high mark; what is needed, moves or is young stays. When every place is taken,
 * who comes from where few are connected may displace one of a crowd: `connmgr_may_come`. */
#ifndef CONDUIT_P2P_CONNMGR_H
#define CONDUIT_P2P_CONNMGR_H

#include "base/map.h"
#include "base/net.h"
#include "base/rng.h"

struct connmgr_cfg {
    uint32_t max_pending, max_pending_per_ip;
    uint32_t max_total, max_per_peer;
    uint32_t max_pending_per_relay;
    uint32_t rate_per_s, rate_burst; /* inbound, per IP group; of circuits per peer */
    uint32_t relay_rate_per_s, relay_rate_burst;
    uint32_t high, low; /* trimming starts over high and ends at low */
    uint64_t grace_us;  /* young connections are not trimmed */
    uint64_t silent_us; /* a peer's stream on which nothing came for so long is idle */
};
struct connmgr_cfg connmgr_cfg_default(void);

struct connmgr {
    struct connmgr_cfg cfg;
    struct map groups; /* by IP group, relay or peer: pending count and token bucket */
    uint32_t pending, total;
    uint64_t swept_us;
    struct {
        uint64_t refused_pending, refused_ip, refused_relay, refused_rate, refused_relay_rate,
            refused_total, refused_peer, trimmed;
    } counts;
};

void connmgr_init(struct connmgr *m, const struct connmgr_cfg *cfg, struct rng *rng);
void connmgr_fini(struct connmgr *m);

/* An inbound connection from there: 0 (and pending), or E_LIMIT: close it at once. */
int connmgr_accept(struct connmgr *m, const struct net_addr *from, uint64_t now_us);
/* It is no longer pending: proved, failed or gone. */
void connmgr_settle(struct connmgr *m, const struct net_addr *from, uint64_t now_us);
/* The same of a circuit over that relay (its peer id), from that peer as the relay says. */
int connmgr_accept_circuit(struct connmgr *m, struct bytes relay, struct bytes peer,
                           uint64_t now_us);
void connmgr_settle_circuit(struct connmgr *m, struct bytes relay);
/* As many circuits over that relay are pending as may be. */
bool connmgr_is_full(struct connmgr *m, struct bytes relay);
/* Is there a place for one more of a crowd of `own` (connections from there; loopback: 0), where the largest is so large? When
 * all are taken, one of a crowd twice as large makes room. */
bool connmgr_may_displace(uint32_t own, uint32_t largest);
bool connmgr_may_come(struct connmgr *m, uint32_t own, uint32_t largest);
/* A peer has proved itself and has `per_peer` connections already: 0 (and counted), or E_LIMIT. */
int connmgr_admit(struct connmgr *m, uint32_t per_peer);
void connmgr_drop(struct connmgr *m); /* an admitted connection is gone */

static inline bool connmgr_is_over(const struct connmgr *m)
{
    return m->total > m->cfg.high;
}
static inline bool connmgr_is_taken(const struct connmgr *m)
{
    return m->total >= m->cfg.max_total;
}
/* How much a connection is worth keeping; 0: it may be trimmed first, from CONNMGR_LAST_RESORT on: only when nothing else
 * is left, UINT64_MAX: never. */
#define CONNMGR_LAST_RESORT (UINT64_C(1) << 62)
struct connmgr_view {
    uint64_t opened_us, used_us; /* used: a stream came or went, or something came on one */
    uint32_t streams;
    bool is_needed; /* protected, or something of ours or of a user's is on it */
    bool is_known;  /* a Conduit node, or in our tables */
};
uint64_t connmgr_worth(const struct connmgr *m, const struct connmgr_view *v, uint64_t now_us);

#endif
