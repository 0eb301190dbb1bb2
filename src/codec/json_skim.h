// SPDX-License-Identifier: MIT
/* Skims a JSON object: checks all of it, strictly, and says where its top-level members lie. No
 * tree is built and nothing is copied, so a 400 kB prompt costs little more than reading it once.
 *
 *   {"model":"tiny","messages":[…400 kB…],"stream":true}
 *    ^key    ^value            ^value             ^value        one struct json_member each
 *
 * A key given twice (also as "mod\u0065l") is refused: two readers must not see two requests.
 * `json_splice` gives the text with members replaced, inserted or removed as a few slices of the old
 * text and the new values, to be written with one writev. */
#ifndef CONDUIT_CODEC_JSON_SKIM_H
#define CONDUIT_CODEC_JSON_SKIM_H

#include "codec/json.h"

#include <sys/types.h>

struct json_member {
    size_t key_at, key_n; /* inside the quotes, escapes as they stand */
    size_t at, n;         /* the value, without space around it */
    uint32_t hash;        /* of the unescaped key */
    enum json_kind kind;
    bool has_escapes; /* in the key, or in a string value */
};

struct json_skim {
    struct bytes text;
    size_t open_at; /* of the '{' */
    size_t count;
    struct json_member members[LIMIT_JSON_MEMBERS];
};

/* 0; E_MALFORMED (not JSON, not an object, trailing bytes), E_DUPLICATE (a key twice: the second one is
 * members[count]), E_LIMIT
 * (depth, or too many members). `why` may be NULL. The text is borrowed by `s`. */
int json_skim(struct bytes text, struct json_skim *s, struct json_error *why);
/* Only the check, of any value; as strict. */
int json_check(struct bytes text, struct json_error *why);

/* NULL when absent. */
const struct json_member *json_find(const struct json_skim *s, const char *key);
struct bytes json_raw(const struct json_skim *s, const char *key); /* the value's text; or empty */
/* Typed: true when it is there and of that kind; null counts as absent. */
bool json_skim_bool(const struct json_skim *s, const char *key, bool *out);
bool json_skim_number(const struct json_skim *s, const char *key, double *out);
bool json_skim_u64(const struct json_skim *s, const char *key, uint64_t *out);
/* The string unescaped into `out` with a NUL: its length, E_NOT_FOUND (absent, null), E_INVALID (not
 * a string), E_TOO_BIG. */
ssize_t json_skim_str(const struct json_skim *s, const char *key, char *out, size_t size);
/* Unescapes the inside of a checked string literal. */
int json_unescape(struct bytes inside, struct buf *out);

struct json_edit {
    const char *key;    /* plain ASCII, needs no escaping */
    struct bytes value; /* JSON; n == 0: the member is removed */
};
enum { JSON_EDITS_MAX = 16, JSON_SLICES_MAX = 6 * JSON_EDITS_MAX + 4 };
/* The new text as slices (borrowing the old text, the keys and the values): how many, or E_LIMIT
 * (more than JSON_EDITS_MAX edits). `total` is their sum. */
int json_splice(const struct json_skim *s, const struct json_edit *edits, size_t edit_count,
                struct bytes out[static JSON_SLICES_MAX], size_t *total);

#endif
