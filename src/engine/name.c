// SPDX-License-Identifier: MIT
/* Names of models: see name.h. */
#include "engine/name.h"

#include "engine/gguf.h"

#include <ctype.h>

static void slug(const char *text, size_t n, char out[static ENGINE_NAME])
{
    size_t at = 0;
    for (size_t i = 0; i < n && at + 1 < ENGINE_NAME; i++) {
        unsigned char ch = (unsigned char)text[i];
        if (isalnum(ch) || ch == '.' || ch == '_' || ch == '-')
            out[at++] = (char)tolower(ch);
        else if (at > 0 && out[at - 1] != '-')
            out[at++] = '-';
    }
    while (at > 0 && (out[at - 1] == '-' || out[at - 1] == '.'))
        at--;
    out[at] = 0;
}

void name_slug(const char *text, char out[static ENGINE_NAME])
{
    slug(text, strlen(text), out);
}

void name_stem(const char *path, char out[static ENGINE_NAME])
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    size_t n = strlen(base), stem;
    unsigned no, count;
    if (gguf_split_parse(path, &no, &count, &stem))
        n = stem - (size_t)(base - path);
    else if (n > 5 && strcasecmp(base + n - 5, ".gguf") == 0)
        n -= 5;
    slug(base, n, out);
}

const char *name_split(const char *text, char name[static ENGINE_NAME])
{
    name[0] = 0;
    const char *eq = strchr(text, '=');
    const char *slash = strchr(text, '/'), *query = strchr(text, '?');
    if (!eq || (slash && slash < eq && strstr(text, "://") && strstr(text, "://") < eq) ||
        (query && query < eq) || text[0] == '/' || text[0] == '.')
        return text;
    size_t n = (size_t)(eq - text);
    if (n == 0 || n >= ENGINE_NAME)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)text[i] <= 32 || text[i] == 127)
            return NULL;
    }
    memcpy(name, text, n);
    name[n] = 0;
    return eq + 1;
}

bool name_matches(struct bytes asked, const char *name, const char *quant, const char *digest)
{
    struct bytes own = bytes_str(name);
    if (!bytes_starts(asked, own))
        return false;
    struct bytes rest = bytes_skip(asked, own.n);
    if (rest.n == 0)
        return true;
    if (rest.p[0] == ':')
        return bytes_eq_nocase(bytes_skip(rest, 1), bytes_str(quant));
    struct bytes mark = BYTES_LIT("@sha256:");
    if (!bytes_starts(rest, mark) || !digest[0])
        return false;
    rest = bytes_skip(rest, mark.n);
    /* Eight digits tell files apart; fewer are a guess. */
    return rest.n >= 8 && rest.n <= 64 &&
           bytes_eq_nocase(rest, bytes_first(bytes_str(digest), rest.n));
}
