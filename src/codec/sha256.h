// SPDX-License-Identifier: MIT
/* SHA-256 at the speed of the machine's instructions (OpenSSL's), and what stands on it. */
#ifndef CONDUIT_CODEC_SHA256_H
#define CONDUIT_CODEC_SHA256_H

#include "base/bytes.h"

enum { SHA256_SIZE = 32 };

void sha256(struct bytes in, uint8_t out[static SHA256_SIZE]);
/* Of two runs, as if they were one. */
void sha256_two(struct bytes a, struct bytes b, uint8_t out[static SHA256_SIZE]);
void hmac_sha256(struct bytes key, struct bytes in, uint8_t out[static SHA256_SIZE]);

/* In pieces, for files. `new` never fails (small, ours); `finish` frees. */
struct sha256_state;
struct sha256_state *sha256_new(void);
void sha256_add(struct sha256_state *s, struct bytes in);
void sha256_finish(struct sha256_state *s, uint8_t out[static SHA256_SIZE]);

#endif
