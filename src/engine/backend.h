// SPDX-License-Identifier: MIT
/* An OpenAI-compatible URL as a backend: what it is called, where its paths are, which models it has,
 * and when to ask again. Pure; backend_poll.c does the asking.
 *
 *   http://host:11434  http://host:11434/  http://host:11434/v1  …/api/v3/   all work: a path that ends
 *   in /vN is the base, any other gets /v1 */
#ifndef CONDUIT_ENGINE_BACKEND_H
#define CONDUIT_ENGINE_BACKEND_H

#include "engine/engine.h"
#include "http/url.h"

struct backend_place {
    struct http_origin origin;
    char host[280];       /* the Host field */
    char base_path[1024]; /* "/v1" */
    bool is_near;         /* loopback or LAN: shared without being named, when there is no key */
};

/* 0, or E_MALFORMED and a sentence. */
int backend_place(const char *url, struct backend_place *out, char why[static ENGINE_WHY]);
/* Name from the URL when none was given: "ollama" for port 11434 and so on, else the host. */
void backend_default_name(const struct backend_place *p, char out[static ENGINE_NAME]);
/* "CONDUIT_BACKEND_<NAME>_KEY", upper case, other characters as '_'. */
void backend_key_variable(const char *name, char out[static ENGINE_NAME + 32]);

struct backend_list {
    struct backend_entry {
        char id[ENGINE_NAME];
        uint32_t ctx; /* llama-server's meta.n_ctx, vLLM's max_model_len; 0: not said */
    } * v;
    size_t n;
    bool is_llama_server; /* known to be right: relayed untouched */
};
/* The answer of GET /v1/models: 0, E_MALFORMED or E_LIMIT with a sentence. */
int backend_list_parse(struct bytes body, struct backend_list *out, char why[static ENGINE_WHY]);
void backend_list_fini(struct backend_list *l);

/* --- health: when to ask again --- */
struct backend_health {
    bool is_up, was_asked;
    uint32_t failures; /* in a row */
};
/* An answer came or did not: how long until the next question. Up: 30 s. Down: 1 s, doubling to 60 s. A
 * single failure does not take down a backend that was up. */
uint64_t backend_health_step(struct backend_health *h, bool is_ok);

/* --- asking --- */
struct backend_poll;
struct backend_poll_config {
    struct sched *sched;
    struct http_pool *pool;
    const struct backend_place *place; /* borrowed */
    const struct http_header *headers; /* borrowed */
    size_t header_count;
    const char *name;
    bool
        needs_no_list; /* models are named: any answer below 500 will do, but that the key is wrong */
    /* From the loop. list: NULL when it does not answer, or its list is not needed. */
    void (*polled)(void *ctx, const struct backend_list *list);
    void *ctx;
};
struct backend_poll *backend_poll_open(const struct backend_poll_config *cfg);
/* A request just failed: is it there? At most one question a second; none beside the back-off's. */
void backend_poll_now(struct backend_poll *p);
void backend_poll_close(struct backend_poll *p);
bool backend_poll_is_up(const struct backend_poll *p);
bool backend_poll_is_well(const struct backend_poll *p); /* its last answer was good */

#endif
