// SPDX-License-Identifier: MIT
/* The command line of a llama-server: the sandbox in front, then the model, then the numbers. */
#include "engine/llama_args.h"

#include "base/mem.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_SLOTS = 4, DEFAULT_CTX = 8192, THREADS_MAX = 16, DEFAULT_UBATCH = 512 };
#define TINY_WEIGHTS (64 * MIB)

uint32_t llama_plan_slots(const struct llama_plan *p)
{
    return p->options->parallel ? p->options->parallel : DEFAULT_SLOTS;
}

uint32_t llama_plan_ctx(const struct llama_plan *p)
{
    uint32_t ctx = p->options->ctx ? p->options->ctx : DEFAULT_CTX;
    return p->ctx_train && ctx > p->ctx_train ? p->ctx_train : ctx;
}

/* ggml's threads spin while they wait: one core stays free for everybody else, and a tiny model is
 * fastest on one. */
unsigned llama_plan_threads(const struct llama_plan *p)
{
    if (p->options->threads)
        return p->options->threads;
    if (p->weight_bytes < TINY_WEIGHTS || p->cores <= 2)
        return 1;
    return p->cores - 1 < THREADS_MAX ? p->cores - 1 : THREADS_MAX;
}

/* Pooling shares the physical batch out among the slots, and llama.cpp aborts at the start when it is no
 * multiple of them (build 11669: 3, 5, 6 or 7 slots of 512). 0: as llama-server has it. */
static uint32_t plan_ubatch(const struct llama_plan *p)
{
    uint32_t batch = p->options->batch, slots = llama_plan_slots(p);
    uint32_t own = batch && batch < DEFAULT_UBATCH ? batch : DEFAULT_UBATCH;
    if (own % slots == 0)
        return 0;
    return own > slots ? own - own % slots : slots;
}

static void add(struct llama_args *a, const char *s)
{
    if (a->n < LLAMA_ARGS)
        a->v[a->n++] = mem_strdup(s);
}

static void add_pair(struct llama_args *a, const char *flag, const char *value)
{
    add(a, flag);
    add(a, value);
}

static void add_number(struct llama_args *a, const char *flag, uint64_t value)
{
    char *text = mem_printf("%" PRIu64, value);
    add_pair(a, flag, text);
    free(text);
}

/* The folder of a file, and for a program the libraries beside and behind it. */
static void add_folder(struct llama_args *a, const char *path, const char *more)
{
    char real[PATH_MAX];
    char *slash = realpath(path, real) ? strrchr(real, '/') : NULL;
    if (!slash || slash == real)
        return;
    *slash = 0;
    char *dir = mem_printf("%s%s", real, more);
    add_pair(a, "--ro", dir);
    free(dir);
}

static void add_sandbox(struct llama_args *a, const struct llama_plan *p)
{
    add_pair(a, p->self, "engine-exec");
    add_number(a, "--parent", (uint64_t)p->parent);
    add_folder(a, p->server, "");
    add_folder(a, p->server, "/../lib");
    add_folder(a, p->server, "/../root");
    add_pair(a, "--ro", p->file);
    unsigned no, count;
    size_t stem;
    for (unsigned i = 2; gguf_split_parse(p->file, &no, &count, &stem) && i <= count && i <= 40;
         i++) {
        char shard[PATH_MAX];
        if (gguf_split_path(p->file, i, shard, sizeof shard) == 0)
            add_pair(a, "--ro", shard);
    }
    if (p->options->mmproj)
        add_pair(a, "--ro", p->options->mmproj);
    for (const char *const *l = p->options->lora; l && *l; l++)
        add_pair(a, "--ro", *l);
    add_pair(a, "--rw", p->socket_dir);
    add(a, "--");
}

void llama_args_init(struct llama_args *a, const struct llama_plan *p)
{
    const struct engine_llama_options *o = p->options;
    memset(a, 0, sizeof *a);
    if (p->self)
        add_sandbox(a, p);
    add(a, p->server);
    add_pair(a, "--model", p->file);
    add_pair(a, "--host", p->socket);
    add_pair(a, "--alias", p->name);
    uint32_t slots = llama_plan_slots(p), ctx = llama_plan_ctx(p);
    add_number(a, "--parallel", slots);
    add_number(a, "--ctx-size", (uint64_t)ctx * slots);
    add_number(a, "--threads", llama_plan_threads(p));
    if (o->has_gpu_layers)
        add_number(a, "--n-gpu-layers", o->gpu_layers);
    uint32_t ubatch = plan_ubatch(p);
    if (o->batch)
        add_number(a, "--batch-size", o->batch > ubatch ? o->batch : ubatch);
    if (ubatch)
        add_number(a, "--ubatch-size", ubatch);
    if (o->mmproj)
        add_pair(a, "--mmproj", o->mmproj);
    for (const char *const *l = o->lora; l && *l; l++)
        add_pair(a, "--lora", *l);
    add(a, "--embeddings"); /* else /v1/embeddings answers 501 */
    if (!p->is_embedding)
        add_pair(a, "--pooling", "mean");
    add(a, "--jinja");
    add(a, "--no-webui");
    add(a, "--offline");
}

void llama_args_fini(struct llama_args *a)
{
    for (size_t i = 0; i < a->n; i++)
        free((char *)a->v[i]);
    a->n = 0;
}
