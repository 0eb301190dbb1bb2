// SPDX-License-Identifier: MIT
/* Names of models. A model is called by the slug of its GGUF's general.name; the file's stem is an
 * alias; NAME=FILE overrides. `name:quant` and `name@sha256:…` select among files of one name. */
#ifndef CONDUIT_ENGINE_NAME_H
#define CONDUIT_ENGINE_NAME_H

#include "base/bytes.h"

enum { ENGINE_NAME = 128 };

/* Lower case; letters, digits, '.', '_' and '-'; runs of anything else become one '-'. "" when
 * nothing is left. */
void name_slug(const char *text, char out[static ENGINE_NAME]);
/* The stem of a file name as a slug: "/m/Foo-Q4_K_M-00001-of-00002.gguf" is "foo-q4_k_m". */
void name_stem(const char *path, char out[static ENGINE_NAME]);
/* "NAME=REST" or "REST": `name` gets NAME or "". What stands before '=' is a name only when it has no
 * '/'. Returns REST, inside `text`. NULL when NAME is not fit (empty, too long, control bytes). */
const char *name_split(const char *text, char name[static ENGINE_NAME]);
/* `asked` means a model with this name, quantisation and digest (64 hex digits, or ""). */
bool name_matches(struct bytes asked, const char *name, const char *quant, const char *digest);

#endif
