// SPDX-License-Identifier: MIT
/* The key file of a private network, and the filter under whatever comes in whatever pieces: it never
 * gives more than came, and the same bytes in other pieces are the same plaintext. */
#include "fake_stream.h"
#include "p2p/pnet.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLAIN_MAX = 4096 };

static size_t read_all(const uint8_t *data, size_t size, size_t piece, uint8_t *plain, int *end)
{
    struct fake_world w;
    struct rng rng;
    struct pnet_key key = {{1, 2, 3}};
    size_t n = 0;
    fake_world_init(&w);
    rng_init_seeded(&rng, 1);
    struct fake_stream *wire = fake_stream_new(&w);
    struct stream *s = pnet_wrap(&wire->s, &key, false, &w.sched, &rng);
    *end = E_AGAIN;
    for (size_t at = 0; at < size && *end == E_AGAIN; at += piece) {
        fake_feed(wire, data + at, piece < size - at ? piece : size - at);
        for (ssize_t r = 1; r > 0;) {
            r = n < PLAIN_MAX ? stream_read(s, plain + n, PLAIN_MAX - n) : E_TOO_BIG;
            n += r > 0 ? (size_t)r : 0;
            *end = r < 0 ? (int)r : *end;
        }
    }
    stream_close(s);
    fake_world_fini(&w);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t a[PLAIN_MAX], b[PLAIN_MAX];
    struct pnet_key k, again;
    const char *why;
    struct buf out;
    if (pnet_key_read(bytes_of(data, size), &k, &why) == 0) {
        buf_init(&out, 0);
        if (pnet_key_write(&k, &out) || pnet_key_read(buf_view(&out), &again, &why) ||
            memcmp(&k, &again, sizeof k) != 0)
            abort();
        buf_fini(&out);
    }
    if (size < 2 || size > PLAIN_MAX)
        return 0;
    int end_a, end_b;
    size_t n = read_all(data + 1, size - 1, size, a, &end_a);
    size_t m = read_all(data + 1, size - 1, 1 + data[0], b, &end_b);
    if (n != m || end_a != end_b || memcmp(a, b, n) != 0)
        abort();
    return 0;
}
