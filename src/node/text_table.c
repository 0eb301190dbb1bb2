// SPDX-License-Identifier: MIT
/* Cells in one array, row after row; widths are counted in characters when it is printed. */
#include "node/text_table.h"

#include "base/mem.h"
#include "node/chat_text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void text_table_init(struct text_table *t, const char *headings)
{
    *t = (struct text_table){0};
    const char *heads[TEXT_TABLE_COLUMNS];
    size_t lens[TEXT_TABLE_COLUMNS];
    for (const char *at = headings;;) {
        assert(t->columns < TEXT_TABLE_COLUMNS);
        unsigned i = t->columns++;
        t->is_right[i] = *at == '>';
        at += *at == '>';
        heads[i] = at;
        lens[i] = strcspn(at, ",");
        at += lens[i];
        if (!*at++)
            break;
    }
    for (unsigned i = 0; i < t->columns; i++)
        text_table_add(t, bytes_of(heads[i], lens[i]));
}

void text_table_init_bare(struct text_table *t, unsigned columns)
{
    assert(columns > 0 && columns <= TEXT_TABLE_COLUMNS);
    *t = (struct text_table){.columns = columns};
}

void text_table_fini(struct text_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct text_table){0};
}

void text_table_add(struct text_table *t, struct bytes cell)
{
    struct buf clean;
    buf_init(&clean, 0);
    chat_text_plain(bytes_first(cell, LIMIT_CLI_CELL), &clean);
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->cells = mem_resize(t->cells, t->room * sizeof *t->cells);
    }
    char *s = mem_strndup(buf_view(&clean).p, buf_len(&clean));
    for (char *p = s; *p; p++)
        if (*p == '\n' || *p == '\t')
            *p = ' ';
    t->cells[t->count++] = s;
    buf_fini(&clean);
}

void text_table_addf(struct text_table *t, const char *fmt, ...)
{
    char text[LIMIT_CLI_CELL];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    text_table_add(t, bytes_str(text));
}

/* Characters, not bytes: those that do not continue another. */
static size_t width_of(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((uint8_t)*s & 0xc0) != 0x80;
    return n;
}

static void pad(struct buf *out, size_t n)
{
    while (n-- > 0)
        (void)buf_append_byte(out, ' ');
}

static void print_row(const struct text_table *t, size_t first, const size_t *widths,
                      struct buf *out)
{
    size_t owed = 0; /* spaces before the next cell that shows something */
    for (unsigned i = 0; i < t->columns; i++) {
        const char *cell = t->cells[first + i];
        size_t spare = widths[i] - width_of(cell);
        if (*cell) {
            pad(out, owed + (t->is_right[i] ? spare : 0));
            (void)buf_append_str(out, cell);
            owed = 2 + (t->is_right[i] ? 0 : spare);
        } else {
            owed += widths[i] + 2;
        }
    }
    (void)buf_append_byte(out, '\n');
}

void text_table_print(struct text_table *t, struct buf *out)
{
    size_t widths[TEXT_TABLE_COLUMNS] = {0};
    while (t->count % t->columns != 0)
        text_table_add(t, (struct bytes){0});
    for (size_t i = 0; i < t->count; i++) {
        size_t w = width_of(t->cells[i]);
        if (w > widths[i % t->columns])
            widths[i % t->columns] = w;
    }
    for (size_t i = 0; i < t->count; i += t->columns)
        print_row(t, i, widths, out);
}
