// SPDX-License-Identifier: MIT
/* What a person sees of an answer: the text inside the events of a chat completion.
 *
 *   bytes of the body -> sse -> one chunk of JSON -> delta.content -> text that is new
 *
 * The hard thing is knowing how it ended. An answer is whole when `[DONE]` came; an event with an
 * `error`, or an end without `[DONE]`, is a failure even though text was printed already, and the
 * reader keeps the sentence that says so. */
#ifndef CONDUIT_NODE_CHAT_TEXT_H
#define CONDUIT_NODE_CHAT_TEXT_H

#include "http/sse.h"

enum chat_state { CHAT_RUNNING, CHAT_DONE, CHAT_FAILED };

struct chat_reader {
    struct sse sse;
    struct buf text;  /* all of it so far */
    struct buf usage; /* the `usage` object as JSON; empty when none came */
    struct buf why;   /* the sentence, in CHAT_FAILED */
    enum chat_state state;
    char model[256]; /* the true one, as the answer names it; may be empty */
    char finish_reason[32];
};

void chat_reader_init(struct chat_reader *r);
void chat_reader_fini(struct chat_reader *r);
/* Takes a piece of an event stream; what is new of the text is appended to `fresh`. The state
 * afterwards says whether to go on. Bytes after the end are ignored. */
enum chat_state chat_reader_feed(struct chat_reader *r, struct bytes piece, struct buf *fresh);
/* The body ended: CHAT_DONE, or CHAT_FAILED when `[DONE]` never came. */
enum chat_state chat_reader_end(struct chat_reader *r, struct buf *fresh);
/* An answer in one piece, from a backend that does not stream. */
enum chat_state chat_reader_document(struct chat_reader *r, struct bytes json, struct buf *fresh);

/* The sentence of an error body, whatever its shape (OpenAI's, a bare string, FastAPI's detail);
 * the status in words when there is none. */
void chat_error_sentence(struct bytes body, int status, struct buf *out);

/* {"role":"user","content":"…"} appended, after a comma when something stands before it. 0 or an
 * error of buf_append. */
int chat_message_append(struct buf *messages, const char *role, struct bytes content);

/* Text without what could drive a terminal: escape, the other C0 controls but newline and tab, DEL,
 * C1; bytes that are not UTF-8 become U+FFFD. Whole characters only in one call. */
void chat_text_plain(struct bytes text, struct buf *out);
/* A JSON document with the same in it, but written without any of that: in strings they are escaped. */
void chat_text_json(struct bytes json, struct buf *out);

#endif
