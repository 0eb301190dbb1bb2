// SPDX-License-Identifier: MIT
/* Both roles of the Noise handshake against any bytes, in any pieces; the payload reader; and the
 * transport frames. Nobody who does not know the keys may reach NOISE_DONE. */
#include "p2p/noise.h"
#include "p2p/noise_payload.h"

#include "base/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void handshake(bool is_initiator, struct bytes in, size_t step)
{
    struct rng rng;
    struct key_pair key;
    struct noise_self self;
    struct noise n;
    struct buf out;
    int r = NOISE_MORE;
    rng_init_seeded(&rng, 1);
    key_pair_generate(&key, &rng);
    noise_self_init(&self, &key, "/yamux/1.0.0", &rng);
    buf_init(&out, 0);
    noise_init(&n, is_initiator, &self, NULL, &rng);
    if (is_initiator)
        noise_start(&n, &out);
    while (r == NOISE_MORE && in.n) {
        size_t used;
        r = noise_feed(&n, bytes_first(in, step), &used, &out);
        in = bytes_skip(in, used);
        if (r == NOISE_MORE && used == 0)
            abort();
    }
    if (r == NOISE_DONE)
        abort();
    noise_fini(&n);
    buf_fini(&out);
}

static void transport(struct bytes in)
{
    static const uint8_t key[32] = {1};
    struct noise_cipher c;
    int size = noise_frame_size(in);
    if (size <= 0 || (size_t)size > in.n)
        return;
    uint8_t *copy = mem_new((size_t)size);
    memcpy(copy, in.p, (size_t)size);
    noise_cipher_init(&c, false, key);
    if (noise_open(&c, copy, (size_t)size) >= 0)
        abort();
    noise_cipher_fini(&c);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t static_key[32] = {1};
    struct noise_claim claim;
    if (size < 2)
        return 0;
    struct bytes in = bytes_of(data + 2, size - 2);
    switch (data[0] & 3) {
    case 0:
    case 1:
        handshake(data[0] & 1, in, 1 + data[1]);
        break;
    case 2:
        if (noise_payload_verify(in, static_key, "/yamux/1.0.0", &claim) == 0)
            abort();
        break;
    default:
        transport(in);
    }
    return 0;
}
