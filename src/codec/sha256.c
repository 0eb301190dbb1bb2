// SPDX-License-Identifier: MIT
/* SHA-256 through OpenSSL, which picks the machine's instructions; see sha256.h. Its low-level
 * functions cost no allocation, which EVP's do. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "codec/sha256.h"

#include "base/mem.h"

#include <openssl/sha.h>
#include <stdlib.h>

struct sha256_state {
    SHA256_CTX ctx;
};

void sha256_two(struct bytes a, struct bytes b, uint8_t out[static SHA256_SIZE])
{
    SHA256_CTX ctx;
    SHA256_Init(&ctx);
    SHA256_Update(&ctx, a.p, a.n);
    SHA256_Update(&ctx, b.p, b.n);
    SHA256_Final(out, &ctx);
}

void sha256(struct bytes in, uint8_t out[static SHA256_SIZE])
{
    sha256_two(in, bytes_of("", 0), out);
}

void hmac_sha256(struct bytes key, struct bytes in, uint8_t out[static SHA256_SIZE])
{
    uint8_t pad[SHA256_CBLOCK] = {0}, inner[SHA256_SIZE];
    if (key.n > sizeof pad)
        sha256(key, pad);
    else if (key.n > 0)
        memcpy(pad, key.p, key.n);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36;
    sha256_two(bytes_of(pad, sizeof pad), in, inner);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    sha256_two(bytes_of(pad, sizeof pad), bytes_of(inner, sizeof inner), out);
    mem_wipe(pad, sizeof pad);
    mem_wipe(inner, sizeof inner);
}

struct sha256_state *sha256_new(void)
{
    struct sha256_state *s = MEM_NEW(struct sha256_state);
    SHA256_Init(&s->ctx);
    return s;
}

void sha256_add(struct sha256_state *s, struct bytes in)
{
    SHA256_Update(&s->ctx, in.p, in.n);
}

void sha256_finish(struct sha256_state *s, uint8_t out[static SHA256_SIZE])
{
    SHA256_Final(out, &s->ctx);
    free(s);
}
