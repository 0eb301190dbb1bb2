// SPDX-License-Identifier: MIT
/* Where tokens come from: the models this node can serve itself, and a way to each for one request.
 *
 *   engine --unit per--> llama-server child (GGUF) | HTTP backend (URL) | built-in (echo:, replay:)
 *   engine_acquire -> (waits for a slot) -> ready(way) -> an HTTP request -> engine_release
 *
 * A unit is never given more requests than it has slots: who comes later waits here, in order (the
 * guard's queue decides who comes first). Used from the loop's thread only. */
#ifndef CONDUIT_ENGINE_ENGINE_H
#define CONDUIT_ENGINE_ENGINE_H

#include "base/list.h"
#include "base/sched.h"
#include "engine/gguf.h"
#include "engine/name.h"
#include "http/pool.h"

struct engine;
struct engine_unit;
struct loop;

enum engine_ability {
    ENGINE_CHAT = 1 << 0,
    ENGINE_COMPLETION = 1 << 1,
    ENGINE_EMBEDDINGS = 1 << 2,
    ENGINE_TOOLS = 1 << 3,
    ENGINE_VISION = 1 << 4,
    ENGINE_JSON_SCHEMA = 1 << 5,
    ENGINE_REASONING = 1 << 6,
};

enum engine_kind { ENGINE_LLAMA, ENGINE_HTTP, ENGINE_BUILTIN };

struct engine_model {
    char name[ENGINE_NAME];
    char alias[ENGINE_NAME]; /* the file's stem; "" when it is the name */
    char digest[65];         /* sha256 of the weights in hex; "" while it is computed, or unknown */
    char quant[24];
    uint32_t ctx;           /* served per slot; 0: unknown */
    uint32_t slots;         /* 0: unknown, no limit */
    uint32_t busy, waiting; /* of its unit */
    uint64_t parameters;
    unsigned abilities; /* enum engine_ability */
    enum engine_kind kind;
    bool is_ready;         /* can be asked now */
    bool is_shareable;     /* offered to others without being named in --share (DESIGN.md §6) */
    bool allows_extra;     /* everything a peer sends may pass */
    const char *unit_name; /* of the backend, for --share NAMES and messages */
    struct engine_unit *unit;
};

struct engine_llama_options { /* 0 and NULL: the engine's own default */
    uint32_t ctx, parallel, threads, gpu_layers, batch;
    bool has_gpu_layers;
    const char *mmproj;
    const char *const *lora; /* NULL-terminated; NULL: none */
};

struct engine_config {
    struct loop *loop;
    struct http_client *client;
    struct http_pool *pool;
    const char *data_dir;     /* logs, digest.cache */
    const char *llama_server; /* --llama-server or CONDUIT_LLAMA_SERVER; NULL: find it */
    const char *self;         /* this program, for `engine-exec`; NULL: /proc/self/exe */
    struct engine_llama_options llama;
    bool allow_extra_fields;
    bool no_sandbox; /* tests only */
    /* Models came, went, or changed whether they are ready; or a digest is known now. From the loop. */
    void (*changed)(void *ctx);
    /* busy or waiting changed. */
    void (*load_changed)(void *ctx);
    void *ctx;
};

enum { ENGINE_WHY = 512 };

/* Copies the configuration and what it points at. */
struct engine *engine_new(const struct engine_config *cfg);
/* Every ticket must be released. Kills children. */
void engine_free(struct engine *e);
/* Asks all children to stop; `stopped` from the loop when none is left (at most 5 s). */
void engine_stop(struct engine *e, void (*stopped)(void *ctx), void *ctx);

/* "[NAME=]FILE.gguf": checks it, names it, starts its llama-server. 0, or an error and a sentence. */
int engine_add_gguf(struct engine *e, const char *spec, char why[static ENGINE_WHY]);
/* "[NAME=]URL", "echo:…" or "replay:FILE". `models`: exactly these (NULL-terminated), or NULL. `key` goes
 * out as a bearer token, or NULL. */
int engine_add_backend(struct engine *e, const char *spec, const char *const *models,
                       const char *key, char why[static ENGINE_WHY]);

size_t engine_model_count(const struct engine *e);
/* Borrowed until the next turn of the loop. */
const struct engine_model *engine_model_at(const struct engine *e, size_t i);
/* By name, alias, name:quant or name@sha256:…; a ready one first. NULL: none. */
const struct engine_model *engine_model_find(const struct engine *e, struct bytes asked);
/* Units as they are, for the doctor: false past the end. Borrowed until the next turn of the loop. */
struct engine_unit_view {
    const char *name, *state;
    enum engine_kind kind;
    bool is_ready;   /* can be asked now */
    bool is_loading; /* will be, if nothing happens */
    size_t model_count;
};
bool engine_unit_at(const struct engine *e, size_t i, struct engine_unit_view *out);
/* One sentence on each unit, for `status`: "conduit-tiny: ready, 1 of 4 slots busy, pid 4711". */
void engine_describe(const struct engine *e, void (*line)(void *ctx, const char *text), void *ctx);

/* How to reach a model, for one request. Borrowed for the call of `ready`, but the stream. */
struct engine_way {
    struct stream *stream;            /* yours; for this request alone. Or NULL: */
    const struct http_origin *origin; /* for http_pool_call */
    const char *host;                 /* the Host field */
    const char *base_path;            /* replaces "/v1": "" gives "/chat/completions" */
    const struct http_header *headers;
    size_t header_count;
    const char *model; /* what the backend calls it: put into the body when it differs */
    bool needs_fixup;  /* relay through engine/fixup.h */
    unsigned unit;     /* which engine it is: for engine_suspect */
};

struct engine_ticket {
    /* Once, from the loop: 0 and a way; E_NOT_FOUND, E_UNAVAILABLE (not ready, or it died while this
     * waited). */
    void (*ready)(struct engine_ticket *t, int err, const struct engine_way *way);
    /* private */
    struct engine *engine;
    struct engine_unit *unit;
    struct task task;
    struct list link;
    char model[2 * ENGINE_NAME];
    uint8_t state;
};

void engine_acquire(struct engine *e, struct engine_ticket *t, struct bytes model);
/* Exactly once per acquire, before `ready` (never mind) or after (the request is over). */
void engine_release(struct engine *e, struct engine_ticket *t);
/* A request for that model failed at that unit (0: none had it yet), and not by its own fault: the backend
 * is asked how it is now, not in half a minute (a llama-server's death is seen without), and for some
 * seconds every other unit that has the model is preferred. True: there is one, ready. */
bool engine_suspect(struct engine *e, struct bytes model, unsigned unit);
/* Slots of all ready units that have a model of this name together; 0: one does not know its own. */
uint32_t engine_model_slots(const struct engine *e, struct bytes model);

#endif
