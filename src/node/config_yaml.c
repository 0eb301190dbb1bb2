// SPDX-License-Identifier: MIT
/* The configuration file: a YAML mapping of options, one level of nesting (`rate_limit:`,
 * `schedule:`), read with libyaml's event parser so that every mistake has its line. */
#include "node/config_table.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { FILE_MAX = 1 << 20, FILE_USUAL = 1 << 16, LIST_MAX = 1024 };

struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    bool was_given[sizeof((struct config *)0)->rank]; /* per row of the table */
    const char *name;
    char *why;
    struct config *c;
};

static int fail(struct reader *r, size_t line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(struct reader *r, size_t line, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(r->why, CONFIG_WHY, "%s:%zu: ", r->name, line + 1);
    va_start(ap, fmt);
    if (n > 0 && n < CONFIG_WHY)
        vsnprintf(r->why + n, (size_t)(CONFIG_WHY - n), fmt, ap);
    va_end(ap);
    return E_INVALID;
}

/* Values may be secrets: a backend's key, an invite. */
static void forget_event(struct reader *r)
{
    if (!r->has_event)
        return;
    if (r->event.type == YAML_SCALAR_EVENT)
        mem_wipe(r->event.data.scalar.value, r->event.data.scalar.length);
    yaml_event_delete(&r->event);
    r->has_event = false;
}

static int next(struct reader *r)
{
    forget_event(r);
    r->has_event = yaml_parser_parse(&r->parser, &r->event);
    if (r->has_event)
        return 0;
    return fail(r, r->parser.problem_mark.line, "%s",
                r->parser.problem ? r->parser.problem : "not YAML");
}

static const char *scalar(const struct reader *r)
{
    return (const char *)r->event.data.scalar.value;
}

static bool is_null(const struct reader *r)
{
    const char *s = scalar(r);
    return r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*s || strcmp(s, "~") == 0 || strcmp(s, "null") == 0);
}

static int set(struct reader *r, const struct config_row *row)
{
    char why[CONFIG_WHY];
    if (is_null(r))
        return 0;
    if (config_set_row(r->c, row, scalar(r), RANK_FILE, why))
        return fail(r, r->event.start_mark.line, "%s", why);
    return 0;
}

static int read_list(struct reader *r, const struct config_row *row)
{
    for (size_t count = 0;; count++) {
        int err = next(r);
        if (err || r->event.type == YAML_SEQUENCE_END_EVENT)
            return err;
        if (r->event.type != YAML_SCALAR_EVENT)
            return fail(r, r->event.start_mark.line, "%s: a list of plain values was expected",
                        row->key);
        if (count >= LIST_MAX)
            return fail(r, r->event.start_mark.line, "%s: over %d values", row->key, LIST_MAX);
        if ((err = set(r, row)))
            return err;
    }
}

static int read_mapping(struct reader *r, const char *prefix);

static bool is_prefix(const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < config_table_len; i++)
        if (strncmp(config_table[i].key, key, n) == 0 && config_table[i].key[n] == '.')
            return true;
    return false;
}

static int unknown(struct reader *r, const char *key, size_t line)
{
    const char *near = config_nearest_key(key);
    if (near)
        return fail(r, line, "unknown key '%.80s'; did you mean '%s'?", key, near);
    return fail(r, line, "unknown key '%.80s'", key);
}

static int read_value(struct reader *r, const char *key, size_t line)
{
    const struct config_row *row = config_find(key, strlen(key));
    int err = next(r);
    if (err)
        return err;
    if (r->event.type == YAML_MAPPING_START_EVENT) {
        if (row || !is_prefix(key))
            return row ? fail(r, line, "%s: a value was expected, not a mapping", key)
                       : unknown(r, key, line);
        return read_mapping(r, key);
    }
    if (!row && r->event.type == YAML_SCALAR_EVENT && is_prefix(key) && is_null(r))
        return 0;
    if (!row)
        return unknown(r, key, line);
    if (r->was_given[row - config_table])
        return fail(r, line, "%s: given twice", key);
    r->was_given[row - config_table] = true;
    if (r->event.type == YAML_SEQUENCE_START_EVENT) {
        if (row->type != OPT_LIST)
            return fail(r, line, "%s: one value was expected, not a list", key);
        return read_list(r, row);
    }
    if (r->event.type != YAML_SCALAR_EVENT)
        return fail(r, line, "%s: anchors and aliases are not read here", key);
    return set(r, row);
}

static int read_mapping(struct reader *r, const char *prefix)
{
    for (;;) {
        char key[96];
        int err = next(r);
        if (err || r->event.type == YAML_MAPPING_END_EVENT)
            return err;
        size_t line = r->event.start_mark.line;
        if (r->event.type != YAML_SCALAR_EVENT)
            return fail(r, line, "a key was expected");
        snprintf(key, sizeof key, "%s%s%.60s", prefix, *prefix ? "." : "", scalar(r));
        if ((err = read_value(r, key, line)))
            return err;
    }
}

static int read_document(struct reader *r)
{
    int err;
    do {
        if ((err = next(r)))
            return err;
    } while (r->event.type == YAML_STREAM_START_EVENT ||
             r->event.type == YAML_DOCUMENT_START_EVENT);
    if (r->event.type == YAML_STREAM_END_EVENT ||
        (r->event.type == YAML_SCALAR_EVENT && is_null(r)))
        return 0; /* an empty file says nothing */
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return fail(r, r->event.start_mark.line, "a list of 'key: value' lines was expected");
    return read_mapping(r, "");
}

int config_read_yaml(struct config *c, struct bytes text, const char *name,
                     char why[static CONFIG_WHY])
{
    struct reader r = {.name = name, .why = why, .c = c};
    if (!yaml_parser_initialize(&r.parser))
        return E_NO_MEMORY;
    yaml_parser_set_input_string(&r.parser, text.p, text.n);
    int err = read_document(&r);
    forget_event(&r);
    yaml_parser_delete(&r.parser);
    return err;
}

int config_read_file(struct config *c, const char *path, char why[static CONFIG_WHY])
{
    struct buf text;
    int err = 0;
    FILE *f = fopen(path, "r");
    if (!f) {
        snprintf(why, CONFIG_WHY, "%s: %s", path, strerror(errno));
        return E_INVALID;
    }
    setvbuf(f, NULL, _IONBF, 0);
    buf_init(&text, FILE_MAX);
    (void)buf_reserve(&text, FILE_USUAL, &(uint8_t *){0}); /* one piece, to be wiped */
    char chunk[4096];
    for (;;) {
        size_t n = fread(chunk, 1, sizeof chunk, f);
        if (n == 0)
            break;
        if ((err = buf_append(&text, chunk, n))) {
            snprintf(why, CONFIG_WHY, "%s: larger than %d bytes", path, FILE_MAX);
            break;
        }
    }
    fclose(f);
    if (!err)
        err = config_read_yaml(c, buf_view(&text), path, why);
    buf_wipe(&text);
    mem_wipe(chunk, sizeof chunk);
    return err ? E_INVALID : 0;
}
