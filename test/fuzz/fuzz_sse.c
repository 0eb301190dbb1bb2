// SPDX-License-Identifier: MIT
/* Event streams: the same events whether the bytes come whole or in pieces; the first byte sets the
 * size of the pieces and a small limit now and then. */
#include "base/err.h"
#include "http/sse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    int got, end;
    uint64_t sum, count;
};

static void add(struct outcome *o, const struct sse_item *i)
{
    struct bytes parts[] = {i->data, i->name, i->id};
    o->count++;
    o->sum = o->sum * 31 + i->kind;
    for (int k = 0; k < 3; k++) {
        for (size_t n = 0; n < parts[k].n; n++)
            o->sum = o->sum * 31 + parts[k].p[n];
        o->sum = o->sum * 31 + parts[k].n;
    }
}

static struct outcome split(struct bytes all, size_t piece, size_t limit)
{
    struct outcome o = {.got = E_AGAIN};
    struct sse s;
    struct sse_item i;
    sse_init(&s, limit);
    while (o.got == E_AGAIN && all.n) {
        struct bytes in = bytes_first(all, piece);
        all = bytes_skip(all, in.n);
        while ((o.got = sse_next(&s, &in, &i)) == 1)
            add(&o, &i);
    }
    o.end = o.got == E_AGAIN ? sse_finish(&s, &i) : 0;
    if (o.end == 1)
        add(&o, &i);
    sse_fini(&s);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct bytes all = bytes_of(data + 1, size - 1);
    size_t limit = data[0] & 1 ? 16 : 0;
    struct outcome whole = split(all, all.n, limit), cut = split(all, 1 + (data[0] >> 4), limit);
    if (whole.got != cut.got || whole.end != cut.end || whole.sum != cut.sum ||
        whole.count != cut.count)
        abort();
    return 0;
}
