// SPDX-License-Identifier: MIT
/* Checks a GGUF on disk, all files of a split one. */
#ifndef CONDUIT_ENGINE_GGUF_FILE_H
#define CONDUIT_ENGINE_GGUF_FILE_H

#include "engine/gguf.h"

enum { GGUF_FILE_WHY = 512 };

/* `out` is the first file's summary, with parameters, bytes and tensors of all. 0, or an error and a
 * sentence that names the file. */
int gguf_file_check(const char *path, uint64_t hash_seed, struct gguf_summary *out,
                    char why[static GGUF_FILE_WHY]);

#endif
