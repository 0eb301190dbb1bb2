// SPDX-License-Identifier: MIT
/* Names whose answer needs nobody: IP literals and localhost (RFC 6761 §6.3). Both makers ask here
 * first, so such names never leave the machine. */
#ifndef CONDUIT_LOOP_NAMES_H
#define CONDUIT_LOOP_NAMES_H

#include "loop/loop.h"

/* True when the name is of that kind; then *count (0 to 2) addresses are in `out`. */
bool names_answer(const char *name, enum loop_dns what, struct net_addr out[static 2],
                  size_t *count);

#endif
