// SPDX-License-Identifier: MIT
/* Frames of a secured connection: out of the transport, decrypted in place; and into it, sealed.
 *
 *   transport -> scratch.in [rest of last read | new bytes] -> frame -> plaintext in place
 *   yamux_drain -> scratch.out [len | plaintext | tag] -> sealed in place -> one writev
 *
 * The scratch belongs to the host and is used by one connection at a time, within one call. What an
 * idle connection keeps is nothing: `rest` and `out` hold memory only while a frame is incomplete
 * or the transport is full. */
#ifndef CONDUIT_P2P_CONN_IO_H
#define CONDUIT_P2P_CONN_IO_H

#include "base/buf.h"
#include "base/stream.h"
#include "p2p/noise_cipher.h"

enum {
    CONN_SCRATCH_IN = 2 * 65536 + 64, /* an incomplete frame and a read of 64 KiB */
    CONN_SCRATCH_OUT = NOISE_BATCH_BYTES,
};

struct conn_scratch {
    uint8_t *in, *out;
    bool is_in_use; /* a connection over another connection's stream reads inside its read */
};
void conn_scratch_init(struct conn_scratch *s);
void conn_scratch_fini(struct conn_scratch *s);
/* A buffer of CONN_SCRATCH_IN bytes; the shared one, or one more when that is taken. */
uint8_t *conn_scratch_take(struct conn_scratch *s);
void conn_scratch_put(struct conn_scratch *s, uint8_t *p);

struct conn_io {
    struct buf rest; /* of the last read: less than a frame */
    struct buf out;  /* handshake bytes, and what the transport did not take */
    struct noise_cipher seal, open;
    bool has_ciphers;
};
void conn_io_init(struct conn_io *io);
void conn_io_fini(struct conn_io *io);

/* One read into `at` behind what rested: bytes there now (> 0), or the stream's error; *fresh says
 * how many are new. */
ssize_t conn_io_read(struct conn_io *io, struct stream *t, uint8_t *at, size_t *fresh);
/* Keeps what was not used of a read. */
int conn_io_keep(struct conn_io *io, struct bytes rest);
/* Writes what waits and then `batch` (a sealed frame or empty): 1 all is out, 0 the transport is
 * full (the rest is kept), or an error. */
int conn_io_write(struct conn_io *io, struct stream *t, struct bytes batch);

#endif
