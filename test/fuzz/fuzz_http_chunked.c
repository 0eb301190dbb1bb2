// SPDX-License-Identifier: MIT
/* Chunked bodies: the same body, end and fault whether the bytes come whole or in pieces. */
#include "http/http1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    int got;
    enum http_fault fault;
    uint64_t sum, used;
};

static struct outcome decode(struct bytes all, size_t piece)
{
    struct outcome o = {.got = E_AGAIN};
    struct http_body b;
    http_body_init(&b, HTTP_BODY_CHUNKED, 0);
    while (o.got == E_AGAIN && all.n) {
        struct bytes in = bytes_first(all, piece), slice;
        size_t before = in.n;
        while ((o.got = http_body_step(&b, &in, &slice)) == 1)
            for (size_t i = 0; i < slice.n; i++)
                o.sum = o.sum * 31 + slice.p[i];
        o.used += before - in.n;
        all = bytes_skip(all, before);
    }
    o.fault = b.fault;
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes all = bytes_of(data, size);
    struct outcome whole = decode(all, size ? size : 1);
    for (size_t piece = 1; piece < 9; piece += 2) {
        struct outcome cut = decode(all, piece);
        if (cut.got != whole.got || cut.fault != whole.fault || cut.sum != whole.sum ||
            cut.used != whole.used)
            abort();
    }
    return 0;
}
