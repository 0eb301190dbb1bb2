// SPDX-License-Identifier: MIT
/* One question to a node at a time, waited for: over its control socket, or to an address given
 * with --api.
 *
 * A command is no server: each call makes a loop, runs one request in it, and puts everything away.
 * Ctrl-C (and SIGTERM) while a call runs ends the call, not the process, and is said in the
 * response. */
#ifndef CONDUIT_CMD_API_H
#define CONDUIT_CMD_API_H

#include "command.h"

#include "codec/json.h"
#include "codec/peer_id.h"
#include "http/url.h"

struct api {
    const char *command; /* for messages: "conduit COMMAND: …" */
    struct url at;       /* of the node: its path is what stands before /models */
    char *where;         /* for people: the URL, or the path of the socket */
    const char *key;     /* or NULL */
};

struct api_request {
    const char *method, *path; /* "/v1/models", "/conduit/v1/peers" */
    struct bytes body;         /* JSON; empty: none */
    uint64_t patience_us;      /* until the head, and between pieces; 0: 10 s */
    uint64_t total_us;         /* for all of it; 0: no limit */
    /* Called with the pieces of an event stream; true: that was the end. NULL: everything goes to
     * `body`. */
    bool (*piece)(void *ctx, struct bytes piece);
    void *ctx;
};

struct api_response {
    int err;               /* 0: the response is whole, whatever its status */
    int status;            /* 0: none came */
    enum http_fault fault; /* what was wrong with it as HTTP */
    bool is_interrupted;   /* Ctrl-C */
    bool is_unreached;     /* there was no connection */
    bool is_stream;        /* the body went to `piece` */
    uint64_t retry_after_s;
    char peer[PEER_ID_TEXT], route[512]; /* x-conduit-peer and -route; or empty */
    struct buf body;
};

enum { EXIT_INTERRUPTED = 130 };

/* Which node is meant. 0, or an exit code after saying what is wrong. */
int api_init(struct api *a, const char *command, const struct common *c);
/* The one with its socket at `path`. */
int api_init_socket(struct api *a, const char *command, const char *path);
void api_fini(struct api *a);

/* Asks; the response is yours (api_response_fini), also when the call failed. */
void api_call(const struct api *a, const struct api_request *req, struct api_response *out);
void api_response_fini(struct api_response *r);
/* When the call failed or the status is not 200: the sentence on stderr, and the exit code. 0 when
 * all is well. */
int api_complain(const struct api *a, const struct api_response *r);
/* "conduit COMMAND: SENTENCE" on stderr, safe for terminals; EXIT_FAILED. */
int api_fail(const char *command, struct bytes sentence);
int api_failf(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A document on stdout, for --json: as the node gave it, but what could drive a terminal is escaped. */
void api_print_json(struct bytes json);

/* A command that shows one document of the node. */
struct api_page {
    const char *help, *path;
    int (*report)(struct bytes json, struct buf *out); /* for people */
    int (*verdict)(const struct json *root); /* the exit code, after a sentence; NULL: fine */
    bool is_argument_checked_there; /* what the node calls a bad request is a mistake in usage */
};
/* The whole command: options, GET, and the document as it is (--json) or through `report`. */
int api_show(int argc, char **argv, const struct api_page *page);

#endif
