// SPDX-License-Identifier: MIT
/* Inside of the engine room: units and who waits for them. */
#ifndef CONDUIT_ENGINE_ENGINE_IMPL_H
#define CONDUIT_ENGINE_ENGINE_IMPL_H

#include "engine/backend.h"
#include "engine/builtin.h"
#include "engine/digest_shell.h"
#include "engine/engine.h"
#include "engine/find.h"
#include "engine/llama_shell.h"

/* One place that tokens come from. What holds: busy <= slots when slots > 0; nobody waits while a slot is
 * free and the unit is ready. */
struct engine_unit {
    struct list link;
    struct engine *engine;
    enum engine_kind kind;
    char name[ENGINE_NAME];
    struct engine_model *models;
    size_t model_count;
    unsigned number;               /* from 1, in the order they came */
    uint64_t suspect_until_us;     /* a request failed here */
    uint32_t slots, busy, waiting; /* slots 0: no limit known */
    bool is_ready, is_shareable, is_right, has_fixed_models;
    struct list waiters;        /* tickets */
    struct backend_place place; /* of HTTP ones; of llama: origin, "localhost", "/v1" */
    char authorization[1100];
    struct http_header headers[1];
    size_t header_count;
    struct llama_child *llama;
    struct backend_poll *poll;
    struct builtin *builtin;
    struct digest digest;
};

struct engine {
    struct engine_config cfg;
    struct list units;
    struct task changed, loaded;
    struct timer stop_limit;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
    char *data_dir, *given_server, *server, *self;
    char self_path[512];
    bool is_stopping;
    unsigned last_number;
};

bool unit_is_suspect(const struct engine_unit *u);
/* The unit's state, slots or list changed: writes it into its models, lets waiters in, tells. */
void unit_refresh(struct engine_unit *u);
struct engine_unit *unit_new(struct engine *e, enum engine_kind kind, const char *name);
void unit_free(struct engine_unit *u);
/* Serves who waits, as far as slots are free; fails them all when the unit is not ready. */
void unit_admit(struct engine_unit *u);

enum ticket_state { TICKET_DEAD, TICKET_WAITING, TICKET_GRANTED, TICKET_FAILED, TICKET_USED };

#endif
