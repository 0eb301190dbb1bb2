// SPDX-License-Identifier: MIT
/* Names of split GGUF files, as llama-gguf-split writes them: "STEM-00001-of-00003.gguf". */
#include "engine/gguf.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { TAIL = 20 }; /* "-00001-of-00003.gguf" */

bool gguf_split_parse(const char *path, unsigned *no, unsigned *count, size_t *stem_len)
{
    size_t n = strlen(path);
    if (n <= TAIL)
        return false;
    const char *t = path + n - TAIL;
    if (t[0] != '-' || strncmp(t + 6, "-of-", 4) != 0 || strcmp(t + 15, ".gguf") != 0)
        return false;
    for (int i = 0; i < 5; i++) {
        if (!isdigit((unsigned char)t[1 + i]) || !isdigit((unsigned char)t[10 + i]))
            return false;
    }
    *no = (unsigned)strtoul(t + 1, NULL, 10);
    *count = (unsigned)strtoul(t + 10, NULL, 10);
    *stem_len = n - TAIL;
    return *no >= 1 && *no <= *count;
}

int gguf_split_path(const char *path, unsigned no, char *out, size_t size)
{
    unsigned first, count;
    size_t stem;
    if (!gguf_split_parse(path, &first, &count, &stem) || no < 1 || no > count)
        return E_INVALID;
    int n = snprintf(out, size, "%.*s-%05u-of-%05u.gguf", (int)stem, path, no, count);
    return n < 0 || (size_t)n >= size ? E_TOO_BIG : 0;
}
