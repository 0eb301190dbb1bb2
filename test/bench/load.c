// SPDX-License-Identifier: MIT
/* The client of `make bench`: N keep-alive connections, each with one request in flight, until M answers
 * have come; then one line of JSON with the rate, the times, and for streams the events.
 *
 *   load --port P --model NAME [--path /v1/chat/completions] [--conns 1] [--requests 1000] [--stream]
 *        [--prompt-bytes 40] [--hold]
 *   load --memcpy BYTES
 *
 * --hold opens one stream a connection, waits for the first event of each, says so, and keeps them
 * until its input ends: for measuring what an idle stream costs. --memcpy says how long copying takes.
 *
 * Times are from the request's first byte written to the answer's last read; of a first event, to the read
 * that completed it. Errors are counted, never hidden: an answer that is not 200, a stream without its
 * [DONE], a connection lost under a request. Whoever reads the result must look at "errors". */
#include "wire.h"
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_PER_TURN 256
#define READ_BYTES      (256 * 1024)
#define DEADLINE_NS     (120 * 1000000000ull)

struct options {
    int port, conns, requests, prompt_bytes;
    bool stream, hold;
    const char *model, *path;
};

struct samples {
    uint64_t *at;
    size_t n;
};

struct conn {
    int fd;
    bool busy, has_asked;
    struct wire answer;
    size_t sent;
    uint64_t start_ns, first_ns, last_ns; // of the first and the newest event
    int events, match;                    // match: how much of "\n\n" has been seen
    char tail[16];                        // the last bytes of the body, to see [DONE] in
};

struct load {
    struct options o;
    int epoll, started, finished, errors, held;
    uint64_t events, body_bytes;
    char *request;
    size_t request_len;
    struct conn *conns;
    struct samples total, first, rate; // rate: events a second in each stream, in thousandths
};

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static void sample(struct samples *s, uint64_t v)
{
    s->at[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile(struct samples *s, double p)
{
    if (s->n == 0)
        return 0;
    return (double)s->at[(size_t)(p * (double)(s->n - 1) + 0.5)];
}

// One request, made once and sent by all: a chat whose prompt has the length asked for.
static void make_request(struct load *l)
{
    const struct options *o = &l->o;
    char *prompt = must(malloc((size_t)o->prompt_bytes + 1)), *body = NULL;
    static const char words[] = "What is the capital of France? ";
    for (int i = 0; i < o->prompt_bytes; i++)
        prompt[i] = words[(size_t)i % (sizeof words - 1)];
    prompt[o->prompt_bytes] = 0;
    int n = asprintf(
        &body,
        "{\"model\":\"%s\",\"stream\":%s,\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}",
        o->model, o->stream ? "true" : "false", prompt);
    int len =
        asprintf(&l->request,
                 "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: bench\r\nAccept: */*\r\n"
                 "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                 o->path, o->port, n, body);
    if (n < 0 || len < 0)
        abort();
    l->request_len = (size_t)len;
    free(prompt);
    free(body);
}

static void conn_open(struct load *l, struct conn *c)
{
    c->fd = bench_connect(l->o.port);
    c->busy = c->has_asked = false;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e);
}

// Writes what is left of the request; false when the connection is lost.
static bool conn_write(struct load *l, struct conn *c)
{
    while (c->busy && c->sent < l->request_len) {
        ssize_t n = write(c->fd, l->request + c->sent, l->request_len - c->sent);
        if (n < 0)
            return errno == EAGAIN;
        c->sent += (size_t)n;
    }
    return true;
}

static bool conn_ask(struct load *l, struct conn *c)
{
    if (l->started >= l->o.requests)
        return true;
    l->started++;
    wire_begin(&c->answer, true);
    c->busy = c->has_asked = true;
    c->sent = 0;
    c->events = c->match = 0;
    c->first_ns = 0;
    memset(c->tail, 0, sizeof c->tail);
    c->start_ns = bench_now_ns();
    return conn_write(l, c);
}

static void keep_tail(struct conn *c, const char *bytes, size_t n)
{
    size_t keep = sizeof c->tail;
    if (n >= keep) {
        memcpy(c->tail, bytes + n - keep, keep);
        return;
    }
    memmove(c->tail, c->tail + n, keep - n);
    memcpy(c->tail + keep - n, bytes, n);
}

// Events end with an empty line. A comment (": ping") ends with one newline only, and is not counted.
static void count_events(struct conn *c, const char *bytes, size_t n)
{
    for (const char *p = bytes, *end = bytes + n; p < end;) {
        if (c->match == 1 && *p == '\n') {
            c->events++;
            c->match = 0;
            p++;
            continue;
        }
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        c->match = newline != NULL;
        p = newline ? newline + 1 : end;
    }
}

struct reader {
    struct load *load;
    struct conn *conn;
};

static void on_body(void *ctx, const char *bytes, size_t n)
{
    struct reader *r = ctx;
    struct conn *c = r->conn;
    r->load->body_bytes += n;
    if (!r->load->o.stream)
        return;
    int before = c->events;
    count_events(c, bytes, n);
    keep_tail(c, bytes, n);
    if (c->events == before)
        return;
    c->last_ns = bench_now_ns();
    if (before == 0) {
        c->first_ns = c->last_ns;
        sample(&r->load->first, c->first_ns - c->start_ns);
        r->load->held++;
    }
}

static void conn_answered(struct load *l, struct conn *c)
{
    uint64_t now = bench_now_ns();
    bool whole = memcmp(c->tail + 2, "data: [DONE]\n\n", 14) == 0;
    c->busy = false;
    l->finished++;
    if (c->answer.status != 200 || (l->o.stream && !whole)) {
        if (l->errors++ == 0)
            fprintf(stderr, "load: an answer of status %d after %d events:\n%s\n", c->answer.status,
                    c->events, c->answer.head);
        return;
    }
    sample(&l->total, now - c->start_ns);
    l->events += (uint64_t)c->events;
    if (l->o.stream)
        sample(&l->rate, (uint64_t)(c->events * 1e12 / (double)(c->last_ns - c->start_ns)));
}

// The connection has ended, or failed: an error if a request was on it. The next one is opened at once.
static void conn_ended(struct load *l, struct conn *c)
{
    if (c->busy && c->answer.state == WIRE_TO_EOF) {
        conn_answered(l, c);
    } else if (c->busy) {
        if (l->errors++ == 0)
            fprintf(stderr, "load: connection lost under a request, after %d events\n", c->events);
        l->finished++;
    } else if (!c->has_asked &&
               l->started < l->o.requests) { // refused: a request that cannot be made
        l->started++;
        l->finished++;
        l->errors++;
    }
    close(c->fd);
    c->fd = -1;
    if (l->started < l->o.requests)
        conn_open(l, c);
}

static bool conn_read(struct load *l, struct conn *c)
{
    static char in[READ_BYTES];
    struct reader r = {l, c};
    for (;;) {
        ssize_t n = read(c->fd, in, sizeof in);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        if (!c->busy)
            continue;
        wire_feed(&c->answer, in, (size_t)n, on_body, &r);
        if (c->answer.state == WIRE_BAD)
            return false;
        if (c->answer.state == WIRE_DONE) {
            conn_answered(l, c);
            if (c->answer.closes || !conn_ask(l, c))
                return false;
        }
        if ((size_t)n < sizeof in)
            return true;
    }
}

static void conn_ready(struct load *l, struct conn *c, uint32_t events)
{
    if (c->fd < 0)
        return;
    bool alive = true;
    if (events & EPOLLOUT)
        alive = c->busy                            ? conn_write(l, c)
                : (events & (EPOLLERR | EPOLLHUP)) ? false
                                                   : conn_ask(l, c);
    if (alive && (events & ~EPOLLOUT))
        alive = conn_read(l, c);
    if (!alive)
        conn_ended(l, c);
}

static void turn(struct load *l)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int n = epoll_wait(l->epoll, events, EVENTS_PER_TURN, 1000);
    for (int i = 0; i < n; i++)
        conn_ready(l, events[i].data.ptr, events[i].events);
}

static void report(struct load *l, double seconds)
{
    struct samples *all[] = {&l->total, &l->first, &l->rate};
    for (size_t i = 0; i < 3; i++)
        qsort(all[i]->at, all[i]->n, sizeof(uint64_t), by_value);
    printf("{\"requests\":%d,\"errors\":%d,\"seconds\":%.6f,\"rps\":%.1f,\"p50_us\":%.2f,\"p95_"
           "us\":%.2f,"
           "\"p99_us\":%.2f,\"events\":%llu,\"events_per_s\":%.1f,\"first_p50_us\":%.2f,\"first_"
           "p95_us\":%.2f,"
           "\"stream_rate\":%.3f,\"body_bytes\":%llu}\n",
           l->finished, l->errors, seconds, l->finished / seconds, percentile(&l->total, .5) / 1e3,
           percentile(&l->total, .95) / 1e3, percentile(&l->total, .99) / 1e3,
           (unsigned long long)l->events, (double)l->events / seconds,
           percentile(&l->first, .5) / 1e3, percentile(&l->first, .95) / 1e3,
           percentile(&l->rate, .5) / 1e3, (unsigned long long)l->body_bytes);
}

static int run(struct load *l)
{
    uint64_t start = bench_now_ns();
    while (l->finished < l->o.requests && bench_now_ns() - start < DEADLINE_NS)
        turn(l);
    if (l->finished < l->o.requests) {
        fprintf(stderr, "load: %d of %d answers after the deadline\n", l->finished, l->o.requests);
        l->errors += l->o.requests - l->finished;
    }
    report(l, (double)(bench_now_ns() - start) / 1e9);
    return 0;
}

static int hold(struct load *l)
{
    uint64_t start = bench_now_ns();
    while (l->held < l->o.conns && l->finished == 0 && bench_now_ns() - start < DEADLINE_NS)
        turn(l);
    printf("{\"held\":%d,\"errors\":%d}\n", l->held, l->o.conns - l->held + l->errors);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}

// The median of copies between buffers that are new each time, as a proxied body's are.
static int measure_memcpy(size_t bytes)
{
    struct samples s = {must(calloc(101, sizeof(uint64_t))), 0};
    enum { BUFFERS = 32 };
    char *from = must(malloc(bytes * BUFFERS)), *to = must(malloc(bytes * BUFFERS));
    memset(from, 'x', bytes * BUFFERS);
    memset(to, 'y', bytes * BUFFERS);
    for (int i = 0; i < 101; i++) {
        size_t at = bytes * (size_t)(i % BUFFERS);
        uint64_t start = bench_now_ns();
        memcpy(to + at, from + at, bytes);
        __asm__ volatile("" : : "r"(to) : "memory");
        sample(&s, bench_now_ns() - start);
    }
    qsort(s.at, s.n, sizeof(uint64_t), by_value);
    printf("{\"memcpy_us\":%.2f}\n", percentile(&s, .5) / 1e3);
    return 0;
}

static const struct option LONG[] = {
    {"port", required_argument, NULL, 'p'},     {"model", required_argument, NULL, 'm'},
    {"path", required_argument, NULL, 'a'},     {"conns", required_argument, NULL, 'c'},
    {"requests", required_argument, NULL, 'n'}, {"prompt-bytes", required_argument, NULL, 'b'},
    {"stream", no_argument, NULL, 's'},         {"hold", no_argument, NULL, 'h'},
    {"memcpy", required_argument, NULL, 'y'},   {0},
};

static int options_parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){
        .conns = 1, .requests = 1000, .prompt_bytes = 40, .path = "/v1/chat/completions"};
    for (int c; (c = getopt_long(argc, argv, "", LONG, NULL)) != -1;) {
        switch (c) {
        case 'p':
            o->port = atoi(optarg);
            break;
        case 'm':
            o->model = optarg;
            break;
        case 'a':
            o->path = optarg;
            break;
        case 'c':
            o->conns = atoi(optarg);
            break;
        case 'n':
            o->requests = atoi(optarg);
            break;
        case 'b':
            o->prompt_bytes = atoi(optarg);
            break;
        case 's':
            o->stream = true;
            break;
        case 'h':
            o->hold = o->stream = true;
            break;
        case 'y':
            exit(measure_memcpy((size_t)atoll(optarg)));
        default:
            return -1;
        }
    }
    return o->port > 0 && o->model && o->conns > 0 && o->requests > 0 && o->prompt_bytes >= 0 ? 0
                                                                                              : -1;
}

int main(int argc, char **argv)
{
    struct load l = {0};
    if (options_parse(&l.o, argc, argv) < 0) {
        fprintf(stderr,
                "usage: load --port P --model NAME [--conns N] [--requests M] [--stream] ...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (l.o.hold)
        l.o.requests = l.o.conns;
    size_t n = (size_t)l.o.requests + (size_t)l.o.conns;
    l.total.at = must(calloc(n, sizeof(uint64_t)));
    l.first.at = must(calloc(n, sizeof(uint64_t)));
    l.rate.at = must(calloc(n, sizeof(uint64_t)));
    l.conns = must(calloc((size_t)l.o.conns, sizeof *l.conns));
    make_request(&l);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < l.o.conns; i++)
        conn_open(&l, &l.conns[i]);
    return l.o.hold ? hold(&l) : run(&l);
}
