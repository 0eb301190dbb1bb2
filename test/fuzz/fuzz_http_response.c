// SPDX-License-Identifier: MIT
/* Response heads with what follows them: read whole, and read byte by byte with `seen`; both must
 * agree. The first byte chooses the method that is answered. */
#include "http/http1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_header_table table;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum http_method methods[] = {HTTP_GET, HTTP_HEAD, HTTP_CONNECT, HTTP_POST};
    struct http_head whole, part;
    if (!size)
        return 0;
    enum http_method method = methods[data[0] % 4];
    struct bytes in = bytes_of(data + 1, size - 1);
    int err = http_parse_response(in, 0, method, &table, &whole), got = E_AGAIN;
    size_t seen = 0, have = 0;
    while (got == E_AGAIN && have < in.n && have < 4000) {
        have += 1 + have % 5;
        if (have > in.n)
            have = in.n;
        got = http_parse_response(bytes_first(in, have), seen, method, &table, &part);
        seen = have;
    }
    if (got != E_AGAIN &&
        (got != err || part.fault != whole.fault ||
         (got == 0 && (part.size != whole.size || part.framing != whole.framing))))
        abort();
    return 0;
}
