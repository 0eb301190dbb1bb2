// SPDX-License-Identifier: MIT
/* Inference requests, the fields of peers, the end of streams, and errors of backends. */
#include "gateway/failure.h"
#include "gateway/fields.h"
#include "gateway/request.h"
#include "gateway/terminal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gateway_request r;
    struct failure f;
    struct terminal t;
    char why[200];
    struct bytes in = bytes_of(data, size);
    if (size && request_read(&r, (enum request_kind)(data[0] & 3), bytes_skip(in, 1), &f) == 0)
        (void)fields_check(&r.skim, why, sizeof why);
    failure_from_response(&f, 500, (struct bytes){0}, in, "x");
    terminal_init(&t, true);
    (void)terminal_event(&t, in);
    return 0;
}
