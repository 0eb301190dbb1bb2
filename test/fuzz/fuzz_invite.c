// SPDX-License-Identifier: MIT
/* Invites from strangers: the text, and the payload behind its sum and signature, which no fuzzer makes. A
 * payload that is read has no second encoding. */
#include "guard/invite.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct invite v;
    struct buf again;
    const char *why;
    (void)invite_read(bytes_of(data, size), &v, &why);
    if (invite_decode(bytes_of(data, size), &v) != 0)
        return 0;
    buf_init(&again, 0);
    if (invite_encode(&v, &again) != 0 || !bytes_eq(buf_view(&again), bytes_of(data, size)))
        abort();
    buf_fini(&again);
    return 0;
}
