// SPDX-License-Identifier: MIT
/* The table of options, and setting them from the environment; see config.h. */
#include "node/config.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "node/config_table.h"

#include <ctype.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ROW(type, field, key, alias, arg, def, help)                                               \
    {                                                                                              \
        key, alias, arg, def, help, OPT_##type, offsetof(struct config, field)                     \
    }

/* clang-format off */
const struct config_row config_table[] = {
    GROUP("What this node serves"),
    ROW(LIST, model, "model", "model_path", "[NAME=]FILE.gguf", NULL, "serve a GGUF file with llama.cpp; may be repeated"),
    ROW(LIST, backend, "backend", NULL, "[NAME=]URL", NULL, "serve the models of an OpenAI-compatible server; echo: and replay:FILE are built in; its key is read from CONDUIT_BACKEND_<NAME>_KEY"),
    ROW(LIST, models, "models", NULL, "ID,…", NULL, "announce exactly these models of the backend"),
    ROW(LIST, share, "share", NULL, "NAMES|none", NULL, "what others may use: names of models or backends; default: GGUF models and keyless backends on loopback or the LAN"),
    ROW(STR, local_llm, "local_llm", NULL, "URL", NULL, "seed Conduit's spelling of --backend"),
    ROW(STR, local_llm_api_key, "local_llm_api_key", NULL, "KEY", NULL, "key of local_llm (better in the file or the environment than on the command line)"),
    GROUP("Network"),
    ROW(LIST, bootstrap, "bootstrap", "bootstrap_nodes", "ADDR,…", NULL, "join through these nodes: multiaddr or host:port"),
    ROW(PORT, p2p_port, "p2p_port", "dht_port", "PORT", "8000", "libp2p port; 0 takes a free one"),
    ROW(STR, p2p_host, "p2p_host", NULL, "IP", NULL, "listen for peers on this address only; default: all, IPv4 and IPv6"),
    ROW(STR, psk, "psk", NULL, "FILE", NULL, "be in the private network of this key (a swarm.key as kubo's); conduit key psk FILE makes one"),
    ROW(BOOL, mdns, "mdns", NULL, NULL, "true", "find the nodes of the LAN and be found there: listed, and used and served only when named, invited or --open"),
    ROW(LIST, join, "join", NULL, "INVITE|FILE", NULL, "be the guest of the node that made this invite, at each start: conduit1:…, or a file with it; a file or CONDUIT_JOIN keeps it out of the list of processes"),
    ROW(BOOL, invite_only, "invite_only", "closed", NULL, NULL, "serve guests with an invite and --allow-peer only"),
    ROW(LIST, allow_peer, "allow_peer", NULL, "ID|FILE,…", NULL, "only these peers may connect, and guests with an invite; a file has one id per line"),
    ROW(LIST, deny_peer, "deny_peer", NULL, "ID|FILE,…", NULL, "these peers may not connect, nor are they dialled"),
    ROW(BOOL, open, "open", NULL, NULL, NULL, "serve and use strangers found on the LAN"),
    ROW(U32, max_feeds, "max_feeds", NULL, "N", "256", "providers whose offers and load are followed at a time, at most 256; the least used makes room"),
    GROUP("Relaying for others"),
    ROW(STR, relay, "relay", NULL, "limited|unlimited", "limited", "carry streams for peers that cannot reach each other: strangers' within 128 KiB and two minutes, or everybody's without a limit"),
    ROW(BOOL, no_relay, "no_relay", NULL, NULL, NULL, "carry nobody's"),
    ROW(LIST, relay_for, "relay_for", NULL, "PEER,…", NULL, "peers whose streams are carried without a limit"),
    ROW(SIZE, relay_bandwidth, "relay_bandwidth", NULL, "BYTES/s", "0", "of all carried streams together; 0: no limit"),
    GROUP("The local HTTP address"),
    ROW(PORT, http_port, "http_port", "port", "PORT", "8888", "OpenAI-compatible API; 0 takes a free port"),
    ROW(STR, http_host, "http_host", "host", "IP", "127.0.0.1", "listen here; other than loopback needs a key or --no-auth"),
    ROW(STR, access_key, "access_key", NULL, "KEY", NULL, "clients must send this key as a bearer token"),
    ROW(BOOL, no_auth, "no_auth", NULL, NULL, NULL, "no key even off loopback: only for a closed network"),
    ROW(LIST, allow_host, "allow_host", NULL, "NAME", NULL, "a further name by which browsers may call the API"),
    ROW(LIST, allow_origin, "allow_origin", NULL, "ORIGIN", NULL, "a further web origin that may call the API"),
    GROUP("State"),
    ROW(STR, data_dir, "data_dir", NULL, "DIR", NULL, "identity, databases, control socket; default $CONDUIT_HOME, else $XDG_DATA_HOME/conduit"),
    ROW(STR, config, "config", NULL, "FILE", NULL, "YAML file; default $XDG_CONFIG_HOME/conduit/config.yml when there is one"),
    ROW(STR, node_id, "node_id", NULL, "NAME", NULL, "a name for people, shown in status"),
    ROW(STR, compat, "compat", NULL, "llamanet", NULL, "read another project's environment variables (HOST, PORT, MODEL_PATH…)"),
    GROUP("Engine (llama-server)"),
    ROW(U32, ctx, "ctx", "n_ctx", "N", "0", "context of each slot; 0: what the model was trained for, at most 8192"),
    ROW(U32, parallel, "parallel", NULL, "N", "4", "requests served at once per model"),
    ROW(U32, threads, "threads", NULL, "N", "0", "CPU threads; 0: llama-server decides"),
    ROW(U32, gpu_layers, "gpu_layers", "n_gpu_layers", "N", NULL, "layers on the GPU; not given: llama-server decides"),
    ROW(U32, batch, "batch", "n_batch", "N", "0", "batch size; 0: llama-server's default"),
    ROW(STR, mmproj, "mmproj", NULL, "FILE", NULL, "projector for images"),
    ROW(LIST, lora, "lora", NULL, "FILE", NULL, "LoRA adapter; may be repeated"),
    ROW(STR, llama_server, "llama_server", NULL, "PATH", NULL, "which llama-server; default: PATH, then the one of conduit engine install"),
    ROW(BOOL, allow_extra_fields, "allow_extra_fields", NULL, NULL, NULL, "let peers' requests carry fields that llama-server is not known to take"),
    GROUP("Limits for others (the owner is bound by none)"),
    ROW(U32, requests_per_minute, "rate_limit.requests_per_minute", NULL, "N", "0", "requests from all peers together; 0: no limit"),
    ROW(U32, requests_per_minute_per_peer, "rate_limit.per_peer", NULL, "N", "0", "requests from one peer; 0: no limit"),
    ROW(U32, max_concurrent, "max_concurrent", NULL, "N", "0", "requests at once per model of a backend; 0: 64 (a GGUF's is --parallel)"),
    ROW(U32, max_connections, "max_connections", NULL, "N", "4096", "connections to peers; over three quarters of it idle ones are closed"),
    ROW(U32, max_context, "max_context", NULL, "N", "0", "longest prompt taken from peers, in tokens as estimated; 0: the model's"),
    ROW(SIZE, max_body, "max_body", NULL, "BYTES", "33554432", "largest request body"),
    ROW(STR, schedule_start, "schedule.start", NULL, "HH:MM", NULL, "share from this local time on"),
    ROW(STR, schedule_end, "schedule.end", NULL, "HH:MM", NULL, "… until this one; over midnight when earlier than the start"),
    GROUP("Timing"),
    ROW(U32, head_wait_ms, "head_wait_ms", NULL, "MS", "15000", "how long a streamed answer may stay silent before its 200 is sent"),
    ROW(U32, keepalive_ms, "keepalive_ms", NULL, "MS", "15000", "silence before a keep-alive comment to a client; 0: never"),
    ROW(U32, stall_ms, "stall_ms", NULL, "MS", "20000", "silence of a provider, signs of life included, before it is given up"),
    ROW(U32, heartbeat_interval, "heartbeat_interval", NULL, "S", "10", "load is told at least this often"),
    ROW(U32, shutdown_timeout, "shutdown_timeout", NULL, "S", "30", "running answers may take this long to finish at a stop"),
    GROUP("Log"),
    ROW(STR, log_level, "log_level", "log", "LEVEL[,ROOM=LEVEL]", "warn", "off, error, warn, info, debug; also CONDUIT_LOG"),
};
/* clang-format on */
const size_t config_table_len = ARRAY_LEN(config_table);
_Static_assert(ARRAY_LEN(config_table) <= sizeof((struct config *)0)->rank, "rank too small");

void strlist_add(struct strlist *l, const char *s, size_t n)
{
    l->v = mem_resize(l->v, (l->n + 1) * sizeof *l->v);
    l->v[l->n++] = mem_strndup(s, n);
}

void strlist_clear(struct strlist *l)
{
    for (size_t i = 0; i < l->n; i++) {
        mem_wipe(l->v[i], strlen(l->v[i])); /* an invite is a secret */
        free(l->v[i]);
    }
    free(l->v);
    *l = (struct strlist){0};
}

static void *field_of(struct config *c, const struct config_row *row)
{
    return (char *)c + row->offset;
}

int config_sentence(char *why, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, CONFIG_WHY, fmt, ap);
    va_end(ap);
    return E_INVALID;
}

static int set_number(void *field, const struct config_row *row, const char *value, char *why)
{
    uint64_t v, max = row->type == OPT_PORT ? 65535 : row->type == OPT_U32 ? UINT32_MAX : INT64_MAX;
    if (bytes_to_u64(bytes_str(value), &v) || v > max)
        return config_sentence(why, "%s: '%s' is not a number from 0 to %llu", row->key, value,
                               (unsigned long long)max);
    if (row->type == OPT_SIZE)
        *(uint64_t *)field = v;
    else
        *(uint32_t *)field = (uint32_t)v;
    return 0;
}

static int set_bool(bool *field, const struct config_row *row, const char *value, char *why)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no",
                                                                                "off", "0", ""};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (strcmp(value, yes[i]) == 0)
            return *field = true, 0;
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (strcmp(value, no[i]) == 0)
            return *field = false, 0;
    return config_sentence(why, "%s: '%s' is neither true nor false", row->key, value);
}

static void add_words(struct strlist *l, const char *value)
{
    for (const char *p = value; *p;) {
        size_t n = strcspn(p, ","), a = 0, b;
        while (a < n && isspace((unsigned char)p[a]))
            a++;
        for (b = n; b > a && isspace((unsigned char)p[b - 1]); b--)
            ;
        if (b > a)
            strlist_add(l, p + a, b - a);
        p += n + (p[n] == ',');
    }
}

int config_set_row(struct config *c, const struct config_row *row, const char *value,
                   enum config_rank rank, char *why)
{
    uint8_t *have = &c->rank[row - config_table];
    void *field = field_of(c, row);
    if (rank < *have)
        return 0;
    int err = 0;
    switch (row->type) {
    case OPT_GROUP:
        return E_BUG;
    case OPT_STR:
        if (*(char **)field)
            mem_wipe(*(char **)field, strlen(*(char **)field)); /* it may be a key */
        free(*(char **)field);
        *(char **)field = *value ? mem_strdup(value) : NULL;
        break;
    case OPT_LIST: /* the first value of a higher rank replaces what lower ones said */
        if (rank > *have)
            strlist_clear(field);
        add_words(field, value);
        break;
    case OPT_BOOL:
        err = set_bool(field, row, value, why);
        break;
    case OPT_PORT:
    case OPT_U32:
    case OPT_SIZE:
        err = set_number(field, row, value, why);
        break;
    }
    if (!err)
        *have = (uint8_t)rank;
    return err;
}

void config_init(struct config *c)
{
    char why[CONFIG_WHY];
    *c = (struct config){0};
    for (size_t i = 0; i < config_table_len; i++)
        if (config_table[i].def)
            (void)config_set_row(c, &config_table[i], config_table[i].def, RANK_DEFAULT, why);
}

void config_fini(struct config *c)
{
    for (size_t i = 0; i < config_table_len; i++) {
        const struct config_row *row = &config_table[i];
        if (row->type == OPT_STR) {
            char **s = field_of(c, row);
            if (*s)
                mem_wipe(*s, strlen(*s));
            free(*s);
        } else if (row->type == OPT_LIST) {
            strlist_clear(field_of(c, row));
        }
    }
    *c = (struct config){0};
}

const struct config_row *config_find(const char *key, size_t n)
{
    for (size_t i = 0; i < config_table_len; i++) {
        const struct config_row *row = &config_table[i];
        if (row->type == OPT_GROUP)
            continue;
        if (strlen(row->key) == n && memcmp(row->key, key, n) == 0)
            return row;
        if (row->alias && strlen(row->alias) == n && memcmp(row->alias, key, n) == 0)
            return row;
    }
    return NULL;
}

int config_set(struct config *c, const char *key, const char *value, enum config_rank rank,
               char why[static CONFIG_WHY])
{
    const struct config_row *row = config_find(key, strlen(key));
    if (!row)
        return config_sentence(why, "unknown option '%s'", key);
    return config_set_row(c, row, value, rank, why);
}

bool config_is_given(const struct config *c, const char *key)
{
    const struct config_row *row = config_find(key, strlen(key));
    return row && c->rank[row - config_table] > RANK_DEFAULT;
}

/* --- "did you mean" --- */

static size_t distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);
    if (n >= ARRAY_LEN(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t cost = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = cost < step ? cost : step;
        }
    }
    return row[n];
}

const char *config_nearest(const char *word, const char *(*next)(void *ctx), void *ctx)
{
    const char *best = NULL, *name;
    size_t best_distance = strlen(word) / 3 + 1;
    while ((name = next(ctx))) {
        size_t d = distance(word, name);
        if (d <= best_distance) {
            best_distance = d;
            best = name;
        }
    }
    return best;
}

static const char *next_key(void *ctx)
{
    size_t *i = ctx;
    while (*i < config_table_len && config_table[*i].type == OPT_GROUP)
        ++*i;
    return *i < config_table_len ? config_table[(*i)++].key : NULL;
}

const char *config_nearest_key(const char *word)
{
    size_t i = 0;
    return config_nearest(word, next_key, &i);
}

/* --- environment --- */

static void env_name(const struct config_row *row, char out[static 64])
{
    snprintf(out, 64, "CONDUIT_%s", row->key);
    for (char *p = out; *p; p++)
        *p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
}

static const char *env_get(char *const *env, const char *name)
{
    size_t n = strlen(name);
    for (; env && *env; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return *env + n + 1;
    return NULL;
}

/* LlamaNet's variables mean something only when asked for: HOST and PORT are anybody's. */
static const struct {
    const char *env, *key;
} llamanet_env[] = {
    {"MODEL_PATH", "model"},
    {"HOST", "http_host"},
    {"PORT", "http_port"},
    {"DHT_PORT", "p2p_port"},
    {"NODE_ID", "node_id"},
    {"BOOTSTRAP_NODES", "bootstrap"},
    {"HEARTBEAT_INTERVAL", "heartbeat_interval"},
    {"N_CTX", "ctx"},
    {"N_BATCH", "batch"},
    {"N_GPU_LAYERS", "gpu_layers"},
};

static int read_compat(struct config *c, char *const *env, char *why)
{
    if (!c->compat)
        return 0;
    if (strcmp(c->compat, "llamanet") != 0)
        return config_sentence(why, "--compat knows 'llamanet', not '%s'", c->compat);
    for (size_t i = 0; i < ARRAY_LEN(llamanet_env); i++) {
        const char *v = env_get(env, llamanet_env[i].env);
        int err = v && *v ? config_set(c, llamanet_env[i].key, v, RANK_ENV, why) : 0;
        if (err)
            return err;
    }
    return 0;
}

int config_read_env(struct config *c, char *const *env, char why[static CONFIG_WHY])
{
    for (size_t i = 0; i < config_table_len; i++) {
        const struct config_row *row = &config_table[i];
        char name[64];
        if (row->type == OPT_GROUP)
            continue;
        env_name(row, name);
        const char *v = env_get(env, name);
        int err = v ? config_set_row(c, row, v, RANK_ENV, why) : 0;
        if (err)
            return err;
    }
    const char *log = env_get(env, "CONDUIT_LOG");
    if (log && config_set(c, "log_level", log, RANK_ENV, why))
        return E_INVALID;
    return read_compat(c, env, why);
}

char *config_data_dir(const struct config *c, char *const *env)
{
    const char *home = env_get(env, "CONDUIT_HOME"), *xdg = env_get(env, "XDG_DATA_HOME");
    char *base;
    if (c->data_dir)
        return mem_strdup(c->data_dir);
    if (home && *home)
        base = mem_strdup(home);
    else if (xdg && *xdg)
        base = mem_printf("%s/conduit", xdg);
    else
        base = mem_printf("%s/.local/share/conduit", env_get(env, "HOME") ?: ".");
    if (!c->compat)
        return base;
    /* LlamaNet's README starts several nodes of one user side by side, told apart by their ports. */
    char *own = mem_printf("%s/llamanet-%u", base, c->p2p_port);
    free(base);
    return own;
}

/* --- everything together --- */

static int minutes_of(const char *text)
{
    int h, m, end = 0;
    if (sscanf(text, "%2d:%2d%n", &h, &m, &end) != 2 || text[end] || h < 0 || h > 23 || m < 0 ||
        m > 59)
        return -1;
    return h * 60 + m;
}

static int check(const struct config *c, char *why)
{
    const char *times[] = {c->schedule_start, c->schedule_end};
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        if (times[i] && minutes_of(times[i]) < 0)
            return config_sentence(why, "schedule: '%s' is not a time of day such as 07:30",
                                   times[i]);
    if (!c->schedule_start != !c->schedule_end)
        return config_sentence(why, "schedule: give both start and end");
    if (c->parallel == 0 || c->parallel > 256)
        return config_sentence(why, "parallel: %u is not from 1 to 256", c->parallel);
    if (c->max_feeds == 0 || c->max_feeds > LIMIT_CATALOGUE_PEERS)
        return config_sentence(why, "max_feeds: %u is not from 1 to 256", c->max_feeds);
    return 0;
}

static char *default_file(char *const *env)
{
    const char *xdg = env_get(env, "XDG_CONFIG_HOME");
    char *path = xdg && *xdg
                     ? mem_printf("%s/conduit/config.yml", xdg)
                     : mem_printf("%s/.config/conduit/config.yml", env_get(env, "HOME") ?: "");
    FILE *f = fopen(path, "r");
    if (f)
        fclose(f);
    else
        free(path), path = NULL;
    return path;
}

int config_load(struct config *c, int argc, char *const *argv, char *const *env,
                char why[static CONFIG_WHY])
{
    int rc = config_read_flags(c, argc, argv, why);
    if (rc)
        return rc;
    rc = config_read_env(c, env, why);
    if (rc)
        return rc;
    char *path = c->config ? mem_strdup(c->config) : default_file(env);
    if (path)
        rc = config_read_file(c, path, why);
    free(path);
    if (!rc)
        rc = read_compat(c, env, why);
    return rc ? rc : check(c, why);
}

/* --- the table, printed --- */

/* What is on is switched off: --no-mdns. */
static void flag_name(const struct config_row *row, char out[static 64])
{
    bool is_on = row->type == OPT_BOOL && row->def && strcmp(row->def, "true") == 0;
    snprintf(out, 64, "--%s%s", is_on ? "no-" : "", row->key);
    for (char *p = out; *p; p++)
        *p = *p == '_' || *p == '.' ? '-' : *p;
}

/* printf pads by bytes; "…" has three and is one column wide. */
static int pad(const char *text, int columns)
{
    for (; *text; text++)
        columns += (*text & 0xc0) == 0x80;
    return columns;
}

void config_print_help(FILE *out)
{
    for (size_t i = 0; i < config_table_len; i++) {
        const struct config_row *row = &config_table[i];
        char flag[64], left[96];
        if (row->type == OPT_GROUP) {
            fprintf(out, "\n%s\n", row->key);
            continue;
        }
        flag_name(row, flag);
        snprintf(left, sizeof left, "%s%s%s", flag, row->arg ? " " : "", row->arg ? row->arg : "");
        fprintf(out, "  %-*s %s%s%s%s\n", pad(left, 32), left, row->help, row->def ? " [" : "",
                row->def ? row->def : "", row->def ? "]" : "");
    }
}

void config_print_markdown(FILE *out)
{
    fprintf(out, "# Configuration\n\nMade from the table in `src/node/config.c` by `make docs`. "
                 "Flag > environment > file > default.\n");
    for (size_t i = 0; i < config_table_len; i++) {
        const struct config_row *row = &config_table[i];
        char flag[64], env[64];
        if (row->type == OPT_GROUP) {
            fprintf(out,
                    "\n## %s\n\n| flag | file | environment | default | meaning |\n"
                    "|---|---|---|---|---|\n",
                    row->key);
            continue;
        }
        flag_name(row, flag);
        env_name(row, env);
        fprintf(out, "| `%s%s%s` | `%s`%s%s%s | `%s` | %s | %s |\n", flag, row->arg ? " " : "",
                row->arg ? row->arg : "", row->key, row->alias ? ", `" : "",
                row->alias ? row->alias : "", row->alias ? "`" : "", env, row->def ? row->def : "",
                row->help);
    }
    fprintf(out, "\n## Under `--compat llamanet`\n\n| environment | means |\n|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(llamanet_env); i++)
        fprintf(out, "| `%s` | `%s` |\n", llamanet_env[i].env, llamanet_env[i].key);
}
