// SPDX-License-Identifier: MIT
/* Identify messages: whatever decodes is encoded again, within the limit, and decodes again. */
#include "base/err.h"
#include "p2p/addr.h"
#include "p2p/identify.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct identify in, out;
    struct p2p_addr a;
    struct buf b;
    p2p_addr_decode(bytes_of(data, size), &a);
    if (identify_decode(bytes_of(data, size), &in) != 0)
        return 0;
    buf_init(&b, 0);
    int err = identify_encode(&in, &b);
    if (!err && (buf_len(&b) > LIMIT_IDENTIFY_OUT || identify_decode(buf_view(&b), &out) != 0))
        abort();
    if (err && err != E_TOO_BIG)
        abort();
    buf_fini(&b);
    return 0;
}
