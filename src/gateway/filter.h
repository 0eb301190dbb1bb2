// SPDX-License-Identifier: MIT
/* A port: what puts right what a backend gets wrong (`engine/fixup`, filled in by `node/`). The gateway
 * hands it whole SSE events or whole replies and relays what it gives back. */
#ifndef CONDUIT_GATEWAY_FILTER_H
#define CONDUIT_GATEWAY_FILTER_H

#include "base/buf.h"

struct gateway_filter;

enum filter_verdict {
    FILTER_RELAY,   /* pass the event's own bytes on */
    FILTER_REPLACE, /* pass `out` on instead (may be empty: drop it) */
    FILTER_DONE,    /* as REPLACE, and the stream is complete: [DONE] is in `out` */
    FILTER_FAILED, /* the backend failed: `out` is the error as JSON {"error":…}, status in *status */
};

struct gateway_filter_ops {
    /* One event's data. `out` is empty on entry. */
    enum filter_verdict (*event)(struct gateway_filter *f, struct bytes data, struct buf *out,
                                 int *status);
    /* The backend's body ended: DONE with what completes it (maybe nothing), or FAILED. */
    enum filter_verdict (*end)(struct gateway_filter *f, struct buf *out, int *status);
    /* A whole reply: RELAY, REPLACE with the body in `out` and the status in *status, or FAILED. */
    enum filter_verdict (*reply)(struct gateway_filter *f, int *status, struct bytes content_type,
                                 struct bytes body, struct buf *out);
    /* Tokens as the backend counted them, once it has said so; may be NULL. */
    bool (*usage)(const struct gateway_filter *f, uint64_t *prompt, uint64_t *completion);
    void (*free)(struct gateway_filter *f);
};

struct gateway_filter {
    const struct gateway_filter_ops *ops;
};

#endif
