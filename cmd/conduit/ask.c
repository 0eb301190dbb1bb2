// SPDX-License-Identifier: MIT
/* conduit ask */
#include "borrow.h"
#include "talk.h"

#include "base/limits.h"
#include "base/sched.h"
#include "codec/json.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "conduit ask QUESTION [OPTION]…: ask a model once and print the answer as it comes\n"
    "\n"
    "  QUESTION          several words are one question; '-', or none: read from stdin\n"
    "  --model NAME      the model (any chat model, when not given)\n"
    "  --system TEXT     what the model is told first\n"
    "  --max-tokens N    at most so many tokens\n"
    "  --temperature T   0 to 2\n"
    "  --show-peer       say on stderr who answered, and why that one\n"
    "  --json            one object: text, peer, route, model, finish_reason, usage\n"
    "  --data-dir DIR    ask the node of that directory\n"
    "  --api URL         ask that address, as http://127.0.0.1:8888/v1; the key is "
    "CONDUIT_ACCESS_KEY\n"
    "  --bootstrap ADDR  run a node of its own for this question, joined to ADDR\n"
    "\n"
    "Exit: 0 answered, 1 failed, 2 usage, 130 interrupted.\n"
    "Example: conduit ask \"What is the capital of France?\" --model conduit-tiny\n";

enum { APPEAR_S = 20, RETRY_MS = 250, JOIN_S = 6, JOIN_POLL_MS = 40 };

static int read_stdin(struct buf *question)
{
    uint8_t *at;
    for (;;) {
        if (buf_reserve(question, 64 * 1024, &at) != 0)
            return api_failf("ask", "the question is too long");
        ssize_t n = read(STDIN_FILENO, at, 64 * 1024);
        if (n < 0)
            return api_failf("ask", "stdin cannot be read");
        if (n == 0)
            break;
        buf_commit(question, (size_t)n);
    }
    while (question->tail > question->head && question->base[question->tail - 1] == '\n')
        question->tail--; /* the shell's, not the question's */
    return 0;
}

static void join_words(int argc, char **argv, struct buf *question)
{
    for (int i = 1; i < argc; i++) {
        if (i > 1)
            (void)buf_append_byte(question, ' ');
        (void)buf_append_str(question, argv[i]);
    }
}

/* From the words, or from stdin. */
static int read_question(int argc, char **argv, struct buf *question)
{
    int rc = 0;
    buf_init(question, LIMIT_CLI_QUESTION);
    if (argc < 2 && isatty(STDIN_FILENO))
        return usage_error("ask",
                           "what is the question? As in: conduit ask \"What is the capital of "
                           "France?\"");
    if (argc < 2 || (argc == 2 && strcmp(argv[1], "-") == 0))
        rc = read_stdin(question);
    else
        join_words(argc, argv, question);
    if (rc == 0 && bytes_trim(buf_view(question)).n == 0)
        return usage_error("ask", "the question is empty");
    return rc;
}

static int write_messages(const struct talk *t, int argc, char **argv, struct buf *messages)
{
    struct buf question;
    buf_init(messages, LIMIT_CLI_CONVERSATION);
    int rc = read_question(argc, argv, &question), err = 0;
    if (rc == 0 && t->system)
        err = chat_message_append(messages, "system", bytes_str(t->system));
    if (rc == 0 && err == 0)
        err = chat_message_append(messages, "user", buf_view(&question));
    if (err != 0)
        rc = api_failf("ask", "the question is too long");
    buf_fini(&question);
    return rc;
}

static int ask_once(struct talk *t, const struct api *api, struct bytes messages)
{
    struct talk_answer a;
    t->api = api;
    talk_ask(t, messages, &a);
    int rc = talk_finish(t, &a);
    talk_answer_fini(&a);
    return rc;
}

/* A node that has just started has not met everybody: "not found" and "not now" may change. */
static bool may_still_appear(const struct talk_answer *a, time_t until)
{
    const struct api_response *r = &a->response;
    return r->err == 0 && (r->status == 404 || r->status == 503) && time(NULL) < until;
}

/* What the node of ours says of its bootstrap addresses: joined, or failed with a sentence, or not yet. */
enum joining { JOINING, JOINED, JOIN_FAILED };

static enum joining read_joining(struct bytes status, char *why, size_t size)
{
    struct json_doc *doc;
    enum joining now = JOINING;
    if (json_parse(status, LIMIT_CLI_DOCUMENT, &doc, NULL) != 0)
        return JOINING;
    const struct json *all = json_get(json_root(doc), "bootstrap");
    size_t failed = 0;
    for (struct json_iter it = json_iter(all); json_next(&it);) {
        struct bytes at = json_get_str(it.value, "address"), said = json_get_str(it.value, "why");
        if (json_is_str(json_get(it.value, "state"), "connected"))
            now = JOINED;
        failed += json_is_str(json_get(it.value, "state"), "failed");
        if (it.i <= 1 || said.n)
            snprintf(why, size, "--bootstrap %.*s: %.*s", BYTES_FMT(at),
                     BYTES_FMT(said.n ? said : BYTES_LIT("no answer")));
    }
    if (now == JOINING && failed == json_count(all))
        now = JOIN_FAILED;
    json_free(doc);
    return now;
}

/* Nobody can answer before the node is in the network; when that cannot be, it is said which address it was.
 * 0, or an exit code. */
static int wait_joined(const struct api *api)
{
    const struct api_request req = {
        .method = "GET", .path = "/conduit/v1/status", .total_us = 5 * US_PER_S};
    char why[512] = "--bootstrap: no answer";
    for (int waited = 0; waited < JOIN_S * 1000; waited += JOIN_POLL_MS) {
        struct api_response r;
        api_call(api, &req, &r);
        int rc = api_complain(api, &r);
        enum joining now = rc ? JOIN_FAILED : read_joining(buf_view(&r.body), why, sizeof why);
        api_response_fini(&r);
        if (rc || now == JOINED)
            return rc;
        if (now == JOIN_FAILED)
            break;
        if (borrow_pause(JOIN_POLL_MS))
            return EXIT_INTERRUPTED;
    }
    return api_failf("ask", "%s", why);
}

static int ask_borrowed(struct talk *t, const char *bootstrap, struct bytes messages)
{
    struct borrowed node;
    struct api api;
    struct talk_answer a;
    int rc = borrow_start(&node, "ask", bootstrap);
    if (rc == 0)
        rc = api_init_socket(&api, "ask", node.socket);
    if (rc == 0 && (rc = wait_joined(&api)) != 0)
        api_fini(&api);
    if (rc == 0) {
        time_t until = time(NULL) + APPEAR_S;
        bool again = true;
        for (t->api = &api; again; talk_answer_fini(&a)) {
            talk_ask(t, messages, &a);
            again = may_still_appear(&a, until);
            if (again && borrow_pause(RETRY_MS)) {
                rc = EXIT_INTERRUPTED;
                again = false;
            } else if (!again) {
                rc = talk_finish(t, &a);
            }
        }
        api_fini(&api);
    }
    borrow_stop(&node);
    return rc;
}

int command_ask(int argc, char **argv)
{
    struct common c;
    struct talk t = {0};
    struct buf messages;
    struct api api;
    argc = common_take(&c, argc, argv);
    if (c.help) {
        fputs(help, stdout);
        return EXIT_OK;
    }
    t.json = c.json;
    int rc = talk_options_take(&t, "ask", &argc, argv);
    if (rc == 0)
        rc = talk_words_take("ask", &argc, argv);
    if (rc == 0 && (c.data_dir != NULL) + (c.api != NULL) + (c.bootstrap != NULL) > 1)
        rc = usage_error("ask", "only one of --data-dir, --api and --bootstrap can be meant");
    if (rc != 0)
        return rc;
    rc = write_messages(&t, argc, argv, &messages);
    if (rc == 0 && c.bootstrap) {
        rc = ask_borrowed(&t, c.bootstrap, buf_view(&messages));
    } else if (rc == 0 && (rc = api_init(&api, "ask", &c)) == 0) {
        rc = ask_once(&t, &api, buf_view(&messages));
        api_fini(&api);
    }
    buf_fini(&messages);
    return rc;
}
