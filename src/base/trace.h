// SPDX-License-Identifier: MIT
/* The log, written for people: one line, lower case, `fact -> decision`.
 *
 *   2026-11-21T04:00:00.123Z p2p info dial 12D3KooW…: 192.0.2.1:8000 refused -> trying the next address
 *
 * Levels are per room (`--log-level info,p2p=debug`). A call below its room's level costs one
 * compare. Keys, prompts and answers never go here: log sizes, ids and names. Lines are cut at
 * 1 KiB and control characters in arguments are escaped, so that a peer cannot forge lines. */
#ifndef CONDUIT_BASE_TRACE_H
#define CONDUIT_BASE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#define TRACE_ROOMS(X)                                                                             \
    X(BASE, "base")                                                                                \
    X(LOOP, "loop") X(STORE, "store") X(HTTP, "http") X(P2P, "p2p") X(DHT, "dht")                  \
        X(OFFER, "offer") X(ROUTE, "route") X(GUARD, "guard") X(ENGINE, "engine")                  \
            X(GATEWAY, "gateway") X(NODE, "node")

enum trace_room {
#define TRACE_ENUM(name, text) ROOM_##name,
    TRACE_ROOMS(TRACE_ENUM)
#undef TRACE_ENUM
        ROOM_COUNT
};

enum trace_level { TRACE_OFF = 0, TRACE_ERROR, TRACE_WARN, TRACE_INFO, TRACE_DEBUG, TRACE_LOUD };

/* Where lines go: `line` has no newline and no time; borrowed for the call. */
typedef void (*trace_sink)(void *ctx, enum trace_room room, enum trace_level level,
                           const char *line);

extern uint8_t trace_levels[ROOM_COUNT]; /* the one process-wide table; the log is the process's */

/* NULL restores the default: stderr with UTC time, or without under a journal. */
void trace_set_sink(trace_sink sink, void *ctx);
void trace_set_all(enum trace_level level);
/* "info", "warn,p2p=debug": 0, or E_MALFORMED with a sentence in `why` naming the word. */
int trace_configure(const char *spec, char why[static 128]);
void trace_write(enum trace_room room, enum trace_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define TRACE(room, level, ...)                                                                    \
    do {                                                                                           \
        if (trace_levels[ROOM_##room] >= TRACE_##level)                                            \
            trace_write(ROOM_##room, TRACE_##level, __VA_ARGS__);                                  \
    } while (0)

#endif
