// SPDX-License-Identifier: MIT
/* Asking a relay for a stream to a peer that holds a place there.
 *
 *   connect to the relay, directly -> hop stream -> CONNECT peer -> STATUS 100 -> the stream is raw */
#ifndef CONDUIT_P2P_RELAY_DIAL_H
#define CONDUIT_P2P_RELAY_DIAL_H

#include "p2p/host.h"
#include "p2p/message_read.h"
#include "p2p/relay_message.h"

struct relay_dial {
    /* Once, never from inside start or cancel: s is yours when err is 0, and is limited or not.
     * `why` is a sentence. */
    void (*done)(struct relay_dial *d, int err, const char *why, struct stream *s,
                 const struct relay_limit *limit);
    struct host_attempt *attempt; /* the asker's own */
    struct p2p_host *host;        /* private from here */
    struct peer_id to;
    struct p2p_open open;
    bool is_opening;
    struct stream *s;
    struct timer timer;
    struct message_read in;
};

void relay_dial_start(struct relay_dial *d, struct p2p_host *h, const struct peer_id *relay,
                      const struct peer_id *to, uint64_t timeout_us);
/* Done follows with E_CANCELLED, as a port's dial does. */
void relay_dial_cancel(struct relay_dial *d);
/* Without a word, at the end of the host. */
void relay_dial_forget(struct relay_dial *d);

#endif
