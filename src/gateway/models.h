// SPDX-License-Identifier: MIT
/* /v1/models from the catalogue: equal names are one row, whoever serves them; each row that is listed can be
 * asked. What OpenAI's clients do not know stands under "conduit". */
#ifndef CONDUIT_GATEWAY_MODELS_H
#define CONDUIT_GATEWAY_MODELS_H

#include "offer/catalogue.h"

/* {"object":"list","data":[…]} appended. `now_s`: Unix time, for "created". */
int models_list(const struct catalogue *c, uint64_t now_s, struct buf *out);
/* One row; E_NOT_FOUND. */
int models_one(const struct catalogue *c, struct bytes id, uint64_t now_s, struct buf *out);

#endif
