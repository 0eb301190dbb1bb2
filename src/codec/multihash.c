// SPDX-License-Identifier: MIT
/* Multihashes; see multihash.h. */
#include "codec/multihash.h"

enum { DIGEST_MAX = 128 };

ssize_t multihash_decode(struct bytes in, struct multihash *out)
{
    struct cursor c = cursor_of(in);
    ssize_t used = cursor_varint(&c, &out->code);
    if (used <= 0)
        return used;
    used = cursor_prefixed(&c, DIGEST_MAX, &out->digest);
    if (used <= 0)
        return used;
    if (out->code == MULTIHASH_SHA256 && out->digest.n != SHA256_SIZE)
        return E_MALFORMED;
    return (ssize_t)c.at;
}

void multihash_sha256(struct bytes in, uint8_t out[static MULTIHASH_SHA256_SIZE])
{
    out[0] = MULTIHASH_SHA256;
    out[1] = SHA256_SIZE;
    sha256(in, out + 2);
}
