// SPDX-License-Identifier: MIT
/* multistream-select 1.0: which protocol a connection or a stream will speak.
 *
 *   dialer                                     listener
 *     "/multistream/1.0.0\n" "/noise\n"  ---->
 *                                        <----  "/multistream/1.0.0\n" "/noise\n"     agreed
 *                                        <----  "/multistream/1.0.0\n" "na\n"         next, please
 *
 * Each line goes as uvarint(length with the newline), text, newline. The two machines take bytes and
 * say how many were theirs: what follows the agreed line belongs to the next layer and is left to
 * the caller. Lines that come in pieces are kept here, a byte at a time if need be.
 *
 * Pipelining (0-RTT): `mss_dial` writes header and first proposal together. With a *single* proposal
 * the caller may append its own first bytes right behind them; `mss_feed` then only confirms. Two
 * rules of the trade: when E_UNSUPPORTED comes back the stream is dead (reset it; a connection is
 * dialled again without pipelining), and the FIN is held until MSS_AGREED, since js-libp2p resets a
 * stream that is half-closed before its handler is attached. */
#ifndef CONDUIT_P2P_MSS_H
#define CONDUIT_P2P_MSS_H

#include "base/buf.h"

enum { MSS_MORE = 0, MSS_AGREED = 1 };

/* Listener: index (>= 0) of the protocol among the caller's own, or negative to answer `na`. */
typedef int (*mss_accept)(void *ctx, struct bytes protocol);

struct mss {
    mss_accept accept; /* listener; NULL in a dialer */
    void *ctx;
    const char *const *offer; /* dialer: proposals in order of preference, borrowed */
    int offer_count;
    int chosen; /* index of what was agreed; while dialling, what is proposed */
    uint8_t have_header : 1, is_agreed : 1, has_length : 1;
    uint8_t length_bytes; /* of the line's uvarint seen so far */
    uint16_t length;      /* of the line being read, with its newline */
    uint16_t refused;     /* listener: proposals answered `na` */
    struct buf partial;   /* a line that came in pieces; holds no memory otherwise */
};

/* Starts as dialer: appends header and first proposal to `out`. 1 <= count. 0 or E_INVALID. */
int mss_dial(struct mss *m, const char *const *protocols, int count, struct buf *out);
/* Starts as listener; says nothing before the other side has. */
void mss_listen(struct mss *m, mss_accept accept, void *ctx);
void mss_fini(struct mss *m);

/* Takes bytes; *used says how many were mss's. Replies are appended to `out`.
 * MSS_MORE, MSS_AGREED (`m->chosen` is the index), or E_UNSUPPORTED (dialer: all refused), E_PROTO,
 * E_MALFORMED, E_TOO_BIG (line over LIMIT_MSS_LINE), E_LIMIT (listener: too many proposals). */
int mss_feed(struct mss *m, struct bytes in, size_t *used, struct buf *out);

static inline bool mss_is_agreed(const struct mss *m)
{
    return m->is_agreed;
}

/* One message, for those who build their own sequence. E_TOO_BIG over LIMIT_MSS_LINE. */
int mss_append_line(struct buf *out, struct bytes text);

#endif
