// SPDX-License-Identifier: MIT
/* Just enough HTTP/1.1 for the two ends of a measurement, the same for both, and none of Conduit's own
 * code: a yardstick that is made of what it measures measures nothing.
 *
 * `struct wire` is one message read piece by piece: a head up to WIRE_HEAD_MAX, then a body by length, by
 * chunks or, of an answer, to the end of the connection. It believes its peers: they are ours. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_HEAD_MAX 8192

enum wire_state {
    WIRE_HEAD,
    WIRE_LENGTH,     // `left` bytes of body to come
    WIRE_CHUNK_SIZE, // in the line before a chunk; `left` is its size so far
    WIRE_CHUNK_DATA, // `left` bytes of the chunk, then CR LF
    WIRE_CHUNK_END,
    WIRE_TRAILER, // the lines after the last chunk; `left` counts the bytes of this one
    WIRE_TO_EOF,
    WIRE_DONE,
    WIRE_BAD,
};

struct wire {
    enum wire_state state;
    bool answer, closes; // closes: said "Connection: close", or ends with the connection
    bool in_extension;   // after the ';' of a chunk's size
    int status;          // of an answer
    uint64_t left;
    size_t head_len;
    char head[WIRE_HEAD_MAX + 1]; // NUL-terminated when complete
};

typedef void (*wire_body_fn)(void *ctx, const char *bytes, size_t n);

void wire_begin(struct wire *w, bool answer);
// Reads up to n bytes; fewer when the message ends before (WIRE_DONE) or is bad. The body, without its
// framing, goes to `body`.
size_t wire_feed(struct wire *w, const char *bytes, size_t n, wire_body_fn body, void *ctx);
// The value of a header, NUL or end of line after it; NULL when there is none. `name` as "name:".
const char *wire_header(const struct wire *w, const char *name);

uint64_t bench_now_ns(void);
// A TCP socket on 127.0.0.1, listening (port 0 takes a free one, *port says which) or connecting
// without waiting. Exits with a sentence when it cannot.
int bench_listen(int *port);
int bench_connect(int port);
#endif
