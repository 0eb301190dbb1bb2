// SPDX-License-Identifier: MIT
/* Peer ids: the multihash of a serialised public key. A small value, copied freely.
 *
 *   key message <= 42 bytes:  00 len key       (Ed25519: 38 bytes "12D3KooW…", secp256k1: 39)
 *   else:                     12 20 sha256     (34 bytes "Qm…")
 *
 * Text is base58btc of these bytes, or a CIDv1 (multibase, 01, 72, multihash); the first is what we
 * write. */
#ifndef CONDUIT_CODEC_PEER_ID_H
#define CONDUIT_CODEC_PEER_ID_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

enum { PEER_ID_MAX = 42, PEER_ID_TEXT = 64 };

struct peer_id {
    uint8_t len; /* 0: none */
    uint8_t b[PEER_ID_MAX];
};

static inline struct bytes peer_id_bytes(const struct peer_id *id)
{
    return bytes_of(id->b, id->len);
}
static inline bool peer_id_is_none(const struct peer_id *id)
{
    return id->len == 0;
}
static inline bool peer_id_eq(const struct peer_id *a, const struct peer_id *b)
{
    return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}
/* By bytes, then length: -1, 0, 1. */
int peer_id_cmp(const struct peer_id *a, const struct peer_id *b);

/* From a serialised public key (not checked here; see key_public_decode). */
int peer_id_from_key(struct bytes public_key_message, struct peer_id *out);
/* From the multihash bytes, all of them: 0, E_MALFORMED (neither form), E_TOO_BIG. */
int peer_id_decode(struct bytes multihash, struct peer_id *out);
/* "12D3KooW…", "Qm…", "bafz…", "k51…", "z…". 0 or E_MALFORMED. */
int peer_id_parse(struct bytes text, struct peer_id *out);
/* Base58 into `out` of `size` bytes, cut if that is too small (PEER_ID_TEXT never is). Returns out;
 * "" for none. */
const char *peer_id_text(const struct peer_id *id, char *out, size_t size);
/* The end of the text, for logs: "…dEadBeef" (8 characters). */
const char *peer_id_short(const struct peer_id *id, char out[static 16]);
/* CIDv1 in base32: for those who want it. */
int peer_id_cid(const struct peer_id *id, struct buf *out);
/* The place in Kademlia's key space: sha256 of the bytes. */
void peer_id_kad(const struct peer_id *id, uint8_t out[static 32]);
/* The serialised public key inside an identity multihash; empty for hashed ids. */
struct bytes peer_id_inline_key(const struct peer_id *id);

#endif
