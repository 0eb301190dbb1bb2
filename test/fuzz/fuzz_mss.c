// SPDX-License-Identifier: MIT
/* Both machines of multistream-select, fed in pieces: the first byte says who and how long. Cutting
 * the input elsewhere must not change what comes out. */
#include "p2p/mss.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int accept_some(void *ctx, struct bytes protocol)
{
    return protocol.n && protocol.p[protocol.n - 1] == 'x' ? 0 : -1;
}

static int run(bool is_dialer, struct bytes in, size_t step, struct buf *out, size_t *taken)
{
    static const char *const offer[] = {"/noise", "/x"};
    struct mss m;
    int r = MSS_MORE;
    *taken = 0;
    if (is_dialer)
        mss_dial(&m, offer, 2, out);
    else
        mss_listen(&m, accept_some, NULL);
    while (r == MSS_MORE && *taken < in.n) {
        size_t used;
        r = mss_feed(&m, bytes_first(bytes_skip(in, *taken), step), &used, out);
        *taken += used;
    }
    mss_fini(&m);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf a, b;
    size_t taken_a, taken_b;
    if (size < 1)
        return 0;
    struct bytes in = bytes_of(data + 1, size - 1);
    buf_init(&a, 0);
    buf_init(&b, 0);
    int ra = run(data[0] & 1, in, 1 + (data[0] >> 1), &a, &taken_a);
    int rb = run(data[0] & 1, in, in.n + 1, &b, &taken_b);
    if (ra != rb || !bytes_eq(buf_view(&a), buf_view(&b)) ||
        (ra == MSS_AGREED && taken_a != taken_b))
        abort();
    buf_fini(&a);
    buf_fini(&b);
    return 0;
}
