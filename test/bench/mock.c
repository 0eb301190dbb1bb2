// SPDX-License-Identifier: MIT
/* The backend of `make bench`: an OpenAI server that has no model, and so costs next to nothing. What it
 * does is in the name of the model asked for:
 *
 *   json           one small answer
 *   sse-N-K        a stream of N events, K to a write, one write after the other as fast as they go
 *   paced-N-R      a stream of N events, R a second, each by itself
 *   idle           the head, one event, and then nothing
 *
 *   mock PORT MODEL…       listens on 127.0.0.1, prints {"port":…}; MODELs are what /v1/models says
 *
 * One thread, one epoll, keep-alive, no Nagle. The hard thing is to be fair to what is measured: streams
 * that are written back to back take turns, a write each, so that one stream does not run far ahead of
 * its reader and arrive in one piece; a paced stream keeps its times by its own start, not by the last
 * event, so that it does not drift. */
#include "wire.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_PER_TURN 256
#define PREFIX_MAX      256 // of a body: enough to find the model's name in
#define BURST_MAX       16
#define MODEL_MAX       40
#define EVENT_MAX       320
#define OUT_MAX         8192

struct conn {
    int fd;
    struct wire request;
    char prefix[PREFIX_MAX + 1];
    size_t prefix_len;
    // the answer in progress
    bool streams, blocked; // blocked: the socket is full, EPOLLOUT is waited for
    char model[MODEL_MAX + 1],
        token[EVENT_MAX]; // a right backend's events carry the name asked for
    size_t token_len;
    int events_left, events_sent, per_write;
    uint64_t start_ns, gap_ns; // gap 0: back to back
    char out[OUT_MAX];
    size_t out_len, out_at;
    struct conn *next, **link; // in `busy` while it streams
};

struct mock {
    int epoll, listener;
    char **models;
    int model_count;
    struct conn *busy;
};

static void busy_enter(struct mock *m, struct conn *c)
{
    c->next = m->busy;
    c->link = &m->busy;
    if (c->next)
        c->next->link = &c->next;
    m->busy = c;
}

static void busy_leave(struct conn *c)
{
    if (!c->link)
        return;
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->link = NULL;
}

static void conn_free(struct conn *c)
{
    busy_leave(c);
    close(c->fd);
    free(c);
}

// Writes what is in `out`; false when the connection is lost.
static bool conn_flush(struct conn *c)
{
    while (c->out_at < c->out_len) {
        ssize_t n = write(c->fd, c->out + c->out_at, c->out_len - c->out_at);
        if (n < 0 && errno == EAGAIN) {
            c->blocked = true;
            return true;
        }
        if (n <= 0)
            return false;
        c->out_at += (size_t)n;
    }
    c->out_len = c->out_at = 0;
    c->blocked = false;
    return true;
}

static void put(struct conn *c, const char *bytes, size_t n)
{
    if (n > OUT_MAX - c->out_len)
        abort();
    memcpy(c->out + c->out_len, bytes, n);
    c->out_len += n;
}

static void put_text(struct conn *c, const char *text)
{
    put(c, text, strlen(text));
}

static void put_chunk(struct conn *c, const char *bytes, size_t n)
{
    char size[16];
    put(c, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", n));
    put(c, bytes, n);
    put(c, "\r\n", 2);
}

static void put_answer(struct conn *c, const char *status, const char *body)
{
    char head[256];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                     status, strlen(body));
    put(c, head, (size_t)n);
    put_text(c, body);
}

#define EVENT_HEAD                                                                                 \
    "data: "                                                                                       \
    "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"      \
    "\"model\":\"%s\",\"choices\":[{\"index\":0,\"delta\":"
static const char TOKEN[] =
    EVENT_HEAD "{\"content\":\" token\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
static const char LAST[] = EVENT_HEAD "{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n"
                                      "data: [DONE]\n\n";
static const char ANSWER[] =
    "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"%"
    "s\","
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Paris.\"},"
    "\"logprobs\":null,\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":14,\"completion_tokens\":2,\"total_tokens\":16}}";

static void put_events(struct conn *c, int n)
{
    char burst[BURST_MAX * EVENT_MAX];
    size_t len = c->token_len;
    for (int i = 0; i < n; i++)
        memcpy(burst + (size_t)i * len, c->token, len);
    put_chunk(c, burst, (size_t)n * len);
    c->events_left -= n;
    c->events_sent += n;
}

static uint64_t conn_due_ns(const struct conn *c)
{
    return c->start_ns + (uint64_t)c->events_sent * c->gap_ns;
}

// One write of a stream's next events, or of its end. False when the connection is lost.
static bool stream_turn(struct conn *c, uint64_t now_ns)
{
    if (c->blocked || conn_due_ns(c) > now_ns)
        return true;
    if (c->events_left > 0)
        put_events(c, c->events_left < c->per_write ? c->events_left : c->per_write);
    if (c->events_left ==
        0) { // the end leaves with the last events, as one write of a server would
        char last[EVENT_MAX];
        put_chunk(c, last, (size_t)snprintf(last, sizeof last, LAST, c->model));
        put_text(c, "0\r\n\r\n");
        c->streams = false;
        busy_leave(c);
    }
    return conn_flush(c);
}

static void put_models(const struct mock *m, struct conn *c)
{
    char body[OUT_MAX / 2], *at = body, *end = body + sizeof body;
    at += snprintf(at, (size_t)(end - at), "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < m->model_count && end - at > 128; i++)
        at += snprintf(at, (size_t)(end - at),
                       "%s{\"id\":\"%.40s\",\"object\":\"model\",\"created\":1700000000,\"owned_"
                       "by\":\"bench\"}",
                       i ? "," : "", m->models[i]);
    snprintf(at, (size_t)(end - at), "]}");
    put_answer(c, "200 OK", body);
}

static void stream_begin(struct mock *m, struct conn *c, int events, int per_write, uint64_t gap_ns)
{
    put_text(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                "Transfer-Encoding: chunked\r\n\r\n");
    c->token_len = (size_t)snprintf(c->token, sizeof c->token, TOKEN, c->model);
    c->streams = true;
    c->events_left = events;
    c->events_sent = 0;
    c->per_write = per_write < 1 ? 1 : per_write > BURST_MAX ? BURST_MAX : per_write;
    c->gap_ns = gap_ns;
    c->start_ns = bench_now_ns();
    busy_enter(m, c);
}

static void take_model(struct conn *c)
{
    c->prefix[c->prefix_len] = 0;
    const char *at = strstr(c->prefix, "\"model\":\"");
    size_t n = at ? strcspn(at + 9, "\"") : 0;
    n = n < MODEL_MAX ? n : MODEL_MAX;
    memcpy(c->model, at ? at + 9 : "", n);
    c->model[n] = 0;
}

static void put_reply(struct conn *c)
{
    char body[512];
    snprintf(body, sizeof body, ANSWER, c->model);
    put_answer(c, "200 OK", body);
}

static void answer_begin(struct mock *m, struct conn *c)
{
    int n = 0, k = 0;
    const char *model = c->model;
    take_model(c);
    if (strncmp(c->request.head, "GET ", 4) == 0 && strstr(c->request.head, "/models"))
        put_models(m, c);
    else if (strncmp(c->request.head, "POST ", 5) != 0)
        put_answer(c, "404 Not Found",
                   "{\"error\":{\"message\":\"no such path\",\"type\":\"invalid_request_error\"}}");
    else if (sscanf(model, "sse-%d-%d", &n, &k) == 2)
        stream_begin(m, c, n, k, 0);
    else if (sscanf(model, "paced-%d-%d", &n, &k) == 2 && k > 0)
        stream_begin(m, c, n, 1, 1000000000u / (uint64_t)k);
    else if (strncmp(model, "idle", 4) == 0)
        stream_begin(m, c, 2, 1, UINT64_MAX / 4);
    else
        put_reply(c);
}

static void on_body(void *ctx, const char *bytes, size_t n)
{
    struct conn *c = ctx;
    size_t room = PREFIX_MAX - c->prefix_len, take = n < room ? n : room;
    memcpy(c->prefix + c->prefix_len, bytes, take);
    c->prefix_len += take;
}

// Reads until there is no more; false when the connection is lost. `in` is shared: nothing stays in it.
static bool conn_read(struct mock *m, struct conn *c)
{
    static char in[1 << 18];
    for (;;) {
        ssize_t n = read(c->fd, in, sizeof in);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        for (size_t at = 0; at < (size_t)n;) {
            at += wire_feed(&c->request, in + at, (size_t)n - at, on_body, c);
            if (c->request.state == WIRE_BAD || c->streams)
                return false; // nobody here pipelines
            if (c->request.state != WIRE_DONE)
                continue;
            answer_begin(m, c);
            wire_begin(&c->request, false);
            c->prefix_len = 0;
            // a stream's head leaves with its first events
            if (c->streams ? !stream_turn(c, bench_now_ns()) : !conn_flush(c))
                return false;
        }
        if ((size_t)n < sizeof in)
            return true;
    }
}

static void on_accept(struct mock *m)
{
    int fd, on = 1;
    while ((fd = accept4(m->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        if (!c)
            abort();
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        c->fd = fd;
        wire_begin(&c->request, false);
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
        epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &e);
    }
}

// Each stream's turn; how long to sleep then, in milliseconds of epoll_wait (rounded down: it may spin
// for the last millisecond before a paced event, which is late otherwise).
static int streams_turn(struct mock *m)
{
    uint64_t now = bench_now_ns(), soonest = UINT64_MAX;
    for (struct conn *c = m->busy, *next; c; c = next) {
        next = c->next;
        if (!stream_turn(c, now))
            conn_free(c);
        else if (c->streams && !c->blocked && conn_due_ns(c) < soonest)
            soonest = conn_due_ns(c);
    }
    if (soonest == UINT64_MAX)
        return -1;
    return soonest <= now                     ? 0
           : (soonest - now) / 1000000 > 1000 ? 1000
                                              : (int)((soonest - now) / 1000000);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: mock PORT MODEL...\n");
        return 2;
    }
    int port = atoi(argv[1]);
    struct mock m = {.models = argv + 2, .model_count = argc - 2};
    signal(SIGPIPE, SIG_IGN);
    m.listener = bench_listen(&port);
    m.epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS_PER_TURN];
    epoll_ctl(m.epoll, EPOLL_CTL_ADD, m.listener, &e);
    printf("{\"port\":%d}\n", port);
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(m.epoll, events, EVENTS_PER_TURN, streams_turn(&m));
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c)
                on_accept(&m);
            else if (((events[i].events & EPOLLOUT) && !conn_flush(c)) ||
                     ((events[i].events & ~EPOLLOUT) && !conn_read(&m, c)))
                conn_free(c);
        }
    }
}
