// SPDX-License-Identifier: MIT
/* One answer of a model, printed as it comes: what `ask` does once and `chat` many times. */
#ifndef CONDUIT_CMD_TALK_H
#define CONDUIT_CMD_TALK_H

#include "api.h"

#include "node/chat_text.h"

/* What both take from the command line. */
struct talk {
    const struct api *api;
    const char *model;  /* NULL: any chat model */
    const char *system; /* or NULL */
    bool has_max_tokens, has_temperature;
    uint64_t max_tokens;
    double temperature;
    bool json;      /* one object a answer instead of text */
    bool show_peer; /* who answered, on stderr */
};

struct talk_answer {
    struct chat_reader reader; /* the text, and how it ended */
    struct api_response response;
    bool is_stdout_gone; /* nobody reads what we print */
};

/* The options of a talk out of argv; 0, or EXIT_USAGE after saying why. */
int talk_options_take(struct talk *t, const char *command, int *argc, char **argv);
/* What is left in argv must be no options; "--" ends them and is taken out. 0 or EXIT_USAGE. */
int talk_words_take(const char *command, int *argc, char **argv);

/* Asks with the messages (as JSON, without the brackets). The answer is yours (talk_answer_fini).
 */
void talk_ask(const struct talk *t, struct bytes messages, struct talk_answer *a);
void talk_answer_fini(struct talk_answer *a);
/* The end of an answer: the newline, the JSON object, who it was, or what went wrong. The exit
 * code. */
int talk_finish(const struct talk *t, struct talk_answer *a);

#endif
