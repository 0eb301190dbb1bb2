// SPDX-License-Identifier: MIT
/* One llama-server: the machine of llama.h with a process, a log, and health checks over its socket. */
#ifndef CONDUIT_ENGINE_LLAMA_SHELL_H
#define CONDUIT_ENGINE_LLAMA_SHELL_H

#include "engine/llama.h"
#include "engine/llama_args.h"

struct llama_child;

struct llama_child_config {
    struct loop *loop;
    struct http_pool *pool;
    struct llama_plan plan; /* strings are copied; socket, parent and cores are filled in */
    const char *log_path;   /* "…/NAME.log"; the one before is NAME.log.1 */
    /* From the loop: ready or not any more, given up, or stopped. */
    void (*changed)(void *ctx);
    void *ctx;
};

/* 0, or an error and a sentence. It starts at once. */
int llama_child_open(const struct llama_child_config *cfg, struct llama_child **out,
                     char why[static ENGINE_WHY]);
void llama_child_start(struct llama_child *c); /* again, after it gave up */
void llama_child_stop(struct llama_child *c);
void llama_child_close(struct llama_child *c); /* kills it if it still runs */
const struct llama *llama_child_state(const struct llama_child *c);
const struct http_origin *llama_child_origin(const struct llama_child *c);
uint32_t llama_child_slots(const struct llama_child *c);
uint32_t llama_child_ctx(const struct llama_child *c); /* per slot, as served */
int llama_child_pid(const struct llama_child *c);      /* 0: none */

#endif
