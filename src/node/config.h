// SPDX-License-Identifier: MIT
/* What a node is told: every option once, in one table.
 *
 * An option has a key (as in the file), a flag (the key with `-`), an environment variable
 * (`CONDUIT_` and the key in capitals), a type, a default and a sentence. Where a value comes from is
 * decided by rank: flag > environment > file > default; lists are replaced whole by the higher
 * rank, not mixed. The other spellings that seed projects use are aliases of rows, in the same
 * table. `docs/CONFIG.md` and `--help` are printed from it, so they cannot differ from the code.
 *
 * Mistakes are sentences that name the place: "config.yml:3: unknown key 'modles'; did you mean
 * 'models'?". Nothing is ignored. */
#ifndef CONDUIT_NODE_CONFIG_H
#define CONDUIT_NODE_CONFIG_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A list of strings, owned. */
struct strlist {
    char **v;
    size_t n;
};

void strlist_add(struct strlist *l, const char *s, size_t n);
void strlist_clear(struct strlist *l);

enum config_rank { RANK_DEFAULT, RANK_FILE, RANK_ENV, RANK_FLAG };

struct config {
    /* what is served */
    struct strlist model;   /* [NAME=]FILE.gguf */
    struct strlist models;  /* announce exactly these of the backend */
    struct strlist backend; /* [NAME=]URL */
    struct strlist share;   /* names, or "none" */
    char *local_llm, *local_llm_api_key;
    /* network */
    struct strlist bootstrap;
    uint32_t p2p_port, http_port, max_feeds;
    char *p2p_host, *http_host, *psk;
    struct strlist join, allow_peer, deny_peer; /* invites; ids or files of ids */
    bool invite_only;
    bool open, mdns;
    /* relays */
    char *relay; /* limited, unlimited */
    bool no_relay;
    struct strlist relay_for; /* peer ids */
    uint64_t relay_bandwidth;
    /* the HTTP address */
    bool no_auth;
    char *access_key;
    struct strlist allow_host, allow_origin;
    /* state */
    char *data_dir, *config, *node_id, *compat;
    /* engine */
    uint32_t ctx, parallel, threads, gpu_layers, batch;
    char *mmproj, *llama_server;
    struct strlist lora;
    bool allow_extra_fields;
    /* limits for others */
    uint32_t max_context;
    uint32_t requests_per_minute, requests_per_minute_per_peer, max_concurrent, max_connections;
    uint64_t max_body;
    char *schedule_start, *schedule_end;
    /* timing */
    uint32_t head_wait_ms, keepalive_ms, stall_ms, heartbeat_interval;
    uint32_t shutdown_timeout;
    /* log */
    char *log_level;

    uint8_t rank[128]; /* per row of the table */
};

enum { CONFIG_WHY = 512 };

void config_init(struct config *c);
void config_fini(struct config *c);

/* Reads `argv[1..]` of `conduit up`. 0; 1 when help was asked for; E_INVALID with a sentence. */
int config_read_flags(struct config *c, int argc, char *const *argv, char why[static CONFIG_WHY]);
/* Of a command that takes those options and a word of its own, anywhere among them: the first argument that is neither
 * an option nor the value of one, taken out of argv (which ends with NULL); NULL: there is none. */
const char *config_take_operand(int *argc, char **argv);
/* CONDUIT_*; with compat "llamanet" also MODEL_PATH, HOST, PORT, DHT_PORT… `env` is like environ. */
int config_read_env(struct config *c, char *const *env, char why[static CONFIG_WHY]);
/* A YAML file; `name` is for messages. */
int config_read_file(struct config *c, const char *path, char why[static CONFIG_WHY]);
int config_read_yaml(struct config *c, struct bytes text, const char *name,
                     char why[static CONFIG_WHY]);
/* All of it in order, the default file included, then checks that values fit each other. */
int config_load(struct config *c, int argc, char *const *argv, char *const *env,
                char why[static CONFIG_WHY]);
/* Sets one option by key, as a flag would, when `rank` is not below what set it before. */
int config_set(struct config *c, const char *key, const char *value, enum config_rank rank,
               char why[static CONFIG_WHY]);

/* Whether anybody set it: for options whose default is not a value. */
bool config_is_given(const struct config *c, const char *key);

/* The data directory that the configuration means (--data-dir, CONDUIT_HOME, XDG); heap, yours. */
char *config_data_dir(const struct config *c, char *const *env);

/* Prints the table: for `--help`, and as docs/CONFIG.md. */
void config_print_help(FILE *out);
void config_print_markdown(FILE *out);

/* Edit distance for "did you mean"; small words only. */
const char *config_nearest(const char *word, const char *(*next)(void *ctx), void *ctx);

#endif
