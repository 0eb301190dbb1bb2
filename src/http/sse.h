// SPDX-License-Identifier: MIT
/* Server-sent events (WHATWG HTML §9.2): a machine that finds whole events in bytes that come in
 * any pieces, and helpers to write them.
 *
 * The hard thing is that three line ends are legal (LF, CRLF, CR), that a CRLF may be cut in the
 * middle, and that nothing should be copied: an event that lies whole in the input is a view into
 * it; only one that was cut is put together in a buffer, up to a limit. A CR ends a line at once;
 * the LF that may follow is swallowed later.
 *
 * Comment lines in front of an event come out as items of their own, as soon as their line ends:
 * nodes say "still alive" with them, and must not pass them on. */
#ifndef CONDUIT_HTTP_SSE_H
#define CONDUIT_HTTP_SSE_H

#include "base/buf.h"
#include "base/limits.h"

enum sse_kind { SSE_EVENT, SSE_COMMENT };

/* Borrowed until the next call for the same machine, and no longer than the input. */
struct sse_item {
    enum sse_kind kind;
    struct bytes raw; /* as it came, with the line ends */
    struct bytes
        data; /* of an event: its data lines joined by LF; of a comment: what follows ':' */
    struct bytes name;   /* the `event:` field; empty when there is none */
    struct bytes id;     /* the `id:` field */
    unsigned data_lines; /* 0: an event without data, which readers ignore */
    bool is_plain;       /* LF line ends and `data:` lines only: `raw` can be relayed as it is */
};

struct sse {
    struct buf spill;  /* the part of an item that came before this input */
    struct buf joined; /* data of an event with several data lines */
    size_t limit;
    /* where the scan stands */
    bool at_line_start, skip_lf; /* skip_lf: a CR ended the line; a LF belongs to it */
    bool has_lines, in_comment;
    bool is_spilled_out; /* the last item was given out of `spill` */
    uint8_t bom;         /* bytes of a byte order mark seen; 3: past it, or none */
};

void sse_init(struct sse *s, size_t limit); /* 0: LIMIT_SSE_EVENT */
void sse_fini(struct sse *s);
/* Takes from the front of *in (which moves on): 1 and an item; E_AGAIN when *in is used up;
 * E_TOO_BIG when an event passes the limit (the stream cannot be read on). */
int sse_next(struct sse *s, struct bytes *in, struct sse_item *out);
/* The stream ended: 0 nothing was left; 1 an event whose empty line is missing, but whose lines are
 * whole; E_EOF when it stopped within a line (dropped). */
int sse_finish(struct sse *s, struct sse_item *out);

/* An event with one line of data (no CR or LF in it) as slices: "data: ", data, LF LF. Returns how
 * many slices: 3, or 5 with a name ("event: ", name, LF "data: ", …). */
enum { SSE_SLICES = 5 };
int sse_slices(struct bytes name, struct bytes data, struct bytes out[static SSE_SLICES]);
/* Appends an event; data with line ends becomes several data lines. 0 or an error of buf_append. */
int sse_append(struct buf *b, struct bytes name, struct bytes data);

#endif
