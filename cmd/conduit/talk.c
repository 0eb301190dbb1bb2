// SPDX-License-Identifier: MIT
/* A chat completion over the API: request body, text as it comes, how it ended. */
#include "talk.h"

#include "base/limits.h"
#include "base/sched.h"
#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATIENCE_S = 600 }; /* a long prompt on a slow machine; the node gives up before */

/* --- the command line --- */

int talk_options_take(struct talk *t, const char *command, int *argc, char **argv)
{
    const char *max = option_take(argc, argv, "max-tokens");
    const char *warm = option_take(argc, argv, "temperature");
    t->model = option_take(argc, argv, "model");
    t->system = option_take(argc, argv, "system");
    t->show_peer = option_take_flag(argc, argv, "show-peer");
    if (max) {
        t->has_max_tokens = true;
        if (bytes_to_u64(bytes_str(max), &t->max_tokens) != 0 || t->max_tokens == 0)
            return usage_error(command, "--max-tokens is a number from 1, not '%s'", max);
    }
    if (warm) {
        char *end;
        t->has_temperature = true;
        t->temperature = strtod(warm, &end);
        if (end == warm || *end || !(t->temperature >= 0 && t->temperature <= 2))
            return usage_error(command, "--temperature is a number from 0 to 2, not '%s'", warm);
    }
    return 0;
}

int talk_words_take(const char *command, int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof *argv);
            --*argc;
            return 0;
        }
        if (strncmp(argv[i], "--", 2) == 0)
            return usage_error(command,
                               "unknown option, or one without its value: %s; see conduit %s "
                               "--help",
                               argv[i], command);
    }
    return 0;
}

/* --- asking --- */

static int write_request(const struct talk *t, struct bytes messages, struct buf *out)
{
    struct json_writer w = json_write(out);
    json_open_object(&w);
    if (t->model)
        json_member_str(&w, "model", t->model);
    json_member_bool(&w, "stream", true);
    if (t->json) {
        json_key(&w, "stream_options");
        json_put_raw(&w, BYTES_LIT("{\"include_usage\":true}"));
    }
    if (t->has_max_tokens)
        json_member_u64(&w, "max_tokens", t->max_tokens);
    if (t->has_temperature)
        json_member_double(&w, "temperature", t->temperature);
    json_key(&w, "messages");
    json_open_array(&w);
    json_put_raw(&w, messages);
    json_close_array(&w);
    json_close_object(&w);
    return w.err;
}

struct talking {
    const struct talk *t;
    struct talk_answer *a;
    bool is_tty;
};

static void print(struct talking *k, struct bytes text)
{
    struct buf plain;
    buf_init(&plain, 0);
    if (k->is_tty) {
        chat_text_plain(text, &plain);
        text = buf_view(&plain);
    }
    if (!k->t->json && text.n > 0 &&
        (fwrite(text.p, 1, text.n, stdout) != text.n || fflush(stdout) != 0))
        k->a->is_stdout_gone = true;
    buf_fini(&plain);
}

static bool take_piece(void *ctx, struct bytes piece)
{
    struct talking *k = ctx;
    struct buf fresh;
    buf_init(&fresh, 0);
    enum chat_state state = chat_reader_feed(&k->a->reader, piece, &fresh);
    print(k, buf_view(&fresh));
    buf_fini(&fresh);
    return state != CHAT_RUNNING || k->a->is_stdout_gone;
}

/* The body is over: what does that make of the answer? */
static void take_end(struct talking *k)
{
    const struct api_response *r = &k->a->response;
    struct buf fresh;
    buf_init(&fresh, 0);
    if (r->err == 0 && r->status == 200 && r->is_stream)
        (void)chat_reader_end(&k->a->reader, &fresh);
    else if (r->err == 0 && r->status == 200)
        (void)chat_reader_document(&k->a->reader, buf_view(&r->body), &fresh);
    print(k, buf_view(&fresh));
    buf_fini(&fresh);
}

void talk_ask(const struct talk *t, struct bytes messages, struct talk_answer *a)
{
    struct talking k = {t, a, isatty(STDOUT_FILENO)};
    struct buf body;
    *a = (struct talk_answer){0};
    chat_reader_init(&a->reader);
    buf_init(&body, LIMIT_HTTP_BODY);
    int err = write_request(t, messages, &body);
    const struct api_request req = {
        .method = "POST",
        .path = "/v1/chat/completions",
        .body = buf_view(&body),
        .patience_us = PATIENCE_S * US_PER_S,
        .piece = take_piece,
        .ctx = &k,
    };
    if (err == 0)
        api_call(t->api, &req, &a->response);
    else
        a->response.err = err;
    take_end(&k);
    buf_fini(&body);
}

void talk_answer_fini(struct talk_answer *a)
{
    chat_reader_fini(&a->reader);
    api_response_fini(&a->response);
}

/* --- the end --- */

static void print_json(const struct talk_answer *a)
{
    struct buf b;
    struct bytes usage = buf_view(&a->reader.usage);
    buf_init(&b, 0);
    struct json_writer w = json_write(&b);
    json_open_object(&w);
    json_member_bytes(&w, "text", buf_view(&a->reader.text));
    json_member_str(&w, "peer", *a->response.peer ? a->response.peer : NULL);
    json_member_str(&w, "route", *a->response.route ? a->response.route : NULL);
    json_member_str(&w, "model", *a->reader.model ? a->reader.model : NULL);
    json_member_str(&w, "finish_reason", *a->reader.finish_reason ? a->reader.finish_reason : NULL);
    json_key(&w, "usage");
    json_put_raw(&w, usage.n > 0 ? usage : BYTES_LIT("null"));
    json_close_object(&w);
    api_print_json(buf_view(&b));
    buf_fini(&b);
}

static void end_line(const struct talk *t, const struct talk_answer *a)
{
    struct bytes text = buf_view(&a->reader.text);
    if (t->json || text.n == 0 || text.p[text.n - 1] == '\n')
        return;
    putchar('\n');
    fflush(stdout);
}

/* In one line: the scripts that use it look for the id there. */
static void print_peer(const struct api *api, const struct api_response *r)
{
    struct buf said, plain;
    buf_init(&said, 0);
    buf_init(&plain, 0);
    if (!*r->peer)
        (void)buf_printf(&said, "answered by %s, which does not say for whom", api->where);
    else if (*r->route)
        (void)buf_printf(&said, "answered by %s (%s)", r->peer, r->route);
    else
        (void)buf_printf(&said, "answered by %s", r->peer);
    chat_text_plain(buf_view(&said), &plain);
    fprintf(stderr, "%.*s\n", BYTES_FMT(buf_view(&plain)));
    buf_fini(&said);
    buf_fini(&plain);
}

/* What a person should know of an answer that is whole. */
static void print_notes(const struct talk *t, const struct talk_answer *a)
{
    const struct api_response *r = &a->response;
    if (strcmp(a->reader.finish_reason, "length") == 0)
        fprintf(stderr, "(cut off: the answer reached its limit of tokens)\n");
    else if (buf_len(&a->reader.text) == 0)
        fprintf(stderr, "(the model said nothing)\n");
    if (t->show_peer)
        print_peer(t->api, r);
}

int talk_finish(const struct talk *t, struct talk_answer *a)
{
    end_line(t, a);
    if (a->is_stdout_gone)
        return EXIT_FAILED;
    if (a->reader.state == CHAT_RUNNING) { /* there was no answer, or no end of one */
        int rc = api_complain(t->api, &a->response);
        return rc ? rc : EXIT_FAILED;
    }
    if (a->reader.state == CHAT_FAILED)
        return api_fail(t->api->command, buf_view(&a->reader.why));
    if (t->json)
        print_json(a);
    print_notes(t, a);
    return EXIT_OK;
}
