// SPDX-License-Identifier: MIT
/* Writing JSON onto a buffer; see json.h. */
#include "codec/json.h"

#include "codec/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void put(struct json_writer *w, const void *p, size_t n)
{
    if (!w->err)
        w->err = buf_append(w->out, p, n);
}

static void comma(struct json_writer *w)
{
    if (w->needs_comma)
        put(w, ",", 1);
    w->needs_comma = true;
}

static void open_with(struct json_writer *w, const char *c)
{
    comma(w);
    put(w, c, 1);
    w->needs_comma = false;
}

static void close_with(struct json_writer *w, const char *c)
{
    put(w, c, 1);
    w->needs_comma = true;
}

void json_open_object(struct json_writer *w)
{
    open_with(w, "{");
}
void json_close_object(struct json_writer *w)
{
    close_with(w, "}");
}
void json_open_array(struct json_writer *w)
{
    open_with(w, "[");
}
void json_close_array(struct json_writer *w)
{
    close_with(w, "]");
}

static int escape_char(uint8_t c, struct buf *out)
{
    static const char shorts[] = "b\bf\fn\nr\rt\t\"\"\\\\";
    for (size_t i = 0; i < sizeof shorts - 1; i += 2)
        if ((uint8_t)shorts[i + 1] == c)
            return buf_printf(out, "\\%c", shorts[i]);
    return buf_printf(out, "\\u%04x", c);
}

int json_escape(struct bytes s, struct buf *out)
{
    const uint8_t *p = s.p, *end = s.p + s.n, *from = p;
    int err = 0;
    while (!err && p < end) {
        bool is_special = *p < 0x20 || *p == '"' || *p == '\\';
        size_t n = is_special ? 0 : *p < 0x80 ? 1 : utf8_char(p, end);
        if (n) {
            p += n;
            continue;
        }
        err = buf_append(out, from, (size_t)(p - from));
        if (!err)
            err = *p < 0x80 ? escape_char(*p, out) : buf_append_str(out, "\xef\xbf\xbd");
        from = ++p;
    }
    return err ? err : buf_append(out, from, (size_t)(p - from));
}

static void put_literal(struct json_writer *w, struct bytes s)
{
    if (w->err)
        return;
    put(w, "\"", 1);
    w->err = w->err ? w->err : json_escape(s, w->out);
    put(w, "\"", 1);
}

void json_key_bytes(struct json_writer *w, struct bytes key)
{
    comma(w);
    put_literal(w, key);
    put(w, ":", 1);
    w->needs_comma = false;
}

void json_key(struct json_writer *w, const char *key)
{
    json_key_bytes(w, bytes_str(key));
}

void json_put_bytes(struct json_writer *w, struct bytes s)
{
    comma(w);
    put_literal(w, s);
}

void json_put_str(struct json_writer *w, const char *s)
{
    if (s)
        json_put_bytes(w, bytes_str(s));
    else
        json_put_null(w);
}

void json_put_raw(struct json_writer *w, struct bytes json)
{
    comma(w);
    put(w, json.p, json.n);
}

static void put_text(struct json_writer *w, const char *s)
{
    json_put_raw(w, bytes_str(s));
}

void json_put_u64(struct json_writer *w, uint64_t v)
{
    if (w->err)
        return;
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + v % 10);
    while (v /= 10);
    json_put_raw(w, bytes_of(digits + at, sizeof digits - at));
}

void json_put_i64(struct json_writer *w, int64_t v)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)v);
    put_text(w, text);
}

void json_put_double(struct json_writer *w, double v)
{
    char text[40];
    if (!isfinite(v)) {
        json_put_null(w);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) { /* the fewest that read back */
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    put_text(w, text);
}

void json_put_bool(struct json_writer *w, bool v)
{
    put_text(w, v ? "true" : "false");
}

void json_put_null(struct json_writer *w)
{
    put_text(w, "null");
}

void json_put_value(struct json_writer *w, const struct json *v)
{
    if (w->err)
        return; /* who only looks through a tree writes with an error from the start */
    struct json_iter it = json_iter(v);
    switch (json_kind_of(v)) {
    case JSON_STRING:
        json_put_bytes(w, json_str(v));
        break;
    case JSON_NUMBER:
        json_put_raw(w, json_number_text(v));
        break;
    case JSON_BOOL:
        json_put_bool(w, json_bool(v, false));
        break;
    case JSON_ARRAY:
        json_open_array(w);
        while (json_next(&it))
            json_put_value(w, it.value);
        json_close_array(w);
        break;
    case JSON_OBJECT:
        json_open_object(w);
        while (json_next(&it)) {
            json_key_bytes(w, it.key);
            json_put_value(w, it.value);
        }
        json_close_object(w);
        break;
    case JSON_NULL:
    case JSON_ABSENT:
        json_put_null(w);
    }
}

#define MEMBER(name, type, put_value)                                                              \
    void json_member_##name(struct json_writer *w, const char *key, type v)                        \
    {                                                                                              \
        json_key(w, key);                                                                          \
        put_value(w, v);                                                                           \
    }
MEMBER(str, const char *, json_put_str)
MEMBER(bytes, struct bytes, json_put_bytes)
MEMBER(u64, uint64_t, json_put_u64)
MEMBER(i64, int64_t, json_put_i64)
MEMBER(double, double, json_put_double)
MEMBER(bool, bool, json_put_bool)
