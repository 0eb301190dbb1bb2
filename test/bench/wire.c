// SPDX-License-Identifier: MIT
#include "wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void wire_begin(struct wire *w, bool answer)
{
    w->state = WIRE_HEAD;
    w->answer = answer;
    w->closes = w->in_extension = false;
    w->status = 0;
    w->left = 0;
    w->head_len = 0;
}

const char *wire_header(const struct wire *w, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = strstr(w->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) == 0)
            return line + n + strspn(line + n, " \t");
    }
    return NULL;
}

static void head_ended(struct wire *w)
{
    w->head[w->head_len] = 0;
    const char *connection = wire_header(w, "connection:");
    w->closes = connection && strncasecmp(connection, "close", 5) == 0;
    if (w->answer)
        w->status = atoi(w->head + strcspn(w->head, " "));
    if (w->answer && w->status / 100 == 1) { // 100, 102, 103: the real head follows
        wire_begin(w, true);
        return;
    }
    const char *length = wire_header(w, "content-length:");
    if (wire_header(w, "transfer-encoding:")) {
        w->state = WIRE_CHUNK_SIZE;
    } else if (length) {
        w->left = strtoull(length, NULL, 10);
        w->state = w->left ? WIRE_LENGTH : WIRE_DONE;
    } else {
        w->state = w->answer && w->status != 204 ? WIRE_TO_EOF : WIRE_DONE;
        w->closes |= w->state == WIRE_TO_EOF;
    }
}

// As much of a head as is there. The blank line is looked for only where it can have become complete.
static size_t feed_head(struct wire *w, const char *bytes, size_t n)
{
    size_t room = WIRE_HEAD_MAX - w->head_len, take = n < room ? n : room;
    size_t from = w->head_len > 3 ? w->head_len - 3 : 0;
    memcpy(w->head + w->head_len, bytes, take);
    char *end = memmem(w->head + from, w->head_len + take - from, "\r\n\r\n", 4);
    if (!end) {
        w->head_len += take;
        if (w->head_len == WIRE_HEAD_MAX)
            w->state = WIRE_BAD;
        return take;
    }
    size_t used = (size_t)(end + 4 - w->head) - w->head_len;
    w->head_len += used;
    head_ended(w);
    return used;
}

static void feed_size(struct wire *w, char c)
{
    if (c == '\n') {
        w->state = w->left ? WIRE_CHUNK_DATA : WIRE_TRAILER;
        w->in_extension = false;
    } else if (c == ';') {
        w->in_extension = true;
    } else if (c != '\r' && !w->in_extension) {
        int digit = c >= '0' && c <= '9'                 ? c - '0'
                    : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                         : -1;
        w->left = w->left * 16 + (uint64_t)digit;
        if (digit < 0)
            w->state = WIRE_BAD;
    }
}

static void feed_line(struct wire *w, char c)
{
    if (w->state == WIRE_CHUNK_END) {
        if (c == '\n')
            w->state = WIRE_CHUNK_SIZE;
    } else if (c == '\n') {
        if (w->left == 0)
            w->state = WIRE_DONE;
        w->left = 0;
    } else if (c != '\r') {
        w->left++;
    }
}

static size_t feed_data(struct wire *w, const char *bytes, size_t n, wire_body_fn body, void *ctx)
{
    size_t take = w->state == WIRE_TO_EOF || n < w->left ? n : (size_t)w->left;
    body(ctx, bytes, take);
    if (w->state == WIRE_TO_EOF)
        return take;
    w->left -= take;
    if (w->left == 0)
        w->state = w->state == WIRE_LENGTH ? WIRE_DONE : WIRE_CHUNK_END;
    return take;
}

size_t wire_feed(struct wire *w, const char *bytes, size_t n, wire_body_fn body, void *ctx)
{
    size_t at = 0;
    while (at < n && w->state != WIRE_DONE && w->state != WIRE_BAD) {
        if (w->state == WIRE_HEAD)
            at += feed_head(w, bytes + at, n - at);
        else if (w->state == WIRE_CHUNK_SIZE)
            feed_size(w, bytes[at++]);
        else if (w->state == WIRE_CHUNK_END || w->state == WIRE_TRAILER)
            feed_line(w, bytes[at++]);
        else
            at += feed_data(w, bytes + at, n - at, body, ctx);
    }
    return at;
}

uint64_t bench_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int tcp_socket(int flags)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), on = 1;
    if (fd < 0) {
        perror("socket");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int bench_listen(int *port)
{
    int fd = tcp_socket(SOCK_NONBLOCK), on = 1;
    struct sockaddr_in a = loopback(*port);
    socklen_t n = sizeof a;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&a, &n)) {
        perror("listen");
        exit(1);
    }
    *port = ntohs(a.sin_port);
    return fd;
}

int bench_connect(int port)
{
    int fd = tcp_socket(SOCK_NONBLOCK);
    struct sockaddr_in a = loopback(port);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS) {
        perror("connect");
        exit(1);
    }
    return fd;
}
