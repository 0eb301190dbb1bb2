// SPDX-License-Identifier: MIT
/* The tensor part of a GGUF: that each lies where it must. */
#ifndef CONDUIT_ENGINE_GGUF_TENSOR_H
#define CONDUIT_ENGINE_GGUF_TENSOR_H

#include "engine/gguf_cursor.h"

/* The cursor stands behind the pairs. Fills tensor_bytes, parameters and quant. */
void gguf_check_tensors(struct gguf_cursor *c, struct gguf_summary *sum, uint32_t alignment);

#endif
