// SPDX-License-Identifier: MIT
/* Fits engine/fixup to the gateway's filter port. */
#ifndef CONDUIT_NODE_FIXUP_FILTER_H
#define CONDUIT_NODE_FIXUP_FILTER_H

#include "gateway/filter.h"
#include "gateway/request.h"

/* Heap; freed by the gateway through its ops. `model`: the name that the answer gives. */
struct gateway_filter *fixup_filter_new(const struct gateway_request *req, const char *model,
                                        const char *id, uint64_t created_s);

#endif
