// SPDX-License-Identifier: MIT
/* JSON trees on yyjson; see json.h. The only file that includes it. `struct json` is its value. */
#include "codec/json.h"

#include "base/mem.h"
#include "codec/json_skim.h"

#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

struct json_doc {
    yyjson_doc *doc;
};

static inline yyjson_val *val(const struct json *v)
{
    return (yyjson_val *)(uintptr_t)v;
}
static inline const struct json *out_of(yyjson_val *v)
{
    return (const struct json *)v;
}

/* yyjson does not bound the depth. As few brackets as this cannot be too deep, and small texts have no
 * more; only of others the depth is worth a reading of its own. Eight bytes at once: a borrow may count a
 * byte too many, never too few. */
static bool may_be_deep(struct bytes text)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    size_t opened = 0, i = 0;
    for (; i + 8 <= text.n && opened <= LIMIT_JSON_DEPTH; i += 8) {
        uint64_t w;
        memcpy(&w, text.p + i, 8);
        w = (w | ones * 0x20) ^ ones * '{'; /* zero where '[' or '{' was */
        opened += (((w - ones) & ~w & highs) >> 7) * ones >> 56;
    }
    for (; i < text.n && opened <= LIMIT_JSON_DEPTH; i++)
        opened += (text.p[i] | 0x20) == '{';
    return opened > LIMIT_JSON_DEPTH;
}

int json_parse(struct bytes text, size_t max, struct json_doc **out, struct json_error *why)
{
    struct json_error ignored;
    why = why ? why : &ignored;
    *why = (struct json_error){0};
    *out = NULL;
    if (text.n > max) {
        snprintf(why->text, sizeof why->text, "over %zu bytes", max);
        return E_TOO_BIG;
    }
    int err = may_be_deep(text) ? json_check(text, why) : 0;
    if (err)
        return err;
    yyjson_read_err e;
    /* numbers raw, so that they can be given back as they were written */
    yyjson_doc *doc =
        yyjson_read_opts((char *)(uintptr_t)text.p, text.n, YYJSON_READ_NUMBER_AS_RAW, NULL, &e);
    if (!doc && e.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return E_NO_MEMORY;
    if (!doc) {
        err = json_check(text, why); /* says it in our words */
        if (err)
            return err;
        why->at = e.pos;
        snprintf(why->text, sizeof why->text, "%s", e.msg);
        return E_MALFORMED;
    }
    *out = MEM_NEW(struct json_doc);
    (*out)->doc = doc;
    return 0;
}

void json_free(struct json_doc *d)
{
    if (!d)
        return;
    yyjson_doc_free(d->doc);
    free(d);
}

void json_wipe(struct json_doc *d)
{
    if (d && d->doc->str_pool) /* the text, which all strings lie in */
        mem_wipe(d->doc->str_pool, d->doc->dat_read);
    json_free(d);
}

const struct json *json_root(const struct json_doc *d)
{
    return d ? out_of(yyjson_doc_get_root(d->doc)) : NULL;
}

enum json_kind json_kind_of(const struct json *v)
{
    switch (yyjson_get_type(val(v))) {
    case YYJSON_TYPE_NULL:
        return JSON_NULL;
    case YYJSON_TYPE_BOOL:
        return JSON_BOOL;
    case YYJSON_TYPE_RAW:
    case YYJSON_TYPE_NUM:
        return JSON_NUMBER;
    case YYJSON_TYPE_STR:
        return JSON_STRING;
    case YYJSON_TYPE_ARR:
        return JSON_ARRAY;
    case YYJSON_TYPE_OBJ:
        return JSON_OBJECT;
    default:
        return JSON_ABSENT;
    }
}

const struct json *json_get(const struct json *object, const char *key)
{
    return out_of(yyjson_obj_get(val(object), key));
}

const struct json *json_at(const struct json *array, size_t i)
{
    return out_of(yyjson_arr_get(val(array), i));
}

size_t json_count(const struct json *v)
{
    return yyjson_is_ctn(val(v)) ? yyjson_get_len(val(v)) : 0;
}

struct bytes json_str(const struct json *v)
{
    if (!yyjson_is_str(val(v)))
        return (struct bytes){NULL, 0};
    return bytes_of(yyjson_get_str(val(v)), yyjson_get_len(val(v)));
}

bool json_is_str(const struct json *v, const char *text)
{
    return yyjson_is_str(val(v)) && bytes_eq_str(json_str(v), text);
}

bool json_bool(const struct json *v, bool absent)
{
    return yyjson_is_bool(val(v)) ? yyjson_get_bool(val(v)) : absent;
}

struct bytes json_number_text(const struct json *v)
{
    if (!yyjson_is_raw(val(v)))
        return bytes_of("", 0);
    return bytes_of(yyjson_get_raw(val(v)), yyjson_get_len(val(v)));
}

double json_number(const struct json *v, double absent)
{
    struct bytes text = json_number_text(v);
    return text.n ? strtod((const char *)text.p, NULL)
                  : absent; /* raws end in NUL or a delimiter */
}

bool json_u64(const struct json *v, uint64_t *out)
{
    struct bytes text = json_number_text(v);
    return text.n && bytes_to_u64(text, out) == 0;
}

bool json_i64(const struct json *v, int64_t *out)
{
    struct bytes text = json_number_text(v);
    uint64_t u;
    bool is_negative = text.n && text.p[0] == '-';
    if (!text.n || bytes_to_u64(bytes_skip(text, is_negative), &u) ||
        u > (uint64_t)INT64_MAX + is_negative)
        return false;
    *out = is_negative ? (int64_t)(0 - u) : (int64_t)u;
    return true;
}

struct json_iter json_iter(const struct json *container)
{
    struct json_iter it = {.container = container, .count = json_count(container)};
    if (it.count)
        it.at = unsafe_yyjson_get_first(val(container));
    return it;
}

bool json_next(struct json_iter *it)
{
    if (it->i == it->count)
        return false;
    yyjson_val *at = (yyjson_val *)(uintptr_t)it->at;
    it->key = bytes_of("", 0);
    if (yyjson_is_obj(val(it->container))) {
        it->key = json_str(out_of(at));
        at++; /* its value stands behind the key */
    }
    it->value = out_of(at);
    it->at = unsafe_yyjson_get_next(at);
    it->i++;
    return true;
}
