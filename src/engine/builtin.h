// SPDX-License-Identifier: MIT
/* Backends inside the program, for tests and for trying things. They speak HTTP like any other.
 *
 *   echo:                          says the last user message back, word by word
 *   echo:?delay_ms=20&tokens=100   so long between words; so many words, repeated or cut
 *   replay:FILE                    sends the recorded SSE bytes of FILE; a line ": wait MS" waits */
#ifndef CONDUIT_ENGINE_BUILTIN_H
#define CONDUIT_ENGINE_BUILTIN_H

#include "engine/engine.h"
#include "http/server.h"

struct builtin;

/* `text` begins with "echo:" or "replay:". 0, or an error and a sentence. */
int builtin_new(struct sched *sched, const char *text, const char *model, struct builtin **out,
                char why[static ENGINE_WHY]);
void builtin_free(struct builtin *b);
/* Serves one connection; takes the stream. */
void builtin_serve(struct builtin *b, struct stream *s);
bool builtin_is(const char *text);

#endif
