// SPDX-License-Identifier: MIT
/* Rows of the option table; private to the configuration's own files. */
#ifndef CONDUIT_NODE_CONFIG_TABLE_H
#define CONDUIT_NODE_CONFIG_TABLE_H

#include "node/config.h"

enum config_type { OPT_GROUP, OPT_STR, OPT_LIST, OPT_BOOL, OPT_PORT, OPT_U32, OPT_SIZE };

struct config_row {
    const char *key;   /* as in the file; nested keys with a dot; the title of a group */
    const char *alias; /* a seed's spelling, or NULL */
    const char *arg;   /* for people; NULL: takes none */
    const char *def;
    const char *help;
    enum config_type type;
    size_t offset;
};

#define GROUP(title)                                                                               \
    {                                                                                              \
        title, NULL, NULL, NULL, NULL, OPT_GROUP, 0                                                \
    }

extern const struct config_row config_table[];
extern const size_t config_table_len;

const struct config_row *config_find(const char *key, size_t n); /* key or alias; NULL */
const char *config_nearest_key(const char *word);                /* NULL when nothing is near */
int config_set_row(struct config *c, const struct config_row *row, const char *value,
                   enum config_rank rank, char *why);
/* Into a why of CONFIG_WHY bytes; E_INVALID. */
int config_sentence(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
