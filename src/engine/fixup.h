// SPDX-License-Identifier: MIT
/* Puts right what a backend gets wrong on the OpenAI paths, once, at the provider.
 *
 *   whole SSE events' data -> fixup_event -> relay as it is | replace | last one | failed
 *   whole reply            -> fixup_reply
 *
 * What is wrong in the field: facts of "1.6 what breaks most often"; each has a test. An event that is
 * right is relayed untouched and is only looked at, not parsed: the first event of a stream is
 * parsed, and what stands around its choices (id, created, model) is what the later ones are compared
 * with; whatever differs, or has a finish reason, a role, tool calls or reasoning, is parsed. */
#ifndef CONDUIT_ENGINE_FIXUP_H
#define CONDUIT_ENGINE_FIXUP_H

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

enum fixup_path { FIXUP_CHAT, FIXUP_COMPLETION, FIXUP_EMBEDDINGS, FIXUP_OTHER };

struct fixup_config {
    enum fixup_path path;
    bool wants_usage;   /* the client asked for it (stream_options.include_usage) */
    char model[128];    /* the name that the answer gives; "": what the backend says */
    char id[48];        /* used when the backend gives none */
    uint64_t created_s; /* likewise */
};

enum fixup_verdict {
    FIXUP_RELAY,   /* the event's own bytes are right */
    FIXUP_REPLACE, /* `out`: whole events, or nothing (dropped) */
    FIXUP_DONE,    /* as REPLACE, with [DONE] at its end: complete */
    FIXUP_FAILED,  /* `out` is {"error":…} without "data:"; *status fits it */
};

struct fixup_usage {
    bool is_known;
    uint64_t prompt_tokens, completion_tokens;
};

struct fixup {
    struct fixup_config cfg;
    struct fixup_usage usage;
    char finish_reason[24];   /* of choice 0; "" before */
    struct buf before, after; /* of a right event: what stands around its choices */
    struct buf held_usage; /* {"usage":…} and what came with it; goes out at the end if asked for */
    uint64_t created_s;
    char id[128];
    bool has_any, has_id, is_over;
    uint32_t choice_count;             /* highest index seen + 1 */
    uint8_t seen[LIMIT_FIXUP_CHOICES]; /* per choice: enum in fixup_impl.h */
    struct fixup_tools *tools;         /* per choice; made with the first tool call */
};

void fixup_init(struct fixup *f, const struct fixup_config *cfg);
void fixup_fini(struct fixup *f);
enum fixup_verdict fixup_event(struct fixup *f, struct bytes data, struct buf *out, int *status);
/* The body ended in order, without [DONE] before: DONE with what completes it, or FAILED. */
enum fixup_verdict fixup_end(struct fixup *f, struct buf *out, int *status);
/* A whole reply; *status is the backend's. RELAY, REPLACE (body in out), or FAILED. */
enum fixup_verdict fixup_reply(struct fixup *f, int *status, struct bytes content_type,
                               struct bytes body, struct buf *out);
/* {"error":{message,type,param,code}} from whatever a backend calls an error. */
int fixup_error(struct buf *out, int status, struct bytes body);

#endif
