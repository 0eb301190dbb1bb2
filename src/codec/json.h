// SPDX-License-Identifier: MIT
/* JSON documents: reading small ones as a tree, and writing onto a buffer.
 *
 * Behind it is yyjson, which only json.c includes. Reading is strict (RFC 8259, valid UTF-8, one
 * value, no duplicate checks: the skimmer does those) with a limit of size and depth. Every getter
 * takes NULL and the wrong kind, and answers "absent": `json_str(json_get(v, "model"))` needs no
 * checks in between. null counts as absent in the typed getters, as clients send it for "not set".
 *
 * Request bodies of clients are not read with this but with json_skim.h. */
#ifndef CONDUIT_CODEC_JSON_H
#define CONDUIT_CODEC_JSON_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

enum json_kind {
    JSON_ABSENT = 0,
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json;     /* a value; borrowed from its document */
struct json_doc; /* owns the tree */

/* Why parsing failed, for the client: where, and a few words. */
struct json_error {
    size_t at;
    char text[96];
};

/* 0 and *out yours (json_free); E_MALFORMED with `why` (may be NULL), E_TOO_BIG over `max` bytes,
 * E_LIMIT over LIMIT_JSON_DEPTH, E_NO_MEMORY. The text may go away afterwards. */
int json_parse(struct bytes text, size_t max, struct json_doc **out, struct json_error *why);
void json_free(struct json_doc *d); /* NULL is fine */
void json_wipe(struct json_doc *d); /* the same; a secret in it leaves nothing behind */
const struct json *json_root(const struct json_doc *d);

enum json_kind json_kind_of(const struct json *v);
const struct json *json_get(const struct json *object, const char *key); /* NULL when absent */
const struct json *json_at(const struct json *array, size_t i);
size_t json_count(const struct json *container); /* items or members */

/* Strings are NUL-terminated too, but may contain NUL: trust the length. {NULL, 0} when absent. */
struct bytes json_str(const struct json *v);
bool json_is_str(const struct json *v, const char *text);
bool json_bool(const struct json *v, bool absent);
double json_number(const struct json *v, double absent);
/* Exact integers only (1.0 is not one): true and *out, or false. */
bool json_i64(const struct json *v, int64_t *out);
bool json_u64(const struct json *v, uint64_t *out);
/* The number as it was written: 1.10 stays 1.10. Empty when not a number. */
struct bytes json_number_text(const struct json *v);
/* Shorthands for members. */
static inline struct bytes json_get_str(const struct json *o, const char *key)
{
    return json_str(json_get(o, key));
}

/* Members and items in order: for (struct json_iter it = json_iter(v); json_next(&it);) */
struct json_iter {
    const struct json *container;
    const struct json *value;
    struct bytes key; /* of objects */
    size_t i, count;
    const void *at;
};
struct json_iter json_iter(const struct json *container);
bool json_next(struct json_iter *it);

/* --- writing: one value onto a buffer, commas by themselves ---
 * The first error sticks in `err`. Invalid UTF-8 in strings becomes U+FFFD. Output is compact, and
 * never contains a newline, so that it can be an SSE event. */
struct json_writer {
    struct buf *out;
    int err;
    bool needs_comma;
};
static inline struct json_writer json_write(struct buf *out)
{
    return (struct json_writer){out, 0, false};
}
void json_open_object(struct json_writer *w);
void json_close_object(struct json_writer *w);
void json_open_array(struct json_writer *w);
void json_close_array(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
void json_key_bytes(struct json_writer *w, struct bytes key);
void json_put_str(struct json_writer *w, const char *s); /* NULL: null */
void json_put_bytes(struct json_writer *w, struct bytes s);
void json_put_u64(struct json_writer *w, uint64_t v);
void json_put_i64(struct json_writer *w, int64_t v);
void json_put_double(struct json_writer *w,
                     double v); /* shortest that reads back; nan, inf: null */
void json_put_bool(struct json_writer *w, bool v);
void json_put_null(struct json_writer *w);
void json_put_raw(struct json_writer *w, struct bytes json);      /* JSON already; not checked */
void json_put_value(struct json_writer *w, const struct json *v); /* a tree, numbers as written */
/* Key and value in one. */
void json_member_str(struct json_writer *w, const char *key, const char *s);
void json_member_bytes(struct json_writer *w, const char *key, struct bytes s);
void json_member_u64(struct json_writer *w, const char *key, uint64_t v);
void json_member_i64(struct json_writer *w, const char *key, int64_t v);
void json_member_double(struct json_writer *w, const char *key, double v);
void json_member_bool(struct json_writer *w, const char *key, bool v);

/* Appends `s` as the inside of a string literal, without quotes. */
int json_escape(struct bytes s, struct buf *out);

#endif
