// SPDX-License-Identifier: MIT
/* Which fields of a peer's request reach a llama.cpp engine, and in what range. llama-server takes many more
 * than OpenAI's, some have had holes (CVE-2026-21869: a negative n_discard), so what is not known here is
 * refused by name. The owner's own requests, and backends whose owner opted in, are not looked at. */
#ifndef CONDUIT_GATEWAY_FIELDS_H
#define CONDUIT_GATEWAY_FIELDS_H

#include "codec/json_skim.h"

/* 0, or E_DENIED with a sentence that names the field. */
int fields_check(const struct json_skim *skim, char *why, size_t why_size);

#endif
