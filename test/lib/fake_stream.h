// SPDX-License-Identifier: MIT
/* A stream without a loop, for unit tests: the test is the other side. It feeds bytes in pieces of
 * its choice, says how much a write may take, and breaks things on purpose.
 *
 *   test -- fake_feed, fake_eof, fake_break --> stream --> code under test
 *   test <- fake_sent, is_finished, is_reset -- stream <-- stream_writev, finish, reset, close
 *
 * Callbacks are made by `fake_world_run` only, as a loop would: never from inside a call of the
 * user's. It runs tasks and pumps every stream until nothing happens any more;
 * `fake_world_advance` lets time pass as well. */
#ifndef CONDUIT_TEST_FAKE_STREAM_H
#define CONDUIT_TEST_FAKE_STREAM_H

#include "base/buf.h"
#include "base/list.h"
#include "base/sched.h"
#include "base/stream.h"

struct fake_world {
    struct sched sched;
    struct list streams;
};

struct fake_stream {
    struct stream s; /* first: what the code under test gets */
    struct list link;
    struct fake_world *world;
    struct fake_stream *peer; /* of a pair; what one writes the other reads */
    struct buf in, out;       /* to be read by the user; written by it */
    size_t read_piece;        /* most bytes one read gives; 0: all */
    size_t window;            /* bytes writes may still take; SIZE_MAX: no end */
    unsigned writes;          /* writev calls that took bytes */
    size_t last_write;        /* bytes the last of them took */
    int fail_err, write_err;  /* break: reported once through closed(); what writev answers */
    bool is_eof;              /* the other side finished */
    bool is_finished, is_reset, is_closed;
    bool told_closed;
    enum stream_reason reason;
};

void fake_world_init(struct fake_world *w);
void fake_world_fini(struct fake_world *w); /* fails the test when a stream was never closed */
/* Runs tasks and pumps streams until quiet, at the time it is. */
void fake_world_run(struct fake_world *w);
/* Lets time pass, timer by timer, running everything on the way. */
void fake_world_advance(struct fake_world *w, uint64_t us);

/* The handle stays readable by the test after the user closed it; freed by fake_world_fini. */
struct fake_stream *fake_stream_new(struct fake_world *w);
/* Two connected ends with `window` bytes each way (SIZE_MAX: no end). */
void fake_pair(struct fake_world *w, size_t window, struct fake_stream **a, struct fake_stream **b);

void fake_feed(struct fake_stream *f, const void *p, size_t n);
void fake_feed_str(struct fake_stream *f, const char *s);
void fake_eof(struct fake_stream *f);
void fake_break(struct fake_stream *f, int err); /* closed(err) follows */
/* What was written so far, NUL-terminated, borrowed until the next change. */
const char *fake_sent(struct fake_stream *f);
size_t fake_sent_len(const struct fake_stream *f);
void fake_forget_sent(struct fake_stream *f);
/* Lets writes take `n` more bytes. */
void fake_open_window(struct fake_stream *f, size_t n);

#endif
