// SPDX-License-Identifier: MIT
/* What the HTTP room costs by itself, without sockets: parsing a head, taking chunks off, splitting
 * events, and a whole request through server and back. Prints nanoseconds; nothing is asserted. */
#include "base/mem.h"
#include "fake_stream.h"
#include "http/server.h"
#include "http/sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 7 };

static const char request_text[] =
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8888\r\nAccept: application/json\r\n"
    "User-Agent: OpenAI/Python 3.6.0\r\nContent-Type: application/json\r\n"
    "Authorization: Bearer sk-none\r\nx-stainless-lang: python\r\nx-stainless-retry-count: 0\r\n"
    "Accept-Encoding: gzip, deflate, zstd\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;
    return d < 0 ? -1 : d > 0;
}

/* The median of some rounds of `count` runs each. */
static void measure(const char *what, size_t count, size_t bytes, void (*run)(void *ctx, size_t n),
                    void *ctx)
{
    double ns[ROUNDS];
    run(ctx, count / 10 + 1);
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_ns();
        run(ctx, count);
        ns[i] = (now_ns() - start) / (double)count;
    }
    qsort(ns, ROUNDS, sizeof *ns, by_size);
    printf("%-44s %9.1f ns  (%.1f … %.1f)", what, ns[ROUNDS / 2], ns[0], ns[ROUNDS - 1]);
    if (bytes)
        printf("  %.2f GB/s", (double)bytes / ns[ROUNDS / 2]);
    printf("\n");
}

static void parse_heads(void *ctx, size_t n)
{
    static struct http_header_table table;
    struct http_head head;
    for (size_t i = 0; i < n; i++)
        if (http_parse_request(bytes_of(request_text, sizeof request_text - 1), 0, &table, &head))
            abort();
}

static void take_chunks(void *ctx, size_t n)
{
    struct buf *chunk = ctx;
    struct http_body b;
    struct bytes slice;
    http_body_init(&b, HTTP_BODY_CHUNKED, 0);
    for (size_t i = 0; i < n; i++) {
        struct bytes in = buf_view(chunk);
        while (http_body_step(&b, &in, &slice) == 1)
            ;
    }
}

static void split_events(void *ctx, size_t n)
{
    struct bytes event = BYTES_LIT(
        "data: {\"id\":\"chatcmpl-123456789\",\"object\":\"chat.completion.chunk\",\"created\":1,"
        "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},"
        "\"finish_reason\":null}]}\n\n");
    struct sse s;
    struct sse_item item;
    sse_init(&s, 0);
    for (size_t i = 0; i < n; i++) {
        struct bytes in = event;
        if (sse_next(&s, &in, &item) != 1)
            abort();
    }
    sse_fini(&s);
}

struct served {
    struct fake_world w;
    struct http_server *srv;
    struct fake_stream *f;
};

static void answer(void *ctx, struct http_exchange *x, const struct http_head *head,
                   struct bytes body)
{
    http_exchange_reply(x, 200, "application/json", NULL, 0, BYTES_LIT("{\"ok\":true}"));
}

static void serve_requests(void *ctx, size_t n)
{
    struct served *s = ctx;
    for (size_t i = 0; i < n; i++) {
        fake_feed(s->f, request_text, sizeof request_text - 1);
        fake_world_run(&s->w);
        fake_forget_sent(s->f);
    }
}

int main(void)
{
    static const struct http_handler handler = {.request = answer};
    struct served s;
    struct buf chunk;
    buf_init(&chunk, 0);
    buf_append_str(&chunk, "ff\r\n");
    for (int i = 0; i < 255; i++)
        buf_append_byte(&chunk, 'x');
    buf_append_str(&chunk, "\r\n");
    char what[64];
    snprintf(what, sizeof what, "parse a request head of %zu bytes", sizeof request_text - 1);
    measure(what, 1000000, sizeof request_text - 1, parse_heads, NULL);
    measure("take a chunk of 255 bytes off", 3000000, 0, take_chunks, &chunk);
    measure("split off an event of one token", 3000000, 0, split_events, NULL);
    fake_world_init(&s.w);
    s.srv = http_server_new(&(struct http_server_config){.sched = &s.w.sched, .handler = &handler});
    s.f = fake_stream_new(&s.w);
    http_server_conn_open(s.srv, &s.f->s, &(struct http_conn_options){0});
    measure("a request through the server, in memory", 300000, 0, serve_requests, &s);
    http_server_free(s.srv);
    fake_world_fini(&s.w);
    buf_fini(&chunk);
    return 0;
}
