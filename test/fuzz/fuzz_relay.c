// SPDX-License-Identifier: MIT
/* Relay messages: whatever decodes is encoded again, within the limit, and decodes to the same. */
#include "base/err.h"
#include "p2p/message_read.h"
#include "p2p/relay_message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct bytes in, int (*decode)(struct bytes, struct relay_message *),
                  int (*encode)(const struct relay_message *, struct buf *))
{
    struct relay_message m, back;
    struct relay_voucher v;
    struct buf b;
    if (decode(in, &m) != 0)
        return;
    (void)relay_voucher_open(m.voucher, &v);
    buf_init(&b, 0);
    int err = encode(&m, &b);
    size_t head = buf_len(&b) > 128 ? 2 : 1;
    if (!err && (decode(bytes_skip(buf_view(&b), head), &back) != 0 || back.type != m.type ||
                 back.status != m.status || back.addr_count != m.addr_count))
        abort();
    if (err && err != E_TOO_BIG)
        abort();
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(bytes_of(data, size), relay_hop_decode, relay_hop_encode);
    check(bytes_of(data, size), relay_stop_decode, relay_stop_encode);
    return 0;
}
