// SPDX-License-Identifier: MIT
/* The end of a peer's stream; see terminal.h. */
#include "gateway/terminal.h"

#include <string.h>

void terminal_init(struct terminal *t, bool needs_finish)
{
    *t = (struct terminal){.needs_finish = needs_finish};
}

static struct bytes skip_space(struct bytes b)
{
    while (b.n && (*b.p == ' ' || *b.p == '\t' || *b.p == '\n' || *b.p == '\r'))
        b = bytes_skip(b, 1);
    return b;
}

/* `"key" :` somewhere, followed by a string. In a string of text the quotes would be escaped, so this
 * cannot be said by a model. */
static bool has_string_member(struct bytes data, struct bytes key)
{
    while (data.n >= key.n) {
        const uint8_t *at = memmem(data.p, data.n, key.p, key.n);
        if (!at)
            return false;
        data = skip_space(bytes_skip(data, (size_t)(at - data.p) + key.n));
        if (!data.n || *data.p != ':')
            continue;
        data = skip_space(bytes_skip(data, 1));
        if (data.n && *data.p == '"')
            return true;
    }
    return false;
}

/* An object whose first member is "error": the shape in which nodes send them. */
static bool is_error(struct bytes data)
{
    data = skip_space(data);
    if (!data.n || *data.p != '{')
        return false;
    data = skip_space(bytes_skip(data, 1));
    if (!bytes_starts(data, BYTES_LIT("\"error\"")))
        return false;
    data = skip_space(bytes_skip(data, 7));
    if (!data.n || *data.p != ':')
        return false;
    data = skip_space(bytes_skip(data, 1));
    return !bytes_starts(data, BYTES_LIT("null"));
}

enum terminal_verdict terminal_event(struct terminal *t, struct bytes data)
{
    if (bytes_eq(bytes_trim(data), BYTES_LIT("[DONE]")))
        return t->needs_finish && !t->has_finish ? TERMINAL_BROKEN : TERMINAL_DONE;
    if (is_error(data))
        return TERMINAL_ERROR;
    if (!t->has_finish && has_string_member(data, BYTES_LIT("\"finish_reason\"")))
        t->has_finish = true;
    return TERMINAL_MORE;
}
