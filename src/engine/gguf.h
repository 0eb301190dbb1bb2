// SPDX-License-Identifier: MIT
/* A strict reader of GGUF files (ggml's docs/gguf.md, versions 2 and 3), run before llama.cpp sees one.
 *
 *   magic version | tensor count, pair count | pairs: key type value | tensors: name dims type offset
 *   | padding | data of the tensors, in order, each padded to general.alignment
 *
 * Loaders of this format were broken again and again by counts, lengths and shapes that lie. So
 * nothing here is believed: every sum is checked for overflow, every length against the rest of the
 * file before anything is allocated, every tensor must lie within the file exactly behind the one
 * before it, and the pairs that a loader reads without looking (vocabulary, scores, block count)
 * must have the types it expects. What is read goes through one window: memory does not grow with
 * the file. A mistake is a sentence that says where. */
#ifndef CONDUIT_ENGINE_GGUF_H
#define CONDUIT_ENGINE_GGUF_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

/* Where the bytes come from. `read` gives exactly n bytes at `at` (within size): 0 or E_IO. */
struct gguf_source {
    int (*read)(void *ctx, uint64_t at, void *p, size_t n);
    void *ctx;
    uint64_t size;
    uint64_t hash_seed; /* from rng: tensor names are the file's choice */
};

enum { GGUF_WHY = 256, GGUF_NAME = 128 };

struct gguf_summary {
    uint32_t version;
    char name[GGUF_NAME];  /* general.name; "" when absent */
    char architecture[64]; /* general.architecture */
    char type[32];         /* general.type: "model", "mmproj", "adapter"; "" when absent */
    char quant[24];        /* "Q4_K_M"; from general.file_type, else the commonest tensor type */
    char tokenizer[32];    /* tokenizer.ggml.model */
    uint64_t parameters;   /* elements of all tensors in this file */
    uint64_t tensor_bytes;
    uint64_t tensor_count;
    uint32_t ctx_train; /* ARCH.context_length; 0 when absent */
    uint32_t block_count, embedding_length;
    uint32_t vocabulary;            /* tokens */
    uint32_t split_no, split_count; /* split_count 0 or 1: not split */
    bool has_chat_template;
    bool has_tools;     /* the template speaks of tools */
    bool has_reasoning; /* the template speaks of thinking */
    bool is_embedding;  /* made for embeddings: an encoder, or it pools */
};

/* 0; E_MALFORMED, E_LIMIT, E_UNSUPPORTED or E_IO with a sentence in `why`. */
int gguf_check(const struct gguf_source *src, struct gguf_summary *out, char why[static GGUF_WHY]);

/* Sums are of `a + b` and `a * b` without overflow; shared with the tensor part. */
struct gguf_type {
    const char *name; /* NULL: no such type */
    uint16_t block;   /* elements in a block */
    uint16_t size;    /* bytes of a block */
};
const struct gguf_type *gguf_type_of(uint32_t type); /* NULL when unknown */
const char *gguf_file_type_name(uint32_t file_type); /* "" when unknown */

/* Split files: "x-00001-of-00003.gguf". True with number and count when `path` is named so. */
bool gguf_split_parse(const char *path, unsigned *no, unsigned *count, size_t *stem_len);
/* The path of shard `no` (from 1) beside `path`; 0 or E_TOO_BIG. */
int gguf_split_path(const char *path, unsigned no, char *out, size_t size);

#endif
