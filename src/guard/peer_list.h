// SPDX-License-Identifier: MIT
/* A set of peer ids: who may, who may not. Read from words and from files of one id per line; `#` begins a
 * comment. */
#ifndef CONDUIT_GUARD_PEER_LIST_H
#define CONDUIT_GUARD_PEER_LIST_H

#include "base/bytes.h"
#include "codec/peer_id.h"

struct peer_list {
    struct peer_id *v; /* sorted */
    size_t n;
};

void peer_list_fini(struct peer_list *l); /* empty afterwards; may be used again */
/* 0 (also when it is in), E_LIMIT. */
int peer_list_add(struct peer_list *l, const struct peer_id *id);
bool peer_list_has(const struct peer_list *l, const struct peer_id *id);
/* Adds what a file names. E_MALFORMED: *line says where (from 1); E_LIMIT. */
int peer_list_read(struct peer_list *l, struct bytes file, unsigned *line);

#endif
