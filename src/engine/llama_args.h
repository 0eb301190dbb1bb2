// SPDX-License-Identifier: MIT
/* The command line of a llama-server. */
#ifndef CONDUIT_ENGINE_LLAMA_ARGS_H
#define CONDUIT_ENGINE_LLAMA_ARGS_H

#include "engine/engine.h"

enum { LLAMA_ARGS = 192 };

struct llama_args {
    const char *v[LLAMA_ARGS + 1]; /* NULL-terminated; owned with free_args */
    size_t n;
};

struct llama_plan {
    const char *server; /* path of llama-server */
    const char *self;   /* path of conduit; NULL: no sandbox */
    const char *file;   /* the GGUF; of a split one the first */
    const char
        *dir_ro; /* a folder that the weights' other files are in; the file's own folder is not
                             opened unless the model is split */
    const char *socket; /* path of the unix socket to listen on; ends in .sock */
    const char *socket_dir;
    const char *name;
    const struct engine_llama_options *options;
    uint32_t ctx_train;
    uint64_t weight_bytes;
    unsigned cores;
    int parent;
    bool is_embedding;
};

uint32_t llama_plan_slots(const struct llama_plan *p);
uint32_t llama_plan_ctx(const struct llama_plan *p); /* per slot; 0: the model's own */
unsigned llama_plan_threads(const struct llama_plan *p);
void llama_args_init(struct llama_args *a, const struct llama_plan *p);
void llama_args_fini(struct llama_args *a);

#endif
