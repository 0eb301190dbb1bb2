// SPDX-License-Identifier: MIT
/* From a naked transport to a muxed one: which security, who is there, which muxer.
 *
 *   raw bytes:   SECURITY (mss "/noise") --> NOISE (XX, 3 messages) --> secured
 *   plaintext:   secured --> MUXER (mss "/yamux/1.0.0") --> DONE
 *                secured --> DONE                              both named it inside Noise
 *
 * The dialer does not wait: header, "/noise" and the first Noise message leave together, and after
 * the second message the muxer's mss (towards rust, which names no muxers) leaves with whatever the
 * connection's users have to say. A refusal afterwards kills the connection; with single proposals
 * nothing that follows can be taken for a line of mss, so this is sound. A listener waits for each
 * step and answers `na` to what it does not speak: go proposes TLS first. */
#ifndef CONDUIT_P2P_UPGRADE_H
#define CONDUIT_P2P_UPGRADE_H

#define P2P_NOISE "/noise"
#define P2P_YAMUX "/yamux/1.0.0"

#include "codec/peer_id.h"
#include "p2p/mss.h"
#include "p2p/noise.h"

enum upgrade_stage { UPGRADE_SECURITY, UPGRADE_NOISE, UPGRADE_MUXER, UPGRADE_DONE };

struct upgrade {
    enum upgrade_stage stage;
    bool is_dialer;
    bool had_hello; /* listener: the first Noise message came */
    bool muxer_started;
    struct mss mss;
    struct noise noise;
};

/* Starts; as dialer appends the first flight to `out`. */
int upgrade_init(struct upgrade *u, bool is_dialer, const struct noise_self *self,
                 const struct peer_id *expect, struct rng *rng, struct buf *out);
void upgrade_fini(struct upgrade *u);

/* Raw bytes, in SECURITY and NOISE: takes what it can (*used) and appends answers to `out`, until
 * the stage is MUXER or DONE: then the ciphers can be taken. 0 or why not: E_UNSUPPORTED,
 * E_WRONG_PEER, E_AUTH, E_PROTO, … */
int upgrade_feed_raw(struct upgrade *u, struct bytes in, size_t *used, struct buf *out);
static inline bool upgrade_is_secured(const struct upgrade *u)
{
    return u->stage >= UPGRADE_MUXER;
}
/* Nothing that makes sense has come yet. */
static inline bool upgrade_is_before_header(const struct upgrade *u)
{
    return u->stage == UPGRADE_SECURITY && !u->mss.have_header;
}
/* Whether `in`, which came instead of the first line of multistream-select, is somebody's in another private
 * network. Under a key: it was hidden by another one. Without one: a nonce and what follows it look like this,
 * and no protocol that speaks first does. */
bool upgrade_is_other_network(const struct upgrade *u, struct bytes in, bool has_key);
/* Plaintext, in MUXER: the same, until DONE. */
int upgrade_feed_plain(struct upgrade *u, struct bytes in, size_t *used, struct buf *out);

#endif
