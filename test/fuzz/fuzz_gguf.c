// SPDX-License-Identifier: MIT
/* Any file: the GGUF reader ends, within the file, with an answer or a sentence. */
#include "engine/gguf.h"

#include <stdlib.h>

static int read_at(void *ctx, uint64_t at, void *p, size_t n)
{
    memcpy(p, (const uint8_t *)ctx + at, n);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf_source src = {read_at, (void *)data, size, 1};
    struct gguf_summary sum;
    char why[GGUF_WHY];
    int err = gguf_check(&src, &sum, why);
    if (err && !why[0])
        abort(); /* every refusal has its sentence */
    if (!err && sum.tensor_bytes > size)
        abort(); /* nothing lies outside of the file */
    return 0;
}
