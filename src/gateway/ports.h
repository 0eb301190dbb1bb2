// SPDX-License-Identifier: MIT
/* What the gateway needs of others, as ports that `node/` fills in: a way to a chosen offer, and a
 * search for providers of a model that the catalogue does not know. */
#ifndef CONDUIT_GATEWAY_PORTS_H
#define CONDUIT_GATEWAY_PORTS_H

#include "gateway/filter.h"
#include "gateway/request.h"
#include "http/pool.h"

/* Which offer was chosen; a value, so that the offer may go while the request runs. */
struct gateway_choice {
    bool is_own;
    char peer[64];   /* peer id as text; our own for an own offer */
    char model[256]; /* the true name of the model */
    char offer[64];  /* id of the offer at that peer */
    unsigned unit;   /* which of several engines behind an own offer had it last; 0: none yet */
};

/* How to reach it, for one request. */
struct gateway_way {
    struct stream *stream; /* a stream for this request alone; ours from now on. Or NULL: */
    const struct http_origin *origin; /* a pooled connection; borrowed for the call of `ready` */
    struct bytes host;                /* the Host field; borrowed for the call */
    struct bytes base_path; /* replaces "/v1" in front of the path; p NULL: the path stays */
    const struct http_header *headers; /* added to the request (a backend's key); borrowed */
    size_t header_count;
    const struct bytes *body; /* instead of the request's own: borrowed until close */
    int body_count;
    struct gateway_filter *filter; /* puts right what a backend gets wrong; ours; NULL: none */
    unsigned unit;                 /* for gateway_choice.unit */
};

struct gateway_open {
    /* Called once, from the loop: err 0 and the way, or why there is none. */
    void (*ready)(struct gateway_open *o, int err, const struct gateway_way *way);
    const struct gateway_choice *choice; /* set by the gateway; lives as long as the request */
    const struct gateway_request
        *request;                /* as skimmed; lives until the first event of the answer */
    const struct principal *who; /* whose request it is; lives as long */
    bool counts_tokens;          /* the backend must say what it used */
    uint64_t max_tokens;         /* the answer must not be longer; 0: as the request says */
    char why[200];               /* with E_DENIED: the sentence for the client (400) */
    void *port;                  /* private to the port */
};

struct gateway_lookup {
    /* The catalogue has what could be found. `is_complete`: nobody else has it. */
    void (*done)(struct gateway_lookup *l, bool is_complete);
    void *port;
};

/* How a try went, for the measurements. */
struct gateway_outcome {
    const struct gateway_choice *choice;
    bool is_ok, is_provider_fault; /* neither: cancelled, or the request's own fault */
    uint64_t first_event_us;       /* from sending to the first event; 0: none came */
    uint64_t total_us;
    uint64_t completion_tokens; /* as the backend counted; 0: unknown */
};

struct gateway_ports {
    void (*open)(void *ctx, struct gateway_open *o);
    /* Before `ready`: never mind. After it: the request is over (the slot is free again). Exactly one
     * call of `close` follows each `open`. */
    void (*close)(void *ctx, struct gateway_open *o);
    /* True after a failure when the same offer is worth another try: it is an own one, and another engine
     * than choice->unit has the model too. */
    bool (*outcome)(void *ctx, const struct gateway_outcome *o);
    void (*lookup)(void *ctx, struct gateway_lookup *l, struct bytes model, uint64_t timeout_us);
    void (*lookup_cancel)(void *ctx, struct gateway_lookup *l);
};

#endif
