// SPDX-License-Identifier: MIT
/* The pairs of a GGUF and the order of the whole check; tensors are in gguf_tensor.c. */
#include "engine/gguf.h"

#include "base/map.h"
#include "engine/gguf_cursor.h"
#include "engine/gguf_tensor.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { /* value types of the format */
       V_U8,
       V_I8,
       V_U16,
       V_I16,
       V_U32,
       V_I32,
       V_F32,
       V_BOOL,
       V_STR,
       V_ARRAY,
       V_U64,
       V_I64,
       V_F64,
       V_COUNT,
};
static const uint8_t value_size[V_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
static const char *const value_name[V_COUNT] = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

struct array {
    uint32_t type;
    uint64_t count, at; /* at: of the first element */
};

struct pairs {
    struct gguf_cursor *c;
    struct gguf_summary *sum;
    struct map keys;
    struct array tokens, scores, token_types, merges;
    uint32_t alignment;
    uint32_t file_type;
    uint64_t pooling;
    bool has_file_type, has_architecture;
};

/* --- what a pair means to us --- */
enum meaning {
    TAKES_STR,
    TAKES_UINT,
    TAKES_ARRAY,
    TAKES_ARCH_UINT,
    TAKES_TEMPLATE,
};

struct known {
    const char *key; /* ARCH_UINT: what follows "ARCH." */
    enum meaning meaning;
    uint32_t element;  /* of arrays: the type it must have */
    uint64_t min, max; /* of numbers */
    size_t offset, size;
};
#define SUM(f)   offsetof(struct gguf_summary, f), sizeof(((struct gguf_summary *)0)->f)
#define PAIRS(f) offsetof(struct pairs, f), sizeof(((struct pairs *)0)->f)

/* Rows marked in `pairs_rows` land in struct pairs, the others in the summary. */
static const struct known sum_rows[] = {
    {"general.name", TAKES_STR, 0, 0, 0, SUM(name)},
    {"general.architecture", TAKES_STR, 0, 0, 0, SUM(architecture)},
    {"general.type", TAKES_STR, 0, 0, 0, SUM(type)},
    {"tokenizer.ggml.model", TAKES_STR, 0, 0, 0, SUM(tokenizer)},
    {"split.no", TAKES_UINT, 0, 0, 65534, SUM(split_no)},
    {"split.count", TAKES_UINT, 0, 0, 65535, SUM(split_count)},
    {"context_length", TAKES_ARCH_UINT, 0, 1, 1u << 30, SUM(ctx_train)},
    {"block_count", TAKES_ARCH_UINT, 0, 0, LIMIT_GGUF_BLOCKS, SUM(block_count)},
    {"embedding_length", TAKES_ARCH_UINT, 0, 1, 1u << 24, SUM(embedding_length)},
    {"tokenizer.chat_template", TAKES_TEMPLATE, 0, 0, 0, 0, 0},
};
static const struct known pairs_rows[] = {
    {"tokenizer.ggml.tokens", TAKES_ARRAY, V_STR, 0, 0, PAIRS(tokens)},
    {"tokenizer.ggml.scores", TAKES_ARRAY, V_F32, 0, 0, PAIRS(scores)},
    {"tokenizer.ggml.token_type", TAKES_ARRAY, V_I32, 0, 0, PAIRS(token_types)},
    {"tokenizer.ggml.merges", TAKES_ARRAY, V_STR, 0, 0, PAIRS(merges)},
    {"general.alignment", TAKES_UINT, 0, 1, 1u << 20, PAIRS(alignment)},
    {"general.file_type", TAKES_UINT, 0, 0, UINT32_MAX, PAIRS(file_type)},
    {"pooling_type", TAKES_ARCH_UINT, 0, 0, 16, PAIRS(pooling)},
};

static bool is_row(const struct pairs *p, const struct known *k, const char *key)
{
    if (k->meaning != TAKES_ARCH_UINT)
        return strcmp(k->key, key) == 0;
    size_t n = strlen(p->sum->architecture);
    return n > 0 && strncmp(key, p->sum->architecture, n) == 0 && key[n] == '.' &&
           strcmp(key + n + 1, k->key) == 0;
}

static const struct known *find_row(const struct pairs *p, const char *key, bool *is_sum)
{
    *is_sum = true;
    for (size_t i = 0; i < ARRAY_LEN(sum_rows); i++) {
        if (is_row(p, &sum_rows[i], key))
            return &sum_rows[i];
    }
    *is_sum = false;
    for (size_t i = 0; i < ARRAY_LEN(pairs_rows); i++) {
        if (is_row(p, &pairs_rows[i], key))
            return &pairs_rows[i];
    }
    return NULL;
}

/* --- values --- */
static void skip_array(struct gguf_cursor *c, const char *key, struct array *a)
{
    a->type = gguf_u32(c, key);
    a->count = gguf_u64(c, key);
    a->at = c->at;
    if (c->err)
        return;
    if (a->type == V_ARRAY || a->type >= V_COUNT) {
        gguf_fail(c, E_MALFORMED, "'%s' is an array of %s", key,
                  a->type == V_ARRAY ? "arrays, which no model has" : "an unknown type");
        return;
    }
    uint64_t least = a->type == V_STR ? 8 : value_size[a->type];
    if (a->count > gguf_left(c) / least) {
        gguf_fail(c, E_MALFORMED,
                  "'%s' says it has %" PRIu64 " elements, but %" PRIu64
                  " bytes are left in the file",
                  key, a->count, gguf_left(c));
        return;
    }
    if (a->count > LIMIT_GGUF_ARRAY) {
        gguf_fail(c, E_LIMIT, "'%s' has %" PRIu64 " elements; at most %" PRIu64 " are allowed", key,
                  a->count, (uint64_t)LIMIT_GGUF_ARRAY);
        return;
    }
    if (a->type != V_STR) {
        gguf_skip(c, a->count * least, key);
        return;
    }
    char none[1];
    for (uint64_t i = 0; i < a->count && !c->err; i++)
        gguf_str(c, none, sizeof none, LIMIT_GGUF_STRING, key);
}

static void skip_value(struct gguf_cursor *c, const char *key, uint32_t type)
{
    char none[1];
    struct array a;
    if (type == V_STR)
        gguf_str(c, none, sizeof none, LIMIT_GGUF_STRING, key);
    else if (type == V_ARRAY)
        skip_array(c, key, &a);
    else if (type < V_COUNT)
        gguf_skip(c, value_size[type], key);
    else
        gguf_fail(c, E_MALFORMED, "'%s' has the unknown type %" PRIu32, key, type);
}

/* Unsigned types, and signed ones that are not negative. */
static bool take_uint(struct gguf_cursor *c, const char *key, uint32_t type, uint64_t *out)
{
    bool is_int = type <= V_I32 || type == V_U64 || type == V_I64;
    if (!is_int)
        return false;
    uint8_t b[8];
    memset(b, 0, sizeof b);
    gguf_bytes(c, b, value_size[type], key);
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | b[i];
    bool is_signed = type == V_I8 || type == V_I16 || type == V_I32 || type == V_I64;
    if (is_signed && b[value_size[type] - 1] & 0x80) {
        gguf_fail(c, E_MALFORMED, "'%s' is negative", key);
        return true;
    }
    *out = v;
    return true;
}

static void take_template(struct pairs *p, const char *key)
{
    struct gguf_cursor *c = p->c;
    uint64_t n = gguf_u64(c, key);
    if (c->err)
        return;
    if (n > LIMIT_GGUF_TEMPLATE || n > gguf_left(c)) {
        gguf_fail(c, n > gguf_left(c) ? E_MALFORMED : E_LIMIT,
                  "the chat template is said to be %" PRIu64 " bytes long", n);
        return;
    }
    char *text = mem_try((size_t)n + 1);
    if (!text) {
        gguf_fail(c, E_NO_MEMORY, "no memory for the chat template");
        return;
    }
    gguf_bytes(c, text, (size_t)n, key);
    p->sum->has_chat_template = n > 0;
    p->sum->has_tools = memmem(text, n, "tools", 5) || memmem(text, n, "tool_call", 9);
    p->sum->has_reasoning = memmem(text, n, "<think>", 7) || memmem(text, n, "reasoning", 9);
    free(text);
}

static void wrong_type(struct gguf_cursor *c, const char *key, uint32_t type, const char *wanted)
{
    gguf_fail(c, E_MALFORMED, "'%s' is of type %s, not %s", key,
              type < V_COUNT ? value_name[type] : "unknown", wanted);
}

static void take_row(struct pairs *p, const struct known *k, void *base, const char *key,
                     uint32_t type)
{
    struct gguf_cursor *c = p->c;
    uint64_t v = 0;
    switch (k->meaning) {
    case TAKES_STR:
        if (type != V_STR)
            wrong_type(c, key, type, "a string");
        else
            gguf_str(c, (char *)base + k->offset, k->size, LIMIT_GGUF_STRING, key);
        return;
    case TAKES_TEMPLATE:
        if (type != V_STR)
            wrong_type(c, key, type, "a string");
        else
            take_template(p, key);
        return;
    case TAKES_ARRAY:
        if (type != V_ARRAY) {
            wrong_type(c, key, type, "an array");
            return;
        }
        skip_array(c, key, (struct array *)((char *)base + k->offset));
        if (!c->err && ((struct array *)((char *)base + k->offset))->type != k->element)
            gguf_fail(c, E_MALFORMED, "'%s' is not an array of %s", key, value_name[k->element]);
        return;
    case TAKES_UINT:
    case TAKES_ARCH_UINT:
        if (!take_uint(c, key, type, &v))
            wrong_type(c, key, type, "a whole number");
        else if (!c->err && (v < k->min || v > k->max))
            gguf_fail(c, E_LIMIT,
                      "'%s' is %" PRIu64 "; it must be between %" PRIu64 " and %" PRIu64, key, v,
                      k->min, k->max);
        else if (k->size == sizeof(uint64_t))
            memcpy((char *)base + k->offset, &v, sizeof v);
        else
            memcpy((char *)base + k->offset, &(uint32_t){(uint32_t)v}, sizeof(uint32_t));
        return;
    }
}

static bool is_plain_key(const char *key, uint64_t n)
{
    if (n == 0 || strlen(key) != n)
        return false;
    for (; *key; key++) {
        if ((uint8_t)*key <= 32 || (uint8_t)*key >= 127)
            return false;
    }
    return true;
}

static void take_pair(struct pairs *p, uint64_t i)
{
    struct gguf_cursor *c = p->c;
    char key[LIMIT_GGUF_KEY + 1];
    uint64_t n = gguf_str(c, key, sizeof key, LIMIT_GGUF_KEY, "the name of a metadata pair");
    if (!c->err && !is_plain_key(key, n))
        gguf_fail(c, E_MALFORMED, "metadata pair %" PRIu64 " has a name that is not plain text", i);
    uint32_t type = gguf_u32(c, "the type of a metadata pair");
    if (c->err)
        return;
    if (map_put(&p->keys, bytes_str(key), p)) {
        gguf_fail(c, E_DUPLICATE, "the metadata pair '%s' is there twice", key);
        return;
    }
    bool is_sum;
    const struct known *k = find_row(p, key, &is_sum);
    if (!k) {
        skip_value(c, key, type);
        return;
    }
    take_row(p, k, is_sum ? (void *)p->sum : (void *)p, key, type);
    if (strcmp(key, "general.file_type") == 0)
        p->has_file_type = true;
}

/* --- after the pairs --- */
static bool is_hex(char ch)
{
    return isxdigit((unsigned char)ch) != 0;
}

/* A byte token is "<0xNN>", strictly; loaders feed it to a number parser. */
static void check_byte_tokens(struct pairs *p)
{
    enum { BYTE_TOKEN = 6 };
    if (!p->tokens.count || !p->token_types.count || p->c->err)
        return;
    struct gguf_cursor *text = mem_new(sizeof *text), *types = mem_new(sizeof *types);
    gguf_cursor_init(text, p->c->src, p->c->why);
    gguf_cursor_init(types, p->c->src, p->c->why);
    text->at = p->tokens.at;
    types->at = p->token_types.at;
    for (uint64_t i = 0; i < p->tokens.count && !text->err && !types->err; i++) {
        char token[8];
        uint64_t n = gguf_str(text, token, sizeof token, LIMIT_GGUF_STRING, "a token");
        if (gguf_u32(types, "a token type") != BYTE_TOKEN || text->err)
            continue;
        if (n != 6 || strncmp(token, "<0x", 3) != 0 || !is_hex(token[3]) || !is_hex(token[4]) ||
            token[5] != '>')
            gguf_fail(text, E_MALFORMED, "token %" PRIu64 " is marked as a byte, but is not <0xNN>",
                      i);
    }
    p->c->err = text->err ? text->err : types->err;
    free(text);
    free(types);
}

static void check_pairs(struct pairs *p)
{
    struct gguf_cursor *c = p->c;
    struct gguf_summary *s = p->sum;
    if (c->err)
        return;
    /* Shards after the first need not repeat the metadata. */
    if (!s->architecture[0] && s->split_no == 0)
        gguf_fail(c, E_MALFORMED, "general.architecture is missing: this is not a model");
    if (p->alignment & (p->alignment - 1))
        gguf_fail(c, E_MALFORMED, "general.alignment is %" PRIu32 ", which is not a power of two",
                  p->alignment);
    if (s->split_count > 1 && s->split_no >= s->split_count)
        gguf_fail(c, E_MALFORMED, "it says it is part %" PRIu32 " of %" PRIu32, s->split_no + 1,
                  s->split_count);
    const struct array *beside[] = {&p->scores, &p->token_types};
    for (size_t i = 0; i < 2; i++) {
        if (beside[i]->count && beside[i]->count != p->tokens.count)
            gguf_fail(c, E_MALFORMED, "there are %" PRIu64 " tokens, but %" PRIu64 " of their %s",
                      p->tokens.count, beside[i]->count, i ? "types" : "scores");
    }
    check_byte_tokens(p);
    s->vocabulary = (uint32_t)p->tokens.count;
    s->is_embedding = p->pooling != 0 || strstr(s->architecture, "bert") != NULL;
}

static void check_head(struct gguf_cursor *c, struct gguf_summary *s, uint64_t *pairs)
{
    char magic[4];
    gguf_bytes(c, magic, 4, "the magic number");
    if (!c->err && memcmp(magic, "GGUF", 4) != 0)
        gguf_fail(c, E_MALFORMED, "it does not begin with GGUF: this is not a GGUF file");
    s->version = gguf_u32(c, "the version");
    if (!c->err && (s->version < 2 || s->version > 3))
        gguf_fail(c, E_UNSUPPORTED,
                  "it is GGUF version %" PRIu32 "%s; versions 2 and 3 can be read", s->version,
                  s->version >> 16 ? " (big-endian?)" : "");
    s->tensor_count = gguf_u64(c, "the number of tensors");
    *pairs = gguf_u64(c, "the number of metadata pairs");
    if (!c->err && s->tensor_count > LIMIT_GGUF_TENSORS)
        gguf_fail(c, E_LIMIT, "it says it has %" PRIu64 " tensors; at most %d are allowed",
                  s->tensor_count, LIMIT_GGUF_TENSORS);
    if (!c->err && *pairs > LIMIT_GGUF_PAIRS)
        gguf_fail(c, E_LIMIT, "it says it has %" PRIu64 " metadata pairs; at most %d are allowed",
                  *pairs, LIMIT_GGUF_PAIRS);
}

int gguf_check(const struct gguf_source *src, struct gguf_summary *out, char why[static GGUF_WHY])
{
    memset(out, 0, sizeof *out);
    why[0] = 0;
    struct gguf_cursor *c = mem_new(sizeof *c);
    gguf_cursor_init(c, src, why);
    struct pairs p = {.c = c, .sum = out, .alignment = 32};
    map_init(&p.keys, src->hash_seed);
    uint64_t count = 0;
    check_head(c, out, &count);
    for (uint64_t i = 0; i < count && !c->err; i++)
        take_pair(&p, i);
    check_pairs(&p);
    if (!c->err)
        gguf_check_tensors(c, out, p.alignment);
    if (!c->err && p.has_file_type && gguf_file_type_name(p.file_type)[0])
        snprintf(out->quant, sizeof out->quant, "%s", gguf_file_type_name(p.file_type));
    int err = c->err;
    map_fini(&p.keys);
    free(c);
    return err;
}
