// SPDX-License-Identifier: MIT
/* What the gateway must know of an inference request: the model, whether it streams, what it needs. The body
 * is skimmed, not parsed; it is passed on as it came but for the members that must change (the model's
 * true name), which are spliced in. */
#ifndef CONDUIT_GATEWAY_REQUEST_H
#define CONDUIT_GATEWAY_REQUEST_H

#include "codec/json_skim.h"
#include "gateway/failure.h"

enum request_kind { REQUEST_CHAT, REQUEST_COMPLETION, REQUEST_EMBEDDINGS, REQUEST_RERANK };

struct gateway_request {
    enum request_kind kind;
    char model[256]; /* as asked; "" none */
    bool is_stream;
    bool wants_usage;       /* stream_options.include_usage */
    bool wants_base64;      /* embeddings: encoding_format base64 */
    uint32_t needs;         /* enum offer_ability */
    uint32_t prompt_tokens; /* rough: a quarter of the body's bytes */
    struct bytes body;      /* borrowed */
    struct json_skim skim;  /* last: see request_keep */
};

/* The members that bound an answer; backends read one or the other. */
enum { REQUEST_MAX_TOKENS = 3 };
extern const char *const request_max_tokens[REQUEST_MAX_TOKENS];

/* "/v1/chat/completions" and so on: the path on the network. */
const char *request_path(enum request_kind kind);
/* 0, or E_MALFORMED with the 400 for the client in `f` (`param` names the member at fault). */
int request_read(struct gateway_request *r, enum request_kind kind, struct bytes body,
                 struct failure *f);
/* A copy that holds the skim's members that there are, and no room for more: some hundred bytes instead of
 * 12 kB for as long as the request runs. The body stays borrowed. Free with free(). */
struct gateway_request *request_keep(const struct gateway_request *r);

#endif
