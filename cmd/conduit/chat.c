// SPDX-License-Identifier: MIT
/* conduit chat: reads lines, keeps the conversation.
 *
 * The conversation is the JSON of its messages, ready to be sent. A question that was not answered
 * is taken out again, so that the next one can be asked; one that was interrupted stays, with what
 * had come. */
#include "talk.h"

#include "base/limits.h"
#include "base/sched.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char help[] =
    "conduit chat [OPTION]…: talk with a model; keeps the conversation\n"
    "\n"
    "  --model NAME      the model (any chat model, when not given)\n"
    "  --system TEXT     what the model is told first\n"
    "  --max-tokens N    at most so many tokens an answer\n"
    "  --temperature T   0 to 2\n"
    "  --show-peer       say on stderr who answered, and why that one\n"
    "  --json            one object an answer: text, peer, route, model, finish_reason, usage\n"
    "  --data-dir DIR    ask the node of that directory\n"
    "  --api URL         ask that address, as http://127.0.0.1:8888/v1; the key is "
    "CONDUIT_ACCESS_KEY\n"
    "\n"
    "A line is a question. Ctrl-C ends an answer. With a pipe every line of it is asked, and the "
    "exit is 1\n"
    "when one of them was not answered.\n";

static const char commands_help[] =
    "  /model NAME   go on with another model    /clear   forget the conversation\n"
    "  /help         this                        /exit    leave (or Ctrl-D)\n"
    "  A line that begins with a blank is never a command.\n";

struct chat {
    struct talk talk;
    char *model; /* of /model; heap */
    struct buf messages;
    bool is_tty;
    int exit_code;
};

/* Forgets all but what the model is told first. */
static int chat_clear(struct chat *c)
{
    buf_clear(&c->messages);
    return c->talk.system ? chat_message_append(&c->messages, "system", bytes_str(c->talk.system))
                          : 0;
}

static void chat_ask(struct chat *c, struct bytes question)
{
    struct talk_answer a;
    size_t before = buf_len(&c->messages);
    int err = chat_message_append(&c->messages, "user", question);
    if (err != 0) {
        c->exit_code = api_failf("chat", "the conversation is too long; /clear begins anew");
        return;
    }
    talk_ask(&c->talk, buf_view(&c->messages), &a);
    int rc = talk_finish(&c->talk, &a);
    struct bytes text = buf_view(&a.reader.text);
    if ((rc == EXIT_OK || rc == EXIT_INTERRUPTED) && text.n > 0)
        err = chat_message_append(&c->messages, "assistant", text);
    if (err != 0 || (rc != EXIT_OK && !(rc == EXIT_INTERRUPTED && text.n > 0)))
        c->messages.tail = c->messages.head + before;
    if (rc != EXIT_OK)
        c->exit_code = rc;
    talk_answer_fini(&a);
}

static void set_model(struct chat *c, struct bytes name)
{
    if (name.n == 0) {
        fprintf(stderr, "which? As in: /model conduit-tiny\n");
        return;
    }
    free(c->model);
    c->talk.model = c->model = strndup((const char *)name.p, name.n);
}

static bool is_command(struct bytes line, const char *name, struct bytes *rest)
{
    size_t n = strlen(name);
    *rest = bytes_trim(bytes_skip(line, n));
    return line.n >= n && memcmp(line.p, name, n) == 0 &&
           (line.n == n || line.p[n] == ' ' || line.p[n] == '\t');
}

/* One line; false: the end. */
static bool take_line(struct chat *c, struct bytes line)
{
    struct bytes rest;
    if (bytes_trim(line).n == 0)
        return true;
    if (line.p[0] != '/')
        chat_ask(c, line);
    else if (is_command(line, "/exit", &rest) || is_command(line, "/quit", &rest))
        return false;
    else if (is_command(line, "/help", &rest))
        fputs(commands_help, stderr);
    else if (is_command(line, "/clear", &rest))
        (void)chat_clear(c);
    else if (is_command(line, "/model", &rest))
        set_model(c, rest);
    else
        fprintf(stderr, "no such command; /help shows them (begin with a blank to ask it)\n");
    return true;
}

static void read_lines(struct chat *c)
{
    char *line = NULL;
    size_t room = 0;
    bool goes_on = true;
    while (goes_on) {
        if (c->is_tty) {
            fputs("> ", stderr);
            fflush(stderr);
        }
        ssize_t n = getline(&line, &room, stdin);
        if (n < 0)
            break;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            n--;
        if ((size_t)n > LIMIT_CLI_QUESTION)
            c->exit_code = api_failf("chat", "that line is too long");
        else
            goes_on = take_line(c, bytes_of(line, (size_t)n));
        if (!c->is_tty && c->exit_code == EXIT_INTERRUPTED)
            break; /* Ctrl-C means all of a pipe */
    }
    if (c->is_tty && goes_on)
        fputc('\n', stderr);
    free(line);
}

/* Is there a node at all? Better said before the first question than after. */
static int check_node(const struct api *api)
{
    struct api_response r;
    const struct api_request req = {
        .method = "GET", .path = "/v1/models", .total_us = 30 * US_PER_S};
    api_call(api, &req, &r);
    int rc = api_complain(api, &r);
    api_response_fini(&r);
    return rc;
}

static int chat_run(struct chat *c)
{
    int rc = check_node(c->talk.api);
    if (rc != 0)
        return rc;
    c->is_tty = isatty(STDIN_FILENO);
    if (c->is_tty)
        fprintf(stderr, "Talking with %s; /help shows the commands.\n",
                c->talk.model ? c->talk.model : "any chat model");
    if (chat_clear(c) != 0)
        return api_failf("chat", "--system is too long");
    read_lines(c);
    return c->is_tty ? EXIT_OK : c->exit_code;
}

int command_chat(int argc, char **argv)
{
    struct common common;
    struct chat c = {0};
    struct api api;
    argc = common_take(&common, argc, argv);
    if (common.help) {
        fputs(help, stdout);
        return EXIT_OK;
    }
    c.talk.json = common.json;
    int rc = talk_options_take(&c.talk, "chat", &argc, argv);
    if (rc == 0)
        rc = talk_words_take("chat", &argc, argv);
    if (rc == 0 && argc > 1)
        rc = usage_error("chat", "'%s' means nothing here; to ask one question: conduit ask",
                         argv[1]);
    if (rc == 0)
        rc = api_init(&api, "chat", &common);
    if (rc != 0)
        return rc;
    c.talk.api = &api;
    buf_init(&c.messages, LIMIT_CLI_CONVERSATION);
    rc = chat_run(&c);
    buf_fini(&c.messages);
    free(c.model);
    api_fini(&api);
    return rc;
}
