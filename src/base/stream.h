// SPDX-License-Identifier: MIT
/* A stream: bytes both ways, with back-pressure, half-close, reset, and a name for who is there.
 * TCP and unix sockets, TLS over any stream, libp2p streams and pipes in virtual time all look
 * like this, so that HTTP is written once.
 *
 * Pull, not push. The user says what it wants to hear of; the stream calls back from the loop, never
 * from inside a call of the user's:
 *
 *   want_read(true)   -> on->readable as long as bytes (or the end) wait and are wanted
 *   want_write(true)  -> on->writable once, when a write would take something again
 *   always            -> on->closed once, when the stream broke or was reset by the other side;
 *                        nothing follows it but the user's own stream_close
 *
 *   life:   open --finish--> write side ended --(read returns E_EOF)--> both ended --close--> gone
 *             \---------------- reset / closed(err) -----------------------/
 *
 * Ownership: who holds the stream calls `stream_close` exactly once, at any time, also from inside a
 * callback; after it returns there are no more callbacks and the pointer is dead. Bytes that a
 * write took before are still delivered (the maker lingers, bounded in time); `stream_reset` before
 * `stream_close` gives them up instead. */
#ifndef CONDUIT_BASE_STREAM_H
#define CONDUIT_BASE_STREAM_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/net.h"
#include "base/principal.h"

#include <sys/types.h>

struct stream;

struct stream_events {
    void (*readable)(void *ctx);
    void (*writable)(void *ctx);
    void (*closed)(void *ctx, int err); /* E_RESET, E_TIMEOUT, E_IO, … never 0 */
};

/* Why a stream is reset; carried to the peer where the protocol has a place for it. */
enum stream_reason {
    STREAM_CANCELLED = 0, /* the user no longer wants the answer */
    STREAM_REFUSED,       /* over a limit; nothing was processed */
    STREAM_PROTOCOL,      /* the other side broke the protocol */
    STREAM_TIMED_OUT,
    STREAM_INTERNAL,
};

struct stream_ops {
    const char *kind; /* "tcp", "unix", "tls", "p2p", "pipe": for traces */
    ssize_t (*read)(struct stream *s, void *p, size_t n);
    ssize_t (*writev)(struct stream *s, const struct bytes *v, int count);
    int (*finish)(struct stream *s);
    void (*reset)(struct stream *s, enum stream_reason reason);
    void (*close)(struct stream *s);
    void (*want)(struct stream *s, bool read, bool write); /* the wants below have changed */
};

/* The head of every maker's own struct. */
struct stream {
    const struct stream_ops *ops;
    const struct stream_events *on; /* set by the user through stream_listen */
    void *ctx;
    bool wants_read, wants_write;
    struct net_addr remote;     /* NET_NONE when there is none */
    struct principal principal; /* who is there; set by the maker or the acceptor */
};

/* Sets who is called. May be changed while the stream lives (an upgrade hands it on). */
static inline void stream_listen(struct stream *s, const struct stream_events *on, void *ctx)
{
    s->on = on;
    s->ctx = ctx;
}

/* Up to `n` bytes into `p`: > 0 how many; E_AGAIN none yet; E_EOF the other side finished; another
 * error: the stream is broken (closed may or may not have been called). n > 0. */
static inline ssize_t stream_read(struct stream *s, void *p, size_t n)
{
    return s->ops->read(s, p, n);
}

/* Takes as many bytes as there is room for: >= 0 how many (0: none now, want_write says when), or an
 * error. What was taken need not be kept by the caller. */
static inline ssize_t stream_writev(struct stream *s, const struct bytes *v, int count)
{
    return s->ops->writev(s, v, count);
}

static inline ssize_t stream_write(struct stream *s, struct bytes b)
{
    return s->ops->writev(s, &b, 1);
}

/* Ends the write side after what was taken (FIN). Reading goes on. */
static inline int stream_finish(struct stream *s)
{
    return s->ops->finish(s);
}

/* Aborts both sides at once. The user still closes. */
static inline void stream_reset(struct stream *s, enum stream_reason reason)
{
    s->ops->reset(s, reason);
}

static inline void stream_close(struct stream *s)
{
    s->ops->close(s);
}

static inline void stream_want_read(struct stream *s, bool want)
{
    if (s->wants_read != want) {
        s->wants_read = want;
        s->ops->want(s, s->wants_read, s->wants_write);
    }
}

/* Makers clear wants_write before they call `writable`. */
static inline void stream_want_write(struct stream *s, bool want)
{
    if (s->wants_write != want) {
        s->wants_write = want;
        s->ops->want(s, s->wants_read, s->wants_write);
    }
}

static inline const struct principal *stream_principal(const struct stream *s)
{
    return &s->principal;
}

#endif
