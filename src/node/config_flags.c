// SPDX-License-Identifier: MIT
/* Options on a command line, and telling their values from a command's own words; see config.h. */
#include "node/config_table.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* "--http-port" names the row "http_port", "--schedule-start" the row "schedule.start". */
static const struct config_row *row_of_flag(const char *flag, size_t n)
{
    char key[64];
    if (n >= sizeof key)
        return NULL;
    for (size_t i = 0; i < n; i++)
        key[i] = flag[i] == '-' ? '_' : flag[i];
    key[n] = 0;
    const struct config_row *row = config_find(key, n);
    for (size_t i = 0; !row && i < n; i++)
        if (key[i] == '_') {
            key[i] = '.';
            row = config_find(key, n);
            key[i] = '_';
        }
    return row;
}

static int unknown_flag(char *why, const char *flag, size_t n)
{
    char key[64];
    snprintf(key, sizeof key, "%.*s", (int)(n < 63 ? n : 63), flag);
    for (char *p = key; *p; p++)
        *p = *p == '-' ? '_' : *p;
    const char *near = config_nearest_key(key);
    char hint[80] = "";
    if (near) {
        snprintf(hint, sizeof hint, "; did you mean --%s?", near);
        for (char *p = hint + 18; *p; p++)
            *p = *p == '_' || *p == '.' ? '-' : *p;
    }
    return config_sentence(why, "unknown option --%.*s%s", (int)(n < 60 ? n : 60), flag, hint);
}

/* "--name VALUE", "--name=VALUE", "--name" of one that is on or off, "--no-name". */
struct flag {
    const struct config_row *row; /* NULL: no such option */
    const char *name;             /* of n bytes, without the -- */
    size_t n;
    const char *value; /* NULL: it is the next argument */
};

static struct flag read_flag(const char *arg)
{
    struct flag f = {.name = arg + 2};
    f.n = strcspn(f.name, "=");
    f.row = row_of_flag(f.name, f.n);
    f.value = f.name[f.n] == '=' ? f.name + f.n + 1 : NULL;
    if (!f.row && !f.value && f.n > 3 && strncmp(f.name, "no-", 3) == 0) { /* --no-mdns */
        f.row = row_of_flag(f.name + 3, f.n - 3);
        f.row = f.row && f.row->type == OPT_BOOL ? f.row : NULL;
        f.value = f.row ? "false" : NULL;
    }
    if (f.row && !f.value && f.row->type == OPT_BOOL)
        f.value = "true";
    return f;
}

int config_read_flags(struct config *c, int argc, char *const *argv, char why[static CONFIG_WHY])
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0)
            return 1;
        if (strncmp(a, "--", 2) != 0 || !a[2])
            return config_sentence(why, "unexpected argument '%.60s'; options begin with --", a);
        struct flag f = read_flag(a);
        if (!f.row)
            return unknown_flag(why, f.name, f.n);
        if (!f.value && i + 1 >= argc)
            return config_sentence(why, "--%.*s needs a value: %s", (int)f.n, f.name, f.row->arg);
        if (!f.value)
            f.value = argv[++i];
        int err = config_set_row(c, f.row, f.value, RANK_FLAG, why);
        if (err)
            return err;
    }
    return 0;
}

const char *config_take_operand(int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++) {
        if (argv[i][0] == '-') {
            struct flag f = strncmp(argv[i], "--", 2) == 0 ? read_flag(argv[i]) : (struct flag){0};
            i += f.row && !f.value;
            continue;
        }
        const char *word = argv[i];
        memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof *argv);
        --*argc;
        return word;
    }
    return NULL;
}
