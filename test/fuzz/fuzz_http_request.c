// SPDX-License-Identifier: MIT
/* Request heads: whatever comes, the answer for a part never contradicts the answer for the whole,
 * and every view lies inside the input. */
#include "http/http1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_header_table table;

static void within(struct bytes v, struct bytes in)
{
    if (!v.p || (v.p < in.p && v.n == 1) || (v.p > in.p + in.n && v.n == 1))
        return; /* none, or the "/" of a target without a path */
    if (v.p < in.p || v.n > in.n || v.p + v.n > in.p + in.n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct http_head whole, part;
    int err = http_parse_request(in, 0, &table, &whole);
    if (err == 0) {
        if (whole.size > size || whole.header_count > LIMIT_HTTP_HEADERS)
            abort();
        within(whole.target, in);
        within(whole.path, in);
        within(whole.query, in);
        within(whole.host, in);
        for (size_t i = 0; i < whole.header_count; i++) {
            within(whole.headers[i].name, in);
            within(whole.headers[i].value, in);
            if (!http_is_token(whole.headers[i].name) ||
                !http_is_field_value(whole.headers[i].value))
                abort();
        }
        free(http_head_clone(&whole));
    }
    for (size_t cut = 1; cut < size && cut < 200; cut += 7) {
        int got = http_parse_request(bytes_first(in, cut), 0, &table, &part);
        if (got != E_AGAIN && (got != err || part.fault != whole.fault))
            abort();
    }
    return 0;
}
