// SPDX-License-Identifier: MIT
/* Any events (lines of the input) and any reply: what comes out is JSON, and ends at most once. */
#include "codec/json_skim.h"
#include "engine/fixup.h"

#include <stdlib.h>

static void one(struct fixup *f, struct bytes data, bool *is_over)
{
    struct buf out;
    int status = 200;
    buf_init(&out, 0);
    enum fixup_verdict v = fixup_event(f, data, &out, &status);
    if (v == FIXUP_FAILED && json_check(buf_view(&out), NULL) != 0)
        abort();
    if (v == FIXUP_RELAY && (f->cfg.path == FIXUP_CHAT) && json_check(data, NULL) != 0)
        abort();
    if (*is_over && (v != FIXUP_REPLACE || buf_len(&out)))
        abort();
    *is_over |= v == FIXUP_DONE || v == FIXUP_FAILED;
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    if (size == 0)
        return 0;
    struct fixup_config cfg = {.path = (enum fixup_path)(data[0] & 1),
                               .model = "m",
                               .id = "i",
                               .created_s = 1,
                               .wants_usage = data[0] & 2};
    struct fixup f;
    bool is_over = false;
    fixup_init(&f, &cfg);
    for (in = bytes_skip(in, 1); in.n;) {
        size_t n = bytes_find(in, '\n');
        one(&f, bytes_first(in, n), &is_over);
        in = bytes_skip(in, n + 1);
    }
    fixup_fini(&f);
    struct buf out;
    int status = 200;
    buf_init(&out, 0);
    fixup_init(&f, &cfg);
    enum fixup_verdict v = fixup_reply(&f, &status, bytes_of(NULL, 0), bytes_of(data, size), &out);
    if (v != FIXUP_RELAY && json_check(buf_view(&out), NULL) != 0)
        abort();
    buf_fini(&out);
    fixup_fini(&f);
    return 0;
}
