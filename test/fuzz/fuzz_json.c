// SPDX-License-Identifier: MIT
/* The skimmer against the full parser: what one takes the other must take, but for duplicate keys; and a
 * spliced text is JSON again. */
#include "codec/json.h"
#include "codec/json_skim.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_skim skim;
    struct bytes in = bytes_of(data, size), slices[JSON_SLICES_MAX];
    struct json_doc *doc = NULL;
    int skimmed = json_skim(in, &skim, NULL), parsed = json_parse(in, 1 << 20, &doc, NULL);
    if (skimmed == 0 && parsed != 0)
        abort();
    if (skimmed == 0) {
        struct json_edit edits[] = {{"model", BYTES_LIT("\"x\"")}, {"stream", {0}}};
        size_t total = 0, sum = 0;
        struct buf b;
        buf_init(&b, 0);
        int n = json_splice(&skim, edits, 2, slices, &total);
        for (int i = 0; i < n; i++) {
            sum += slices[i].n;
            (void)buf_append_bytes(&b, slices[i]);
        }
        if (n < 1 || sum != total || json_check(buf_view(&b), NULL) != 0)
            abort();
        buf_fini(&b);
    }
    json_free(doc);
    return 0;
}
