// SPDX-License-Identifier: MIT
/* DCUtR: messages decode or not, and drive the machine of either side, which must always have something
 * to wait for until it is over. */
#include "base/err.h"
#include "base/sched.h"
#include "codec/varint.h"
#include "p2p/dcutr.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drain(struct dcutr *d, uint64_t now)
{
    for (int i = 0; dcutr_next(d, now) != DCUTR_DO_NOTHING; i++)
        if (i > 4)
            abort();
    if (d->state != DCUTR_OVER && dcutr_deadline(d) == SCHED_NEVER)
        abort();
    if (d->attempts > DCUTR_ATTEMPTS)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_of(bytes_of(data, size));
    struct dcutr_message m;
    struct bytes in;
    struct dcutr d;
    uint64_t now = 1;
    uint8_t what = 0;
    if (cursor_u8(&c, &what) <= 0)
        return 0;
    if (what & 1)
        dcutr_begin(&d, what & 2, now);
    else
        dcutr_accept(&d, now);
    drain(&d, now);
    while (cursor_u8(&c, &what) > 0) {
        now += (uint64_t)(what >> 3) * 200000;
        if ((what & 7) == 0)
            dcutr_opened(&d, now);
        else if ((what & 7) == 1)
            dcutr_dial_failed(&d, E_REFUSED, now);
        else if ((what & 7) == 2)
            dcutr_stream_lost(&d, E_RESET, now);
        else if ((what & 7) == 3)
            dcutr_received(&d, what & 64 ? DCUTR_SYNC : DCUTR_CONNECT, now);
        else if ((what & 7) == 4 && cursor_prefixed(&c, 4096, &in) > 0 && dcutr_decode(in, &m) == 0)
            dcutr_received(&d, m.type, now);
        drain(&d, now);
    }
    return 0;
}
