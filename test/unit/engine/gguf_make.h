// SPDX-License-Identifier: MIT
/* Writes small GGUF files for tests, piece by piece, so that each piece can lie. */
#ifndef CONDUIT_TEST_GGUF_MAKE_H
#define CONDUIT_TEST_GGUF_MAKE_H

#include "base/buf.h"
#include "base/mem.h"
#include "engine/gguf.h"

#include <stdlib.h>

struct gguf_make {
    struct buf pairs, tensors, out;
    uint64_t pair_count, tensor_count, data_n;
    uint32_t version, alignment;
    uint64_t lie_pairs, lie_tensors; /* added to the counts */
};

static inline void put_int(struct buf *b, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        buf_append_byte(b, (uint8_t)(v >> (8 * i)));
}

static inline void put_text(struct buf *b, const char *s)
{
    put_int(b, strlen(s), 8);
    buf_append_str(b, s);
}

static inline void make_init(struct gguf_make *m)
{
    memset(m, 0, sizeof *m);
    m->version = 3;
    m->alignment = 32;
}

static inline void make_fini(struct gguf_make *m)
{
    buf_fini(&m->pairs);
    buf_fini(&m->tensors);
    buf_fini(&m->out);
}

static inline struct buf *make_pair(struct gguf_make *m, const char *key, uint32_t type)
{
    put_text(&m->pairs, key);
    put_int(&m->pairs, type, 4);
    m->pair_count++;
    return &m->pairs;
}

static inline void make_str(struct gguf_make *m, const char *key, const char *value)
{
    put_text(make_pair(m, key, 8), value);
}

static inline void make_u32(struct gguf_make *m, const char *key, uint32_t value)
{
    put_int(make_pair(m, key, 4), value, 4);
}

/* The head of an array; its elements follow into m->pairs. */
static inline void make_array(struct gguf_make *m, const char *key, uint32_t type, uint64_t count)
{
    make_pair(m, key, 9);
    put_int(&m->pairs, type, 4);
    put_int(&m->pairs, count, 8);
}

static inline void make_tensor_at(struct gguf_make *m, const char *name, uint32_t dims,
                                  const uint64_t *shape, uint32_t type, uint64_t offset)
{
    put_text(&m->tensors, name);
    put_int(&m->tensors, dims, 4);
    for (uint32_t i = 0; i < dims && i < 8; i++)
        put_int(&m->tensors, shape[i], 8);
    put_int(&m->tensors, type, 4);
    put_int(&m->tensors, offset, 8);
    m->tensor_count++;
}

/* An F32 vector right behind the one before. */
static inline void make_vector(struct gguf_make *m, const char *name, uint64_t n)
{
    uint64_t at = (m->data_n + m->alignment - 1) / m->alignment * m->alignment;
    make_tensor_at(m, name, 1, &n, 0, at);
    m->data_n = at + n * 4;
}

static inline struct bytes make_end(struct gguf_make *m)
{
    buf_clear(&m->out);
    buf_append_str(&m->out, "GGUF");
    put_int(&m->out, m->version, 4);
    put_int(&m->out, m->tensor_count + m->lie_tensors, 8);
    put_int(&m->out, m->pair_count + m->lie_pairs, 8);
    buf_append_bytes(&m->out, buf_view(&m->pairs));
    buf_append_bytes(&m->out, buf_view(&m->tensors));
    while (m->tensor_count && buf_len(&m->out) % m->alignment)
        buf_append_byte(&m->out, 0);
    for (uint64_t i = 0; i < m->data_n; i++)
        buf_append_byte(&m->out, 0);
    return buf_view(&m->out);
}

/* A small model without a fault. */
static inline void make_good(struct gguf_make *m)
{
    static const char *const tokens[] = {"<s>", "<0x0A>", "hello"};
    static const uint32_t types[] = {3, 6, 1};
    make_init(m);
    make_str(m, "general.architecture", "llama");
    make_str(m, "general.name", "Tiny Model");
    make_u32(m, "general.file_type", 15);
    make_u32(m, "llama.context_length", 512);
    make_u32(m, "llama.block_count", 2);
    make_u32(m, "llama.embedding_length", 8);
    make_str(m, "tokenizer.ggml.model", "llama");
    make_str(m, "tokenizer.chat_template", "{% if tools %}…{% endif %}");
    make_array(m, "tokenizer.ggml.tokens", 8, 3);
    for (int i = 0; i < 3; i++)
        put_text(&m->pairs, tokens[i]);
    make_array(m, "tokenizer.ggml.token_type", 5, 3);
    for (int i = 0; i < 3; i++)
        put_int(&m->pairs, types[i], 4);
    make_vector(m, "token_embd.weight", 10);
    make_vector(m, "blk.0.attn_norm.weight", 8);
    make_vector(m, "output.weight", 8);
}

static inline int make_read(void *ctx, uint64_t at, void *p, size_t n)
{
    memcpy(p, (const uint8_t *)ctx + at, n);
    return 0;
}

/* Checks a copy of exactly `file`'s size, so that a sanitizer sees a read past its end. */
static inline int make_check(struct bytes file, struct gguf_summary *sum, char why[static GGUF_WHY])
{
    uint8_t *copy = mem_new(file.n ? file.n : 1);
    memcpy(copy, file.p, file.n);
    struct gguf_source src = {make_read, copy, file.n, 42};
    int err = gguf_check(&src, sum, why);
    free(copy);
    return err;
}

#endif
