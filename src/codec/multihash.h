// SPDX-License-Identifier: MIT
/* Multihashes: varint code, varint length, digest. We make sha2-256 and identity, and carry others. */
#ifndef CONDUIT_CODEC_MULTIHASH_H
#define CONDUIT_CODEC_MULTIHASH_H

#include "codec/sha256.h"
#include "codec/varint.h"

enum { MULTIHASH_IDENTITY = 0x00, MULTIHASH_SHA256 = 0x12 };
enum { MULTIHASH_SHA256_SIZE = 34 }; /* 1220 and the digest */

struct multihash {
    uint64_t code;
    struct bytes digest; /* a view */
};

/* > 0 used, 0 need more, E_MALFORMED (also: sha2-256 that is not 32 bytes), E_TOO_BIG. */
ssize_t multihash_decode(struct bytes in, struct multihash *out);
/* 1220 ‖ sha256(in): the form of DHT provider keys. */
void multihash_sha256(struct bytes in, uint8_t out[static MULTIHASH_SHA256_SIZE]);

#endif
