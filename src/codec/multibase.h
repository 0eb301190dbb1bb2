// SPDX-License-Identifier: MIT
/* Bytes as text: hex, base32, base36, base58 and base64, with and without multibase prefixes.
 *
 * Decoders are strict: one text, one value (no stray bits, no wrong padding), so that text may be
 * compared. Base58 and base36 are quadratic, and refuse inputs over LIMIT_BASE58. */
#ifndef CONDUIT_CODEC_MULTIBASE_H
#define CONDUIT_CODEC_MULTIBASE_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

enum base_kind {
    BASE_HEX,      /* f: lower written, both read */
    BASE_32,       /* b: RFC 4648 lower, no padding */
    BASE_36,       /* k: lower */
    BASE_58,       /* z: bitcoin alphabet */
    BASE_64,       /* m is unpadded in multibase; here padded: base64 as in MIME */
    BASE_64_NOPAD, /* m */
    BASE_64URL,    /* u: no padding */
};

/* Appends the text, without prefix. 0, E_LIMIT, E_TOO_BIG. */
int base_encode(enum base_kind kind, struct bytes in, struct buf *out);
/* Appends the bytes. 0, E_MALFORMED, E_LIMIT, E_TOO_BIG. BASE_64 wants its padding. */
int base_decode(enum base_kind kind, struct bytes text, struct buf *out);

/* With the multibase prefix in front. Decode knows f F b B k K z m u. */
int multibase_encode(enum base_kind kind, struct bytes in, struct buf *out);
int multibase_decode(struct bytes text, struct buf *out);

/* For small things: writes NUL-terminated hex; `out` has 2 * n + 1 bytes. Returns out. */
char *hex_format(struct bytes in, char *out);
/* Exactly `n` bytes from 2 n digits: 0 or E_MALFORMED. */
int hex_parse(struct bytes text, uint8_t *out, size_t n);

/* Embeddings as OpenAI's SDKs ask for them: base64 of little-endian float32, whatever our own byte
 * order. Decoding: *count in: room, out: how many; E_TOO_BIG when they do not fit. */
int base64_put_f32(struct buf *out, const float *v, size_t count);
int base64_get_f32(struct bytes text, float *v, size_t *count);

/* Percent-encoding of URIs (RFC 3986): everything but unreserved characters and those in `keep`. */
int uri_escape(struct bytes in, const char *keep, struct buf *out);
/* 0, E_MALFORMED for a bad or cut escape. */
int uri_unescape(struct bytes in, struct buf *out);

#endif
