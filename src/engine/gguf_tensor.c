// SPDX-License-Identifier: MIT
/* Tensors of a GGUF. Loaders map them by offset and size, so an offset that lies is a read or write
 * anywhere: each must begin where the one before it ended (padded), as writers do and llama.cpp
 * demands, and the last must end within the file. */
#include "engine/gguf_tensor.h"

#include "base/map.h"

#include <inttypes.h>
#include <stdio.h>

/* ggml.h, enum ggml_type: {name, elements in a block, bytes of a block}. */
static const struct gguf_type types[] = {
    [0] = {"F32", 1, 4},         [1] = {"F16", 1, 2},         [2] = {"Q4_0", 32, 18},
    [3] = {"Q4_1", 32, 20},      [6] = {"Q5_0", 32, 22},      [7] = {"Q5_1", 32, 24},
    [8] = {"Q8_0", 32, 34},      [9] = {"Q8_1", 32, 36},      [10] = {"Q2_K", 256, 84},
    [11] = {"Q3_K", 256, 110},   [12] = {"Q4_K", 256, 144},   [13] = {"Q5_K", 256, 176},
    [14] = {"Q6_K", 256, 210},   [15] = {"Q8_K", 256, 292},   [16] = {"IQ2_XXS", 256, 66},
    [17] = {"IQ2_XS", 256, 74},  [18] = {"IQ3_XXS", 256, 98}, [19] = {"IQ1_S", 256, 50},
    [20] = {"IQ4_NL", 32, 18},   [21] = {"IQ3_S", 256, 110},  [22] = {"IQ2_S", 256, 82},
    [23] = {"IQ4_XS", 256, 136}, [24] = {"I8", 1, 1},         [25] = {"I16", 1, 2},
    [26] = {"I32", 1, 4},        [27] = {"I64", 1, 8},        [28] = {"F64", 1, 8},
    [29] = {"IQ1_M", 256, 56},   [30] = {"BF16", 1, 2},       [34] = {"TQ1_0", 256, 54},
    [35] = {"TQ2_0", 256, 66},   [39] = {"MXFP4", 32, 17},    [40] = {"NVFP4", 64, 36},
    [41] = {"Q1_0", 128, 18},
};

/* llama.h, enum llama_ftype. */
static const char *const file_types[] = {
    [0] = "F32",      [1] = "F16",      [2] = "Q4_0",    [3] = "Q4_1",    [7] = "Q8_0",
    [8] = "Q5_0",     [9] = "Q5_1",     [10] = "Q2_K",   [11] = "Q3_K_S", [12] = "Q3_K_M",
    [13] = "Q3_K_L",  [14] = "Q4_K_S",  [15] = "Q4_K_M", [16] = "Q5_K_S", [17] = "Q5_K_M",
    [18] = "Q6_K",    [19] = "IQ2_XXS", [20] = "IQ2_XS", [21] = "Q2_K_S", [22] = "IQ3_XS",
    [23] = "IQ3_XXS", [24] = "IQ1_S",   [25] = "IQ4_NL", [26] = "IQ3_S",  [27] = "IQ3_M",
    [28] = "IQ2_S",   [29] = "IQ2_M",   [30] = "IQ4_XS", [31] = "IQ1_M",  [32] = "BF16",
    [36] = "TQ1_0",   [37] = "TQ2_0",   [38] = "MXFP4",
};

const struct gguf_type *gguf_type_of(uint32_t type)
{
    return type < ARRAY_LEN(types) && types[type].name ? &types[type] : NULL;
}

const char *gguf_file_type_name(uint32_t file_type)
{
    const char *name = file_type < ARRAY_LEN(file_types) ? file_types[file_type] : NULL;
    return name ? name : "";
}

struct tensor {
    char name[64];
    char shown[64];
    uint64_t index;
    uint64_t elements, bytes, offset;
    uint32_t type;
};

struct tensors {
    struct gguf_cursor *c;
    struct map names;
    uint32_t alignment;
    uint64_t expected, end; /* where the next begins; where the last ends; from the data's begin */
    uint64_t bytes_of[ARRAY_LEN(types)];
    struct tensor last;
};

static void take_shape(struct gguf_cursor *c, struct tensor *t)
{
    uint32_t dims = gguf_u32(c, "the dimensions of a tensor");
    if (!c->err && (dims == 0 || dims > 4))
        gguf_fail(c, E_MALFORMED,
                  "tensor %" PRIu64 " '%s' has %" PRIu32 " dimensions; 1 to 4 exist", t->index,
                  t->shown, dims);
    uint64_t n[4] = {1, 1, 1, 1};
    t->elements = 1;
    for (uint32_t i = 0; i < dims && !c->err; i++) {
        n[i] = gguf_u64(c, "the shape of a tensor");
        if (!c->err &&
            (n[i] == 0 || n[i] > INT64_MAX ||
             __builtin_mul_overflow(t->elements, n[i], &t->elements) || t->elements > INT64_MAX))
            gguf_fail(c, E_MALFORMED, "tensor %" PRIu64 " '%s' has a shape that cannot be",
                      t->index, t->shown);
    }
    t->type = gguf_u32(c, "the type of a tensor");
    if (c->err)
        return;
    const struct gguf_type *type = gguf_type_of(t->type);
    if (!type) {
        gguf_fail(c, E_UNSUPPORTED, "tensor %" PRIu64 " '%s' has the unknown type %" PRIu32,
                  t->index, t->shown, t->type);
        return;
    }
    if (n[0] % type->block)
        gguf_fail(c, E_MALFORMED,
                  "tensor %" PRIu64 " '%s' has rows of %" PRIu64
                  ", which %s cannot hold (blocks of %d)",
                  t->index, t->shown, n[0], type->name, type->block);
    else if (__builtin_mul_overflow(t->elements / type->block, (uint64_t)type->size, &t->bytes) ||
             t->bytes > INT64_MAX)
        gguf_fail(c, E_MALFORMED, "tensor %" PRIu64 " '%s' is larger than any memory", t->index,
                  t->shown);
}

static void place(struct tensors *ts, const struct tensor *t)
{
    struct gguf_cursor *c = ts->c;
    if (t->offset != ts->expected) {
        gguf_fail(c, E_MALFORMED,
                  "tensor %" PRIu64 " '%s' is said to be at offset %" PRIu64
                  "; it must be at %" PRIu64,
                  t->index, t->shown, t->offset, ts->expected);
        return;
    }
    uint64_t padded;
    if (__builtin_add_overflow(t->offset, t->bytes, &ts->end) ||
        __builtin_add_overflow(ts->end, ts->alignment - 1, &padded)) {
        gguf_fail(c, E_MALFORMED, "tensor %" PRIu64 " '%s' ends beyond any file", t->index,
                  t->shown);
        return;
    }
    ts->expected = padded & ~(uint64_t)(ts->alignment - 1);
}

static void take_tensor(struct tensors *ts, uint64_t i, struct gguf_summary *sum)
{
    struct gguf_cursor *c = ts->c;
    struct tensor *t = &ts->last;
    t->index = i;
    uint64_t n = gguf_str(c, t->name, sizeof t->name, sizeof t->name - 1, "the name of a tensor");
    if (!c->err && (n == 0 || strlen(t->name) != n))
        gguf_fail(c, E_MALFORMED, "tensor %" PRIu64 " has no proper name", i);
    gguf_shown(t->name, t->shown, sizeof t->shown);
    take_shape(c, t);
    t->offset = gguf_u64(c, "the offset of a tensor");
    if (c->err)
        return;
    if (map_put(&ts->names, bytes_str(t->name), ts)) {
        gguf_fail(c, E_DUPLICATE, "tensor %" PRIu64 " '%s' is there twice", i, t->shown);
        return;
    }
    place(ts, t);
    ts->bytes_of[t->type] += t->bytes;
    sum->parameters += t->elements;
    sum->tensor_bytes += t->bytes;
}

void gguf_check_tensors(struct gguf_cursor *c, struct gguf_summary *sum, uint32_t alignment)
{
    struct tensors ts = {.c = c, .alignment = alignment};
    map_init(&ts.names, c->src->hash_seed);
    for (uint64_t i = 0; i < sum->tensor_count && !c->err; i++) {
        take_tensor(&ts, i, sum);
        uint64_t data = (c->at + alignment - 1) & ~(uint64_t)(alignment - 1), ends = 0;
        /* The head only grows, so a tensor that ends too late now does so at the end as well. */
        if (!c->err && (__builtin_add_overflow(data, ts.end, &ends) || ends > c->src->size))
            gguf_fail(c, E_MALFORMED,
                      "tensor %" PRIu64 " '%s' ends at byte %" PRIu64 ", the file has %" PRIu64, i,
                      ts.last.shown, ends, c->src->size);
    }
    uint64_t data = (c->at + alignment - 1) & ~(uint64_t)(alignment - 1);
    if (!c->err && ts.end && data + ts.end > c->src->size)
        gguf_fail(c, E_MALFORMED, "the tensors end at byte %" PRIu64 ", the file has %" PRIu64,
                  data + ts.end, c->src->size);
    size_t most = 0;
    for (size_t i = 1; i < ARRAY_LEN(types); i++) {
        if (ts.bytes_of[i] > ts.bytes_of[most])
            most = i;
    }
    if (!c->err && sum->tensor_count)
        snprintf(sum->quant, sizeof sum->quant, "%s", types[most].name);
    map_fini(&ts.names);
}
