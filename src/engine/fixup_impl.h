// SPDX-License-Identifier: MIT
/* Inside of fixup: what its files share. */
#ifndef CONDUIT_ENGINE_FIXUP_IMPL_H
#define CONDUIT_ENGINE_FIXUP_IMPL_H

#include "codec/json.h"
#include "engine/fixup.h"

enum { SEEN_BEGUN = 1, SEEN_FINISHED = 2, SEEN_TOOL = 4 };

struct fixup_tools {
    uint32_t count;     /* calls begun */
    bool is_renumbered; /* the backend's numbers are of no use (all 0) */
    char id[64];        /* of the latest call */
};

/* A rewriting under way. `is_right`: nothing was changed so far. */
struct fixup_pass {
    struct fixup *f;
    struct json_writer w;
    bool is_right;
    bool is_whole;  /* a reply, not an event: message instead of delta */
    bool is_broken; /* not to be saved; `why` says it */
    const char *why;
};

/* Writes the array of choices, put right. */
void fixup_choices(struct fixup_pass *p, const struct json *choices);
/* Writes id, object, created, model and what else stands at the root, with the choices. */
void fixup_root(struct fixup_pass *p, const struct json *root, const struct json *choices);
void fixup_take_usage(struct fixup *f, const struct json *usage);
/* One of OpenAI's finish reasons for what a backend says; "" for none. */
const char *fixup_finish(struct bytes said, bool has_tools);
/* {"error":…} of our own making; returns FIXUP_FAILED. */
enum fixup_verdict fixup_fail(struct fixup *f, struct buf *out, int *status, const char *code,
                              const char *message);
/* null, false, "" and {} are no errors: some backends send them in every reply. */
bool fixup_is_error(const struct json *v);

#endif
