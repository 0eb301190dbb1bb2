// SPDX-License-Identifier: MIT
/* Yamux: many streams over one ordered, encrypted connection. A pure machine: plaintext goes in,
 * events come out one at a time; frames are drained into the caller's batches.
 *
 *   socket -> noise open -> yamux_next(in) -> event -> stream's user
 *   stream's user -> yamux_write -> per-stream queue -> yamux_drain(batch) -> noise seal -> socket
 *
 * Reading. `yamux_next` returns 1 with an event, 0 when it has taken all of `in`. After YAMUX_DATA
 * the user may read at once, and then the bytes are copied once, out of the caller's decrypted
 * buffer; what it leaves is kept by the stream at the next call. `in` must stay where it is until
 * yamux_next has returned 0. Credit goes back to the peer only as bytes are *consumed*.
 *
 * Writing. Control frames leave first, then small writes, then bulk in a fair round, 16 KiB a turn.
 * FIN is a frame of its own after the payload: js-libp2p loses payload that carries FIN.
 *
 * Life of a stream (each half apart; the struct is the caller's, inside its own):
 *
 *            yamux_open / yamux_accept
 *                     |
 *     +-- send: OPEN --finish--> FIN queued --drained--> FIN SENT --+
 *     +-- recv: OPEN --------- YAMUX_ENDED ----------> FIN SEEN ----+--> done --yamux_release--> gone
 *                     |
 *          either side resets: YAMUX_RESET, or yamux_reset by us    --yamux_release--> gone
 *
 * Memory. A stream may be sent 256 KiB unasked (the protocol says so); its window grows to 16 MiB
 * while the user keeps up with the path (half a window inside two round trips), and halves when less
 * than that was used in ten seconds: credit cannot be taken back, so what is consumed is not given
 * back as credit until the smaller window is reached. Growth and unread bytes are charged to the connection's and to a shared budget; over one of them the stream that
 * holds most is reset. Reading the connection never stops. */
#ifndef CONDUIT_P2P_YAMUX_H
#define CONDUIT_P2P_YAMUX_H

#include "base/buf.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/sched.h"
#include "p2p/yamux_frame.h"

#include <sys/types.h>

struct yamux;

/* What may be held for streams, in bytes; shared by all connections that point to it. */
struct yamux_budget {
    uint64_t used, limit;
    struct list sessions;
};

void yamux_budget_init(struct yamux_budget *b, uint64_t limit_bytes);

/* RST carries one of these in its length field (libp2p/specs, "stream reset error codes"). */
enum yamux_code { YAMUX_CODE_NONE = 0 };

/* Flow control of the receiving half; see yamux_recv.h. */
struct yamux_recv {
    struct buf unread;    /* what the user left; bounded by the window */
    uint32_t window;      /* most that may be outstanding; grows */
    uint32_t credit;      /* what the peer may still send */
    uint32_t owed;        /* consumed by the user, or grown, and not yet given as credit */
    uint32_t withheld;    /* of a window that shrank: kept back as the user consumes */
    uint32_t epoch_bytes; /* consumed since epoch_us: how fast the user takes it */
    uint64_t epoch_us;
    uint64_t charged; /* what this stream holds of the budgets */
    bool has_fin;     /* the peer finished */
    bool is_shut;     /* the user takes no more: arriving bytes are dropped */
};

struct yamux_send {
    struct buf queue; /* bounded by cfg.send_queue */
    uint32_t credit;  /* what we may still send; saturates */
    bool fin_queued, fin_sent;
    bool wants_room; /* a write was cut short: YAMUX_WRITABLE when there is room again */
};

/* Embedded in the caller's own struct; zeroed by yamux_open and yamux_accept. */
struct yamux_stream {
    struct yamux *session; /* NULL: not in a session (never opened, or released) */
    struct yamux_stream *chain;
    struct list all, ready, noted, credit_due;
    struct yamux_recv recv;
    struct yamux_send send;
    uint32_t id;
    int reset_err;       /* why it was reset, E_… */
    uint32_t reset_code; /* what the peer said with it */
    uint8_t pending;     /* events not yet returned */
    bool is_inbound, is_acked, is_reset;
};

enum yamux_event_kind {
    YAMUX_INBOUND,  /* the peer opened `id`: yamux_accept before the next call, or it is refused */
    YAMUX_ACKED,    /* the peer accepted our stream */
    YAMUX_DATA,     /* there is something to read; level: again only after more has arrived */
    YAMUX_ENDED,    /* the peer finished; what is unread can still be read */
    YAMUX_WRITABLE, /* after a short write: there is room again */
    YAMUX_RESET,    /* the stream is dead: err says why, code what the peer said */
    YAMUX_PONG,     /* our ping came back: rtt_us */
    YAMUX_GOAWAY,   /* the peer takes no more streams: code 0, 1 protocol error, 2 internal */
};

struct yamux_event {
    enum yamux_event_kind kind;
    struct yamux_stream *stream; /* all but INBOUND, PONG, GOAWAY */
    uint32_t id;
    uint32_t code;
    int err; /* RESET: E_RESET by the peer, E_LIMIT over a budget */
    uint64_t rtt_us;
};

struct yamux_cfg {
    bool is_client; /* who dialled: odd ids */
    const struct sched *clock;
    struct rng *rng;             /* seeds the stream table; NULL in byte-exact tests */
    uint32_t max_inbound;        /* may be raised in y->cfg when the peer is known better */
    uint32_t max_outbound;       /* <= 400 towards peers that may be rust */
    uint32_t max_window;         /* 16 MiB */
    uint32_t send_queue;         /* bytes one stream may queue: 64 KiB */
    uint64_t conn_budget;        /* bytes this connection's streams may hold together */
    struct yamux_budget *budget; /* shared; NULL for none */
    bool (*may_grow)(const void *ctx, uint64_t bytes); /* a window; NULL: always. With wake_ctx */
    void (*wake)(void *ctx); /* an event or a frame came up outside of the session's calls */
    void *wake_ctx;
};

/* The defaults above, for one side. */
struct yamux_cfg yamux_cfg_default(bool is_client, const struct sched *clock, struct rng *rng);

struct yamux {
    struct yamux_cfg cfg;
    /* streams */
    struct list streams;         /* all, oldest first */
    struct yamux_stream **slots; /* by id */
    uint32_t slot_count, slot_seed;
    uint32_t inbound, outbound, unacked;
    uint32_t next_id;
    /* going out */
    struct buf control; /* whole 12-byte frames, first in first out */
    struct list ready_small, ready_bulk, credit_due;
    uint32_t small_run; /* bytes of small writes since bulk had a turn */
    /* coming in */
    uint8_t head[12];
    uint8_t head_len;
    uint32_t body_left; /* of the Data frame being read */
    uint16_t body_flags;
    struct yamux_stream *body_to; /* NULL: drop it */
    struct bytes slice;           /* delivered and not yet read; lies in the caller's `in` */
    struct yamux_stream *slice_to;
    struct list noted;          /* streams with pending events */
    struct yamux_frame offered; /* INBOUND was returned for this SYN; type 0xff: none */
    /* session */
    uint64_t held;   /* charged to conn_budget */
    uint64_t queued; /* bytes that streams have queued for sending */
    struct list in_budget;
    uint64_t rtt_us;       /* smoothed; 0 unknown */
    uint64_t ping_sent_us; /* 0: none outstanding */
    uint32_t ping_value;
    uint64_t ping_due_us; /* next round-trip measurement, if there is traffic */
    bool goaway_sent, goaway_seen;
    uint64_t churn_us; /* how far ahead of its rate the peer is; see yamux_table.h */
    bool is_flooded;   /* the peer makes us say more than it reads, or churns */
    bool is_dead;      /* a last GoAway may be drained, nothing else happens */
    struct {
        uint64_t ignored_frames; /* for streams that are gone */
        uint64_t ignored_pongs;
        uint64_t refused_streams;
        uint64_t resets_over_budget;
    } counts;
};

void yamux_init(struct yamux *y, const struct yamux_cfg *cfg);
/* Forgets every stream without a word to the peer; their structs stay the callers', released. */
void yamux_fini(struct yamux *y);

/* One event from the plaintext, which is advanced over what was taken; with an empty `in` only what
 * came up meanwhile. 1 *ev; 0 nothing more; or the session is dead and a GoAway is ready to be
 * drained: E_PROTO, E_TOO_BIG (frame over the window or 1 MiB), E_LIMIT (flood of control frames). */
int yamux_next(struct yamux *y, struct bytes *in, struct yamux_event *ev);

/* Fills `out` with whole frames, most urgent first: how many bytes, 0 nothing to send.
 * room >= YAMUX_DRAIN_MIN. */
enum { YAMUX_DRAIN_MIN = 1024 };
size_t yamux_drain(struct yamux *y, uint8_t *out, size_t room);
bool yamux_has_output(const struct yamux *y);

/* Opens a stream. E_BUSY: too many open or unacknowledged; E_CLOSED: after a GoAway; E_LIMIT: ids
 * used up (the connection has to be replaced). */
int yamux_open(struct yamux *y, struct yamux_stream *s);
/* Takes the stream of the YAMUX_INBOUND just returned. */
void yamux_accept(struct yamux *y, struct yamux_stream *s);

/* Bytes the user may take without copying: at most what is contiguous, empty when there are none.
 * Valid until the next call on the session. */
struct bytes yamux_peek(const struct yamux_stream *s);
void yamux_consume(struct yamux_stream *s, size_t n);
/* The copying form: > 0, E_AGAIN, E_EOF (finished and all read), E_RESET, E_CLOSED (released). */
ssize_t yamux_read(struct yamux_stream *s, void *p, size_t n);
/* The user takes no more: what waits and what comes is dropped, and credited as if read, so that a
 * peer can finish what it is sending. */
void yamux_shut_read(struct yamux_stream *s);

/* Queues what there is room for: >= 0 how many; E_CLOSED after finish; E_RESET. */
ssize_t yamux_write(struct yamux_stream *s, struct bytes data);
size_t yamux_room(const struct yamux_stream *s);
/* FIN after what is queued. Again: harmless. */
void yamux_finish(struct yamux_stream *s);
/* Drops what is queued and unread and tells the peer. The struct still has to be released. */
void yamux_reset(struct yamux_stream *s, uint32_t code);
/* Both sides finished, our queue drained; or reset. */
bool yamux_is_done(const struct yamux_stream *s);
/* Takes the struct out of the session, resetting the stream first if it is not done. */
void yamux_release(struct yamux_stream *s);

/* Asks for a sign of life and the round-trip time. E_BUSY while one is outstanding. */
int yamux_ping(struct yamux *y);
/* How long the outstanding ping has waited; 0 when none is. */
uint64_t yamux_ping_age_us(const struct yamux *y);
/* No new streams from the peer. Not before everything is drained towards rust: it hangs up. */
void yamux_goaway(struct yamux *y, uint32_t code);

#endif
