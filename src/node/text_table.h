// SPDX-License-Identifier: MIT
/* A table for people: columns as wide as their widest cell, two spaces between, nothing at line
 * ends.
 *
 * Cells come from strangers too (agents, names of models), so whatever could drive a terminal or
 * break the line is taken out when a cell is added. */
#ifndef CONDUIT_NODE_TEXT_TABLE_H
#define CONDUIT_NODE_TEXT_TABLE_H

#include "base/buf.h"

enum { TEXT_TABLE_COLUMNS = 10 };

struct text_table {
    unsigned columns;
    size_t count; /* cells, the headings included */
    char **cells;
    size_t room;
    bool is_right[TEXT_TABLE_COLUMNS]; /* numbers stand at the right */
};

/* `headings` with commas; one that begins with '>' is a column of numbers: "NAME,>SLOTS". */
void text_table_init(struct text_table *t, const char *headings);
/* Without headings. */
void text_table_init_bare(struct text_table *t, unsigned columns);
void text_table_fini(struct text_table *t);
/* The next cell, row by row; copied. */
void text_table_add(struct text_table *t, struct bytes cell);
void text_table_addf(struct text_table *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Appends the lines. A row that is not full is filled with empty cells. */
void text_table_print(struct text_table *t, struct buf *out);

#endif
